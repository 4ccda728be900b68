//! Which rules may match a question, found without looking at the others.
//!
//! Each rule is filed under the condition that fewest other rules share: exact users, a domain, exact rooms, a network, a
//! listener, or what a pattern begins or ends with or holds in its midst. A question is asked for under everything that it
//! is; what is found is then tried. Rules that are picky about none of these are looked at for every question, but cheaply:
//! acts, times and percentages are compared before the rule itself is touched.
//!
//! Keys are hashes. Two things with one hash only mean that a rule is tried in vain.

mod key;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use jiff::Timestamp;

use self::key::{Keys, Kinds};
use super::act::Act;
use super::condition::Test;
use super::share::bucket;
use super::{Question, Rule};

/// Number of a rule, in the order in which they are tried.
type Number = u32;

/// The rules of one aspect.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where the rules of each key begin in `entries`, and how many there are.
    keys: HashMap<u64, (u32, u32), BuildHasherDefault<Mixed>>,
    /// What is asked of a question at all.
    kinds: Kinds,
    entries: Vec<Entry>,
    /// Rules without a key.
    others: Vec<Entry>,
    /// Whether percentages matter.
    percents: bool,
}

/// A rule, with what can be compared without touching it. All of it must fit, and it may fit where the rule does not match.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: Number,
    /// By number of the act.
    acts: u8,
    /// Users whose number is not below are out.
    below: u8,
    /// Seconds since 1970.
    from: i64,
    until: i64,
}

/// What entries are compared with.
struct Probe {
    act: u8,
    bucket: u8,
    at: i64,
}

impl Entry {
    fn new(number: Number, rule: &Rule) -> Self {
        let mut entry = Self {
            number,
            acts: 0,
            below: 100,
            from: i64::MIN,
            until: i64::MAX,
        };
        for act in Act::ALL.into_iter().filter(|act| rule.concerns(*act)) {
            entry.acts |= 1 << act.index();
        }
        for condition in rule.when.iter().filter(|condition| !condition.negated) {
            match &condition.test {
                Test::Percent(percent) => entry.below = entry.below.min(percent.get()),
                Test::Time(window) => {
                    // Parts of a second are left to the rule itself.
                    let second = |at: Timestamp| at.as_second();
                    if let Some(from) = window.from {
                        entry.from = entry.from.max(second(from).saturating_sub(1));
                    }
                    if let Some(until) = window.until {
                        entry.until = entry.until.min(second(until).saturating_add(1));
                    }
                }
                _ => {}
            }
        }
        entry
    }

    fn fits(&self, probe: &Probe) -> bool {
        self.acts & probe.act != 0
            && probe.bucket < self.below
            && self.from <= probe.at
            && probe.at <= self.until
    }
}

impl Index {
    /// Files rules under their numbers, which ascend.
    pub(super) fn new<'r>(rules: impl IntoIterator<Item = (Number, &'r Rule)>) -> Self {
        let mut index = Self::default();
        let mut filed: Vec<(Entry, Vec<Keys>)> = Vec::new();
        let mut shared: HashMap<u64, u32, BuildHasherDefault<Mixed>> = HashMap::default();
        let rules = rules.into_iter();
        let most = rules.size_hint().1.unwrap_or_default();
        filed.reserve(most);
        shared.reserve(most * 2);
        for (number, rule) in rules {
            let entry = Entry::new(number, rule);
            index.percents |= entry.below < 100;
            let keys = key::of_rule(rule);
            for key in keys.iter().flat_map(|keys| &keys.hashes) {
                *shared.entry(*key).or_default() += 1;
            }
            filed.push((entry, keys));
        }
        let mut under: Vec<(u64, Entry)> = Vec::with_capacity(filed.len());
        for (entry, keys) in filed {
            let least = keys.into_iter().min_by_key(|keys| {
                let most = keys.hashes.iter().filter_map(|key| shared.get(key)).max();
                most.copied()
            });
            match least {
                Some(keys) => {
                    index.kinds.add(&keys);
                    under.extend(keys.hashes.into_iter().map(|key| (key, entry)));
                }
                None => index.others.push(entry),
            }
        }
        under.sort_unstable_by_key(|(key, entry)| (*key, entry.number));
        // Two values of one rule may have one key.
        under.dedup_by_key(|(key, entry)| (*key, entry.number));
        for run in under.chunk_by(|a, b| a.0 == b.0) {
            let start = u32::try_from(index.entries.len()).unwrap_or(u32::MAX);
            let length = u32::try_from(run.len()).unwrap_or(u32::MAX);
            if let Some((key, _)) = run.first() {
                index.keys.insert(*key, (start, length));
            }
            index.entries.extend(run.iter().map(|(_, entry)| *entry));
        }
        index
    }

    /// The lowest number of the rules that match, by a test that is asked only of those that may.
    pub(super) fn first(
        &self,
        question: &Question<'_>,
        mut matches: impl FnMut(Number) -> bool,
    ) -> Option<Number> {
        let probe = self.probe(question);
        let mut first = None;
        self.lists(question, |list| {
            let before = first.unwrap_or(Number::MAX);
            let found = list
                .iter()
                .take_while(|entry| entry.number < before)
                .find(|entry| entry.fits(&probe) && matches(entry.number));
            if let Some(entry) = found {
                first = Some(entry.number);
            }
        });
        first
    }

    /// The numbers of all rules that may match, ascending, whatever percentage of users they are about.
    pub(super) fn candidates(&self, question: &Question<'_>) -> Vec<Number> {
        let mut probe = self.probe(question);
        probe.bucket = 0;
        let mut numbers = Vec::new();
        self.lists(question, |list| {
            let fitting = list.iter().filter(|entry| entry.fits(&probe));
            numbers.extend(fitting.map(|entry| entry.number));
        });
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn probe(&self, question: &Question<'_>) -> Probe {
        Probe {
            act: 1 << question.act.index(),
            bucket: if self.percents {
                bucket(question.user)
            } else {
                0
            },
            at: question.at.as_second(),
        }
    }

    /// Each list of rules that may match, each ascending.
    fn lists<'i>(&'i self, question: &Question<'_>, mut take: impl FnMut(&'i [Entry])) {
        if !self.keys.is_empty() {
            self.kinds.of_question(question, |key| {
                if let Some((start, length)) = self.keys.get(&key) {
                    let start = usize::try_from(*start).unwrap_or(usize::MAX);
                    let length = usize::try_from(*length).unwrap_or_default();
                    let list = self.entries.get(start..start.saturating_add(length));
                    take(list.unwrap_or_default());
                }
            });
        }
        take(&self.others);
    }
}

/// Keys are mixed already.
#[derive(Debug, Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not used: keys are whole numbers.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
