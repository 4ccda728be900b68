//! What a pool consists of: categories, rooms, and the lists that say who is who.
//!
//! Categories have one level. A room belongs to one category, and its name is unique in the pool.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;

/// Most characters of a name or description (the width of the columns in the server this one stands in for).
pub(super) const NAME_CHARACTERS: usize = 256;

/// One entry of a list: a user, everyone of a SIP domain, or everyone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Principal {
    /// `sip:ann@contoso.com`
    User(UserUri),
    /// `*@contoso.com`
    Domain(Box<str>),
    /// `*`
    Anyone,
}

impl Principal {
    /// Reads `user@domain`, `sip:user@domain`, `*@domain` or `*`; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Anyone);
        }
        if let Some(domain) = text.strip_prefix("*@") {
            // A user of that domain must be a valid user: this keeps one grammar for domains.
            let user = UserUri::parse(&format!("sip:any@{domain}")).ok()?;
            return Some(Self::Domain(user.domain().into()));
        }
        if text.contains('*') {
            return None;
        }
        UserUri::parse(text).ok().map(Self::User)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => f.write_str(user.as_str()),
            Self::Domain(domain) => write!(f, "*@{domain}"),
            Self::Anyone => f.write_str("*"),
        }
    }
}

/// A list of principals, asked "is this user in it".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Principals {
    users: BTreeSet<UserUri>,
    domains: BTreeSet<Box<str>>,
    anyone: bool,
}

impl Principals {
    /// Adds one entry.
    pub(super) fn insert(&mut self, principal: Principal) {
        match principal {
            Principal::User(user) => {
                self.users.insert(user);
            }
            Principal::Domain(domain) => {
                self.domains.insert(domain);
            }
            Principal::Anyone => self.anyone = true,
        }
    }

    /// Whether `user` is named here or covered by a pattern.
    pub(super) fn contains(&self, user: &UserUri) -> bool {
        self.anyone || self.users.contains(user) || self.domains.contains(user.domain())
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.domains.len() + usize::from(self.anyone)
    }
}

impl FromIterator<Principal> for Principals {
    fn from_iter<I: IntoIterator<Item = Principal>>(entries: I) -> Self {
        let mut list = Self::default();
        entries.into_iter().for_each(|entry| list.insert(entry));
        list
    }
}

/// Who may find and enter a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privacy {
    /// Everyone the category allows may find and join it.
    Open,
    /// Everyone the category allows may find it, members may join it.
    Closed,
    /// Only members know of it.
    Secret,
}

impl Privacy {
    /// The word of load files and of the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Secret => "secret",
        }
    }

    /// Reads [`Privacy::as_str`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Closed, Self::Secret]
            .into_iter()
            .find(|privacy| privacy.as_str() == text)
    }
}

/// Who may post in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoomType {
    /// Everyone in it.
    Normal,
    /// Presenters and managers.
    Auditorium,
}

impl RoomType {
    /// The word of load files and of the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Auditorium => "auditorium",
        }
    }

    /// Reads [`RoomType::as_str`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Normal, Self::Auditorium]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Key of a category in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CategoryKey(pub(super) i64);

/// Key of a room in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RoomKey(pub(super) i64);

/// A category: the frame that its rooms' lists cannot exceed.
#[derive(Clone, Debug)]
pub(super) struct Category {
    pub(super) name: Box<str>,
    /// Who may be in its rooms.
    pub(super) allowed: Principals,
    /// Who may not, whatever `allowed` says.
    pub(super) denied: Principals,
}

impl Category {
    /// Whether `user` may have anything to do with this category's rooms. Deny wins.
    pub(super) fn permits(&self, user: &UserUri) -> bool {
        self.allowed.contains(user) && !self.denied.contains(user)
    }
}

/// A room.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) key: RoomKey,
    pub(super) uri: RoomUri,
    pub(super) name: Box<str>,
    pub(super) description: Box<str>,
    pub(super) category: Arc<Category>,
    pub(super) privacy: Privacy,
    pub(super) kind: RoomType,
    /// Nobody finds, enters or reads a disabled room; what was said is kept.
    pub(super) disabled: bool,
    /// Whether being made a member brings an invitation.
    pub(super) invitations: bool,
    pub(super) members: Principals,
    pub(super) managers: Principals,
    pub(super) presenters: Principals,
}

/// The place of a room in the order of names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ByName {
    /// The name in lower case.
    pub(super) name: Box<str>,
    key: RoomKey,
}

/// All rooms of a pool.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    rooms: BTreeMap<RoomKey, Room>,
    by_name: BTreeSet<ByName>,
    by_value: BTreeMap<Box<str>, RoomKey>,
}

impl Catalog {
    /// Adds a room that the database holds.
    pub(super) fn insert(&mut self, room: Room) {
        self.by_value.insert(room.uri.value().into(), room.key);
        self.by_name.insert(ByName {
            name: room.name.to_lowercase().into(),
            key: room.key,
        });
        self.rooms.insert(room.key, room);
    }

    /// The room with this identifier, byte for byte.
    pub(super) fn by_value(&self, value: &str) -> Option<&Room> {
        self.rooms.get(self.by_value.get(value)?)
    }

    /// The room with this key.
    pub(super) fn by_key(&self, key: RoomKey) -> Option<&Room> {
        self.rooms.get(&key)
    }

    /// The rooms from `from` on, in the order of their names.
    pub(super) fn rooms_after(
        &self,
        from: Bound<&ByName>,
    ) -> impl Iterator<Item = (&ByName, &Room)> {
        let names = self.by_name.range((from, Bound::Unbounded));
        names.filter_map(|by_name| Some((by_name, self.rooms.get(&by_name.key)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserUri {
        UserUri::parse(text).unwrap()
    }

    #[test]
    fn principals_are_users_domains_or_everyone() {
        assert_eq!(
            Principal::parse("Ann@Contoso.com").unwrap().to_string(),
            "sip:ann@contoso.com"
        );
        assert_eq!(
            Principal::parse("*@Contoso.com").unwrap().to_string(),
            "*@contoso.com"
        );
        assert_eq!(Principal::parse("*"), Some(Principal::Anyone));
        for bad in ["", "ann", "*ann@contoso.com", "*@", "**", "ann@*"] {
            assert_eq!(Principal::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_list_covers_its_users_and_patterns_only() {
        let list: Principals = ["ann@contoso.com", "*@fabrikam.com"]
            .iter()
            .filter_map(|text| Principal::parse(text))
            .collect();
        assert!(list.contains(&user("sip:ann@contoso.com")));
        assert!(list.contains(&user("sip:anyone@fabrikam.com")));
        assert!(!list.contains(&user("sip:bob@contoso.com")));
        assert!(!list.contains(&user("sip:bob@sub.fabrikam.com")));
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn deny_wins_over_allow() {
        let category = Category {
            name: "Trading".into(),
            allowed: [Principal::Anyone].into_iter().collect(),
            denied: Principal::parse("bob@contoso.com").into_iter().collect(),
        };
        assert!(category.permits(&user("ann@contoso.com")));
        assert!(!category.permits(&user("bob@contoso.com")));
    }
}
