//! The columns of a CSV file: which there are, and what one line has in them.

use std::sync::Arc;

use csv::ByteRecord;
use holdover_config::suggest;

use super::faults::{Fault, Faults, Place, code};

/// A column of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Legacy,
    Pool,
    Migrated,
    State,
    Name,
    Note,
    Category,
}

impl Column {
    pub(super) const ALL: [Self; 7] = [
        Self::Legacy,
        Self::Pool,
        Self::Migrated,
        Self::State,
        Self::Name,
        Self::Note,
        Self::Category,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Pool => "pool",
            Self::Migrated => "migrated",
            Self::State => "state",
            Self::Name => "name",
            Self::Note => "note",
            Self::Category => "category",
        }
    }

    fn is_required(self) -> bool {
        matches!(self, Self::Legacy | Self::Migrated | Self::State)
    }
}

/// The columns of one file, in its order. Excel writes some without a name, which have to be empty.
pub(super) struct Header(pub(super) Vec<Option<Column>>);

impl Header {
    /// Whether a line has as many fields, but for empty ones at the end.
    pub(super) fn fits(&self, record: &ByteRecord) -> bool {
        let named = self.0.iter().rposition(Option::is_some);
        let surplus = record.iter().skip(self.0.len());
        named.is_none_or(|named| named < record.len())
            && surplus.into_iter().all(|cell| cell.trim_ascii().is_empty())
    }

    pub(super) fn read(
        record: &ByteRecord,
        line: u32,
        file: &Arc<str>,
        faults: &mut Faults,
    ) -> Option<Self> {
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
            let name = String::from_utf8_lossy(name);
            let name = bare(&name);
            let known = Column::ALL
                .into_iter()
                .find(|column| column.as_str().eq_ignore_ascii_case(name));
            let at = place(Some(number));
            match known {
                None if name.is_empty() && record.len() > 1 => columns.push(None),
                Some(column) if columns.contains(&Some(column)) => {
                    fault(Fault::new(
                        at,
                        code::HEADER,
                        format!("the column `{name}` is there twice"),
                    ));
                }
                Some(column) => columns.push(Some(column)),
                None => fault(
                    Fault::new(at, code::HEADER, format!("unknown column `{name}`"))
                        .help(suggest::help(name, &names, "the columns are")),
                ),
            }
        }
        // An unknown column most likely is the one that seems to be missing.
        let missing = Column::ALL
            .into_iter()
            .filter(|column| !columns.contains(&Some(*column)));
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

/// A field without what says nothing: white space and byte order marks around it.
pub(super) fn bare(field: &str) -> &str {
    field.trim_matches(|letter: char| letter.is_ascii_whitespace() || letter == '\u{feff}')
}

/// One line of the file, by column. Columns that the file does not have are empty.
#[derive(Default)]
pub(super) struct Row<'a> {
    cells: [&'a str; 7],
}

impl<'a> Row<'a> {
    pub(super) fn get(&self, column: Column) -> &'a str {
        self.cells.get(column as usize).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, column: Column, text: &'a str) {
        if let Some(cell) = self.cells.get_mut(column as usize) {
            *cell = text;
        }
    }
}
