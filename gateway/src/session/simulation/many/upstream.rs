//! The pools' side of a run: legs that break with documents under way, moods, and other users.

use std::time::Duration;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;

use super::commands::Entry;
use super::directory::{OLD, domain};
use super::pool::{Mood, Taken, WAITING};
use super::world::{Event, World};
use crate::pool::{LegClosed, LegEvent, PoolId, SendId};

impl World {
    pub(super) fn open_leg(&mut self, pool: PoolId) {
        assert!(
            !self.legs.contains_key(&pool),
            "a leg was opened while one was open"
        );
        let model = &mut self.pools[usize::from(pool.0)];
        let is_away = model.mood == Mood::Away || (!model.is_calm && self.random.chance(3));
        let epoch = model.open(self.now);
        self.legs.insert(pool, epoch);
        self.log(|| format!("leg {epoch} to {pool:?} opens, away: {is_away}"));
        if is_away {
            self.pools[usize::from(pool.0)].leg = None;
            // Told at once, or after a while in which documents go nowhere.
            if self.random.chance(50) {
                self.core_hears_of_the_end(pool);
            } else {
                let pause = self.random.delay(Duration::from_secs(3));
                self.plan(pause, Event::LegGone { pool, epoch });
            }
        }
    }

    pub(super) fn send_up(&mut self, pool: PoolId, id: SendId, body: Bytes) {
        let text = String::from_utf8(body.to_vec()).unwrap();
        self.log(|| format!("to {pool:?} {id:?} {text}"));
        self.check_ids(pool, &text);
        self.posts.sent(self.now, pool, id, &text);
        if let Some(envid) = self.command
            && !text.contains("cmd:part")
        {
            self.commands.sent(pool, id, envid);
        }
        let Some(epoch) = self.legs.get(&pool).copied() else {
            // The leg ended while this was on its way to it.
            return self.posts.leg_gone(pool);
        };
        let pause = self.random.delay(Duration::from_millis(500));
        match &mut self.pools[usize::from(pool.0)].leg {
            Some(leg) if leg.epoch == epoch && leg.under_way.len() < WAITING => {
                leg.under_way.push_back((id, body));
                leg.up = leg.up.max(self.now + pause);
                let at = leg.up;
                self.plan_at(at, Event::PoolTakes { pool, epoch });
            }
            Some(_) => self.end_leg(pool),
            // It is gone; that may be seen at once, or the core hears of it later.
            None if self.random.chance(30) => self.core_hears_of_the_end(pool),
            None => {}
        }
    }

    /// Every identifier that a pool sees is its own.
    fn check_ids(&self, pool: PoolId, text: &str) {
        assert!(
            !text.contains(OLD),
            "a legacy identifier went to a pool: {text}"
        );
        for other in self.directory.pools.iter().filter(|other| **other != pool) {
            assert!(!text.contains(&domain(*other)), "went to {pool:?}: {text}");
        }
    }

    /// The core closes a leg. What is under way may arrive all the same.
    pub(super) fn close_leg(&mut self, pool: PoolId) {
        self.log(|| format!("core closes the leg to {pool:?}"));
        if self.legs.remove(&pool).is_none() {
            // It ended before the core's wish was carried out.
            return;
        }
        self.posts.leg_gone(pool);
        self.lose_leg(pool);
    }

    /// A leg ends, and the core is told at once.
    pub(super) fn end_leg(&mut self, pool: PoolId) {
        self.lose_leg(pool);
        self.core_hears_of_the_end(pool);
    }

    /// Some of what is under way to the pool still arrives; what comes from it is lost.
    fn lose_leg(&mut self, pool: PoolId) {
        let at = usize::from(pool.0);
        let Some(leg) = &self.pools[at].leg else {
            return;
        };
        let arrive = self.random.below(leg.under_way.len() + 1);
        for _ in 0..arrive {
            let id = self.pools[at]
                .leg
                .as_ref()
                .and_then(|leg| leg.under_way.front());
            let Some((id, _)) = id.cloned() else { break };
            if let Some(taken) = self.pools[at].take(&mut self.random) {
                self.note(pool, id, &taken);
            }
        }
        self.pools[at].leg = None;
    }

    pub(super) fn core_hears_of_the_end(&mut self, pool: PoolId) {
        self.log(|| format!("core hears that the leg to {pool:?} is gone"));
        self.legs.remove(&pool);
        self.posts.leg_gone(pool);
        let reason =
            *self
                .random
                .pick(&[LegClosed::Pool, LegClosed::Overflow, LegClosed::Unreachable]);
        let closed = LegEvent::Closed(reason);
        self.core
            .handle_leg(self.now, pool, closed, &self.directory);
    }

    /// Books what a pool did.
    fn note(&mut self, pool: PoolId, id: SendId, taken: &Taken) {
        for (room, before) in &taken.entered {
            let entry = Entry {
                before: *before,
                at: self.now,
            };
            self.commands.entered(pool, id, room.clone(), entry);
        }
        if let Some(text) = &taken.stored {
            self.posts.stored(text);
            let history = &self.pools[usize::from(pool.0)].history;
            let stands = |(room, messages): (&RoomUri, &Vec<_>)| {
                let messages: &Vec<super::pool::Message> = messages;
                let at = messages.iter().position(|message| message.text == *text)?;
                Some((room.clone(), at))
            };
            if let Some((room, at)) = history.iter().find_map(stands) {
                self.windows.written(text, pool, &room, at);
            }
        }
    }

    pub(super) fn pool_takes(&mut self, pool: PoolId, epoch: u64) {
        let model = &mut self.pools[usize::from(pool.0)];
        let Some(leg) = model.leg.as_mut().filter(|leg| leg.epoch == epoch) else {
            return;
        };
        if model.mood == Mood::Frozen {
            leg.arrived += 1;
            return;
        }
        self.take_one(pool);
    }

