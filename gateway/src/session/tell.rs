//! What sessions do, told to the event log.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use holdover_config::{PoolName, RuleName};
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::Verb;

use super::output::{CloseReason, Event, FinishReason, Side};
use crate::decide::RefusalReason;
use crate::pool::{LegClosed, PoolId, Pools};
use crate::shadow::Difference;
use crate::telemetry::events::decision::{
    NoticeShown, RoomMoved, RoomShut, ShadowAgreed, ShadowDiffered,
};
use crate::telemetry::events::pool::{LegClosed as LegClosedEvent, LegEnd, LegOpened};
use crate::telemetry::events::protocol::{FaultKind, ProtocolFault};
use crate::telemetry::events::room::{
    CommandFailed, DocumentTooLong, GapClosed, JoinRefusal, JoinRefused, PostAccepted, PostRefusal,
    PostRefused, PostUnknown, RoomJoined, RoomLost, RoomParted, RoomsRejoined, RoomsSummed,
    TooManyRooms,
};
use crate::telemetry::events::session::{
    DocumentRefused, InfoTimedOut, SessionClosed, SessionDetached, SessionEnd, SessionOpened,
    SessionResumed, SlowClientClosed,
};
use crate::telemetry::{Detail, Emit as _, SessionId, Telemetry};

/// Speaks for one session.
#[derive(Debug)]
pub(super) struct Teller {
    telemetry: Telemetry,
    session: SessionId,
    user: UserUri,
    peer: SocketAddr,
    opened: Instant,
}

impl Teller {
    /// The session is open.
    pub(super) fn open(
        telemetry: Telemetry,
        session: SessionId,
        user: UserUri,
        peer: SocketAddr,
        call_id: &str,
    ) -> Self {
        let teller = Self {
            telemetry,
            session,
            user,
            peer,
            opened: Instant::now(),
        };
        let call_id = Detail::new(call_id);
        let user = teller.user.clone();
        SessionOpened {
            session,
            user,
            peer,
            call_id,
        }
        .emit(&teller.telemetry);
        teller
    }

    /// The client is on another connection now.
    pub(super) fn moved(&mut self, peer: SocketAddr) {
        self.peer = peer;
    }

    /// The session is over.
    pub(super) fn close(&self, reason: FinishReason) {
        let reason = match reason {
            FinishReason::SignedOut => SessionEnd::SignedOut,
            FinishReason::GraceOver => SessionEnd::GraceExpired,
            FinishReason::NothingOpen => SessionEnd::NothingOpen,
            FinishReason::Displaced => SessionEnd::Displaced,
            FinishReason::Drain => SessionEnd::Draining,
            FinishReason::Panicked => SessionEnd::Panicked,
        };
        let lasted = self.opened.elapsed();
        SessionClosed {
            session: self.session,
            user: self.user.clone(),
            reason,
            lasted,
        }
        .emit(&self.telemetry);
    }

    /// The session closes the client's connection.
    pub(super) fn closing_connection(&self, reason: CloseReason) {
        let (session, user) = (self.session, self.user.clone());
        match reason {
            CloseReason::Slow { queued } => {
                SlowClientClosed {
                    session,
                    user,
                    queued,
                }
                .emit(&self.telemetry);
            }
            CloseReason::Silent => InfoTimedOut { session, user }.emit(&self.telemetry),
        }
    }

    /// A leg is open.
    pub(super) fn leg_opened(&self, pool: PoolId, pools: &Pools) {
        let Some(pool) = pools.name(pool).cloned() else {
            return;
        };
        LegOpened {
            session: self.session,
            user: self.user.clone(),
            pool,
        }
        .emit(&self.telemetry);
    }

