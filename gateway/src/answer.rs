//! The responses that a server gives: listeners, sessions and legs to pools.

use bytes::Bytes;
use holdover_protocol::sip::call::{Terms, WithoutOffer, with_description};
use holdover_protocol::sip::dialog::Dialog;
use holdover_protocol::sip::session_timer::{Policy, Proposal};
use holdover_protocol::sip::{
    Fault, MessageBuilder, Method, Name, Request, Status, respond, respond_with,
};

use crate::peer::Attachment;

/// What is understood where there are calls, and no registrations.
pub(crate) const METHODS: &[Method] = &[
    Method::Invite,
    Method::Ack,
    Method::Cancel,
    Method::Bye,
    Method::Info,
    Method::Update,
    Method::Options,
];

/// What lookup and channel dialogs understand.
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
    let timer = agree_on_timer(invite, session_expires, Some(tag))?;
    let address = &attachment.sent_by.address;
    let accepted = respond(invite, Status::OK, Some(tag))
        .record_routes_from(invite)
        .header(Name::Contact, attachment.contact(invite.uri()))
        .header(Name::Allow, ALLOW);
    let accepted = timer.put_on(accepted);
    match with_description(accepted, invite, address, WithoutOffer::Nothing) {
        Ok(accepted) => Ok((dialog, accepted.finish())),
        Err(unreadable) => Err(refuse(
            invite,
            Status::NOT_ACCEPTABLE_HERE,
            Some(&unreadable.to_string()),
            Some(tag),
        )),
    }
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

/// Refuses a request for so many seconds.
pub(crate) fn refuse_for(request: &Request, seconds: u64, text: &str, tag: &str) -> Bytes {
    let status = Status::SERVICE_UNAVAILABLE;
    let diagnostics = diagnostics(status, text);
    respond(request, status, Some(tag))
        .header(Name::MsDiagnostics, &diagnostics)
        .header(Name::MsDiagnosticsPublic, &diagnostics)
        .header(Name::RetryAfter, seconds)
        .finish()
}

