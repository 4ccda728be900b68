//! The session timer of a leg (RFC 4028): who sends a sign of life, and when.

use std::time::{Duration, Instant};

use holdover_protocol::sip::session_timer::SessionTimer;
use holdover_protocol::sip::{Refresher, SessionExpires};

/// The shortest interval that is kept, in seconds. RFC 4028 §4 allows no less than 90; a pool that says 0 must not keep
/// us busy.
const SHORTEST: u32 = 2;

/// Wait before a refresh that was refused is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// See the module's text.
pub(super) struct Refresh {
    timer: SessionTimer,
    seconds: u32,
    /// Whether the sign of life is ours to give.
    ours: bool,
    stage: Exchange,
}

enum Exchange {
    /// Until the next UPDATE is due. → `Asked`
    Quiet(Instant),
    /// An UPDATE with this CSeq is under way until then. → `Quiet`
    Asked(u32, Instant),
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send an UPDATE that asks for so many seconds, and tell [`Refresh::asked`].
    Update(u32),
    /// The session is over: our UPDATE was not answered, or the pool's did not come.
    Over,
}

impl Refresh {
    /// Starts with the 2xx to the INVITE. Without a refresher in it, it is us (RFC 4028 §7.2).
    pub(super) fn start(now: Instant, expires: SessionExpires) -> Self {
        let seconds = expires.seconds.max(SHORTEST);
        let timer = SessionTimer::start(now, SessionExpires { seconds, ..expires });
        Self {
            stage: Exchange::Quiet(timer.refresh_due()),
            timer,
            seconds,
            ours: expires.refresher != Some(Refresher::Uas),
        }
    }

    /// The interval, in seconds.
    pub(super) fn seconds(&self) -> u32 {
        self.seconds
    }

    /// The CSeq of the UPDATE that is under way.
    pub(super) fn under_way(&self) -> Option<u32> {
        match self.stage {
            Exchange::Asked(cseq, _) => Some(cseq),
            Exchange::Quiet(_) => None,
        }
    }

    /// An UPDATE went out.
    pub(super) fn asked(&mut self, cseq: u32, deadline: Instant) {
        self.stage = Exchange::Asked(cseq, deadline);
    }

    /// Our UPDATE was accepted. What its answer does not say stays as it was.
    pub(super) fn accepted(&mut self, now: Instant, expires: Option<SessionExpires>) {
        *self = Self::start(
            now,
            expires.unwrap_or(SessionExpires {
                seconds: self.seconds,
                refresher: Some(Refresher::Uac),
            }),
        );
    }

    /// Our UPDATE asked for too little.
    pub(super) fn raise(&mut self, now: Instant, seconds: u32) {
        self.seconds = seconds;
        self.stage = Exchange::Quiet(now);
    }

    /// Our UPDATE was refused in a way that says nothing of the dialog.
    pub(super) fn refused(&mut self, now: Instant) {
        self.stage = Exchange::Quiet(now + TRY_AGAIN);
    }

    /// The pool refreshed. `theirs`: it goes on doing so.
    pub(super) fn refreshed(&mut self, now: Instant, expires: SessionExpires, theirs: bool) {
        *self = Self::start(now, expires);
        self.ours = !theirs;
    }

    /// When [`due`](Self::due) has something to say.
    pub(super) fn poll_timeout(&self) -> Instant {
        match self.stage {
            Exchange::Asked(_, deadline) => deadline,
            Exchange::Quiet(due) if self.ours => due.min(self.timer.expires_at()),
            Exchange::Quiet(_) => self.timer.expires_at(),
        }
    }

    /// What is to be done at `now`.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        match self.stage {
            _ if now >= self.timer.expires_at() => Some(Due::Over),
            Exchange::Asked(_, deadline) if now >= deadline => Some(Due::Over),
            Exchange::Quiet(due) if self.ours && now >= due => Some(Due::Update(self.seconds)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expires(seconds: u32, refresher: Option<Refresher>) -> SessionExpires {
        SessionExpires { seconds, refresher }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rfc4028_7_2_we_refresh_at_half_time_unless_the_pool_does() {
        let now = Instant::now();
        for (refresher, ours) in [
            (None, true),
            (Some(Refresher::Uac), true),
            (Some(Refresher::Uas), false),
        ] {
            let refresh = Refresh::start(now, expires(600, refresher));
            let half = now + 300 * SECOND;
            let due = ours.then_some(Due::Update(600));
            assert_eq!(refresh.due(half), due, "{refresher:?}");
            assert_eq!(refresh.due(half - SECOND), None);
        }
    }

    #[test]
    fn rfc4028_10_a_refresh_that_does_not_come_ends_the_session() {
        let now = Instant::now();
        let mut theirs = Refresh::start(now, expires(90, Some(Refresher::Uas)));
        let end = theirs.poll_timeout();
        assert!(end > now + 90 * SECOND);
        theirs.refreshed(now + 80 * SECOND, expires(90, None), true);
        assert_eq!(theirs.due(end), None);
        assert_eq!(theirs.due(end + 80 * SECOND), Some(Due::Over));
        let mut ours = Refresh::start(now, expires(90, None));
        ours.asked(7, now + 55 * SECOND);
        assert_eq!(ours.due(now + 50 * SECOND), None);
        assert_eq!(ours.due(now + 55 * SECOND), Some(Due::Over));
    }

    #[test]
    fn refused_refreshes_are_tried_again_until_the_session_is_over() {
        let mut now = Instant::now();
        let mut refresh = Refresh::start(now, expires(90, None));
        let mut updates = 0;
        loop {
            now = refresh.poll_timeout();
            match refresh.due(now) {
                Some(Due::Update(_)) => {
                    updates += 1;
                    refresh.asked(updates, now + SECOND);
                    refresh.refused(now);
                }
                Some(Due::Over) => break,
                None => panic!("woken for nothing"),
            }
        }
        assert!((5..30).contains(&updates), "{updates}");
    }

    #[test]
    fn an_interval_of_nothing_keeps_nobody_busy() {
        let now = Instant::now();
        let refresh = Refresh::start(now, expires(0, None));
        assert_eq!(refresh.poll_timeout(), now + SECOND);
    }
}
