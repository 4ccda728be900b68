//! The pool's database: SQLite in write-ahead mode, flushed to the disk at every commit.
//!
//! Nothing outside this folder names the library. Writes gather in a *batch*, one transaction for many commands:
//! the first write begins it, [`Store::commit`] ends it, and a failure anywhere in it undoes all of it.

mod apply;
mod catalog;
mod history;
mod personal;

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use holdover_config::file;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::schema::{APPLICATION_ID, MIGRATIONS};

pub(super) use apply::{CategoryPlan, LoadPlan, MessagePlan, RoomPlan};
pub(super) use catalog::Identity;
pub(super) use history::{Head, Message};

/// The version this program writes.
const VERSION: u32 = MIGRATIONS.len() as u32;

/// How long a write waits for another process (`pool load`) to finish its own.
const BUSY: Duration = Duration::from_secs(2);

/// A failure of the database. Its text never holds what users wrote.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The library or the disk failed.
    #[error("the database failed")]
    Sqlite(#[source] rusqlite::Error),
    /// The file is no pool database.
    #[error("this is not a pool database")]
    Foreign,
    /// The file was written by a later version of this program.
    #[error("the database has version {found}, this program knows versions up to {known}")]
    Newer {
        /// Version of the file.
        found: u32,
        /// Latest version this program knows.
        known: u32,
    },
    /// A stored value is none that this program writes.
    #[error("the database holds a {what} that is not valid")]
    Corrupt {
        /// What kind of value.
        what: &'static str,
    },
    /// An earlier write of the same batch failed.
    #[error("an earlier write failed")]
    BatchFailed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign,
            _ => Self::Sqlite(error),
        }
    }
}

/// State of the transaction in which writes gather.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batch {
    /// None begun. To `Open` at the first write.
    Idle,
    /// Begun. To `Idle` by a commit, to `Failed` by a failed write.
    Open,
    /// Undone; further writes are refused. To `Idle` by the commit, which reports it.
    Failed,
}

/// An open database.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    batch: Batch,
    /// `PRAGMA data_version` when last looked at.
    seen_version: i64,
}

/// Makes the file of a new database for its owner alone: it will hold every message. SQLite gives the files beside it the same
/// rights. What keeps it from being made SQLite finds as well, and says better.
fn make_private(path: &Path) {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    if let Ok(file) = options.open(path) {
        let _stays_roots = file::adopt(&file, path);
    }
}

impl Store {
    /// Opens the database, makes it if there is none, and brings an older one up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a file that is not ours is left as it is.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        make_private(path);
        Self::connect(path, OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens a database that must exist already.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn open_existing(path: &Path) -> Result<Self, StoreError> {
        Self::connect(path, OpenFlags::empty())
    }

    /// The values of all rooms of the database at `path`, which is only read.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn values(path: &Path) -> Result<Vec<String>, StoreError> {
        let connection = Self::read_only(path)?;
        if version(&connection)? == 0 {
            return Ok(Vec::new());
        }
        let mut rooms = connection.prepare("SELECT value FROM room")?;
        let values = rooms.query_map([], |row| row.get(0))?;
        Ok(values.collect::<Result<_, _>>()?)
    }

    /// Whether the database at `path` is one that [`Self::open`] takes. It is only read.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn check(path: &Path) -> Result<(), StoreError> {
        version(&Self::read_only(path)?).map(|_| ())
    }

    /// Opens a database to look at it, and leaves no file beside it.
    fn read_only(path: &Path) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let connection = if Path::new(&log).exists() {
            Connection::open_with_flags(path, flags)?
        } else {
            // Nobody writes; a reader that SQLite takes for one among several would make `-wal` and `-shm`.
            let uri = format!("file:{}?immutable=1", escaped(path));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
        };
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    }

    fn connect(path: &Path, extra: OpenFlags) -> Result<Self, StoreError> {
        // Not SQLITE_OPEN_URI: a file may be called `file:` something.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags | extra)?;
        connection.busy_timeout(BUSY)?;
        migrate(&mut connection)?;
        // FULL: a commit returns only when the log is on the disk, so that what was acknowledged survives.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        let mut store = Self {
            connection,
            batch: Batch::Idle,
            seen_version: 0,
        };
        store.changed_elsewhere()?;
        Ok(store)
    }

    /// Whether another connection changed the database since this was last asked. Must not be asked inside a batch.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn changed_elsewhere(&mut self) -> Result<bool, StoreError> {
        let version = self
            .connection
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        let changed = version != self.seen_version;
        self.seen_version = version;
        Ok(changed)
    }

    /// Makes the batch durable. `Ok` when there was none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the commit or any write of the batch failed: nothing of the batch was kept.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        match std::mem::replace(&mut self.batch, Batch::Idle) {
            Batch::Idle => Ok(()),
            Batch::Failed => Err(StoreError::BatchFailed),
            Batch::Open => self.connection.execute_batch("COMMIT").map_err(|error| {
                self.undo();
                error.into()
            }),
        }
    }

    /// Writes what is there already, inside the batch.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn try_write(&mut self) -> Result<(), StoreError> {
        self.write(|connection| connection.pragma_update(None, "user_version", VERSION))
    }

    /// Runs one write inside the batch, beginning it if this is the first.
    fn write(
        &mut self,
        statement: impl FnOnce(&Connection) -> Result<(), rusqlite::Error>,
    ) -> Result<(), StoreError> {
        if self.batch == Batch::Failed {
            return Err(StoreError::BatchFailed);
        }
        let begun = match self.batch {
            Batch::Idle => self.connection.execute_batch("BEGIN IMMEDIATE"),
            _ => Ok(()),
        };
        match begun.and_then(|()| statement(&self.connection)) {
            Ok(()) => {
                self.batch = Batch::Open;
                Ok(())
            }
            Err(error) => {
                self.undo();
                self.batch = Batch::Failed;
                Err(error.into())
            }
        }
    }

    /// Ends a transaction without keeping it. Some failures (a full disk) have ended it already.
    fn undo(&self) {
        if !self.connection.is_autocommit() {
            // Where this fails the next transaction cannot begin, which is told then.
            self.connection.execute_batch("ROLLBACK").ok();
        }
    }
}

