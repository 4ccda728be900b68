//! Reading the directory from CSV files.
//!
//! The files are read as streams, as a million rooms would not fit the memory budget twice. Faults therefore remember
//! lines and columns only; [`faults`](super::faults) reads the file again to show them.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use csv::{ByteRecord, ReaderBuilder, Terminator};
use holdover_config::settings::{Directory as Settings, Unlisted};
use holdover_config::{Diagnostics, PoolName, suggest};
use holdover_protocol::room::RoomUri;

use super::entry::{Entry, Shared, State};
use super::faults::{Fault, Faults, Place, code};
use super::index::{Clash, Index};

/// Longest name or note in bytes. A note has to fit into the one line in which a client shows why a room is closed.
const TEXT_BYTES: usize = 1_024;

/// Bytes read from a file at a time.
const BUFFER: usize = 64 * 1_024;

/// The rooms of one version of the directory, checked.
#[derive(Debug)]
pub struct Rooms {
    pub(super) index: Index,
    pub(super) pools: Vec<PoolName>,
    pub(super) unlisted: Unlisted,
    files: usize,
}

impl Rooms {
    /// Number of rooms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no room at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of files they were read from.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files
    }
}

/// Reads and checks the files that `settings` name, whose rooms live on `pools`.
///
/// Each file is CSV in UTF-8 with a header line that names the columns, in any order: `legacy`, `migrated` and `state`, and
/// if wanted `pool`, `name` and `note`. One line is one room. A room that names no pool lives on the default pool.
///
/// # Errors
///
/// Every fault of every file, with its place.
pub fn load(settings: &Settings, pools: &[PoolName]) -> Result<Rooms, Diagnostics> {
    let mut faults = Faults::new(&settings.rooms);
    let mut reader = Reader::new(pools, settings.default_pool.as_ref());
    for path in &settings.rooms {
        match File::open(path) {
            Ok(file) => reader.read(path, file, &mut faults),
            Err(error) => faults.unreadable(path, &error),
        }
    }
    let (index, clashes) = Index::new(reader.entries);
    for clash in clashes {
        faults.push(clash_fault(&clash));
    }
    let diagnostics = faults.into_diagnostics();
    if diagnostics.has_errors() {
        return Err(diagnostics);
    }
    Ok(Rooms {
        index,
        pools: pools.to_vec(),
        unlisted: settings.unlisted.clone(),
        files: settings.rooms.len(),
    })
}

/// A column of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Legacy,
    Pool,
    Migrated,
    State,
    Name,
    Note,
}

impl Column {
    const ALL: [Self; 6] = [
        Self::Legacy,
        Self::Pool,
        Self::Migrated,
        Self::State,
        Self::Name,
        Self::Note,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Pool => "pool",
            Self::Migrated => "migrated",
            Self::State => "state",
            Self::Name => "name",
            Self::Note => "note",
        }
    }

    fn is_required(self) -> bool {
        matches!(self, Self::Legacy | Self::Migrated | Self::State)
    }
}

/// The columns of one file, in its order.
struct Header(Vec<Column>);

impl Header {
    fn read(record: &ByteRecord, line: u32, file: &Arc<str>, faults: &mut Faults) -> Option<Self> {
        let place = |column| Place {
            file: Arc::clone(file),
            line,
            column,
        };
        let names = Column::ALL.map(Column::as_str);
        let mut columns = Vec::new();
        let mut wrong = false;
        let mut fault = |fault: Fault| {
            wrong = true;
            faults.push(fault);
        };
        for (number, name) in record.iter().enumerate() {
            let name = String::from_utf8_lossy(name.trim_ascii());
            let known = Column::ALL
                .into_iter()
                .find(|column| column.as_str() == name);
            let at = place(Some(number));
            match known {
                Some(column) if columns.contains(&column) => {
                    fault(Fault::new(
                        at,
                        code::HEADER,
                        format!("the column `{name}` is there twice"),
                    ));
                }
                Some(column) => columns.push(column),
                None if record.len() == 1 && name.contains(';') => fault(
                    Fault::new(at, code::HEADER, "the columns are not separated by commas")
                        .help("save the file as CSV with `,` between the columns"),
                ),
                None => fault(
                    Fault::new(at, code::HEADER, format!("unknown column `{name}`"))
                        .help(suggest::help(&name, &names, "the columns are")),
                ),
            }
        }
        // An unknown column most likely is the one that seems to be missing.
        let missing = Column::ALL
            .into_iter()
            .filter(|column| !columns.contains(column));
        for column in missing.filter(|column| column.is_required() && record.len() > 1) {
            let message = format!("the column `{}` is missing", column.as_str());
            fault(Fault::new(place(None), code::HEADER, message).help(format!(
                "the first line names the columns: `{}`",
                names.join(",")
            )));
        }
        (!wrong).then_some(Self(columns))
    }
}

