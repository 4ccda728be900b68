//! What is wrong with a message, and the answer that says so.

use std::borrow::Cow;
use std::fmt;

use super::headers::{HeaderError, Name};
use super::message::{Message, Method};
use super::status::Status;
use super::write::{MessageBuilder, respond_with};

/// Why a message was refused. It holds nothing of a body or of a credential, so it may be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The status a request with this fault is answered with.
    pub status: Status,
    /// The reason phrase of that answer. It tells the peer's admin what to look at (RFC 3261 §21.4.1).
    pub reason: Cow<'static, str>,
    /// For our log: what exactly was found.
    pub detail: String,
    /// Header fields the answer must carry: `Allow`, `Accept`, `Unsupported`.
    pub headers: Vec<(Name, String)>,
}

impl Fault {
    /// A fault with the status' usual phrase.
    #[must_use]
    pub fn new(status: Status, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason: Cow::Borrowed(status.phrase()),
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    /// A 400 whose reason phrase names the problem.
    #[must_use]
    pub fn bad_request(reason: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self {
            status: Status::BAD_REQUEST,
            reason: reason.into(),
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    /// The same fault, its answer carrying one more header field.
    #[must_use]
    pub fn with_header(mut self, name: Name, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The response that tells the peer, with `to_tag` put on To if it has none. `None` for what must not be answered:
    /// a response, an ACK (RFC 3261 §17.1.1.3), and a request without any Via, which nobody could match. A refused method
    /// is answered with those that are allowed.
    #[must_use]
    pub fn answer(
        &self,
        message: &Message,
        to_tag: &str,
        allowed: &[Method],
    ) -> Option<MessageBuilder> {
        let Message::Request(request) = message else {
            return None;
        };
        if *request.method() == Method::Ack || request.headers().get(Name::Via).is_none() {
            return None;
        }
        let answer = respond_with(request, self.status, &self.reason, Some(to_tag));
        let refuses_method = matches!(
            self.status,
            Status::METHOD_NOT_ALLOWED | Status::NOT_IMPLEMENTED
        );
        let says_so = self.headers.iter().any(|(name, _)| *name == Name::Allow);
        let answer = if refuses_method && !says_so {
            answer.header(Name::Allow, Method::list(allowed))
        } else {
            answer
        };
        Some(
            self.headers
                .iter()
                .fold(answer, |answer, (name, value)| answer.header(*name, value)),
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.reason, self.detail)
    }
}

impl std::error::Error for Fault {}

impl From<HeaderError> for Fault {
    fn from(error: HeaderError) -> Self {
        let header = error.header;
        let reason = if error.problem == HeaderError::TOO_LONG {
            format!("{header} header field too long")
        } else {
            format!("Malformed {header} header field")
        };
        Self::bad_request(reason, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, via: &str) -> Message {
        let text = format!(
            "{method} sip:a@example.com SIP/2.0\r\n{via}From: <sip:b@example.com>;tag=1\r\n\
             To: <sip:a@example.com>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        let mut decoder = crate::sip::Decoder::default();
        decoder.push(text.as_bytes());
        match decoder.decode() {
            crate::sip::Decoded::Message(message)
            | crate::sip::Decoded::Malformed {
                message: Some(message),
                ..
            } => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rfc3261_section_8_2_1_the_answer_carries_the_fields_of_the_fault() {
        let fault =
            Fault::new(Status::METHOD_NOT_ALLOWED, "").with_header(Name::Allow, "INFO, BYE");
        let answer = fault
            .answer(&request("PUBLISH", "Via: SIP/2.0/TCP h\r\n"), "local", &[])
            .unwrap()
            .finish();
        let answer = std::str::from_utf8(&answer).unwrap();
        assert!(
            answer.starts_with("SIP/2.0 405 Method Not Allowed\r\n"),
            "{answer}"
        );
        assert!(answer.contains("\r\nAllow: INFO, BYE\r\n"), "{answer}");
        assert!(
            answer.contains("\r\nTo: <sip:a@example.com>;tag=local\r\n"),
            "{answer}"
        );
    }

    #[test]
    fn rfc3261_section_8_2_1_whoever_refuses_a_method_says_which_are_allowed() {
        for (status, allows) in [
            (Status::NOT_IMPLEMENTED, true),
            (Status::METHOD_NOT_ALLOWED, true),
            (Status::BAD_REQUEST, false),
        ] {
            let message = request("PUBLISH", "Via: SIP/2.0/TCP h\r\n");
            let methods = [Method::Info, Method::Bye];
            let answer = Fault::new(status, "").answer(&message, "local", &methods);
            let answer = answer.unwrap().finish();
            let answer = std::str::from_utf8(&answer).unwrap();
            assert_eq!(
                answer.contains("\r\nAllow: INFO, BYE\r\n"),
                allows,
                "{answer}"
            );
        }
    }

    #[test]
    fn rfc3261_section_21_4_1_the_reason_says_what_is_wrong() {
        let fault = Fault::from(HeaderError::new(Name::From, "'<' without '>'"));
        assert_eq!(fault.reason, "Malformed From header field");
        assert_eq!(
            fault.to_string(),
            "400 Malformed From header field: From: '<' without '>'"
        );
    }

    #[test]
    fn rfc3261_section_17_1_1_3_an_ack_is_never_answered() {
        let fault = Fault::new(Status::BAD_REQUEST, "");
        assert!(
            fault
                .answer(&request("ACK", "Via: SIP/2.0/TCP h\r\n"), "t", &[])
                .is_none()
        );
        assert!(fault.answer(&request("BYE", ""), "t", &[]).is_none());
        assert!(
            fault
                .answer(&request("BYE", "Via: SIP/2.0/TCP h\r\n"), "t", &[])
                .is_some()
        );
    }
}
