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
        let routing = context.router.current();
        let boundary = routing.rules.next_boundary(seen);
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
