//! Whether a message is sound, and whether a server can do what it asks.

use super::fault::Fault;
use super::grammar;
use super::headers::{CSeq, Contact, HeaderError, MediaType, Name, NameAddr, Via};
use super::message::{Message, Method, Request};
use super::status::Status;
use super::uri::Uri;

/// What every message has. Max-Forwards is not among them: RFC 2543 did not know it, and nothing here forwards.
const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// A bit for each field that a message has at most once, and for Via.
const fn bit(name: Name) -> u8 {
    match name {
        Name::Via => 1,
        Name::From => 1 << 1,
        Name::To => 1 << 2,
        Name::CallId => 1 << 3,
        Name::CSeq => 1 << 4,
        Name::MaxForwards => 1 << 5,
        Name::ContentLength => 1 << 6,
        Name::ContentType => 1 << 7,
        _ => 0,
    }
}

/// Checks what RFC 3261 demands of every message: the mandatory fields are there, and once; the fields that decide where
/// it goes and what it belongs to are well formed; its parts agree. The decoder does this to each message. From and To are
/// not read again after that, however often they are asked for.
///
/// # Errors
/// The first fault.
pub fn check_message(message: &mut Message) -> Result<(), Fault> {
    let mut seen = 0;
    let mut hops = 0;
    for (name, value) in message.headers().fields() {
        if seen & bit(name) != 0 && name != Name::Via {
            return Err(Fault::bad_request(
                format!("More than one {name} header field"),
                "RFC 3261 §7.3.1, RFC 4475 §3.3.8",
            ));
        }
        seen |= bit(name);
        match name {
            Name::Via => hops += check_vias(value, hops == 0)?,
            _ => check_value(name, value)?,
        }
    }
    if let Some(name) = MANDATORY.into_iter().find(|&name| seen & bit(name) == 0) {
        return Err(Fault::bad_request(
            format!("Missing {name} header field"),
            "RFC 3261 §8.1.1, RFC 4475 §3.3.1",
        ));
    }
    // Their faults are told here, after what is missing.
    message.headers_mut().read_parties()?;
    let cseq = message.headers().cseq()?;
    match message {
        Message::Request(request) => check_request(request, &cseq),
        // Such a response went astray; a proxy would send it on, and we are none.
        Message::Response(_) if hops > 1 => Err(Fault::bad_request(
            "Response for another element",
            "more than one Via (RFC 3261 §8.1.3.3)",
        )),
        Message::Response(_) => Ok(()),
    }
}

fn check_request(request: &Request, cseq: &CSeq) -> Result<(), Fault> {
    if cseq.method != *request.method() {
        let detail = "the method of CSeq is not that of the request (RFC 3261 §8.1.1.5)";
        // RFC 4475 §3.1.2.18: that a method is unknown comes first.
        return Err(match request.method() {
            Method::Other(_) => Fault::new(Status::NOT_IMPLEMENTED, detail),
            _ => Fault::bad_request("CSeq method does not match", detail),
        });
    }
    let problem = match Uri::parse(request.uri()) {
        Ok(Uri::Sip(uri)) if uri.headers().is_some() => "it has headers (RFC 3261 §19.1.1)",
        Ok(_) => return Ok(()),
        Err(error) => error.problem(),
    };
    Err(Fault::bad_request("Malformed Request-URI", problem))
}

/// The number of hops in one Via field, the first of which may be the topmost of the message.
fn check_vias(value: &str, topmost: bool) -> Result<usize, HeaderError> {
    let error = |problem| HeaderError::new(Name::Via, problem);
    let mut hops = 0;
    for via in Via::list(value) {
        let via = via.map_err(error)?;
        if topmost && hops == 0 && via.branch() == Some("z9hG4bK") {
            return Err(error("a branch that is the magic cookie alone"));
        }
        hops += 1;
    }
    Ok(hops)
}

fn check_value(name: Name, value: &str) -> Result<(), HeaderError> {
    let problem = match name {
        Name::Contact => Contact::list(value).find_map(Result::err),
        Name::Route | Name::RecordRoute => NameAddr::list(value).find_map(Result::err),
        // RFC 3261 §25.1; a NUL could not be written back.
        Name::CallId if !is_one_word(value) => Some("not one word"),
        Name::MaxForwards if grammar::number::<u8>(value).is_none() => {
            Some("not a number from 0 to 255")
        }
        _ => None,
    };
    problem.map_or(Ok(()), |problem| Err(HeaderError::new(name, problem)))
}

/// Whether a text has neither blanks nor control characters.
fn is_one_word(text: &str) -> bool {
    let ends_word = |byte: u8| (byte <= b' ') | (byte == 0x7f);
    // Without an early exit the loop runs over many bytes at a time.
    !text.is_empty()
        && !text
            .bytes()
            .fold(false, |ends, byte| ends | ends_word(byte))
}

