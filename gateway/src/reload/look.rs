//! How the files of a configuration look from outside, without reading them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::stamp::Stamp;

/// Everything that is watched, at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    files: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Look {
    /// Looks at `files`, and at the files of the folder `rules`.
    pub(super) fn at(files: &[PathBuf], rules: &Path) -> Self {
        let listed = fs::read_dir(rules).into_iter().flatten().flatten();
        let listed = listed
            .map(|entry| entry.path())
            .filter(|path| path.extension() == Some(OsStr::new("toml")));
        let files = files.iter().cloned().chain(listed);
        let look = |path: PathBuf| {
            let stamp = fs::metadata(&path)
                .ok()
                .map(|metadata| Stamp::of(&metadata));
            (path, stamp)
        };
        Self {
            files: files.map(look).collect(),
        }
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
