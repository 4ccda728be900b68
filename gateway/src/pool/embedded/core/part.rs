//! `part`: leaving rooms.

use holdover_protocol::xccos::block::UserBlock;
use holdover_protocol::xccos::verb::{Part, PartReply};
use holdover_protocol::xccos::{Departure, Notice, ReplyData};

use super::{Core, Effect, Turn};
use crate::pool::embedded::LegId;
use crate::pool::embedded::model::RoomKey;

impl Core {
    /// Leaves rooms. Always good, also for rooms the leg is not in and for rooms there are not: a client that is told
    /// otherwise can never join the room again (`sipe-client.md`, "fail-part").
    pub(super) fn part(&mut self, part: &Part, turn: &mut Turn) -> ReplyData {
        for uri in &part.rooms {
            let room = self.catalog.by_value(uri.value());
            let Some(key) = room.filter(|room| room.uri == *uri).map(|room| room.key) else {
                continue;
            };
            let notice = self.leave(turn.leg, key);
            turn.notices.extend(notice);
        }
        ReplyData::Part(PartReply {
            rooms: part.rooms.clone(),
        })
    }

    /// Takes a leg out of a room. The notice to those who stay, if the user is gone and the room is not crowded.
    pub(super) fn leave(&mut self, leg: LegId, key: RoomKey) -> Option<Effect> {
        let user = self.presence.user(leg)?.clone();
        if !self.presence.part(leg, key) || self.presence.is_crowded(key) {
            return None;
        }
        let legs = self.presence.legs(key);
        if legs.is_empty() {
            return None;
        }
        let departure = Departure {
            room: self.catalog.by_key(key)?.uri.clone(),
            users: vec![UserBlock::new(user.as_str())],
        };
        let document = self
            .envelope()
            .notice(1, &Notice::Part(vec![departure]))
            .finish();
        Some(Effect::Document { legs, document })
    }
}
