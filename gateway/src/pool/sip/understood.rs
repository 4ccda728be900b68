//! What a leg understands of a pool's requests.

use bytes::Bytes;
use holdover_protocol::sip::{Method, Name, Request, Status, Uas, respond};

use crate::answer;

/// What a leg can do (RFC 3261 §8.2).
pub(super) const UAS: Uas<'static> = Uas {
    methods: answer::METHODS,
    schemes: &["sip", "sips"],
    extensions: &["timer"],
    bodies: &[
        (Method::Invite, &["application/sdp"]),
        (Method::Info, &["text/plain"]),
    ],
};

/// The methods that a leg understands, as an Allow field names them.
pub(super) fn allow() -> String {
    Method::list(UAS.methods)
}

/// What is understood outside of dialogs.
pub(super) const OUTSIDE: Uas<'static> = Uas {
    methods: &[Method::Options],
    ..UAS
};

/// Says what this side can do.
pub(super) fn options(request: &Request, tag: Option<&str>) -> Bytes {
    respond(request, Status::OK, tag)
        .header(Name::Allow, allow())
        .header(Name::Accept, "text/plain, application/sdp")
        .header(Name::Supported, "timer")
        .finish()
}
