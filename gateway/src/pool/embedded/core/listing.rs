//! Answers that list rooms: `chansrch`, `getassociations` and `getinv`.
//!
//! They look at every room of the pool, so they are made in portions, one after the other, while posts and everything else
//! that waits goes first. The receipt of such a command comes at once; the order of its reply among others is open anyway.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;

use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::block::{InvitationBlock, RoomBlock, Visibility};
use holdover_protocol::xccos::verb::{
    ChannelSearchReply, GetAssociationsReply, GetInvitations, GetInvitationsReply,
};
use holdover_protocol::xccos::{
    Command, CommandId, Outcome, PermissionMask, Reply, ReplyData, ResultCode, Verb,
};

use super::search::Words;
use super::{Core, Effect, REPLY_BYTES, Turn, escaped};
use crate::pool::embedded::LegId;
use crate::pool::embedded::access::{is_associated, permissions};
use crate::pool::embedded::model::{ByName, Privacy, Room, RoomKey};

/// Rooms that are looked at before others have their turn.
const PORTION: usize = 512;
/// Unanswered listings of one leg. Real clients have one or two.
const PER_LEG: usize = 16;
/// Unanswered listings of all legs together.
const ALL: usize = 1024;

/// Which rooms are listed.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Those that the user may see and whose name holds all these words.
    Named(Words),
    /// Those whose lists name the user.
    Associated,
    /// Those the user was invited to and may enter, and the number of the newest invitation.
    Invited(BTreeSet<RoomKey>, InvitationBlock),
}

impl Wanted {
    fn holds(&self, name: &str, room: &Room, user: &UserUri) -> bool {
        let may = |mask| permissions(room, user).contains(mask);
        match self {
            Self::Named(words) => words.are_in(name) && may(PermissionMask::SEE),
            Self::Associated => is_associated(room, user),
            Self::Invited(rooms, _) => rooms.contains(&room.key) && may(PermissionMask::JOIN),
        }
    }
}

/// One answer in the making.
#[derive(Debug)]
struct Listing {
    leg: LegId,
    user: UserUri,
    command: CommandId<'static>,
    verb: Verb,
    wanted: Wanted,
    /// The last room that was looked at, in the order of names.
    seen: Option<ByName>,
    found: Vec<RoomKey>,
    /// About how many bytes these take.
    bytes: usize,
}

/// The answers in the making, in the order of their next portions.
#[derive(Debug, Default)]
pub(super) struct Listings(VecDeque<Listing>);

impl Listings {
    fn has_place(&self, leg: LegId) -> bool {
        let own = self.0.iter().filter(|listing| listing.leg == leg).count();
        self.0.len() < ALL && own < PER_LEG
    }

    /// Drops what is made for a leg that is gone.
    pub(super) fn forget(&mut self, leg: LegId) {
        self.0.retain(|listing| listing.leg != leg);
    }
}

impl Core {
    /// Which rooms a command asks for, if it is one that lists rooms.
    fn wanted(&self, command: &Command, turn: &Turn) -> Option<Result<Wanted, Outcome>> {
        match command {
            Command::ChannelSearch(search) => Some(Words::of(&search.query).map(Wanted::Named)),
            Command::GetAssociations => Some(Ok(Wanted::Associated)),
            Command::GetInvitations(get) => Some(self.invited(get, turn).map_err(Into::into)),
            _ => None,
        }
    }

    /// Begins the answer to a command that lists rooms. `None`: it is another command.
    pub(super) fn begin_listing(
        &mut self,
        id: &CommandId<'_>,
        command: &Command,
        turn: &Turn,
    ) -> Option<Result<(), Outcome>> {
        let wanted = match self.wanted(command, turn)? {
            Ok(wanted) => wanted,
            Err(outcome) => return Some(Err(outcome)),
        };
        if !self.listings.has_place(turn.leg) {
            let text = "Too many searches at once. Try again later.";
            return Some(Err(Outcome::new(ResultCode::Unavailable, text)));
        }
        self.listings.0.push_back(Listing {
            leg: turn.leg,
            user: turn.user.clone(),
            command: id.clone().into_owned(),
            verb: command.verb(),
            wanted,
            seen: None,
            found: Vec::new(),
            bytes: 0,
        });
        Some(Ok(()))
    }

    /// Whether [`Core::list_on`] has something to do.
    pub(in crate::pool::embedded) fn is_listing(&self) -> bool {
        !self.listings.0.is_empty()
    }

    /// Goes on with the answer whose turn it is, by one portion. It is returned when it is complete.
    pub(in crate::pool::embedded) fn list_on(&mut self) -> Option<Effect> {
        let mut listing = self.listings.0.pop_front()?;
        if !self.look_at_portion(&mut listing) {
            self.listings.0.push_back(listing);
            return None;
        }
        let rooms = listing
            .found
            .iter()
            .filter_map(|key| self.catalog.by_key(*key))
            .map(|room| self.describe(room))
            .collect();
        let data = match listing.wanted {
            Wanted::Named(_) => ReplyData::ChannelSearch(ChannelSearchReply { rooms }),
            Wanted::Associated => ReplyData::GetAssociations(GetAssociationsReply { rooms }),
            Wanted::Invited(_, last) => {
                let last = Some(last);
                ReplyData::GetInvitations(GetInvitationsReply { last, rooms })
            }
        };
        let reply = Reply::success(listing.verb, data);
        Some(self.reply(listing.leg, &listing.command, &reply))
    }

    /// Looks at the next rooms, in the order of their names. Returns whether the answer is complete: there are no more, or
    /// no more fit into one reply.
    fn look_at_portion(&self, listing: &mut Listing) -> bool {
        let from = listing.seen.take();
        let from = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut looked_at = 0;
        for (by_name, room) in self.catalog.rooms_after(from) {
            let is_listed =
                !room.disabled && listing.wanted.holds(&by_name.name, room, &listing.user);
            if is_listed {
                // 320 for the switches, whose names are long.
                listing.bytes += 320
                    + room.uri.as_str().len()
                    + escaped(&room.name)
                    + escaped(&room.description);
                if listing.bytes > REPLY_BYTES || listing.found.len() >= self.options.search_limit {
                    return true;
                }
                listing.found.push(room.key);
            }
            looked_at += 1;
            if looked_at == PORTION {
                listing.seen = Some(by_name.clone());
                return false;
            }
        }
        true
    }

    /// The invitations newer than the one the client names, and the number of the newest. Numbers count up per user.
    fn invited(&self, get: &GetInvitations, turn: &Turn) -> Result<Wanted, ResultCode> {
        let since = i64::try_from(get.since.invite_id).unwrap_or(i64::MAX);
        let invitations = self
            .store
            .invitations(turn.user.as_str(), since)
            .map_err(|error| self.server_error(&error))?;
        let newest = invitations.last().map_or(since, |(id, _)| *id);
        let last = InvitationBlock {
            invite_id: u64::try_from(newest).unwrap_or_default(),
            domain: self.options.domain.clone(),
        };
        let rooms = invitations.into_iter().map(|(_, room)| room).collect();
        Ok(Wanted::Invited(rooms, last))
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
