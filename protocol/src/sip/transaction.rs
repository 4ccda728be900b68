//! What requests and responses are matched by (RFC 3261 §17), and how long to wait for one.
//!
//! All transports here are reliable, so nothing is ever sent again and a transaction needs no timer but its end.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::dialog::address_of_record;
use super::headers::{HeaderError, Headers, Name};
use super::message::{Method, Request, Response};

/// How long a request waits for its final response: 64 × T1 (RFC 3261 §17.1.2.2, timer F).
pub const TIMEOUT: Duration = Duration::from_secs(32);

/// Identifies a received request among all of one connection, so that a repetition of it is recognised.
///
/// RFC 3261 §17.2.3 matches by the branch of the topmost Via. Real clients send none inside a dialog, and one may have
/// the same as another user's client, so Call-ID, CSeq and the sender's address, tag and endpoint identifier count as
/// well. So do credentials: a client answers a challenge with the same branch and CSeq, and that is a new request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionKey {
    text: Box<str>,
    cseq: u32,
    credentials: u64,
}

impl TransactionKey {
    /// The key of a request.
    ///
    /// # Errors
    ///
    /// From, Call-ID, CSeq or the topmost Via is missing or malformed.
    pub fn of(request: &Request) -> Result<Self, HeaderError> {
        let headers = request.headers();
        let from = headers.from()?;
        let via = headers.vias().next().transpose()?;
        let parts = [
            request.method().as_str(),
            &address_of_record(from.uri_text()).to_ascii_lowercase(),
            from.tag().unwrap_or_default(),
            from.epid().unwrap_or_default(),
            headers.call_id()?,
            via.and_then(|via| via.branch()).unwrap_or_default(),
        ];
        Ok(Self {
            // No header value holds a line feed.
            text: parts.join("\n").into(),
            cseq: headers.cseq()?.number,
            credentials: credentials_mark(headers),
        })
    }
}

/// A number that differs between requests with different credentials, as far as chance goes; 0 without any.
pub(super) fn credentials_mark(headers: &Headers) -> u64 {
    let names = [Name::Authorization, Name::ProxyAuthorization];
    if names.iter().all(|&name| headers.get(name).is_none()) {
        return 0;
    }
    let values = names.iter().flat_map(|&name| headers.all(name));
    let mut hasher = DefaultHasher::new();
    values.for_each(|value| value.hash(&mut hasher));
    hasher.finish()
}

/// A request that was sent in a dialog and waits for its final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTransaction {
    method: Method,
    cseq: u32,
    sent_at: Instant,
}

impl ClientTransaction {
    /// Starts waiting. `cseq` is the number the request went out with
    /// ([`Dialog::local_cseq`](super::dialog::Dialog::local_cseq)).
    pub fn new(method: Method, cseq: u32, sent_at: Instant) -> Self {
        Self {
            method,
            cseq,
            sent_at,
        }
    }

    /// Whether a response of the same dialog is to this request. Provisional ones are too, and end nothing.
    ///
    /// # Errors
    ///
    /// CSeq is missing or malformed.
    pub fn is_answered_by(&self, response: &Response) -> Result<bool, HeaderError> {
        let cseq = response.headers().cseq()?;
        Ok(cseq.number == self.cseq && cseq.method == self.method)
    }

    /// When the request was sent.
    pub fn sent_at(&self) -> Instant {
        self.sent_at
    }

    /// When to stop waiting; the outcome counts as 408 then (RFC 3261 §8.1.3.1). Some clients leave an INFO without any
    /// answer for ever.
    pub fn deadline(&self) -> Instant {
        self.sent_at + TIMEOUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    const REGISTER: &str = "REGISTER sip:contoso.com SIP/2.0\r\n\
        Via: SIP/2.0/tcp 192.0.2.7:50123;branch=z9hG4bK1A2B\r\n\
        From: <sip:alice@contoso.com>;tag=12345;epid=0123456789ab\r\n\
        To: <sip:alice@contoso.com>\r\n\
        Call-ID: 6B8B4567g327Ba23C8i\r\n\
        CSeq: 1 REGISTER\r\n\
        Content-Length: 0\r\n\r\n";

    fn key(text: &str) -> TransactionKey {
        let Message::Request(request) = Message::parse(text.as_bytes()).unwrap() else {
            panic!("not a request: {text}");
        };
        TransactionKey::of(&request).unwrap()
    }

    fn with(header: &str) -> String {
        REGISTER.replace("Content-Length", &format!("{header}\r\nContent-Length"))
    }

    #[test]
    fn a_repetition_has_the_same_key() {
        assert_eq!(key(REGISTER), key(REGISTER));
        assert_eq!(
            key(REGISTER),
            key(&REGISTER.replace("alice@contoso", "Alice@Contoso"))
        );
    }

    #[test]
    fn fact_same_cseq_and_branch_with_new_credentials_is_a_new_request() {
        let first = with("Proxy-Authorization: Digest response=\"1\"");
        let second = with("Proxy-Authorization: Digest response=\"2\"");
        assert_ne!(key(REGISTER), key(&first));
        assert_ne!(key(&first), key(&second));
        assert_eq!(key(&first), key(&first));
    }

    #[test]
    fn fact_two_users_clients_of_one_second_differ_in_nothing_but_from() {
        let bob = REGISTER.replace("From: <sip:alice@", "From: <sip:bob@");
        assert_ne!(key(REGISTER), key(&bob));
        assert_ne!(key(REGISTER), key(&REGISTER.replace("89ab", "89ac")));
    }

    #[test]
    fn rfc3261_17_2_3_branch_cseq_and_method_tell_requests_apart() {
        for (old, new) in [
            ("1A2B", "1A2C"),
            ("CSeq: 1 ", "CSeq: 2 "),
            ("REGISTER", "SUBSCRIBE"),
            ("tag=12345", "tag=12346"),
            ("6B8B", "6B8C"),
        ] {
            assert_ne!(key(REGISTER), key(&REGISTER.replace(old, new)), "{old}");
        }
    }

    #[test]
    fn fact_via_without_a_branch_is_no_fault() {
        let bare = REGISTER.replace(";branch=z9hG4bK1A2B", "");
        assert_eq!(key(&bare), key(&bare));
        assert_ne!(key(&bare), key(&bare.replace("CSeq: 1 ", "CSeq: 2 ")));
    }

    #[test]
    fn rfc3261_17_1_3_response_is_matched_by_number_and_method() {
        let now = Instant::now();
        let sent = ClientTransaction::new(Method::Info, 7, now);
        let answered = |cseq: &str| {
            let text = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1\r\n\
                 From: <sip:c@contoso.com>;tag=1\r\nTo: <sip:alice@contoso.com>;tag=2\r\n\
                 Call-ID: x\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
            );
            let Message::Response(response) = Message::parse(text.as_bytes()).unwrap() else {
                panic!("not a response");
            };
            sent.is_answered_by(&response).unwrap()
        };
        assert!(answered("7 INFO"));
        assert!(!answered("8 INFO"));
        assert!(!answered("7 BYE"));
        assert_eq!(sent.deadline(), now + Duration::from_secs(32));
    }
}
