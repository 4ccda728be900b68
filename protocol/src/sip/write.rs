//! Building messages.

use std::fmt::{self, Display, Write};

use bytes::Bytes;
use memchr::memchr3;

use super::grammar::TOKEN;
use super::headers::Name;
use super::message::{Method, Request};
use super::status::Status;

/// Writes one message, fields in the order of the calls.
///
/// Nothing that is put in can add a line: CR, LF and NUL in a value become blanks. Content-Length is always written, and
/// always right.
#[derive(Debug, Clone)]
pub struct MessageBuilder {
    head: String,
    body: Vec<u8>,
}

/// Room for the head of an ordinary message, so that it is seldom moved.
const USUAL_HEAD: usize = 640;

impl MessageBuilder {
    /// Starts a request.
    #[must_use]
    pub fn request(method: &Method, uri: &str) -> Self {
        let mut builder = Self::empty();
        builder.start_part(method.as_str());
        builder.head.push(' ');
        builder.start_part(uri);
        builder.head.push_str(" SIP/2.0\r\n");
        builder
    }

    /// Starts a response, with the status' usual phrase where no reason is given.
    #[must_use]
    pub fn response(status: Status, reason: Option<&str>) -> Self {
        let mut builder = Self::empty();
        // Real clients jam on an empty reason phrase.
        let reason = reason
            .filter(|reason| !reason.is_empty())
            .unwrap_or_else(|| status.phrase());
        builder.head.push_str("SIP/2.0 ");
        builder.value(&status);
        builder.head.push(' ');
        builder.value(&reason);
        builder.head.push_str("\r\n");
        builder
    }

    fn empty() -> Self {
        Self {
            head: String::with_capacity(USUAL_HEAD),
            body: Vec::new(),
        }
    }

    /// Adds a field. `Name::Other` has no text: use [`other`](Self::other).
    #[must_use]
    pub fn header(mut self, name: Name, value: impl Display) -> Self {
        self.head.push_str(name.as_str());
        self.field_value(&value);
        self
    }

    /// Adds a field by the text of its name. What no name can hold becomes `-`.
    #[must_use]
    pub fn other(mut self, name: &str, value: impl Display) -> Self {
        self.head.extend(name.chars().map(|letter| {
            let is_token = u8::try_from(letter).is_ok_and(|byte| TOKEN.has(byte));
            if is_token { letter } else { '-' }
        }));
        self.field_value(&value);
        self
    }

    /// Copies the Record-Route fields of the request that is answered, as a response that makes a dialog must
    /// (RFC 3261 §12.1.1).
    #[must_use]
    pub fn record_routes_from(self, request: &Request) -> Self {
        request
            .headers()
            .all(Name::RecordRoute)
            .fold(self, |builder, value| {
                builder.header(Name::RecordRoute, value)
            })
    }

    /// Sets the body and writes its Content-Type. A second body replaces the first but not its Content-Type: there is
    /// one call for a message.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.header(Name::ContentType, content_type)
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let length = self.body.len();
        let builder = self.header(Name::ContentLength, length);
        let mut message = builder.head.into_bytes();
        message.reserve_exact(2 + length);
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(&builder.body);
        message.into()
    }

    /// A part of the start line, where even a blank would begin the next part.
    fn start_part(&mut self, text: &str) {
        self.head.extend(
            text.chars()
                .map(|letter| if letter <= ' ' { '_' } else { letter }),
        );
    }

    fn field_value(&mut self, value: &impl Display) {
        self.head.push_str(": ");
        self.value(value);
        self.head.push_str("\r\n");
    }

    fn value(&mut self, value: &impl Display) {
        // Only a `Display` that fails by itself can fail here; the field is then cut short, never unsafe.
        write!(OneLine(&mut self.head), "{value}").unwrap_or_default();
    }
}

/// Takes text and lets no line end in it through.
struct OneLine<'a>(&'a mut String);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((line, after)) = memchr3(b'\r', b'\n', b'\0', rest.as_bytes())
            .and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?)))
        {
            self.0.push_str(line);
            self.0.push(' ');
            rest = after;
        }
        self.0.push_str(rest);
        Ok(())
    }
}

/// Starts the response to `request`: Via, From, To, Call-ID and CSeq as RFC 3261 §8.2.6.2 has them. `to_tag` is put on To
/// if it has no tag; leave it out only for a 100.
#[must_use]
pub fn respond(request: &Request, status: Status, to_tag: Option<&str>) -> MessageBuilder {
    respond_with(request, status, status.phrase(), to_tag)
}

