//! Whether the file is as it was written.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use super::chain::{Foreign, Link, read};
use super::log::read_anchor;
use crate::hash::Hash;

/// A file that is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Number of records.
    pub records: u64,
    /// Hash of the last one.
    pub last: Hash,
    /// Whether the file beside it vouches that nothing is missing at the end.
    pub anchored: bool,
}

/// The first record that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its line in the file, from 1.
    pub line: u64,
    /// Why.
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// Goes through the whole file.
///
/// # Errors
///
/// It cannot be read.
pub fn verify(path: &Path) -> io::Result<Result<Verified, Broken>> {
    let known = read_anchor(path);
    let mut file = BufReader::new(File::open(path)?);
    let mut last = Link::START;
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        match next(&line, last) {
            Ok(link) => last = link,
            Err(why) => return Ok(Err(Broken { line: number, why })),
        }
        if let Some(known) = known
            && known.n == last.n
            && known.hash != last.hash
        {
            let why = format!("record {} is not the one that was written last", last.n);
            return Ok(Err(Broken { line: number, why }));
        }
    }
    if let Some(known) = known
        && known.n > last.n
    {
        let why = format!(
            "the file ends, but record {} was written after record {}",
            known.n, last.n
        );
        return Ok(Err(Broken {
            line: number + 1,
            why,
        }));
    }
    Ok(Ok(Verified {
        records: last.n,
        last: last.hash,
        anchored: known.is_some(),
    }))
}

/// The link that `line` is after `last`, or why it is none.
fn next(line: &[u8], last: Link) -> Result<Link, String> {
    let Some((b'\n', line)) = line.split_last() else {
        return Err(
            "the line is not whole: the program ended while it was written, or it was cut"
                .to_owned(),
        );
    };
    let place = read(line).map_err(|foreign| match foreign {
        Foreign::NoRecord => "this is no record".to_owned(),
        Foreign::Changed => "the record was changed: its content does not have its hash".to_owned(),
    })?;
    let n = place.n;
    if let Some(missing) = place.missing {
        return Err(format!("record {n} says: {missing}"));
    }
    if n != last.n + 1 {
        return Err(format!(
            "record {n} stands where record {} belongs",
            last.n + 1
        ));
    }
    if place.previous != last.hash {
        return Err(format!(
            "record {n} was not written after the record before it"
        ));
    }
    Ok(Link {
        n,
        hash: place.hash,
    })
}