/// One line of the file, by column. Columns that the file does not have are empty.
#[derive(Default)]
struct Row<'a> {
    cells: [&'a str; 6],
}

impl<'a> Row<'a> {
    fn get(&self, column: Column) -> &'a str {
        self.cells.get(column as usize).copied().unwrap_or_default()
    }
}

struct Reader<'a> {
    pools: &'a [PoolName],
    default_pool: Option<&'a PoolName>,
    shared: HashSet<Arc<Shared>>,
    last: Option<Arc<Shared>>,
    entries: Vec<Arc<Entry>>,
}

impl<'a> Reader<'a> {
    fn new(pools: &'a [PoolName], default_pool: Option<&'a PoolName>) -> Self {
        Self {
            pools,
            default_pool,
            shared: HashSet::new(),
            last: None,
            entries: Vec::new(),
        }
    }

    fn read(&mut self, path: &Path, file: impl Read, faults: &mut Faults) {
        let name: Arc<str> = path.to_string_lossy().into();
        // Every line ends in a line feed, the last one too: lines are counted by them. What remains of CRLF is trimmed
        // with other white space. The reader drops a byte order mark by itself.
        let mut csv = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER)
            .from_reader(file.chain(b"\n".as_slice()));
        let mut record = ByteRecord::new();
        let mut header = None;
        loop {
            match csv.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    faults.unreadable(path, &io::Error::from(error));
                    return;
                }
            }
            // The reader's own position of a record is before the empty lines that it skipped.
            let breaks = record
                .as_slice()
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count() as u64;
            let line = csv.position().line().saturating_sub(1 + breaks);
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            if record.len() == 1 && record.as_slice().trim_ascii().is_empty() {
                continue;
            }
            match &header {
                None => match Header::read(&record, line, &name, faults) {
                    Some(read) => header = Some(read),
                    None => return,
                },
                Some(header) => self.row(&record, line, header, &name, faults),
            }
        }
        if header.is_none() {
            let place = Place {
                file: name,
                line: 1,
                column: None,
            };
            let columns = Column::ALL.map(Column::as_str).join(",");
            faults.push(
                Fault::new(place, code::HEADER, "the file is empty")
                    .help(format!("the first line names the columns: `{columns}`")),
            );
        }
    }

    fn row(
        &mut self,
        record: &ByteRecord,
        line: u32,
        header: &Header,
        file: &Arc<str>,
        faults: &mut Faults,
    ) {
        let place = |column| Place {
            file: Arc::clone(file),
            line,
            column,
        };
        if record.len() != header.0.len() {
            let message = format!(
                "the line has {} fields, the header has {}",
                record.len(),
                header.0.len()
            );
            faults.push(
                Fault::new(place(None), code::FIELDS, message)
                    .help("put a field that contains a comma between double quotes"),
            );
            return;
        }
        let mut row = Row::default();
        for (number, (&column, cell)) in header.0.iter().zip(record).enumerate() {
            match (
                std::str::from_utf8(cell),
                row.cells.get_mut(column as usize),
            ) {
                (Ok(text), Some(cell)) => *cell = text.trim_ascii(),
                _ => {
                    faults.push(
                        Fault::new(
                            place(Some(number)),
                            code::ENCODING,
                            "the field is not UTF-8",
                        )
                        .help("save the file as UTF-8"),
                    );
                    return;
                }
            }
        }
        let at = |column: Column| place(header.0.iter().position(|&named| named == column));
        if let Some((shared, legacy, migrated)) = self.check(&row, &at, file, faults) {
            let (name, note) = (row.get(Column::Name), row.get(Column::Note));
            let entry = Entry::new(shared, &legacy, migrated.as_ref(), name, note, line);
            self.entries.push(Arc::new(entry));
        }
    }

    /// Checks every field, so that all faults of a line are found at once.
    fn check(
        &mut self,
        row: &Row<'_>,
        at: &dyn Fn(Column) -> Place,
        file: &Arc<str>,
        faults: &mut Faults,
    ) -> Option<(Arc<Shared>, RoomUri, Option<RoomUri>)> {
        let mut id = |column: Column| {
            let text = row.get(column);
            let read = text.parse::<RoomUri>();
            read.map_err(|error| {
                let message = format!("`{}` is not a room's identifier: {error}", shown(text));
                faults.push(
                    Fault::new(at(column), code::IDENTIFIER, message)
                        .help("a room's identifier looks like `ma-chan://contoso.com/value`"),
                );
            })
        };
        let legacy = id(Column::Legacy);
        let migrated = match row.get(Column::Migrated) {
            "" => Ok(None),
            _ => id(Column::Migrated).map(Some),
        };
        let state = state(row.get(Column::State)).map_err(|help| {
            let message = format!("unknown state `{}`", shown(row.get(Column::State)));
            faults.push(Fault::new(at(Column::State), code::STATE, message).help(help));
        });
        let pool = self.pool(row.get(Column::Pool)).map_err(|(message, help)| {
            faults.push(Fault::new(at(Column::Pool), code::POOL, message).help(help));
        });
        let mut texts = Ok(());
        for column in [Column::Name, Column::Note] {
            if let Err(problem) = check_text(row.get(column)) {
                let message = format!("the {} {problem}", column.as_str());
                faults.push(Fault::new(at(column), code::TEXT, message));
                texts = Err(());
            }
        }
        if let (Ok(state), Ok(None)) = (&state, &migrated)
            && state.is_open()
        {
            let message = format!("a room that is {state} needs its migrated id");
            faults.push(
                Fault::new(at(Column::Migrated), code::NO_MIGRATED, message)
                    .help("give the id, or say `retired` or `pending`"),
            );
            return None;
        }
        let (Ok(legacy), Ok(migrated), Ok(state), Ok(pool), Ok(())) =
            (legacy, migrated, state, pool, texts)
        else {
            return None;
        };
        let migrated_domain = migrated.as_ref().map_or("", RoomUri::domain);
        let shared = self.share(legacy.domain(), migrated_domain, &pool, state, file);
        Some((shared, legacy, migrated))
    }

    /// The pool of this name, or what is wrong with it and what to do.
    fn pool(&self, name: &str) -> Result<PoolName, (String, String)> {
        let known = match name {
            "" => self.default_pool,
            _ => self.pools.iter().find(|pool| pool.as_str() == name),
        };
        known.cloned().ok_or_else(|| {
            if name.is_empty() {
                let message = "the room names no pool, and there is no default";
                return (
                    message.to_owned(),
                    "name a pool here, or set `default_pool`".to_owned(),
                );
            }
            let names: Vec<_> = self.pools.iter().map(PoolName::as_str).collect();
            let message = format!("unknown pool `{}`", shown(name));
            (
                message,
                suggest::help(name, &names, "the configured pools are"),
            )
        })
    }

    /// One value for all rooms that have the same. Most often it is that of the line before.
    fn share(
        &mut self,
        legacy_domain: &str,
        migrated_domain: &str,
        pool: &PoolName,
        state: State,
        file: &Arc<str>,
    ) -> Arc<Shared> {
        let fits = |shared: &&Arc<Shared>| {
            *shared.legacy_domain == *legacy_domain
                && *shared.migrated_domain == *migrated_domain
                && shared.pool == *pool
                && shared.state == state
                && shared.file == *file
        };
        if let Some(last) = self.last.as_ref().filter(fits) {
            return Arc::clone(last);
        }
        let shared = Arc::new(Shared {
            legacy_domain: legacy_domain.into(),
            migrated_domain: migrated_domain.into(),
            pool: pool.clone(),
            state,
            file: Arc::clone(file),
        });
        let shared = match self.shared.get(&shared) {
            Some(known) => Arc::clone(known),
            None => {
                self.shared.insert(Arc::clone(&shared));
                shared
            }
        };
        self.last = Some(Arc::clone(&shared));
        shared
    }
}