/// [`respond`] with a reason phrase of one's own.
#[must_use]
pub fn respond_with(
    request: &Request,
    status: Status,
    reason: &str,
    to_tag: Option<&str>,
) -> MessageBuilder {
    let headers = request.headers();
    // A To that cannot be read goes back as it came: a tag might land inside of an open quoted string.
    let to_tag = to_tag.filter(|_| headers.to().is_ok_and(|to| to.tag().is_none()));
    headers.fields().fold(
        MessageBuilder::response(status, Some(reason)),
        |builder, (name, value)| match (name, to_tag) {
            (Name::To, Some(tag)) => builder.header(name, format_args!("{value};tag={tag}")),
            (Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq, _) => {
                builder.header(name, value)
            }
            _ => builder,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    const INVITE: &str = "INVITE sip:channel@contoso.com SIP/2.0\r\n\
        v: SIP/2.0/tcp 10.0.0.5:50123\r\n\
        Record-Route: <sip:p1.contoso.com;lr>\r\n\
        Via: SIP/2.0/TCP edge.contoso.com;branch=z9hG4bK1\r\n\
        f: <sip:alice@contoso.com>;tag=7;epid=0123456789ab\r\n\
        t: <sip:channel@contoso.com>\r\n\
        i: call\r\n\
        Record-Route: <sip:p2.contoso.com;lr>\r\n\
        CSeq: 1 INVITE\r\n\
        Subject: not copied\r\n\
        l: 0\r\n\r\n";

    fn invite() -> Request {
        match Message::parse(INVITE.as_bytes()).unwrap() {
            Message::Request(request) => request,
            Message::Response(_) => panic!("a response"),
        }
    }

    fn text(builder: MessageBuilder) -> String {
        String::from_utf8(builder.finish().to_vec()).unwrap()
    }

    #[test]
    fn a_request_as_it_goes_out() {
        let written = MessageBuilder::request(&Method::Info, "sip:alice@contoso.com")
            .header(Name::MaxForwards, 70)
            .header(Name::CSeq, format_args!("{} {}", 2, Method::Info))
            .other("X-Holdover", "é")
            .body("text/plain", "é".as_bytes());
        assert_eq!(
            text(written),
            "INFO sip:alice@contoso.com SIP/2.0\r\nMax-Forwards: 70\r\nCSeq: 2 INFO\r\nX-Holdover: é\r\n\
             Content-Type: text/plain\r\nContent-Length: 2\r\n\r\né"
        );
    }

    #[test]
    fn rfc3261_section_8_2_6_2_what_a_response_copies() {
        let response = respond(&invite(), Status::OK, Some("local")).record_routes_from(&invite());
        assert_eq!(
            text(response),
            "SIP/2.0 200 OK\r\n\
             Via: SIP/2.0/tcp 10.0.0.5:50123\r\n\
             Via: SIP/2.0/TCP edge.contoso.com;branch=z9hG4bK1\r\n\
             From: <sip:alice@contoso.com>;tag=7;epid=0123456789ab\r\n\
             To: <sip:channel@contoso.com>;tag=local\r\n\
             Call-ID: call\r\n\
             CSeq: 1 INVITE\r\n\
             Record-Route: <sip:p1.contoso.com;lr>\r\n\
             Record-Route: <sip:p2.contoso.com;lr>\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_tag_that_is_there_stays() {
        let tagged = INVITE.replace(
            "t: <sip:channel@contoso.com>",
            "t: <sip:channel@contoso.com>;tag=old",
        );
        let Ok(Message::Request(request)) = Message::parse(tagged.as_bytes()) else {
            panic!("no request");
        };
        let response = text(respond(&request, Status::OK, Some("new")));
        assert!(
            response.contains("tag=old\r\n") && !response.contains("new"),
            "{response}"
        );
        let trying = text(respond(&invite(), Status::TRYING, None));
        assert!(
            trying.contains("To: <sip:channel@contoso.com>\r\n"),
            "{trying}"
        );
    }

    #[test]
    fn no_value_adds_a_line_and_no_uri_a_part() {
        let written = text(
            MessageBuilder::request(&Method::Other("A B".into()), "sip:a SIP/2.0\r\nX: y")
                .header(Name::Subject, "a\r\nInjected: b\0c\n\nd")
                .other("X\r\nY: z", "v")
                .body("text/plain\r\nZ: z", b""),
        );
        assert_eq!(
            written,
            "A_B sip:a_SIP/2.0__X:_y SIP/2.0\r\nSubject: a  Injected: b c  d\r\nX--Y--z: v\r\n\
             Content-Type: text/plain  Z: z\r\nContent-Length: 0\r\n\r\n"
        );
        let written = text(MessageBuilder::response(Status::OK, Some("a\r\nb")));
        assert!(written.starts_with("SIP/2.0 200 a  b\r\n"), "{written}");
    }

    #[test]
    fn real_clients_jam_on_an_empty_reason() {
        let written = text(MessageBuilder::response(Status::FORBIDDEN, Some("")));
        assert!(
            written.starts_with("SIP/2.0 403 Forbidden\r\n"),
            "{written}"
        );
    }
}
