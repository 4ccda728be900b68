//! How the files of a configuration look from outside, without reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::stamp::Stamp;

/// Pause between two looks at files that may still change.
const PAUSE: Duration = Duration::from_millis(20);

/// Everything that is watched, at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    files: BTreeMap<PathBuf, Option<Stamp>>,
    /// The folder of rules, which shows when a file of it is gone.
    rules: Option<Stamp>,
}

impl Look {
    /// Looks at `files`, and at the files of the folder `rules`.
    pub(super) fn at(files: &[PathBuf], rules: &Path) -> Self {
        let listed = fs::read_dir(rules).into_iter().flatten().flatten();
        let listed = listed
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some(OsStr::new("toml")));
        let files = files.iter().cloned().chain(listed);
        let stamp = |path: &Path| {
            let metadata = fs::metadata(path).ok();
            metadata.map(|metadata| Stamp::of(&metadata))
        };
        let look = |path: PathBuf| {
            let stamp = stamp(&path);
            (path, stamp)
        };
        Self {
            files: files.map(look).collect(),
            rules: stamp(rules),
        }
    }

    /// Waits until nothing has changed for `settle`, by the times of the files or by watching them for so long. `None`: it went
    /// on changing. Blocks.
    pub(super) fn settled(
        files: &[PathBuf],
        rules: &Path,
        settle: Duration,
        until: Instant,
    ) -> Option<Self> {
        let mut look = Self::at(files, rules);
        let mut since = Instant::now();
        loop {
            let watched = since.elapsed();
            let age = look.age().unwrap_or_default().max(watched);
            let Some(left) = settle.checked_sub(age).filter(|left| !left.is_zero()) else {
                return Some(look);
            };
            if Instant::now() >= until {
                return None;
            }
            sleep(left.min(PAUSE));
            let now = Self::at(files, rules);
            if now != look {
                look = now;
                since = Instant::now();
            }
        }
    }

    /// Time since the last change of any of it. `None`: it is in the future.
    fn age(&self) -> Option<Duration> {
        let stamps = self.files.values().chain([&self.rules]).flatten();
        let ages: Option<Vec<Duration>> = stamps.map(Stamp::age).collect();
        Some(ages?.into_iter().min().unwrap_or(Duration::MAX))
    }

    /// Whether something could change without showing: it changed a moment ago.
    pub(super) fn is_fresh(&self) -> bool {
        self.files
            .values()
            .flatten()
            .any(|stamp| !stamp.is_settled())
    }

    /// The file that changed last since `before`; none if it is gone.
    pub(super) fn newest_since(&self, before: &Self) -> Option<&Path> {
        let changed = self
            .files
            .iter()
            .filter(|(path, stamp)| before.files.get(*path) != Some(*stamp));
        let present = changed.filter_map(|(path, stamp)| Some((path, stamp.as_ref()?)));
        let newest =
            present.max_by_key(|(_, stamp)| stamp.modified().unwrap_or(SystemTime::UNIX_EPOCH));
        newest.map(|(path, _)| path.as_path())
    }

    /// The folders in which a change of these files shows: those they are in, those they are linked into, and the folders of
    /// these, which tell when a folder itself is replaced.
    pub(super) fn folders(&self, rules: &Path) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        let mut add = |folder: &Path| {
            // What is not there yet shows where it would be made.
            let there = folder
                .ancestors()
                .map(or_here)
                .find(|folder| folder.is_dir());
            if let Some(folder) = there {
                if let Some(parent) = folder.parent() {
                    folders.insert(or_here(parent).to_owned());
                }
                folders.insert(folder.to_owned());
            }
        };
        add(rules);
        for path in self.files.keys() {
            let target = fs::canonicalize(path).ok();
            for path in [Some(path.as_path()), target.as_deref()]
                .into_iter()
                .flatten()
            {
                if let Some(folder) = path.parent() {
                    add(folder);
                }
            }
        }
        folders
    }
}

/// The empty path is no folder that can be watched.
fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}
