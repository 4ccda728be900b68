//! Who may sign in now: what the rules say, and after a maintenance how many at a time.
//!
//! When a maintenance is over, everybody it kept out comes back at once, and the pools would be met by all of them. So where
//! its rule has `sign_ins_per_sec`, that many of those it concerned are let in each second, until nobody has been turned
//! away for a while. Who is turned away is answered 503, upon which clients try again by themselves.

mod pace;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use holdover_config::rules::{Act, Maintenance, Rule, Test, Then};
use jiff::Timestamp;

use crate::decide::{Refusal, RefusalReason};
use crate::decision_log::{DecisionLog, Record, Verdict};
use crate::peer::Caller;
use crate::routing::{Router, Routing};
use crate::telemetry::Telemetry;
use pace::Pace;

/// Decides about sign-ins. The one seam by which a connection asks; it never blocks.
pub trait Gate: fmt::Debug + Send + Sync {
    /// Whether a user may sign in at this time.
    ///
    /// # Errors
    ///
    /// Why not, and what the user is told.
    fn sign_in(&self, caller: &Caller, at: Timestamp) -> Result<(), Turned>;

    /// Whether the gateway goes down and takes nobody any more: whoever registers or dials is [turned away](Turned::down).
    fn is_down(&self) -> bool {
        false
    }
}

/// Not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Why, and what the user is told.
    pub refusal: Refusal,
    /// Seconds after which to try again; `None`: it is no use.
    pub retry_after: Option<u32>,
}

impl Turned {
    /// The gateway goes down.
    #[must_use]
    pub fn down() -> Self {
        Self {
            refusal: Refusal {
                reason: RefusalReason::Maintenance,
                text: "The service is being restarted.".into(),
            },
            retry_after: Some(RESTART),
        }
    }
}

/// How long users wait while the gateway is restarted, seconds.
const RESTART: u32 = 10;

/// How long users who are kept out by a maintenance wait before they try again, seconds. There are clients that heed it.
const RETRY: u32 = 60;

/// Decides about sign-ins by the rules in use.
#[derive(Debug)]
pub struct Admission {
    router: Arc<Router>,
    decided: Arc<DecisionLog>,
    telemetry: Telemetry,
    paces: Mutex<Paces>,
    down: AtomicBool,
}

/// The maintenances that are, and those that were.
#[derive(Debug, Default)]
struct Paces {
    in_force: Vec<Arc<Rule>>,
    over: Vec<Pace>,
}

impl Admission {
    /// By the rules of this router.
    #[must_use]
    pub fn new(router: Arc<Router>, decided: Arc<DecisionLog>, telemetry: Telemetry) -> Self {
        Self {
            router,
            decided,
            telemetry,
            paces: Mutex::default(),
            down: AtomicBool::new(false),
        }
    }

    /// Takes nobody any more.
    pub fn go_down(&self) {
        self.down.store(true, Ordering::Release);
    }

    /// Notes which maintenances are in force. To be called at each change of the rules and whenever one begins or ends; each
    /// sign-in does it too.
    pub fn observe(&self, at: Timestamp) {
        let routing = self.router.current();
        self.paces().observe(&routing, at);
    }

    /// The least number of users that may be let in each second, if there is a pace at present.
    #[must_use]
    pub fn pace(&self) -> Option<u32> {
        let paces = self.paces();
        paces.over.iter().map(Pace::per_second).min()
    }

    fn paces(&self) -> std::sync::MutexGuard<'_, Paces> {
        // It is whole after every panic: what is kept is written by single assignments.
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paces {
    fn observe(&mut self, routing: &Routing, at: Timestamp) {
        let in_force: Vec<Arc<Rule>> = routing
            .rules
            .rules()
            .iter()
            .filter(|rule| is_in_force(rule, at))
            .cloned()
            .collect();
        for ended in std::mem::replace(&mut self.in_force, in_force) {
            let goes_on = self.in_force.iter().any(|rule| rule.name == ended.name);
            if !goes_on && let Some(pace) = Pace::after(&ended, at) {
                self.over.push(pace);
            }
        }
        let in_force = &self.in_force;
        self.over.retain(|pace| {
            !pace.is_idle(at) && !in_force.iter().any(|rule| rule.name == pace.rule().name)
        });
    }
}

/// Whether a rule is a maintenance with a pace, at this time.
fn is_in_force(rule: &Rule, at: Timestamp) -> bool {
    let has_pace = matches!(
        &rule.then,
        Then::Maintenance(Maintenance {
            sign_ins_per_sec: Some(_),
            ..
        })
    );
    let is_now = rule.when.iter().all(|condition| match &condition.test {
        Test::Time(window) => window.holds(at) != condition.negated,
        _ => true,
    });
    has_pace && rule.enabled && is_now
}

impl Gate for Admission {
    fn is_down(&self) -> bool {
        self.down.load(Ordering::Acquire)
    }

    fn sign_in(&self, caller: &Caller, at: Timestamp) -> Result<(), Turned> {
        let routing = self.router.current();
        let decided = routing.admit(caller, at, Act::SignIn);
        let mut rule = decided.rule;
        let mut verdict = decided.outcome.map(|_| ()).map_err(|refusal| Turned {
            retry_after: (refusal.reason == RefusalReason::Maintenance).then_some(RETRY),
            refusal,
        });
        let mut paces = self.paces();
        paces.observe(&routing, at);
        if verdict.is_ok() {
            let mut concerned = paces
                .over
                .iter_mut()
                .filter(|pace| pace.concerns(caller, at));
            let turned = concerned.find_map(|pace| {
                let turned = pace.take(at).err()?;
                Some((turned, Arc::clone(pace.rule())))
            });
            if let Some((turned, by)) = turned {
                (verdict, rule) = (Err(turned), Some(by));
            }
        }
        drop(paces);
        let outcome = match &verdict {
            Ok(()) => Verdict::Allowed {
                pool: None,
                migrated: None,
            },
            Err(turned) => Verdict::Refused {
                reason: turned.refusal.reason,
                text: turned.refusal.text.clone(),
            },
        };
        self.decided.record(
            &self.telemetry,
            Record {
                at,
                user: caller.user.clone(),
                network: caller.network,
                listener: caller.listener.clone(),
                client: caller.client.clone(),
                act: Act::SignIn,
                room: None,
                outcome,
                rule: rule.as_deref().map(Into::into),
                generation: routing.generation,
            },
        );
        verdict
    }
}
