//! Which rooms a rule asks for, found without a look at each room for each rule.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use holdover_config::rules::{Act, Condition, Glob, Question, RoomFacts, RoomPattern, Test};
use holdover_protocol::fold::fold;
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;

use crate::directory::{Directory, Entry};

/// Number of a room, in the order of the files.
pub(super) type Number = u32;

/// Looks at a room for a rule that are taken at most. It takes a second or two; rules that people write need far fewer.
const LOOKS: usize = 20_000_000;

/// A room with its legacy id.
type Room = (RoomUri, Arc<Entry>);

/// Whether a condition is about the room.
pub(super) fn is_about_rooms(condition: &Condition) -> bool {
    matches!(
        condition.test,
        Test::Room(_) | Test::RoomName(_) | Test::Category(_)
    )
}

/// The rooms of a directory, by what rules ask for.
pub(super) struct Rooms {
    listed: Vec<Room>,
    /// By identifiers with their letters folded, as patterns compare them.
    by_id: Vec<(Box<str>, Number)>,
    /// By names with their letters folded.
    by_name: Vec<(Box<str>, Number)>,
    by_category: BTreeMap<Box<str>, Vec<Number>>,
    nobody: UserUri,
    known: HashMap<String, Rc<[Number]>>,
    looks: usize,
}

impl Rooms {
    /// `None` cannot be; it saves a panic.
    pub(super) fn new(directory: &Directory) -> Option<Self> {
        let mut entries: Vec<&Arc<Entry>> = directory.entries().collect();
        entries.sort_unstable_by_key(|entry| (entry.file(), entry.line()));
        let listed: Vec<Room> = entries
            .into_iter()
            .map(|entry| (entry.legacy(), Arc::clone(entry)))
            .collect();
        let sorted = |key: &dyn Fn(&Room) -> String| {
            let keys = listed.iter().map(|room| key(room).into_boxed_str());
            let mut keys: Vec<(Box<str>, Number)> = keys.zip(0..).collect();
            keys.sort_unstable();
            keys
        };
        let by_id = sorted(&|(id, _)| fold(id.as_str()).into_owned());
        let by_name = sorted(&|(_, entry)| fold(entry.name()).into_owned());
        let mut by_category: BTreeMap<Box<str>, Vec<Number>> = BTreeMap::new();
        for ((_, entry), number) in listed.iter().zip(0..) {
            match by_category.get_mut(entry.category()) {
                Some(rooms) => rooms.push(number),
                None => {
                    by_category.insert(entry.category().into(), vec![number]);
                }
            }
        }
        Some(Self {
            listed,
            by_id,
            by_name,
            by_category,
            nobody: UserUri::parse("nobody@invalid").ok()?,
            known: HashMap::new(),
            looks: 0,
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Number, &RoomUri, &Arc<Entry>)> {
        let numbered = self.listed.iter().zip(0..);
        numbered.map(|((id, entry), number)| (number, id, entry))
    }

    pub(super) fn id(&self, number: Number) -> Option<&RoomUri> {
        self.listed.get(number as usize).map(|(id, _)| id)
    }

    /// How many rooms were looked at for rules so far.
    #[cfg(test)]
    pub(super) fn looks(&self) -> usize {
        self.looks
    }

    /// The rooms for which all of these conditions hold, in the order of the files. `None`: that is too much to look at.
    pub(super) fn matched(&mut self, conditions: &[&Condition]) -> Option<Rc<[Number]>> {
        let key = format!("{conditions:?}");
        if let Some(known) = self.known.get(&key) {
            return Some(Rc::clone(known));
        }
        let narrow = conditions
            .iter()
            .filter(|condition| !condition.negated)
            .filter_map(|condition| self.candidates(&condition.test))
            .min_by_key(Vec::len);
        let candidates = match narrow {
            Some(candidates) => candidates,
            None => self.all().map(|(number, ..)| number).collect(),
        };
        self.looks += candidates.len();
        if self.looks > LOOKS {
            return None;
        }
        let mut matched: Vec<Number> = candidates
            .into_iter()
            .filter(|number| self.holds(*number, conditions))
            .collect();
        matched.sort_unstable();
        matched.dedup();
        let matched: Rc<[Number]> = matched.into();
        self.known.insert(key, Rc::clone(&matched));
        Some(matched)
    }

    fn holds(&self, number: Number, conditions: &[&Condition]) -> bool {
        let Some((id, entry)) = self.listed.get(number as usize) else {
            return false;
        };
        // Conditions about rooms ask for nothing else.
        let question = Question {
            user: &self.nobody,
            network: None,
            listener: None,
            client: None,
            act: Act::Read,
            room: Some(RoomFacts {
                id,
                name: entry.name(),
                category: entry.category(),
            }),
            at: Timestamp::UNIX_EPOCH,
        };
        conditions
            .iter()
            .all(|condition| condition.holds(&question))
    }

    /// Rooms among which are all for which the test holds. `None`: all rooms are.
    fn candidates(&self, test: &Test) -> Option<Vec<Number>> {
        let mut found = Vec::new();
        match test {
            Test::Room(patterns) => {
                for pattern in patterns {
                    let prefix = match pattern {
                        RoomPattern::One(room) => room.as_str(),
                        RoomPattern::Many(glob) => prefix(glob),
                    };
                    found.extend(range(&self.by_id, prefix)?);
                }
            }
            Test::RoomName(globs) => {
                for glob in globs {
                    found.extend(range(&self.by_name, prefix(glob))?);
                }
            }
            Test::Category(globs) => {
                for (category, rooms) in &self.by_category {
                    if globs.iter().any(|glob| glob.matches(category)) {
                        found.extend(rooms);
                    }
                }
            }
            _ => return None,
        }
        Some(found)
    }
}

/// What every text that matches begins with.
fn prefix(glob: &Glob) -> &str {
    let text = glob.as_str();
    text.split(['*', '?']).next().unwrap_or_default()
}

/// Those that begin with `prefix` in any case. `None`: all do.
fn range<'r>(
    sorted: &'r [(Box<str>, Number)],
    prefix: &str,
) -> Option<impl Iterator<Item = Number> + use<'r>> {
    if prefix.is_empty() {
        return None;
    }
    let prefix = fold(prefix);
    let start = sorted.partition_point(|(text, _)| **text < *prefix);
    let rest = sorted.get(start..).unwrap_or_default();
    let end = rest.partition_point(|(text, _)| text.starts_with(&*prefix));
    let found = rest.get(..end).unwrap_or_default();
    Some(found.iter().map(|(_, number)| *number))
}
