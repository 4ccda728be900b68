//! A question that a rule is about, to find the rules that may take it away.

use std::net::IpAddr;

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;

use crate::names::ListenerName;
use crate::rules::{
    Act, Condition, Glob, Question, RoomFacts, RoomPattern, Test, UserPattern, Users,
};

/// What one question is made of. Of everything by which rules are found it fits the conditions it was made from.
pub(super) struct Witness {
    user: UserUri,
    network: Option<IpAddr>,
    listener: Option<ListenerName>,
    client: Option<String>,
    act: Act,
    room: Option<RoomUri>,
    room_name: String,
    category: String,
    at: Timestamp,
}

impl Witness {
    /// `None`: there can be no user like that.
    pub(super) fn new(when: &[Condition], act: Act) -> Option<Self> {
        let mut witness = Self {
            // Nobody whom a rule names.
            user: UserUri::parse("nobody@holdover.invalid").ok()?,
            network: None,
            listener: None,
            client: None,
            act,
            room: None,
            room_name: String::new(),
            category: String::new(),
            at: Timestamp::UNIX_EPOCH,
        };
        let mut of_domain = None;
        let mut of_user = None;
        for condition in when.iter().filter(|condition| !condition.negated) {
            match &condition.test {
                Test::User(users) => of_user = user(users),
                Test::Domain(domains) => {
                    of_domain = domains
                        .first()
                        .and_then(|domain| UserUri::parse(&format!("nobody@{domain}")).ok());
                }
                Test::Network(networks) => {
                    witness.network = networks.first().map(|network| network.address());
                }
                Test::Listener(listeners) => witness.listener = listeners.first().cloned(),
                Test::Client(globs) => witness.client = globs.first().map(shortest),
                Test::Room(rooms) => witness.room = rooms.first().and_then(room),
                Test::RoomName(globs) => {
                    witness.room_name = globs.first().map(shortest).unwrap_or_default();
                }
                Test::Category(globs) => {
                    witness.category = globs.first().map(shortest).unwrap_or_default();
                }
                Test::Time(window) => {
                    let last = window.until.and_then(|until| {
                        until.checked_sub(jiff::SignedDuration::from_secs(1)).ok()
                    });
                    witness.at = window.from.or(last).unwrap_or(witness.at);
                }
                _ => {}
            }
        }
        if let Some(user) = of_user.or(of_domain) {
            witness.user = user;
        }
        if witness.room.is_none() && !(witness.room_name.is_empty() && witness.category.is_empty())
        {
            witness.room = RoomUri::new("holdover.invalid", "nowhere").ok();
        }
        Some(witness)
    }

    pub(super) fn question(&self) -> Question<'_> {
        Question {
            user: &self.user,
            network: self.network,
            listener: self.listener.as_ref(),
            client: self.client.as_deref(),
            act: self.act,
            room: self.room.as_ref().map(|id| RoomFacts {
                id,
                name: &self.room_name,
                category: &self.category,
            }),
            at: self.at,
        }
    }
}

/// A text that a pattern matches.
fn shortest(glob: &Glob) -> String {
    filled(glob, "")
}

/// The pattern with a text in place of each `*`.
fn filled(glob: &Glob, text: &str) -> String {
    glob.as_str().replace('*', text).replace('?', "x")
}

fn user(users: &Users) -> Option<UserUri> {
    match users.patterns.first() {
        Some(UserPattern::One(user)) => Some(user.clone()),
        Some(UserPattern::Many(glob)) => ["", "x", "x@x"].into_iter().find_map(|text| {
            let user = UserUri::parse(&filled(glob, text)).ok()?;
            glob.matches(user.address()).then_some(user)
        }),
        None => {
            let file = users.file.as_ref()?;
            file.users.iter().next().cloned()
        }
    }
}

fn room(room: &RoomPattern) -> Option<RoomUri> {
    let glob = match room {
        RoomPattern::One(room) => return Some(room.clone()),
        RoomPattern::Many(glob) => glob,
    };
    let begins = ["", "ma-chan://x", "ma-chan://x/"];
    let (begin, rest) = match glob.as_str().strip_prefix('*') {
        Some(rest) => (begins.as_slice(), rest),
        None => (begins.get(..1).unwrap_or_default(), glob.as_str()),
    };
    begin.iter().find_map(|begin| {
        ["", "x", "x/x"].into_iter().find_map(|text| {
            let id = format!("{begin}{}", filled(&Glob::new(rest), text));
            let room: RoomUri = id.parse().ok()?;
            glob.matches(room.as_str()).then_some(room)
        })
    })
}