/// Applies the migrations that a database has not had yet, all or none.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    if version == VERSION {
        return Ok(());
    }
    for migration in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// A path as a URI has it.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                text.push(char::from(*byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The version of a database that is a pool's, or is empty.
fn version(connection: &Connection) -> Result<u32, StoreError> {
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
        return Err(StoreError::Foreign);
    }
    if version > VERSION {
        return Err(StoreError::Newer {
            found: version,
            known: VERSION,
        });
    }
    Ok(version)
}

/// A new random identifier in the form Windows servers give to rooms, categories and databases.
pub(super) fn new_guid() -> String {
    let bits: u128 = rand::random();
    // RFC 9562 section 5.4: version 4, variant 10.
    let bits = bits & !(0xF << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let text = format!("{bits:032x}");
    let mut guid = String::with_capacity(36);
    for (position, digit) in text.chars().enumerate() {
        if matches!(position, 8 | 12 | 16 | 20) {
            guid.push('-');
        }
        guid.push(digit);
    }
    guid
}

/// Runs statements on a connection of their own, as another program would: tests break databases with it.
#[cfg(test)]
pub(super) fn run_sql(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_made_and_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.db");
        let first = Store::open(&path).unwrap().identity().unwrap();
        let second = Store::open_existing(&path).unwrap().identity().unwrap();
        assert_eq!(first, second);
        assert!(Store::open_existing(&folder.path().join("none.db")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_new_database_and_the_files_beside_it_are_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("rooms.db")).unwrap();
        // A write makes the log and its index.
        let write = store.connection.execute_batch("CREATE TABLE a (b)");
        write.unwrap();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.file_name());
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort();
        assert_eq!(names, ["rooms.db", "rooms.db-shm", "rooms.db-wal"]);
    }

    #[test]
    fn a_file_of_another_program_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("other.db");
        Connection::open(&foreign)
            .unwrap()
            .execute_batch("CREATE TABLE theirs (a)")
            .unwrap();
        assert!(matches!(Store::open(&foreign), Err(StoreError::Foreign)));
        let count: i64 = Connection::open(&foreign)
            .unwrap()
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, 1);

        let text = folder.path().join("rooms.csv");
        let words = "legacy,pool,migrated\n".repeat(100);
        std::fs::write(&text, &words).unwrap();
        assert!(matches!(Store::open(&text), Err(StoreError::Foreign)));
        assert_eq!(std::fs::read_to_string(&text).unwrap(), words);
    }

    #[test]
    fn a_newer_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rooms.db");
        drop(Store::open(&path).unwrap());
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", VERSION + 1)
            .unwrap();
        assert!(matches!(
            Store::open(&path),
            Err(StoreError::Newer { found, known }) if found == known + 1
        ));
    }

    #[test]
    fn every_commit_is_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("rooms.db")).unwrap();
        let mode: String = store
            .connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        let level: i64 = store
            .connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .unwrap();
        assert_eq!((mode.as_str(), level), ("wal", 2));
    }

    #[test]
    fn a_failed_write_undoes_the_batch_and_the_next_one_works() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("rooms.db")).unwrap();
        let user = "sip:ann@contoso.com";
        store.set_preference(user, "a", 1, "x").unwrap();
        let broken = store.write(|connection| connection.execute_batch("INSERT INTO nothing"));
        assert!(broken.is_err());
        assert!(matches!(
            store.set_preference(user, "b", 1, "y"),
            Err(StoreError::BatchFailed)
        ));
        assert!(matches!(store.commit(), Err(StoreError::BatchFailed)));
        assert_eq!(store.preference(user, "a").unwrap(), None);
        store.set_preference(user, "c", 1, "z").unwrap();
        store.commit().unwrap();
        assert_eq!(
            store.preference(user, "c").unwrap(),
            Some((1, "z".to_owned()))
        );
    }

    #[test]
    fn guids_have_their_form_and_differ() {
        let (one, two) = (new_guid(), new_guid());
        assert_ne!(one, two);
        let parts: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
