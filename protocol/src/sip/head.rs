//! The head of a message: found line by line as its bytes come, then made into a message without a body.

use std::ops::Range;

use memchr::{memchr, memchr2};

use super::fault::Fault;
use super::grammar::{TOKEN, cut, is_space, number, trim_end};
use super::headers::{Field, Headers, Name};
use super::limits::Limits;
use super::message::{Message, Method, Request, Response};
use super::status::Status;

/// What a look at the buffer brought.
pub(super) enum Progress {
    /// The head has no end yet.
    More,
    /// The head takes this many bytes, empty line included.
    Complete(usize),
    /// No end of it can be found, or none that every reader would agree on.
    Lost(Fault),
}

/// Finds the lines of a head. Remembers how far it looked, so that every byte is looked at once however the head is cut
/// into reads.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    fields: Vec<Field>,
    /// End of the start line. Zero while it has none.
    start_line: usize,
    /// Where the line that has no end yet begins.
    line: usize,
    /// Where to look on for its end.
    searched: usize,
    /// The first field that is none. The head's end can still be found.
    problem: Option<&'static str>,
}

/// Fields of an ordinary message, so that their list is seldom moved.
const USUAL_FIELDS: usize = 16;

impl HeadScan {
    pub(super) fn new() -> Self {
        Self {
            fields: Vec::with_capacity(USUAL_FIELDS),
            start_line: 0,
            line: 0,
            searched: 0,
            problem: None,
        }
    }

    /// Looks through what came since the last call. `buffer` starts with the head.
    pub(super) fn advance(&mut self, buffer: &mut [u8], limits: &Limits) -> Progress {
        // Offsets are kept as u32.
        let head_limit = limits.head.min(u32::MAX as usize);
        while let Some(offset) = buffer
            .get(self.searched..)
            .and_then(|rest| memchr2(b'\r', b'\n', rest))
        {
            let end = self.searched + offset;
            if end + 2 > head_limit {
                break;
            }
            match buffer.get(end..end + 2) {
                Some(b"\r\n") => {}
                None if buffer.get(end) == Some(&b'\r') => {
                    self.searched = end;
                    return Progress::More;
                }
                // Readers differ on what these end, so what would follow is not to be trusted.
                _ => {
                    return Progress::Lost(Fault::bad_request(
                        "Line end other than CRLF",
                        "CR or LF alone in the head (RFC 3261 §7)",
                    ));
                }
            }
            let line = self.line..end;
            self.line = end + 2;
            self.searched = end + 2;
            if line.is_empty() {
                return Progress::Complete(self.line);
            }
            self.take_line(buffer, line);
            if self.fields.len() > limits.headers {
                return Progress::Lost(too_large("more header fields than the limit allows"));
            }
        }
        if buffer.len() >= head_limit {
            return Progress::Lost(too_large("the head is longer than the limit allows"));
        }
        self.searched = buffer.len();
        Progress::More
    }

    fn take_line(&mut self, buffer: &mut [u8], line: Range<usize>) {
        if line.start == 0 {
            self.start_line = line.end;
            return;
        }
        if buffer.get(line.start).copied().is_some_and(is_space) {
            self.take_fold(buffer, line);
            return;
        }
        let bytes = buffer.get(line.clone()).unwrap_or_default();
        let (known, name, value) = match plain_field(bytes) {
            Some((name, value)) => {
                let text = bytes.get(name.clone()).unwrap_or_default();
                (Name::lookup(text), name, value)
            }
            None => match field(bytes) {
                Ok(field) => field,
                Err(problem) => return self.refuse(problem),
            },
        };
        let at =
            |range: Range<usize>| offset(line.start + range.start)..offset(line.start + range.end);
        self.fields.push(Field {
            name: known,
            name_text: at(name),
            value: at(value),
        });
    }

    /// A line that goes on with the field before it. The line end becomes blanks in place (RFC 3261 §7.3.1 has both mean
    /// the same), so that the value is one piece of text.
    fn take_fold(&mut self, buffer: &mut [u8], line: Range<usize>) {
        let Some(field) = self.fields.last_mut().filter(|_| self.problem.is_none()) else {
            self.refuse("Folded line without a header field");
            return;
        };
        if let Some(line_end) = buffer.get_mut(line.start - 2..line.start) {
            line_end.fill(b' ');
        }
        let value = trimmed(buffer, line.clone());
        if value.is_empty() {
            return;
        }
        if field.value.is_empty() {
            field.value.start = offset(value.start);
        }
        field.value.end = offset(value.end);
    }

