//! Faults in files that people write, told so that a person can mend them.
//!
//! Every reader of such a file (the configuration, the users file, the directory's CSV, the pool's rooms) reports through
//! these types, so that all faults look alike, are collected in one run and exist as text and as JSON from one value.
//!
//! ```
//! use holdover_config::{Diagnostics, Source};
//!
//! let text = "legacy,pool\nma-chan://contoso.com/1,hq\n";
//! let source = Source::new("rooms.csv", text);
//! let mut faults = Diagnostics::new();
//! faults.push(
//!     source
//!         .error("HD001", 36..38, "the pool `hq` is not configured")
//!         .label("no such pool")
//!         .help("the configured pools are `here` and `there`"),
//! );
//! assert_eq!(faults.error_count(), 1);
//! assert!(faults.render(false).contains("rooms.csv:2:25"));
//! ```

mod render;
mod sarif;
mod source;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};

pub use source::Source;

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not mean what its author thinks.
    Warning,
}

impl Severity {
    /// The lower-case word used in text and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Where in its file a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    span: Range<usize>,
    line: usize,
    column: usize,
    excerpt: Option<Excerpt>,
}

impl Location {
    /// The bytes at fault, as offsets from the start of the file.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Line of the first byte at fault, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column of the first byte at fault in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

/// The whole lines that a span touches, so that a diagnostic outlives the text it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    text: Box<str>,
    span: Range<usize>,
}

/// One fault in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    code: &'static str,
    severity: Severity,
    file: Arc<str>,
    /// Boxed, so that a fault is small enough to be the `Err` of a result.
    location: Option<Box<Location>>,
    message: String,
    label: Option<String>,
    help: Option<String>,
}

impl Diagnostic {
    /// A fault of a file as a whole, for example that it cannot be read.
    pub fn whole_file(
        severity: Severity,
        code: &'static str,
        file: impl Into<Arc<str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity,
            file: file.into(),
            location: None,
            message: message.into(),
            label: None,
            help: None,
        }
    }

    /// Adds what is written next to the marked text: a few words, lower case, no full stop.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same place with another fault.
    pub(crate) fn retold(mut self, code: &'static str, message: String) -> Self {
        self.code = code;
        self.message = message;
        self
    }

    /// The same as a warning.
    pub(crate) fn into_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The stable code of this kind of fault.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The name of the file at fault, as it was given to the reader.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where in the file, unless the fault is the file's as a whole.
    pub fn location(&self) -> Option<&Location> {
        self.location.as_deref()
    }

    /// What is wrong: one sentence without a full stop.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The diagnostic for people, with the lines at fault, without a line break at its end. `color` adds ANSI colours.
    pub fn render(&self, color: bool) -> String {
        render::render(self, color)
    }

    /// The diagnostic for programs. Absent parts are `null`.
    pub fn to_json(&self) -> Value {
        let location = self.location.as_ref();
        json!({
            "code": self.code,
            "severity": self.severity.as_str(),
            "file": &*self.file,
            "line": location.map(|location| location.line),
            "column": location.map(|location| location.column),
            "start": location.map(|location| location.span.start),
            "end": location.map(|location| location.span.end),
            "message": self.message,
            "label": self.label,
            "help": self.help,
        })
    }
}

impl fmt::Display for Diagnostic {
    /// One line, for logs: `file:line:column: error[code]: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(location) = &self.location {
            write!(f, ":{}:{}", location.line, location.column)?;
        }
        write!(
            f,
            ": {}[{}]: {}",
            self.severity.as_str(),
            self.code,
            self.message
        )
    }
}

/// All faults found in one run.
///
/// A generated file can be wrong in every line. The first [`Diagnostics::KEPT`] faults are kept, the others are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

impl Diagnostics {
    /// How many faults are kept to be shown.
    pub const KEPT: usize = 1_000;

