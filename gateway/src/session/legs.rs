//! Legs: which pools can be reached, and when those that cannot are tried again.

use std::time::Instant;

use bytes::Bytes;

use super::core::SessionCore;
use super::output::Output;
use crate::pool::{Opening, PoolId, SendId};

/// Histories that are remembered as answered, so that what comes again, or too late, is known as such.
const LOOKS: usize = 16;

/// One pool as this session sees it. A pool the session has nothing to do with is not in the list.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) pool: PoolId,
    pub(super) state: LegState,
}

/// Whether a pool can be reached.
#[derive(Debug)]
pub(super) enum LegState {
    /// There is a leg. → `Down` when it closes.
    Up,
    /// There is none, and the client has rooms there. → `Up` at `retry_at`.
    Down { retry_at: Instant },
}

impl SessionCore {
    /// The number of the next document on the pool's leg, which is opened if there is none. `None`: the pool cannot be
    /// reached at present.
    pub(super) fn next_id(&mut self, pool: PoolId) -> Option<SendId> {
        let known = self.legs.iter().position(|leg| leg.pool == pool);
        let at = known.unwrap_or(self.legs.len());
        if known.is_none() {
            self.outputs
                .push_back(Output::OpenLeg(pool, Opening::First));
            self.legs.push(Leg {
                pool,
                state: LegState::Up,
            });
        }
        self.legs
            .get(at)
            .filter(|leg| matches!(leg.state, LegState::Up))?;
        let id = SendId(self.next);
        self.next += 1;
        Some(id)
    }

    /// Whether there is a leg to the pool.
    pub(super) fn is_up(&self, pool: PoolId) -> bool {
        self.legs
            .iter()
            .any(|leg| leg.pool == pool && matches!(leg.state, LegState::Up))
    }

    /// Opens the legs whose time has come, and joins the client's rooms there again.
    pub(super) fn retry_legs(&mut self, now: Instant) {
        let due =
            |leg: &&mut Leg| matches!(leg.state, LegState::Down { retry_at } if retry_at <= now);
        let pools: Vec<PoolId> = self
            .legs
            .iter_mut()
            .filter(due)
            .map(|leg| {
                leg.state = LegState::Up;
                leg.pool
            })
            .collect();
        for pool in pools {
            if !self.rooms.has_any(pool) {
                // The client left all of them meanwhile.
                self.legs.retain(|leg| leg.pool != pool);
                self.tracks.leg_back(pool);
                continue;
            }
            self.outputs
                .push_back(Output::OpenLeg(pool, Opening::Again));
            self.rejoin(now, pool);
        }
    }

    pub(super) fn legs_deadline(&self) -> Option<Instant> {
        let retry = |leg: &Leg| match leg.state {
            LegState::Up => None,
            LegState::Down { retry_at } => Some(retry_at),
        };
        self.legs.iter().filter_map(retry).min()
    }

    pub(super) fn send(&mut self, pool: PoolId, id: SendId, body: Bytes) {
        self.outputs.push_back(Output::Send { pool, id, body });
    }

    /// A history was asked for, and nothing more is expected of it.
    pub(super) fn looked_back(&mut self, id: SendId) {
        if self.looked_back.len() >= LOOKS {
            self.looked_back.pop_front();
        }
        self.looked_back.push_back(id.0);
    }

    /// Whether a history was asked for with this number, and answered or given up.
    pub(super) fn has_looked_back(&self, id: u64) -> bool {
        self.looked_back.contains(&id)
    }

    /// The client is not told: its rooms there are joined again as soon as the pool can be reached, and what was missed
    /// is fetched from the history.
    pub(super) fn handle_leg_closed(&mut self, now: Instant, pool: PoolId) {
        let retry_at = now
            + self
                .tracks
                .backoff(pool, self.connection.map_or(0, |number| number.0));
        if let Some(leg) = self.legs.iter_mut().find(|leg| leg.pool == pool) {
            leg.state = LegState::Down { retry_at };
        }
        self.tracks.leg_lost(pool);
        self.fail_posts(pool);
        self.fail_commands(now, pool);
        self.drop_leg_if_useless(pool);
    }

    /// A pool on which nothing is open need not be reached again: the next command opens a leg.
    fn drop_leg_if_useless(&mut self, pool: PoolId) {
        if !self.rooms.has_any(pool) {
            self.legs
                .retain(|leg| leg.pool != pool || matches!(leg.state, LegState::Up));
            self.tracks.leg_back(pool);
        }
    }

    /// Closes a leg that is of no use, to be opened again later.
    pub(super) fn give_up_leg(&mut self, now: Instant, pool: PoolId) {
        if self.is_up(pool) {
            self.outputs.push_back(Output::CloseLeg(pool));
            self.handle_leg_closed(now, pool);
        }
    }
}