fn state(word: &str) -> Result<State, String> {
    let known = State::ALL.into_iter().find(|state| state.as_str() == word);
    known.ok_or_else(|| suggest::help(word, &State::ALL.map(State::as_str), "the states are"))
}

/// Names and notes are shown to users in one line.
fn check_text(text: &str) -> Result<(), &'static str> {
    if text.len() > TEXT_BYTES {
        Err("is longer than 1024 bytes")
    } else if text.chars().any(char::is_control) {
        Err("contains a line break or another control character")
    } else {
        Ok(())
    }
}

/// `text` for a message: what is far too long to be right is cut.
fn shown(text: &str) -> String {
    const CHARS: usize = 100;
    let mut shown: String = text.chars().take(CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn clash_fault(clash: &Clash) -> Fault {
    let (first, second) = match clash {
        Clash::Legacy { first, second } | Clash::Migrated { first, second } => (first, second),
    };
    let place = Place {
        file: second.file().into(),
        line: second.line(),
        column: None,
    };
    let other = format!("{}:{}", first.file(), first.line());
    match clash {
        Clash::Legacy { .. } => {
            let message = format!(
                "the legacy id `{}` is listed at {other} already",
                second.legacy()
            );
            Fault::new(place, code::DUPLICATE, message).help("each legacy id has one line")
        }
        Clash::Migrated { .. } => {
            let migrated = second
                .migrated()
                .map(|room| room.to_string())
                .unwrap_or_default();
            let message = format!("the room at {other} has the migrated id `{migrated}` as well");
            Fault::new(place, code::CLAIMED, message)
                .help("say `merged` for every room that became part of another")
        }
    }
}
