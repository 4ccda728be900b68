//! From files or a text to settings.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::{self, RuleFiles, Unread};
use crate::diagnostic::{Diagnostic, Diagnostics, Source};
use crate::environment::{FileUse, unreadable};
use crate::file::{self, without_mark};
use crate::raw;
use crate::rulefile::{self, RuleFile, UserList};
use crate::rules::Case;
use crate::settings::Settings;

/// The folder of files with rules, beside the configuration.
const RULES_FOLDER: &str = "rules.d";

/// Settings that can be used: those of the gateway, or of another program that has a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T = Settings> {
    /// The settings.
    pub settings: T,
    /// What is odd about them. Has no errors.
    pub warnings: Diagnostics,
    /// The files that they name, for [`check_environment`](crate::check_environment).
    pub(crate) files: Vec<FileUse>,
    /// The files that hold rules, for what is told about these.
    pub(crate) rule_files: Vec<Arc<RuleFile>>,
    pub(crate) tests: Vec<Arc<Case>>,
}

impl<T> Loaded<T> {
    /// The test cases of the rules, in the order of the files.
    #[must_use]
    pub fn tests(&self) -> &[Arc<Case>] {
        &self.tests
    }
}

/// Reads and checks the configuration file `path`, and the files of rules in the folder `rules.d` beside it, in the order of
/// their names. Relative paths start at the folder of `path`.
///
/// Of the other files that it names only those that list users of rules are read: [`check_environment`](crate::check_environment)
/// looks at the rest.
///
/// # Errors
/// All faults, if at least one is an error, with the warnings among them.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    Loader::new().load(path)
}

/// Loads a configuration again and again. What did not change since is not read anew.
#[derive(Debug, Default)]
pub struct Loader {
    rules: HashMap<PathBuf, (String, Arc<RuleFile>)>,
    users: HashMap<PathBuf, (String, Arc<UserList>)>,
    /// The configuration file and the files of rules of the last load, in the order in which they were read.
    read: Vec<PathBuf>,
}

/// A file that [`Loader::load`] read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceFile<'l> {
    /// Where it is.
    pub path: &'l Path,
    /// What it says, with the byte order mark if there is one.
    pub text: &'l str,
    /// What it is.
    pub kind: SourceKind,
}

/// What a [`SourceFile`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// The configuration file.
    Main,
    /// A file of rules.
    Rules,
    /// A list of users whom a rule concerns.
    Users,
}

impl Loader {
    /// Has read nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`load`].
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&mut self, path: &Path) -> Result<Loaded, Diagnostics> {
        self.read.clear();
        let text = read_text(path)?;
        self.read.push(path.to_path_buf());
        let base = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        let name = path.display().to_string();
        let before = self.rules.get(path).map(|(_, file)| &**file);
        let (raw, mut faults, main) =
            rulefile::read::<raw::Root>(&name, without_mark(&text), before);
        let main = Arc::new(main);
        let mut rules = RuleFiles {
            files: vec![Arc::clone(&main)],
            users: HashMap::new(),
        };
        let mut read = HashMap::new();
        for path in rule_files(&base, &mut faults) {
            match self.rule_file(&path) {
                Ok((text, file)) => {
                    rules.files.push(Arc::clone(&file));
                    self.read.push(path.clone());
                    read.insert(path, (text, file));
                }
                Err(fault) => faults.push(fault),
            }
        }
        self.users(&base, &mut rules);
        let source = Source::new(name, without_mark(&text));
        let loaded = finish(raw.as_ref(), &source, &base, faults, rules);
        read.insert(path.to_path_buf(), (text, main));
        self.rules = read;
        loaded
    }

    /// The files that the last [`Loader::load`] read, as far as they could be read: the configuration file, the files of rules,
    /// the lists of users that these name.
    pub fn sources(&self) -> impl Iterator<Item = SourceFile<'_>> {
        let rules = self.read.iter().enumerate().filter_map(|(at, path)| {
            let (text, _) = self.rules.get(path)?;
            let kind = if at == 0 {
                SourceKind::Main
            } else {
                SourceKind::Rules
            };
            Some(SourceFile { path, text, kind })
        });
        let mut users: Vec<_> = self.users.iter().collect();
        users.sort_by_key(|(path, _)| *path);
        let users = users.into_iter().map(|(path, (text, _))| SourceFile {
            path,
            text,
            kind: SourceKind::Users,
        });
        rules.chain(users)
    }

    fn rule_file(&mut self, path: &Path) -> Result<(String, Arc<RuleFile>), Diagnostic> {
        let text = read_text(path)?;
        if let Some((_, file)) = self.rules.get(path).filter(|(before, _)| *before == text) {
            return Ok((text, Arc::clone(file)));
        }
        let before = self.rules.get(path).map(|(_, file)| &**file);
        let file = RuleFile::parse_again(&path.display().to_string(), without_mark(&text), before);
        Ok((text, Arc::new(file)))
    }

    /// Reads the files of users that the rules name.
    fn users(&mut self, base: &Path, rules: &mut RuleFiles) {
        let mut read = HashMap::new();
        for path in rules.files.iter().flat_map(|file| check::user_files(file)) {
            let path = path.within(base);
            if rules.users.contains_key(&path) {
                continue;
            }
            let list = match file::read_text(&path) {
                Ok(text) => {
                    let list = match self.users.get(&path) {
                        Some((before, list)) if *before == text => Arc::clone(list),
                        _ => Arc::new(UserList::parse(&path.display().to_string(), &text)),
                    };
                    read.insert(path.clone(), (text, Arc::clone(&list)));
                    Ok(list)
                }
                Err(error) => Err(Unread::of(&error)),
            };
            rules.users.insert(path, list);
        }
        self.users = read;
    }
}

