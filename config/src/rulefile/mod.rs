//! One file's rules and tests: read without any other file, so that the result can be kept until the file changes.
//!
//! A rule is not yet one that can be used: whether there are the pools, listeners and regions it names, whether its name is
//! unique, and who stands in its user file is known only together with everything else.

mod case;
mod draft;
mod split;
mod users;

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::{Diagnostics, Source};
use crate::names::RuleName;
use crate::raw;
use crate::reader::{FromToml, Key, List, Reader};
use crate::rules::Rule;

pub(crate) use case::CaseDraft;
pub(crate) use draft::Draft;
pub use users::UserList;

/// The rules and tests of one file, and what is wrong with them as far as the file alone tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    name: Arc<str>,
    blocks: Vec<Block>,
    /// What is wrong beside the blocks: in a file that is not the main one, everything else.
    faults: Diagnostics,
}

/// A part of a file that was read by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins in the file.
    start: usize,
    /// Lines of the file before it.
    lines: usize,
    text: Arc<str>,
    pub(crate) content: Arc<Content>,
}

impl Block {
    /// A span of the block as one of the file.
    pub(crate) fn in_file(&self, span: &Range<usize>) -> Range<usize> {
        self.start + span.start..self.start + span.end
    }
}

/// What a block says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// The name of each rule, also of those that are wrong otherwise.
    pub(crate) names: Vec<(RuleName, Range<usize>)>,
    /// The name of each test, also of those that are wrong otherwise.
    pub(crate) case_names: Vec<(RuleName, Range<usize>)>,
    pub(crate) rules: Vec<Draft>,
    pub(crate) cases: Vec<CaseDraft>,
    pub(crate) faults: Diagnostics,
}

impl RuleFile {
    /// Reads a file that holds rules and tests alone, known to people as `name`.
    #[must_use]
    pub fn parse(name: &str, text: &str) -> Self {
        Self::parse_again(name, text, None)
    }

    /// Reads a file of which an earlier version was read: what both have in common is taken from there.
    #[must_use]
    pub fn parse_again(name: &str, text: &str, before: Option<&Self>) -> Self {
        let (_, faults, mut file) = read::<raw::rules::RuleRoot>(name, text, before);
        file.faults = faults;
        file
    }

    /// The name by which people know the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything that is wrong with the file by itself.
    #[must_use]
    pub fn faults(&self) -> Diagnostics {
        let mut all = self.faults.clone();
        for block in &self.blocks {
            all.extend(block.content.faults.iter().cloned());
        }
        all
    }

    /// How many rules it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks
            .iter()
            .map(|block| block.content.rules.len())
            .sum()
    }

    /// Whether it has no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Each rule with the block that it stands in.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&Block, &Draft)> {
        self.blocks
            .iter()
            .flat_map(|block| block.content.rules.iter().map(move |rule| (block, rule)))
    }

    pub(crate) fn source<'b>(&self, block: &'b Block) -> Source<'b> {
        Source::part(
            Arc::clone(&self.name),
            &block.text,
            block.start,
            block.lines,
        )
    }
}

/// A file that may hold rules and tests.
pub(crate) trait Root: FromToml {
    /// Takes them out.
    fn take(&mut self) -> (Key<List<raw::rules::Rule>>, Key<List<raw::rules::Case>>);
}

impl Root for raw::Root {
    fn take(&mut self) -> (Key<List<raw::rules::Rule>>, Key<List<raw::rules::Case>>) {
        (
            std::mem::take(&mut self.rule),
            std::mem::take(&mut self.test),
        )
    }
}

impl Root for raw::rules::RuleRoot {
    fn take(&mut self) -> (Key<List<raw::rules::Rule>>, Key<List<raw::rules::Case>>) {
        (
            std::mem::take(&mut self.rule),
            std::mem::take(&mut self.test),
        )
    }
}

/// Reads a file that may hold rules: everything else (`None` if the text has a syntax error), its faults, and the rules.
pub(crate) fn read<T: Root>(
    name: &str,
    text: &str,
    before: Option<&RuleFile>,
) -> (Option<T>, Diagnostics, RuleFile) {
    let name: Arc<str> = name.into();
    let source = Source::new(Arc::clone(&name), text);
    let mut file = RuleFile {
        name,
        blocks: Vec::new(),
        faults: Diagnostics::new(),
    };
    if let Some((others, segments)) = split::split(text)
        && let Some(blocks) = blocks(&file.name, text, &segments, before)
    {
        let (root, faults) = Reader::new(&source).read_text::<T>(&others);
        if let Some(mut root) = root {
            let (rules, cases) = root.take();
            // Rules written in yet another way are read with everything else, below.
            if rules.is_absent() && cases.is_absent() {
                file.blocks = blocks;
                return (Some(root), faults, file);
            }
        }
    }
    whole(file, text, &source)
}

