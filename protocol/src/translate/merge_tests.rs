//! Property: what a command is answered does not depend on how its rooms are spread over pools. Merging the replies of any
//! number of pools gives the reply of one pool that has all the rooms, up to the numbers of people.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::merge_replies;
use crate::room::RoomUri;
use crate::xccos::{Document, ElementRef, Limits};

const POOLS: usize = 4;
const PEOPLE: usize = 6;

#[derive(Clone, Debug)]
struct Room {
    pool: usize,
    /// Where its pool mentions it: pools answer in an order of their own.
    rank: u8,
    is_refused: bool,
    members: Vec<usize>,
    operators: Vec<usize>,
}

/// One installation, in the client's order of rooms.
#[derive(Clone, Debug)]
struct Installation {
    rooms: Vec<Room>,
    /// In which order each pool lists people, and from which number on.
    people: Vec<(Vec<usize>, usize)>,
    /// Limits and the number of the last invitation, of each pool.
    numbers: Vec<[u32; 4]>,
}

fn people() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..PEOPLE, 0..4).prop_map(|mut people| {
        people.sort_unstable();
        people.dedup();
        people
    })
}

fn room() -> impl Strategy<Value = Room> {
    (0..POOLS, any::<u8>(), any::<bool>(), people(), people()).prop_map(
        |(pool, rank, is_refused, members, operators)| Room {
            pool,
            rank,
            is_refused,
            members,
            operators,
        },
    )
}

fn installation() -> impl Strategy<Value = Installation> {
    let order = Just((0..PEOPLE).collect::<Vec<usize>>()).prop_shuffle();
    (
        prop::collection::vec(room(), 0..8),
        prop::collection::vec((order, 0..50_usize), POOLS),
        prop::collection::vec(any::<[u32; 4]>(), POOLS),
    )
        .prop_map(|(rooms, people, numbers)| Installation {
            rooms,
            people,
            numbers,
        })
}

fn uri(room: usize) -> RoomUri {
    RoomUri::new("contoso.com", &format!("{room}")).unwrap()
}

fn document(verb: &str, data: &str) -> Document {
    let text = format!(
        r#"<xccos ver="1" envid="7" xmlns="urn:parlano:xml:ns:xccos"><rpl id="rpl:{verb}" seqid="1"><commandid seqid="1" envid="3"/><resp code="200">SUCCESS_OK</resp><data>{data}</data></rpl></xccos>"#
    );
    Document::parse(text, &Limits::DEFAULT).unwrap()
}

impl Installation {
    /// The reply of a pool to a `bjoin` of these rooms; it lists people in its own order and numbers them in its own way.
    fn joined(&self, rooms: &[usize], (order, first): &(Vec<usize>, usize)) -> Document {
        let joined = || rooms.iter().filter(|room| !self.rooms[**room].is_refused);
        let is_there = |person: &usize| {
            joined().any(|room| {
                let room = &self.rooms[*room];
                room.members.contains(person) || room.operators.contains(person)
            })
        };
        let listed: Vec<usize> = order.iter().copied().filter(is_there).collect();
        let numbers = |people: &[usize]| {
            let number = |person: &usize| {
                let at = listed.iter().position(|listed| listed == person).unwrap();
                (first + at).to_string()
            };
            people.iter().map(number).collect::<Vec<_>>().join(",")
        };
        let mut data = String::new();
        for (at, person) in listed.iter().enumerate() {
            data += &format!(
                r#"<uib id="{}" uri="sip:p{person}@contoso.com"/>"#,
                first + at
            );
        }
        for room in joined() {
            let Room {
                members, operators, ..
            } = &self.rooms[*room];
            data += &format!(
                r#"<chanib uri="{}" name="R {room} &amp; co"><aib key="3984" value="{}"/><aib key="12276" value="{}"/></chanib>"#,
                uri(*room),
                numbers(members),
                numbers(operators)
            );
        }
        for room in rooms.iter().filter(|room| self.rooms[**room].is_refused) {
            data +=
                &format!(r#"<fib key="OPERATION_FAILED" value="{room}" domain="contoso.com"/>"#);
        }
        document("bjoin", &data)
    }

    /// The rooms of each pool that has any, as it mentions them.
    fn split(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut pools: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, room) in self.rooms.iter().enumerate() {
            pools.entry(room.pool).or_default().push(at);
        }
        for rooms in pools.values_mut() {
            rooms.sort_by_key(|room| self.rooms[*room].rank);
        }
        pools
    }

