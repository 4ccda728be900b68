//! The responses a session gives to its client.

use bytes::Bytes;
use holdover_protocol::sip::dialog::Dialog;
use holdover_protocol::sip::{Fault, Name, Request, Status, respond, respond_with, sdp};

use super::core::Attachment;

/// What a channel dialog understands.
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, INFO, UPDATE";

/// Accepts an INVITE: the dialog it makes and the 200 to send.
///
/// The 200 always carries Session-Expires. A client that finds none falls, after its first refused message, into an
/// endless storm of UPDATEs (`facts/sipe-client.md`, Failures).
///
/// # Errors
///
/// The refusal to send.
pub(crate) fn accept_invite(
    invite: &Request,
    tag: &str,
    attachment: &Attachment,
    session_expires: u32,
) -> Result<(Dialog, Bytes), Bytes> {
    let dialog =
        Dialog::accept(invite, tag).map_err(|refused| fault(invite, &refused, Some(tag)))?;
    let address = &attachment.sent_by.address;
    let contact = format!(
        "<{};transport={}>",
        invite.uri().split(';').next().unwrap_or_default(),
        attachment.sent_by.transport.to_ascii_lowercase()
    );
    let accepted = respond(invite, Status::OK, Some(tag))
        .record_routes_from(invite)
        .header(Name::Contact, contact)
        .header(
            Name::SessionExpires,
            format_args!("{session_expires};refresher=uac"),
        )
        .header(Name::Allow, ALLOW);
    // RFC 3264 §4: an offer is answered, and where there was none there is nothing to answer.
    let accepted = if invite.body().is_empty() {
        accepted
    } else {
        match sdp::answer(invite.body(), address) {
            Ok(answer) => accepted.body("application/sdp", answer.as_bytes()),
            Err(unreadable) => {
                return Err(refuse(
                    invite,
                    Status::NOT_ACCEPTABLE_HERE,
                    Some(&unreadable.to_string()),
                    Some(tag),
                ));
            }
        }
    };
    Ok((dialog, accepted.finish()))
}

/// Refuses a request with a text that legacy clients can show or log: the reason of `ms-diagnostics`. `tag` goes on a To
/// that has none, as RFC 3261 §8.2.6.2 wants of every final response.
pub(crate) fn refuse(
    request: &Request,
    status: Status,
    text: Option<&str>,
    tag: Option<&str>,
) -> Bytes {
    let refusal = respond(request, status, tag);
    match text {
        // Clients read the one or the other, by status (facts/sipe-client.md, Failures).
        Some(text) => {
            let diagnostics = diagnostics(status, text);
            refusal
                .header(Name::MsDiagnostics, &diagnostics)
                .header(Name::MsDiagnosticsPublic, &diagnostics)
                .finish()
        }
        None => refusal.finish(),
    }
}

/// Refuses a request that the protocol layer found fault with.
pub(crate) fn fault(request: &Request, fault: &Fault, tag: Option<&str>) -> Bytes {
    let refusal = respond_with(request, fault.status, &fault.reason, tag);
    let with_headers = fault
        .headers
        .iter()
        .fold(refusal, |refusal, (name, value)| {
            refusal.header(*name, value)
        });
    with_headers.finish()
}

/// Answers a session refresh (RFC 4028 §9).
pub(crate) fn refreshed(update: &Request, session_expires: u32) -> Bytes {
    respond(update, Status::OK, None)
        .header(
            Name::SessionExpires,
            format_args!("{session_expires};refresher=uac"),
        )
        .finish()
}

/// Refuses a method that has no place in the dialog (RFC 3261 §8.2.1).
pub(crate) fn not_allowed(request: &Request) -> Bytes {
    respond(request, Status::METHOD_NOT_ALLOWED, None)
        .header(Name::Allow, ALLOW)
        .finish()
}

/// Accepts.
pub(crate) fn ok(request: &Request) -> Bytes {
    respond(request, Status::OK, None).finish()
}

/// `ms-diagnostics` with the ErrorId that fits (`facts/xccos.md` §1.3).
fn diagnostics(status: Status, text: &str) -> String {
    let id = match status {
        Status::SERVICE_UNAVAILABLE | Status::SERVER_TIMEOUT => 20000,
        _ => 20007,
    };
    let quoted = text.replace(['"', '\\'], "'");
    format!("{id};reason=\"{quoted}\";component=\"GroupChat\"")
}