/// Reads a file at once.
fn whole<T: Root>(
    mut file: RuleFile,
    text: &str,
    source: &Source<'_>,
) -> (Option<T>, Diagnostics, RuleFile) {
    let (mut root, faults) = Reader::new(source).read_file::<T>();
    if let Some(root) = &mut root {
        let content = content(root, source);
        file.blocks.push(Block {
            start: 0,
            lines: 0,
            text: text.into(),
            content: Arc::new(content),
        });
    }
    (root, faults, file)
}

/// Reads each part by itself. `None` if one cannot be.
fn blocks(
    name: &Arc<str>,
    text: &str,
    segments: &[split::Segment],
    before: Option<&RuleFile>,
) -> Option<Vec<Block>> {
    let mut kept = split::Kept::new(before.filter(|before| before.name == *name));
    segments
        .iter()
        .map(|segment| {
            let part = text.get(segment.range.clone())?;
            if let Some(block) = kept.take(part, segment) {
                return Some(block);
            }
            let source = Source::part(Arc::clone(name), part, segment.range.start, segment.lines);
            let (root, faults) = Reader::new(&source).read_text::<raw::rules::RuleRoot>(part);
            let mut content = content(&mut root?, &source);
            let mut all = faults;
            all.append(content.faults);
            content.faults = all;
            Some(Block {
                start: segment.range.start,
                lines: segment.lines,
                text: part.into(),
                content: Arc::new(content),
            })
        })
        .collect()
}

fn content(root: &mut impl Root, source: &Source<'_>) -> Content {
    let mut content = Content::default();
    let (rules, cases) = root.take();
    if let Key::Given(rules) = rules {
        for rule in rules.into_inner().elements {
            if let Some(name) = rule.get_ref().name.given() {
                content.names.push((name.get_ref().clone(), name.span()));
            }
            let draft = draft::draft(rule, source, &mut content.faults);
            content.rules.extend(draft);
        }
    }
    if let Key::Given(cases) = cases {
        for case in cases.into_inner().elements {
            if let Some(name) = case.get_ref().name.given() {
                content
                    .case_names
                    .push((name.get_ref().clone(), name.span()));
            }
            let draft = case::draft(case, source, &mut content.faults);
            content.cases.extend(draft);
        }
    }
    content
}

/// A rule at another place of its file.
fn moved(rule: &Arc<Rule>, lines: impl Fn(u32) -> u32) -> Arc<Rule> {
    let mut moved = Rule::clone(rule);
    moved.place.line = lines(moved.place.line);
    Arc::new(moved)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::check::{RuleFiles, check};

    const FULL: &str = include_str!("../../examples/full.toml");

    /// What a text is judged to be if it is read in parts where possible, or as a whole.
    fn judged(text: &str, in_parts: bool) -> Result<String, String> {
        let source = Source::new("holdover.toml", text);
        let (raw, mut faults, file) = if in_parts {
            read::<raw::Root>("holdover.toml", text, None)
        } else {
            let name: Arc<str> = "holdover.toml".into();
            let empty = RuleFile {
                name,
                blocks: Vec::new(),
                faults: Diagnostics::new(),
            };
            whole::<raw::Root>(empty, text, &source)
        };
        let rules = RuleFiles {
            files: vec![Arc::new(file)],
            ..RuleFiles::default()
        };
        let Some(raw) = raw else {
            faults.sort();
            return Err(faults.to_string());
        };
        check(&raw, &source, Path::new(""), faults, rules)
            .map(|loaded| format!("{:?}{:?}{}", loaded.settings, loaded.tests, loaded.warnings))
            .map_err(|faults| faults.to_string())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn reading_in_parts_comes_to_the_same(
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..3, prop::sample::select(&[
                "", "[[rule]]\n", "[[test]]\n", "[log]\n", "[rule.when]\n", "\"\"\"\n", "[\n", "]\n", "name = \"x\"\n", "[1]\n",
            ][..])), 0..4),
        ) {
            let mut lines: Vec<&str> = FULL.split_inclusive('\n').collect();
            for (at, removed, inserted) in edits {
                let at = at.index(lines.len());
                let end = (at + removed).min(lines.len());
                lines.splice(at..end, [inserted]);
            }
            let text = lines.concat();
            prop_assert_eq!(judged(&text, true), judged(&text, false));
        }
    }
}
