//! Which rules may match a question, found without looking at the others.
//!
//! Each rule is filed under what it is pickiest about: exact users, a domain of users, exact rooms; what is picky about none
//! of these is looked at for every question of its acts. The rules of all drawers that fit are then tried in their order.

use std::collections::HashMap;

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;

use super::act::Act;
use super::condition::{RoomPattern, Test, UserPattern};
use super::{Question, Rule};

/// Number of a rule, in the order in which they are tried.
type Number = u32;

/// The rules of one aspect.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_user: HashMap<UserUri, Vec<Number>>,
    by_domain: HashMap<Box<str>, Vec<Number>>,
    by_room: HashMap<RoomKey, Vec<Number>>,
    /// By the number of the act.
    others: [Vec<Number>; Act::ALL.len()],
}

/// A room's identifier as it compares: the value exactly, the domain in lower case.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RoomKey(Box<str>);

impl RoomKey {
    fn new(room: &RoomUri) -> Self {
        let mut key = room.domain().to_ascii_lowercase();
        key.push('/');
        key.push_str(room.value());
        Self(key.into())
    }
}

impl Index {
    /// Files the rule under its number. Rules come in ascending order.
    pub(super) fn add(&mut self, number: Number, rule: &Rule) {
        match drawer(rule) {
            Drawer::Users(keys) => {
                for key in keys {
                    match key {
                        UserKey::One(user) => {
                            put(self.by_user.entry(user.clone()).or_default(), number)
                        }
                        UserKey::Domain(domain) => {
                            put(self.by_domain.entry(domain.into()).or_default(), number)
                        }
                    }
                }
            }
            Drawer::Rooms(rooms) => {
                for room in rooms {
                    put(self.by_room.entry(RoomKey::new(room)).or_default(), number);
                }
            }
            Drawer::Others => {
                for act in Act::ALL.into_iter().filter(|act| rule.concerns(*act)) {
                    if let Some(others) = self.others.get_mut(act.index()) {
                        others.push(number);
                    }
                }
            }
        }
    }

    /// The numbers of the rules that may match, ascending.
    pub(super) fn candidates<'i>(&'i self, question: &Question<'_>) -> Candidates<'i> {
        let by_user = self.by_user.get(question.user);
        let by_domain = self.by_domain.get(question.user.domain());
        let by_room = match question.room {
            Some(room) if !self.by_room.is_empty() => self.by_room.get(&RoomKey::new(room.id)),
            _ => None,
        };
        let others = self.others.get(question.act.index());
        Candidates(
            [by_user, by_domain, by_room, others].map(|list| list.map_or(&[][..], Vec::as_slice)),
        )
    }
}

fn put(drawer: &mut Vec<Number>, number: Number) {
    if drawer.last() != Some(&number) {
        drawer.push(number);
    }
}

/// What a rule is pickiest about.
enum Drawer<'r> {
    Users(Vec<UserKey<'r>>),
    Rooms(Vec<&'r RoomUri>),
    Others,
}

enum UserKey<'r> {
    One(&'r UserUri),
    Domain(&'r str),
}

fn drawer(rule: &Rule) -> Drawer<'_> {
    let tests = || {
        rule.when
            .iter()
            .filter(|condition| !condition.negated)
            .map(|condition| &condition.test)
    };
    let rooms = tests().find_map(|test| match test {
        Test::Room(patterns) => patterns
            .iter()
            .map(|pattern| match pattern {
                RoomPattern::One(room) => Some(room),
                RoomPattern::Many(_) => None,
            })
            .collect::<Option<Vec<_>>>(),
        _ => None,
    });
    let users = tests().find_map(|test| match test {
        Test::User(users) => {
            let of_file = users
                .file
                .iter()
                .flat_map(|file| file.users.iter())
                .map(|user| Some(UserKey::One(user)));
            let patterns = users.patterns.iter().map(|pattern| match pattern {
                UserPattern::One(user) => Some(UserKey::One(user)),
                UserPattern::Many(glob) => glob.domain().map(UserKey::Domain),
            });
            patterns.chain(of_file).collect::<Option<Vec<_>>>()
        }
        Test::Domain(domains) => Some(
            domains
                .iter()
                .map(|domain| UserKey::Domain(domain.as_str()))
                .collect(),
        ),
        _ => None,
    });
    let names_users = users
        .as_ref()
        .is_some_and(|keys| keys.iter().all(|key| matches!(key, UserKey::One(_))));
    match (users, rooms) {
        (Some(users), _) if names_users => Drawer::Users(users),
        (_, Some(rooms)) => Drawer::Rooms(rooms),
        (Some(users), None) => Drawer::Users(users),
        (None, None) => Drawer::Others,
    }
}

/// Ascending numbers out of several ascending lists, each once.
pub(super) struct Candidates<'i>([&'i [Number]; 4]);

impl Iterator for Candidates<'_> {
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        let least = self
            .0
            .iter()
            .filter_map(|list| list.first())
            .min()
            .copied()?;
        for list in &mut self.0 {
            if let Some((first, rest)) = list.split_first()
                && *first == least
            {
                *list = rest;
            }
        }
        Some(least)
    }
}
