//! Tells the sessions that rules or directory changed, by an admin's doing or because a rule's time has come.
//!
//! A session looks by itself before it does anything; this is for those that do nothing. Many at a time would make the pools
//! suffer, so they are told in portions, and after a maintenance at its pace.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::session::task::{SessionContext, SessionInput};

/// Sessions that are told at once, and how long after them the next are.
const PORTION: (usize, Duration) = (1000, Duration::from_millis(50));

/// The longest time for which the clock is trusted to go on as it does: it may be set meanwhile, ahead or back.
const TRUST: Duration = Duration::from_secs(1);

/// Runs until `stop` is cancelled.
pub(super) async fn notify(
    context: Arc<SessionContext>,
    admission: Arc<Admission>,
    stop: CancellationToken,
) {
    notify_by(context, admission, stop, Timestamp::now).await;
}

/// [`notify`] by this clock.
async fn notify_by(
    context: Arc<SessionContext>,
    admission: Arc<Admission>,
    stop: CancellationToken,
    clock: impl Fn() -> Timestamp,
) {
    let mut changed = context.router.subscribe();
    changed.mark_unchanged();
    admission.observe(clock());
    let mut passed = passed(&context, clock());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            gone = changed.changed() => if gone.is_err() { return },
            () = tokio::time::sleep(wait(&context, clock())) => {
                // A clock that is set back has fewer passed: then rules cease to match that began to.
                if self::passed(&context, clock()) == passed {
                    continue;
                }
                context.router.touch();
                changed.mark_unchanged();
            }
        }
        passed = self::passed(&context, clock());
        admission.observe(clock());
        tokio::select! {
            () = stop.cancelled() => return,
            // All are told again, from the first.
            gone = changed.changed() => {
                if gone.is_err() {
                    return;
                }
                changed.mark_changed();
            }
            () = tell(&context, &admission) => {}
        }
    }
}

/// How many ends of rules' times have passed. The version is not kept while this waits: it would be freed here, on a thread
/// that sessions need.
fn passed(context: &SessionContext, now: Timestamp) -> usize {
    context.router.current().rules.boundaries_passed(now)
}

/// How long until the next one may have.
fn wait(context: &SessionContext, now: Timestamp) -> Duration {
    let boundary = context.router.current().rules.next_boundary(now);
    boundary.map_or(TRUST, |at| {
        let millis = at.as_millisecond() - now.as_millisecond();
        Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(TRUST)
    })
}

async fn tell(context: &SessionContext, admission: &Admission) {
    let portion = match admission.pace() {
        Some(per_second) => (
            usize::try_from(per_second).unwrap_or(1),
            Duration::from_secs(1),
        ),
        None => PORTION,
    };
    for sessions in context.table.all().chunks(portion.0.max(1)) {
        for session in sessions {
            // Where it does not fit the session has something to do, and looks by itself.
            let _full = session.mailbox().try_send(SessionInput::DecisionsChanged);
        }
        if sessions.len() == portion.0 {
            tokio::time::sleep(portion.1).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use holdover_config::rules::{Condition, Place, Rule, RuleSet, Test, Then, Window};

    use tokio::task::JoinHandle;

    use super::*;
    use crate::routing::{Router, Routing};

    /// A task that tells of one rule's window by this clock, and what it told.
    struct World {
        changed: tokio::sync::watch::Receiver<u64>,
        window: Window,
        now: Arc<AtomicI64>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    impl World {
        /// The window is from second 1,000 to second 2,000; the clock stands at second 900.
        fn new() -> Self {
            let at = |second| Some(Timestamp::from_second(second).unwrap());
            let window = Window {
                from: at(1000),
                until: at(2000),
            };
            let rule = Rule {
                name: "soon".parse().unwrap(),
                enabled: true,
                apart: false,
                place: Place {
                    file: "rules.toml".into(),
                    line: 1,
                },
                when: vec![Condition {
                    negated: false,
                    test: Test::Time(window),
                }],
                then: Then::Refuse { text: "no".into() },
            };
            let mut routing = Routing::nowhere();
            routing.rules = RuleSet::new(vec![Arc::new(rule)]);
            let context = SessionContext::of(Router::new(routing));
            let changed = context.router.subscribe();
            let admission = Arc::new(Admission::new(
                Arc::clone(&context.router),
                Arc::clone(&context.decided),
                context.telemetry.clone(),
            ));
            let stop = CancellationToken::new();
            let now = Arc::new(AtomicI64::new(900));
            let clock = {
                let now = Arc::clone(&now);
                move || Timestamp::from_second(now.load(Ordering::SeqCst)).unwrap()
            };
            let task = tokio::spawn(notify_by(context, admission, stop.clone(), clock));
            Self {
                changed,
                window,
                now,
                stop,
                task,
            }
        }

        /// Sets the clock. Returns whether sessions are told within the next two seconds.
        async fn is_told_at(&mut self, second: i64) -> bool {
            self.now.store(second, Ordering::SeqCst);
            let told = tokio::time::timeout(2 * TRUST, self.changed.changed());
            told.await.is_ok()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_whose_time_comes_is_told_without_anybody_s_doing() {
        let mut world = World::new();
        for (second, is_told) in [(998, false), (999, false), (1000, true), (1001, false)] {
            assert_eq!(world.is_told_at(second).await, is_told, "{second}");
        }
        assert!(!world.is_told_at(1999).await);
        assert!(world.is_told_at(2000).await, "{:?}", world.window);
        assert!(!world.is_told_at(9000).await);
        world.stop.cancel();
        world.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_goes_ahead_and_back_hides_no_begin_and_no_end() {
        let mut world = World::new();
        for (second, is_told) in [
            (950, false),
            // Ahead: the time has come, as far as anybody can see.
            (1010, true),
            // Back: it has not.
            (951, true),
            (952, false),
            (1000, true),
            (3000, true),
            (1001, true),
            (2000, true),
        ] {
            assert_eq!(world.is_told_at(second).await, is_told, "{second}");
        }
        world.stop.cancel();
        world.task.await.unwrap();
    }
}
