//! Why something is decided as it is, for people: the same answer on the command line and over HTTP.
//!
//! The decision is [`Routing::decide`]'s or [`Routing::admit`]'s, which sessions ask; nothing is decided here.

mod asked;
mod show;
#[cfg(test)]
mod tests;

use holdover_config::rules::{Aspect, Miss, Rule};
use holdover_protocol::room::RoomUri;
use serde::Serialize;

pub use asked::{Asked, BadWord, Words};

use super::{Routing, facts, question};
use crate::decide::{FOREIGN_DOMAIN, Refusal};
use crate::decision_log::{ShownQuestion, ShownRule};
use crate::directory::{Query, Room};
use crate::pool::PoolId;

/// Why something is decided as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What is asked.
    #[serde(flatten)]
    pub asked: ShownQuestion,
    /// When.
    pub at: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// Where; none for what concerns no single pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The region that the pool is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The room as the pool knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrated: Option<String>,
    /// Why it is refused, as in the event log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What the user is told who is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The rule that decided; none: no rule has a say, and the directory decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Deciding>,
    /// Where a fence refused what another rule had allowed: that rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overruled: Option<ShownRule>,
    /// The rule, of those tried before, that lacked least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Nearest>,
    /// The region that the pool must be in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// What is shown beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
    /// The pool that is asked too, to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// What the directory says of the room; none if it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Room>,
    /// The user's number from 0 to 99, by which percentages go.
    pub bucket: u8,
    /// Number of the configuration; none if it is not in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// The rule that decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deciding {
    /// Which.
    #[serde(flatten)]
    pub rule: ShownRule,
    /// Its conditions, all of which held.
    pub held: Vec<String>,
}

/// A rule that did not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nearest {
    /// Which.
    #[serde(flatten)]
    pub rule: ShownRule,
    /// How many of its conditions held.
    pub held: usize,
    /// Those that failed. Empty: the rule is not about such an act.
    pub failed: Vec<String>,
}

impl From<Miss<'_>> for Nearest {
    fn from(miss: Miss<'_>) -> Self {
        Self {
            rule: ShownRule::from(&**miss.rule),
            held: miss.held,
            failed: miss.failed,
        }
    }
}

/// The region that the pool must be in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fence {
    /// The region.
    pub region: String,
    /// By which rule.
    pub rule: ShownRule,
}

/// What is shown beside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The line.
    pub text: String,
    /// How often: `sign-in` or `day`.
    pub every: &'static str,
    /// By which rule.
    pub rule: ShownRule,
}

/// A pool that is asked too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shadow {
    /// The pool.
    pub pool: String,
    /// By which rule.
    pub rule: ShownRule,
}

/// The word of a reason, and what the user is told.
type Told = (&'static str, Box<str>);

/// A decision about a room and one about no room, alike.
struct ShownOutcome {
    /// Where, or why not: the word of the reason and what the user is told.
    outcome: Result<(Option<PoolId>, Option<RoomUri>), Told>,
    rule: Option<std::sync::Arc<Rule>>,
}

impl Routing {
    /// Decides, by the function that sessions ask, and says why.
    #[must_use]
    pub fn explain(&self, asked: &Asked) -> Explanation {
        let Asked {
            caller,
            at,
            act,
            room,
        } = asked;
        let told = |refusal: Refusal| (refusal.reason.as_str(), refusal.text);
        let is_foreign = !self.pools.serves(caller.user.domain());
        let decided = match room {
            // Nobody of another domain gets so far that a rule is asked.
            _ if is_foreign => ShownOutcome {
                outcome: Err(("foreign-domain", FOREIGN_DOMAIN.into())),
                rule: None,
            },
            Some(legacy) => {
                let decided = self.decide(caller, *at, *act, legacy);
                let there =
                    |target: crate::decide::Target| (Some(target.pool), Some(target.migrated));
                ShownOutcome {
                    outcome: decided.outcome.map(there).map_err(told),
                    rule: decided.rule,
                }
            }
            None => {
                let decided = self.admit(caller, *at, *act);
                ShownOutcome {
                    outcome: decided.outcome.map(|pool| (pool, None)).map_err(told),
                    rule: decided.rule,
                }
            }
        };
        let listed = room.as_ref().map(|legacy| self.directory.resolve(legacy));
        let known = room.as_ref().zip(listed.as_ref());
        let known = known.map(|(legacy, listed)| facts(legacy, listed));
        let question = question(caller, *at, *act, known);
        let rules = self.rules.explain(&question);
        let entry = room.as_ref().and_then(|legacy| {
            let says = self
                .directory
                .explain(&Query::Legacy(legacy.clone()), self.generation);
            says.rooms.into_iter().next()
        });
        let fenced = decided.rule.as_deref();
        let fenced = fenced.is_some_and(|rule| rule.then.aspect() == Aspect::Fence);
        let overruled = rules.decision.rule.filter(|_| fenced);
        let ((pool, migrated), refusal) = match decided.outcome {
            Ok(target) => (target, None),
            Err(refusal) => ((None, None), Some(refusal)),
        };
        // Who is refused is shown nothing, and nobody else is asked.
        let beside = refusal.is_none().then_some(&question);
        let notice = beside.and_then(|question| self.rules.notice(question));
        let shadow = beside.and_then(|question| self.rules.shadow(question));
        let name = |pool| self.pools.name(pool).map(ToString::to_string);
        let region = |pool| self.pools.region(pool).map(ToString::to_string);
        Explanation {
            asked: ShownQuestion {
                user: caller.user.to_string(),
                act: act.as_str().to_owned(),
                room: room.as_ref().map(ToString::to_string),
                client: caller.client.as_deref().map(str::to_owned),
                from_ip: caller.network.map(|address| address.to_string()),
                listener: caller.listener.as_ref().map(ToString::to_string),
            },
            at: at.to_string(),
            allowed: refusal.is_none(),
            pool: pool.and_then(name),
            region: pool.and_then(region),
            migrated: migrated.map(|migrated| migrated.to_string()),
            reason: refusal.as_ref().map(|(reason, _)| *reason),
            text: refusal.map(|(_, text)| text.into()),
            rule: decided.rule.as_deref().map(|rule| Deciding {
                rule: ShownRule::from(rule),
                held: rule.when.iter().map(ToString::to_string).collect(),
            }),
            overruled: overruled.map(|rule| ShownRule::from(&**rule)),
            nearest: rules.nearest.filter(|_| !is_foreign).map(Nearest::from),
            fence: self.rules.fence(&question).map(|(region, rule)| Fence {
                region: region.to_string(),
                rule: ShownRule::from(&**rule),
            }),
            notice: notice.map(|(text, every, rule)| Notice {
                text: text.to_owned(),
                every: every.as_str(),
                rule: ShownRule::from(&**rule),
            }),
            shadow: shadow.map(|(pool, rule)| Shadow {
                pool: pool.to_string(),
                rule: ShownRule::from(&**rule),
            }),
            entry,
            bucket: holdover_config::rules::bucket(&caller.user),
            generation: Some(self.generation),
        }
    }
}
