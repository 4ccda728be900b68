//! Reading categories, rooms and lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use holdover_protocol::room::RoomUri;

use super::{Store, StoreError, new_guid};
use crate::pool::embedded::model::{
    Catalog, Category, CategoryKey, Principal, Principals, Privacy, Room, RoomKey, RoomType,
};

/// What tells this database from any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pool::embedded) struct Identity {
    /// Clients drop what they remember when this changes.
    pub(in crate::pool::embedded) database: String,
    /// Value of the root category's identifier.
    pub(in crate::pool::embedded) root: String,
}

/// The three lists of a room.
#[derive(Clone, Debug, Default)]
pub(in crate::pool::embedded) struct Roster {
    pub(in crate::pool::embedded) members: Principals,
    pub(in crate::pool::embedded) managers: Principals,
    pub(in crate::pool::embedded) presenters: Principals,
}

/// One room as `pool list` shows it.
#[derive(Clone, Debug)]
pub(in crate::pool::embedded) struct RoomListing {
    pub(in crate::pool::embedded) key: RoomKey,
    pub(in crate::pool::embedded) value: String,
    pub(in crate::pool::embedded) name: String,
    pub(in crate::pool::embedded) description: String,
    pub(in crate::pool::embedded) category: CategoryKey,
    pub(in crate::pool::embedded) privacy: Privacy,
    pub(in crate::pool::embedded) kind: RoomType,
    pub(in crate::pool::embedded) disabled: bool,
    pub(in crate::pool::embedded) invitations: bool,
    pub(in crate::pool::embedded) roster: Roster,
}

impl Store {
    /// The database's own identifiers, made on first use.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::pool::embedded) fn identity(&self) -> Result<Identity, StoreError> {
        Ok(Identity {
            database: self.identity_value("database")?,
            root: self.identity_value("root")?,
        })
    }

    fn identity_value(&self, key: &str) -> Result<String, StoreError> {
        self.connection.execute(
            "INSERT INTO identity (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING",
            [key, &new_guid()],
        )?;
        Ok(self
            .connection
            .query_row("SELECT value FROM identity WHERE key = ?", [key], |row| {
                row.get(0)
            })?)
    }

    /// All rooms, with identifiers in `domain`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::pool::embedded) fn catalog(&self, domain: &str) -> Result<Catalog, StoreError> {
        let categories = self.categories()?;
        let mut catalog = Catalog::default();
        for room in self.rooms()? {
            let uri = RoomUri::new(domain, &room.value).map_err(|_| StoreError::Corrupt {
                what: "room identifier",
            })?;
            let category = categories
                .get(&room.category)
                .ok_or(StoreError::Corrupt { what: "category" })?;
            catalog.insert(Room {
                key: room.key,
                uri,
                name: room.name.into(),
                description: room.description.into(),
                category: Arc::clone(category),
                privacy: room.privacy,
                kind: room.kind,
                disabled: room.disabled,
                invitations: room.invitations,
                members: room.roster.members,
                managers: room.roster.managers,
                presenters: room.roster.presenters,
            });
        }
        Ok(catalog)
    }

    /// All categories by key.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::pool::embedded) fn categories(
        &self,
    ) -> Result<BTreeMap<CategoryKey, Arc<Category>>, StoreError> {
        let mut categories = BTreeMap::new();
        let mut statement = self.connection.prepare("SELECT key, name FROM category")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            categories.insert(
                CategoryKey(row.get(0)?),
                Category {
                    name: name.into(),
                    allowed: Principals::default(),
                    denied: Principals::default(),
                },
            );
        }
        let mut statement = self
            .connection
            .prepare("SELECT category, role, principal FROM category_principal")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let role: String = row.get(1)?;
            let principal = principal(&row.get::<_, String>(2)?)?;
            let Some(category) = categories.get_mut(&CategoryKey(row.get(0)?)) else {
                continue;
            };
            match role.as_str() {
                "allowed" => category.allowed.insert(principal),
                "denied" => category.denied.insert(principal),
                // Creators make rooms by tools of the server, not over this protocol.
                _ => {}
            }
        }
        Ok(categories
            .into_iter()
            .map(|(key, category)| (key, Arc::new(category)))
            .collect())
    }

    /// All rooms in the order in which they were made.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::pool::embedded) fn rooms(&self) -> Result<Vec<RoomListing>, StoreError> {
        let mut rosters = self.rosters()?;
        let mut statement = self.connection.prepare(
            "SELECT key, value, name, description, category, privacy, type, disabled, invitations
             FROM room ORDER BY key",
        )?;
        let mut rows = statement.query([])?;
        let mut listings = Vec::new();
        while let Some(row) = rows.next()? {
            let key = RoomKey(row.get(0)?);
            let privacy: String = row.get(5)?;
            let kind: String = row.get(6)?;
            listings.push(RoomListing {
                key,
                value: row.get(1)?,
                name: row.get(2)?,
                description: row.get(3)?,
                category: CategoryKey(row.get(4)?),
                privacy: Privacy::parse(&privacy).ok_or(StoreError::Corrupt { what: "privacy" })?,
                kind: RoomType::parse(&kind).ok_or(StoreError::Corrupt { what: "room type" })?,
                disabled: row.get(7)?,
                invitations: row.get(8)?,
                roster: rosters.remove(&key).unwrap_or_default(),
            });
        }
        Ok(listings)
    }

    fn rosters(&self) -> Result<BTreeMap<RoomKey, Roster>, StoreError> {
        let mut rosters: BTreeMap<RoomKey, Roster> = BTreeMap::new();
        let mut statement = self
            .connection
            .prepare("SELECT room, role, principal FROM room_principal")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let role: String = row.get(1)?;
            let principal = principal(&row.get::<_, String>(2)?)?;
            let roster = rosters.entry(RoomKey(row.get(0)?)).or_default();
            match role.as_str() {
                "manager" => roster.managers.insert(principal),
                "presenter" => roster.presenters.insert(principal),
                _ => roster.members.insert(principal),
            }
        }
        Ok(rosters)
    }
}

fn principal(text: &str) -> Result<Principal, StoreError> {
    Principal::parse(text).ok_or(StoreError::Corrupt { what: "principal" })
}
