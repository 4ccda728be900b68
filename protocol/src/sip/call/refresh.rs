//! The session timer of one side of a call (RFC 4028): who sends a sign of life, and when.

use std::time::{Duration, Instant};

use crate::sip::headers::{Refresher, SessionExpires};
use crate::sip::session_timer::SessionTimer;

/// The shortest interval that is kept, in seconds. RFC 4028 §4 allows no less than 90; a peer that says 0 must not keep
/// us busy.
const SHORTEST: u32 = 2;

/// Wait before a refresh that was refused is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Who this side was in the exchange that the interval was agreed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It sent the INVITE or UPDATE.
    Client,
    /// It answered it.
    Server,
}

/// The timer of a session: wait until [`poll_timeout`](Self::poll_timeout), then do what is [`due`](Self::due).
#[derive(Debug)]
pub struct Refresh {
    timer: SessionTimer,
    seconds: u32,
    /// Whether the sign of life is ours to give.
    ours: bool,
    stage: Exchange,
}

#[derive(Debug)]
enum Exchange {
    /// Until the next UPDATE is due. → `Asked`
    Quiet(Instant),
    /// An UPDATE with this CSeq is under way until then. → `Quiet`
    Asked(u32, Instant),
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Send an UPDATE that asks for so many seconds, and tell [`Refresh::asked`].
    Update(u32),
    /// The session is over: our UPDATE was not answered, or the other side's did not come.
    Over,
}

impl Refresh {
    /// Starts with the 2xx to an INVITE or UPDATE, of either side. Without a refresher in it, it is the client (RFC 4028
    /// §7.2).
    pub fn start(now: Instant, expires: SessionExpires, role: Role) -> Self {
        let seconds = expires.seconds.max(SHORTEST);
        let timer = SessionTimer::start(now, SessionExpires { seconds, ..expires });
        Self {
            stage: Exchange::Quiet(timer.refresh_due()),
            timer,
            seconds,
            ours: (expires.refresher == Some(Refresher::Uas)) == (role == Role::Server),
        }
    }

    /// The interval, in seconds.
    pub fn seconds(&self) -> u32 {
        self.seconds
    }

    /// The CSeq of the UPDATE that is under way.
    pub fn under_way(&self) -> Option<u32> {
        match self.stage {
            Exchange::Asked(cseq, _) => Some(cseq),
            Exchange::Quiet(_) => None,
        }
    }

    /// An UPDATE went out.
    pub fn asked(&mut self, cseq: u32, deadline: Instant) {
        self.stage = Exchange::Asked(cseq, deadline);
    }

    /// Our UPDATE was accepted. What its answer does not say stays as it was.
    pub fn accepted(&mut self, now: Instant, expires: Option<SessionExpires>) {
        let expires = expires.unwrap_or(SessionExpires {
            seconds: self.seconds,
            refresher: Some(Refresher::Uac),
        });
        *self = Self::start(now, expires, Role::Client);
    }

    /// Our UPDATE asked for too little.
    pub fn raise(&mut self, now: Instant, seconds: u32) {
        self.seconds = seconds;
        self.stage = Exchange::Quiet(now);
    }

    /// Our UPDATE was refused in a way that says nothing of the dialog.
    pub fn refused(&mut self, now: Instant) {
        self.stage = Exchange::Quiet(now + TRY_AGAIN);
    }

    /// Our UPDATE was refused by a side that does not know it: the session runs out unless that side refreshes it.
    pub fn leave(&mut self) {
        self.ours = false;
        self.stage = Exchange::Quiet(self.timer.expires_at());
    }

    /// When [`due`](Self::due) has something to say.
    pub fn poll_timeout(&self) -> Instant {
        match self.stage {
            Exchange::Asked(_, deadline) => deadline,
            Exchange::Quiet(due) if self.ours => due.min(self.timer.expires_at()),
            Exchange::Quiet(_) => self.timer.expires_at(),
        }
    }

    /// What is to be done at `now`.
    pub fn due(&self, now: Instant) -> Option<Due> {
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
    fn rfc4028_7_2_we_refresh_at_half_time_unless_the_other_side_does() {
        let now = Instant::now();
        for (refresher, ours) in [
            (None, true),
            (Some(Refresher::Uac), true),
            (Some(Refresher::Uas), false),
        ] {
            let refresh = Refresh::start(now, expires(600, refresher), Role::Client);
            let half = now + 300 * SECOND;
            let due = ours.then_some(Due::Update(600));
            assert_eq!(refresh.due(half), due, "{refresher:?}");
            assert_eq!(refresh.due(half - SECOND), None);
            // The same words, in an exchange that the other side began.
            let refresh = Refresh::start(now, expires(600, refresher), Role::Server);
            let due = (!ours).then_some(Due::Update(600));
            assert_eq!(refresh.due(half), due, "{refresher:?}");
        }
    }

    #[test]
    fn rfc4028_10_a_refresh_that_does_not_come_ends_the_session() {
        let now = Instant::now();
        let mut theirs = Refresh::start(now, expires(90, Some(Refresher::Uas)), Role::Client);
        let end = theirs.poll_timeout();
        assert!(end > now + 90 * SECOND);
        theirs = Refresh::start(now + 80 * SECOND, expires(90, None), Role::Server);
        assert_eq!(theirs.due(end), None);
        assert_eq!(theirs.due(end + 80 * SECOND), Some(Due::Over));
        let mut ours = Refresh::start(now, expires(90, None), Role::Client);
        ours.asked(7, now + 55 * SECOND);
        assert_eq!(ours.due(now + 50 * SECOND), None);
        assert_eq!(ours.due(now + 55 * SECOND), Some(Due::Over));
    }

    #[test]
    fn refused_refreshes_are_tried_again_until_the_session_is_over() {
        let mut now = Instant::now();
        let mut refresh = Refresh::start(now, expires(90, None), Role::Client);
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
    fn a_side_that_knows_no_update_is_not_asked_again() {
        let now = Instant::now();
        let mut refresh = Refresh::start(now, expires(90, None), Role::Client);
        let end = now + 122 * SECOND;
        refresh.asked(7, now + 77 * SECOND);
        refresh.leave();
        assert_eq!(refresh.under_way(), None);
        assert_eq!(refresh.poll_timeout(), end);
        assert_eq!(refresh.due(end - SECOND), None);
        assert_eq!(refresh.due(end), Some(Due::Over));
    }

    #[test]
    fn an_interval_of_nothing_keeps_nobody_busy() {
        let now = Instant::now();
        let refresh = Refresh::start(now, expires(0, None), Role::Client);
        assert_eq!(refresh.poll_timeout(), now + SECOND);
    }
}
