//! Commands and their replies, one file for each verb of the wire.
//!
//! What is read here is owned and typed, for those who answer commands or send them. Who only passes a command on edits
//! the document instead, which keeps what nobody here knows.

mod bccontext;
mod bjoin;
mod chansrch;
mod getassociations;
mod getfdtok;
mod getftok;
mod getfutok;
mod getinv;
mod getpref;
mod getserverinfo;
mod join;
mod name;
mod part;
mod requri;
mod setpref;
#[cfg(test)]
pub(in crate::xccos) mod tests;

pub use bccontext::{BackChat, BackChatReply, RoomHistory};
pub use bjoin::BatchJoin;
pub use chansrch::{ChannelSearch, ChannelSearchReply};
pub use getassociations::GetAssociationsReply;
pub use getfdtok::GetDownloadToken;
pub use getftok::GetFileTokenReply;
pub use getfutok::GetUploadToken;
pub use getinv::{GetInvitations, GetInvitationsReply};
pub use getpref::{GetPreference, PreferenceReply};
pub use getserverinfo::{GetServerInfo, GetServerInfoReply};
pub use join::{Join, JoinReply};
pub use name::Verb;
pub use part::{Part, PartReply};
pub use requri::RequestUriReply;
pub use setpref::SetPreference;

use super::document::ElementRef;
use super::envelope::{CommandView, ReplyView};
use super::error::{XccosError, XccosErrorKind};
use super::result::{Outcome, ResultCode};
use super::write::Writer;

/// A command and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `requri`: which address is the chat service's? The first thing an old client asks.
    RequestUri,
    /// `getserverinfo`
    GetServerInfo(GetServerInfo),
    /// `getassociations`: which rooms am I a member of? Newer clients only; how they ask for the rooms they manage is
    /// unknown.
    GetAssociations,
    /// `join`
    Join(Join),
    /// `bjoin`
    BatchJoin(BatchJoin),
    /// `part`
    Part(Part),
    /// `bccontext`
    BackChat(BackChat),
    /// `chansrch`
    ChannelSearch(ChannelSearch),
    /// `getpref`
    GetPreference(GetPreference),
    /// `setpref`
    SetPreference(SetPreference),
    /// `getinv`
    GetInvitations(GetInvitations),
    /// `getfutok`
    GetUploadToken(GetUploadToken),
    /// `getfdtok`
    GetDownloadToken(GetDownloadToken),
    /// `nodespermcreatechild`: under which categories may I create something?
    NodesPermCreateChild,
    /// Anything else.
    Unknown(Verb),
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// [`XccosError`] when a known command lacks what it must say, or says it unreadably.
    pub fn read(view: CommandView<'_>) -> Result<Self, XccosError> {
        let data = view.payload();
        Ok(match view.verb() {
            Verb::RequestUri => Self::RequestUri,
            Verb::GetServerInfo => Self::GetServerInfo(GetServerInfo::read(data)?),
            Verb::GetAssociations => Self::GetAssociations,
            Verb::Join => Self::Join(Join::read(data)?),
            Verb::BatchJoin => Self::BatchJoin(BatchJoin::read(data)?),
            Verb::Part => Self::Part(Part::read(data)?),
            Verb::BackChat => Self::BackChat(BackChat::read(data)?),
            Verb::ChannelSearch => Self::ChannelSearch(ChannelSearch::read(data)?),
            Verb::GetPreference => Self::GetPreference(GetPreference::read(data)?),
            Verb::SetPreference => Self::SetPreference(SetPreference::read(data)?),
            Verb::GetInvitations => Self::GetInvitations(GetInvitations::read(data)?),
            Verb::GetUploadToken => Self::GetUploadToken(GetUploadToken::read(data)?),
            Verb::GetDownloadToken => Self::GetDownloadToken(GetDownloadToken::read(data)?),
            Verb::NodesPermCreateChild => Self::NodesPermCreateChild,
            verb @ (Verb::GetFileToken | Verb::Unknown(_)) => Self::Unknown(verb),
        })
    }

    /// What it is about.
    pub fn verb(&self) -> Verb {
        match self {
            Self::RequestUri => Verb::RequestUri,
            Self::GetServerInfo(_) => Verb::GetServerInfo,
            Self::GetAssociations => Verb::GetAssociations,
            Self::Join(_) => Verb::Join,
            Self::BatchJoin(_) => Verb::BatchJoin,
            Self::Part(_) => Verb::Part,
            Self::BackChat(_) => Verb::BackChat,
            Self::ChannelSearch(_) => Verb::ChannelSearch,
            Self::GetPreference(_) => Verb::GetPreference,
            Self::SetPreference(_) => Verb::SetPreference,
            Self::GetInvitations(_) => Verb::GetInvitations,
            Self::GetUploadToken(_) => Verb::GetUploadToken,
            Self::GetDownloadToken(_) => Verb::GetDownloadToken,
            Self::NodesPermCreateChild => Verb::NodesPermCreateChild,
            Self::Unknown(verb) => verb.clone(),
        }
    }

    /// Writes what stands in `data`.
    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Self::GetServerInfo(command) => command.write(w),
            Self::Join(command) => command.write(w),
            Self::BatchJoin(command) => command.write(w),
            Self::Part(command) => command.write(w),
            Self::BackChat(command) => command.write(w),
            Self::ChannelSearch(command) => command.write(w),
            Self::GetPreference(command) => command.write(w),
            Self::SetPreference(command) => command.write(w),
            Self::GetInvitations(command) => command.write(w),
            Self::GetUploadToken(command) => command.write(w),
            Self::GetDownloadToken(command) => command.write(w),
            Self::RequestUri
            | Self::GetAssociations
            | Self::NodesPermCreateChild
            | Self::Unknown(_) => (),
        }
    }
}

