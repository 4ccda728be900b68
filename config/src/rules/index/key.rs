//! The keys of rules, and those under which a question is asked for.

use std::net::IpAddr;

use holdover_protocol::fold::fold;
use holdover_protocol::room::{self, RoomUri};

use super::super::condition::{RoomPattern, Test, UserPattern};
use super::super::glob::Glob;
use super::super::network::Network;
use super::super::{Question, Rule};

/// What a key is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    User,
    Domain,
    Room,
    Listener,
    Network,
    /// One of the texts, of which there are [`TEXTS`].
    Text(u8),
}

/// Texts that patterns are about.
const TEXTS: usize = 5;

const ADDRESS: u8 = 0;
const ROOM_ID: u8 = 1;
const ROOM_NAME: u8 = 2;
const CATEGORY: u8 = 3;
const CLIENT: u8 = 4;

/// Bytes to which the begins and ends of patterns are cut.
const LONGEST: usize = 64;

/// Bytes of what is looked for in the midst of a text.
const GRAM: usize = 3;

/// The keys of one condition: the rule is filed under all of them.
pub(super) struct Keys {
    pub(super) hashes: Vec<u64>,
    segments: Vec<Segment>,
}

/// What a question must be taken apart into for a key to be found.
#[derive(Clone, Copy)]
enum Segment {
    Whole(Kind),
    /// A begin of so many bytes.
    Begin(u8, usize),
    /// An end of so many bytes.
    End(u8, usize),
    Midst(u8, u64),
    Network(u8, u8),
}

/// Into which segments questions are taken apart.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    users: bool,
    domains: bool,
    rooms: bool,
    listeners: bool,
    /// Lengths of prefixes, of each family.
    v4: Vec<u8>,
    v6: Vec<u8>,
    texts: [Parts; TEXTS],
}

/// Into which segments a text is taken apart.
#[derive(Debug, Default)]
struct Parts {
    whole: bool,
    /// Bits by the length less one.
    begins: u64,
    ends: u64,
    /// Bits of the hashes that are looked for.
    midst: Option<Box<[u64; 64]>>,
}

impl Kinds {
    pub(super) fn add(&mut self, keys: &Keys) {
        for segment in &keys.segments {
            match *segment {
                Segment::Whole(Kind::User) => self.users = true,
                Segment::Whole(Kind::Domain) => self.domains = true,
                Segment::Whole(Kind::Room) => self.rooms = true,
                Segment::Whole(Kind::Listener) => self.listeners = true,
                Segment::Whole(Kind::Network) => {}
                Segment::Network(family, prefix) => {
                    let lengths = if family == 4 {
                        &mut self.v4
                    } else {
                        &mut self.v6
                    };
                    if !lengths.contains(&prefix) {
                        lengths.push(prefix);
                    }
                }
                Segment::Whole(Kind::Text(text)) => self.text(text).whole = true,
                Segment::Begin(text, length) => self.text(text).begins |= 1 << (length - 1),
                Segment::End(text, length) => self.text(text).ends |= 1 << (length - 1),
                Segment::Midst(text, hash) => {
                    let bits = self
                        .text(text)
                        .midst
                        .get_or_insert_with(|| Box::new([0; 64]));
                    let (word, bit) = place(hash);
                    if let Some(word) = bits.get_mut(word) {
                        *word |= bit;
                    }
                }
            }
        }
    }

    fn text(&mut self, text: u8) -> &mut Parts {
        let [address, room_id, room_name, category, client] = &mut self.texts;
        match text {
            ADDRESS => address,
            ROOM_ID => room_id,
            ROOM_NAME => room_name,
            CATEGORY => category,
            _ => client,
        }
    }

    /// Every key under which a rule may be filed that matches the question.
    pub(super) fn of_question(&self, question: &Question<'_>, mut look: impl FnMut(u64)) {
        if self.users {
            look(whole(Kind::User, question.user.address()));
        }
        if self.domains {
            look(whole(Kind::Domain, question.user.domain()));
        }
        if self.listeners
            && let Some(listener) = question.listener
        {
            look(whole(Kind::Listener, listener.as_str()));
        }
        match question.network.map(|address| address.to_canonical()) {
            Some(address @ IpAddr::V4(_)) => networks(&self.v4, address, &mut look),
            Some(address @ IpAddr::V6(_)) => networks(&self.v6, address, &mut look),
            None => {}
        }
        let [address, room_id, room_name, category, client] = &self.texts;
        address.of(ADDRESS, question.user.address(), &mut look);
        if let Some(text) = question.client {
            client.of(CLIENT, text, &mut look);
        }
        if let Some(room) = question.room {
            if self.rooms {
                look(room_key(room.id));
            }
            room_id.of(ROOM_ID, room.id.as_str(), &mut look);
            room_name.of(ROOM_NAME, room.name, &mut look);
            category.of(CATEGORY, room.category, &mut look);
        }
    }
}