    fn refuse(&mut self, problem: &'static str) {
        self.problem.get_or_insert(problem);
    }

    /// Makes the message of a head that is complete. The message is there as far as it could be read, so that a faulty
    /// request can be answered.
    pub(super) fn finish(self, head: &mut [u8]) -> Head {
        let mut problem = self
            .problem
            .map(|problem| Fault::bad_request(problem, "RFC 3261 §7.3.1"));
        let text: Box<str> = match std::str::from_utf8(head) {
            Ok(text) => text.into(),
            Err(_) => {
                problem.get_or_insert_with(|| {
                    Fault::bad_request("Header fields that are not UTF-8", "RFC 3261 §7")
                });
                without_non_utf8(head).into()
            }
        };
        let line = text.get(..self.start_line).unwrap_or_default();
        let (start, start_problem) = StartLine::parse(line);
        let headers = Headers::new(text, self.fields);
        Head {
            content_length: content_length(&headers),
            message: start.map(|start| start.into_message(headers)),
            problem: start_problem.or(problem),
        }
    }
}

/// A head that was read.
pub(super) struct Head {
    /// The message, unless its start line says not even what it is.
    pub(super) message: Option<Message>,
    /// What is wrong with lines. The fields' values were not looked at.
    pub(super) problem: Option<Fault>,
    /// How long the body is, or why nobody knows.
    pub(super) content_length: Result<usize, Fault>,
}

enum StartLine {
    Request(Method, Range<u32>),
    Response(Status, Range<u32>),
}

impl StartLine {
    fn parse(line: &str) -> (Option<Self>, Option<Fault>) {
        let is_response = line
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("SIP/"));
        if is_response {
            Self::response(line)
        } else {
            let (request, problem) = Self::request(line);
            (Some(request), problem)
        }
    }

    fn request(line: &str) -> (Self, Option<Fault>) {
        let content = trim_end(line);
        let (method, rest) = cut(content, b' ').unwrap_or((content, ""));
        // Behind the last blank stands the version, nearly always this one.
        let (uri, version) = match rest.strip_suffix(" SIP/2.0") {
            Some(uri) => (uri, "SIP/2.0"),
            None => rest.rsplit_once(' ').unwrap_or((rest, "")),
        };
        let start = method.len() + 1;
        let request = Self::Request(
            Method::from(method),
            offset(start)..offset(start + uri.len()),
        );
        let problem = if !TOKEN.spells(method.as_bytes())
            || uri.is_empty()
            || memchr2(b' ', b'\t', uri.as_bytes()).is_some()
            || content.len() < line.len()
        {
            Some(Fault::bad_request(
                "Malformed Request-Line",
                "not a method, a URI and a version with one blank between them (RFC 3261 §7.1)",
            ))
        } else {
            version_problem(version)
        };
        (request, problem)
    }

    fn response(line: &str) -> (Option<Self>, Option<Fault>) {
        let (version, rest) = cut(line, b' ').unwrap_or((line, ""));
        let (code, reason) = cut(rest, b' ').unwrap_or((rest, ""));
        let status = Some(code)
            .filter(|code| code.len() == 3)
            .and_then(number)
            .and_then(Status::new);
        let Some(status) = status else {
            let fault = Fault::bad_request(
                "Malformed Status-Line",
                "the status code is no number from 100 to 699 (RFC 3261 §7.2)",
            );
            return (None, Some(fault));
        };
        let response = Self::Response(
            status,
            offset(line.len() - reason.len())..offset(line.len()),
        );
        (Some(response), version_problem(version))
    }

    fn into_message(self, headers: Headers) -> Message {
        match self {
            Self::Request(method, uri) => Message::Request(Request::new(method, uri, headers)),
            Self::Response(status, reason) => {
                Message::Response(Response::new(status, reason, headers))
            }
        }
    }
}

fn version_problem(version: &str) -> Option<Fault> {
    let is_ours = version.eq_ignore_ascii_case("SIP/2.0");
    (!is_ours).then(|| Fault::new(Status::VERSION_NOT_SUPPORTED, "not SIP/2.0 (RFC 3261 §7.1)"))
}

