//! Building messages.

use std::fmt::{self, Display, Write};

use super::grammar::{self, TOKEN};
use super::headers::{Name, Via};
use super::message::{Method, Request, Source};
use super::status::Status;
use bytes::Bytes;
use memchr::memmem;

/// Writes one message, fields in the order of the calls.
///
/// Nothing that is put in can add a line: CR, LF and NUL in a value become blanks. Content-Length is always written, and
/// always right.
#[derive(Debug, Clone)]
pub struct MessageBuilder {
    /// UTF-8, as all that is put in is.
    head: Vec<u8>,
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
        builder.push(" ");
        builder.start_part(uri);
        builder.push(" SIP/2.0\r\n");
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
        builder.push("SIP/2.0 ");
        builder.number(status.code().into());
        builder.push(" ");
        builder.one_line(&[reason]);
        builder
    }

    /// Opens a message again that a builder printed, so that fields can be added behind those it has. `None`: none did.
    #[must_use]
    pub fn reopen(printed: &[u8]) -> Option<Self> {
        let end = memmem::find(printed, b"\r\n\r\n")?;
        let (head, body) = printed.split_at_checked(end + 4)?;
        // The length is written last, always.
        let start = memmem::rfind(head, Name::ContentLength.line_start().as_bytes())?;
        Some(Self {
            head: head.get(..start)?.to_vec(),
            body: body.to_vec(),
        })
    }

    fn empty() -> Self {
        Self {
            head: Vec::with_capacity(USUAL_HEAD),
            body: Vec::new(),
        }
    }

    /// Adds a field. `Name::Other` has no text: use [`other`](Self::other).
    #[must_use]
    pub fn header(mut self, name: Name, value: impl Display) -> Self {
        self.push(name.line_start());
        self.field_value(&value);
        self
    }

    /// Adds a field whose value is these texts behind each other. Does the same as [`header`](Self::header), at a fifth
    /// of its cost: every message has several of them.
    #[must_use]
    pub fn text(mut self, name: Name, parts: &[&str]) -> Self {
        self.put(name, parts);
        self
    }

    /// What [`text`](Self::text) does, without handing the builder on.
    pub(super) fn put(&mut self, name: Name, parts: &[&str]) {
        self.push(name.line_start());
        self.one_line(parts);
    }

    /// Adds a Via field with what its top hop lacks.
    fn put_via(&mut self, value: &str, source: &Source) {
        // One field may hold several hops; the first is the top one.
        let top = grammar::elements(value).next().unwrap_or_default();
        let rest = value.strip_prefix(top).unwrap_or_default();
        let (until_port, behind_port) = top.split_at(end_of_rport(top).unwrap_or(top.len()));
        let port = source.port.map(|port| format!("={port}"));
        let received = source.received.map(|at| format!(";received={at}"));
        let parts = [
            until_port,
            port.as_deref().unwrap_or_default(),
            behind_port,
            received.as_deref().unwrap_or_default(),
            rest,
        ];
        self.put(Name::Via, &parts);
    }

    /// Adds a field by the text of its name. What no name can hold becomes `-`.
    #[must_use]
    pub fn other(mut self, name: &str, value: impl Display) -> Self {
        self.head.extend(name.chars().map(|letter| {
            let byte = u8::try_from(letter).ok();
            byte.filter(|byte| TOKEN.has(*byte)).unwrap_or(b'-')
        }));
        self.push(": ");
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
                builder.text(Name::RecordRoute, &[value])
            })
    }

    /// Sets the body and writes its Content-Type. A second body replaces the first but not its Content-Type: there is
    /// one call for a message.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.text(Name::ContentType, &[content_type])
    }

    /// The message.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        let body = std::mem::take(&mut self.body);
        self.end(&body)
    }

    /// The message, with this body: [`body`](Self::body) and [`finish`](Self::finish) in one, without a copy between.
    #[must_use]
    pub fn finish_with(self, content_type: &str, body: &[u8]) -> Bytes {
        self.text(Name::ContentType, &[content_type]).end(body)
    }

    fn end(mut self, body: &[u8]) -> Bytes {
        self.push(Name::ContentLength.line_start());
        self.number(body.len() as u64);
        self.push("\r\n\r\n");
        // In a piece of its very size: that is cheaper than to let the head grow, and holds no more than it needs to.
        let mut message = Vec::with_capacity(self.head.len() + body.len());
        message.extend_from_slice(&self.head);
        message.extend_from_slice(body);
        message.into()
    }

    /// A part of the start line, where even a blank would begin the next part.
    fn start_part(&mut self, text: &str) {
        let as_part = |byte| if byte <= b' ' { b'_' } else { byte };
        self.head.extend(text.bytes().map(as_part));
    }

    fn field_value(&mut self, value: &impl Display) {
        let start = self.head.len();
        // Only a `Display` that fails by itself can fail here; the field is then cut short, never unsafe.
        write!(Text(&mut self.head), "{value}").unwrap_or_default();
        self.end_line(start);
    }

    /// The rest of a line.
    fn one_line(&mut self, parts: &[&str]) {
        let start = self.head.len();
        for part in parts {
            if !part.is_empty() {
                self.push(part);
            }
        }
        self.end_line(start);
    }

    /// Ends a line, and lets no other line end in what was put in since `start`.
    fn end_line(&mut self, start: usize) {
        let added = self.head.get_mut(start..).unwrap_or_default();
        // Without an early exit the loop runs over many bytes at a time; hardly any value has a byte as low as these.
        let may_end = added
            .iter()
            .fold(false, |found, &byte| found | (byte <= b'\r'));
        if may_end {
            for byte in added {
                if matches!(byte, b'\r' | b'\n' | b'\0') {
                    *byte = b' ';
                }
            }
        }
        self.push("\r\n");
    }

    fn number(&mut self, number: u64) {
        self.push(Digits::decimal(number).as_str());
    }

    fn push(&mut self, text: &str) {
        self.head.extend_from_slice(text.as_bytes());
    }
}