    /// No faults yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fault.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        match diagnostic.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.kept.len() < Self::KEPT {
            self.kept.push(diagnostic);
        }
    }

    /// Adds all faults of another run.
    pub fn append(&mut self, other: Self) {
        self.errors += other.errors;
        self.warnings += other.warnings;
        let room = Self::KEPT.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }

    /// Puts the faults of each file in the order in which they stand in it, those of the whole file last. Files keep the order of their first fault.
    pub fn sort(&mut self) {
        let mut files: Vec<Arc<str>> = Vec::new();
        for diagnostic in &self.kept {
            if !files.contains(&diagnostic.file) {
                files.push(Arc::clone(&diagnostic.file));
            }
        }
        self.kept.sort_by_key(|diagnostic| {
            let file = files.iter().position(|file| *file == diagnostic.file);
            let start = diagnostic
                .location
                .as_ref()
                .map_or(usize::MAX, |location| location.span.start);
            (file, start)
        });
    }

    /// Whether nothing at all was found.
    pub fn is_empty(&self) -> bool {
        self.errors == 0 && self.warnings == 0
    }

    /// Whether the file cannot be used.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Number of errors, kept or not.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// Number of faults that were counted but not kept.
    pub fn omitted(&self) -> usize {
        (self.errors + self.warnings).saturating_sub(self.kept.len())
    }

    /// The kept faults.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.kept.iter()
    }

    /// The counts in words, for example `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let count = |number: usize, word: &str| match number {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{number} {word}s")),
        };
        let parts: Vec<_> = [count(self.errors, "error"), count(self.warnings, "warning")]
            .into_iter()
            .flatten()
            .collect();
        if parts.is_empty() {
            "no faults".to_owned()
        } else {
            parts.join(", ")
        }
    }

    /// Every kept fault for people, an empty line after each, and the summary at the end. Empty if there is no fault.
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        if self.is_empty() {
            return text;
        }
        for diagnostic in &self.kept {
            text.push_str(&diagnostic.render(color));
            text.push_str("\n\n");
        }
        text.push_str(&self.summary());
        match self.omitted() {
            0 => {}
            omitted => text.push_str(&format!(" ({omitted} not shown)")),
        }
        text.push('\n');
        text
    }

    /// Every kept fault and the counts, for programs.
    pub fn to_json(&self) -> Value {
        json!({
            "errors": self.errors,
            "warnings": self.warnings,
            "omitted": self.omitted(),
            "diagnostics": self.kept.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Diagnostics {
    /// Every kept fault in SARIF 2.1.0, told by the program of this version.
    pub fn to_sarif(&self, version: &str) -> Value {
        sarif::sarif(self, version)
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        let mut diagnostics = Self::new();
        diagnostics.push(diagnostic);
        diagnostics
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        for diagnostic in diagnostics {
            self.push(diagnostic);
        }
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    /// The plain rendering for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_outlive_the_kept_faults() {
        let source = Source::new("a.csv", "x");
        let mut all = Diagnostics::new();
        for _ in 0..Diagnostics::KEPT + 5 {
            all.push(source.error("HC000", 0..1, "no"));
        }
        let mut more = Diagnostics::from(source.warning("HC000", 0..1, "hm"));
        more.append(all);
        assert_eq!(more.iter().count(), Diagnostics::KEPT);
        assert_eq!(more.error_count(), Diagnostics::KEPT + 5);
        assert_eq!(more.omitted(), 6);
        assert!(
            more.render(false)
                .ends_with("1005 errors, 1 warning (6 not shown)\n")
        );
    }

    #[test]
    fn sorting_is_by_place_within_a_file() {
        let text = "one\ntwo\nthree\n";
        let (b, a) = (Source::new("b", text), Source::new("a", text));
        let mut all = Diagnostics::new();
        all.push(b.error("HC000", 8..9, "b3"));
        all.push(a.error("HC000", 0..1, "a1"));
        all.push(b.error("HC000", 0..1, "b1"));
        all.sort();
        let order: Vec<_> = all.iter().map(Diagnostic::message).collect();
        assert_eq!(order, ["b1", "b3", "a1"]);
    }

    #[test]
    fn json_and_text_tell_the_same() {
        let source = Source::new("c.toml", "domain = 5\n");
        let fault = source
            .error("HC004", 9..10, "expected a string")
            .label("a number")
            .help("quote it");
        assert_eq!(
            fault.to_json(),
            json!({
                "code": "HC004", "severity": "error", "file": "c.toml", "line": 1, "column": 10, "start": 9, "end": 10,
                "message": "expected a string", "label": "a number", "help": "quote it",
            })
        );
        assert_eq!(
            fault.to_string(),
            "c.toml:1:10: error[HC004]: expected a string"
        );
        let whole = Diagnostic::whole_file(Severity::Error, "HC001", "c.toml", "cannot be read");
        assert_eq!(whole.to_json()["line"], Value::Null);
        assert_eq!(whole.to_string(), "c.toml: error[HC001]: cannot be read");
    }
}
