//! What both sides agree on when an INVITE or UPDATE is accepted: the session timer, and what is talked about.

use crate::sip::fault::Fault;
use crate::sip::headers::{Name, SessionExpires};
use crate::sip::message::{Method, Request};
use crate::sip::sdp::{self, SdpError};
use crate::sip::session_timer::{Agreement, Policy, Proposal};
use crate::sip::status::Status;
use crate::sip::write::MessageBuilder;

/// What a 2xx says of the session timer (RFC 4028 §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The interval in seconds, and who refreshes.
    pub expires: SessionExpires,
    /// Whether the other side must keep to it: it knows the timer, and refreshes.
    pub require: bool,
}

impl Terms {
    /// The terms for a request that proposes some, or none.
    ///
    /// # Errors
    ///
    /// 422 with Min-SE for too short an interval, 400 if the proposal cannot be read.
    pub fn of(request: &Request, policy: Policy) -> Result<Self, Fault> {
        match policy.answer(&Proposal::of(request)?) {
            Agreement::Timer { expires, require } => Ok(Self { expires, require }),
            Agreement::TooSmall { min_se } => {
                let status = Status::SESSION_INTERVAL_TOO_SMALL;
                let fault = Fault::new(status, "the session interval is too small");
                Err(fault.with_header(Name::MinSe, min_se.to_string()))
            }
        }
    }

    /// Writes them on a response.
    #[must_use]
    pub fn put_on(self, accepted: MessageBuilder) -> MessageBuilder {
        let accepted = accepted
            .header(Name::Supported, "timer")
            .header(Name::SessionExpires, self.expires);
        match self.require {
            true => accepted.header(Name::Require, "timer"),
            false => accepted,
        }
    }
}

/// What an INVITE without an offer is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutOffer {
    /// Nothing: there is nothing to answer (RFC 3264 §4).
    Nothing,
    /// An offer of this side (RFC 3261 §14.2).
    Offer,
}

/// Writes the session description that belongs on the 2xx to `request`: the answer to its offer, if it is an INVITE.
/// `address` is this side's, as [`sdp::answer`] wants it.
///
/// # Errors
///
/// Why the offer has no answer.
pub fn with_description(
    accepted: MessageBuilder,
    request: &Request,
    address: &str,
    without: WithoutOffer,
) -> Result<MessageBuilder, SdpError> {
    const SDP: &str = "application/sdp";
    let has_offer = !request.body().is_empty();
    Ok(match (request.method(), without) {
        (Method::Invite, _) if has_offer => {
            accepted.body(SDP, sdp::answer(request.body(), address)?.as_bytes())
        }
        (Method::Invite, WithoutOffer::Offer) => accepted.body(SDP, sdp::offer(address).as_bytes()),
        _ => accepted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;
    use crate::sip::write::respond;

    fn request(method: &str, lines: &str, body: &str) -> Request {
        let text = format!(
            "{method} sip:c@contoso.com SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.7\r\n\
             From: <sip:a@contoso.com>;tag=1\r\nTo: <sip:c@contoso.com>;tag=2\r\nCall-ID: x\r\n\
             CSeq: 2 {method}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let Message::Request(request) = Message::parse(text.as_bytes()).unwrap() else {
            panic!("not a request");
        };
        request
    }

    #[test]
    fn rfc4028_9_terms_are_written_as_they_were_agreed() {
        let policy = Policy::new(1800, 90);
        let timer = "Supported: timer\r\nSession-Expires: 600\r\n";
        for (lines, expires, require) in [("", 1800, false), (timer, 600, true)] {
            let update = request("UPDATE", lines, "");
            let terms = Terms::of(&update, policy).unwrap();
            let answer = terms.put_on(respond(&update, Status::OK, None)).finish();
            let answer = std::str::from_utf8(&answer).unwrap();
            let expires = format!("\r\nSession-Expires: {expires};refresher=uac\r\n");
            assert!(answer.contains(&expires), "{answer}");
            assert_eq!(
                answer.contains("\r\nRequire: timer\r\n"),
                require,
                "{answer}"
            );
        }
        let short = request("UPDATE", "Supported: timer\r\nSession-Expires: 30\r\n", "");
        let fault = Terms::of(&short, policy).unwrap_err();
        assert_eq!(fault.status, Status::SESSION_INTERVAL_TOO_SMALL);
        assert_eq!(fault.headers, [(Name::MinSe, "90".to_owned())]);
    }

    #[test]
    fn rfc3264_4_an_offer_is_answered_and_none_is_not_unless_one_is_to_be_made() {
        let described = |method: &str, body: &str, without| {
            let request = request(method, "Content-Type: application/sdp\r\n", body);
            let accepted = respond(&request, Status::OK, None);
            let accepted = with_description(accepted, &request, "192.0.2.1", without);
            accepted.map(|accepted| {
                let accepted = accepted.finish();
                std::str::from_utf8(&accepted)
                    .unwrap()
                    .contains("\r\nm=message ")
            })
        };
        let offer = sdp::offer("192.0.2.7");
        for (method, body, without, has) in [
            ("INVITE", &*offer, WithoutOffer::Nothing, true),
            ("INVITE", "", WithoutOffer::Nothing, false),
            ("INVITE", "", WithoutOffer::Offer, true),
            ("UPDATE", "", WithoutOffer::Offer, false),
        ] {
            assert_eq!(
                described(method, body, without),
                Ok(has),
                "{method} {without:?}"
            );
        }
        let unreadable = described("INVITE", "v=1", WithoutOffer::Nothing);
        assert_eq!(unreadable, Err(SdpError::Malformed));
    }
}
