//! What a rule asks before it matches.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;

use super::act::Classes;
use super::glob::Glob;
use super::network::Network;
use super::share::Percent;
use super::{Place, Question};
use crate::names::{Domain, ListenerName};

/// One condition: a test that must hold, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Whether the test must not hold.
    pub negated: bool,
    /// The test.
    pub test: Test,
}

impl Condition {
    /// Whether it holds. A test of something that is not known, such as the room of a sign-in, does not hold; its negation
    /// then does.
    #[must_use]
    pub fn holds(&self, question: &Question<'_>) -> bool {
        self.test.holds(question) != self.negated
    }
}

impl fmt::Display for Condition {
    /// As it is written in a file, or nearly so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            write!(f, "not = {{ {} }}", self.test)
        } else {
            write!(f, "{}", self.test)
        }
    }
}

/// A test of one thing. Of several alternatives one must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Who the user is.
    User(Users),
    /// The domain of the user's address.
    Domain(Box<[Domain]>),
    /// Where the client is.
    Network(Box<[Network]>),
    /// Which listener the client came to.
    Listener(Box<[ListenerName]>),
    /// What the client says it is.
    Client(Box<[Glob]>),
    /// Which room.
    Room(Box<[RoomPattern]>),
    /// What the room is called in the directory.
    RoomName(Box<[Glob]>),
    /// Which category the room has in the directory.
    Category(Box<[Glob]>),
    /// What is done.
    Command(Classes),
    /// When.
    Time(Window),
    /// Whether the user is among so many of a hundred.
    Percent(Percent),
}

impl Test {
    /// The key under which it is written.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Domain(_) => "domain",
            Self::Network(_) => "network",
            Self::Listener(_) => "listener",
            Self::Client(_) => "client",
            Self::Room(_) => "room",
            Self::RoomName(_) => "room_name",
            Self::Category(_) => "category",
            Self::Command(_) => "command",
            Self::Time(_) => "from",
            Self::Percent(_) => "percent",
        }
    }

    fn holds(&self, question: &Question<'_>) -> bool {
        match self {
            Self::User(users) => users.holds(question.user),
            Self::Domain(domains) => domains
                .iter()
                .any(|domain| domain.as_str() == question.user.domain()),
            Self::Network(networks) => question
                .network
                .is_some_and(|address| networks.iter().any(|network| network.contains(address))),
            Self::Listener(listeners) => question
                .listener
                .is_some_and(|listener| listeners.contains(listener)),
            Self::Client(globs) => question.client.is_some_and(|client| any(globs, client)),
            Self::Room(rooms) => question
                .room
                .is_some_and(|room| rooms.iter().any(|pattern| pattern.matches(room.id))),
            Self::RoomName(globs) => question.room.is_some_and(|room| any(globs, room.name)),
            Self::Category(globs) => question.room.is_some_and(|room| any(globs, room.category)),
            Self::Command(classes) => classes.contains(question.act.class()),
            Self::Time(window) => window.holds(question.at),
            Self::Percent(percent) => percent.holds(question.user),
        }
    }
}

fn any(globs: &[Glob], text: &str) -> bool {
    globs.iter().any(|glob| glob.matches(text))
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(
            f: &mut fmt::Formatter<'_>,
            key: &str,
            items: &[T],
        ) -> fmt::Result {
            /// More would hide what matters.
            const SHOWN: usize = 8;
            write!(f, "{key} = [")?;
            for (at, item) in items.iter().take(SHOWN).enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                write!(f, "{comma}\"{item}\"")?;
            }
            match items.len().checked_sub(SHOWN) {
                Some(more) if more > 0 => write!(f, ", … and {more} more]"),
                _ => f.write_str("]"),
            }
        }
        match self {
            Self::User(users) => match (&users.file, &*users.patterns) {
                (Some(file), []) => write!(f, "user_file = \"{}\"", file.place.file),
                (Some(file), patterns) => {
                    list(f, "user", patterns)?;
                    write!(f, ", user_file = \"{}\"", file.place.file)
                }
                (None, patterns) => list(f, "user", patterns),
            },
            Self::Domain(domains) => list(f, "domain", domains),
            Self::Network(networks) => list(f, "network", networks),
            Self::Listener(listeners) => list(f, "listener", listeners),
            Self::Client(globs) => list(f, "client", globs),
            Self::Room(rooms) => list(f, "room", rooms),
            Self::RoomName(globs) => list(f, "room_name", globs),
            Self::Category(globs) => list(f, "category", globs),
            Self::Command(classes) => list(f, "command", &classes.iter().collect::<Vec<_>>()),
            Self::Time(window) => write!(f, "{window}"),
            Self::Percent(percent) => write!(f, "percent = {percent}"),
        }
    }
}

/// Some users: by pattern, by name, or listed in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// Patterns and names.
    pub patterns: Box<[UserPattern]>,
    /// Names from a file.
    pub file: Option<UserFile>,
}

impl Users {
    fn holds(&self, user: &UserUri) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(user))
            || self
                .file
                .as_ref()
                .is_some_and(|file| file.users.contains(user))
    }
}

/// The users that a file lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFile {
    /// Where the rule names the file; the file itself is what [`Place::file`] says.
    pub place: Place,
    /// Everybody who stands in it.
    pub users: Arc<HashSet<UserUri>>,
}

/// One user, or a pattern of addresses (without `sip:`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserPattern {
    /// Exactly this one.
    One(UserUri),
    /// All that match.
    Many(Glob),
}

impl UserPattern {
    fn matches(&self, user: &UserUri) -> bool {
        match self {
            Self::One(one) => one == user,
            Self::Many(glob) => glob.matches(user.address()),
        }
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(user) => f.write_str(user.address()),
            Self::Many(glob) => fmt::Display::fmt(glob, f),
        }
    }
}

/// One room, or a pattern of legacy ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomPattern {
    /// Exactly this one.
    One(RoomUri),
    /// All whose whole identifier matches.
    Many(Glob),
}

impl RoomPattern {
    /// Whether a room is meant. Identifiers compare as in the directory ([`RoomUri::is_same_room`]).
    pub(super) fn matches(&self, room: &RoomUri) -> bool {
        match self {
            Self::One(one) => one.is_same_room(room),
            Self::Many(glob) => glob.matches(room.as_str()),
        }
    }
}

impl fmt::Display for RoomPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(room) => f.write_str(room.as_str()),
            Self::Many(glob) => fmt::Display::fmt(glob, f),
        }
    }
}

/// A window of time, from `from` until just before `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its begin; `None`: always was.
    pub from: Option<Timestamp>,
    /// Its end; `None`: never.
    pub until: Option<Timestamp>,
}

impl Window {
    /// Whether a time is in it.
    #[must_use]
    pub fn holds(self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }

    /// Both ends that it has.
    pub fn ends(self) -> impl Iterator<Item = Timestamp> {
        [self.from, self.until].into_iter().flatten()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.until) {
            (Some(from), Some(until)) => write!(f, "from = \"{from}\", until = \"{until}\""),
            (Some(from), None) => write!(f, "from = \"{from}\""),
            (None, Some(until)) => write!(f, "until = \"{until}\""),
            (None, None) => f.write_str("from = always"),
        }
    }
}
