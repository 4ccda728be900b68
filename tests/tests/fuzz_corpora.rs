//! Replays the corpora of the fuzz targets, each file as it is and changed at random.
//!
//! `HOLDOVER_MUTATIONS=1000000` makes that many changed inputs in all.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says no by a panic, also in its helpers"
)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};

use holdover_protocol::fuzzing::{sip_message, sip_stream, translate, xccos};
use holdover_tests::fuzzing::{config, csv};

const MUTATIONS: usize = 20_000;
const TARGETS: usize = 6;

/// What parsers stumble over.
const TOKENS: [&[u8]; 40] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"=",
    b"&",
    b"&#x1;",
    b"&#xD800;",
    b"&amp;",
    b"]]>",
    b"<![CDATA[",
    b"<!--",
    b"<!DOCTYPE x>",
    b"<?x?>",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xc3\x28",
    b"4294967296",
    b"-1",
    b"99999999999999999999",
    b"0",
    b"Content-Length: 5\r\n",
    b"l: 70000\r\n",
    b"ma-chan://a/b",
    b"ma-filelink://a/b/c",
    b"domain=\"a\" value=\"b\"",
    b"<sip:a@b;c=d>",
    b";tag=",
    b"[[",
    b"'''",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length } else { 16 };
        start..(start + self.below(longest + 1)).min(length)
    }
}

fn mutate(random: &mut Random, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..=random.below(4) {
        let range = random.range(input.len());
        match random.below(8) {
            0 if !range.is_empty() => input[range.start] ^= 1 << random.below(8),
            1 if !range.is_empty() => input[range.start] = random.below(256) as u8,
            2 => drop(input.drain(range)),
            3 => input.truncate(range.end),
            4 => {
                let again = input[range.clone()].to_vec();
                input.splice(range.end..range.end, again);
            }
            5 => {
                let other = &others[random.below(others.len())];
                let piece = random.range(other.len());
                input.splice(range, other[piece].iter().copied());
            }
            6 => {
                let token = TOKENS[random.below(TOKENS.len())];
                input.splice(range, token.iter().copied());
            }
            _ => {
                let token = TOKENS[random.below(TOKENS.len())];
                input.splice(range.start..range.start, token.iter().copied());
            }
        }
    }
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpora")
        .join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn replay(target: &str, check: fn(&[u8])) {
    let all = env::var("HOLDOVER_MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap());
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{target} has no corpus");
    let inputs: Vec<Vec<u8>> = corpus.iter().map(|(_, input)| input.clone()).collect();
    let each = all.div_ceil(TARGETS * corpus.len());
    for (at, (path, input)) in corpus.iter().enumerate() {
        let mut random = Random(at as u64);
        for number in 0..=each {
            let mut changed = input.clone();
            if number > 0 {
                mutate(&mut random, &mut changed, &inputs);
            }
            if let Err(failure) = catch_unwind(AssertUnwindSafe(|| check(&changed))) {
                let shown = String::from_utf8_lossy(&changed);
                eprintln!(
                    "{target}: mutation {number} of {}:\n{shown}\n{changed:?}",
                    path.display()
                );
                resume_unwind(failure);
            }
        }
    }
}

#[test]
fn sip_streams() {
    replay("sip_stream", sip_stream);
}

#[test]
fn sip_messages() {
    replay("sip_message", sip_message);
}

#[test]
fn xccos_documents() {
    replay("xccos", xccos);
}

#[test]
fn translations() {
    replay("translate", translate);
}

#[test]
fn configurations() {
    replay("config", config);
}

#[test]
fn directories() {
    replay("csv", csv);
}
