//! Golden pairs of translations: what comes in, a line of dashes, and what goes out.
//!
//! `golden/<verb>/<case>.to-pool.txt` holds a document of a legacy client and what the pool gets;
//! `golden/<verb>/<case>.to-client.txt` a document of a pool and the documents the client gets.

// The exemption of tests does not reach the helpers of an integration test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use holdover_protocol::room::{CategoryUri, RoomUri};
use holdover_protocol::translate::{EnvelopeIds, RoomMap, to_client, to_pool};
use holdover_protocol::xccos::{Document, Limits, Verb};

const LEGACY: &str = "contoso.com";
const MIGRATED: &str = "hq.litwareinc.com";

/// Values of rooms, legacy and migrated. The last two were merged.
const ROOMS: [(&str, &str); 7] = [
    (
        "11111111-2222-3333-4444-555555555555",
        "aaaaaaaa-0001-4000-8000-000000000001",
    ),
    (
        "66666666-7777-8888-9999-000000000000",
        "aaaaaaaa-0002-4000-8000-000000000002",
    ),
    ("300", "aaaaaaaa-0003-4000-8000-000000000003"),
    ("desk/emea", "aaaaaaaa-0004-4000-8000-000000000004"),
    ("r&d", "q&a"),
    ("old-east", "aaaaaaaa-0005-4000-8000-000000000005"),
    ("old-west", "aaaaaaaa-0005-4000-8000-000000000005"),
];

const CATEGORY: (&str, &str) = (
    "99999999-8888-7777-6666-555555555555",
    "cccccccc-0001-4000-8000-000000000001",
);

struct ToPool;

impl RoomMap for ToPool {
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
        let (_, migrated) = ROOMS
            .iter()
            .find(|(legacy, _)| domain == LEGACY && value == *legacy)?;
        Some(RoomUri::new(MIGRATED, migrated).unwrap())
    }

    fn category(&self, domain: &str, value: &str) -> Option<CategoryUri> {
        (domain == LEGACY && value == CATEGORY.0)
            .then(|| CategoryUri::new(MIGRATED, CATEGORY.1).unwrap())
    }

    fn domain(&self, domain: &str) -> Option<Box<str>> {
        (domain == LEGACY).then(|| MIGRATED.into())
    }
}

struct ToClient;

impl ToClient {
    fn all(domain: &str, value: &str) -> Vec<RoomUri> {
        ROOMS
            .iter()
            .filter(|(_, migrated)| domain == MIGRATED && value == *migrated)
            .map(|(legacy, _)| RoomUri::new(LEGACY, legacy).unwrap())
            .collect()
    }
}

impl RoomMap for ToClient {
    fn room(&self, domain: &str, value: &str) -> Option<RoomUri> {
        Self::all(domain, value).into_iter().next()
    }

    fn aliases(&self, domain: &str, value: &str) -> Vec<RoomUri> {
        let all = Self::all(domain, value);
        if all.len() > 1 { all } else { Vec::new() }
    }

    fn category(&self, domain: &str, value: &str) -> Option<CategoryUri> {
        (domain == MIGRATED && value == CATEGORY.1)
            .then(|| CategoryUri::new(LEGACY, CATEGORY.0).unwrap())
    }

    fn domain(&self, domain: &str) -> Option<Box<str>> {
        (domain == MIGRATED).then(|| LEGACY.into())
    }
}

struct Identity;

impl RoomMap for Identity {
    fn room(&self, _: &str, _: &str) -> Option<RoomUri> {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    ToPool,
    ToClient,
}

struct Case {
    name: String,
    verb: String,
    direction: Direction,
    before: String,
    after: Vec<String>,
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path))
        } else {
            files.push(path)
        }
    }
    files.sort();
    files
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let case = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let (verb, file) = name.split_once(['/', '\\']).unwrap();
        let direction = if file.ends_with(".to-pool.txt") {
            Direction::ToPool
        } else {
            assert!(file.ends_with(".to-client.txt"), "{name} has no direction");
            Direction::ToClient
        };
        let text = fs::read_to_string(&path).unwrap();
        let mut documents = text
            .strip_suffix('\n')
            .unwrap()
            .split("\n-----\n")
            .map(str::to_owned);
        Case {
            verb: verb.to_owned(),
            direction,
            before: documents.next().unwrap(),
            after: documents.collect(),
            name,
        }
    };
    files(&root).into_iter().map(case).collect()
}

fn parse(text: &str) -> Document {
    Document::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn texts(documents: Vec<Bytes>) -> Vec<String> {
    documents
        .into_iter()
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        .collect()
}

#[test]
fn every_pair_translates_as_written() {
    for case in cases() {
        let before = parse(&case.before);
        let ids = EnvelopeIds::default();
        let after = match case.direction {
            Direction::ToPool => vec![to_pool(&before, &ToPool, &ids)],
            Direction::ToClient => to_client(&before, &ToClient, &ids),
        };
        assert_eq!(texts(after), case.after, "{}", case.name);
    }
}

#[test]
fn what_went_to_the_pool_comes_back_as_it_was() {
    /// Not every document can: a merged room has two names, a forbidden character is gone.
    const ONE_WAY: [&str; 2] = ["merged", "control-characters"];
    let there = |case: &Case| {
        case.direction == Direction::ToPool && !ONE_WAY.iter().any(|word| case.name.contains(word))
    };
    let mut count = 0;
    for case in cases().into_iter().filter(there) {
        let pool = parse(&case.after[0]);
        let back = to_client(&pool, &ToClient, &EnvelopeIds::default());
        assert_eq!(texts(back), [case.before], "{}", case.name);
        count += 1;
    }
    assert!(count > 20, "only {count} pairs go both ways");
}

#[test]
fn a_document_in_its_final_form_stays_the_very_same_bytes() {
    for case in cases() {
        for document in &case.after {
            let document = parse(document);
            let ids = EnvelopeIds::default();
            let after = match case.direction {
                Direction::ToPool => vec![to_pool(&document, &Identity, &ids)],
                Direction::ToClient => to_client(&document, &Identity, &ids),
            };
            assert_eq!(after.len(), 1, "{}", case.name);
            assert_eq!(
                after[0].as_ptr(),
                document.bytes().as_ptr(),
                "{}",
                case.name
            );
            assert_eq!(after[0].len(), document.bytes().len(), "{}", case.name);
        }
    }
}

#[test]
fn every_verb_has_a_pair_in_each_direction() {
    let there: BTreeSet<_> = cases()
        .into_iter()
        .map(|case| (case.verb, case.direction))
        .collect();
    let mut wanted = BTreeSet::new();
    let verbs = Verb::ALL.iter().map(Verb::token);
    for verb in verbs.chain(["grpchat", "unknown"]) {
        wanted.insert((verb.to_owned(), Direction::ToClient));
        // The one reply that has no command of its own name.
        if verb != Verb::GetFileToken.token() {
            wanted.insert((verb.to_owned(), Direction::ToPool));
        }
    }
    let missing: Vec<_> = wanted.difference(&there).collect();
    assert!(missing.is_empty(), "no golden pair for {missing:?}");
    let unlisted: Vec<_> = there.difference(&wanted).collect();
    assert!(unlisted.is_empty(), "golden pairs of no verb: {unlisted:?}");
}
