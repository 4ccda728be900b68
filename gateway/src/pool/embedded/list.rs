//! `pool list`: what a pool holds.

use std::collections::HashSet;
use std::path::Path;

use holdover_protocol::room::RoomUri;

use super::model::{Privacy, RoomType};
use super::store::{Store, StoreError};
use super::ticks::Ticks;

/// One room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRow {
    /// The part of its identifier after the domain.
    pub value: String,
    /// Unique in the pool.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Name of its category.
    pub category: String,
    /// Who may find and enter it.
    pub privacy: Privacy,
    /// Who may post in it.
    pub room_type: RoomType,
    /// Whether it is closed to everyone.
    pub disabled: bool,
    /// Whether being made a member brings an invitation.
    pub invitations: bool,
    /// Entries of its list of members.
    pub members: usize,
    /// Entries of its list of managers.
    pub managers: usize,
    /// Entries of its list of presenters.
    pub presenters: usize,
    /// Messages in its history.
    pub messages: u64,
    /// When the newest was taken, in UTC with seven fraction digits.
    pub last_message: Option<String>,
}

/// All rooms of the database at `database`, in the order in which they were made.
///
/// # Errors
///
/// [`StoreError`], also if there is no such file.
pub fn list(database: &Path) -> Result<Vec<RoomRow>, StoreError> {
    let store = Store::open_existing(database)?;
    let categories = store.categories()?;
    store
        .rooms()?
        .into_iter()
        .map(|room| {
            let head = store.head(room.key)?;
            let category = categories.get(&room.category);
            Ok(RoomRow {
                value: room.value,
                name: room.name,
                description: room.description,
                category: category.map_or_else(String::new, |category| category.name.to_string()),
                privacy: room.privacy,
                room_type: room.kind,
                disabled: room.disabled,
                invitations: room.invitations,
                members: room.roster.members.len(),
                managers: room.roster.managers.len(),
                presenters: room.roster.presenters.len(),
                // Messages are numbered from 1 without gaps and never deleted.
                messages: u64::try_from(head.id).unwrap_or(0),
                last_message: (head != Default::default()).then(|| Ticks::to_string(&head.ticks)),
            })
        })
        .collect()
}

/// Which rooms the database at `database` has, in `domain`; nothing is written, whether or not the pool is being served.
///
/// # Errors
///
/// [`StoreError`], also if there is no such file, or it can only be read by whoever may write it.
pub fn rooms(database: &Path, domain: &str) -> Result<HashSet<RoomUri>, StoreError> {
    let values = Store::values(database)?.into_iter();
    Ok(values
        .filter_map(|value| RoomUri::new(domain, &value).ok())
        .collect())
}
