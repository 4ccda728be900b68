//! The header fields of one message and their typed views.

mod content_type;
mod cseq;
mod name;
mod name_addr;
mod params;
mod session_expires;
mod via;

use std::fmt;
use std::ops::Range;

pub use content_type::MediaType;
pub use cseq::CSeq;
pub use name::Name;
pub use name_addr::{Contact, NameAddr};
pub use params::Params;
pub use session_expires::{Refresher, SessionExpires};
pub use via::Via;

use super::grammar;

/// A header field that is not what its grammar says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{header}: {problem}")]
pub struct HeaderError {
    /// Which field.
    pub header: Name,
    /// What is wrong, in words that hold nothing the peer sent.
    pub problem: &'static str,
}

impl HeaderError {
    /// The field is sound, and longer than what is kept of it.
    pub(super) const TOO_LONG: &'static str = "it is too long";

    pub(super) const fn new(header: Name, problem: &'static str) -> Self {
        Self { header, problem }
    }

    /// For `map_err`: the grammar knows the problem, the caller the field.
    const fn of(header: Name) -> impl Fn(&'static str) -> Self {
        move |problem| Self::new(header, problem)
    }
}

/// One field: where its name and its trimmed value stand in the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Name,
    pub(super) name_text: Range<u32>,
    pub(super) value: Range<u32>,
}

/// The header fields of a message, in the order and the words of the wire. Folded lines were joined by blanks.
#[derive(Clone)]
pub struct Headers {
    /// The whole head, start line included.
    head: Box<str>,
    fields: Vec<Field>,
    /// Where From and To have their parts, once they were read.
    from: Option<Place>,
    to: Option<Place>,
}

/// Where an address has its parts.
#[derive(Clone, Debug)]
struct Place {
    display: Option<Range<u32>>,
    uri: Range<u32>,
    params: Range<u32>,
}

impl Headers {
    pub(super) const fn new(head: Box<str>, fields: Vec<Field>) -> Self {
        Self {
            head,
            fields,
            from: None,
            to: None,
        }
    }

    /// Reads From and To once for all who will ask for them.
    ///
    /// # Errors
    /// One of them is missing or malformed.
    pub(super) fn read_parties(&mut self) -> Result<(), HeaderError> {
        let from = self.place(&self.from()?);
        let to = self.place(&self.to()?);
        (self.from, self.to) = (Some(from), Some(to));
        Ok(())
    }

    fn place(&self, address: &NameAddr<'_>) -> Place {
        let range = |part: &str| {
            let start = (part.as_ptr() as usize).wrapping_sub(self.head.as_ptr() as usize);
            // Heads are shorter than 4 GiB; a text that is not of this head would be read as an empty one.
            let start = u32::try_from(start).unwrap_or(u32::MAX);
            start..start.saturating_add(part.len() as u32)
        };
        let (display, uri, params) = address.texts();
        Place {
            display: display.map(range),
            uri: range(uri),
            params: range(params),
        }
    }

