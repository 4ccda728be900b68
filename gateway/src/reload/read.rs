//! Reading and checking everything that a configuration names: `holdover check`, the start and every reload do it here, so
//! that they always agree.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdover_config::settings::{
    Directory as DirectorySettings, Fixed, Peers, PoolKind, Security, SignIn,
};
use holdover_config::{
    Diagnostic, Diagnostics, Domain, Loaded, Loader, PoolName, Settings, Severity, SourceKind,
    Users, check_environment, file,
};

use super::stamp::Stamps;
use crate::directory::{self, Directory};
use crate::hash::Hash;
use crate::pool::embedded;
use crate::pool::sip::check_tls;
use crate::transport::tls::{Acceptor, TlsError};

/// Stable code of files that no TLS can be made of.
const UNUSABLE_CERTIFICATE: &str = "HT001";
/// Stable code of a database that a pool cannot use.
const UNUSABLE_DATABASE: &str = "HT007";

/// Stable code of users of a domain that is not served.
const FOREIGN_USERS: &str = "HT008";

/// Stable code of files that do not stop changing.
pub(super) const CHANGING: &str = "HT002";

/// How often files are read again because they changed while they were read.
const TRIES: usize = 5;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// The configuration file.
    Main,
    /// A file of rules.
    Rules,
    /// A list of users whom rules concern.
    RuleUsers,
    /// A file of rooms.
    Rooms,
    /// Users and what their passwords hash to: never copied, and its hash never told.
    Users,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path as seen from the folder of the configuration.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Hash of its content.
    pub hash: Hash,
    /// Whether its last line has an end.
    pub is_ended: bool,
}

/// What [`Amount::what`] calls the rules of a file.
pub(super) const RULES: &str = "rules";

/// How much there is of something of which little may be left when a file is cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    /// What is counted: "rooms", "users" or "rules".
    pub what: &'static str,
    /// In which file, as people know it.
    pub file: String,
    /// How many.
    pub number: usize,
}

/// Everything that was read at one time, found right.
#[derive(Clone, Debug)]
pub struct Version {
    /// The settings.
    pub settings: Settings,
    /// The rooms.
    pub directory: Arc<Directory>,
    /// How long it took to read them, whenever that was.
    pub directory_took: Duration,
    /// The users, by their file.
    pub users: HashMap<PathBuf, Arc<Users>>,
    /// The files, the configuration file first.
    pub files: Vec<ReadFile>,
    /// How many rooms there are, users in each file of users, and rules in each file of rules.
    pub amounts: Vec<Amount>,
    /// Text of the configuration file, without a byte order mark.
    pub text: Arc<str>,
    /// What is odd.
    pub warnings: Diagnostics,
}

impl Version {
    /// Hash of all files but those that are secret: equal for versions that say the same.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut list = String::new();
        for file in self.open_files() {
            list.push_str(&format!("{} {}\n", file.hash, file.name));
        }
        Hash::of(list.as_bytes())
    }

    /// The files that are not secret.
    pub fn open_files(&self) -> impl Iterator<Item = &ReadFile> {
        self.files
            .iter()
            .filter(|file| file.kind != FileKind::Users)
    }
}

/// What a read came to: the files that were found, and what they make.
#[derive(Debug)]
pub struct Read {
    /// The files as far as they could be read.
    pub files: Vec<ReadFile>,
    /// Files that are named, whether or not they are there.
    pub named: Vec<PathBuf>,
    /// The settings by themselves, if they are right.
    pub loaded: Option<Loaded>,
    /// The version, or every fault of every file.
    pub version: Result<Version, Diagnostics>,
}

/// Reads a configuration again and again. What did not change since is not read anew.
#[derive(Debug)]
pub struct Reader {
    config: PathBuf,
    loader: Loader,
    stamps: Stamps,
    directory: Option<KnownDirectory>,
}

#[derive(Debug)]
struct KnownDirectory {
    settings: DirectorySettings,
    pools: Vec<PoolName>,
    files: Vec<Hash>,
    directory: Arc<Directory>,
    took: Duration,
}