impl Parts {
    fn of(&self, text: u8, said: &str, look: &mut impl FnMut(u64)) {
        if !self.whole && self.begins == 0 && self.ends == 0 && self.midst.is_none() {
            return;
        }
        // ASCII is folded on the way.
        let folded = if said.is_ascii() {
            said.into()
        } else {
            fold(said)
        };
        if self.whole {
            look(whole(Kind::Text(text), &folded));
        }
        let bytes = folded.as_bytes();
        if self.begins != 0 {
            segments(
                self.begins,
                seed(Kind::Text(text), BEGIN),
                bytes.iter(),
                look,
            );
        }
        if self.ends != 0 {
            segments(
                self.ends,
                seed(Kind::Text(text), END),
                bytes.iter().rev(),
                look,
            );
        }
        if let Some(bits) = &self.midst {
            for gram in bytes.windows(GRAM) {
                let hash = gram_key(text, gram);
                let (word, bit) = place(hash);
                if bits.get(word).is_some_and(|word| word & bit != 0) {
                    look(hash);
                }
            }
        }
    }
}

/// Where the bit of a hash is.
fn place(hash: u64) -> (usize, u64) {
    // What the map makes least of.
    let bits = hash >> 20;
    (
        usize::try_from((bits >> 6) & 63).unwrap_or_default(),
        1 << (bits & 63),
    )
}

/// Looks for the first bytes, in each of the lengths.
fn segments<'b>(
    mut lengths: u64,
    seed: u64,
    bytes: impl Iterator<Item = &'b u8>,
    look: &mut impl FnMut(u64),
) {
    let mut hash = Hash::new(seed);
    for byte in bytes {
        if lengths == 0 {
            return;
        }
        hash.add(byte.to_ascii_lowercase());
        if lengths & 1 != 0 {
            look(hash.mixed());
        }
        lengths >>= 1;
    }
}

fn networks(prefixes: &[u8], address: IpAddr, look: &mut impl FnMut(u64)) {
    for prefix in prefixes {
        if let Some(network) = Network::of(address, *prefix) {
            look(network_key(network));
        }
    }
}

/// The keys of each condition of a rule by which it can be found.
pub(super) fn of_rule(rule: &Rule) -> Vec<Keys> {
    rule.when
        .iter()
        .filter(|condition| !condition.negated)
        .flat_map(|condition| of_test(&condition.test))
        .collect()
}

/// All ways to file a test; several for patterns, which begin and end with something.
fn of_test(test: &Test) -> Vec<Keys> {
    match test {
        Test::User(users) => {
            let named = users
                .file
                .iter()
                .flat_map(|file| file.users.iter())
                .map(|user| {
                    (
                        whole(Kind::User, user.address()),
                        Segment::Whole(Kind::User),
                    )
                });
            ways(|way| {
                let patterns = users.patterns.iter().map(|pattern| match pattern {
                    UserPattern::One(user) => Some((
                        whole(Kind::User, user.address()),
                        Segment::Whole(Kind::User),
                    )),
                    UserPattern::Many(glob) => of_glob(ADDRESS, glob, way),
                });
                patterns.chain(named.clone().map(Some)).collect()
            })
        }
        Test::Domain(domains) => ways(|way| {
            let domains = domains.iter().map(|domain| {
                let key = whole(Kind::Domain, domain.as_str());
                (way == Way::Whole).then_some((key, Segment::Whole(Kind::Domain)))
            });
            domains.collect()
        }),
        Test::Network(networks) => ways(|way| {
            let networks = networks.iter().map(|network| {
                let family = if network.address().is_ipv4() { 4 } else { 6 };
                let segment = Segment::Network(family, network.prefix());
                (way == Way::Whole).then_some((network_key(*network), segment))
            });
            networks.collect()
        }),
        Test::Listener(listeners) => ways(|way| {
            let listeners = listeners.iter().map(|listener| {
                let key = whole(Kind::Listener, listener.as_str());
                (way == Way::Whole).then_some((key, Segment::Whole(Kind::Listener)))
            });
            listeners.collect()
        }),
        Test::Room(rooms) => ways(|way| {
            let rooms = rooms.iter().map(|room| match room {
                RoomPattern::One(room) => Some((room_key(room), Segment::Whole(Kind::Room))),
                RoomPattern::Many(glob) => of_glob(ROOM_ID, glob, way),
            });
            rooms.collect()
        }),
        Test::RoomName(globs) => ways(|way| of_globs(ROOM_NAME, globs, way)),
        Test::Category(globs) => ways(|way| of_globs(CATEGORY, globs, way)),
        Test::Client(globs) => ways(|way| of_globs(CLIENT, globs, way)),
        Test::Command(_) | Test::Time(_) | Test::Percent(_) => Vec::new(),
    }
}

/// How patterns are filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Whole,
    Begin,
    End,
    Midst,
}

