//! A request or a response: start line, header fields, body.

use core::net::{IpAddr, SocketAddr};
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

        impl Method {
            /// A list as header fields have it: `INFO, BYE`.
            #[must_use]
            pub fn list(methods: &[Self]) -> String {
                let names: Vec<&str> = methods.iter().map(Self::as_str).collect();
                names.join(", ")
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

    /// [`Request::came_from`], if it is a request.
    pub fn came_from(&mut self, peer: SocketAddr) {
        if let Self::Request(request) = self {
            request.came_from(peer);
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

/// Where a request came from, as far as its top Via does not say so.
#[derive(Clone, Copy)]
pub(super) struct Source {
    /// For `received`.
    pub(super) received: Option<IpAddr>,
    /// For `rport`, which is there without a value.
    pub(super) port: Option<u16>,
}

/// A request.
#[derive(Clone)]
pub struct Request {
    method: Method,
    /// Where in the head's text the Request-URI stands.
    uri: Range<u32>,
    headers: Headers,
    body: Bytes,
    /// What answers have to add to the top Via. Boxed: most requests have nothing of it.
    source: Option<Box<Source>>,
}

impl Request {
    pub(super) const fn new(method: Method, uri: Range<u32>, headers: Headers) -> Self {
        Self {
            method,
            uri,
            headers,
            body: Bytes::new(),
            source: None,
        }
    }

    /// Notes the address and port that the request came from. Answers say so in the top Via where that names another
    /// address, or a name, as RFC 3261 §18.2.1 demands of every server; and where it asks for it by an empty `rport`
    /// (RFC 3581 §4).
    pub fn came_from(&mut self, peer: SocketAddr) {
        let Some(Ok(via)) = self.headers.vias().next() else {
            return;
        };
        let address = peer.ip().to_canonical();
        let asks = via.params().get("rport").is_some_and(str::is_empty);
        let is_told = via.host().as_ip() == Some(address);
        // Nobody but this server has a reason to write it, so what stands there stays.
        let is_written = via.params().get("received").is_some();
        let received = ((asks || !is_told) && !is_written).then_some(address);
        let port = asks.then_some(peer.port());
        if received.is_some() || port.is_some() {
            self.source = Some(Box::new(Source { received, port }));
        }
    }

    /// What answers have to add to the top Via.
    pub(super) fn source(&self) -> Option<&Source> {
        self.source.as_deref()
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
