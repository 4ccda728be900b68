//! The lines in which two texts differ. Pure.

use std::fmt::Write as _;

/// Beyond so many comparisons the part that differs is shown as a whole.
const COMPARISONS: usize = 4_000_000;

/// The lines that are only in `before`, with `-`, and those that are only in `after`, with `+`, each group under the numbers of
/// its lines. Empty if the texts are equal.
#[must_use]
pub fn diff(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let start = common(before.iter(), after.iter());
    let (old, new) = (
        before.get(start..).unwrap_or_default(),
        after.get(start..).unwrap_or_default(),
    );
    let end = common(old.iter().rev(), new.iter().rev());
    let old = old.get(..old.len() - end).unwrap_or_default();
    let new = new.get(..new.len() - end).unwrap_or_default();
    let mut text = String::new();
    let mut group = Group::at(start, start);
    for step in steps(old, new) {
        match step {
            Step::Both => {
                group.write(&mut text);
                group = Group::at(
                    group.old + group.removed.len() + 1,
                    group.new + group.added.len() + 1,
                );
            }
            Step::Removed(line) => group.removed.push(line),
            Step::Added(line) => group.added.push(line),
        }
    }
    group.write(&mut text);
    text
}

fn common<'a>(
    one: impl Iterator<Item = &'a &'a str>,
    other: impl Iterator<Item = &'a &'a str>,
) -> usize {
    one.zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}

enum Step<'t> {
    Both,
    Removed(&'t str),
    Added(&'t str),
}

/// How `old` becomes `new`, keeping as many lines as possible.
fn steps<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Step<'t>> {
    let width = new.len() + 1;
    let mut steps = Vec::new();
    let (mut at_old, mut at_new) = (0, 0);
    if old.len().saturating_mul(new.len()) <= COMPARISONS {
        // kept[i][j]: the most lines that old[i..] and new[j..] have in common, in order.
        let mut kept = vec![0_u32; (old.len() + 1) * width];
        let get = |kept: &[u32], i: usize, j: usize| kept.get(i * width + j).copied().unwrap_or(0);
        for (i, line) in old.iter().enumerate().rev() {
            for (j, other) in new.iter().enumerate().rev() {
                let most = if line == other {
                    get(&kept, i + 1, j + 1) + 1
                } else {
                    get(&kept, i + 1, j).max(get(&kept, i, j + 1))
                };
                if let Some(cell) = kept.get_mut(i * width + j) {
                    *cell = most;
                }
            }
        }
        while let (Some(line), Some(other)) = (old.get(at_old), new.get(at_new)) {
            if line == other {
                steps.push(Step::Both);
                at_old += 1;
                at_new += 1;
            } else if get(&kept, at_old + 1, at_new) >= get(&kept, at_old, at_new + 1) {
                steps.push(Step::Removed(line));
                at_old += 1;
            } else {
                steps.push(Step::Added(other));
                at_new += 1;
            }
        }
    }
    steps.extend(old.iter().skip(at_old).map(|line| Step::Removed(line)));
    steps.extend(new.iter().skip(at_new).map(|line| Step::Added(line)));
    steps
}

/// Lines that differ, without one between them that does not.
struct Group<'t> {
    old: usize,
    new: usize,
    removed: Vec<&'t str>,
    added: Vec<&'t str>,
}

impl Group<'_> {
    fn at(old: usize, new: usize) -> Self {
        Self {
            old,
            new,
            removed: Vec::new(),
            added: Vec::new(),
        }
    }

    fn write(&self, text: &mut String) {
        if self.removed.is_empty() && self.added.is_empty() {
            return;
        }
        // Writing to a `String` cannot fail.
        let _written = writeln!(text, "@@ line {} | line {} @@", self.old + 1, self.new + 1);
        for (sign, lines) in [('-', &self.removed), ('+', &self.added)] {
            for line in lines {
                let _written = writeln!(text, "{sign}{line}");
            }
        }
    }
}