impl Reader {
    /// Of the configuration file `config`.
    pub fn new(config: impl Into<PathBuf>) -> Self {
        Self {
            config: config.into(),
            loader: Loader::new(),
            stamps: Stamps::default(),
            directory: None,
        }
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The folder of files of rules.
    #[must_use]
    pub fn rules_folder(&self) -> PathBuf {
        let folder = self.config.parent().unwrap_or_else(|| Path::new(""));
        folder.join("rules.d")
    }

    /// Reads and checks everything. Blocks.
    pub fn read(&mut self) -> Read {
        for _ in 1..TRIES {
            if let Some(read) = self.try_read() {
                return read;
            }
        }
        // Somebody writes all the time: what comes of it is right by itself, and the next change is seen.
        self.try_read().unwrap_or_else(|| Read {
            files: Vec::new(),
            named: Vec::new(),
            loaded: None,
            version: Err(Diagnostic::whole_file(
                Severity::Error,
                CHANGING,
                self.config.display().to_string(),
                "the files change faster than they can be read",
            )
            .into()),
        })
    }

    /// `None`: a file changed while it was read.
    fn try_read(&mut self) -> Option<Read> {
        let loaded = self.loader.load(&self.config);
        let mut files = Vec::new();
        let mut text = Arc::default();
        let mut amounts = Vec::new();
        for source in self.loader.sources() {
            let kind = match source.kind {
                SourceKind::Main => FileKind::Main,
                SourceKind::Rules => FileKind::Rules,
                SourceKind::Users => FileKind::RuleUsers,
            };
            if kind == FileKind::Main {
                text = file::without_mark(source.text).into();
            }
            if kind == FileKind::RuleUsers {
                amounts.push(Amount {
                    what: "users",
                    file: source.path.display().to_string(),
                    number: source
                        .text
                        .split(['\n', '\r'])
                        .filter(|line| is_entry(line))
                        .count(),
                });
            }
            files.push(self.text_file(source.path.to_owned(), kind, source.text));
        }
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(faults) => {
                return Some(Read {
                    files,
                    named: vec![self.config.clone()],
                    loaded: None,
                    version: Err(faults),
                });
            }
        };
        let named = std::iter::once(self.config.as_path())
            .chain(users_files(&loaded.settings.fixed))
            .chain(
                loaded
                    .settings
                    .live
                    .directory
                    .rooms
                    .iter()
                    .map(PathBuf::as_path),
            )
            .map(Path::to_path_buf)
            .collect();
        let mut found = loaded.warnings.clone();
        found.append(check_environment(&loaded));
        // Files that are not there were told already.
        if !found.has_errors() {
            check_parts(&loaded.settings.fixed, &mut found);
        }
        let users = self.users(&loaded, &mut files);
        for (path, users) in &users {
            found.append(foreign(path, users, &loaded.settings.fixed.gateway.domain));
        }
        let directory = self.directory(&loaded.settings, &mut files, &mut found)?;
        let (Some((directory, directory_took)), false) = (directory, found.has_errors()) else {
            return Some(Read {
                files,
                named,
                loaded: Some(loaded),
                version: Err(found),
            });
        };
        amounts.push(Amount {
            what: "rooms",
            file: self.config.display().to_string(),
            number: directory.rooms(),
        });
        amounts.extend(users.iter().map(|(path, users)| Amount {
            what: "users",
            file: path.display().to_string(),
            number: users.len(),
        }));
        let mut of_file: HashMap<&str, usize> = HashMap::new();
        for rule in &loaded.settings.live.rules {
            *of_file.entry(&rule.place.file).or_default() += 1;
        }
        for file in &files {
            if matches!(file.kind, FileKind::Main | FileKind::Rules) {
                let name = file.path.display().to_string();
                amounts.push(Amount {
                    what: RULES,
                    number: of_file.get(name.as_str()).copied().unwrap_or_default(),
                    file: name,
                });
            }
        }
        let version = Version {
            amounts,
            settings: loaded.settings.clone(),
            directory,
            directory_took,
            users,
            files: files.clone(),
            text,
            warnings: found,
        };
        Some(Read {
            files,
            named,
            loaded: Some(loaded),
            version: Ok(version),
        })
    }

    /// The users of every listener. What is wrong with a file was told when the environment was checked.
    fn users(&self, loaded: &Loaded, files: &mut Vec<ReadFile>) -> HashMap<PathBuf, Arc<Users>> {
        let mut all = HashMap::new();
        for path in users_files(&loaded.settings.fixed) {
            if all.contains_key(path) {
                continue;
            }
            let Ok(text) = file::read_text(path) else {
                continue;
            };
            files.push(self.text_file(path.to_owned(), FileKind::Users, &text));
            if let Ok(users) = Users::parse(&path.display().to_string(), &text) {
                all.insert(path.to_owned(), Arc::new(users));
            }
        }
        all
    }

    /// The rooms: those of the last time, if their files say the same. `None`: a file changed meanwhile.
    fn directory(
        &mut self,
        settings: &Settings,
        files: &mut Vec<ReadFile>,
        found: &mut Diagnostics,
    ) -> Option<Option<(Arc<Directory>, Duration)>> {
        let pools: Vec<PoolName> = settings
            .fixed
            .pools
            .iter()
            .map(|pool| pool.name.clone())
            .collect();
        let settings = &settings.live.directory;
        let mut hashes = Vec::new();
        for path in &settings.rooms {
            match self.stamps.hash(path) {
                Ok((hash, is_ended)) => {
                    hashes.push(hash);
                    files.push(self.file(path.clone(), FileKind::Rooms, hash, is_ended));
                }
                // That it is missing was told with the environment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(None),
                Err(_) => {}
            }
        }
        if let Some(known) = &self.directory
            && known.settings == *settings
            && known.pools == pools
            && known.files == hashes
        {
            return Some(Some((Arc::clone(&known.directory), known.took)));
        }
        let begun = Instant::now();
        let loaded = directory::load(settings, &pools);
        let took = begun.elapsed();
        if !settings
            .rooms
            .iter()
            .all(|path| self.stamps.is_as_hashed(path))
        {
            return None;
        }
        let directory = match loaded {
            Ok(rooms) => Arc::new(Directory::new(rooms)),
            Err(faults) => {
                found.append(faults);
                return Some(None);
            }
        };
        self.directory = Some(KnownDirectory {
            settings: settings.clone(),
            pools,
            files: hashes,
            directory: Arc::clone(&directory),
            took,
        });
        Some(Some((directory, took)))
    }

