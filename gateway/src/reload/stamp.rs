//! Hashes of large files, which are not read again while nothing about them changed.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use holdover_config::file;

use crate::hash::Hash;

/// A file that was written within this time before it was read may be written again without its times moving: file systems
/// tell time coarsely, network shares by two seconds.
const SETTLES_IN: Duration = Duration::from_secs(3);

/// What the file system tells about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// The last change of any kind.
    changed: Option<SystemTime>,
    /// Number of the file and time of its last change of any kind, where there are such.
    inode: [u64; 3],
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            changed: file::last_change(metadata),
            inode: inode(metadata),
        }
    }

    /// When it was written last.
    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Time since the last change of any kind. `None`: it is in the future, by the clock of a network share.
    pub(super) fn age(&self) -> Option<Duration> {
        SystemTime::now().duration_since(self.changed?).ok()
    }

    /// Whether a later change would be sure to show.
    pub(super) fn is_settled(&self) -> bool {
        let age = |time: SystemTime| SystemTime::now().duration_since(time).ok();
        self.modified
            .and_then(age)
            .is_some_and(|age| age > SETTLES_IN)
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> [u64; 3] {
    use std::os::unix::fs::MetadataExt as _;
    let (seconds, nanoseconds) = (metadata.ctime(), metadata.ctime_nsec());
    [
        metadata.ino(),
        seconds.cast_unsigned(),
        nanoseconds.cast_unsigned(),
    ]
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> [u64; 3] {
    [0; 3]
}

/// The hashes of files that were read.
#[derive(Debug, Default)]
pub(super) struct Stamps(HashMap<PathBuf, Known>);

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    settled: bool,
    hash: Hash,
    is_ended: bool,
}

impl Stamps {
    /// Hash of the content of a file, and whether its last line has an end.
    pub(super) fn hash(&mut self, path: &Path) -> io::Result<(Hash, bool)> {
        let stamp = Stamp::of(&fs::metadata(path)?);
        if let Some(known) = self.0.get(path)
            && known.settled
            && known.stamp == stamp
        {
            return Ok((known.hash, known.is_ended));
        }
        let settled = stamp.is_settled();
        let (hash, last) = Hash::of_all(file::open(path, file::ROOMS_BYTES)?)?;
        let is_ended = last.is_none_or(|last| matches!(last, b'\n' | b'\r'));
        let known = Known {
            stamp,
            settled,
            hash,
            is_ended,
        };
        self.0.insert(path.to_owned(), known);
        Ok((hash, is_ended))
    }

    /// Whether a file still is what it was when its hash was taken, as far as the file system tells.
    pub(super) fn is_as_hashed(&self, path: &Path) -> bool {
        let now = fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata));
        match (self.0.get(path), now) {
            (Some(known), Some(now)) => known.stamp == now,
            // It could not be read, and that is told.
            (None, _) => true,
            (Some(_), None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_just_changed_is_read_again_though_nothing_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.csv");
        let mut stamps = Stamps::default();
        assert!(stamps.hash(&path).is_err());
        fs::write(&path, "one").unwrap();
        assert_eq!(stamps.hash(&path).unwrap(), (Hash::of(b"one"), false));
        assert!(stamps.is_as_hashed(&path));
        // The same length, within the same tick, in the same file.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "two").unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(stamps.hash(&path).unwrap(), (Hash::of(b"two"), false));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_settled_is_not_read_while_nothing_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.csv");
        let set_old = || {
            let file = fs::File::options().write(true).open(&path).unwrap();
            let old = SystemTime::now() - Duration::from_secs(60);
            file.set_modified(old).unwrap();
        };
        fs::write(&path, "one").unwrap();
        set_old();
        let mut stamps = Stamps::default();
        let (hash, _) = stamps.hash(&path).unwrap();
        let known = stamps.0.get_mut(&path).unwrap();
        assert!(known.settled);
        // What would be found by reading is not what is known: nobody reads.
        known.hash = Hash::NONE;
        assert_eq!(stamps.hash(&path).unwrap().0, Hash::NONE);
        assert_ne!(hash, Hash::NONE);
        // Replaced by another file, as editors do.
        let other = folder.path().join("rooms.new");
        fs::write(&other, "two").unwrap();
        fs::rename(&other, &path).unwrap();
        set_old();
        assert!(!stamps.is_as_hashed(&path));
        assert_eq!(stamps.hash(&path).unwrap().0, Hash::of(b"two"));
    }
}
