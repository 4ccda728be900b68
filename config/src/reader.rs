//! From TOML's spanned values to raw structs, collecting every fault on the way.
//!
//! serde stops at the first fault and loses spans in half of its enum shapes, so the tables are read by hand: a raw struct is
//! declared once with [`tables!`](crate::raw), which makes its reader and its JSON Schema from the same lines.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Source};
use crate::{codes, suggest};

/// A type that can be read from a TOML value.
pub(crate) trait FromToml: Sized {
    /// Whether it is an array.
    const IS_LIST: bool = false;

    /// Reads the value of the key `at`. `None` means that the fault was reported.
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self>;
}

/// What a table holds under one key.
#[derive(Debug, Default)]
pub(crate) enum Key<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// The key is there with a value that was reported as a fault.
    Bad,
    /// The key is there.
    Given(Spanned<T>),
}

impl<T> Key<T> {
    pub(crate) fn given(&self) -> Option<&Spanned<T>> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Bad => None,
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.given().map(Spanned::get_ref)
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub(crate) fn is_bad(&self) -> bool {
        matches!(self, Self::Bad)
    }
}

/// An array, with the place of each element.
#[derive(Debug)]
pub(crate) struct List<T> {
    pub(crate) elements: Vec<Spanned<T>>,
    /// Whether no element is left out because it was reported as a fault.
    pub(crate) complete: bool,
}

impl<T> Key<List<T>> {
    /// The elements; none if the key is absent or bad.
    pub(crate) fn elements(&self) -> &[Spanned<T>] {
        self.get().map_or(&[], |list| list.elements.as_slice())
    }

    /// Whether it is certain that there is no element.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Absent => true,
            Self::Bad => false,
            Self::Given(list) => list.get_ref().complete && list.get_ref().elements.is_empty(),
        }
    }
}

/// Whether a table must have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It must be there.
    Required,
    /// It may be there.
    Optional,
}

