//! A file cut at its `[[rule]]` and `[[test]]` headings.
//!
//! Ten thousand small documents are read faster than one of ten thousand tables, and those that did not change need not be
//! read again. It comes to the same only if each part is TOML by itself, the rest of the file included: otherwise the file
//! is read as a whole.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::{Block, Content, RuleFile, moved};

/// A heading with what belongs to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) range: Range<usize>,
    /// Lines of the file before it.
    pub(super) lines: usize,
}

/// What a line may begin.
enum Line {
    /// A rule or a test, by its key.
    Heading(&'static str),
    /// A table inside one.
    Inner(&'static str),
    /// Another table.
    Other,
    /// No table.
    Text,
}

fn line(line: &str) -> Line {
    let line = line.trim_start();
    let Some(rest) = line.strip_prefix('[') else {
        return Line::Text;
    };
    let key = rest.strip_prefix('[').unwrap_or(rest);
    for heading in ["rule", "test"] {
        let Some(behind) = key.strip_prefix(heading) else {
            continue;
        };
        if behind.starts_with('.') {
            return Line::Inner(heading);
        }
        if let Some(behind) = behind.strip_prefix("]]")
            && key.len() < rest.len()
            && matches!(behind.trim().chars().next(), None | Some('#'))
        {
            return Line::Heading(heading);
        }
    }
    Line::Other
}

/// The text with blanks in place of the rules and tests, which are told apart. `None` if there are none, or if something
/// else is no TOML by itself.
pub(super) fn split(text: &str) -> Option<(String, Vec<Segment>)> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut others: Vec<Range<usize>> = Vec::new();
    // The heading that the line before belongs to.
    let mut heading = None;
    let mut offset = 0;
    for (lines, text) in text.split_inclusive('\n').enumerate() {
        let range = offset..offset + text.len();
        offset = range.end;
        match line(text) {
            Line::Heading(key) => {
                heading = Some(key);
                segments.push(Segment { range, lines });
                continue;
            }
            // A table inside a test cannot be one of the rule before it.
            Line::Inner(key) if heading == Some(key) => {}
            Line::Inner(_) | Line::Other => heading = None,
            Line::Text => {}
        }
        let last = if heading.is_some() {
            segments.last_mut().map(|segment| &mut segment.range)
        } else {
            others.last_mut()
        };
        match last {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => others.push(range),
        }
    }
    if segments.is_empty() {
        return None;
    }
    let alone = |range: &Range<usize>| {
        text.get(range.clone())
            .is_some_and(|text| DeTable::parse_recoverable(text).1.is_empty())
    };
    if !others.iter().all(alone) {
        return None;
    }
    let mut blanked = String::with_capacity(text.len());
    for other in others {
        // Without line breaks, which would each cost as much as a key: places are told by the text itself.
        blanked.extend(std::iter::repeat_n(' ', other.start - blanked.len()));
        blanked.push_str(text.get(other)?);
    }
    Some((blanked, segments))
}

/// What is kept of an earlier version of the file.
pub(super) struct Kept<'f> {
    blocks: &'f [Block],
    /// The block after the one that was taken last: most files change in one place.
    next: usize,
    /// Made when the order is another.
    by_text: Option<HashMap<&'f str, usize>>,
}

impl<'f> Kept<'f> {
    pub(super) fn new(before: Option<&'f RuleFile>) -> Self {
        Self {
            blocks: before.map_or(&[][..], RuleFile::blocks),
            next: 0,
            by_text: None,
        }
    }

    /// The block of this text at its new place.
    pub(super) fn take(&mut self, text: &str, segment: &Segment) -> Option<Block> {
        let at = self.find(text)?;
        self.next = at + 1;
        // Faults tell their place; what has any is read again.
        let block = self
            .blocks
            .get(at)
            .filter(|block| block.content.faults.is_empty())?;
        let mut block = Block::clone(block);
        block.start = segment.range.start;
        if block.lines != segment.lines {
            let (old, new) = (block.lines, segment.lines);
            block.lines = new;
            block.content = Arc::new(shift(&block.content, old, new));
        }
        Some(block)
    }

    fn find(&mut self, text: &str) -> Option<usize> {
        let is_it = |at: &usize| {
            self.blocks
                .get(*at)
                .is_some_and(|block| *block.text == *text)
        };
        // The next one, or the one after one that was changed or taken out.
        let near = [self.next, self.next + 1, self.next + 2]
            .into_iter()
            .find(is_it);
        if near.is_some() || self.blocks.is_empty() {
            return near;
        }
        let by_text = self.by_text.get_or_insert_with(|| {
            let blocks = self.blocks.iter().enumerate();
            blocks.map(|(at, block)| (&*block.text, at)).collect()
        });
        by_text.get(text).copied()
    }
}

/// The same rules and tests at another line.
fn shift(content: &Content, old: usize, new: usize) -> Content {
    let number = |lines: usize| u32::try_from(lines).unwrap_or(u32::MAX);
    let (old, new) = (number(old), number(new));
    let line = |line: u32| line.saturating_sub(old).saturating_add(new);
    let mut content = content.clone();
    for draft in &mut content.rules {
        draft.rule = moved(&draft.rule, line);
    }
    for draft in &mut content.cases {
        draft.case.place.line = line(draft.case.place.line);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_the_headings_and_the_rest_keeps_its_place() {
        let text =
            "a = 1\n[[rule]] # one\nb = 2\n[rule.when]\nc = 3\n[[test]]\n[log]\nd = 4\n[[rule]]\n";
        let (others, segments) = split(text).unwrap();
        let parts: Vec<&str> = segments
            .iter()
            .map(|segment| text.get(segment.range.clone()).unwrap())
            .collect();
        assert_eq!(
            parts,
            [
                "[[rule]] # one\nb = 2\n[rule.when]\nc = 3\n",
                "[[test]]\n",
                "[[rule]]\n"
            ]
        );
        let lines: Vec<usize> = segments.iter().map(|segment| segment.lines).collect();
        assert_eq!(lines, [1, 5, 8]);
        assert_eq!(others.find("[log]"), text.find("[log]"));
        assert_eq!(others.replace([' ', '\n'], ""), "a=1[log]d=4");
    }

    #[test]
    fn what_is_not_toml_by_itself_is_not_cut() {
        for text in [
            "a = 1\n",
            "x = [\n[[rule]]\nname = \"a\"\n[1]\n]\n",
            "x = \"\"\"\n[[rule]]\nname = \"a\"\n[y]\n\"\"\"\n",
        ] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}
