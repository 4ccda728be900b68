//! `bccontext`: what was said in a room before.

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::group_chat::GroupChat;
use super::super::write::Writer;
use super::{read_all, require_child};
use crate::room::RoomUri;

/// The command `bccontext`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackChat {
    /// The room.
    pub room: RoomUri,
    /// How many of the last messages. `None` is a query of a kind that is not known.
    pub last: Option<u32>,
}

impl BackChat {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        let last = match data.child("bcq").and_then(|bcq| bcq.child("last")) {
            Some(last) => Some(last.require_parsed("cnt")?),
            None => None,
        };
        Ok(Self {
            room: require_child(data, "chanib")?.require_parsed("uri")?,
            last,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        w.element("chanib").attr("uri", &self.room).end();
        w.element("bcq").children(|w| {
            if let Some(last) = self.last {
                w.element("last").attr("cnt", last).end();
            }
        });
    }
}

/// The reply to `bccontext`. Clients look at the first room only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackChatReply {
    /// The rooms.
    pub rooms: Vec<RoomHistory>,
}

/// What was said in one room, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomHistory {
    /// The room.
    pub room: RoomUri,
    /// The messages.
    pub messages: Vec<GroupChat>,
}

impl BackChatReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            rooms: read_all(data, "chanib", RoomHistory::read)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.rooms.iter().for_each(|room| room.write(w));
    }
}

impl RoomHistory {
    fn read(chanib: ElementRef<'_>) -> Result<Self, XccosError> {
        let is_chat = |msg: &ElementRef<'_>| {
            msg.attr("id")
                .is_some_and(|id| id.eq_ignore_ascii_case("grpchat"))
        };
        let messages = chanib
            .children_named("msg")
            .filter(is_chat)
            .map(GroupChat::read_element);
        Ok(Self {
            room: chanib.require_parsed("uri")?,
            messages: messages.collect::<Result<_, _>>()?,
        })
    }

    fn write(&self, w: &mut Writer) {
        w.element("chanib").attr("uri", &self.room).children(|w| {
            for message in &self.messages {
                message.write(w.element("msg").attr("id", "grpchat"));
            }
        });
    }
}
