//! Parsing and translating XCCOS documents, beside copying the same bytes and beside a plain quick-xml pass over them.
//!
//! The budget: a translation, parsing included, takes at most twice the time of the pass.

#[path = "support/report.rs"]
mod report;
#[path = "support/samples.rs"]
mod samples;

use std::collections::HashMap;
use std::hint::black_box;

use bytes::Bytes;
use criterion::Throughput;
use holdover_protocol::room::RoomUri;
use holdover_protocol::translate::{self, EnvelopeIds, RoomMap};
use holdover_protocol::xccos::{CommandId, Document, Limits};
use quick_xml::Reader;
use quick_xml::events::Event;

/// What is measured for each document, baselines first.
const NAMES: [&str; 5] = ["memcpy", "quick-xml", "parse", "to_pool", "to_client"];

/// Rooms in the map.
const ROOMS: usize = 1_000;

/// Identifiers of one side as the other side knows them.
struct Map(HashMap<String, RoomUri>);

impl Map {
    fn new(from_migrated: bool) -> Self {
        let room = |number| {
            let other = RoomUri::new(samples::DOMAIN, &samples::room(number, !from_migrated));
            Some((samples::room(number, from_migrated), other.ok()?))
        };
        Self((0..ROOMS).filter_map(room).collect())
    }
}

impl RoomMap for Map {
    fn room(&self, _: &str, value: &str) -> Option<RoomUri> {
        self.0.get(value).cloned()
    }
}

/// The same document as the client's side and as the pool's side writes it.
struct Sample {
    name: &'static str,
    legacy: Bytes,
    migrated: Bytes,
}

impl Sample {
    fn new(name: &'static str, write: impl Fn(bool) -> String) -> Self {
        Self {
            name,
            legacy: write(false).into(),
            migrated: write(true).into(),
        }
    }
}

fn main() {
    let samples = [
        Sample::new("post-400", |migrated| samples::post(400, 7, migrated)),
        Sample::new("post-2k", |migrated| samples::post(2_000, 7, migrated)),
        Sample::new("post-8k", |migrated| samples::post(8_000, 7, migrated)),
        Sample::new("bjoin-64k", |migrated| {
            samples::bjoin_reply(64_000, migrated)
        }),
    ];
    let (to_pool, to_client) = (Map::new(false), Map::new(true));
    let mut criterion = report::criterion();
    for sample in &samples {
        let mut group = criterion.benchmark_group(sample.name);
        group.throughput(Throughput::Bytes(sample.migrated.len() as u64));
        group.bench_function("memcpy", |bench| {
            bench.iter(|| black_box(&sample.migrated).to_vec());
        });
        group.bench_function("quick-xml", |bench| {
            bench.iter(|| pass(black_box(&sample.migrated)));
        });
        group.bench_function("parse", |bench| {
            bench.iter(|| parse(black_box(&sample.migrated)))
        });
        group.bench_function("to_pool", |bench| {
            bench.iter(|| {
                let document = parse(black_box(&sample.legacy))?;
                let ids = EnvelopeIds {
                    envid: Some("4711"),
                    command: None,
                };
                Some(translate::to_pool(&document, &to_pool, &ids))
            });
        });
        group.bench_function("to_client", |bench| {
            let renumber = |_: &CommandId<'_>| Some(CommandId::new("77", "1"));
            bench.iter(|| {
                let document = parse(black_box(&sample.migrated))?;
                let ids = EnvelopeIds {
                    envid: None,
                    command: Some(&renumber),
                };
                Some(translate::to_client(&document, &to_client, &ids))
            });
        });
        group.finish();
    }
    for sample in &samples {
        report::print(
            sample.name,
            sample.migrated.len(),
            &NAMES,
            &["quick-xml", "memcpy"],
        );
    }
}

fn parse(bytes: &Bytes) -> Option<Document> {
    Document::parse(bytes.clone(), &Limits::DEFAULT).ok()
}

/// Looks at every event and every attribute, and keeps nothing.
fn pass(bytes: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return 0;
    };
    let mut reader = Reader::from_str(text);
    let mut seen = 0;
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => {
                for attribute in tag.attributes().flatten() {
                    seen += black_box(&attribute.value).len();
                }
            }
            Ok(Event::Eof) | Err(_) => return seen,
            Ok(event) => seen += black_box(&event).len(),
        }
    }
}
