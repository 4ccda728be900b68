//! What `chansrch` looks for.

use holdover_protocol::xccos::block::QueryBlock;
use holdover_protocol::xccos::{Outcome, ResultCode};

/// Most characters of the criteria of a search. Names of rooms are shorter.
const CHARACTERS: usize = 512;
/// Most different words of a search.
const WORDS: usize = 32;

/// The words of a search, in lower case, each once. None: every room has them.
#[derive(Debug)]
pub(super) struct Words(Vec<Box<str>>);

impl Words {
    /// The words of a query.
    ///
    /// # Errors
    ///
    /// The query looks for something other than names, or is longer than anybody types.
    pub(super) fn of(query: &QueryBlock) -> Result<Self, Outcome> {
        if !query.query_type.eq_ignore_ascii_case(QueryBlock::BY_NAME) {
            return Err(ResultCode::NotSupported.into());
        }
        let too_much = || {
            let text = format!("Search for at most {WORDS} words and {CHARACTERS} characters.");
            Outcome::new(ResultCode::LimitExceeded, text)
        };
        if query.criteria.chars().nth(CHARACTERS).is_some() {
            return Err(too_much());
        }
        let criteria = query.criteria.to_lowercase();
        let mut words: Vec<Box<str>> = criteria.split_whitespace().map(Into::into).collect();
        words.sort_unstable();
        words.dedup();
        if words.len() > WORDS {
            return Err(too_much());
        }
        Ok(Self(words))
    }

    /// Whether a name, in lower case, holds every word.
    pub(super) fn are_in(&self, name: &str) -> bool {
        self.0.iter().all(|word| name.contains(&**word))
    }
}
