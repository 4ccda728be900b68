//! What a session asks of whoever decides: the rules and the directory.

use std::sync::Arc;

use holdover_config::RuleName;
use holdover_config::rules::{Act, Every, Rule};
use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::Verb;

use crate::pool::PoolId;

/// Where a legacy room lives now.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The pool.
    pub pool: PoolId,
    /// The room's identifier there.
    pub migrated: RoomUri,
}

/// Why something cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The closed set of reasons, for the event log.
    pub reason: RefusalReason,
    /// What the user is shown: names the admin's note where there is one.
    pub text: Box<str>,
}

/// The closed set of reasons for which something is refused before any pool is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// The directory says the room was closed for good.
    Retired,
    /// The directory says the room has not been moved yet.
    Pending,
    /// The directory does not list the room and is told to refuse such rooms.
    Unlisted,
    /// A rule says no.
    Rule,
    /// A rule says no for now.
    Maintenance,
    /// A rule lets nothing be written.
    ReadOnly,
    /// A rule names a pool on which the room has no identifier.
    NoTarget,
    /// The pool is not in the region that a rule demands.
    Region,
}

/// What somebody is told at sign-in whose domain is not served.
pub const FOREIGN_DOMAIN: &str = "This address is not of a domain served here.";

impl RefusalReason {
    /// The word in the event log and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::Pending => "pending",
            Self::Unlisted => "unlisted",
            Self::Rule => "rule",
            Self::Maintenance => "maintenance",
            Self::ReadOnly => "read-only",
            Self::NoTarget => "no-target",
            Self::Region => "region",
        }
    }
}

/// A decision, and the rule that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided<T = Target> {
    /// What was decided.
    pub outcome: Result<T, Refusal>,
    /// The rule; `None`: the directory alone.
    pub rule: Option<Arc<Rule>>,
    /// Number of the configuration that was decided by.
    pub generation: u64,
}

/// A line that is shown to a user in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The line.
    pub text: Box<str>,
    /// How often.
    pub every: Every,
    /// The rule that has it.
    pub rule: RuleName,
}

impl<T> Decided<T> {
    /// Whether a rule says no, whatever the directory says.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.outcome
            .as_ref()
            .is_err_and(|refusal| match refusal.reason {
                RefusalReason::Rule
                | RefusalReason::Maintenance
                | RefusalReason::ReadOnly
                | RefusalReason::Region => true,
                RefusalReason::Retired
                | RefusalReason::Pending
                | RefusalReason::Unlisted
                | RefusalReason::NoTarget => false,
            })
    }
}

impl<T> From<Result<T, Refusal>> for Decided<T> {
    fn from(outcome: Result<T, Refusal>) -> Self {
        Self {
            outcome,
            rule: None,
            generation: 0,
        }
    }
}

/// A second pool that is asked what the first one is asked, to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The second pool.
    pub pool: PoolId,
    /// The room there; `None`: it is not there, or the command concerns no room.
    pub migrated: Option<RoomUri>,
    /// The rule that says so.
    pub rule: RuleName,
}

/// When something is decided: at equal moments the same user, on the same connection, is decided the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// See [`Decisions::version`].
    pub version: u64,
    /// How often rules have begun or ceased to match by themselves.
    pub passed: usize,
}

/// What the rules and the directory say to one user. The one seam by which a session asks; it never blocks.
pub trait Decisions {
    /// Number of what is decided by. With another number any decision may be another one.
    fn version(&self) -> u64;

    /// The moment of these decisions. `None`: nobody can tell, and each thing is decided for itself.
    fn moment(&self) -> Option<Moment> {
        None
    }

    /// Decides where a room that a client named is to be found, for something the user does there.
    fn resolve(&self, act: Act, legacy: &RoomUri) -> Decided;

    /// Decides about something that concerns no room. The pool, if it is to be asked of one alone.
    fn admit(&self, act: Act) -> Decided<Option<PoolId>>;

    /// What is to be shown to the user now that a room is open. What is shown once a day is not answered again.
    fn take_notice(&self, legacy: &RoomUri) -> Option<Notice> {
        let _ = legacy;
        None
    }

    /// The second pool that is to be asked this command too.
    fn shadow(&self, verb: &Verb, legacy: Option<&RoomUri>) -> Option<Shadow> {
        let _ = (verb, legacy);
        None
    }

    /// The identifier by which legacy clients know a pool's room, where it has no open window to tell.
    fn legacy_of(&self, pool: PoolId, migrated: &RoomUri) -> Option<RoomUri>;

    /// Whether a room that has no legacy identifier may be shown under the pool's own.
    fn shows_unlisted(&self) -> bool;

    /// Whether a room of this pool may be offered to the user: whether asking for it would lead there.
    fn offers(&self, pool: PoolId, migrated: &RoomUri) -> bool;

    /// Whether everything may be offered, which saves asking for each room.
    fn offers_all(&self) -> bool;

    /// The pool that answers what names no room and is not put together from all pools' answers.
    fn default_pool(&self) -> PoolId;

    /// The pool that keeps what clients save of themselves.
    fn preferences_pool(&self) -> PoolId {
        self.default_pool()
    }

    /// The domain in the identifiers that clients know, and the one in a pool's own, where it has another. What stands for
    /// a whole server, or for a category, is in the domain of the one who reads it.
    fn domains(&self, pool: PoolId) -> Option<(&str, &str)> {
        let _ = pool;
        None
    }

    /// All pools, the default one first.
    fn pools(&self) -> &[PoolId];
}

/// What a command is, as rules tell it.
#[must_use]
pub fn act_of(verb: &Verb) -> Act {
    match verb {
        // Nothing is decided about the first two: where to chat is Holdover's own answer, and leaving is never refused.
        Verb::RequestUri
        | Verb::Part
        | Verb::Join
        | Verb::BatchJoin
        | Verb::BackChat
        | Verb::GetInvitations
        | Verb::GetAssociations
        | Verb::GetServerInfo
        | Verb::GetPreference
        | Verb::NodesPermCreateChild => Act::Read,
        Verb::ChannelSearch => Act::Search,
        Verb::GetDownloadToken => Act::Download,
        Verb::GetUploadToken => Act::Upload,
        // Preferences are kept by the pool: where nothing may be written, nor may these. What is not known may write.
        _ => Act::Manage,
    }
}
