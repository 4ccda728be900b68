//! A request or a response: start line, header fields, body.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::decode;
use super::fault::Fault;
use super::headers::Headers;
use super::status::Status;

macro_rules! methods {
    ($($variant:ident = $wire:literal),+ $(,)?) => {
        /// A request method. Compared byte for byte (RFC 3261 §7.1).
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = concat!("`", $wire, "`")] $variant,)+
            /// A method that nothing here knows by name.
            Other(Box<str>),
        }

        impl Method {
            /// The wire form.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $wire,)+
                    Self::Other(name) => name,
                }
            }
        }

        impl From<&str> for Method {
            fn from(text: &str) -> Self {
                match text {
                    $($wire => Self::$variant,)+
                    _ => Self::Other(text.into()),
                }
            }
        }
    };
}

methods! {
    Info = "INFO",
    Register = "REGISTER",
    Invite = "INVITE",
    Ack = "ACK",
    Bye = "BYE",
    Cancel = "CANCEL",
    Update = "UPDATE",
    Options = "OPTIONS",
    Subscribe = "SUBSCRIBE",
    Notify = "NOTIFY",
    Benotify = "BENOTIFY",
    Message = "MESSAGE",
    Service = "SERVICE",
    Publish = "PUBLISH",
    Refer = "REFER",
    Prack = "PRACK",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One message.
#[derive(Debug, Clone)]
pub enum Message {
    /// Something is asked.
    Request(Request),
    /// Something asked is answered.
    Response(Response),
}

impl Message {
    /// Reads one whole message, as a datagram or a test vector holds it: no keep-alives before it, nothing after its
    /// body.
    ///
    /// # Errors
    /// What a [`Decoder`](super::Decoder) with default limits finds wrong with it, or that it is not exactly one message.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        decode::one_message(bytes)
    }

    /// The header fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => request.headers(),
            Self::Response(response) => response.headers(),
        }
    }

    /// The body. Empty if there is none.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        match self {
            Self::Request(request) => request.body(),
            Self::Response(response) => response.body(),
        }
    }

    pub(super) const fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Self::Request(request) => &mut request.headers,
            Self::Response(response) => &mut response.headers,
        }
    }

    pub(super) fn set_body(&mut self, bytes: Bytes) {
        match self {
            Self::Request(request) => request.body = bytes,
            Self::Response(response) => response.body = bytes,
        }
    }
}

/// A request.
#[derive(Clone)]
pub struct Request {
    method: Method,
    /// Where in the head's text the Request-URI stands.
    uri: Range<u32>,
    headers: Headers,
    body: Bytes,
    /// Where it came from, if its top Via does not say so.
    received: Option<Box<str>>,
}

impl Request {
    pub(super) const fn new(method: Method, uri: Range<u32>, headers: Headers) -> Self {
        Self {
            method,
            uri,
            headers,
            body: Bytes::new(),
            received: None,
        }
    }

    /// Notes the IP address that the request came from. Where its top Via names another, or a name, answers say so in that
    /// Via: RFC 3261 §18.2.1 demands it of every server.
    pub fn came_from(&mut self, address: &str) {
        let top = self.headers.vias().next().and_then(Result::ok);
        let is_told = top.is_none_or(|via| {
            via.host().as_str() == address || via.params().get("received").is_some()
        });
        if !is_told {
            self.received = Some(address.into());
        }
    }

    /// Where it came from, if answers must say so.
    pub(super) fn received(&self) -> Option<&str> {
        self.received.as_deref()
    }

    /// What is asked.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI as it was on the wire.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.headers.text(&self.uri)
    }

    /// The header fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The body. Empty if there is none.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Message text and credentials must not reach a log by way of a `{:?}`: names of header fields only.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("uri", &self.uri())
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// A response.
#[derive(Clone)]
pub struct Response {
    status: Status,
    /// Where in the head's text the reason phrase stands.
    reason: Range<u32>,
    headers: Headers,
    body: Bytes,
}

impl Response {
    pub(super) const fn new(status: Status, reason: Range<u32>, headers: Headers) -> Self {
        Self {
            status,
            reason,
            headers,
            body: Bytes::new(),
        }
    }

    /// The status code.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The reason phrase as it was on the wire. May be empty.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.headers.text(&self.reason)
    }

    /// The header fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The body. Empty if there is none.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::from("INFO"), Method::Info);
        assert_eq!(Method::from("Info"), Method::Other("Info".into()));
        assert_eq!(Method::from("Info").as_str(), "Info");
    }

    #[test]
    fn debug_output_holds_no_body_and_no_credential() {
        let text = "MESSAGE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nFrom: <sip:b@example.com>;tag=1\r\n\
                    To: <sip:a@example.com>\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\nAuthorization: Digest canary\r\n\
                    Content-Type: text/plain\r\nContent-Length: 6\r\n\r\ncanary";
        let message = Message::parse(text.as_bytes()).unwrap();
        let shown = format!("{message:?}");
        assert!(shown.contains("Authorization"), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
