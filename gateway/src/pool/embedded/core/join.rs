//! `join` and `bjoin`: entering rooms.

use std::collections::{BTreeMap, BTreeSet};

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::block::{
    FailureBlock, RoleAssociation, RoomBlock, RoomMembership, UserBlock,
};
use holdover_protocol::xccos::verb::{BackChat, BatchJoin, Join, JoinReply};
use holdover_protocol::xccos::{
    Arrival, Notice, OPERATION_FAILED, PermissionMask, Reply, ReplyData, ResultCode, Verb,
};

use super::document::Answer;
use super::{Core, Effect, Turn};
use crate::pool::embedded::access::permissions;
use crate::pool::embedded::model::RoomKey;

impl Core {
    /// Enters one room. Entering it again changes nothing and is answered alike.
    pub(super) fn join(&mut self, join: &Join, turn: &mut Turn) -> Answer {
        let room = self.enter(&join.room, turn, Notice::Join)?;
        let mut lists = Lists::default();
        self.describe_joined(room, &mut lists);
        Ok(ReplyData::Join(lists.reply))
    }

    /// Enters several rooms. One that cannot be entered gets a failure block, and the others are entered all the same.
    pub(super) fn batch_join(&mut self, join: &BatchJoin, turn: &mut Turn) -> ReplyData {
        let mut lists = Lists::default();
        let mut seen = BTreeSet::new();
        let wanted = join.rooms.iter().filter(|uri| seen.insert(*uri));
        let mut entered = Vec::new();
        for uri in wanted {
            let fails = self.options.variants.failing_rooms.contains(uri.value());
            let entry = match fails {
                true => Err(ResultCode::ServerError),
                false => self.enter(uri, turn, Notice::BatchJoin),
            };
            match entry {
                Ok(room) => entered.push(room),
                Err(_) => lists.reply.failures.push(FailureBlock {
                    room: uri.clone(),
                    key: OPERATION_FAILED.into(),
                }),
            }
        }
        for room in entered {
            self.describe_joined(room, &mut lists);
        }
        for room in &lists.reply.rooms {
            self.push_history(&room.uri, turn);
        }
        ReplyData::Join(lists.reply)
    }

    /// Sends the last messages of a room unasked, after the reply, if this pool is one that does so.
    fn push_history(&mut self, room: &RoomUri, turn: &mut Turn) {
        let last = self.options.variants.push_history;
        if last == 0 {
            return;
        }
        let query = BackChat {
            room: room.clone(),
            last: Some(last),
        };
        // Whoever may join may read; a failure of the database is told to those who ask.
        if let Ok(history) = self.back_chat(&query, turn) {
            let reply = Reply::success(Verb::BackChat, history);
            let document = self.envelope().reply(1, None, &reply).finish();
            turn.notices.push(Effect::Document {
                legs: vec![turn.leg],
                document,
            });
        }
    }

    fn enter(
        &mut self,
        uri: &RoomUri,
        turn: &mut Turn,
        notice: fn(Vec<Arrival>) -> Notice,
    ) -> Result<RoomKey, ResultCode> {
        let (room, mask) = self.room(uri, &turn.user)?;
        if !mask.contains(PermissionMask::JOIN) {
            return Err(ResultCode::Permission);
        }
        let key = room.key;
        if self.presence.join(turn.leg, key) && !self.presence.is_crowded(key) {
            let legs = self.presence.legs_of_others(key, &turn.user);
            if !legs.is_empty() {
                let arrival = Arrival {
                    user: UserBlock::new(turn.user.as_str()),
                    rooms: vec![RoomMembership {
                        room: uri.clone(),
                        mask: self.options.variants.mask(mask),
                    }],
                };
                let document = self.envelope().notice(1, &notice(vec![arrival])).finish();
                turn.notices.push(Effect::Document { legs, document });
            }
        }
        Ok(key)
    }

    /// Adds a room to a reply, with the people in it unless it is crowded.
    fn describe_joined(&self, key: RoomKey, lists: &mut Lists) {
        let Some(room) = self.catalog.by_key(key) else {
            return;
        };
        let mut roles: BTreeMap<PermissionMask, Vec<u32>> = BTreeMap::new();
        if !self.presence.is_crowded(key) {
            for user in self.presence.users(key) {
                let mask = self.options.variants.mask(permissions(room, user));
                roles.entry(mask).or_default().push(lists.number(user));
            }
        }
        lists.reply.rooms.push(RoomBlock {
            name: Some(room.name.clone()),
            description: Some(room.description.clone()),
            associations: roles
                .into_iter()
                .map(|(mask, users)| RoleAssociation { mask, users })
                .collect(),
            ..RoomBlock::new(room.uri.clone())
        });
    }
}

/// A reply in the making: everybody is listed once and has a number that is valid in this document only.
#[derive(Default)]
struct Lists {
    reply: JoinReply,
    numbers: BTreeMap<UserUri, u32>,
}

impl Lists {
    fn number(&mut self, user: &UserUri) -> u32 {
        if let Some(number) = self.numbers.get(user) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(user.clone(), number);
        self.reply.users.push(UserBlock {
            id: Some(number),
            uri: user.as_str().into(),
        });
        number
    }
}