/// A reply: what it answers, how that ended, and what it brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The verb of the command, or of the reply where the two differ: both are written the same.
    pub verb: Verb,
    /// How it ended.
    pub outcome: Outcome,
    /// What it brings.
    pub data: ReplyData,
}

impl Reply {
    /// A reply to a command that went well.
    pub fn success(verb: Verb, data: ReplyData) -> Self {
        Self {
            verb,
            outcome: ResultCode::Success.into(),
            data,
        }
    }

    /// A reply to a command that did not.
    pub fn failure(verb: Verb, outcome: Outcome) -> Self {
        Self {
            verb,
            outcome,
            data: ReplyData::Empty,
        }
    }

    /// Reads a reply. What a failed one brings is not looked at.
    ///
    /// # Errors
    /// [`XccosError`] when a good reply lacks what it must bring, or brings it unreadably.
    pub fn read(view: ReplyView<'_>) -> Result<Self, XccosError> {
        let verb = view.verb();
        let outcome = Outcome {
            code: view.code(),
            text: view.text().into_owned().into(),
        };
        let data = match outcome.is_success() {
            true => ReplyData::read(&verb, view.payload())?,
            false => ReplyData::Empty,
        };
        Ok(Self {
            verb,
            outcome,
            data,
        })
    }
}

/// What a reply brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyData {
    /// Nothing, or nothing that is known.
    Empty,
    /// To `requri`.
    RequestUri(RequestUriReply),
    /// To `getserverinfo`.
    GetServerInfo(GetServerInfoReply),
    /// To `getassociations`.
    GetAssociations(GetAssociationsReply),
    /// To `join` and `bjoin`.
    Join(JoinReply),
    /// To `part`.
    Part(PartReply),
    /// To `bccontext`.
    BackChat(BackChatReply),
    /// To `chansrch`.
    ChannelSearch(ChannelSearchReply),
    /// To `getpref` and `setpref`.
    Preference(PreferenceReply),
    /// To `getinv`.
    GetInvitations(GetInvitationsReply),
    /// To `getfutok` and `getfdtok`.
    GetFileToken(GetFileTokenReply),
}

impl ReplyData {
    fn read(verb: &Verb, data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(match verb {
            Verb::RequestUri => Self::RequestUri(RequestUriReply::read(data)?),
            Verb::GetServerInfo => Self::GetServerInfo(GetServerInfoReply::read(data)?),
            Verb::GetAssociations => Self::GetAssociations(GetAssociationsReply::read(data)?),
            Verb::Join | Verb::BatchJoin => Self::Join(JoinReply::read(data)?),
            Verb::Part => Self::Part(PartReply::read(data)?),
            Verb::BackChat => Self::BackChat(BackChatReply::read(data)?),
            Verb::ChannelSearch => Self::ChannelSearch(ChannelSearchReply::read(data)?),
            Verb::GetPreference | Verb::SetPreference => {
                Self::Preference(PreferenceReply::read(data)?)
            }
            Verb::GetInvitations => Self::GetInvitations(GetInvitationsReply::read(data)?),
            Verb::GetFileToken | Verb::GetUploadToken | Verb::GetDownloadToken => {
                Self::GetFileToken(GetFileTokenReply::read(data)?)
            }
            Verb::NodesPermCreateChild | Verb::Unknown(_) => Self::Empty,
        })
    }

    /// Writes what stands in `data`.
    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Self::Empty => (),
            Self::RequestUri(reply) => reply.write(w),
            Self::GetServerInfo(reply) => reply.write(w),
            Self::GetAssociations(reply) => reply.write(w),
            Self::Join(reply) => reply.write(w),
            Self::Part(reply) => reply.write(w),
            Self::BackChat(reply) => reply.write(w),
            Self::ChannelSearch(reply) => reply.write(w),
            Self::Preference(reply) => reply.write(w),
            Self::GetInvitations(reply) => reply.write(w),
            Self::GetFileToken(reply) => reply.write(w),
        }
    }
}

/// The child that a command or reply cannot be without.
fn require_child<'a>(
    data: ElementRef<'a>,
    name: &'static str,
) -> Result<ElementRef<'a>, XccosError> {
    data.child(name)
        .ok_or_else(|| data.error(XccosErrorKind::Missing(name)))
}

/// All children of one name, read by `read`.
fn read_all<'a, T>(
    data: ElementRef<'a>,
    name: &'static str,
    read: impl FnMut(ElementRef<'a>) -> Result<T, XccosError>,
) -> Result<Vec<T>, XccosError> {
    data.children_named(name).map(read).collect()
}
