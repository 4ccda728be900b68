//! What a document holds: commands, replies, notices and posts.

use std::borrow::Cow;

use super::document::{Document, ElementRef};
use super::error::XccosError;
use super::result::ResultCode;
use super::verb::Verb;
use crate::room::RoomUri;

/// One thing in a document.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// `cmd`: a client wants something.
    Command(CommandView<'a>),
    /// `rpl`: a server answers.
    Reply(ReplyView<'a>),
    /// `ntc`: a server tells.
    Notice(NoticeView<'a>),
    /// `grpchat`: a message, from whoever wrote it or to everybody in the room.
    GroupChat(GroupChatView<'a>),
    /// Anything else; passed on as it is.
    Other(ElementRef<'a>),
}

impl<'a> Item<'a> {
    fn new(element: ElementRef<'a>) -> Self {
        match element.name() {
            "cmd" => Self::Command(CommandView { element }),
            "rpl" => Self::Reply(ReplyView { element }),
            "ntc" => Self::Notice(NoticeView { element }),
            "grpchat" => Self::GroupChat(GroupChatView { element }),
            _ => Self::Other(element),
        }
    }

    /// The element it was read from.
    pub fn element(&self) -> ElementRef<'a> {
        match self {
            Self::Command(view) => view.element,
            Self::Reply(view) => view.element,
            Self::Notice(view) => view.element,
            Self::GroupChat(view) => view.element,
            Self::Other(element) => *element,
        }
    }
}

impl Document {
    /// The id of this document, opaque: 32 bits from old clients, 64 from servers. Replies name it.
    pub fn envid(&self) -> Option<Cow<'_, str>> {
        self.root().attr("envid")
    }

    /// What is in it, in order.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.root().children().map(Item::new)
    }
}

/// The command that a reply answers: the number of the command in its document, and the document's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommandId<'a> {
    /// `envid` of the document the command came in.
    pub envid: Cow<'a, str>,
    /// `seqid` of the command.
    pub seqid: Cow<'a, str>,
}

impl<'a> CommandId<'a> {
    /// The two ids.
    pub fn new(envid: impl Into<Cow<'a, str>>, seqid: impl Into<Cow<'a, str>>) -> Self {
        Self {
            envid: envid.into(),
            seqid: seqid.into(),
        }
    }

    /// The same, independent of the document.
    pub fn into_owned(self) -> CommandId<'static> {
        CommandId::new(self.envid.into_owned(), self.seqid.into_owned())
    }
}

macro_rules! view {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'a> {
            element: ElementRef<'a>,
        }

        impl<'a> $name<'a> {
            /// The element itself.
            pub fn element(self) -> ElementRef<'a> {
                self.element
            }

            /// Its number in the document.
            pub fn seqid(self) -> Option<Cow<'a, str>> {
                self.element.attr("seqid")
            }
        }
    };
}

view! {
    /// A `cmd` in a document.
    CommandView
}
view! {
    /// An `rpl` in a document.
    ReplyView
}
view! {
    /// An `ntc` in a document.
    NoticeView
}
view! {
    /// A `grpchat` in a document.
    GroupChatView
}

macro_rules! verb_and_data {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// What it is about.
            pub fn verb(self) -> Verb {
                self.element
                    .attr("id")
                    .map_or_else(Verb::default, |id| Verb::from_id(&id))
            }

            /// The element `data`.
            pub fn data(self) -> Option<ElementRef<'a>> {
                self.element.child("data")
            }

            /// `data`, or the element itself: then whatever is looked for in it is missing.
            pub(crate) fn payload(self) -> ElementRef<'a> {
                self.data().unwrap_or(self.element)
            }
        }
    };
}

verb_and_data!(CommandView);
verb_and_data!(ReplyView);
verb_and_data!(NoticeView);

impl<'a> CommandView<'a> {
    /// What a reply to this command names. An id that is missing is empty.
    pub fn id(self) -> CommandId<'a> {
        let envelope = self.element.parent().and_then(|root| root.attr("envid"));
        CommandId::new(
            envelope.unwrap_or_default(),
            self.seqid().unwrap_or_default(),
        )
    }
}

impl<'a> ReplyView<'a> {
    /// The command it answers.
    pub fn command_id(self) -> Option<CommandId<'a>> {
        let id = self.element.child("commandid")?;
        Some(CommandId::new(id.attr("envid")?, id.attr("seqid")?))
    }

    /// The result. A reply without `resp`, or with an unreadable one, is a server error, as clients take it.
    pub fn code(self) -> u16 {
        let resp = self.element.child("resp");
        resp.and_then(|resp| resp.attr("code")?.trim().parse().ok())
            .unwrap_or(ResultCode::ServerError.code())
    }

    /// True for code 200.
    pub fn is_success(self) -> bool {
        self.code() == ResultCode::Success.code()
    }

    /// The text of the result.
    pub fn text(self) -> Cow<'a, str> {
        self.element
            .child("resp")
            .map(ElementRef::text)
            .unwrap_or_default()
    }
}

impl<'a> GroupChatView<'a> {
    /// The room.
    ///
    /// # Errors
    /// [`XccosError`] when it is missing or no room.
    pub fn room(self) -> Result<RoomUri, XccosError> {
        self.element.require_parsed("chanUri")
    }

    /// Who wrote it, as written.
    pub fn author(self) -> Option<Cow<'a, str>> {
        self.element.attr("author")
    }

    /// When, as written. An old server refuses a post without it.
    pub fn ts(self) -> Option<Cow<'a, str>> {
        self.element.attr("ts")
    }

    /// The plain text.
    pub fn chat(self) -> Cow<'a, str> {
        self.element
            .child("chat")
            .map(ElementRef::text)
            .unwrap_or_default()
    }
}
