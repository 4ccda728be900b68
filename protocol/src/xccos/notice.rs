//! What a server tells unasked: who came and who went.

use super::block::{RoomMembership, UserBlock};
use super::document::ElementRef;
use super::envelope::NoticeView;
use super::error::XccosError;
use super::verb::Verb;
use super::write::Writer;
use crate::room::RoomUri;

/// An `ntc` and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `ntc:join`: people entered rooms.
    Join(Vec<Arrival>),
    /// `ntc:bjoin`: the same, after a batch join.
    BatchJoin(Vec<Arrival>),
    /// `ntc:part`: people left rooms.
    Part(Vec<Departure>),
    /// Anything else.
    Unknown(Verb),
}

/// Somebody entered rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who.
    pub user: UserBlock,
    /// Which rooms, and what they may do there.
    pub rooms: Vec<RoomMembership>,
}

/// People left a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Which room.
    pub room: RoomUri,
    /// Who.
    pub users: Vec<UserBlock>,
}

impl Notice {
    /// Reads a notice.
    ///
    /// # Errors
    /// [`XccosError`] when a person or room has no readable address.
    pub fn read(view: NoticeView<'_>) -> Result<Self, XccosError> {
        let data = view.payload();
        match view.verb() {
            Verb::Join => arrivals(data).map(Self::Join),
            Verb::BatchJoin => arrivals(data).map(Self::BatchJoin),
            Verb::Part => data
                .children_named("chanib")
                .map(Departure::read)
                .collect::<Result<_, _>>()
                .map(Self::Part),
            verb => Ok(Self::Unknown(verb)),
        }
    }

    /// What it is about.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Join(_) => Verb::Join,
            Self::BatchJoin(_) => Verb::BatchJoin,
            Self::Part(_) => Verb::Part,
            Self::Unknown(verb) => verb.clone(),
        }
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        match self {
            Self::Join(arrivals) | Self::BatchJoin(arrivals) => {
                arrivals.iter().for_each(|arrival| arrival.write(w));
            }
            Self::Part(departures) => departures.iter().for_each(|departure| departure.write(w)),
            Self::Unknown(_) => (),
        }
    }
}

fn arrivals(data: ElementRef<'_>) -> Result<Vec<Arrival>, XccosError> {
    data.children_named("uib").map(Arrival::read).collect()
}

impl Arrival {
    fn read(uib: ElementRef<'_>) -> Result<Self, XccosError> {
        let rooms = uib.children_named("aib").map(RoomMembership::read);
        Ok(Self {
            user: UserBlock::read(uib)?,
            rooms: rooms.collect::<Result<_, _>>()?,
        })
    }

    fn write(&self, w: &mut Writer) {
        let tag = self.user.tag(w);
        tag.children(|w| self.rooms.iter().for_each(|room| room.write(w)));
    }
}

impl Departure {
    fn read(chanib: ElementRef<'_>) -> Result<Self, XccosError> {
        let users = chanib.children_named("uib").map(UserBlock::read);
        Ok(Self {
            room: chanib.require_parsed("uri")?,
            users: users.collect::<Result<_, _>>()?,
        })
    }

    fn write(&self, w: &mut Writer) {
        let tag = w.element("chanib").attr("uri", &self.room);
        tag.children(|w| self.users.iter().for_each(|user| user.write(w)));
    }
}