/// Where the name of a hop's `rport` ends that has no value.
fn end_of_rport(hop: &str) -> Option<usize> {
    let via = Via::list(hop).next()?.ok()?;
    let is_rport = |(name, value): &(&str, Option<&str>)| {
        name.eq_ignore_ascii_case("rport") && value.is_none()
    };
    let (name, _) = via.params().iter().find(is_rport)?;
    // The name is a part of the hop's text.
    let start = name.as_ptr().addr().checked_sub(hop.as_ptr().addr())?;
    let end = start + name.len();
    hop.is_char_boundary(end).then_some(end)
}

/// Takes text in.
struct Text<'a>(&'a mut Vec<u8>);

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// A number as text, without memory of its own.
pub(super) struct Digits {
    text: [u8; 20],
    start: usize,
}

impl Digits {
    pub(super) fn decimal(number: u64) -> Self {
        Self::of(number, 10)
    }

    pub(super) fn hexadecimal(number: u64) -> Self {
        Self::of(number, 16)
    }

    fn of(mut number: u64, base: u64) -> Self {
        let mut text = [b'0'; 20];
        // The last digit stands there even of zero.
        let mut start = text.len();
        for (at, place) in text.iter_mut().enumerate().rev() {
            // Below the base, which is 16 at most.
            let digit = (number % base) as u8;
            *place = if digit < 10 {
                b'0' + digit
            } else {
                b'a' - 10 + digit
            };
            start = at;
            number /= base;
            if number == 0 {
                break;
            }
        }
        Self { text, start }
    }