    /// The reply to a command that names no room: what is found, and the pool's numbers.
    fn found(&self, verb: &str, rooms: &[usize], numbers: [u32; 4]) -> Document {
        let [search, message, story, invitation] = numbers;
        let mut data = match verb {
            "getserverinfo" => format!(
                r#"<sib infoType="123" searchLimit="{search}" messageSizeLimit="{message}" storySizeLimit="{story}"/>"#
            ),
            "getinv" => format!(r#"<inv inviteId="{invitation}" domain="contoso.com"/>"#),
            _ => String::new(),
        };
        if verb != "getserverinfo" {
            for room in rooms {
                data += &format!(r#"<chanib uri="{}" name="R {room}"/>"#, uri(*room));
            }
        }
        document(verb, &data)
    }
}

/// Who has which key in a room.
type Keys = Vec<(String, Vec<String>)>;

/// What a reply says, with people by name.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    people: BTreeSet<String>,
    /// Room, name, and who has which key there.
    rooms: Vec<(String, String, Keys)>,
    failures: Vec<String>,
    numbers: Vec<(String, String)>,
}

fn attribute(element: ElementRef<'_>, name: &str) -> String {
    element.attr(name).unwrap().into_owned()
}

impl Meaning {
    fn of(reply: &Document) -> Self {
        let data = reply.root().child("rpl").unwrap().child("data").unwrap();
        let people: BTreeMap<String, String> = data
            .children_named("uib")
            .map(|uib| (attribute(uib, "id"), attribute(uib, "uri")))
            .collect();
        assert_eq!(
            people.len(),
            data.children_named("uib").count(),
            "a number twice"
        );
        let names = |value: String| {
            let ids = value.split(',').filter(|id| !id.is_empty());
            ids.map(|id| people[id].clone()).collect::<Vec<_>>()
        };
        let keys = |room: ElementRef<'_>| {
            let aibs = room.children_named("aib");
            aibs.map(|aib| (attribute(aib, "key"), names(attribute(aib, "value"))))
                .collect()
        };
        let rooms = data.children_named("chanib");
        let numbered = data
            .children()
            .filter(|child| child.is("sib") || child.is("inv"));
        let numbers = numbered.flat_map(|element| {
            let all = [
                "searchLimit",
                "messageSizeLimit",
                "storySizeLimit",
                "inviteId",
            ];
            let has = all
                .into_iter()
                .filter(move |name| element.attr(name).is_some());
            has.map(move |name| (name.to_owned(), attribute(element, name)))
        });
        Self {
            people: people.values().cloned().collect(),
            rooms: rooms
                .map(|room| (attribute(room, "uri"), attribute(room, "name"), keys(room)))
                .collect(),
            failures: data
                .children_named("fib")
                .map(|fib| attribute(fib, "value"))
                .collect(),
            numbers: numbers.collect(),
        }
    }
}

/// People are numbered from 0, without gaps, in the order in which they are listed.
fn are_numbered(reply: &Document) -> bool {
    let data = reply.root().child("rpl").unwrap().child("data").unwrap();
    let mut people = data.children_named("uib").enumerate();
    people.all(|(at, uib)| attribute(uib, "id") == at.to_string())
}

fn parsed(bytes: bytes::Bytes) -> Document {
    Document::parse(bytes, &Limits::DEFAULT).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn rooms_spread_over_pools_are_joined_as_on_one(installation in installation()) {
        let all: Vec<usize> = (0..installation.rooms.len()).collect();
        let order: Vec<RoomUri> = all.iter().map(|room| uri(*room)).collect();
        let whole = installation.joined(&all, &((0..PEOPLE).collect(), 0));
        let parts: Vec<Document> = installation
            .split()
            .into_iter()
            .map(|(pool, rooms)| installation.joined(&rooms, &installation.people[pool]))
            .collect();
        prop_assume!(!parts.is_empty());
        let merged = parsed(merge_replies(&parts, &order));
        prop_assert_eq!(Meaning::of(&merged), Meaning::of(&whole));
        prop_assert!(parts.len() == 1 || are_numbered(&merged));
        // What is merged once is merged.
        let again = merge_replies(std::slice::from_ref(&merged), &order);
        prop_assert_eq!(&again, merged.bytes());
    }

    #[test]
    fn what_all_pools_are_asked_is_answered_as_by_one(
        installation in installation(),
        verb in prop::sample::select(&["chansrch", "getassociations", "getinv", "getserverinfo"][..]),
    ) {
        let split = installation.split();
        let of = |pool: usize| split.get(&pool).map_or(&[][..], Vec::as_slice);
        let parts: Vec<Document> = (0..POOLS)
            .map(|pool| installation.found(verb, of(pool), installation.numbers[pool]))
            .collect();
        let numbers = &installation.numbers;
        let least = |at: usize| numbers.iter().map(|of| of[at]).min().unwrap_or_default();
        let last = numbers.iter().map(|of| of[3]).max().unwrap_or_default();
        let all: Vec<usize> = (0..POOLS).flat_map(|pool| of(pool).to_vec()).collect();
        let whole = installation.found(verb, &all, [least(0), least(1), least(2), last]);
        let merged = parsed(merge_replies(&parts, &[]));
        prop_assert_eq!(Meaning::of(&merged), Meaning::of(&whole));
    }
}