/// What a user agent server can do, for the inspection of RFC 3261 §8.2.
#[derive(Debug, Clone, Copy)]
pub struct Uas<'a> {
    /// The methods it answers.
    pub methods: &'a [Method],
    /// The schemes of Request-URIs it serves, in small letters.
    pub schemes: &'a [&'a str],
    /// The option tags it honours in `Require`.
    pub extensions: &'a [&'a str],
    /// For a method, the media types it understands in a body. Bodies of methods that are not here are not looked at.
    pub bodies: &'a [(Method, &'a [&'a str])],
}

impl Uas<'_> {
    /// Whether it can do what a sound request asks.
    ///
    /// # Errors
    /// 501 or 405, 416, 400 for a registration of what is no SIP user, 420, 415, 406: the first that fits, with the
    /// fields its answer needs. `Proxy-Require` does not concern a server and is not looked at.
    pub fn check(&self, request: &Request) -> Result<(), Fault> {
        self.check_method(request)?;
        self.check_uri(request)?;
        // RFC 3261 §8.2.2.3: an ACK or CANCEL cannot be refused for what it requires.
        if !matches!(request.method(), Method::Ack | Method::Cancel) {
            self.check_extensions(request)?;
        }
        self.check_body(request)
    }

    fn check_method(&self, request: &Request) -> Result<(), Fault> {
        if self.methods.contains(request.method()) {
            return Ok(());
        }
        let status = match request.method() {
            Method::Other(_) => Status::NOT_IMPLEMENTED,
            _ => Status::METHOD_NOT_ALLOWED,
        };
        let allowed = Method::list(self.methods);
        Err(Fault::new(status, "RFC 3261 §8.2.1").with_header(Name::Allow, allowed))
    }

    fn check_uri(&self, request: &Request) -> Result<(), Fault> {
        // What is no URI at all has not come so far.
        let scheme = grammar::cut(request.uri(), b':').map(|(scheme, _)| scheme);
        if !scheme.is_some_and(|scheme| contains(self.schemes, scheme)) {
            return Err(Fault::new(
                Status::UNSUPPORTED_URI_SCHEME,
                "RFC 3261 §8.2.2.1",
            ));
        }
        if *request.method() == Method::Register && request.headers().to()?.uri().as_sip().is_none()
        {
            return Err(Fault::bad_request(
                "To is no SIP URI",
                "only SIP users are registered (RFC 3261 §10.2, RFC 4475 §3.3.4)",
            ));
        }
        Ok(())
    }

    fn check_extensions(&self, request: &Request) -> Result<(), Fault> {
        let unknown: Vec<_> = request
            .headers()
            .list(Name::Require)
            .filter(|tag| !contains(self.extensions, tag))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Fault::new(Status::BAD_EXTENSION, "RFC 3261 §8.2.2.3")
            .with_header(Name::Unsupported, unknown.join(", ")))
    }

    fn check_body(&self, request: &Request) -> Result<(), Fault> {
        let Some((_, types)) = self
            .bodies
            .iter()
            .find(|(method, _)| method == request.method())
        else {
            return Ok(());
        };
        let headers = request.headers();
        if !request.body().is_empty() {
            let unsupported = || Fault::new(Status::UNSUPPORTED_MEDIA_TYPE, "RFC 3261 §8.2.3");
            if headers
                .list(Name::ContentEncoding)
                .any(|coding| !coding.eq_ignore_ascii_case("identity"))
            {
                return Err(unsupported().with_header(Name::AcceptEncoding, "identity"));
            }
            // Nearly all peers write nothing but the type.
            let is_plain = headers
                .get(Name::ContentType)
                .is_some_and(|content| types.contains(&content));
            let is_understood = is_plain
                || headers
                    .content_type()?
                    .is_some_and(|content| types.iter().any(|known| content.is(known)));
            if !is_understood {
                return Err(unsupported().with_header(Name::Accept, types.join(", ")));
            }
        }
        // RFC 4475 §3.3.15: the answer to an offer is of the offer's type.
        if *request.method() == Method::Invite && headers.get(Name::Accept).is_some() {
            let accepted = headers
                .list(Name::Accept)
                .filter_map(|range| MediaType::parse(range).ok())
                .any(|range| types.iter().any(|known| range.accepts(known)));
            if !accepted {
                return Err(Fault::new(
                    Status::NOT_ACCEPTABLE,
                    "RFC 3261 §8.2.6, RFC 4475 §3.3.15",
                ));
            }
        }
        Ok(())
    }
}

fn contains(tags: &[&str], tag: &str) -> bool {
    tags.iter().any(|known| known.eq_ignore_ascii_case(tag))
}

#[cfg(test)]
mod tests;