    pub(super) fn as_str(&self) -> &str {
        let digits = self.text.get(self.start..).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
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
    let mut source = request.source();
    let mut builder = MessageBuilder::response(status, Some(reason));
    for (name, value) in headers.fields() {
        match (name, to_tag) {
            (Name::Via, _) if source.is_some() => {
                if let Some(source) = source.take() {
                    builder.put_via(value, source);
                }
            }
            (Name::To, Some(tag)) => builder.put(name, &[value, ";tag=", tag]),
            (Name::Via | Name::From | Name::To | Name::CallId | Name::CSeq, _) => {
                builder.put(name, &[value]);
            }
            _ => {}
        }
    }
    builder
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

    #[test]
    fn rfc3261_18_2_1_answers_say_where_a_request_came_from_unless_its_via_does() {
        let vias = |asked: &str, from: &str| {
            let Message::Request(mut request) = Message::parse(asked.as_bytes()).unwrap() else {
                panic!("a response")
            };
            request.came_from(from.parse().unwrap());
            let answer = text(respond(&request, Status::OK, None));
            let vias = answer.lines().filter_map(|it| it.strip_prefix("Via: "));
            vias.map(str::to_owned).collect::<Vec<_>>()
        };
        let below = "SIP/2.0/TCP edge.contoso.com;branch=z9hG4bK1";
        assert_eq!(
            vias(INVITE, "10.0.0.5:50123"),
            ["SIP/2.0/tcp 10.0.0.5:50123", below]
        );
        assert_eq!(
            vias(INVITE, "192.0.2.7:4000"),
            ["SIP/2.0/tcp 10.0.0.5:50123;received=192.0.2.7", below]
        );
        // The first of several in one field, of which one has a comma of its own.
        let list = INVITE.replace(
            "SIP/2.0/tcp 10.0.0.5:50123",
            "SIP/2.0/TLS fe.contoso.com;x=\"a,b\" , SIP/2.0/tcp 10.0.0.5",
        );
        assert_eq!(
            vias(&list, "[2001:db8::1]:4000"),
            [
                "SIP/2.0/TLS fe.contoso.com;x=\"a,b\";received=2001:db8::1 , SIP/2.0/tcp 10.0.0.5",
                below
            ]
        );
        let told = INVITE.replace("50123", "50123;received=192.0.2.9");
        assert_eq!(
            vias(&told, "192.0.2.7:4000"),
            ["SIP/2.0/tcp 10.0.0.5:50123;received=192.0.2.9", below]
        );
        // The same address, written in another way.
        let mapped = INVITE.replace("10.0.0.5:50123", "[::FFFF:10.0.0.5]:50123");
        let [top, _] = &vias(&mapped, "10.0.0.5:4000")[..] else {
            panic!("two hops");
        };
        assert_eq!(top, "SIP/2.0/tcp [::FFFF:10.0.0.5]:50123");
        // RFC 3581 §4: whoever asks for the port is told address and port, also where the address is known.
        for (hop, answered) in [
            (
                "10.0.0.5:50123;rport;branch=z9hG4bK2",
                "10.0.0.5:50123;rport=4000;branch=z9hG4bK2;received=10.0.0.5",
            ),
            (
                "10.0.0.5 ; x=\";rport\" ; RPORT , SIP/2.0/UDP h;rport",
                "10.0.0.5 ; x=\";rport\" ; RPORT=4000;received=10.0.0.5 , SIP/2.0/UDP h;rport",
            ),
            ("10.0.0.5;rport=9", "10.0.0.5;rport=9"),
        ] {
            let asked = INVITE.replace("10.0.0.5:50123", hop);
            let top = vias(&asked, "10.0.0.5:4000").swap_remove(0);
            assert_eq!(top, format!("SIP/2.0/tcp {answered}"));
        }
    }

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
    fn texts_are_as_safe_as_values_and_numbers_are_whole() {
        let written = text(
            MessageBuilder::response(Status::OK, None)
                .text(Name::Subject, &["a\r\n", "Injected: b\0", "c"]),
        );
        assert_eq!(
            written,
            "SIP/2.0 200 OK\r\nSubject: a  Injected: b c\r\nContent-Length: 0\r\n\r\n"
        );
        for number in [0, 9, 10, 1_234_567_890, u64::MAX] {
            assert_eq!(Digits::decimal(number).as_str(), number.to_string());
            assert_eq!(Digits::hexadecimal(number).as_str(), format!("{number:x}"));
        }
    }

    #[test]
    fn a_body_in_one_go_makes_the_same_message() {
        let builder = || MessageBuilder::response(Status::OK, None).header(Name::Expires, 7);
        assert_eq!(
            builder().finish_with("text/plain", b"body"),
            builder().body("text/plain", b"body").finish()
        );
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