/// Refuses a sign-in by rule. `retry_after` are seconds: 503 makes real clients try again by themselves, 403 does not.
pub(crate) fn turned(register: &Request, text: &str, retry_after: Option<u32>, tag: &str) -> Bytes {
    let status = match retry_after {
        Some(_) => Status::SERVICE_UNAVAILABLE,
        None => Status::FORBIDDEN,
    };
    let diagnostics = diagnostics(status, text);
    let refusal = respond(register, status, Some(tag))
        .header(Name::MsDiagnostics, &diagnostics)
        .header(Name::MsDiagnosticsPublic, &diagnostics);
    match retry_after {
        Some(seconds) => refusal.header(Name::RetryAfter, seconds).finish(),
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

/// Answers a session refresh (RFC 4028 §9). Where the client reached us is our Contact, which RFC 3311 §5.2 wants.
pub(crate) fn refreshed(update: &Request, session_expires: u32) -> Bytes {
    match agree_on_timer(update, session_expires, None) {
        Ok(timer) => {
            let accepted = respond(update, Status::OK, None)
                .header(Name::Contact, format_args!("<{}>", update.uri()));
            timer.put_on(accepted).finish()
        }
        Err(refused) => refused,
    }
}

/// What a 200 says of the session timer. The client refreshes, whatever it asked for: a legacy client must never be sent an
/// UPDATE.
#[derive(Clone, Copy)]
struct Timer {
    seconds: u32,
    /// The client knows the timer, and RFC 4028 §9 wants it told that it has to keep it. Others are told of it all the same;
    /// one that is not there does not hurt them.
    require: bool,
}

impl Timer {
    fn put_on(self, accepted: MessageBuilder) -> MessageBuilder {
        let expires = format_args!("{};refresher=uac", self.seconds);
        let accepted = accepted.header(Name::SessionExpires, expires);
        if self.require {
            accepted.header(Name::Require, "timer")
        } else {
            accepted
        }
    }
}

/// The interval is at most the one that was asked for.
fn agree_on_timer(
    request: &Request,
    session_expires: u32,
    tag: Option<&str>,
) -> Result<Timer, Bytes> {
    let proposal = Proposal::of(request).map_err(|error| fault(request, &error.into(), tag))?;
    let timer = |seconds| Timer {
        seconds,
        require: proposal.supported,
    };
    if proposal.expires.is_none() {
        // Nothing to agree on: the interval is ours, and the configuration keeps it within RFC 4028 §4.
        return Ok(timer(session_expires));
    }
    let policy = Policy::new(session_expires, 0);
    let terms = Terms::of(request, policy).map_err(|refused| fault(request, &refused, tag))?;
    Ok(timer(terms.expires.seconds))
}

/// Refuses a method that has no place in the dialog (RFC 3261 §8.2.1). A second INVITE has one, but there is nothing that
/// it could change (§14.2).
pub(crate) fn not_allowed(request: &Request) -> Bytes {
    if *request.method() == Method::Invite {
        return respond(request, Status::NOT_ACCEPTABLE_HERE, None).finish();
    }
    respond(request, Status::METHOD_NOT_ALLOWED, None)
        .header(Name::Allow, ALLOW)
        .finish()
}

/// Accepts.
pub(crate) fn ok(request: &Request) -> Bytes {
    respond(request, Status::OK, None).finish()
}

/// A response without more than a response needs. `tag` goes on a To that has none.
pub(crate) fn plain(request: &Request, status: Status, tag: Option<&str>) -> Bytes {
    respond(request, status, tag).finish()
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

#[cfg(test)]
mod tests {
    use holdover_protocol::sip::Message;

    use super::*;

    fn answer_to(method: &str, lines: &str) -> String {
        let text = format!(
            "{method} sip:channel@contoso.com;transport=tcp SIP/2.0\r\nVia: SIP/2.0/tcp 192.0.2.7\r\n\
             From: <sip:ann@contoso.com>;tag=1\r\nTo: <sip:channel@contoso.com>;tag=l\r\n\
             Call-ID: call\r\nCSeq: 2 {method}\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        let Ok(Message::Request(request)) = Message::parse(text.as_bytes()) else {
            panic!("no request: {text}");
        };
        let answer = match method {
            "UPDATE" => refreshed(&request, 1800),
            _ => not_allowed(&request),
        };
        String::from_utf8(answer.to_vec()).unwrap()
    }

    #[test]
    fn rfc4028_9_an_interval_is_never_longer_than_was_asked_for() {
        for (lines, expected) in [
            ("", "1800;refresher=uac"),
            ("Session-Expires: 600\r\n", "600;refresher=uac"),
            ("Session-Expires: 9000\r\n", "1800;refresher=uac"),
        ] {
            let answer = answer_to("UPDATE", lines);
            assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
            let expires = format!("\r\nSession-Expires: {expected}\r\n");
            assert!(answer.contains(&expires), "{answer}");
            let contact = "\r\nContact: <sip:channel@contoso.com;transport=tcp>\r\n";
            assert!(answer.contains(contact), "{answer}");
            assert!(!answer.contains("Require"), "{answer}");
        }
        // Whoever knows the timer must be told to keep it, whatever it proposes.
        for lines in [
            "",
            "Session-Expires: 600\r\n",
            "Session-Expires: 600;refresher=uas\r\n",
        ] {
            let answer = answer_to("UPDATE", &format!("Supported: 100rel, timer\r\n{lines}"));
            assert!(answer.contains(";refresher=uac\r\n"), "{answer}");
            assert!(answer.contains("\r\nRequire: timer\r\n"), "{answer}");
        }
        let short = answer_to("UPDATE", "Supported: timer\r\nSession-Expires: 30\r\n");
        assert!(short.starts_with("SIP/2.0 422 "), "{short}");
        assert!(short.contains("\r\nMin-SE: 90\r\n"), "{short}");
    }

    #[test]
    fn rfc3261_14_2_a_second_invite_changes_nothing() {
        assert!(answer_to("INVITE", "").starts_with("SIP/2.0 488 "));
        assert!(answer_to("OPTIONS", "").starts_with("SIP/2.0 405 "));
    }
}
