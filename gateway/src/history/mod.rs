//! The generations of the configuration that were in use: what they said, when they came, and who brought them.
//!
//! A folder holds the content of every file once, under its hash, and an index that says which generation is made of which:
//! a line of JSON for each. Lines are added, so that a reload writes little: what it writes keeps a pool on the same disk waiting.
//! Keys, certificates and users are not in it. The folder's lock is held by whoever changes the files of a configuration as
//! a whole, so that nobody reads half of it.

mod diff;
mod rollback;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdover_config::file;
use holdover_config::settings::History as Settings;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use diff::diff;
pub use rollback::{Plan, Problem, RolledBack, rollback};

use crate::audit::lock_within;
use crate::hash::Hash;
use crate::reload::{ReadFile, Version};

/// How long another process may keep the folder locked.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Largest index, in octets, whoever wrote it.
const INDEX_BYTES: u64 = 64 * 1_024 * 1_024;

/// Name of the file that says where the running gateway's admin server answers.
const ADMIN: &str = "admin";

/// Name of the file that says what a rollback put in place.
const RESTORED: &str = "restored";

/// A generation that was in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number.
    pub generation: u64,
    /// When it came.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// Who brought it.
    pub who: String,
    /// Its hash.
    pub hash: Hash,
    /// What it is made of, the configuration file first.
    pub files: Vec<KeptFile>,
    /// The generation whose files a rollback had put in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
}

/// Times as RFC 3339 writes them.
mod rfc3339 {
    use std::borrow::Cow;

    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        at: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Which generation's files a rollback put in place.
#[derive(Debug, Serialize, Deserialize)]
struct Restored {
    generation: u64,
    hash: Hash,
}

/// A file of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// Its path as seen from the folder of the configuration.
    pub file: String,
    /// Hash of its content.
    pub hash: Hash,
}

impl Generation {
    /// That of a version that is in use.
    #[must_use]
    pub fn new(generation: u64, at: Timestamp, who: String, version: &Version) -> Self {
        let kept = |file: &ReadFile| KeptFile {
            file: file.name.clone(),
            hash: file.hash,
        };
        Self {
            generation,
            at,
            who,
            hash: version.hash(),
            files: version.open_files().map(kept).collect(),
            restores: None,
        }
    }

    /// Hash of one of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<Hash> {
        let found = self.files.iter().find(|file| file.file == name);
        found.map(|file| file.hash)
    }
}

/// The folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    folder: PathBuf,
    keep: usize,
}

