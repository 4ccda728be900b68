//! What a leg understands of a pool's requests.

use bytes::Bytes;
use holdover_protocol::sip::{Method, Name, Request, Status, Uas, respond};

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

/// What is understood outside of dialogs.
pub(super) const OUTSIDE: Uas<'static> = Uas {
    methods: &[Method::Options],
    ..UAS
};

/// Says what this side can do.
pub(super) fn options(request: &Request, tag: Option<&str>) -> Bytes {
    respond(request, Status::OK, tag)
        .header(Name::Allow, ALLOW)
        .header(Name::Accept, "text/plain, application/sdp")
        .header(Name::Supported, "timer")
        .finish()
}