/// On a stream Content-Length alone says where the next message begins (RFC 3261 §18.3).
fn content_length(headers: &Headers) -> Result<usize, Fault> {
    let mut length = None;
    for value in headers.all(Name::ContentLength) {
        let this = number(value).ok_or_else(|| {
            Fault::bad_request(
                "Malformed Content-Length header field",
                "not a number of bytes (RFC 3261 §20.14)",
            )
        })?;
        if length.replace(this).is_some_and(|other| other != this) {
            return Err(Fault::bad_request(
                "Content-Length values that differ",
                "two lengths for one body (RFC 4475 §3.3.9)",
            ));
        }
    }
    length.ok_or_else(|| {
        Fault::bad_request(
            "Missing Content-Length header field",
            "required on a stream (RFC 3261 §20.14)",
        )
    })
}

/// Name and value of a line that is written as nearly all are: `Name: value`.
fn plain_field(line: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    let colon = line.iter().position(|&byte| !TOKEN.has(byte))?;
    let [b':', b' ', value @ ..] = line.get(colon..)? else {
        return None;
    };
    let ends = (value.first()?, value.last()?);
    let is_plain = colon > 0 && !is_space(*ends.0) && !is_space(*ends.1);
    is_plain.then_some((0..colon, colon + 2..line.len()))
}

/// Name and value of any line.
fn field(line: &[u8]) -> Result<(Name, Range<usize>, Range<usize>), &'static str> {
    let colon = memchr(b':', line).ok_or("Header line without a colon")?;
    let name = trimmed(line, 0..colon);
    let text = line.get(name.clone()).unwrap_or_default();
    let known = Name::lookup(text);
    if known == Name::Other && !TOKEN.spells(text) {
        return Err("Header field name that is no token");
    }
    Ok((known, name, trimmed(line, colon + 1..line.len())))
}

/// The text with `?` in place of what is not UTF-8, byte for byte, so that offsets stay right.
fn without_non_utf8(text: &mut [u8]) -> &str {
    let mut from = 0;
    while let Some(Err(error)) = text.get(from..).map(std::str::from_utf8) {
        let bad = from + error.valid_up_to();
        from = error.error_len().map_or(text.len(), |length| bad + length);
        if let Some(bytes) = text.get_mut(bad..from) {
            bytes.fill(b'?');
        }
    }
    std::str::from_utf8(text).unwrap_or_default()
}

/// `range` without the white space at its ends.
fn trimmed(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let text = bytes.get(range.clone()).unwrap_or_default();
    let is_content = |&byte: &u8| !is_space(byte);
    match text.iter().position(is_content) {
        None => range.end..range.end,
        Some(start) => {
            let end = text.iter().rposition(is_content).unwrap_or(start);
            range.start + start..range.start + end + 1
        }
    }
}

/// An offset into a head, which is never longer than `u32::MAX`.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn too_large(detail: &str) -> Fault {
    Fault::new(Status::MESSAGE_TOO_LARGE, detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_line_is_read_as_any_line_is(line in "[ \t]?[vX:]?(Via|to|X-1|é|)[ \t]?:?[ \t]{0,2}[ab: \té]{0,4}") {
            if let Some((name, value)) = plain_field(line.as_bytes()) {
                let known = Name::lookup(&line.as_bytes()[name.clone()]);
                prop_assert_eq!(field(line.as_bytes()), Ok((known, name, value)));
            }
        }
    }

    #[test]
    fn no_byte_is_looked_at_twice() {
        let head = b"INFO sip:a SIP/2.0\r\nSubject: one\r\n two\r\n\r\n";
        let mut scan = HeadScan::new();
        for end in 1..head.len() {
            let mut read = head[..end].to_vec();
            assert!(matches!(
                scan.advance(&mut read, &Limits::default()),
                Progress::More
            ));
            // A CR at the end is looked at again together with what follows it.
            let pending = usize::from(read.ends_with(b"\r"));
            assert_eq!(scan.searched, end - pending);
        }
        let mut read = head.to_vec();
        let Progress::Complete(length) = scan.advance(&mut read, &Limits::default()) else {
            panic!("the head has an end");
        };
        assert_eq!(length, head.len());
    }
}
