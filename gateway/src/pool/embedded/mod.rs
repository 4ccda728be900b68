//! The embedded pool: a small Persistent Chat server inside the gateway, kept in SQLite.
//!
//! It speaks the persistent-chat dialect and knows nothing of legacy identifiers. `core` is a state machine without
//! sockets, threads or clock; `thread` drives it and makes durable what it decided before anybody hears of it; `store` is
//! the database. [`load_file`] and [`list()`] work on the database of a pool, whether or not it is being served.
//!
//! Where the protocol is not known, it does what no client can take amiss: file tokens and unknown commands are answered
//! `MSG_NOT_SUPPORTED`, a room of a batch that cannot be entered is `OPERATION_FAILED`, `part` always succeeds, and
//! `nodespermcreatechild` names nothing because rooms are made by `pool load` alone.

mod access;
mod core;
mod health;
mod list;
mod load;
mod model;
mod queue;
mod schema;
mod store;
mod thread;
mod ticks;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use holdover_config::file;
use holdover_protocol::room::{IdError, RoomUri};
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::PermissionMask;
use jiff::Timestamp;

pub use list::{RoomRow, list, rooms};
pub use load::{LOAD_CODES, LoadError, LoadReport, load_file, load_text};
pub use model::{Privacy, RoomType};
pub use store::StoreError;

use self::core::Core;
use health::Health;
use queue::{Gate, Queue, Task};
use store::Store;
use thread::Worker;
use ticks::{SteadyClock, Ticks};

use super::{LegClosed, LegSink, SendId};

/// Most bytes of a message's text, in UTF-8, unless the options say otherwise. Legacy clients of 2009 were told 512 and
/// made a "story" of what was longer; here there is one limit for both, and `rpl:getserverinfo` reports it.
pub const MESSAGE_LIMIT: usize = 64 * 1024;

/// Tells the time. Replaced in tests.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Is told, in words for an operator, what the pool cannot do because its database or its thread failed.
pub type OnFailure = Arc<dyn Fn(&str) + Send + Sync>;

/// How an embedded pool behaves.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// The domain of its rooms' identifiers.
    pub domain: Box<str>,
    /// What it answers to `cmd:requri`: its own address.
    pub uri: Box<str>,
    /// Most bytes of a message's text.
    pub message_limit: usize,
    /// Users in a room above which it sends neither rosters nor notices there; resumed below 80 % of it.
    pub roster_limit: usize,
    /// Most rooms in the answer to one search.
    pub search_limit: usize,
    /// Readings of the protocol other than the usual ones.
    pub variants: Variants,
    /// The clock that stamps messages.
    pub clock: Clock,
    /// Where failures of the storage are told.
    pub on_failure: OnFailure,
}

impl EmbeddedOptions {
    /// The usual behaviour, with rooms in `domain`. Failures are told nobody.
    pub fn new(domain: &str) -> Self {
        Self {
            domain: domain.into(),
            uri: format!("sip:persistentchat@{domain}").into(),
            message_limit: MESSAGE_LIMIT,
            roster_limit: 75,
            search_limit: 999,
            variants: Variants::default(),
            clock: Arc::new(Timestamp::now),
            on_failure: Arc::new(|_| {}),
        }
    }

    /// Tells what failed, and why.
    fn tell_failure(&self, what: &str, error: &StoreError) {
        match std::error::Error::source(error) {
            Some(cause) => (self.on_failure)(&format!("{what}: {error}: {cause}")),
            None => (self.on_failure)(&format!("{what}: {error}")),
        }
    }
}

impl fmt::Debug for EmbeddedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedOptions")
            .field("domain", &self.domain)
            .field("uri", &self.uri)
            .field("message_limit", &self.message_limit)
            .field("roster_limit", &self.roster_limit)
            .field("search_limit", &self.search_limit)
            .field("variants", &self.variants)
            .finish_non_exhaustive()
    }
}

/// Readings of the protocol that differ from the usual ones where it is not known which is right (`facts/xccos.md` §8), so that
/// those who talk to pools are tested against each.
#[derive(Clone, Debug, Default)]
pub struct Variants {
    /// Messages of each room that are sent unasked after `rpl:bjoin`; 0: clients ask.
    pub push_history: u32,
    /// The reply to `getserverinfo` is called `getservinfo`.
    pub short_server_info: bool,
    /// Permission masks have the numbers of the old servers.
    pub legacy_masks: bool,
    /// Values of rooms that `bjoin` fails for, whoever asks.
    pub failing_rooms: BTreeSet<Box<str>>,
}

impl Variants {
    /// A mask as it goes on the wire.
    fn mask(&self, mask: PermissionMask) -> PermissionMask {
        if self.legacy_masks {
            mask.to_legacy()
        } else {
            mask
        }
    }
}

