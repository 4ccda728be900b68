//! A file's text with the table of its lines, and the faults found in it.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use super::{Diagnostic, Excerpt, Location, Severity};

/// Longest excerpt that is kept, in bytes. Beyond it a fault shows file, line and column only, so that many faults in one
/// endless line cost little.
const EXCERPT_BYTES: usize = 4_096;

/// A file's name and text, from which faults are made.
#[derive(Debug)]
pub struct Source<'t> {
    name: Arc<str>,
    text: &'t str,
    hidden: bool,
    /// Bytes and lines of the file before the text, if that is only a part of it.
    before: (usize, usize),
    line_starts: OnceCell<Vec<usize>>,
}

impl<'t> Source<'t> {
    /// The text of the file that people know by `name`.
    pub fn new(name: impl Into<Arc<str>>, text: &'t str) -> Self {
        Self {
            name: name.into(),
            text,
            hidden: false,
            before: (0, 0),
            line_starts: OnceCell::new(),
        }
    }

    /// A part of a file's text, which begins after so many bytes and whole lines. Spans are those in the part; what is told
    /// are places in the file.
    pub(crate) fn part(
        name: impl Into<Arc<str>>,
        text: &'t str,
        bytes: usize,
        lines: usize,
    ) -> Self {
        let mut source = Self::new(name, text);
        source.before = (bytes, lines);
        source
    }

    /// Keeps the text out of the faults, for files that hold secrets: only file, line and column are shown.
    #[must_use]
    pub fn hide_text(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The name of the file.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The text of the file.
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// An error about the bytes `span`, which is cut to the text if it reaches beyond.
    pub fn error(
        &self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.fault(Severity::Error, code, span, message)
    }

    /// A warning about the bytes `span`, which is cut to the text if it reaches beyond.
    pub fn warning(
        &self,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.fault(Severity::Warning, code, span, message)
    }

    fn fault(
        &self,
        severity: Severity,
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        let mut fault = Diagnostic::whole_file(severity, code, Arc::clone(&self.name), message);
        fault.location = Some(Box::new(self.locate(span)));
        fault
    }

    /// The line that holds the byte at `offset`, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.before.1 + self.line_of_text(offset)
    }

    fn line_of_text(&self, offset: usize) -> usize {
        self.line_starts()
            .partition_point(|&line_start| line_start <= offset)
    }

    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            let newlines = self
                .text
                .bytes()
                .enumerate()
                .filter(|&(_, byte)| byte == b'\n');
            std::iter::once(0)
                .chain(newlines.map(|(newline, _)| newline + 1))
                .collect()
        })
    }

    fn locate(&self, span: Range<usize>) -> Location {
        let start = floor_boundary(self.text, span.start);
        let end = floor_boundary(self.text, span.end).max(start);
        let starts = self.line_starts();
        let line = self.line_of_text(start);
        let line_start = starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or_default();
        let column = self
            .text
            .get(line_start..start)
            .map_or(0, |before| before.chars().count())
            + 1;

        let last = end.saturating_sub(1).max(start);
        let next_line = starts.partition_point(|&line_start| line_start <= last);
        let lines_end = starts.get(next_line).copied().unwrap_or(self.text.len());
        let excerpt = self
            .text
            .get(line_start..lines_end)
            .filter(|lines| !self.hidden && lines.len() <= EXCERPT_BYTES)
            .map(|lines| {
                let lines = lines
                    .strip_suffix('\n')
                    .map_or(lines, |lines| lines.strip_suffix('\r').unwrap_or(lines));
                let within = |offset: usize| (offset - line_start).min(lines.len());
                Excerpt {
                    text: lines.into(),
                    span: within(start)..within(end),
                }
            });
        let (bytes, lines) = self.before;
        Location {
            span: start + bytes..end + bytes,
            line: line + lines,
            column,
            excerpt,
        }
    }
}

/// The nearest boundary at or before `offset`, of characters and of a CR LF, which is one end of a line.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    let boundary = |offset: &usize| {
        text.split_at_checked(*offset)
            .is_some_and(|(before, behind)| !(before.ends_with('\r') && behind.starts_with('\n')))
    };
    (0..=offset).rev().find(boundary).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(text: &str, span: Range<usize>) -> (usize, usize) {
        let fault = Source::new("f", text).error("HC000", span, "m");
        let location = fault.location().unwrap();
        (location.line(), location.column())
    }

    #[test]
    fn lines_and_columns_count_from_one_and_columns_count_characters() {
        assert_eq!(place("", 0..0), (1, 1));
        assert_eq!(place("a\nb", 2..3), (2, 1));
        assert_eq!(place("a\r\nbc", 4..5), (2, 2));
        assert_eq!(place("äö = 1", 5..6), (1, 4));
        assert_eq!(place("a\n", 2..2), (2, 1));
        // Between CR and LF.
        assert_eq!(place("a\r\nb", 2..2), (1, 2));
    }

    #[test]
    fn a_line_too_long_to_keep_still_has_its_place() {
        let text = format!("x\n{}", "y".repeat(EXCERPT_BYTES + 1));
        let fault = Source::new("f", &text).error("HC000", 3000..3001, "m");
        assert_eq!(fault.location().unwrap().excerpt, None);
        assert!(fault.render(false).contains("f:2:2999"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn any_span_in_any_text_renders(text in "(?s).{0,40}", start in 0usize..60, length in 0usize..30) {
            let source = Source::new("f", &text);
            let fault = source.error("HC000", start..start + length, "message").label("label").help("help");
            let location = fault.location().unwrap();
            let plain = fault.render(false);
            let shown = format!("{}:{}", location.line(), location.column());
            prop_assert!(plain.contains(&shown), "{} not in\n{}", shown, plain);
        }
    }
}
