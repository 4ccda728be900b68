//! A message in a room.

use std::fmt;

use super::document::ElementRef;
use super::envelope::GroupChatView;
use super::error::XccosError;
use super::write::Tag;
use crate::room::RoomUri;

/// A message: a post on its way up, its copy on the way down, or one of the history.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupChat {
    /// The room.
    pub room: RoomUri,
    /// Who wrote it, as the peer writes it. A server does not believe it.
    pub author: Option<Box<str>>,
    /// When: UTC with a `Z`, fractions allowed. Mandatory in a post to an old server; the server's own in a copy.
    pub ts: Option<Box<str>>,
    /// The plain text. Line breaks are CRLF.
    pub chat: String,
}

impl GroupChat {
    /// Reads a post or its copy.
    ///
    /// # Errors
    /// [`XccosError`] when the room is missing or no room.
    pub fn read(view: GroupChatView<'_>) -> Result<Self, XccosError> {
        Self::read_element(view.element())
    }

    /// Reads `grpchat` or the `msg` of a history, which has the same form.
    pub(crate) fn read_element(element: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            room: element.require_parsed("chanUri")?,
            author: element.attr("author").map(Into::into),
            ts: element.attr("ts").map(Into::into),
            chat: element
                .child("chat")
                .map(ElementRef::text)
                .unwrap_or_default()
                .into_owned(),
        })
    }

    /// Adds the attributes and the text to an open tag.
    pub(crate) fn write(&self, tag: Tag<'_>) {
        tag.attr("chanUri", &self.room)
            .attr_opt("author", self.author.as_deref())
            .attr_opt("ts", self.ts.as_deref())
            .children(|w| w.element("chat").text(&self.chat));
    }
}

impl fmt::Debug for GroupChat {
    /// Without the text: it must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupChat")
            .field("room", &self.room)
            .field("author", &self.author)
            .field("ts", &self.ts)
            .field("chat_bytes", &self.chat.len())
            .finish()
    }
}
