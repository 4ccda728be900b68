//! Putting the files of an earlier generation in place again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use holdover_config::{Diagnostics, file};
use jiff::Timestamp;

use super::{Generation, History};
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

/// A way back: the generation, and how the files that are in place differ from it.
#[derive(Debug)]
pub struct Plan {
    /// The generation whose files are to be put in place.
    pub to: Generation,
    /// Whether it is the one in use last: what is in place was never applied.
    pub is_current: bool,
    changes: Vec<Change>,
}

impl Plan {
    /// The way back from the files of the configuration `config` to the generation `number`. Without a number: to the one in use
    /// last if the files say something else, as after an edit that was refused; otherwise to the one before that. What a
    /// rollback brought back counts as the generation that it brought back, so that a second one goes on backwards.
    ///
    /// # Errors
    ///
    /// There is no such generation, or a file cannot be read.
    pub fn new(history: &History, config: &Path, number: Option<u64>) -> Result<Self, Problem> {
        let main = config.file_name().unwrap_or_default();
        let all = history.list()?;
        let Some(number) = number else {
            let ours: Vec<&Generation> = all.iter().filter(|known| is_ours(known, main)).collect();
            let current = *ours.last().ok_or(Problem::NoneBefore)?;
            let changes = changes(history, config, current)?;
            if !changes.is_empty() {
                return Ok(Self {
                    to: current.clone(),
                    is_current: true,
                    changes,
                });
            }
            let to = before(&ours, current).ok_or(Problem::NoneBefore)?;
            return Ok(Self {
                changes: self::changes(history, config, to)?,
                to: to.clone(),
                is_current: false,
            });
        };
        let found = all.iter().find(|known| known.generation == number);
        let to = found.ok_or(Problem::Unknown(number))?;
        if !is_ours(to, main) {
            let name = to.files.first().map(|file| file.file.clone());
            return Err(Problem::OfAnother(number, name.unwrap_or_default()));
        }
        Ok(Self {
            changes: changes(history, config, to)?,
            is_current: all.last().is_some_and(|last| last.generation == number),
            to: to.clone(),
        })
    }

    /// Each file that would change: its name, what it says now and what it would say, if it is there.
    pub fn files(&self) -> impl Iterator<Item = (&str, Option<&[u8]>, Option<&[u8]>)> {
        self.changes.iter().map(|change| {
            (
                change.name.as_str(),
                change.before.as_deref(),
                change.after.as_deref(),
            )
        })
    }
}

/// Puts the files of a generation in place of those of the configuration `config`, as [`Plan::new`] says. Each is replaced at
/// once and keeps its owner and rights, the configuration file last; what came of it is checked, and if it is not right any more
/// everything is put back. Meanwhile no gateway reads.
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
    let _alone = file::alone(config)?;
    let Plan { to, changes, .. } = Plan::new(history, config, number)?;
    let replaced = keep_replaced(history, &changes)?;
    // What is not there any more comes back with the rights of the configuration file.
    let rights = file::Rights::of(config)?;
    let mut done: Vec<&Change> = Vec::new();
    for change in &changes {
        let rights = change.rights.as_ref().or(rights.as_ref());
        if let Err(error) = put(&change.path, change.after.as_deref(), rights) {
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
    history.note_restored(&to)?;
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
#[derive(Debug)]
struct Change {
    name: String,
    path: PathBuf,
    is_main: bool,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    /// Whose it is and who may read it, if it is there.
    rights: Option<file::Rights>,
}

/// How the files in place differ from those of the generation `to`, the configuration file last.
fn changes(history: &History, config: &Path, to: &Generation) -> Result<Vec<Change>, Problem> {
    let folder = config.parent().unwrap_or_else(|| Path::new(""));
    let mut wanted: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    for name in files_of_rules(folder)? {
        wanted.insert(name, None);
    }
    for file in &to.files {
        wanted.insert(file.file.clone(), Some(history.content(file.hash)?));
    }
    let mut changes = Vec::new();
    for (name, after) in wanted {
        let path = folder.join(&name);
        let before = match file::read(&path, file::ROOMS_BYTES) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        if before != after {
            changes.push(Change {
                is_main: path.file_name() == config.file_name() && path.parent() == config.parent(),
                rights: file::Rights::of(&path)?,
                name,
                path,
                before,
                after,
            });
        }
    }
    changes.sort_by_key(|change| change.is_main);
    Ok(changes)
}

fn is_ours(known: &Generation, main: &OsStr) -> bool {
    let file = known.files.first();
    file.is_none_or(|file| *main == *file.file)
}

/// The last generation before `current` that says something else.
fn before<'a>(ours: &[&'a Generation], current: &Generation) -> Option<&'a Generation> {
    // What was brought back has its place where it was before.
    let number = current.restores.unwrap_or(current.generation);
    ours.iter()
        .rev()
        .skip_while(|known| known.generation > number)
        .find(|known| known.hash != current.hash)
        .copied()
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

fn put(path: &Path, content: Option<&[u8]>, rights: Option<&file::Rights>) -> io::Result<()> {
    let Some(content) = content else {
        return fs::remove_file(path);
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)?;
    }
    file::replace_with(path, content, rights)
}

fn put_back(done: &[&Change]) -> io::Result<()> {
    done.iter().rev().try_for_each(|change| {
        put(
            &change.path,
            change.before.as_deref(),
            change.rights.as_ref(),
        )
    })
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
        file::replace(&folder.join(name), before)?;
    }
    Ok(kept)
}
