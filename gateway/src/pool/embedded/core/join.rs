//! `join` and `bjoin`: entering rooms.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::block::{
    FailureBlock, RoleAssociation, RoomBlock, RoomMembership, UserBlock,
};
use holdover_protocol::xccos::verb::{BackChat, BatchJoin, Join, JoinReply};
use holdover_protocol::xccos::{
    Arrival, Notice, OPERATION_FAILED, Outcome, PermissionMask, Reply, ReplyData, ResultCode, Verb,
};

use super::document::Answer;
use super::{Core, Effect, Turn, escaped};
use crate::pool::embedded::access::permissions;
use crate::pool::embedded::model::RoomKey;

/// Most bytes of the reply to a `bjoin`: three quarters of what readers of documents take, because identifiers may grow on
/// the way.
const REPLY_BYTES: usize = 768 * 1024;

impl Core {
    /// Enters one room. Entering it again changes nothing and is answered alike.
    pub(super) fn join(&mut self, join: &Join, turn: &mut Turn) -> Answer {
        let room = self.enter(&join.room, turn, Notice::Join)?;
        let mut lists = Lists::default();
        self.describe_joined(room, &mut lists);
        Ok(ReplyData::Join(lists.reply))
    }

    /// Enters several rooms. One that cannot be entered gets a failure block, and the others are entered all the same. So
    /// does one of which the reply has no room to tell: what is entered is told.
    ///
    /// # Errors
    ///
    /// Not even the failures fit into one reply. Nothing is entered.
    pub(super) fn batch_join(&mut self, join: &BatchJoin, turn: &mut Turn) -> Answer {
        let mut seen = HashSet::new();
        let wanted: Vec<&RoomUri> = join.rooms.iter().filter(|uri| seen.insert(*uri)).collect();
        let failures: usize = wanted.iter().map(|uri| failure_bytes(uri)).sum();
        let Some(mut budget) = REPLY_BYTES.checked_sub(failures) else {
            let text = format!("{} rooms are too many to enter at once.", wanted.len());
            return Err(Outcome::new(ResultCode::LimitExceeded, text));
        };
        let mut lists = Lists::default();
        let mut entered = Vec::new();
        let mut people = BTreeSet::from([turn.user.clone()]);
        for uri in wanted {
            let fails = self.options.variants.failing_rooms.contains(uri.value());
            let entry = match fails {
                true => Err(ResultCode::ServerError),
                false => match self.pay(uri, &mut people, &mut budget) {
                    true => self.enter(uri, turn, Notice::BatchJoin),
                    false => Err(ResultCode::LimitExceeded),
                },
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
        Ok(ReplyData::Join(lists.reply))
    }

    /// Takes what the reply says of a room and of those `people` it has not named yet from the budget, in which there is
    /// room for its failure block already. `false`: there is not enough left.
    fn pay(&self, uri: &RoomUri, people: &mut BTreeSet<UserUri>, budget: &mut usize) -> bool {
        let Some(room) = self.catalog.by_value(uri.value()) else {
            return true;
        };
        // The room, an association for every role, and the one who enters it.
        let mut bytes = 220 + uri.as_str().len() + escaped(&room.name) + escaped(&room.description);
        let mut named = Vec::new();
        if !self.presence.is_crowded(room.key) {
            for user in self.presence.users(room.key) {
                bytes += NUMBER_BYTES;
                if !people.contains(user) {
                    bytes += 40 + escaped(user.as_str());
                    named.push(user);
                }
            }
        }
        let Some(left) = (*budget + failure_bytes(uri)).checked_sub(bytes) else {
            return false;
        };
        *budget = left;
        people.extend(named.into_iter().cloned());
        true
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

/// Most bytes of a user's number in an association, and the comma before it.
const NUMBER_BYTES: usize = 8;

/// About how many bytes a failure block takes.
fn failure_bytes(room: &RoomUri) -> usize {
    50 + escaped(room.value()) + escaped(room.domain())
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