impl History {
    /// As the settings say.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            folder: settings.folder.clone(),
            keep: settings.keep,
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps everybody else from the files of the configuration, as long as the answer lives.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or written, or somebody else does not give it back.
    pub fn lock(&self) -> io::Result<File> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let path = self.folder.join("lock");
        let file = options.open(&path)?;
        // A gateway that is not root's has to be able to lock it as well.
        file::adopt(&file, &path)?;
        lock_within(&file, LOCK_TIMEOUT)?;
        Ok(file)
    }

    /// The generations, the oldest first.
    ///
    /// # Errors
    ///
    /// The index cannot be read. That there is none is no error.
    pub fn list(&self) -> io::Result<Vec<Generation>> {
        let path = self.index();
        let content = match file::read(&path, INDEX_BYTES) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let all: Vec<&[u8]> = whole_lines(&content).collect();
        let kept = all.get(all.len().saturating_sub(self.keep)..);
        let kept = kept.unwrap_or_default().iter();
        kept.map(|line| Ok(serde_json::from_slice(line)?)).collect()
    }

    /// The number under which a version with this hash begins to be used: that of the last generation if it says the same,
    /// else the next one. Numbers go on from start to start.
    ///
    /// # Errors
    ///
    /// As [`History::list`].
    pub fn number_at_start(&self, hash: Hash) -> io::Result<u64> {
        Ok(match self.list()?.last() {
            Some(last) if last.hash == hash => last.generation,
            Some(last) => last.generation + 1,
            None => 1,
        })
    }

    /// Keeps a generation, and forgets the oldest ones if there are twice as many as are wanted.
    ///
    /// # Errors
    ///
    /// Something cannot be read or written, a file changed since it was read, or another gateway uses the folder.
    pub fn keep(&self, mut generation: Generation, files: &[ReadFile]) -> io::Result<()> {
        let _lock = self.lock()?;
        generation.restores = self.take_restored(generation.hash);
        let content = match file::read(&self.index(), INDEX_BYTES) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let last = whole_lines(&content).last();
        let last: Option<Generation> = last.map(serde_json::from_slice).transpose()?;
        if let Some(last) = last {
            if last.generation == generation.generation && last.hash == generation.hash {
                return Ok(());
            }
            if last.generation >= generation.generation {
                // Ours has a number that is taken.
                return Err(io::Error::other(
                    "another gateway keeps its generations in this folder: give each its own `folder` in `[history]`",
                ));
            }
        }
        fs::create_dir_all(self.folder.join("files"))?;
        for file in files
            .iter()
            .filter(|file| generation.file(&file.name) == Some(file.hash))
        {
            self.keep_file(file)?;
        }
        let is_torn = content.last().is_some_and(|last| *last != b'\n');
        let is_long = whole_lines(&content).count() >= self.keep.saturating_mul(2);
        if !is_torn && !is_long {
            return add(&self.index(), &line(&generation)?);
        }
        let mut all = self.list()?;
        all.push(generation);
        let forgotten = all.len().saturating_sub(self.keep);
        all.drain(..forgotten);
        let lines: Vec<Vec<u8>> = all.iter().map(line).collect::<Result<_, _>>()?;
        file::replace(&self.index(), &lines.concat())?;
        self.forget_files(&all);
        Ok(())
    }

    /// The content of a file of a generation.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is not what it was.
    pub fn content(&self, hash: Hash) -> io::Result<Vec<u8>> {
        let path = self.content_path(hash);
        let content = file::read(&path, file::ROOMS_BYTES)?;
        if Hash::of(&content) != hash {
            let message = format!("{} was changed", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(content)
    }

    /// Says where the admin server of the gateway that uses this folder answers, for commands: the configuration may say something
    /// else by the time they ask.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn announce(&self, admin: SocketAddr) -> io::Result<()> {
        let _lock = self.lock()?;
        file::replace(&self.folder.join(ADMIN), admin.to_string().as_bytes())
    }

    /// Where the admin server answers, if its gateway has not ended in good order.
    #[must_use]
    pub fn announced(&self) -> Option<SocketAddr> {
        let content = file::read(&self.folder.join(ADMIN), 128).ok()?;
        let mut address: SocketAddr = str::from_utf8(&content).ok()?.trim().parse().ok()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(address)
    }

    /// The admin server answers no more.
    pub fn withdraw(&self) {
        let _stays = fs::remove_file(self.folder.join(ADMIN));
    }

    /// Notes that a rollback puts the files of `to` in place, so that the generation that comes of it is known for one.
    fn note_restored(&self, to: &Generation) -> io::Result<()> {
        let restored = Restored {
            generation: to.restores.unwrap_or(to.generation),
            hash: to.hash,
        };
        file::replace(&self.folder.join(RESTORED), &serde_json::to_vec(&restored)?)
    }

    /// The generation whose files were put in place, if they have this hash.
    fn take_restored(&self, hash: Hash) -> Option<u64> {
        let path = self.folder.join(RESTORED);
        let content = file::read(&path, 4_096).ok()?;
        let _stays = fs::remove_file(&path);
        let restored: Restored = serde_json::from_slice(&content).ok()?;
        (restored.hash == hash).then_some(restored.generation)
    }

    fn keep_file(&self, kept: &ReadFile) -> io::Result<()> {
        let path = self.content_path(kept.hash);
        if path.exists() {
            return Ok(());
        }
        let content = file::read(&kept.path, file::ROOMS_BYTES)?;
        if Hash::of(&content) != kept.hash {
            let message = format!("{} changed while it was copied", kept.name);
            return Err(io::Error::other(message));
        }
        file::replace(&path, &content)
    }

    /// Removes contents that no generation has any more. What cannot be removed only takes room.
    fn forget_files(&self, all: &[Generation]) {
        let files = all.iter().flat_map(|generation| &generation.files);
        let used: HashSet<String> = files.map(|file| file.hash.to_string()).collect();
        let listed = fs::read_dir(self.folder.join("files"))
            .into_iter()
            .flatten();
        for entry in listed.flatten() {
            if entry
                .file_name()
                .to_str()
                .is_some_and(|name| !used.contains(name))
            {
                let _stays = fs::remove_file(entry.path());
            }
        }
    }

    fn index(&self) -> PathBuf {
        self.folder.join("index.jsonl")
    }

    fn content_path(&self, hash: Hash) -> PathBuf {
        self.folder.join("files").join(hash.to_string())
    }
}

/// A generation as it stands in the index.
fn line(generation: &Generation) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(generation)?;
    line.push(b'\n');
    Ok(line)
}

/// The lines of an index, but for one that a crash cut short.
fn whole_lines(index: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = index.split_inclusive(|&byte| byte == b'\n');
    lines.filter_map(|line| line.strip_suffix(b"\n"))
}

/// Adds a line to a file, which is made with the first.
fn add(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(line)?;
    file.sync_data()
}