    /// A leg ended. `None`: the session no longer needed it.
    pub(super) fn leg_closed(&self, pool: PoolId, pools: &Pools, reason: Option<LegClosed>) {
        let reason = match reason {
            None => LegEnd::Session,
            Some(LegClosed::Overflow) => LegEnd::Overflow,
            Some(LegClosed::Pool) => LegEnd::Pool,
            Some(LegClosed::Unreachable) => LegEnd::Unreachable,
            Some(LegClosed::Unopened) => LegEnd::Unopened,
        };
        let Some(pool) = pools.name(pool).cloned() else {
            return;
        };
        LegClosedEvent {
            session: self.session,
            user: self.user.clone(),
            pool,
            reason,
        }
        .emit(&self.telemetry);
    }

    /// Two pools answered the same question.
    pub(super) fn compared(
        &self,
        verb: &Verb,
        legacy: &Option<RoomUri>,
        pool: &PoolName,
        rule: &RuleName,
        difference: Option<Difference>,
    ) {
        let (session, user) = (self.session, self.user.clone());
        let (command, rule) = (Detail::new(verb.token()), Detail::new(rule));
        let (legacy, pool) = (legacy.clone(), pool.clone());
        let (first, second, missing, extra) = match difference {
            None => {
                let agreed = ShadowAgreed {
                    session,
                    user,
                    command,
                    legacy,
                    pool,
                    rule,
                };
                return agreed.emit(&self.telemetry);
            }
            Some(Difference::Items { missing, extra }) => (200, 200, missing, extra),
            Some(Difference::Codes { first, second }) => (first, second, 0, 0),
        };
        ShadowDiffered {
            session,
            user,
            command,
            legacy,
            pool,
            rule,
            missing,
            extra,
            first,
            second,
        }
        .emit(&self.telemetry);
    }

    /// Something the core noticed.
    pub(super) fn event(&self, event: Event, pools: &Pools, grace: Duration) {
        let _told = self.told(event, pools, grace);
    }

