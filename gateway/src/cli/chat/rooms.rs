//! The rooms a user has heard of and those that are open, by their names.

use std::collections::BTreeSet;

use holdover_protocol::room::RoomUri;
use holdover_protocol::xccos::block::RoomBlock;
use holdover_protocol::xccos::verb::JoinReply;

/// How many names are offered for one that does not fit.
const MAX_OFFERS: usize = 3;

/// No room, or no single one, fits what was typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRoom {
    /// None.
    #[error("no room is called `{text}`{}", offer(near))]
    Unknown {
        /// What was typed.
        text: String,
        /// Names that are like it.
        near: Vec<String>,
    },
    /// Several.
    #[error("several rooms are called `{text}`; say which: {}", uris.join(", "))]
    Several {
        /// What was typed.
        text: String,
        /// Their identifiers.
        uris: Vec<String>,
    },
    /// The room is not open.
    #[error("you are not in `{0}`; join it first")]
    NotOpen(String),
    /// No room was named, and none is current.
    #[error("you are in no room; join one first")]
    Nowhere,
}

fn offer(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    let quoted: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!("; did you mean {}?", quoted.join(" or "))
}

/// A room with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) uri: RoomUri,
    pub(super) name: Box<str>,
}

/// A room the user is in.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) room: Named,
    pub(super) people: BTreeSet<Box<str>>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Book {
    known: Vec<Named>,
    open: Vec<Open>,
    current: Option<RoomUri>,
}

impl Book {
    /// Learns the name of a room.
    pub(super) fn learn(&mut self, room: &RoomBlock) -> Named {
        let name = room.name.clone().filter(|name| !name.is_empty());
        let named = Named {
            uri: room.uri.clone(),
            name: name.unwrap_or_else(|| room.uri.as_str().into()),
        };
        match self.known.iter_mut().find(|known| known.uri == named.uri) {
            Some(known) => *known = named.clone(),
            None => self.known.push(named.clone()),
        }
        named
    }

    /// Notes the rooms of a good reply to a join. The last one becomes the current one.
    pub(super) fn joined(&mut self, reply: &JoinReply) {
        for block in &reply.rooms {
            let room = self.learn(block);
            let ids: BTreeSet<u32> = block
                .associations
                .iter()
                .flat_map(|group| group.users.iter().copied())
                .collect();
            let people = reply
                .users
                .iter()
                .filter(|user| user.id.is_some_and(|id| ids.contains(&id)))
                .map(|user| user.uri.clone())
                .collect();
            self.open.retain(|open| open.room.uri != room.uri);
            self.current = Some(room.uri.clone());
            self.open.push(Open { room, people });
        }
    }

    /// Notes that the user left a room. The one joined last before becomes current.
    pub(super) fn parted(&mut self, uri: &RoomUri) {
        self.open.retain(|open| open.room.uri != *uri);
        if self.current.as_ref() == Some(uri) {
            self.current = self.open.last().map(|open| open.room.uri.clone());
        }
    }

    /// Makes an open room the current one.
    pub(super) fn switch(&mut self, uri: &RoomUri) {
        self.current = Some(uri.clone());
    }

    /// An open room, to note who comes and goes.
    pub(super) fn open_mut(&mut self, uri: &RoomUri) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.room.uri == *uri)
    }

    /// The current room.
    pub(super) fn current(&self) -> Option<&Open> {
        let current = self.current.as_ref()?;
        self.open.iter().find(|open| open.room.uri == *current)
    }

    /// All names there are.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|room| &*room.name)
    }

    /// What a room is called, as far as is known.
    pub(super) fn name<'a>(&'a self, uri: &'a RoomUri) -> &'a str {
        self.known
            .iter()
            .find(|room| room.uri == *uri)
            .map_or(uri.as_str(), |room| &room.name)
    }

    /// The room that an identifier or a name of a known room means.
    ///
    /// # Errors
    ///
    /// [`NoRoom`]
    pub(super) fn find(&self, text: &str) -> Result<RoomUri, NoRoom> {
        match text.parse() {
            Ok(uri) => Ok(uri),
            Err(_) => find(text, &self.known).map(|room| room.uri.clone()),
        }
    }

    /// The open room that was named, else the current one.
    ///
    /// # Errors
    ///
    /// [`NoRoom`]
    pub(super) fn find_open(&self, text: Option<&str>) -> Result<&Open, NoRoom> {
        let Some(text) = text else {
            return self.current().ok_or(NoRoom::Nowhere);
        };
        let uri = match text.parse() {
            Ok(uri) => uri,
            Err(_) => {
                let open: Vec<Named> = self.open.iter().map(|open| open.room.clone()).collect();
                // A room that exists but is not open is told from one that nobody knows.
                match find(text, &open) {
                    Ok(room) => room.uri.clone(),
                    Err(NoRoom::Unknown { .. }) => self.find(text)?,
                    Err(other) => return Err(other),
                }
            }
        };
        let open = self.open.iter().find(|open| open.room.uri == uri);
        open.ok_or_else(|| NoRoom::NotOpen(self.name(&uri).into()))
    }
}

