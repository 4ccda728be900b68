//! `chansrch`: finding rooms.

use holdover_protocol::xccos::block::{QueryBlock, RoomBlock, Visibility};
use holdover_protocol::xccos::verb::{ChannelSearch, ChannelSearchReply};
use holdover_protocol::xccos::{PermissionMask, ReplyData, ResultCode};

use super::document::Answer;
use super::{Core, REPLY_BYTES, Turn};
use crate::pool::embedded::access::permissions;
use crate::pool::embedded::model::{Privacy, Room};

impl Core {
    /// The rooms that the user may see and whose name holds every word of the query, upper and lower case being the same;
    /// by name. Cut off at the search limit.
    pub(super) fn search(&self, search: &ChannelSearch, turn: &Turn) -> Answer {
        let query = &search.query;
        if !query.query_type.eq_ignore_ascii_case(QueryBlock::BY_NAME) {
            return Err(ResultCode::NotSupported);
        }
        let criteria = query.criteria.to_lowercase();
        let words: Vec<&str> = criteria.split_whitespace().collect();
        let rooms = self.listing(|room| {
            let name = room.name.to_lowercase();
            permissions(room, &turn.user).contains(PermissionMask::SEE)
                && words.iter().all(|word| name.contains(word))
        });
        Ok(ReplyData::ChannelSearch(ChannelSearchReply { rooms }))
    }

    /// What is told of the rooms that are `wanted` and not disabled, by name, as many as fit one reply.
    pub(super) fn listing(&self, wanted: impl Fn(&Room) -> bool) -> Vec<RoomBlock> {
        let mut rooms: Vec<&Room> = self
            .catalog
            .rooms()
            .filter(|room| !room.disabled && wanted(room))
            .collect();
        // Names are unique without regard to case, so this is an order.
        rooms.sort_by_cached_key(|room| room.name.to_lowercase());
        let mut bytes = 0;
        rooms
            .into_iter()
            .take(self.options.search_limit)
            .take_while(|room| {
                // 320 for the switches, whose names are long.
                bytes += 320 + room.uri.as_str().len() + room.name.len() + room.description.len();
                bytes <= REPLY_BYTES
            })
            .map(|room| self.describe(room))
            .collect()
    }

    /// What is told of a room to somebody who looks for one.
    fn describe(&self, room: &Room) -> RoomBlock {
        RoomBlock {
            name: Some(room.name.clone()),
            description: Some(room.description.clone()),
            user_count: u32::try_from(self.presence.count(room.key)).ok(),
            visibility: Some(match room.privacy {
                Privacy::Open => Visibility::Open,
                Privacy::Closed => Visibility::Scope,
                Privacy::Secret => Visibility::Private,
            }),
            // No file store: tokens are refused.
            file_post: Some(false),
            invite: Some(room.invitations),
            logged: Some(true),
            ..RoomBlock::new(room.uri.clone())
        }
    }
}
