//! `bccontext`: what was said in a room before.

use holdover_protocol::xccos::verb::{BackChat, BackChatReply, RoomHistory};
use holdover_protocol::xccos::{GroupChat, PermissionMask, ReplyData, ResultCode};

use super::document::Answer;
use super::{Core, REPLY_BYTES, Turn, escaped};
use crate::pool::embedded::store::Message;

/// Messages where the client does not say how many it wants.
const DEFAULT: u32 = 30;
/// Most messages in one reply.
const MOST: u32 = 500;

impl Core {
    /// The last messages of a room, oldest first. Whoever may read a room need not be in it.
    pub(super) fn back_chat(&mut self, query: &BackChat, turn: &mut Turn) -> Answer {
        let (room, mask) = self.room(&query.room, &turn.user)?;
        if !mask.contains(PermissionMask::READ_HISTORY) {
            return Err(ResultCode::Permission.into());
        }
        turn.stored = true;
        let count = query.last.unwrap_or(DEFAULT).min(MOST) as usize;
        let messages = self
            .store
            .last(room.key, count, REPLY_BYTES, weight)
            .map_err(|error| self.server_error(&error))?;
        let messages = messages
            .into_iter()
            .map(|message| GroupChat {
                room: query.room.clone(),
                author: Some(message.author.into()),
                ts: Some(message.ticks.to_string().into()),
                chat: message.text,
            })
            .collect();
        Ok(ReplyData::BackChat(BackChatReply {
            rooms: vec![RoomHistory {
                room: query.room.clone(),
                messages,
            }],
        }))
    }
}

/// About how many bytes a message takes in a reply.
fn weight(message: &Message) -> usize {
    // Element names, the time, and a room identifier of usual length.
    200 + message.author.len() + escaped(&message.text)
}
