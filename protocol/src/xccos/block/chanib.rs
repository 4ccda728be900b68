//! `chanib`: what a server knows about a room.

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::RoleAssociation;
use crate::room::RoomUri;

const USER_COUNT: &str = "urn:parlano:ma:info:ucnt";
/// Misspelt on the wire, by every client and server.
const VISIBILITY: &str = "urn:parlano:ma:info:visibilty";
const FILE_POST: &str = "urn:parlano:ma:prop:filepost";
const INVITE: &str = "urn:parlano:ma:prop:invite";
const LOGGED: &str = "urn:parlano:ma:prop:logged";

/// `chanib`. What is `None` or empty was not there, or is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomBlock {
    /// The room.
    pub uri: RoomUri,
    /// Shown to users.
    pub name: Option<Box<str>>,
    /// A sentence about it.
    pub description: Option<Box<str>>,
    /// What is talked about at the moment. Newer servers do not have it.
    pub topic: Option<Box<str>>,
    /// How many people are in it.
    pub user_count: Option<u32>,
    /// Who finds it.
    pub visibility: Option<Visibility>,
    /// Files may be posted.
    pub file_post: Option<bool>,
    /// New members are told.
    pub invite: Option<bool>,
    /// Messages are kept.
    pub logged: Option<bool>,
    /// Who is in it, by what they may do.
    pub associations: Vec<RoleAssociation>,
}

impl RoomBlock {
    /// A room of which only the identifier is known.
    pub fn new(uri: RoomUri) -> Self {
        Self {
            uri,
            name: None,
            description: None,
            topic: None,
            user_count: None,
            visibility: None,
            file_post: None,
            invite: None,
            logged: None,
            associations: Vec::new(),
        }
    }

    pub(crate) fn read(chanib: ElementRef<'_>) -> Result<Self, XccosError> {
        let detail = |name: &str, id: &str| {
            let of_id = |element: &ElementRef<'_>| element.attr("id").is_some_and(|it| it == id);
            chanib
                .children_named(name)
                .find(of_id)
                .map(|element| element.text())
        };
        // Switches and counts are decoration: an odd one does not make the room unreadable.
        let switch = |id| match detail("prop", id)?.trim().to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let associations = chanib.children_named("aib").map(RoleAssociation::read);
        Ok(Self {
            uri: chanib.require_parsed("uri")?,
            name: chanib.attr("name").map(Into::into),
            description: chanib.attr("description").map(Into::into),
            topic: chanib.attr("topic").map(Into::into),
            user_count: detail("info", USER_COUNT).and_then(|text| text.trim().parse().ok()),
            visibility: detail("info", VISIBILITY)
                .and_then(|text| Visibility::from_wire(text.trim())),
            file_post: switch(FILE_POST),
            invite: switch(INVITE),
            logged: switch(LOGGED),
            associations: associations.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        let tag = w
            .element("chanib")
            .attr("uri", &self.uri)
            .attr_opt("name", self.name.as_deref())
            .attr_opt("description", self.description.as_deref())
            .attr_opt("topic", self.topic.as_deref());
        tag.children(|w| {
            self.associations
                .iter()
                .for_each(|association| association.write(w));
            let infos = [
                (USER_COUNT, self.user_count.map(|count| count.to_string())),
                (
                    VISIBILITY,
                    self.visibility
                        .map(|visibility| visibility.wire().to_owned()),
                ),
            ];
            for (id, value) in infos {
                if let Some(value) = value {
                    w.element("info").attr("id", id).text(&value);
                }
            }
            let props = [
                (FILE_POST, self.file_post),
                (INVITE, self.invite),
                (LOGGED, self.logged),
            ];
            for (id, value) in props {
                if let Some(value) = value {
                    w.element("prop")
                        .attr("id", id)
                        .text(if value { "true" } else { "false" });
                }
            }
        });
    }
}

/// Who finds a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Its members.
    Private,
    /// Everybody in its scope.
    Scope,
    /// Everybody, and everybody may join. Newer servers only.
    Open,
}

impl Visibility {
    /// The word on the wire.
    pub const fn wire(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Scope => "scope",
            Self::Open => "open",
        }
    }

    /// Reads the word on the wire.
    pub fn from_wire(word: &str) -> Option<Self> {
        let all = [Self::Private, Self::Scope, Self::Open];
        all.into_iter()
            .find(|visibility| visibility.wire().eq_ignore_ascii_case(word))
    }
}