/// The keys in each way in which all alternatives have one.
fn ways(keys: impl Fn(Way) -> Option<Vec<(u64, Segment)>>) -> Vec<Keys> {
    let mut ways: Vec<Keys> = Vec::new();
    for way in [Way::Whole, Way::Begin, Way::End, Way::Midst] {
        if let Some(found) = keys(way) {
            let (hashes, segments): (Vec<u64>, Vec<Segment>) = found.into_iter().unzip();
            // What has no pattern comes to the same in every way.
            if ways.last().is_none_or(|last| last.hashes != hashes) {
                ways.push(Keys { hashes, segments });
            }
        }
    }
    ways
}

fn of_globs(text: u8, globs: &[Glob], way: Way) -> Option<Vec<(u64, Segment)>> {
    globs.iter().map(|glob| of_glob(text, glob, way)).collect()
}

fn of_glob(text: u8, glob: &Glob, way: Way) -> Option<(u64, Segment)> {
    let kind = Kind::Text(text);
    if let Some(literal) = glob.literal() {
        return Some((whole(kind, literal), Segment::Whole(kind)));
    }
    let folded = glob.folded().as_bytes();
    let is_wild = |byte: &u8| matches!(byte, b'*' | b'?');
    match way {
        Way::Whole if text == ADDRESS => {
            let domain = glob.domain()?;
            Some((whole(Kind::Domain, domain), Segment::Whole(Kind::Domain)))
        }
        Way::Whole => None,
        Way::Begin => {
            let literal = folded.split(is_wild).next()?;
            let length = cut(literal)?;
            let mut hash = Hash::new(seed(kind, BEGIN));
            literal.iter().take(length).for_each(|byte| hash.add(*byte));
            Some((hash.mixed(), Segment::Begin(text, length)))
        }
        Way::End => {
            let literal = folded.rsplit(is_wild).next()?;
            let length = cut(literal)?;
            let mut hash = Hash::new(seed(kind, END));
            literal
                .iter()
                .rev()
                .take(length)
                .for_each(|byte| hash.add(*byte));
            Some((hash.mixed(), Segment::End(text, length)))
        }
        Way::Midst => {
            // The midst of the longest piece: its begin is often the same in many patterns.
            let literal = folded.split(is_wild).max_by_key(|piece| piece.len())?;
            let at = literal.len().checked_sub(GRAM)? / 2;
            let key = gram_key(text, literal.get(at..at + GRAM)?);
            Some((key, Segment::Midst(text, key)))
        }
    }
}

/// How much of a literal counts. `None`: there is none.
fn cut(literal: &[u8]) -> Option<usize> {
    (!literal.is_empty()).then(|| literal.len().min(LONGEST))
}

const WHOLE: u8 = 0;
const BEGIN: u8 = 1;
const END: u8 = 2;
const MIDST: u8 = 3;

fn seed(kind: Kind, segment: u8) -> u64 {
    let kind = match kind {
        Kind::User => 1,
        Kind::Domain => 2,
        Kind::Room => 3,
        Kind::Listener => 4,
        Kind::Network => 5,
        Kind::Text(text) => 6 + text,
    };
    u64::from(kind) << 8 | u64::from(segment)
}

/// A key of all of a text that is folded, or is ASCII.
fn whole(kind: Kind, text: &str) -> u64 {
    let mut hash = Hash::new(seed(kind, WHOLE));
    for byte in text.bytes() {
        hash.add(byte.to_ascii_lowercase());
    }
    hash.mixed()
}

/// The same for all that [`RoomUri::is_same_room`] finds equal.
fn room_key(room: &RoomUri) -> u64 {
    let mut hash = Hash::new(seed(Kind::Room, WHOLE));
    match room::guid(room.value()) {
        Some(guid) => guid.iter().for_each(|byte| hash.add(*byte)),
        None => room.value().bytes().for_each(|byte| hash.add(byte)),
    }
    hash.add(b'@');
    for byte in room.domain().bytes() {
        hash.add(byte.to_ascii_lowercase());
    }
    hash.mixed()
}

fn network_key(network: Network) -> u64 {
    let mut hash = Hash::new(seed(Kind::Network, network.prefix()));
    match network.address() {
        IpAddr::V4(address) => address.octets().iter().for_each(|byte| hash.add(*byte)),
        IpAddr::V6(address) => address.octets().iter().for_each(|byte| hash.add(*byte)),
    }
    hash.mixed()
}

fn gram_key(text: u8, gram: &[u8]) -> u64 {
    let mut hash = Hash::new(seed(Kind::Text(text), MIDST));
    for byte in gram {
        hash.add(byte.to_ascii_lowercase());
    }
    hash.mixed()
}

/// FNV-1a, mixed at the end, so that a text can be hashed byte by byte with a result after each.
struct Hash(u64);

impl Hash {
    fn new(seed: u64) -> Self {
        Self(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }

    fn mixed(&self) -> u64 {
        let hash = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ (hash >> 33)
    }
}
