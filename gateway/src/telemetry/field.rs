//! What an event may carry.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use holdover_config::{ListenerName, PoolName};
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use tracing::Value;
use tracing::field::display;

use super::rate::Source;

/// A type that may stand in a log line. `String` and `Bytes` are not among them on purpose: free text goes through
/// [`Detail`], where a reviewer sees it.
pub trait Field {
    /// The value as tracing takes it.
    fn value(&self) -> impl Value + '_;

    /// Whom the value names as the cause of an event.
    fn source(&self) -> Option<Source> {
        None
    }
}

/// Names a session in logs, for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Short text for people: an error, a header's value, a name. Never message text, tokens or credentials.
///
/// Bounded and printable whatever it is made from, because some of it comes from peers: a peer must not be able to
/// write a second log line, or a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail(Box<str>);

impl Detail {
    /// Longest detail, in characters; the rest is cut.
    pub const MAX_CHARS: usize = 240;

    /// Takes what `text` displays as. Control characters become `?`.
    #[must_use]
    pub fn new(text: impl fmt::Display) -> Self {
        let text = text.to_string();
        let printable = text.chars().map(|c| if c.is_control() { '?' } else { c });
        Self(printable.take(Self::MAX_CHARS).collect())
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! displayed {
    ($($type:ty),+ $(,)?) => {$(
        impl Field for $type {
            fn value(&self) -> impl Value + '_ {
                display(self)
            }
        }
    )+};
}

macro_rules! source {
    ($($type:ty: |$value:ident| $source:expr;)+) => {$(
        impl Field for $type {
            fn value(&self) -> impl Value + '_ {
                display(self)
            }

            fn source(&self) -> Option<Source> {
                let $value = self;
                Some($source)
            }
        }
    )+};
}

macro_rules! plain {
    ($($type:ty),+ $(,)?) => {$(
        impl Field for $type {
            fn value(&self) -> impl Value + '_ {
                *self
            }
        }
    )+};
}

displayed!(Detail, RoomUri, ListenerName);
source! {
    SocketAddr: |address| Source::of_address(address.ip());
    UserUri: |user| Source::User(user.clone());
    PoolName: |pool| Source::Pool(pool.clone());
}
plain!(&'static str, u16, u32, u64, usize, bool);

impl Field for SessionId {
    fn value(&self) -> impl Value + '_ {
        self.0
    }
}

/// Seconds.
impl Field for Duration {
    fn value(&self) -> impl Value + '_ {
        self.as_secs_f64()
    }
}

/// Absent fields are left out of the line. What may be absent is what a peer claims, and names no source.
impl<T: Field> Field for Option<T> {
    fn value(&self) -> impl Value + '_ {
        self.as_ref().map(Field::value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_one_short_printable_line() {
        let detail = Detail::new("a\r\nERROR forged\u{7}");
        assert_eq!(detail.to_string(), "a??ERROR forged?");
        let long = "\u{e9}".repeat(Detail::MAX_CHARS + 1);
        let chars = Detail::new(long).to_string().chars().count();
        assert_eq!(chars, Detail::MAX_CHARS);
    }
}
