//! Test cases of the rules: questions with the answers that an admin expects.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::Timestamp;

use super::{Act, Class, Explanation, Place, Question, RoomFacts, Rule, RuleSet, Ruling};
use crate::names::{Domain, ListenerName, PoolName, Region, RuleName};

/// A question to the rules, and what must come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name, unique among all cases.
    pub name: RuleName,
    /// Where it stands.
    pub place: Place,
    /// Who asks.
    pub user: UserUri,
    /// About which room.
    pub room: Option<RoomUri>,
    /// The room's name in the directory.
    pub room_name: Box<str>,
    /// The room's category in the directory.
    pub category: Box<str>,
    /// What is done. Of a class of several acts, all must come to the same.
    pub act: Class,
    /// The client's User-Agent.
    pub client: Option<Box<str>>,
    /// The client's address.
    pub network: Option<IpAddr>,
    /// The listener that the client came to.
    pub listener: Option<ListenerName>,
    /// When.
    pub at: Timestamp,
    /// What must come of it.
    pub expect: Expectation,
}

/// What must come of a question. What is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// What is decided about access.
    pub outcome: Option<Expected>,
    /// The rule that decides it.
    pub rule: Option<RuleName>,
    /// The notice, or none.
    pub notice: Option<Option<Box<str>>>,
    /// The region that is demanded, or none.
    pub region: Option<Option<Region>>,
    /// The pool that is asked too, or none.
    pub shadow: Option<Option<PoolName>>,
}

/// What must be decided about access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No rule says anything.
    Directory,
    /// This pool, by a rule.
    Pool(PoolName),
    /// Refused.
    Refused,
    /// Refused for a maintenance.
    Maintenance,
    /// Refused as it writes.
    ReadOnly,
}

impl Expected {
    /// Whether an outcome is this.
    #[must_use]
    pub fn fits(&self, outcome: Ruling<'_>) -> bool {
        match (self, outcome) {
            (Self::Pool(expected), Ruling::Pool(pool)) => expected == pool,
            (Self::Directory, Ruling::Directory)
            | (Self::Refused, Ruling::Refused(_))
            | (Self::Maintenance, Ruling::Maintenance(_))
            | (Self::ReadOnly, Ruling::ReadOnly(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => f.write_str("directory"),
            Self::Pool(pool) => write!(f, "pool {pool}"),
            Self::Refused => f.write_str("refused"),
            Self::Maintenance => f.write_str("maintenance"),
            Self::ReadOnly => f.write_str("read-only"),
        }
    }
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Ran<'s> {
    /// The rules that won, for one aspect or another.
    pub winners: Vec<&'s Arc<Rule>>,
    /// The first difference to what was expected; `None`: all is well.
    pub failure: Option<Failure<'s>>,
}

/// A case that came to something else than expected.
#[derive(Clone, Debug)]
pub struct Failure<'s> {
    /// What was done.
    pub act: Act,
    /// What was expected.
    pub expected: String,
    /// What came instead.
    pub got: String,
    /// Why access was decided as it was.
    pub explanation: Explanation<'s>,
}

impl Case {
    /// The question of one of its acts.
    #[must_use]
    pub fn question(&self, act: Act) -> Question<'_> {
        Question {
            user: &self.user,
            network: self.network,
            listener: self.listener.as_ref(),
            client: self.client.as_deref(),
            act,
            room: self.room.as_ref().map(|id| RoomFacts {
                id,
                name: &self.room_name,
                category: &self.category,
            }),
            at: self.at,
        }
    }

    /// Asks the rules of a gateway that serves the users of `domain`.
    #[must_use]
    pub fn run<'s>(&self, rules: &'s RuleSet, domain: &Domain) -> Ran<'s> {
        let mut ran = Ran {
            winners: Vec::new(),
            failure: None,
        };
        for act in Act::ALL.into_iter().filter(|act| act.class() == self.act) {
            let question = self.question(act);
            let failure = if self.user.domain() == domain.as_str() {
                self.ask(rules, &question, &mut ran.winners)
            } else {
                self.turned_away(domain)
            };
            if let (None, Some((expected, got))) = (&ran.failure, failure) {
                ran.failure = Some(Failure {
                    act,
                    expected,
                    got,
                    explanation: rules.explain(&question),
                });
            }
        }
        ran
    }

    /// Who is of another domain cannot sign in: no rule is asked.
    fn turned_away(&self, domain: &Domain) -> Option<(String, String)> {
        let Expectation {
            outcome,
            rule,
            notice,
            region,
            shadow,
        } = &self.expect;
        let got = format!("refused at sign-in, because the gateway serves `{domain}` alone");
        let refused = Ruling::Refused("");
        let expected = match (outcome, rule) {
            (Some(expected), _) if !expected.fits(refused) => expected.to_string(),
            (_, Some(rule)) => format!("the rule `{rule}`"),
            _ => {
                let shown = [
                    notice.as_ref().is_some_and(Option::is_some),
                    region.as_ref().is_some_and(Option::is_some),
                    shadow.as_ref().is_some_and(Option::is_some),
                ];
                let what = ["a notice", "a region", "a shadow"];
                let (_, what) = shown
                    .into_iter()
                    .zip(what)
                    .find(|(expected, _)| *expected)?;
                what.to_owned()
            }
        };
        Some((expected, got))
    }

    fn ask<'s>(
        &self,
        rules: &'s RuleSet,
        question: &Question<'_>,
        winners: &mut Vec<&'s Arc<Rule>>,
    ) -> Option<(String, String)> {
        let mut failure = None;
        let mut differ = |expected: String, got: String| {
            failure.get_or_insert((expected, got));
        };
        let decision = rules.decide(question);
        winners.extend(decision.rule);
        if let Some(expected) = &self.expect.outcome
            && !expected.fits(decision.outcome)
        {
            let got = match decision.rule {
                Some(rule) => format!("{} by `{}` ({})", decision.outcome, rule.name, rule.place),
                None => decision.outcome.to_string(),
            };
            differ(expected.to_string(), got);
        }
        if let Some(expected) = &self.expect.rule
            && decision.rule.is_none_or(|rule| rule.name != *expected)
        {
            let got = decision.rule.map_or_else(
                || "no rule".to_owned(),
                |rule| format!("the rule `{}` ({})", rule.name, rule.place),
            );
            differ(format!("the rule `{expected}`"), got);
        }
        let notice = rules.notice(question);
        winners.extend(notice.map(|(.., rule)| rule));
        check(
            "notice",
            self.expect.notice.as_ref().map(Option::as_deref),
            notice.map(|(text, ..)| text),
            &mut differ,
        );
        let fence = rules.fence(question);
        winners.extend(fence.map(|(_, rule)| rule));
        check(
            "region",
            self.expect.region.as_ref().map(Option::as_ref),
            fence.map(|(region, _)| region),
            &mut differ,
        );
        let shadow = rules.shadow(question);
        winners.extend(shadow.map(|(_, rule)| rule));
        check(
            "shadow",
            self.expect.shadow.as_ref().map(Option::as_ref),
            shadow.map(|(pool, _)| pool),
            &mut differ,
        );
        failure
    }
}

/// Compares what may be there or not, if it matters.
fn check<T: PartialEq + fmt::Display>(
    what: &str,
    expected: Option<Option<T>>,
    got: Option<T>,
    differ: &mut impl FnMut(String, String),
) {
    let told = |value: &Option<T>| match value {
        Some(value) => format!("{what} `{value}`"),
        None => format!("no {what}"),
    };
    if let Some(expected) = expected
        && expected != got
    {
        differ(told(&expected), told(&got));
    }
}
