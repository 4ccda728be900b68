//! Routing rules: what an admin wrote, compiled so that deciding costs little, and explained by the very code that decides.
//!
//! The first rule that matches wins, for each [`Aspect`] by itself: a notice does not keep a user from being routed. A rule
//! that is not enabled never matches. What is decided depends on the [`Question`] alone, time included, so that the same
//! question has the same answer in a running gateway, in `holdover explain` and in a test of the rules.

mod act;
mod case;
mod condition;
mod decide;
mod explain;
mod glob;
mod index;
mod network;
pub(crate) mod relate;
mod share;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;

use crate::names::{ListenerName, PoolName, Region, RuleName};

pub use act::{Act, Class, Classes};
pub use case::{Case, Expectation, Expected, Failure, Ran};
pub use condition::{Condition, RoomPattern, Test, UserFile, UserPattern, Users, Window};
pub use decide::{Decision, RuleSet, Ruling};
pub use explain::{Explanation, Held, Miss};
pub use glob::Glob;
pub use network::{Network, NetworkError};
pub use share::{Percent, Share, Shares, bucket};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, unique among all rules.
    pub name: RuleName,
    /// Whether it counts at all.
    pub enabled: bool,
    /// That users of one room are on different pools by it is meant.
    pub apart: bool,
    /// Where it stands.
    pub place: Place,
    /// When it matches: all of these must hold. None: always.
    pub when: Vec<Condition>,
    /// What it does then.
    pub then: Then,
}

impl Rule {
    /// Whether the rule has something to say about an act at all, whoever asks.
    pub(crate) fn concerns(&self, act: Act) -> bool {
        self.then.concerns(act)
            && self.when.iter().all(|condition| match &condition.test {
                Test::Command(classes) => classes.contains(act.class()) != condition.negated,
                _ => true,
            })
    }

    /// Whether it is about the act and all its conditions hold, whether it is enabled or not.
    #[must_use]
    pub fn matches(&self, question: &Question<'_>) -> bool {
        self.then.concerns(question.act)
            && self.when.iter().all(|condition| condition.holds(question))
    }
}

/// Where something stands in a file that an admin wrote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file, as it was given.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Another pool than the directory's.
    Route(Shares),
    /// No.
    Refuse {
        /// What the user is told.
        text: Box<str>,
    },
    /// No, for now.
    Maintenance(Maintenance),
    /// Reading goes on, writing does not.
    ReadOnly {
        /// What the user is told who writes.
        text: Box<str>,
    },
    /// Only pools of this region.
    Fence {
        /// The region.
        region: Region,
    },
    /// A line that is shown in the room.
    Notice {
        /// The line.
        text: Box<str>,
        /// How often.
        every: Every,
    },
    /// What only reads is asked of a second pool too, and the answers are compared.
    Shadow {
        /// The second pool.
        pool: PoolName,
    },
}

impl Then {
    /// What of a decision the rule is about.
    #[must_use]
    pub fn aspect(&self) -> Aspect {
        match self {
            Self::Route(_) | Self::Refuse { .. } | Self::Maintenance(_) | Self::ReadOnly { .. } => {
                Aspect::Access
            }
            Self::Fence { .. } => Aspect::Fence,
            Self::Notice { .. } => Aspect::Notice,
            Self::Shadow { .. } => Aspect::Shadow,
        }
    }

    /// The key under which it is written.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Route(shares) if shares.only().is_some() => "pool",
            Self::Route(_) => "pools",
            Self::Refuse { .. } => "refuse",
            Self::Maintenance(_) => "maintenance",
            Self::ReadOnly { .. } => "read_only",
            Self::Fence { .. } => "region",
            Self::Notice { .. } => "notice",
            Self::Shadow { .. } => "shadow",
        }
    }

    /// Whether it has something to say about an act: what is read-only lets everything through that does not write, on to
    /// the rules after it.
    #[must_use]
    pub fn concerns(&self, act: Act) -> bool {
        match self {
            Self::ReadOnly { .. } => act.writes(),
            Self::Maintenance(maintenance) => maintenance.access == Access::Closed || act.writes(),
            // Nobody is routed anywhere by signing in.
            Self::Route(_) | Self::Fence { .. } => act != Act::SignIn,
            Self::Notice { .. } => act == Act::Read,
            Self::Shadow { .. } => matches!(act, Act::Read | Act::Search),
            Self::Refuse { .. } => true,
        }
    }
}

