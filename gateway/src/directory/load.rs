//! Reading the directory from CSV files.
//!
//! The files are read as streams, as a million rooms would not fit the memory budget twice. Faults therefore remember
//! lines and columns only; [`faults`](super::faults) reads the file again to show them.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use csv::{ByteRecord, ReaderBuilder, Terminator};
use holdover_config::settings::{Directory as Settings, Unlisted};
use holdover_config::{Diagnostics, PoolName, file, suggest};
use holdover_protocol::room::RoomUri;

use super::columns::{Column, Header, Row, bare};
use super::entry::{Entry, Shared, State};
use super::faults::{Fault, Faults, Place, code};
use super::format::{self, Format, Lines};
use super::further;
use super::index::{Clash, Index};

/// The word that stands in place of a state where a line names one more pool of a room.
const ALSO: &str = "also";

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
/// if wanted `pool`, `name`, `note` and `category`. One line is one room. A room that names no pool lives on the default pool.
/// A line whose state is `also` names one more pool on which the room of its legacy id exists.
///
/// # Errors
///
/// Every fault of every file, with its place.
pub fn load(settings: &Settings, pools: &[PoolName]) -> Result<Rooms, Diagnostics> {
    let mut faults = Faults::new(&settings.rooms);
    let mut reader = Reader::new(pools, settings.default_pool.as_ref());
    for path in &settings.rooms {
        match file::open(path, file::ROOMS_BYTES) {
            Ok(file) => reader.read(path, file, &mut faults),
            Err(error) => faults.unreadable(path, &error),
        }
    }
    let (index, clashes) = Index::new(reader.entries, reader.further);
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

struct Reader<'a> {
    pools: &'a [PoolName],
    default_pool: Option<&'a PoolName>,
    shared: HashSet<Arc<Shared>>,
    last: Option<Arc<Shared>>,
    entries: Vec<Arc<Entry>>,
    further: Vec<further::Row>,
}

/// A line that is well-formed by itself.
enum Line {
    Room {
        shared: Arc<Shared>,
        legacy: RoomUri,
        migrated: Option<RoomUri>,
    },
    Further {
        legacy: RoomUri,
        pool: PoolName,
        migrated: RoomUri,
    },
}

impl<'a> Reader<'a> {
    fn new(pools: &'a [PoolName], default_pool: Option<&'a PoolName>) -> Self {
        Self {
            pools,
            default_pool,
            shared: HashSet::new(),
            last: None,
            entries: Vec::new(),
            further: Vec::new(),
        }
    }

