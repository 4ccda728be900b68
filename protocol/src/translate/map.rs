//! What identifiers become.

use std::borrow::Cow;

use memchr::memchr;

use crate::room::{CategoryUri, RoomUri};
use crate::xccos::{AttributeRef, ElementRef};

/// What the identifiers of one side are on the other.
///
/// A value of this trait knows one direction for one session. For a lookup that goes back and forth there are two.
/// Nothing here may wait: the answers come from memory.
pub trait RoomMap {
    /// The room that `domain` and `value` name, as the other side knows it; `None` leaves the identifier as it is.
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri>;

    /// All identifiers under which the receiver wants what is said about a room, when there are several.
    ///
    /// Rooms that were merged have one identifier at the pool and several at the client. What a pool says of such a room
    /// is repeated for each of them: those the client has open, or, in the reply to a join, those it asked for. Where
    /// rooms are listed (search results, invitations) and in running text only [`room`](Self::room) counts, and so it
    /// does everywhere when this answers nothing, as it does by default. Asked toward the client only.
    fn aliases(&self, domain: &str, value: &str) -> Vec<RoomUri> {
        let _ = (domain, value);
        Vec::new()
    }

    /// The category that `domain` and `value` name, as the other side knows it: by default the same value, in what the
    /// domain [becomes](Self::domain).
    fn category(&self, domain: &str, value: &str) -> Option<CategoryUri> {
        CategoryUri::new(&self.domain(domain)?, value).ok()
    }

    /// What a domain becomes that stands without a value: in `sib` and `inv`, where it means the whole server.
    fn domain(&self, domain: &str) -> Option<Box<str>> {
        let _ = domain;
        None
    }
}

/// Domain and value of a room as one side names it.
#[derive(Clone)]
pub(super) struct Named<'a> {
    pub(super) domain: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
}

impl<'a> Named<'a> {
    /// The room in the attributes `domain` and `value`.
    pub(super) fn pair(element: ElementRef<'a>) -> Option<Self> {
        let domain = element.attribute("domain")?;
        let value = element.attribute("value")?;
        Some(Self {
            domain: value_of(domain),
            value: value_of(value),
        })
    }

    /// The room whose URI is in the attribute `name`.
    pub(super) fn uri(element: ElementRef<'a>, name: &str) -> Option<Self> {
        let halves = |uri: &'a str| uri.strip_prefix(RoomUri::SCHEME)?.split_once('/');
        match value_of(element.attribute(name)?) {
            Cow::Borrowed(uri) => {
                let (domain, value) = halves(uri)?;
                Some(Self {
                    domain: domain.into(),
                    value: value.into(),
                })
            }
            Cow::Owned(uri) => {
                let room: RoomUri = uri.parse().ok()?;
                Some(Self {
                    domain: room.domain().to_owned().into(),
                    value: room.value().to_owned().into(),
                })
            }
        }
    }
}

/// The value of an attribute that may name a room. No room's name holds a blank, so those need not be normalised.
pub(super) fn value_of(attribute: AttributeRef<'_>) -> Cow<'_, str> {
    if memchr(b'&', attribute.raw_bytes()).is_none() {
        return Cow::Borrowed(attribute.raw());
    }
    attribute.value()
}

/// A map in which one room has one certain answer: for one of several repetitions.
pub(super) struct Aimed<'a> {
    pub(super) map: &'a dyn RoomMap,
    /// The room as the pool names it.
    pub(super) room: &'a Named<'a>,
    /// What it becomes.
    pub(super) alias: &'a RoomUri,
}

impl RoomMap for Aimed<'_> {
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
        if domain == self.room.domain && value == self.room.value {
            return Some(self.alias.clone());
        }
        self.map.room(domain, value)
    }

    fn category(&self, domain: &str, value: &str) -> Option<CategoryUri> {
        self.map.category(domain, value)
    }

    fn domain(&self, domain: &str) -> Option<Box<str>> {
        self.map.domain(domain)
    }
}