    fn text_file(&self, path: PathBuf, kind: FileKind, text: &str) -> ReadFile {
        let is_ended = text.is_empty() || text.ends_with(['\n', '\r']);
        self.file(path, kind, Hash::of(text.as_bytes()), is_ended)
    }

    fn file(&self, path: PathBuf, kind: FileKind, hash: Hash, is_ended: bool) -> ReadFile {
        let folder = self.config.parent().unwrap_or_else(|| Path::new(""));
        let name = path.strip_prefix(folder).unwrap_or(&path);
        ReadFile {
            name: name.display().to_string(),
            path,
            kind,
            hash,
            is_ended,
        }
    }
}

/// What is odd about a file with users who cannot sign in.
fn foreign(path: &Path, users: &Users, domain: &Domain) -> Diagnostics {
    let Some((user, number)) = users.foreign(domain) else {
        return Diagnostics::new();
    };
    let others = match number {
        1 => String::new(),
        _ => format!(" and {} more", number - 1),
    };
    let message = format!(
        "`{}`{others} cannot sign in: this gateway serves `{domain}` alone",
        user.address()
    );
    let file = path.display().to_string();
    Diagnostic::whole_file(Severity::Warning, FOREIGN_USERS, file, message)
        .help("users of other domains are refused whatever their password; `domain` in `[gateway]` is the one that is served")
        .into()
}

/// Whether a line of a list of users names one, as far as counting goes.
fn is_entry(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    !line.is_empty() && !line.starts_with('#')
}

/// The files of users that listeners name.
fn users_files(fixed: &Fixed) -> impl Iterator<Item = &Path> {
    fixed
        .listeners
        .iter()
        .filter_map(|listener| match &listener.peers {
            Peers::Clients {
                sign_in: SignIn::Digest { users, .. },
                ..
            } => Some(users.as_path()),
            Peers::Clients { .. } | Peers::FrontEnds(_) => None,
        })
}

/// Whether everything that a listener or pool needs of its files can be made of them: tried by the code with which the
/// gateway starts.
fn check_parts(fixed: &Fixed, found: &mut Diagnostics) {
    for listener in &fixed.listeners {
        if let Err(error) = Acceptor::of(&listener.peers) {
            found.push(unusable(
                &format!("the listener `{}`", listener.name),
                &error,
            ));
        }
    }
    for pool in &fixed.pools {
        let name = format!("the pool `{}`", pool.name);
        match &pool.kind {
            PoolKind::Sip(sip) => {
                if let Security::Tls(tls) = &sip.security
                    && let Err(error) = check_tls(tls)
                {
                    found.push(unusable(&name, &error));
                }
            }
            PoolKind::Embedded(embedded) => {
                if let Err(error) = embedded::check(&embedded.database) {
                    let file = embedded.database.display().to_string();
                    let error = anyhow::Error::new(error);
                    let message = format!("{name} cannot use its database: {error:#}");
                    found.push(Diagnostic::whole_file(
                        Severity::Error,
                        UNUSABLE_DATABASE,
                        file,
                        message,
                    ));
                }
            }
        }
    }
}

/// Each file may be fine, but no TLS can be made of them: the gateway would refuse to start.
fn unusable(whose: &str, error: &TlsError) -> Diagnostic {
    let (file, help) = match error {
        TlsError::Read { path, .. } | TlsError::Pem { path, .. } => (
            path.display().to_string(),
            "give a readable file in PEM form",
        ),
        TlsError::NoCertificate(path) => (
            path.display().to_string(),
            "give a file with a certificate in PEM form",
        ),
        TlsError::Pair { certificate, .. } => (
            certificate.display().to_string(),
            "give the private key that the certificate was made for",
        ),
        TlsError::Root { path, .. } => (
            path.display().to_string(),
            "give the certificates of the authorities that are to be trusted",
        ),
        TlsError::Name(name) => (name.to_string(), "write a DNS name or an IP address"),
    };
    let mut causes = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        causes.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    let message = format!("{whose} cannot use TLS: {causes}");
    Diagnostic::whole_file(Severity::Error, UNUSABLE_CERTIFICATE, file, message).help(help)
}
