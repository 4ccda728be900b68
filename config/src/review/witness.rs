//! A question that a rule is about, to find the rules that may take it away.

use std::net::IpAddr;

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;

use crate::names::ListenerName;
use crate::rules::{Act, Condition, Question, RoomFacts, RoomPattern, Test, UserPattern, Users};

/// What one question is made of. Of everything by which rules are found it fits the conditions it was made from.
pub(super) struct Witness {
    user: UserUri,
    network: Option<IpAddr>,
    listener: Option<ListenerName>,
    act: Act,
    room: Option<RoomUri>,
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
            act,
            room: None,
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
                Test::Room(rooms) => {
                    witness.room = rooms.first().and_then(|room| match room {
                        RoomPattern::One(room) => Some(room.clone()),
                        RoomPattern::Many(_) => None,
                    });
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
        Some(witness)
    }

    pub(super) fn question(&self) -> Question<'_> {
        Question {
            user: &self.user,
            network: self.network,
            listener: self.listener.as_ref(),
            client: None,
            act: self.act,
            room: self.room.as_ref().map(|id| RoomFacts {
                id,
                name: "",
                category: "",
            }),
            at: self.at,
        }
    }
}

fn user(users: &Users) -> Option<UserUri> {
    if let Some(pattern) = users.patterns.first() {
        return match pattern {
            UserPattern::One(user) => Some(user.clone()),
            UserPattern::Many(glob) => UserUri::parse(&format!("nobody@{}", glob.domain()?)).ok(),
        };
    }
    users
        .file
        .as_ref()
        .and_then(|file| file.users.iter().next().cloned())
}
