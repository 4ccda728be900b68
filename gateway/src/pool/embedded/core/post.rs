//! `grpchat`: a message to everybody in a room.

use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::{GroupChat, GroupChatView, ResultCode};

use super::{Core, Effect, Turn};
use crate::pool::Receipt;
use crate::pool::embedded::access::may_post;
use crate::pool::embedded::model::RoomKey;
use crate::pool::embedded::store::{Head, StoreError};

/// A document refused: the only answer a post has.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    reason: &'static str,
}

impl Refusal {
    /// `status` must be one that clients survive: no 2xx, 401, 407 or 481.
    pub(super) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }
}

impl From<Refusal> for Receipt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused {
            status: refusal.status,
            reason: refusal.reason.into(),
        }
    }
}

impl Core {
    /// Stores a message and copies it to every leg in the room, the sender's own among them: clients show nothing else.
    pub(super) fn post(
        &mut self,
        view: GroupChatView<'_>,
        turn: &mut Turn,
    ) -> Result<Effect, Refusal> {
        let post = GroupChat::read(view).map_err(|_| Refusal::new(400, "Malformed message"))?;
        let key = self.may_post(&post, turn)?;
        turn.stored = true;
        let head = self.append(key, &post, turn).map_err(|error| {
            self.server_error(&error);
            Refusal::new(500, "Storage failed")
        })?;
        let copy = GroupChat {
            author: Some(turn.user.as_str().into()),
            ts: Some(head.ticks.to_string().into()),
            ..post
        };
        Ok(Effect::Document {
            legs: self.presence.legs(key),
            document: self.envelope().group_chat(1, &copy).finish(),
        })
    }

    fn may_post(&self, post: &GroupChat, turn: &Turn) -> Result<RoomKey, Refusal> {
        let (room, mask) = self
            .room(&post.room, &turn.user)
            .map_err(|code| match code {
                ResultCode::NodeDisabled => Refusal::new(403, "Room disabled"),
                _ => Refusal::new(404, "No such room"),
            })?;
        if !self.presence.has_joined(turn.leg, room.key) {
            return Err(Refusal::new(403, "Not in the room"));
        }
        if !may_post(room, mask) {
            return Err(Refusal::new(403, "Not allowed to post"));
        }
        let foreign = |author: &str| UserUri::parse(author).ok().as_ref() != Some(&turn.user);
        if post.author.as_deref().is_some_and(foreign) {
            return Err(Refusal::new(403, "Not the author"));
        }
        // What the old servers did (facts 1.3 #4): clients know it as a message that must have a time.
        if post.ts.as_deref().is_none_or(str::is_empty) {
            return Err(Refusal::new(503, "Chat service busy"));
        }
        if post.chat.is_empty() {
            return Err(Refusal::new(400, "Empty message"));
        }
        if post.chat.len() > self.options.message_limit {
            return Err(Refusal::new(413, "Message too large"));
        }
        Ok(room.key)
    }

    /// Numbers within a room count up by one, whatever the clock does. So do times where it goes back by a little; a room
    /// whose last message comes from further ahead, because the clock was wrong, goes on with the time that it is now.
    fn append(&mut self, room: RoomKey, post: &GroupChat, turn: &Turn) -> Result<Head, StoreError> {
        let last = match self.heads.get(&room) {
            Some(head) => *head,
            None => self.store.head(room)?,
        };
        let head = Head {
            id: last.id + 1,
            ticks: turn.now.following(last.ticks),
        };
        self.store
            .append(room, head, turn.user.as_str(), &post.chat)?;
        self.heads.insert(room, head);
        Ok(head)
    }
}