    fn read(&mut self, path: &Path, mut file: impl Read, faults: &mut Faults) {
        let name: Arc<str> = path.to_string_lossy().into();
        let start = match format::start_of(&mut file) {
            Ok(start) => start,
            Err(error) => return faults.unreadable(path, &error),
        };
        if let Some(what) = file::not_text(&start) {
            return faults.not_text(path, &what);
        }
        let format = Format::of(&start);
        let lines = Lines {
            file: format::without_mark(&start).chain(file),
            has_returns: format.has_returns,
        };
        // Every line ends in a line feed, the last one too: lines are counted by them. A quote that is never closed takes in
        // both. What remains of CRLF is trimmed with other white space. The reader drops a byte order mark by itself.
        let mut csv = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(format.delimiter)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER)
            .from_reader(lines.chain(b"\n\n".as_slice()));
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
            // Only what begins with a quote that is never closed takes in both line feeds at the end.
            let is_open = record.as_slice().ends_with(b"\n\n");
            let line = csv
                .position()
                .line()
                .saturating_sub(u64::from(!is_open) + breaks);
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            // Excel writes separators in rows that are empty; `copy` of DOS ends files by its sign for that.
            if record.iter().all(|cell| cell.trim_ascii().is_empty())
                || record.as_slice().trim_ascii() == b"\x1a"
            {
                continue;
            }
            if header.is_none() && format::is_preface(record.as_slice()) {
                continue;
            }
            let is_whole = header
                .as_ref()
                .is_some_and(|header: &Header| header.fits(&record));
            if breaks > 0 && (is_open || !is_whole || record.iter().any(holds_another_line)) {
                let column = record.iter().position(|cell| cell.contains(&b'\n'));
                let place = Place {
                    file: Arc::clone(&name),
                    line,
                    column,
                };
                let message = "the quote that begins this field is not closed in its line";
                faults.push(Fault::new(place, code::FIELDS, message).help(
                    "close the quote in this line; write a quote that belongs to the text twice, in a field between quotes",
                ));
                if header.is_none() {
                    return;
                }
                continue;
            }
            match &header {
                None => match Header::read(&record, line, &name, faults) {
                    Some(read) => header = Some(read),
                    None => return,
                },
                Some(header) => self.row(&record, line, (header, format), &name, faults),
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
        (header, format): (&Header, Format),
        file: &Arc<str>,
        faults: &mut Faults,
    ) {
        let place = |column| Place {
            file: Arc::clone(file),
            line,
            column,
        };
        if !header.fits(record) {
            let message = format!(
                "the line has {} fields, the header has {}",
                record.len(),
                header.0.len()
            );
            faults.push(Fault::new(place(None), code::FIELDS, message).help(format!(
                "put a field that contains {} between double quotes",
                format.separator()
            )));
            return;
        }
        let mut row = Row::default();
        for (number, (&column, cell)) in header.0.iter().zip(record).enumerate() {
            match std::str::from_utf8(cell) {
                Ok(text) => match column {
                    Some(column) => row.set(column, bare(text)),
                    None if text.trim_ascii().is_empty() => {}
                    None => {
                        let message = format!("`{}` is in a column without a name", shown(text));
                        let fault = Fault::new(place(Some(number)), code::FIELDS, message);
                        faults.push(fault.help("name the column in the first line, or remove it"));
                        return;
                    }
                },
                Err(_) => {
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
        let at = |column: Column| place(header.0.iter().position(|&named| named == Some(column)));
        match self.check(&row, &at, file, faults) {
            None => {}
            Some(Line::Room {
                shared,
                legacy,
                migrated,
            }) => {
                let (name, note) = (row.get(Column::Name), row.get(Column::Note));
                let entry = Entry::new(shared, &legacy, migrated.as_ref(), name, note, line);
                self.entries.push(Arc::new(entry));
            }
            Some(Line::Further {
                legacy,
                pool,
                migrated,
            }) => self.further.push(further::Row {
                legacy,
                pool,
                migrated,
                file: Arc::clone(file),
                line,
            }),
        }
    }

    /// Checks every field, so that all faults of a line are found at once.
    fn check(
        &mut self,
        row: &Row<'_>,
        at: &dyn Fn(Column) -> Place,
        file: &Arc<str>,
        faults: &mut Faults,
    ) -> Option<Line> {
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
        let kind = kind(row.get(Column::State)).map_err(|help| {
            let message = format!("unknown state `{}`", shown(row.get(Column::State)));
            faults.push(Fault::new(at(Column::State), code::STATE, message).help(help));
        });
        let pool = self.pool(row.get(Column::Pool)).map_err(|(message, help)| {
            faults.push(Fault::new(at(Column::Pool), code::POOL, message).help(help));
        });
        let is_further = matches!(kind, Ok(Kind::Further));
        let mut texts = Ok(());
        for column in [Column::Name, Column::Note, Column::Category] {
            let text = row.get(column);
            let fault = |message: String| Fault::new(at(column), code::TEXT, message);
            if let Err(problem) = check_text(text) {
                faults.push(fault(format!("the {} {problem}", column.as_str())));
                texts = Err(());
            } else if is_further && !text.is_empty() {
                let message = format!("a line `{ALSO}` has no {} of its own", column.as_str());
                faults.push(fault(message).help("write it in the room's own line"));
                texts = Err(());
            }
        }
        let needs = match &kind {
            Ok(Kind::Further) => Some((
                format!("a line `{ALSO}` needs the migrated id on its pool"),
                "give the id that the room has there",
            )),
            Ok(Kind::Room(state)) if state.is_open() => Some((
                format!("a room that is {state} needs its migrated id"),
                "give the id, or say `retired` or `pending`",
            )),
            Ok(Kind::Room(_)) | Err(()) => None,
        };
        if let (Some((message, help)), Ok(None)) = (needs, &migrated) {
            let at = at(Column::Migrated);
            faults.push(Fault::new(at, code::NO_MIGRATED, message).help(help));
            return None;
        }
        let (Ok(legacy), Ok(migrated), Ok(kind), Ok(pool), Ok(())) =
            (legacy, migrated, kind, pool, texts)
        else {
            return None;
        };
        match kind {
            Kind::Further => Some(Line::Further {
                legacy,
                pool,
                migrated: migrated?,
            }),
            Kind::Room(state) => {
                let migrated_domain = migrated.as_ref().map_or("", RoomUri::domain);
                let shared = self.share(&Common {
                    legacy_domain: legacy.domain(),
                    migrated_domain,
                    pool: &pool,
                    state,
                    category: row.get(Column::Category),
                    file,
                });
                Some(Line::Room {
                    shared,
                    legacy,
                    migrated,
                })
            }
        }
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
    fn share(&mut self, common: &Common<'_>) -> Arc<Shared> {
        if let Some(last) = self.last.as_ref().filter(|last| common.is(last)) {
            return Arc::clone(last);
        }
        let shared = Arc::new(common.to_shared());
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

/// What is to be shared, as it was read.
struct Common<'a> {
    legacy_domain: &'a str,
    migrated_domain: &'a str,
    pool: &'a PoolName,
    state: State,
    category: &'a str,
    file: &'a Arc<str>,
}

impl Common<'_> {
    fn is(&self, shared: &Shared) -> bool {
        *shared.legacy_domain == *self.legacy_domain
            && *shared.migrated_domain == *self.migrated_domain
            && shared.pool == *self.pool
            && shared.state == self.state
            && *shared.category == *self.category
            && shared.file == *self.file
    }

    fn to_shared(&self) -> Shared {
        Shared {
            legacy_domain: self.legacy_domain.into(),
            migrated_domain: self.migrated_domain.into(),
            pool: self.pool.clone(),
            state: self.state,
            category: self.category.into(),
            file: Arc::clone(self.file),
        }
    }
}

/// What a line is about, by its state.
enum Kind {
    Room(State),
    Further,
}

fn kind(word: &str) -> Result<Kind, String> {
    if word == ALSO {
        return Ok(Kind::Further);
    }
    let known = State::ALL.into_iter().find(|state| state.as_str() == word);
    known.map(Kind::Room).ok_or_else(|| {
        let mut words = State::ALL.map(State::as_str).to_vec();
        words.push(ALSO);
        suggest::help(word, &words, "the states are")
    })
}

/// Whether a field holds the line of another room: the quote that closes it is one that was to open another field.
fn holds_another_line(cell: &[u8]) -> bool {
    let mut lines = cell.split(|&byte| byte == b'\n').skip(1);
    lines.any(|line| {
        line.windows(10)
            .any(|part| part.eq_ignore_ascii_case(b"ma-chan://"))
    })
}

/// Names, notes and categories are shown in one line.
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
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut shown: String = text.chars().take(CHARS).map(printable).collect();
    if text.chars().nth(CHARS).is_some() {
        shown.push('…');
    }
    shown
}

fn clash_fault(clash: &Clash) -> Fault {
    let at = |(file, line): (&str, u32)| Place {
        file: file.into(),
        line,
        column: None,
    };
    let name = |(file, line): (&str, u32)| format!("{file}:{line}");
    match clash {
        Clash::Legacy { first, second } => {
            let other = name((first.file(), first.line()));
            let message = format!(
                "the legacy id `{}` is listed at {other} already",
                second.legacy()
            );
            let place = at((second.file(), second.line()));
            Fault::new(place, code::DUPLICATE, message).help(format!(
                "each legacy id has one line; say `{ALSO}` in those that name further pools"
            ))
        }
        Clash::Migrated { first, second } => {
            let other = name(first.place());
            let migrated = second.migrated().map(|room| room.to_string());
            let message = format!(
                "the room at {other} has the migrated id `{}` as well",
                migrated.unwrap_or_default()
            );
            Fault::new(at(second.place()), code::CLAIMED, message)
                .help("say `merged` for every room that became part of another")
        }
        Clash::Alone(row) => {
            let message = format!("no line lists the room `{}` itself", row.legacy);
            Fault::new(at((&row.file, row.line)), code::FURTHER_ALONE, message).help(format!(
                "give the room a line of its own: a line `{ALSO}` only names one more pool of it"
            ))
        }
        Clash::Retired { entry, row } => {
            let other = name((entry.file(), entry.line()));
            let message = format!("the room is retired by {other} and can be on no pool");
            Fault::new(at((&row.file, row.line)), code::FURTHER_RETIRED, message)
                .help("remove this line, or give the room another state")
        }
        Clash::Twice { first, row } => {
            let other = name(first.place());
            let message = format!(
                "{other} names the room's identifier on `{}` already",
                row.pool
            );
            Fault::new(at((&row.file, row.line)), code::FURTHER_TWICE, message)
                .help("a room has one line for each pool; remove one of the two")
        }
    }
}