/// A name counts as written, else in any case.
fn find<'a>(text: &str, rooms: &'a [Named]) -> Result<&'a Named, NoRoom> {
    let folded = text.to_lowercase();
    let mut fits: Vec<&Named> = rooms.iter().filter(|room| *room.name == *text).collect();
    if fits.is_empty() {
        fits = rooms
            .iter()
            .filter(|room| room.name.to_lowercase() == folded)
            .collect();
    }
    match fits.as_slice() {
        [room] => Ok(room),
        [] => Err(NoRoom::Unknown {
            text: text.into(),
            near: near(text, &folded, rooms),
        }),
        several => Err(NoRoom::Several {
            text: text.into(),
            uris: several.iter().map(|room| room.uri.to_string()).collect(),
        }),
    }
}

/// The name that is a slip of the pen away, and names that hold the text.
fn near(text: &str, folded: &str, rooms: &[Named]) -> Vec<String> {
    let slip = holdover_config::suggest::nearest(text, rooms.iter().map(|room| &*room.name));
    let holding = rooms
        .iter()
        .map(|room| &*room.name)
        .filter(|name| !folded.is_empty() && name.to_lowercase().contains(folded));
    let mut names: Vec<String> = Vec::new();
    for name in slip.into_iter().chain(holding) {
        if names.len() < MAX_OFFERS && !names.iter().any(|offered| offered == name) {
            names.push(name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use holdover_protocol::xccos::PermissionMask;
    use holdover_protocol::xccos::block::{RoleAssociation, UserBlock};

    use super::*;

    fn uri(value: &str) -> RoomUri {
        RoomUri::new("contoso.com", value).unwrap()
    }

    fn block(value: &str, name: &str) -> RoomBlock {
        RoomBlock {
            name: Some(name.into()),
            ..RoomBlock::new(uri(value))
        }
    }

    fn book() -> Book {
        let mut book = Book::default();
        for (value, name) in [
            ("1", "Deals"),
            ("2", "Deals Europe"),
            ("3", "Town hall"),
            ("4", "Lunch"),
            ("5", "lunch"),
        ] {
            book.learn(&block(value, name));
        }
        book
    }

    #[test]
    fn a_room_is_found_by_identifier_by_name_and_by_name_in_any_case() {
        let book = book();
        assert_eq!(book.find("ma-chan://contoso.com/77"), Ok(uri("77")));
        assert_eq!(book.find("Deals"), Ok(uri("1")));
        assert_eq!(book.find("town HALL"), Ok(uri("3")));
        assert_eq!(book.find("lunch"), Ok(uri("5")));
    }

    #[test]
    fn what_is_not_found_is_answered_with_what_is_like_it() {
        let book = book();
        let said = |text| book.find(text).unwrap_err().to_string();
        assert_eq!(
            said("Deels"),
            "no room is called `Deels`; did you mean `Deals`?"
        );
        assert_eq!(
            said("deal"),
            "no room is called `deal`; did you mean `Deals` or `Deals Europe`?"
        );
        assert_eq!(said("Zzz"), "no room is called `Zzz`");
        let several = said("LUNCH");
        assert!(
            several.contains("ma-chan://contoso.com/4, ma-chan://contoso.com/5"),
            "{several}"
        );
    }

    #[test]
    fn joining_and_leaving_moves_the_current_room() {
        let mut book = book();
        assert_eq!(book.find_open(None).unwrap_err(), NoRoom::Nowhere);
        let reply = JoinReply {
            users: vec![
                UserBlock {
                    id: Some(0),
                    uri: "sip:ann@contoso.com".into(),
                },
                UserBlock {
                    id: Some(1),
                    uri: "sip:bob@contoso.com".into(),
                },
            ],
            rooms: vec![RoomBlock {
                associations: vec![RoleAssociation {
                    mask: PermissionMask::LEGACY_MEMBER,
                    users: vec![1],
                }],
                ..block("1", "Deals")
            }],
            failures: Vec::new(),
        };
        book.joined(&reply);
        book.joined(&JoinReply {
            rooms: vec![block("3", "Town hall")],
            ..JoinReply::default()
        });
        assert_eq!(&*book.find_open(None).unwrap().room.name, "Town hall");
        let deals = book.find_open(Some("deals")).unwrap();
        assert_eq!(
            deals.people.iter().map(|uri| &**uri).collect::<Vec<_>>(),
            ["sip:bob@contoso.com"]
        );
        assert_eq!(
            book.find_open(Some("Lunch")).unwrap_err(),
            NoRoom::NotOpen("Lunch".into())
        );
        book.parted(&uri("3"));
        assert_eq!(&*book.find_open(None).unwrap().room.name, "Deals");
        book.parted(&uri("1"));
        assert!(book.current().is_none());
    }
}