/// Reads the values of one file and collects the faults.
#[derive(Debug)]
pub(crate) struct Reader<'t> {
    source: &'t Source<'t>,
    faults: Diagnostics,
    /// Lines with a syntax error. TOML recovers from one, but what it makes of such a line is a guess.
    broken_lines: Vec<usize>,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(source: &'t Source<'t>) -> Self {
        Self {
            source,
            faults: Diagnostics::new(),
            broken_lines: Vec::new(),
        }
    }

    /// Reads the whole file as a `T`. `None` in the first place if the text has a syntax error: then only what is wrong by
    /// itself was reported, because a key that seems to be missing may stand in a broken line.
    pub(crate) fn read_file<T: FromToml>(self) -> (Option<T>, Diagnostics) {
        let text = self.source.text();
        self.read_text(text)
    }

    /// The same with a text in which parts of the file are left blank.
    pub(crate) fn read_text<T: FromToml>(mut self, text: &str) -> (Option<T>, Diagnostics) {
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let mut fault = self.source.error(codes::SYNTAX, span, error.message());
            if let Some(help) = syntax_help(error.message()) {
                fault = fault.help(help);
            }
            let line = fault.location().map_or(0, |location| location.line());
            // One slip often makes several errors in its line; the first says enough.
            if !self.broken_lines.contains(&line) {
                self.broken_lines.push(line);
                self.faults.push(fault);
            }
        }
        let root = Spanned::new(0..0, DeValue::Table(root.into_inner()));
        let value = T::read(&root, "", &mut self);
        (value.filter(|_| self.broken_lines.is_empty()), self.faults)
    }

    pub(crate) fn error(
        &self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.source.error(code, span, message)
    }

    pub(crate) fn report(&mut self, fault: Diagnostic) {
        let broken = fault
            .location()
            .is_some_and(|location| self.broken_lines.contains(&location.line()));
        if !broken {
            self.faults.push(fault);
        }
    }

    /// The table `value`, or a fault.
    pub(crate) fn table<'v, 'i>(
        &mut self,
        value: &'v Spanned<DeValue<'i>>,
        at: &str,
    ) -> Option<&'v DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            DeValue::Array(array)
                if array.iter().any(|element| element.get_ref().is_table())
                    && !at.contains('.') =>
            {
                let fault = self.error(
                    codes::WRONG_TYPE,
                    value.span(),
                    format!("there is only one `{at}`"),
                );
                self.report(
                    fault
                        .label("this is an array of tables")
                        .help(format!("write `[{at}]`")),
                );
                None
            }
            _ => self.wrong_type(value, at, "a table"),
        }
    }

    /// The array `value`, or a fault.
    pub(crate) fn array<'v, 'i>(
        &mut self,
        value: &'v Spanned<DeValue<'i>>,
        at: &str,
    ) -> Option<&'v DeArray<'i>> {
        match value.get_ref() {
            DeValue::Array(array) => Some(array),
            DeValue::Table(_) if !at.contains('.') => {
                let fault = self.error(
                    codes::WRONG_TYPE,
                    value.span(),
                    format!("there can be several `{at}` tables"),
                );
                self.report(
                    fault
                        .label("this is a single table")
                        .help(format!("write `[[{at}]]`")),
                );
                None
            }
            _ => self.wrong_type(value, at, "an array"),
        }
    }

    /// The string `value`, or a fault.
    pub(crate) fn string<'v>(
        &mut self,
        value: &'v Spanned<DeValue<'_>>,
        at: &str,
    ) -> Option<&'v str> {
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(value, at, "a string"),
        }
    }

    /// Reports that the key `at` needs something else than `value`.
    pub(crate) fn wrong_type<T>(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        at: &str,
        expected: &str,
    ) -> Option<T> {
        let got = with_article(value.get_ref());
        let fault = self.error(
            codes::WRONG_TYPE,
            value.span(),
            format!("`{at}` must be {expected}, not {got}"),
        );
        self.report(fault.label(format!("expected {expected}")));
        None
    }

    /// The table `value`, of which `keys` are known, or a fault. Unknown keys are reported.
    pub(crate) fn entries<'v, 'i>(
        &mut self,
        value: &'v Spanned<DeValue<'i>>,
        at: &'v str,
        keys: &'static [(&'static str, Presence)],
    ) -> Option<Entries<'v, 'i>> {
        let table = self.table(value, at)?;
        let known = |key: &str| keys.iter().any(|&(known, _)| known == key);
        let mut misspelled = Vec::new();
        for key in table.keys().filter(|key| !known(key.get_ref())) {
            let name = key.get_ref();
            let offered: Vec<&str> = keys.iter().map(|&(key, _)| key).collect();
            let (message, all) = if at.is_empty() {
                (format!("unknown table or key `{name}`"), "the tables are")
            } else {
                (format!("unknown key `{name}` in `{at}`"), "the keys are")
            };
            let fault = self
                .error(codes::UNKNOWN_KEY, key.span(), message)
                .label("unknown");
            self.report(fault.help(suggest::help(name, &offered, all)));
            misspelled.extend(suggest::nearest(name, offered.iter().copied()));
        }
        Some(Entries {
            table,
            span: value.span(),
            at,
            keys,
            misspelled,
        })
    }

    /// Reads one of the known keys of a table.
    pub(crate) fn key<T: FromToml>(&mut self, entries: &Entries<'_, '_>, key: &str) -> Key<T> {
        if let Some(value) = entries.table.get(key) {
            return match T::read(value, &join(entries.at, key), self) {
                Some(read) => Key::Given(Spanned::new(value.span(), read)),
                None => Key::Bad,
            };
        }
        // What a slip of the pen hides is there, only wrong, and was told. A broken line may hide anything.
        if entries.misspelled.contains(&key) || !self.broken_lines.is_empty() {
            return Key::Bad;
        }
        if entries.keys.contains(&(key, Presence::Required)) {
            self.missing::<T>(entries, key);
        }
        Key::Absent
    }

    fn missing<T: FromToml>(&mut self, entries: &Entries<'_, '_>, key: &str) {
        let at = entries.at;
        let fault = if at.is_empty() {
            let heading = heading::<T>(key);
            let name = Arc::clone(self.source.name());
            let message = format!("the table `{heading}` is missing");
            Diagnostic::whole_file(Severity::Error, codes::MISSING_KEY, name, message)
        } else {
            let message = format!("`{at}` lacks the key `{key}`");
            self.error(codes::MISSING_KEY, entries.span.clone(), message)
                .label(format!("`{key}` is missing"))
        };
        self.report(fault);
    }
}

