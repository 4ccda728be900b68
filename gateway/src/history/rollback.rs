//! Putting the files of an earlier generation in place again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use holdover_config::Diagnostics;
use jiff::Timestamp;

use super::{Generation, History, aside, write_whole};
use crate::audit::FileChange;
use crate::hash::Hash;
use crate::reload::Reader;

/// What was put in place.
#[derive(Clone, Debug)]
pub struct RolledBack {
    /// The generation whose files are in place.
    pub to: Generation,
    /// The files that differ from what was there.
    pub files: Vec<FileChange>,
    /// Where files are now that were in no generation and had to go.
    pub replaced: Option<PathBuf>,
}

/// Why nothing was put in place. The files are as they were.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is no such generation.
    #[error("generation {0} is not in the history")]
    Unknown(u64),
    /// It is of another configuration, whose gateway keeps its generations in the same folder.
    #[error("generation {0} is of another configuration, `{1}`")]
    OfAnother(u64, String),
    /// There is nothing before the generation in use.
    #[error("there is no earlier generation that says something else")]
    NoneBefore,
    /// It is not right any more.
    #[error("generation {generation} is not right any more")]
    Faulty {
        /// The generation.
        generation: u64,
        /// What is wrong.
        faults: Diagnostics,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Puts the files of a generation in place of those of the configuration `config`: of the generation `number`, or of the last
/// one that says something else than the one in use. Each is replaced at once, the configuration file last; what came of it
/// is checked, and if it is not right any more everything is put back. Meanwhile no gateway reads.
///
/// # Errors
///
/// Nothing changed.
pub fn rollback(
    history: &History,
    config: &Path,
    number: Option<u64>,
) -> Result<RolledBack, Problem> {
    let _lock = history.lock()?;
    let folder = config.parent().unwrap_or_else(|| Path::new(""));
    let main = config.file_name().unwrap_or_default();
    let all = history.list()?;
    let to = target(&all, number, main)?.clone();

    let mut wanted: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    for name in files_of_rules(folder)? {
        wanted.insert(name, None);
    }
    for file in &to.files {
        wanted.insert(file.file.clone(), Some(history.content(file.hash)?));
    }
    let mut changes = Vec::new();
    for (name, content) in wanted {
        let path = folder.join(&name);
        let before = match fs::read(&path) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if before != content {
            changes.push(Change {
                is_main: path.file_name() == Some(main) && path.parent() == config.parent(),
                name,
                path,
                before,
                after: content,
            });
        }
    }
    changes.sort_by_key(|change| change.is_main);
    let replaced = keep_replaced(history, &changes)?;

    let mut done: Vec<&Change> = Vec::new();
    for change in &changes {
        if let Err(error) = put(&change.path, change.after.as_deref()) {
            put_back(&done)?;
            return Err(error.into());
        }
        done.push(change);
    }
    if let Err(faults) = Reader::new(config).read().version {
        put_back(&done)?;
        return Err(Problem::Faulty {
            generation: to.generation,
            faults,
        });
    }
    let hash = |content: &Option<Vec<u8>>| content.as_deref().map(Hash::of);
    let files = changes.iter().map(|change| FileChange {
        file: change.name.clone(),
        before: hash(&change.before),
        after: hash(&change.after),
    });
    Ok(RolledBack {
        files: files.collect(),
        to,
        replaced,
    })
}

/// A file that is to be another one.
struct Change {
    name: String,
    path: PathBuf,
    is_main: bool,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

fn target<'a>(
    all: &'a [Generation],
    number: Option<u64>,
    main: &OsStr,
) -> Result<&'a Generation, Problem> {
    let file = |known: &'a Generation| known.files.first().map(|file| file.file.as_str());
    let is_ours = |known: &&'a Generation| file(known).is_none_or(|file| *main == *file);
    if let Some(number) = number {
        let found = all.iter().find(|known| known.generation == number);
        let found = found.ok_or(Problem::Unknown(number))?;
        return Some(found)
            .filter(is_ours)
            .ok_or_else(|| Problem::OfAnother(number, file(found).unwrap_or_default().to_owned()));
    }
    let ours = || all.iter().rev().filter(is_ours);
    let current = ours().next().ok_or(Problem::NoneBefore)?;
    let mut before = ours().skip_while(|known| known.hash == current.hash);
    before.next().ok_or(Problem::NoneBefore)
}

/// The files of rules that are there now.
fn files_of_rules(folder: &Path) -> io::Result<Vec<String>> {
    let listed = match fs::read_dir(folder.join("rules.d")) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in listed {
        let name = PathBuf::from(entry?.file_name());
        let is_hidden = name.as_os_str().as_encoded_bytes().starts_with(b".");
        if name.extension() == Some(OsStr::new("toml")) && !is_hidden {
            names.push(Path::new("rules.d").join(name).display().to_string());
        }
    }
    Ok(names)
}

fn put(path: &Path, content: Option<&[u8]>) -> io::Result<()> {
    let Some(content) = content else {
        return fs::remove_file(path);
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)?;
    }
    // A link stays a link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    write_whole(&target, content).inspect_err(|_| {
        let _gone = fs::remove_file(aside(&target, ".new"));
    })
}

fn put_back(done: &[&Change]) -> io::Result<()> {
    done.iter()
        .rev()
        .try_for_each(|change| put(&change.path, change.before.as_deref()))
}

/// Keeps what would be lost: contents that are in no generation, an edit that was rejected perhaps.
fn keep_replaced(history: &History, changes: &[Change]) -> io::Result<Option<PathBuf>> {
    let mut kept = None;
    for change in changes {
        let Some(before) = &change.before else {
            continue;
        };
        if history.content_path(Hash::of(before)).exists() {
            continue;
        }
        let folder = kept.get_or_insert_with(|| {
            let now = Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ").to_string();
            history.folder().join("replaced").join(now)
        });
        fs::create_dir_all(&*folder)?;
        let name = change.name.replace(['/', '\\'], "_");
        write_whole(&folder.join(name), before)?;
    }
    Ok(kept)
}