    /// `None`: it is about a pool that nobody knows.
    fn told(&self, event: Event, pools: &Pools, grace: Duration) -> Option<()> {
        let telemetry = &self.telemetry;
        let name = |pool| pools.name(pool).cloned();
        let (session, user, peer) = (self.session, self.user.clone(), self.peer);
        match event {
            Event::Attached { resumed: true } => {
                SessionResumed {
                    session,
                    user,
                    peer,
                }
                .emit(telemetry);
            }
            Event::Attached { resumed: false } => {}
            Event::Detached => SessionDetached {
                session,
                user,
                grace,
            }
            .emit(telemetry),
            Event::NotDelivered { status } => DocumentRefused {
                session,
                user,
                status,
            }
            .emit(telemetry),
            Event::Joined {
                legacy,
                migrated,
                pool,
            } => {
                let pool = name(pool)?;
                RoomJoined {
                    session,
                    user,
                    legacy,
                    migrated,
                    pool,
                }
                .emit(telemetry);
            }
            Event::Refused { legacy, reason } => {
                let reason = match reason {
                    RefusalReason::Retired => JoinRefusal::Retired,
                    RefusalReason::Pending => JoinRefusal::Pending,
                    RefusalReason::Unlisted => JoinRefusal::Unlisted,
                    RefusalReason::Rule => JoinRefusal::Rule,
                    RefusalReason::Maintenance => JoinRefusal::Maintenance,
                    RefusalReason::ReadOnly => JoinRefusal::ReadOnly,
                    RefusalReason::NoTarget => JoinRefusal::NoTarget,
                    RefusalReason::Region => JoinRefusal::Region,
                };
                JoinRefused {
                    session,
                    user,
                    legacy,
                    reason,
                    pool: None,
                    code: None,
                }
                .emit(telemetry);
            }
            // Told with what only the task knows.
            Event::Decided { .. } | Event::Compared { .. } => {}
            Event::Noticed { legacy, rule } => NoticeShown {
                session,
                user,
                legacy,
                rule: Detail::new(rule),
            }
            .emit(telemetry),
            Event::Moved {
                legacy,
                from,
                to,
                rule,
            } => {
                let pool = name(to)?;
                RoomMoved {
                    session,
                    user,
                    legacy,
                    from: from.and_then(name),
                    pool,
                    rule: rule.map(|rule| Detail::new(&rule.name)),
                }
                .emit(telemetry);
            }
            Event::Shut {
                legacy,
                pool,
                reason,
                rule,
            } => {
                let pool = name(pool)?;
                RoomShut {
                    session,
                    user,
                    legacy,
                    pool,
                    reason: reason.into(),
                    rule: rule.map(|rule| Detail::new(&rule.name)),
                }
                .emit(telemetry);
            }
            Event::CommandFailed { verb, code } => {
                let command = Detail::new(verb.token());
                CommandFailed {
                    session,
                    user,
                    command,
                    code,
                }
                .emit(telemetry);
            }
            Event::NotJoined { legacy, pool, code } => {
                let reason = JoinRefusal::Pool;
                JoinRefused {
                    session,
                    user,
                    legacy,
                    reason,
                    pool: name(pool),
                    code,
                }
                .emit(telemetry);
            }
            Event::RoomsSummed { verb, untold } => RoomsSummed {
                session,
                user,
                command: Detail::new(verb.token()),
                events: untold,
            }
            .emit(telemetry),
            Event::TooManyRooms {
                verb,
                refused,
                per_command,
                per_session,
            } => TooManyRooms {
                session,
                user,
                command: Detail::new(verb.token()),
                refused,
                per_command,
                per_session,
            }
            .emit(telemetry),
            Event::TooLong {
                pool,
                verb,
                longest,
            } => {
                let pool = name(pool)?;
                DocumentTooLong {
                    session,
                    user,
                    pool,
                    command: verb.map(|verb| Detail::new(verb.token())),
                    longest,
                }
                .emit(telemetry);
            }
            Event::Parted { legacy } => RoomParted {
                session,
                user,
                legacy,
            }
            .emit(telemetry),
            Event::PostAccepted { legacy, pool, took } => {
                let pool = name(pool)?;
                PostAccepted {
                    session,
                    user,
                    legacy,
                    pool,
                    took,
                }
                .emit(telemetry);
            }
            Event::PostRefused { legacy, status, by } => {
                let by = match by {
                    Side::Downstream => PostRefusal::Gateway,
                    Side::Upstream => PostRefusal::Pool,
                };
                PostRefused {
                    session,
                    user,
                    legacy,
                    by,
                    status,
                }
                .emit(telemetry);
            }
            Event::PostUnknown {
                legacy,
                pool,
                request: (call_id, cseq),
                id,
            } => {
                let pool = name(pool)?;
                PostUnknown {
                    session,
                    user,
                    legacy,
                    pool,
                    call_id: Detail::new(call_id),
                    cseq,
                    envid: id.0,
                }
                .emit(telemetry);
            }
            Event::Rejoined { pool, rooms } => {
                let pool = name(pool)?;
                RoomsRejoined {
                    session,
                    user,
                    pool,
                    rooms,
                }
                .emit(telemetry);
            }
            Event::RoomLost { migrated, pool } => {
                let pool = name(pool)?;
                RoomLost {
                    session,
                    user,
                    migrated,
                    pool,
                }
                .emit(telemetry);
            }
            Event::GapClosed {
                migrated,
                pool,
                messages,
                complete,
            } => {
                let pool = name(pool)?;
                GapClosed {
                    session,
                    user,
                    migrated,
                    pool,
                    messages,
                    complete,
                }
                .emit(telemetry);
            }
            Event::Malformed { from, detail } => {
                let kind = match from {
                    Side::Downstream => FaultKind::Xccos,
                    Side::Upstream => FaultKind::PoolXccos,
                };
                let (user, detail) = (Some(user), Detail::new(detail));
                ProtocolFault {
                    peer,
                    user,
                    kind,
                    detail,
                }
                .emit(telemetry);
            }
        }
        Some(())
    }
}
