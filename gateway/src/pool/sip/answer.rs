//! What is answered to a pool's requests.

use bytes::Bytes;
use holdover_protocol::sip::{Fault, Method, Name, Request, Status, Uas, respond, respond_with};

/// The methods that a leg understands.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, INFO, UPDATE, OPTIONS";

/// What a leg can do (RFC 3261 §8.2).
pub(super) const UAS: Uas<'static> = Uas {
    methods: &[
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Info,
        Method::Update,
        Method::Options,
    ],
    schemes: &["sip", "sips"],
    extensions: &["timer"],
    bodies: &[
        (Method::Invite, &["application/sdp"]),
        (Method::Info, &["text/plain"]),
    ],
};

/// A response without more than a response needs. `tag` goes on a To that has none.
pub(super) fn plain(request: &Request, status: Status, tag: Option<&str>) -> Bytes {
    respond(request, status, tag).finish()
}

/// Says what this side can do.
pub(super) fn options(request: &Request, tag: Option<&str>) -> Bytes {
    respond(request, Status::OK, tag)
        .header(Name::Allow, ALLOW)
        .header(Name::Accept, "text/plain, application/sdp")
        .header(Name::Supported, "timer")
        .finish()
}

/// Refuses a request that the protocol layer found fault with.
pub(super) fn fault(request: &Request, fault: &Fault, tag: Option<&str>) -> Bytes {
    let refusal = respond_with(request, fault.status, &fault.reason, tag);
    let refusal = fault
        .headers
        .iter()
        .fold(refusal, |refusal, (name, value)| {
            refusal.header(*name, value)
        });
    refusal.finish()
}

/// What is understood outside of dialogs.
pub(super) const OUTSIDE: Uas<'static> = Uas {
    methods: &[Method::Options],
    ..UAS
};
