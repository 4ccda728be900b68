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

/// The longest time for which the clock is trusted to go on as it does.
const TRUST: Duration = Duration::from_secs(60);

/// Runs until `stop` is cancelled.
pub async fn notify(
    context: Arc<SessionContext>,
    admission: Arc<Admission>,
    stop: CancellationToken,
) {
    let mut changed = context.router.subscribe();
    changed.mark_unchanged();
    admission.observe(Timestamp::now());
    let mut seen = Timestamp::now();
    loop {
        // The version is not kept while this waits: it would be freed here, on a thread that sessions need.
        let boundary = context.router.current().rules.next_boundary(seen);
        let wait = boundary.map_or(TRUST, |at| {
            let millis = at.as_millisecond() - Timestamp::now().as_millisecond();
            Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(TRUST)
        });
        tokio::select! {
            () = stop.cancelled() => return,
            gone = changed.changed() => if gone.is_err() { return },
            () = tokio::time::sleep(wait) => {
                let now = Timestamp::now();
                if boundary.is_none_or(|at| at > now) {
                    continue;
                }
                seen = now;
                context.router.touch();
                changed.mark_unchanged();
            }
        }
        admission.observe(Timestamp::now());
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

    use holdover_config::rules::{Condition, Place, Rule, RuleSet, Test, Then, Window};

    use super::*;
    use crate::routing::{Router, Routing};

    #[tokio::test]
    async fn a_rule_whose_time_comes_is_told_without_anybody_s_doing() {
        let millis = Timestamp::now().as_millisecond();
        let window = Window {
            from: Some(Timestamp::from_millisecond(millis + 40).unwrap()),
            until: Some(Timestamp::from_millisecond(millis + 80).unwrap()),
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
        let mut changed = context.router.subscribe();
        let admission = Arc::new(Admission::new(
            Arc::clone(&context.router),
            Arc::clone(&context.decided),
            context.telemetry.clone(),
        ));
        let stop = CancellationToken::new();
        let task = tokio::spawn(notify(Arc::clone(&context), admission, stop.clone()));
        for end in [window.from, window.until] {
            changed.changed().await.unwrap();
            assert!(Some(Timestamp::now()) >= end);
        }
        stop.cancel();
        task.await.unwrap();
    }
}
