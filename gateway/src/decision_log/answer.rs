//! DecisionList as they are shown over HTTP, and read from there.

use holdover_config::rules::Rule;
use serde::{Deserialize, Serialize};

use super::{DecidedBy, Record, Verdict};

/// The last decisions, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionList {
    /// Each of them.
    pub decisions: Vec<Shown>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// When.
    pub at: String,
    /// What was asked.
    #[serde(flatten)]
    pub asked: ShownQuestion,
    /// Whether it was allowed.
    pub allowed: bool,
    /// Where; none for what concerns no single pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The room as the pool knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrated: Option<String>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the user was told who was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The rule that decided; none: the directory alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<ShownRule>,
    /// Number of the configuration that was decided by.
    pub generation: u64,
}

/// What is decided: somebody wants to do something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShownQuestion {
    /// Who.
    pub user: String,
    /// To do what.
    pub act: String,
    /// In which room, as the client knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// With which client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// From which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ip: Option<String>,
    /// On which listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
}

/// A rule by its name and place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownRule {
    /// Its name.
    pub name: String,
    /// `file:line`.
    pub source: String,
}

impl From<&Rule> for ShownRule {
    fn from(rule: &Rule) -> Self {
        Self {
            name: rule.name.to_string(),
            source: rule.place.to_string(),
        }
    }
}

impl From<&DecidedBy> for ShownRule {
    fn from(rule: &DecidedBy) -> Self {
        Self {
            name: rule.name.to_string(),
            source: rule.place.to_string(),
        }
    }
}

impl From<&Record> for Shown {
    fn from(record: &Record) -> Self {
        let (pool, migrated, refused) = match &record.outcome {
            Verdict::Allowed { pool, migrated } => (pool.as_ref(), migrated.as_ref(), None),
            Verdict::Refused { reason, text } => (None, None, Some((reason, text))),
        };
        Self {
            at: record.at.to_string(),
            asked: ShownQuestion {
                user: record.user.to_string(),
                act: record.act.as_str().to_owned(),
                room: record.room.as_ref().map(ToString::to_string),
                client: record.client.as_deref().map(str::to_owned),
                from_ip: record.network.map(|address| address.to_string()),
                listener: record.listener.as_ref().map(ToString::to_string),
            },
            allowed: refused.is_none(),
            pool: pool.map(ToString::to_string),
            migrated: migrated.map(ToString::to_string),
            reason: refused.map(|(reason, _)| reason.as_str().to_owned()),
            text: refused.map(|(_, text)| text.to_string()),
            rule: record.rule.as_ref().map(ShownRule::from),
            generation: record.generation,
        }
    }
}
