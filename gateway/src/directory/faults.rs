//! Faults of the directory's files: remembered by place while the files are read, shown from the files afterwards.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdover_config::{Diagnostic, Diagnostics, Severity, Source, file};

use super::format::{Format, START};

/// Stable codes of the faults.
pub(super) mod code {
    pub(crate) const UNREADABLE: &str = "HD001";
    pub(crate) const HEADER: &str = "HD002";
    pub(crate) const FIELDS: &str = "HD003";
    pub(crate) const ENCODING: &str = "HD004";
    pub(crate) const IDENTIFIER: &str = "HD005";
    pub(crate) const POOL: &str = "HD006";
    pub(crate) const STATE: &str = "HD007";
    pub(crate) const NO_MIGRATED: &str = "HD008";
    pub(crate) const TEXT: &str = "HD009";
    pub(crate) const DUPLICATE: &str = "HD010";
    pub(crate) const CLAIMED: &str = "HD011";
    pub(crate) const FURTHER_ALONE: &str = "HD012";
    pub(crate) const FURTHER_TWICE: &str = "HD013";
    pub(crate) const FURTHER_RETIRED: &str = "HD014";
    pub(crate) const NOT_ON_POOL: &str = "HD020";
}

/// Where a fault is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    /// From 1.
    pub(super) line: u32,
    /// Number of the field, from 0; none for the whole line.
    pub(super) column: Option<usize>,
}

/// One fault in one line.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    place: Place,
    code: &'static str,
    message: String,
    help: Option<String>,
}

impl Fault {
    pub(super) fn new(place: Place, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            place,
            code,
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All faults found so far. A file can be wrong in every one of a million lines: those that nobody will be shown are counted
/// only.
#[derive(Debug)]
pub(super) struct Faults {
    severity: Severity,
    files: Vec<PathBuf>,
    unreadable: Diagnostics,
    kept: Vec<Fault>,
    omitted: usize,
}

impl Faults {
    pub(super) fn new(files: &[PathBuf]) -> Self {
        Self::of(Severity::Error, files)
    }

    /// What is no fault, but odd.
    pub(super) fn warnings(files: &[PathBuf]) -> Self {
        Self::of(Severity::Warning, files)
    }

    fn of(severity: Severity, files: &[PathBuf]) -> Self {
        Self {
            severity,
            files: files.to_vec(),
            unreadable: Diagnostics::new(),
            kept: Vec::new(),
            omitted: 0,
        }
    }

    pub(super) fn push(&mut self, fault: Fault) {
        if self.kept.len() < Diagnostics::KEPT {
            self.kept.push(fault);
        } else {
            self.omitted += 1;
        }
    }

    pub(super) fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let message = format!("the file cannot be read: {error}");
        self.unreadable
            .push(whole(code::UNREADABLE, &path.to_string_lossy(), message));
    }

    pub(super) fn not_text(&mut self, path: &Path, what: &str) {
        let message = format!("the file cannot be read: {what}");
        let fault = whole(code::ENCODING, &path.to_string_lossy(), message);
        self.unreadable.push(fault.help("save the file as UTF-8"));
    }

    /// The faults as people are shown them, each file's in the order of its lines.
    pub(super) fn into_diagnostics(self) -> Diagnostics {
        let mut diagnostics = self.unreadable;
        for path in &self.files {
            let name: Arc<str> = path.to_string_lossy().into();
            let here: Vec<_> = self
                .kept
                .iter()
                .filter(|fault| fault.place.file == name)
                .collect();
            if here.is_empty() {
                continue;
            }
            // The excerpts of a file that is not UTF-8 are lossy; so may be the places of later faults in the same line.
            let bytes = file::read(path, file::ROOMS_BYTES).unwrap_or_default();
            let format = Format::of(bytes.get(..START.min(bytes.len())).unwrap_or_default());
            let mut text = String::from_utf8_lossy(&bytes);
            if format.has_returns {
                text = text.replace('\r', "\n").into();
            }
            if text.contains('\0') {
                text = text.replace('\0', "\u{fffd}").into();
            }
            let source = Source::new(Arc::clone(&name), &text);
            let lines = Lines::new(&text, format.delimiter);
            for fault in here {
                let span = lines.span(fault.place.line, fault.place.column);
                let diagnostic = match self.severity {
                    Severity::Error => source.error(fault.code, span, fault.message.as_str()),
                    Severity::Warning => source.warning(fault.code, span, fault.message.as_str()),
                };
                diagnostics.push(match &fault.help {
                    Some(help) => diagnostic.help(help.as_str()),
                    None => diagnostic,
                });
            }
        }
        diagnostics.sort();
        for _ in 0..self.omitted {
            let omitted = Diagnostic::whole_file(self.severity, code::FIELDS, "", String::new());
            diagnostics.push(omitted);
        }
        diagnostics
    }
}

fn whole(code: &'static str, file: &str, message: String) -> Diagnostic {
    Diagnostic::whole_file(Severity::Error, code, file, message)
}

/// The lines of a text.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    delimiter: u8,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str, delimiter: u8) -> Self {
        let newlines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let starts = std::iter::once(0)
            .chain(newlines.map(|(at, _)| at + 1))
            .collect();
        Self {
            text,
            starts,
            delimiter,
        }
    }

    /// The bytes of a line, or of one field of it.
    fn span(&self, line: u32, column: Option<usize>) -> Range<usize> {
        let index = (line as usize).saturating_sub(1);
        let start = self.starts.get(index).copied().unwrap_or(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        match column {
            None => start..start + line.len(),
            Some(column) => {
                let field = field(line, column, self.delimiter);
                start + field.start..start + field.end
            }
        }
    }
}

/// The bytes of a field in its line. Delimiters between double quotes are part of the field.
fn field(line: &str, column: usize, delimiter: u8) -> Range<usize> {
    let mut quoted = false;
    let commas = line.bytes().enumerate().filter(|&(_, byte)| {
        quoted ^= byte == b'"';
        byte == delimiter && !quoted
    });
    let mut ends = commas.map(|(at, _)| at).chain(std::iter::once(line.len()));
    let start = match column.checked_sub(1) {
        None => 0,
        Some(before) => ends
            .nth(before)
            .map_or(line.len(), |comma| (comma + 1).min(line.len())),
    };
    let end = ends.next().unwrap_or(line.len()).max(start);
    let field = line.get(start..end).unwrap_or_default();
    let leading = field.len() - field.trim_start().len();
    let start = start + leading;
    start..start + field.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_between_commas_outside_quotes() {
        let line = r#"a, b ,"c,""d""",,e"#;
        let at = |column| line.get(field(line, column, b',')).unwrap();
        assert_eq!(
            [at(0), at(1), at(2), at(3), at(4)],
            ["a", "b", r#""c,""d""""#, "", "e"]
        );
        assert_eq!(field(line, 9, b','), line.len()..line.len());
    }

    #[test]
    fn lines_end_before_their_line_break() {
        let lines = Lines::new("ab\r\ncd,ef\n", b',');
        assert_eq!(lines.span(1, None), 0..2);
        assert_eq!(lines.span(2, Some(1)), 7..9);
        assert_eq!(lines.span(9, Some(1)), 10..10);
    }
}
