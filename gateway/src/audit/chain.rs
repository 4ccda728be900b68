//! A line of the file, and how it holds on to the line before it. Pure.

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::hash::Hash;

/// What stands between a record and its own hash.
const HASH_KEY: &str = ",\"hash\":\"";

/// What ends a line, without its line feed.
const END: &str = "\"}";

/// Where a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Link {
    /// Number of the last record; 0: there is none.
    pub(super) n: u64,
    /// Its hash.
    pub(super) hash: Hash,
}

impl Link {
    /// Before the first record.
    pub(super) const START: Self = Self {
        n: 0,
        hash: Hash::NONE,
    };
}

/// A record as it is written.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    pub(super) n: u64,
    pub(super) at: String,
    #[serde(flatten)]
    pub(super) entry: &'a Entry,
    /// Octets of a line that a crash cut short, which were removed before this one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) torn: Option<u64>,
    /// Records that once stood before this one and were gone when it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<String>,
    pub(super) previous: Hash,
}

impl Record<'_> {
    /// The line, with its line feed, and its hash.
    pub(super) fn line(&self) -> serde_json::Result<(String, Hash)> {
        let mut line = serde_json::to_string(self)?;
        line.pop();
        let hash = Hash::of(line.as_bytes());
        line.push_str(HASH_KEY);
        line.push_str(&hash.to_string());
        line.push_str(END);
        line.push('\n');
        Ok((line, hash))
    }
}

/// What a line says about its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Place {
    pub(super) n: u64,
    pub(super) previous: Hash,
    #[serde(default)]
    pub(super) missing: Option<String>,
    #[serde(skip, default = "none")]
    pub(super) hash: Hash,
}

fn none() -> Hash {
    Hash::NONE
}

/// Why a line is none of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It is no record.
    NoRecord,
    /// Its content is not that of its hash.
    Changed,
}

/// Reads a line, which is without its line feed.
pub(super) fn read(line: &[u8]) -> Result<Place, Foreign> {
    let text = std::str::from_utf8(line).map_err(|_| Foreign::NoRecord)?;
    let (body, hash) = text
        .strip_suffix(END)
        .and_then(|text| text.split_at_checked(text.len().checked_sub(Hash::DIGITS)?))
        .ok_or(Foreign::NoRecord)?;
    let body = body.strip_suffix(HASH_KEY).ok_or(Foreign::NoRecord)?;
    let hash: Hash = hash.parse().map_err(|_| Foreign::NoRecord)?;
    if Hash::of(body.as_bytes()) != hash {
        return Err(Foreign::Changed);
    }
    let place: Place = serde_json::from_str(text).map_err(|_| Foreign::NoRecord)?;
    Ok(Place { hash, ..place })
}