impl fmt::Display for Then {
    /// As it is written in a file, or nearly so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key();
        match self {
            Self::Route(shares) => match shares.only() {
                Some(pool) => write!(f, "{key} = \"{pool}\""),
                None => {
                    write!(f, "{key} = [")?;
                    for (at, share) in shares.as_slice().iter().enumerate() {
                        let comma = if at == 0 { "" } else { ", " };
                        let Share { pool, percent } = share;
                        write!(f, "{comma}{{ pool = \"{pool}\", percent = {percent} }}")?;
                    }
                    f.write_str("]")
                }
            },
            Self::Refuse { text } | Self::ReadOnly { text } => write!(f, "{key} = \"{text}\""),
            Self::Maintenance(Maintenance {
                text,
                access: Access::Closed,
                sign_ins_per_sec: None,
            }) => write!(f, "{key} = \"{text}\""),
            Self::Maintenance(maintenance) => {
                let access = maintenance.access.as_str();
                let pace = maintenance.sign_ins_per_sec.map_or(0, NonZeroU32::get);
                write!(
                    f,
                    "{key} = {{ text = \"{}\", access = \"{access}\", sign_ins_per_sec = {pace} }}",
                    maintenance.text
                )
            }
            Self::Fence { region } => write!(f, "{key} = \"{region}\""),
            Self::Notice {
                text,
                every: Every::SignIn,
            } => write!(f, "{key} = \"{text}\""),
            Self::Notice {
                text,
                every: Every::Day,
            } => write!(f, "{key} = {{ text = \"{text}\", every = \"day\" }}"),
            Self::Shadow { pool } => write!(f, "{key} = \"{pool}\""),
        }
    }
}

/// What a rule may be about. The first match wins for each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aspect {
    /// Which pool, or none.
    Access,
    /// Which region.
    Fence,
    /// What is shown beside.
    Notice,
    /// Which second pool is asked.
    Shadow,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Access, Self::Fence, Self::Notice, Self::Shadow];
}

/// A maintenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// What users are told.
    pub text: Box<str>,
    /// What is possible meanwhile.
    pub access: Access,
    /// How many of those it kept out may sign in each second once it is over. `None`: all at once.
    pub sign_ins_per_sec: Option<NonZeroU32>,
}

crate::text::choices! {
    /// What is possible during a maintenance.
    pub enum Access {
        /// Nothing.
        Closed = "closed",
        /// Reading.
        ReadOnly = "read-only",
    }

    /// How often a notice is shown to a user.
    pub enum Every {
        /// Once per sign-in.
        SignIn = "sign-in",
        /// Once per day (UTC).
        Day = "day",
    }
}

/// What is to be decided. A condition on something that is not known does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who.
    pub user: &'a UserUri,
    /// From which address; IPv4 addresses as such, not mapped into IPv6.
    pub network: Option<std::net::IpAddr>,
    /// On which listener.
    pub listener: Option<&'a ListenerName>,
    /// With which client: its User-Agent.
    pub client: Option<&'a str>,
    /// To do what.
    pub act: Act,
    /// In which room. None for what concerns no room.
    pub room: Option<RoomFacts<'a>>,
    /// When.
    pub at: jiff::Timestamp,
}

/// What rules may ask of a room.
#[derive(Clone, Copy, Debug)]
pub struct RoomFacts<'a> {
    /// Its legacy id.
    pub id: &'a RoomUri,
    /// Its name in the directory; empty if that has none.
    pub name: &'a str,
    /// Its category in the directory; empty if that has none.
    pub category: &'a str,
}