/// A table that is being read.
pub(crate) struct Entries<'v, 'i> {
    table: &'v DeTable<'i>,
    span: Range<usize>,
    at: &'v str,
    keys: &'static [(&'static str, Presence)],
    /// Known keys that an unknown one was probably meant to be.
    misspelled: Vec<&'static str>,
}

fn heading<T: FromToml>(key: &str) -> String {
    if T::IS_LIST {
        format!("[[{key}]]")
    } else {
        format!("[{key}]")
    }
}

/// What to do about the syntax errors that people make most.
fn syntax_help(message: &str) -> Option<&'static str> {
    const HELPS: &[(&str, &str)] = &[
        (
            "duplicate key",
            "a key and a table may stand only once; remove one of the two",
        ),
        (
            "escaped value",
            "write `\\\\` for a backslash, or the text in single quotes, which know no escapes",
        ),
        ("must be quoted", "put the text in double quotes"),
    ];
    HELPS
        .iter()
        .find(|(part, _)| message.contains(part))
        .map(|&(_, help)| help)
}

/// The path of `key` in the table at `at`.
pub(crate) fn join(at: &str, key: &str) -> String {
    if at.is_empty() {
        key.to_owned()
    } else {
        format!("{at}.{key}")
    }
}

fn with_article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

impl FromToml for String {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        reader.string(value, at).map(str::to_owned)
    }
}

impl FromToml for bool {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            _ => reader.wrong_type(value, at, "`true` or `false`"),
        }
    }
}

impl<T: FromToml> FromToml for List<T> {
    const IS_LIST: bool = true;

    /// Elements at fault are reported and left out.
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let array = reader.array(value, at)?;
        let mut elements = Vec::with_capacity(array.len());
        for (index, element) in array.iter().enumerate() {
            // A table is known by its heading, another element by its number.
            let read = if element.get_ref().is_table() {
                T::read(element, at, reader)
            } else {
                T::read(element, &format!("{at}[{index}]"), reader)
            };
            elements.extend(read.map(|read| Spanned::new(element.span(), read)));
        }
        let complete = elements.len() == array.len();
        Some(Self { elements, complete })
    }
}

/// A whole number from `MIN` to `MAX`, and what holds if the key is absent. The JSON Schema is made from the same numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Int<const MIN: u32, const MAX: u32, const DEFAULT: u32>(u32);

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Key<Int<MIN, MAX, DEFAULT>> {
    pub(crate) fn value(&self) -> u32 {
        self.get().map_or(DEFAULT, |int| int.0)
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> FromToml for Int<MIN, MAX, DEFAULT> {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Integer(integer) = value.get_ref() else {
            return reader.wrong_type(value, at, "an integer");
        };
        let read = to_u32(integer)
            .filter(|number| (MIN..=MAX).contains(number))
            .map(Self);
        if read.is_none() {
            let message = format!("`{at}` must be from {MIN} to {MAX}");
            let fault = reader
                .error(codes::OUT_OF_RANGE, value.span(), message)
                .label("out of range");
            reader.report(fault.help(format!("the default is {DEFAULT}")));
        }
        read
    }
}

fn to_u32(integer: &DeInteger<'_>) -> Option<u32> {
    u32::from_str_radix(integer.as_str(), integer.radix()).ok()
}