    fn address(&self, place: &Place) -> NameAddr<'_> {
        let display = place.display.as_ref().map(|range| self.text(range));
        NameAddr::found(display, self.text(&place.uri), self.text(&place.params))
    }

    /// The part of the head at `range`, which some parser of this module found there.
    pub(super) fn text(&self, range: &Range<u32>) -> &str {
        self.head
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default()
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (Name, &str)> {
        self.fields
            .iter()
            .map(|field| (field.name, self.text(&field.value)))
    }

    /// Bytes of the whole head.
    pub(in crate::sip) fn head_len(&self) -> usize {
        self.head.len()
    }

    /// The value of the first field of this name.
    #[must_use]
    pub fn get(&self, name: Name) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of every field of this name, as they stand: a list in one field is one value.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .filter(move |field| field.name == name)
            .map(|field| self.text(&field.value))
    }

    /// The value of the first field that [`Name`] does not know and that is called `name` in any case.
    #[must_use]
    pub fn get_other(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .filter(|field| field.name == Name::Other)
            .find(|field| self.text(&field.name_text).eq_ignore_ascii_case(name))
            .map(|field| self.text(&field.value))
    }

    /// Every field: its name as the wire has it, and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|field| (self.text(&field.name_text), self.text(&field.value)))
    }

    /// The elements of a field whose value is a comma-separated list, over all fields of this name.
    pub fn list(&self, name: Name) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(grammar::elements)
    }

    /// Whether such a list has this element, in any case: an option tag in `Supported`, a method in `Allow`.
    #[must_use]
    pub fn lists(&self, name: Name, element: &str) -> bool {
        self.list(name)
            .any(|listed| listed.eq_ignore_ascii_case(element))
    }

    fn required(&self, name: Name) -> Result<&str, HeaderError> {
        self.get(name)
            .ok_or_else(|| HeaderError::new(name, "missing"))
    }

    /// Who sends a request, of a response's request too.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn from(&self) -> Result<NameAddr<'_>, HeaderError> {
        match &self.from {
            Some(place) => Ok(self.address(place)),
            None => {
                NameAddr::parse(self.required(Name::From)?).map_err(HeaderError::of(Name::From))
            }
        }
    }

    /// Whom a request is for.
    ///
    /// # Errors
    /// It is missing or malformed.
    pub fn to(&self) -> Result<NameAddr<'_>, HeaderError> {
        match &self.to {
            Some(place) => Ok(self.address(place)),
            None => NameAddr::parse(self.required(Name::To)?).map_err(HeaderError::of(Name::To)),
        }
    }

    /// The Call-ID.
    ///
    /// # Errors
    /// It is missing or empty.
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        match self.required(Name::CallId)? {
            "" => Err(HeaderError::new(Name::CallId, "empty")),
            id => Ok(id),
        }
    }

    /// Sequence number and method.
    ///
    /// # Errors
    /// It is missing or malformed, or its number is above 2^32-1.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        CSeq::parse(self.required(Name::CSeq)?).map_err(HeaderError::of(Name::CSeq))
    }

    /// The way a request took, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, HeaderError>> {
        self.all(Name::Via)
            .flat_map(Via::list)
            .map(|via| via.map_err(HeaderError::of(Name::Via)))
    }

    /// The contacts, in order.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'_>, HeaderError>> {
        self.all(Name::Contact)
            .flat_map(Contact::list)
            .map(|contact| contact.map_err(HeaderError::of(Name::Contact)))
    }

    /// The Record-Route entries, topmost first.
    pub fn record_routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(Name::RecordRoute)
    }

    /// The Route entries, topmost first.
    pub fn routes(&self) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.addresses(Name::Route)
    }

    /// The entries of any field whose value is a list of addresses: `P-Asserted-Identity`, `Route`, ….
    pub fn addresses(&self, name: Name) -> impl Iterator<Item = Result<NameAddr<'_>, HeaderError>> {
        self.all(name)
            .flat_map(NameAddr::list)
            .map(move |address| address.map_err(HeaderError::of(name)))
    }

    /// Seconds of `Expires`. A malformed value counts as an hour (RFC 3261 §20.19), one above 2^32-1 as that.
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.get(Name::Expires).map(params::seconds_or_an_hour)
    }

    /// Hops a request may still take.
    ///
    /// # Errors
    /// It is no number from 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.get(Name::MaxForwards)
            .map(|value| {
                grammar::number(value).ok_or(HeaderError::new(
                    Name::MaxForwards,
                    "not a number from 0 to 255",
                ))
            })
            .transpose()
    }

    /// What the body is.
    ///
    /// # Errors
    /// It is malformed.
    pub fn content_type(&self) -> Result<Option<MediaType<'_>>, HeaderError> {
        self.get(Name::ContentType)
            .map(MediaType::parse)
            .transpose()
            .map_err(HeaderError::of(Name::ContentType))
    }

    /// Interval and refresher of the session timer (RFC 4028 §4).
    ///
    /// # Errors
    /// It is malformed.
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, HeaderError> {
        self.get(Name::SessionExpires)
            .map(SessionExpires::parse)
            .transpose()
            .map_err(HeaderError::of(Name::SessionExpires))
    }

    /// Seconds of `Min-SE` (RFC 4028 §5).
    ///
    /// # Errors
    /// It is malformed.
    pub fn min_se(&self) -> Result<Option<u32>, HeaderError> {
        self.get(Name::MinSe)
            .map(session_expires::min_se)
            .transpose()
            .map_err(HeaderError::of(Name::MinSe))
    }

    /// Seconds of `Retry-After`, which may be followed by a comment and parameters (RFC 3261 §20.33). What is no number says
    /// nothing, and is 0.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        let (digits, _) = grammar::DIGIT.take(self.get(Name::RetryAfter)?);
        Some(match digits.parse() {
            Ok(seconds) => seconds,
            // More digits than fit are a long time; none are no time.
            Err(_) if digits.is_empty() => 0,
            Err(_) => u32::MAX,
        })
    }
}

/// Names alone: values may hold credentials.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::Message;

    fn message(fields: &str) -> Message {
        let text = format!(
            "REGISTER sip:contoso.com SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nFrom: <sip:a@contoso.com>\r\n\
             To: <sip:a@contoso.com>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n{fields}l: 0\r\n\r\n"
        );
        Message::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn rfc3261_20_33_a_time_to_wait_may_be_commented() {
        for (value, seconds) in [
            ("120", 120),
            ("18000;duration=3600", 18_000),
            ("5 (in a meeting)", 5),
            ("soon", 0),
            ("99999999999999", u32::MAX),
        ] {
            let message = message(&format!("Retry-After: {value}\r\n"));
            assert_eq!(message.headers().retry_after(), Some(seconds), "{value}");
        }
        assert_eq!(message("").headers().retry_after(), None);
    }

    #[test]
    fn rfc3261_section_7_3_1_lists_go_on_from_field_to_field() {
        let message = message("k: 100rel, Timer\r\nSupported:\r\nSUPPORTED: ms-sender\r\n");
        let headers = message.headers();
        assert_eq!(headers.get(Name::Supported), Some("100rel, Timer"));
        let tags: Vec<_> = headers.list(Name::Supported).collect();
        assert_eq!(tags, ["100rel", "Timer", "ms-sender"]);
        assert!(headers.lists(Name::Supported, "timer"));
        assert!(!headers.lists(Name::Supported, "rel"));
    }

    #[test]
    fn unknown_fields_are_found_in_any_case_and_known_ones_by_name_only() {
        let message = message("X-Thing: 1\r\n");
        assert_eq!(message.headers().get_other("x-thing"), Some("1"));
        assert_eq!(message.headers().get_other("via"), None);
    }

    #[test]
    fn what_is_absent_is_no_fault_and_what_is_malformed_is() {
        let absent = message("");
        assert_eq!(absent.headers().expires(), None);
        assert_eq!(absent.headers().session_expires(), Ok(None));
        assert_eq!(absent.headers().content_type(), Ok(None));
        let malformed = message("x: soon\r\nc: text\r\nMin-SE: -1\r\nExpires: 0\r\n");
        let headers = malformed.headers();
        assert_eq!(
            headers.session_expires().unwrap_err().header,
            Name::SessionExpires
        );
        assert_eq!(
            headers.content_type().unwrap_err().header,
            Name::ContentType
        );
        assert_eq!(headers.min_se().unwrap_err().header, Name::MinSe);
        assert_eq!(headers.expires(), Some(0));
    }
}