/// Why a pool could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// Its database could not be used.
    #[error("cannot open the pool's database")]
    Store(#[from] StoreError),
    /// Another process, or another pool of this one, serves the database.
    #[error("the pool's database is served already")]
    InUse,
    /// The domain cannot be part of an identifier.
    #[error("`{domain}` cannot be the domain of rooms")]
    Domain {
        /// As configured.
        domain: Box<str>,
        /// What is wrong with it.
        #[source]
        source: IdError,
    },
    /// The file beside the database that says who serves it.
    #[error("cannot open or make `{}`, which is needed to serve the database", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The operating system refused a thread.
    #[error("cannot start the pool")]
    Io(#[from] io::Error),
}

/// Names a leg. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct LegId(u64);

/// A running pool.
pub struct EmbeddedPool {
    queue: Arc<Queue>,
    next_leg: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
    health: Arc<Health>,
}

impl EmbeddedPool {
    /// Opens the database at `path`, which is made if there is none, and starts the pool's thread. A file of the same
    /// name with `.lock` at its end is locked while the pool runs.
    ///
    /// # Errors
    ///
    /// [`PoolError`].
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, PoolError> {
        RoomUri::new(&options.domain, "any").map_err(|source| PoolError::Domain {
            domain: options.domain.clone(),
            source,
        })?;
        let lock = lock(path)?;
        let clock = Arc::clone(&options.clock);
        let health = Arc::new(Health::default());
        let on_failure = Arc::clone(&options.on_failure);
        let mut options = options;
        let (noted, told) = (Arc::clone(&health), Arc::clone(&on_failure));
        options.on_failure = Arc::new(move |what| {
            noted.note(what);
            told(what);
        });
        let core = Core::new(Store::open(path)?, options, Ticks::from(clock()))?;
        let queue = Arc::new(Queue::new());
        let worker = Worker::new(
            core,
            Arc::clone(&queue),
            SteadyClock::new(clock),
            lock,
            Arc::clone(&health),
            on_failure,
        );
        let thread = std::thread::Builder::new()
            .name("embedded-pool".to_owned())
            .spawn(move || worker.run())?;
        Ok(Self {
            queue,
            next_leg: AtomicU64::new(1),
            thread: Mutex::new(Some(thread)),
            health,
        })
    }

    /// Opens a leg for one endpoint of `user`. What the pool has to say goes to `sink`.
    ///
    /// On a pool that is shut down the leg's first send fails.
    pub fn open_leg(&self, user: UserUri, sink: Arc<dyn LegSink>) -> EmbeddedLeg {
        let leg = EmbeddedLeg {
            id: LegId(self.next_leg.fetch_add(1, Ordering::Relaxed)),
            queue: Arc::clone(&self.queue),
            gate: Arc::default(),
        };
        self.queue.control(Task::Open {
            leg: leg.id,
            user,
            sink,
            gate: Arc::clone(&leg.gate),
        });
        leg
    }

    /// Finishes what was sent, ends every leg with [`LegClosed::Pool`] and waits for the thread. Blocks for as long as
    /// the disk takes.
    pub fn shutdown(&self) {
        self.queue.close();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // That it failed was told when it did.
            let _failed = thread.join();
        }
    }

    /// Whether the pool works: its thread lives and answers, and its database takes what is written. Never blocks. The
    /// thread is asked to show it, so what is returned is as old as the last look, or a batch.
    ///
    /// # Errors
    ///
    /// What does not work, in words for an operator.
    pub fn look(&self) -> Result<(), String> {
        let (verdict, ask) = self.health.look(Instant::now());
        if ask {
            self.queue.control(Task::Look);
        }
        verdict
    }
}

impl fmt::Debug for EmbeddedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedPool").finish_non_exhaustive()
    }
}

impl Drop for EmbeddedPool {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// A session's end of a leg. Dropping it closes the leg and takes it out of its rooms.
pub struct EmbeddedLeg {
    id: LegId,
    queue: Arc<Queue>,
    gate: Arc<Gate>,
}

impl EmbeddedLeg {
    /// Sends one document. Never blocks.
    ///
    /// # Errors
    ///
    /// [`LegClosed`]: the document was not taken, and the leg is of no more use. [`LegClosed::Overflow`] when too much
    /// waits already, or when the sink refused an event before.
    pub fn send(&self, id: SendId, document: Bytes) -> Result<(), LegClosed> {
        self.queue.document(self.id, id, document, &self.gate)
    }
}

impl fmt::Debug for EmbeddedLeg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLeg")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Drop for EmbeddedLeg {
    fn drop(&mut self) {
        self.queue.control(Task::Close { leg: self.id });
    }
}

/// Opens the lock file at `path`, which is made if it does not exist and `is_made`. To open a pipe in its place would wait for a
/// reader.
fn open_lock(path: &Path, is_made: bool) -> io::Result<File> {
    if path.exists() {
        file::check_writable(path)?;
    }
    let mut options = OpenOptions::new();
    options.create(is_made).truncate(false).write(true);
    options.open(path)
}

/// Takes the lock that says "this database is being served". The system frees it when the process ends, however it ends.
fn lock(database: &Path) -> Result<File, PoolError> {
    let path = lock_path(database);
    let file = match open_lock(&path, true) {
        Ok(file) => file,
        Err(source) => return Err(PoolError::Lock { path, source }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PoolError::InUse),
        Err(TryLockError::Error(source)) => Err(PoolError::Lock { path, source }),
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// Whether [`EmbeddedPool::open`] could use the files that there are at `database`, whether or not another process does.
/// Nothing is made or changed.
///
/// # Errors
///
/// [`PoolError`].
pub fn check(database: &Path) -> Result<(), PoolError> {
    let path = lock_path(database);
    if path.exists()
        && let Err(source) = open_lock(&path, false)
    {
        return Err(PoolError::Lock { path, source });
    }
    if database.exists() {
        Store::check(database)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
