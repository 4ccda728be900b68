//! Adding to the file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdover_config::file;
use jiff::Timestamp;

use super::chain::{Link, Record, read};
use super::{Entry, lock_within};
use crate::hash::Hash;

/// How long another process may have the file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest line that is looked for at the end.
const TAIL: u64 = 4 * 1_024 * 1_024;

/// The file of acts. Nothing is open between two of them: they are rare, and the program is not the only one that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLog {
    path: PathBuf,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Number of the record.
    pub n: u64,
    /// Its hash: kept elsewhere, it vouches for everything up to here.
    pub hash: Hash,
    /// Octets of a line that a crash had cut short and that were removed.
    pub torn: Option<u64>,
    /// What stood before and is gone.
    pub missing: Option<String>,
}

impl AuditLog {
    /// The file `path`, which is made with the first act.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an act. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// It could not be written.
    pub fn record(&self, at: Timestamp, entry: &Entry) -> io::Result<Recorded> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
        let is_new = !self.path.exists();
        let mut file = options.open(&self.path)?;
        if is_new {
            // The gateway adds to it too.
            file::adopt(&file, &self.path)?;
        }
        lock_within(&file, LOCK_TIMEOUT)?;
        let tail = Tail::of(&mut file)?;
        let torn = (tail.torn > 0).then_some(tail.torn);
        if torn.is_some() {
            file.set_len(tail.whole)?;
        }
        let (last, missing) = self.continue_after(tail.last);
        let record = Record {
            n: last.n + 1,
            at: at.to_string(),
            entry,
            torn,
            missing,
            previous: last.hash,
        };
        let (line, hash) = record.line()?;
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        let n = record.n;
        // Behind by one after a crash in between, never ahead.
        file::replace(&anchor(&self.path), &serde_json::to_vec(&Link { n, hash })?)?;
        Ok(Recorded {
            n,
            hash,
            torn,
            missing: record.missing,
        })
    }

    /// After which record to go on, and what is missing there.
    fn continue_after(&self, last: Option<Link>) -> (Link, Option<String>) {
        let known = read_anchor(&self.path);
        let Some(last) = last else {
            let n = known.map_or(0, |known| known.n);
            let link = Link { n, ..Link::START };
            return (
                link,
                Some("the line before this one is no record".to_owned()),
            );
        };
        match known {
            Some(known) if known.n > last.n => {
                let missing = match known.n - last.n {
                    1 => format!("record {} was written and is gone", known.n),
                    _ => format!(
                        "records {} to {} were written and are gone",
                        last.n + 1,
                        known.n
                    ),
                };
                let hash = last.hash;
                (Link { n: known.n, hash }, Some(missing))
            }
            Some(known) if known.n == last.n && known.hash != last.hash => {
                let missing = format!("record {} was another when it was written", last.n);
                (last, Some(missing))
            }
            _ => (last, None),
        }
    }
}

/// The end of the file.
struct Tail {
    /// The last whole record; none if the last whole line is something else.
    last: Option<Link>,
    /// Octets up to the end of the last whole line.
    whole: u64,
    /// Octets after it.
    torn: u64,
}

impl Tail {
    fn of(file: &mut File) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        let start = length.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let after_last_line = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map(|at| at + 1);
        let whole_bytes = bytes
            .get(..after_last_line.unwrap_or(0))
            .unwrap_or_default();
        let torn = (bytes.len() - whole_bytes.len()) as u64;
        let whole = length - torn;
        let last = match whole_bytes.split_last() {
            None if start == 0 => Some(Link::START),
            None => None,
            Some((_, lines)) => {
                let line = lines.rsplit(|&byte| byte == b'\n').next();
                let place = line.and_then(|line| read(line).ok());
                place.map(|place| Link {
                    n: place.n,
                    hash: place.hash,
                })
            }
        };
        Ok(Self { last, whole, torn })
    }
}

/// The file beside it that says which record is the last, so that lines missing at the end are noticed.
pub(super) fn anchor(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".last");
    name.into()
}

pub(super) fn read_anchor(path: &Path) -> Option<Link> {
    serde_json::from_slice(&file::read(&anchor(path), 4_096).ok()?).ok()
}
