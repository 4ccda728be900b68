//! All rules, ready to decide.

use std::sync::Arc;

use holdover_protocol::user::UserUri;
use jiff::Timestamp;

use super::index::Index;
use super::{Aspect, Every, Question, Rule, Test, Then};
use crate::names::{PoolName, Region};

/// All rules of one version of the configuration, in the order in which they are tried.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: Vec<Arc<Rule>>,
    access: Index,
    fence: Index,
    notice: Index,
    shadow: Index,
    /// Whether there are rules of an aspect at all.
    has: Has,
    /// When a rule begins or ceases to match without anybody's doing, ascending.
    boundaries: Vec<Timestamp>,
}

/// Which aspects have rules that are enabled.
#[derive(Clone, Copy, Debug, Default)]
struct Has {
    routes: bool,
    fences: bool,
    notices: bool,
    shadows: bool,
}

/// What was decided, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'s> {
    /// What.
    pub outcome: Ruling<'s>,
    /// By which rule; `None`: no rule matched.
    pub rule: Option<&'s Arc<Rule>>,
}

/// What was decided about access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling<'s> {
    /// No rule says anything: what the directory says.
    Directory,
    /// This pool, whatever the directory says.
    Pool(&'s PoolName),
    /// Refused.
    Refused(&'s str),
    /// Refused for now.
    Maintenance(&'s str),
    /// Refused, as it writes.
    ReadOnly(&'s str),
}

impl std::fmt::Display for Ruling<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory => f.write_str("directory"),
            Self::Pool(pool) => write!(f, "pool {pool}"),
            Self::Refused(_) => f.write_str("refused"),
            Self::Maintenance(_) => f.write_str("maintenance"),
            Self::ReadOnly(_) => f.write_str("read-only"),
        }
    }
}

impl RuleSet {
    /// Makes rules ready that are tried in this order.
    #[must_use]
    pub fn new(rules: Vec<Arc<Rule>>) -> Self {
        let mut set = Self::default();
        let mut boundaries = Vec::new();
        let of = |aspect: Aspect| {
            let rules = (0..).zip(rules.iter().map(|rule| &**rule));
            Index::new(rules.filter(move |(_, rule)| rule.enabled && rule.then.aspect() == aspect))
        };
        set.access = of(Aspect::Access);
        set.fence = of(Aspect::Fence);
        set.notice = of(Aspect::Notice);
        set.shadow = of(Aspect::Shadow);
        for rule in &rules {
            if !rule.enabled {
                continue;
            }
            match &rule.then {
                Then::Route(_) => set.has.routes = true,
                Then::Fence { .. } => set.has.fences = true,
                Then::Notice { .. } => set.has.notices = true,
                Then::Shadow { .. } => set.has.shadows = true,
                Then::Refuse { .. } | Then::Maintenance(_) | Then::ReadOnly { .. } => {}
            }
            for condition in &rule.when {
                if let Test::Time(window) = &condition.test {
                    boundaries.extend(window.ends());
                }
            }
        }
        boundaries.sort_unstable();
        boundaries.dedup();
        set.boundaries = boundaries;
        set.rules = rules;
        set
    }

    /// What becomes of a user's act.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision<'_> {
        match self.first(Aspect::Access, question) {
            Some(rule) => Decision {
                outcome: outcome(rule, question.user),
                rule: Some(rule),
            },
            None => Decision {
                outcome: Ruling::Directory,
                rule: None,
            },
        }
    }

    /// The region that the pool must be in.
    #[must_use]
    pub fn fence(&self, question: &Question<'_>) -> Option<(&Region, &Arc<Rule>)> {
        if !self.has.fences {
            return None;
        }
        let rule = self.first(Aspect::Fence, question)?;
        match &rule.then {
            Then::Fence { region } => Some((region, rule)),
            _ => None,
        }
    }

    /// What is shown to the user beside.
    #[must_use]
    pub fn notice(&self, question: &Question<'_>) -> Option<(&str, Every, &Arc<Rule>)> {
        if !self.has.notices {
            return None;
        }
        let rule = self.first(Aspect::Notice, question)?;
        match &rule.then {
            Then::Notice { text, every } => Some((text, *every, rule)),
            _ => None,
        }
    }

    /// The pool that is asked too, to compare.
    #[must_use]
    pub fn shadow(&self, question: &Question<'_>) -> Option<(&PoolName, &Arc<Rule>)> {
        if !self.has.shadows {
            return None;
        }
        let rule = self.first(Aspect::Shadow, question)?;
        match &rule.then {
            Then::Shadow { pool } => Some((pool, rule)),
            _ => None,
        }
    }

    /// Whether any rule may send anybody to another pool than the directory's.
    #[must_use]
    pub fn may_route(&self) -> bool {
        self.has.routes || self.has.fences
    }

    /// Whether any rule may show a notice to anybody.
    #[must_use]
    pub fn may_notice(&self) -> bool {
        self.has.notices
    }

    /// Whether any rule may have a second pool asked.
    #[must_use]
    pub fn may_shadow(&self) -> bool {
        self.has.shadows
    }

    /// When a rule next begins or ceases to match by itself, after `now`.
    #[must_use]
    pub fn next_boundary(&self, now: Timestamp) -> Option<Timestamp> {
        self.boundaries.get(self.boundaries_passed(now)).copied()
    }

    /// How often rules have begun or ceased to match by themselves up to `now`: between two times of which this is the same,
    /// time makes no difference.
    #[must_use]
    pub fn boundaries_passed(&self, now: Timestamp) -> usize {
        self.boundaries.partition_point(|boundary| *boundary <= now)
    }

    /// All of them, in the order in which they are tried, with those that are not enabled.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rules of an aspect that come before the one of this number and may match a question.
    pub(crate) fn before(
        &self,
        aspect: Aspect,
        question: &Question<'_>,
        number: usize,
    ) -> impl Iterator<Item = &Arc<Rule>> {
        self.index(aspect)
            .candidates(question)
            .into_iter()
            .filter_map(|number| usize::try_from(number).ok())
            .take_while(move |candidate| *candidate < number)
            .filter_map(|candidate| self.rules.get(candidate))
    }

    fn index(&self, aspect: Aspect) -> &Index {
        match aspect {
            Aspect::Access => &self.access,
            Aspect::Fence => &self.fence,
            Aspect::Notice => &self.notice,
            Aspect::Shadow => &self.shadow,
        }
    }

    /// The first rule of an aspect that matches.
    pub(super) fn first(&self, aspect: Aspect, question: &Question<'_>) -> Option<&Arc<Rule>> {
        let rule = |number| self.rules.get(usize::try_from(number).ok()?);
        let number = self.index(aspect).first(question, |number| {
            rule(number).is_some_and(|rule| rule.matches(question))
        })?;
        rule(number)
    }
}

/// What a rule of access says to a user.
fn outcome<'s>(rule: &'s Rule, user: &UserUri) -> Ruling<'s> {
    match &rule.then {
        Then::Route(shares) => shares.pool(user).map_or(Ruling::Directory, Ruling::Pool),
        Then::Refuse { text } => Ruling::Refused(text),
        Then::Maintenance(maintenance) => Ruling::Maintenance(&maintenance.text),
        Then::ReadOnly { text } => Ruling::ReadOnly(text),
        Then::Fence { .. } | Then::Notice { .. } | Then::Shadow { .. } => Ruling::Directory,
    }
}
