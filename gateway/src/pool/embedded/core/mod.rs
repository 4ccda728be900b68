//! The pool as a state machine: documents in, effects out. It has no sockets, no thread and no clock.
//!
//! The driver calls [`Core::refresh`], then [`Core::handle`], [`Core::open_leg`] and [`Core::close_leg`] any number of
//! times, then [`Core::commit`]; only then may it carry out the effects. Where the commit failed it refuses every
//! outcome that rests on it instead. Between such rounds it calls [`Core::list_on`] while [`Core::is_listing`].

mod document;
mod history;
mod join;
mod listing;
mod part;
mod post;
mod preferences;
mod presence;
mod search;
mod server;

use std::collections::BTreeMap;

use bytes::Bytes;
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::{Envelope, Limits, PermissionMask, ResultCode};

use super::access::permissions;
use super::model::{Catalog, Room, RoomKey};
use super::store::{Head, Identity, Store, StoreError};
use super::ticks::Ticks;
use super::{EmbeddedOptions, LegId};
use crate::pool::{Receipt, SendId};
use listing::Listings;
use presence::Presence;

/// Roughly the most bytes of a reply that lists messages or rooms: half of what readers of documents take, because
/// identifiers may grow on the way.
const REPLY_BYTES: usize = 512 * 1024;

/// Something the driver has to do.
#[derive(Debug)]
pub(super) enum Effect {
    /// Tell a session what became of its document.
    Receipt {
        leg: LegId,
        id: SendId,
        receipt: Receipt,
    },
    /// Give all these legs the same document.
    Document { legs: Vec<LegId>, document: Bytes },
}

/// What one task brought about.
#[derive(Debug, Default)]
pub(super) struct Performed {
    /// In order.
    pub(super) effects: Vec<Effect>,
    /// The document to refuse, in place of the effects, if the commit fails.
    pub(super) rests_on_commit: Option<(LegId, SendId)>,
}

impl From<Vec<Effect>> for Performed {
    fn from(effects: Vec<Effect>) -> Self {
        Self {
            effects,
            rests_on_commit: None,
        }
    }
}

/// Who sent a document, and what answering it has brought about so far.
struct Turn {
    leg: LegId,
    user: UserUri,
    now: Ticks,
    /// Stored messages or preferences were read or written.
    stored: bool,
    /// For others, after the answer.
    notices: Vec<Effect>,
}

/// The state machine.
#[derive(Debug)]
pub(super) struct Core {
    store: Store,
    options: EmbeddedOptions,
    limits: Limits,
    identity: Identity,
    catalog: Catalog,
    presence: Presence,
    listings: Listings,
    /// Newest message of the rooms that were posted in.
    heads: BTreeMap<RoomKey, Head>,
    next_envid: u64,
}

impl Core {
    /// Begins with what the database holds.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn new(
        store: Store,
        options: EmbeddedOptions,
        now: Ticks,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            identity: store.identity()?,
            catalog: store.catalog(&options.domain)?,
            presence: Presence::new(options.roster_limit),
            listings: Listings::default(),
            limits: Limits::default(),
            heads: BTreeMap::new(),
            // Servers number their documents with 19 digits; nanoseconds never repeat a number of an earlier run.
            next_envid: u64::try_from(now.get())
                .unwrap_or_default()
                .saturating_mul(100),
            store,
            options,
        })
    }

    /// Looks whether another process (`pool load`) changed the database. Whoever may no longer be in a room leaves it.
    pub(super) fn refresh(&mut self) -> Vec<Effect> {
        let read = match self.store.changed_elsewhere() {
            Ok(false) => return Vec::new(),
            Ok(true) => self.store.catalog(&self.options.domain),
            Err(error) => Err(error),
        };
        match read {
            Ok(catalog) => {
                self.catalog = catalog;
                self.heads.clear();
                self.eject()
            }
            Err(error) => {
                self.tell_failure("cannot read its rooms again", &error);
                Vec::new()
            }
        }
    }

    fn eject(&mut self) -> Vec<Effect> {
        let lost: Vec<(LegId, RoomKey)> = self
            .presence
            .everyone()
            .filter(|(user, _, room)| {
                !self.catalog.by_key(*room).is_some_and(|room| {
                    !room.disabled && permissions(room, user).contains(PermissionMask::JOIN)
                })
            })
            .map(|(_, leg, room)| (leg, room))
            .collect();
        let mut effects = Vec::new();
        for (leg, room) in lost {
            effects.extend(self.leave(leg, room));
        }
        effects
    }

    /// Adds a leg that is in no room.
    pub(super) fn open_leg(&mut self, leg: LegId, user: UserUri) {
        self.presence.open(leg, user);
    }

    /// Takes a leg out of its rooms and forgets it. Nothing if it is closed already.
    pub(super) fn close_leg(&mut self, leg: LegId) -> Vec<Effect> {
        let rooms = self.presence.rooms_of(leg);
        let effects = rooms
            .into_iter()
            .filter_map(|room| self.leave(leg, room))
            .collect();
        self.presence.close(leg);
        self.listings.forget(leg);
        effects
    }

    /// Makes what was written since the last commit durable.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing of it was kept, and nobody must hear of it.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        self.store.commit().inspect_err(|_| self.heads.clear())
    }

    /// Writes something that changes nothing, in the batch: whether it works shows in the commit.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it does not.
    pub(super) fn try_write(&mut self) -> Result<(), StoreError> {
        self.store.try_write()
    }

    /// Tells the operator what the database failed at.
    pub(super) fn tell_failure(&self, what: &str, error: &StoreError) {
        self.options.tell_failure(what, error);
    }

    /// A failure of the database: told the operator, and as a client is told.
    fn server_error(&self, error: &StoreError) -> ResultCode {
        self.tell_failure("cannot use its database", error);
        ResultCode::ServerError
    }

    /// A document with an id of its own.
    fn envelope(&mut self) -> Envelope {
        self.next_envid = self.next_envid.wrapping_add(1);
        Envelope::new(self.next_envid)
    }

    /// The room, and what `user` may do in it. A room that the user may not see does not exist.
    fn room(&self, uri: &RoomUri, user: &UserUri) -> Result<(&Room, PermissionMask), ResultCode> {
        let room = self
            .catalog
            .by_value(uri.value())
            .filter(|room| room.uri == *uri)
            .ok_or(ResultCode::NoSuchNode)?;
        let mask = permissions(room, user);
        if !mask.contains(PermissionMask::SEE) {
            return Err(ResultCode::NoSuchNode);
        }
        if room.disabled {
            return Err(ResultCode::NodeDisabled);
        }
        Ok((room, mask))
    }
}

/// Most bytes that a text takes in a document, where markup characters grow.
fn escaped(text: &str) -> usize {
    let markup = |byte: &u8| {
        matches!(
            byte,
            b'&' | b'<' | b'>' | b'"' | b'\'' | b'\r' | b'\n' | b'\t'
        )
    };
    text.len() + 5 * text.bytes().filter(|byte| markup(byte)).count()
}

#[cfg(test)]
mod tests;
