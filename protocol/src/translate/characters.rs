//! Characters that no strict reader accepts.

use std::ops::Range;

use memchr::memchr_iter;

use crate::xccos::text::forbidden_references;
use crate::xccos::{Document, Edits, ElementRef};

/// Replaces references to characters that XML 1.0 forbids, in `root` and everything in it: by U+FFFD, and two that name the
/// halves of a surrogate pair by the one character of the pair.
///
/// Legacy clients send control characters that way (`&#x1;`), and a strict reader drops the whole document.
pub(super) fn replace_forbidden(document: &Document, root: ElementRef<'_>, edits: &mut Edits) {
    let bytes = document.bytes().get(root.range()).unwrap_or_default();
    if !memchr_iter(b'&', bytes).any(|at| bytes.get(at + 1) == Some(&b'#')) {
        return;
    }
    let mut check = |raw: &str, start: usize| {
        for found in forbidden_references(raw) {
            replace(found, start, edits);
        }
    };
    for element in std::iter::once(root).chain(root.descendants()) {
        for attribute in element.attributes() {
            check(attribute.raw(), attribute.value_range().start);
        }
    }
    for text in root.descendant_texts().filter(|text| !text.is_cdata()) {
        check(text.raw(), text.range().start);
    }
}

/// The same for a range that need not be one element. In a comment or CDATA section nobody misses the reference.
pub(super) fn replace_forbidden_between(
    document: &Document,
    range: Range<usize>,
    edits: &mut Edits,
) {
    let start = range.start;
    let raw = document
        .bytes()
        .get(range)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    for found in forbidden_references(raw.unwrap_or_default()) {
        replace(found, start, edits);
    }
}

/// Writes a reference, which is right whatever encoding a document declares.
fn replace((range, character): (Range<usize>, char), start: usize, edits: &mut Edits) {
    let reference = format!("&#x{:X};", u32::from(character));
    edits.replace_raw(start + range.start..start + range.end, &reference);
}
