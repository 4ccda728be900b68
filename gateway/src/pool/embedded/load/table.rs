//! Reading TOML tables key by key, so that every fault is found in one run and told with its place.

use std::collections::BTreeMap;
use std::ops::Range;

use holdover_config::{Diagnostic, Diagnostics, Source};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::codes;

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// The text being read and the faults found so far.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    source: Source<'t>,
    pub(super) faults: Diagnostics,
}

impl<'t> Reader<'t> {
    /// Begins with `text`, which faults call `name`.
    pub(super) fn new(name: &str, text: &'t str) -> Self {
        Self {
            source: Source::new(name, text),
            faults: Diagnostics::new(),
        }
    }

    /// The text.
    pub(super) fn text(&self) -> &'t str {
        self.source.text()
    }

    /// Notes an error at `span`.
    pub(super) fn error(&mut self, code: &'static str, span: Range<usize>, message: String) {
        self.push(self.source.error(code, span, message));
    }

    /// Notes an error at `span` with what to do about it.
    pub(super) fn error_with_help(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        message: String,
        help: impl Into<String>,
    ) {
        self.push(self.source.error(code, span, message).help(help));
    }

    /// Notes something odd that does not hinder.
    pub(super) fn warning(&mut self, code: &'static str, span: Range<usize>, message: String) {
        self.push(self.source.warning(code, span, message));
    }

    fn push(&mut self, diagnostic: Diagnostic) {
        self.faults.push(diagnostic);
    }
}

/// One table. Keys are taken out of it; what is left at the end is unknown.
pub(super) struct Table<'a> {
    /// What the table is called in messages.
    what: &'static str,
    span: Range<usize>,
    entries: BTreeMap<&'a str, (Range<usize>, &'a Spanned<DeValue<'a>>)>,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// Reads `table`, written at `span`.
    pub(super) fn new(what: &'static str, span: Range<usize>, table: &'a DeTable<'a>) -> Self {
        let entries = table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), (key.span(), value)))
            .collect();
        Self {
            what,
            span,
            entries,
            known: Vec::new(),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.entries.remove(key).map(|(_, value)| value)
    }

    /// The tables of an array of tables.
    pub(super) fn tables(
        &mut self,
        key: &'static str,
        what: &'static str,
        reader: &mut Reader<'_>,
    ) -> Vec<Self> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            reader.error_with_help(
                codes::WRONG_TYPE,
                value.span(),
                format!(
                    "`{key}` must be a list of tables, not {}",
                    kind(value.get_ref())
                ),
                format!("write each {what} under its own [[...]] header"),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for element in array.iter() {
            match element.get_ref() {
                DeValue::Table(table) => tables.push(Self::new(what, element.span(), table)),
                other => reader.error(
                    codes::WRONG_TYPE,
                    element.span(),
                    format!("a {what} must be a table, not {}", kind(other)),
                ),
            }
        }
        tables
    }

    /// A string, if the key is there.
    pub(super) fn string(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<At<String>> {
        let value = self.take(key)?;
        string_of(key, value, reader)
    }

    /// A string that must be there.
    pub(super) fn required_string(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<At<String>> {
        if !self.entries.contains_key(key) {
            self.known.push(key);
            reader.error(
                codes::MISSING_KEY,
                self.span.clone(),
                format!("this {} has no `{key}`", self.what),
            );
            return None;
        }
        self.string(key, reader)
    }

    /// A string or a TOML date-time, as text.
    pub(super) fn moment(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<At<String>> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Datetime(at) => Some(At {
                value: at.to_string(),
                span: value.span(),
            }),
            _ => string_of(key, value, reader),
        }
    }

    /// A boolean, or `default`.
    pub(super) fn boolean(
        &mut self,
        key: &'static str,
        default: bool,
        reader: &mut Reader<'_>,
    ) -> bool {
        let Some(value) = self.take(key) else {
            return default;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            reader.error(
                codes::WRONG_TYPE,
                value.span(),
                format!(
                    "`{key}` must be true or false, not {}",
                    kind(value.get_ref())
                ),
            );
            default
        })
    }

    /// A list of strings; `None` if the key is not there or holds something else.
    pub(super) fn strings(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Option<Vec<At<String>>> {
        let value = self.take(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            reader.error(
                codes::WRONG_TYPE,
                value.span(),
                format!(
                    "`{key}` must be a list of strings, not {}",
                    kind(value.get_ref())
                ),
            );
            return None;
        };
        Some(
            array
                .iter()
                .filter_map(|element| string_of(key, element, reader))
                .collect(),
        )
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, reader: &mut Reader<'_>) {
        for (key, (span, _)) in self.entries {
            reader.error_with_help(
                codes::UNKNOWN_KEY,
                span,
                format!("a {} has no key `{key}`", self.what),
                format!("the keys are {}", self.known.join(", ")),
            );
        }
    }
}

fn string_of(
    key: &str,
    value: &Spanned<DeValue<'_>>,
    reader: &mut Reader<'_>,
) -> Option<At<String>> {
    let span = value.span();
    match value.get_ref() {
        DeValue::String(text) => Some(At {
            value: text.as_ref().to_owned(),
            span,
        }),
        other => {
            reader.error(
                codes::WRONG_TYPE,
                span,
                format!("`{key}` must hold strings, not {}", kind(other)),
            );
            None
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date-time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
