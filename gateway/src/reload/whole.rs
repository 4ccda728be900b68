//! Whether files that changed are whole, as far as that can be told from outside.
//!
//! Whoever copies a file in place may pause, or be cut off, anywhere in it. What was read until then may be right by itself and say
//! something else: a room that leads elsewhere because the last value is cut, users who are let in because the rest of a list
//! is missing.

use holdover_config::settings::Whole;
use holdover_config::{Diagnostic, Diagnostics, Severity};

use super::read::{Amount, CHANGING, FileKind, RULES, Version};
use crate::hash::Hash;

/// Stable code of a file whose last line has no end.
const NO_LINE_END: &str = "HT003";

/// Stable code of a version that leaves few of the rooms or users there were.
const FEWER: &str = "HT004";

/// Stable code of a folder of rules that is gone.
const NO_FOLDER: &str = "HT009";

/// What makes it likely that a version was read from files that are not whole, compared with the one that is in use.
pub(super) fn doubts(running: &Version, version: &Version) -> Diagnostics {
    let mut doubts = Diagnostics::new();
    for file in version.files.iter().filter(|file| !file.is_ended) {
        let before = running.files.iter().find(|before| before.name == file.name);
        // Some programs never end the last line.
        if before.is_some_and(|before| !before.is_ended) {
            continue;
        }
        let path = file.path.display().to_string();
        let message = "the last line has no line end: the file may be cut short";
        doubts.push(
            Diagnostic::whole_file(Severity::Error, NO_LINE_END, path, message).help(
                "end the last line with a line break, or apply the file as it is with `holdover reload --accept-fewer`",
            ),
        );
    }
    doubts.extend(without_folder(running));
    let Whole { keep_percent, .. } = version.settings.live.whole;
    for now in &version.amounts {
        let before = running
            .amounts
            .iter()
            .find(|before| (before.what, &before.file) == (now.what, &now.file));
        if now.what == RULES && !may_lack_rules(running, version, now) {
            continue;
        }
        if let Some(before) = before.filter(|before| is_few(before, now, keep_percent)) {
            let (what, number, before) = (now.what, now.number, before.number);
            let message = format!(
                "{number} of {before} {what} would remain, less than {keep_percent} %: the file may be cut short"
            );
            doubts.push(
                Diagnostic::whole_file(Severity::Error, FEWER, now.file.as_str(), message).help(
                    "if that is meant, apply it with `holdover reload --accept-fewer`, or lower `keep_percent` in `[reload]`",
                ),
            );
        }
    }
    doubts
}

/// The fault of a folder of rules that was there and is not: it was moved away for a while, or a disk is not mounted. Whoever
/// needs no rules any more removes the files in it.
fn without_folder(running: &Version) -> Option<Diagnostic> {
    let mut files = running.files.iter();
    let file = files.find(|file| file.kind == FileKind::Rules)?;
    let folder = file.path.parent().filter(|folder| !folder.is_dir())?;
    let (path, message) = (
        folder.display().to_string(),
        "the folder of rules is not there any more",
    );
    let fault = Diagnostic::whole_file(Severity::Error, NO_FOLDER, path, message);
    Some(fault.help(
        "bring it back; if its rules are to go, remove the files in it, or apply this with `holdover reload --accept-fewer`",
    ))
}

fn is_few(before: &Amount, now: &Amount, percent: usize) -> bool {
    now.number.saturating_mul(100) < before.number.saturating_mul(percent)
}

/// Whether rules may be missing from a file of which few remain: they were not moved to another one, nor is the file's only rule
/// gone, which is often removed or made a comment. A file without content is most likely about to be written.
fn may_lack_rules(running: &Version, version: &Version, now: &Amount) -> bool {
    let number = |version: &Version| version.settings.live.rules.len();
    let is_empty = version
        .files
        .iter()
        .any(|file| file.path.display().to_string() == now.file && file.hash == Hash::of(b""));
    let lost = number(running).saturating_sub(number(version));
    lost > 1 || (lost == 1 && is_empty)
}

/// The fault of files that go on changing.
pub(super) fn unsettled(config: String) -> Diagnostics {
    let message = "the files go on changing: they are not read before they have settled";
    Diagnostic::whole_file(Severity::Error, CHANGING, config, message)
        .help("they are read when they have not changed for `settle_ms` in `[reload]`")
        .into()
}