    fn take_one(&mut self, pool: PoolId) {
        let model = &mut self.pools[usize::from(pool.0)];
        let id = model.leg.as_ref().and_then(|leg| leg.under_way.front());
        let Some((id, _)) = id.cloned() else { return };
        let Some(taken) = model.take(&mut self.random) else {
            return;
        };
        self.note(pool, id, &taken);
        taken.said.into_iter().for_each(|said| self.say(pool, said));
    }

    fn say(&mut self, pool: PoolId, said: LegEvent) {
        let pause = match self.random.below(200) {
            0 if !self.is_settling => self.random.delay(self.settings.pool_timeout * 2),
            1..6 if !self.is_settling => self.random.delay(Duration::from_secs(4)),
            _ => self.random.delay(Duration::from_millis(300)),
        };
        let Some(leg) = &mut self.pools[usize::from(pool.0)].leg else {
            return;
        };
        leg.down = leg.down.max(self.now + pause);
        let (at, epoch) = (leg.down, leg.epoch);
        self.plan_at(at, Event::PoolSays { pool, epoch, said });
    }

    pub(super) fn pool_says(&mut self, pool: PoolId, epoch: u64, said: LegEvent) {
        let leg = self.pools[usize::from(pool.0)].leg.as_ref();
        let is_there = leg.is_some_and(|leg| leg.epoch == epoch);
        if !is_there || self.legs.get(&pool) != Some(&epoch) {
            return;
        }
        self.log(|| format!("{pool:?} says {said:?}"));
        if let LegEvent::Receipt { id, receipt } = &said {
            self.posts.receipt(pool, *id, receipt);
        }
        self.core.handle_leg(self.now, pool, said, &self.directory);
    }

    // === What happens at the pools ===

    pub(super) fn pools_act(&mut self) {
        let pool = *self.random.pick(&self.directory.pools.clone());
        match self.random.below(100) {
            0..62 => self.somebody_writes(),
            62..67 => {
                let most = *self.random.pick(&[10, 60, 120]);
                let rooms = self.directory.rooms(pool);
                let room = self.random.pick(&rooms).clone();
                for _ in 0..self.random.below(most) {
                    self.write_in(pool, &room);
                }
            }
            67..78 => {
                let moods = [
                    Mood::Well,
                    Mood::Well,
                    Mood::Well,
                    Mood::Away,
                    Mood::Frozen,
                    Mood::Mute,
                    Mood::Busy,
                    Mood::Strict,
                ];
                let mood = *self.random.pick(&moods);
                self.set_mood(pool, mood);
            }
            78..90 => self.break_leg(pool),
            90..94 if self.has_rules => self.change_rules(),
            _ => {
                let is_frozen = self.pools[usize::from(pool.0)].mood == Mood::Frozen;
                let odd = self.pools[usize::from(pool.0)].odd(&mut self.random);
                if let Some(odd) = odd.filter(|_| !is_frozen) {
                    self.say(pool, odd);
                }
            }
        }
    }

    /// The session is told, or sees it when it looks the next time.
    fn change_rules(&mut self) {
        self.directory.change_rules(&mut self.random);
        let forbidden = self.directory.what_is_forbidden();
        self.log(|| format!("the rules change: {forbidden}"));
        if self.random.chance(60) {
            self.core
                .handle_decisions_changed(self.now, &self.directory);
        }
    }

    pub(super) fn set_mood(&mut self, pool: PoolId, mood: Mood) {
        let model = &mut self.pools[usize::from(pool.0)];
        let was = std::mem::replace(&mut model.mood, mood);
        self.log(|| format!("{pool:?} is {mood:?}"));
        if was == Mood::Frozen && mood != Mood::Frozen {
            let leg = self.pools[usize::from(pool.0)].leg.as_mut();
            let arrived = leg.map_or(0, |leg| std::mem::take(&mut leg.arrived));
            (0..arrived).for_each(|_| self.take_one(pool));
        }
        if mood == Mood::Away {
            self.break_leg(pool);
        }
    }

    fn break_leg(&mut self, pool: PoolId) {
        let Some(leg) = &self.pools[usize::from(pool.0)].leg else {
            return;
        };
        let epoch = leg.epoch;
        self.log(|| format!("the leg {epoch} to {pool:?} breaks"));
        self.lose_leg(pool);
        let pause = self.random.delay(Duration::from_secs(2));
        self.plan(pause, Event::LegGone { pool, epoch });
    }

    /// The session's own queue was full, which its task sees before it does anything else.
    pub(super) fn overflow_at_times(&mut self) {
        if self.is_settling || self.is_finished || self.random.below(400) > 0 {
            return;
        }
        if let Some(pool) = self.legs.keys().next().copied() {
            self.end_leg(pool);
        }
    }

    pub(super) fn somebody_writes(&mut self) {
        let place = self.random.pick(&self.directory.places).clone();
        self.write_in(place.pool, &place.migrated);
    }

    pub(super) fn write_in(&mut self, pool: PoolId, room: &RoomUri) {
        let model = &mut self.pools[usize::from(pool.0)];
        if model.mood == Mood::Frozen {
            return;
        }
        self.texts += 1;
        let text = format!("t{}.", self.texts);
        let said = model.message(&mut self.random, room, &text, "sip:bob@contoso.com");
        let at = model.history[room].len() - 1;
        self.windows.written(&text, pool, room, at);
        self.log(|| format!("somebody writes {text} in {room}, number {at}"));
        if let Some(said) = said {
            self.say(pool, said);
        }
    }
}