/// The files of rules beside a configuration, in the order in which they are read.
fn rule_files(base: &Path, faults: &mut Diagnostics) -> Vec<PathBuf> {
    let folder = base.join(RULES_FOLDER);
    // An empty path is no folder that can be listed.
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            faults.push(unreadable(&folder, &error));
            return Vec::new();
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => {
                let path = entry.path();
                let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                if path.extension() == Some(OsStr::new("toml")) && !is_hidden {
                    files.push(path);
                }
            }
            Err(error) => faults.push(unreadable(&folder, &error)),
        }
    }
    files.sort();
    files
}

/// The settings, or all faults.
fn finish(
    raw: Option<&raw::Root>,
    source: &Source<'_>,
    base: &Path,
    mut faults: Diagnostics,
    rules: RuleFiles,
) -> Result<Loaded, Diagnostics> {
    match raw {
        Some(raw) => check::check(raw, source, base, faults, rules),
        None => {
            for file in &rules.files {
                faults.append(file.faults());
            }
            faults.sort();
            Err(faults)
        }
    }
}

/// Reads the file `path` and has it parsed, relative paths starting at its folder.
pub(crate) fn load_by<T>(
    path: &Path,
    parse: fn(&str, &str, &Path) -> Result<Loaded<T>, Diagnostics>,
) -> Result<Loaded<T>, Diagnostics> {
    let text = read_text(path)?;
    let base = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    parse(&path.display().to_string(), without_mark(&text), &base)
}

/// Checks the configuration `text`, known to people as `name`. Relative paths in it start at `base`. Pure: no file is read, so
/// there are no rules but its own, and nobody stands in the files of users that these name.
///
/// # Errors
/// All faults, if at least one is an error, with the warnings among them.
pub fn parse(name: &str, text: &str, base: &Path) -> Result<Loaded, Diagnostics> {
    parse_with(name, text, &[], base)
}

/// As [`parse`], with files of rules that were read.
///
/// # Errors
/// As [`parse`].
pub fn parse_with(
    name: &str,
    text: &str,
    rules: &[Arc<RuleFile>],
    base: &Path,
) -> Result<Loaded, Diagnostics> {
    let (raw, faults, main) = rulefile::read::<raw::Root>(name, text, None);
    let files = std::iter::once(Arc::new(main)).chain(rules.iter().cloned());
    let rules = RuleFiles {
        files: files.collect(),
        users: HashMap::new(),
    };
    let source = Source::new(name, text);
    finish(raw.as_ref(), &source, base, faults, rules)
}

/// The text of the file `path`, or why it cannot be had. A byte order mark stays where it is.
pub(crate) fn read_text(path: &Path) -> Result<String, Diagnostic> {
    file::read_text(path).map_err(|error| {
        let fault = unreadable(path, &error);
        match error.kind() {
            io::ErrorKind::InvalidData => fault.help("save the file as UTF-8"),
            _ => fault,
        }
    })
}
