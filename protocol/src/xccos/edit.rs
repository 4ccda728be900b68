//! Changing a document by replacing ranges of it and copying the rest.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::document::Document;
use super::text;

/// A list of replacements for ranges of one document.
///
/// Every byte outside the ranges is copied as it is; unknown elements, white space and attribute order survive by
/// construction. Edits may be added in any order. An edit that starts inside the range of another is void: what it would
/// have changed is gone. Hence an element can be removed without looking for the edits inside it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Edits {
    edits: Vec<Edit>,
    /// The replacements, one behind the other: one allocation however many edits there are.
    replacements: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    range: Range<usize>,
    replacement: Range<usize>,
}

impl Edit {
    /// Where it is applied among others: what inserts comes before what replaces, and what holds others before them.
    fn place(&self) -> (usize, bool, Reverse<usize>) {
        let Range { start, end } = self.range;
        (start, start != end, Reverse(end))
    }
}

impl Edits {
    /// No edits.
    pub fn new() -> Self {
        Self::default()
    }

    /// True when there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The number of edits.
    pub fn len(&self) -> usize {
        self.edits.len()
    }

    /// Puts `replacement` in the place of `range`, as it is: the caller has escaped it. An empty range inserts.
    pub fn replace_raw(&mut self, range: Range<usize>, replacement: &str) {
        self.record(range, |out| out.push_str(replacement));
    }

    /// Puts `value` in the place of `range`, escaped so that it is right in text and inside either kind of quotes.
    pub fn replace(&mut self, range: Range<usize>, value: &str) {
        self.record(range, |out| text::escape_attribute(value, out));
    }

    /// Removes `range`.
    pub fn remove(&mut self, range: Range<usize>) {
        self.record(range, |_| ());
    }

    /// Inserts `replacement` before the byte at `offset`, as it is.
    pub fn insert_raw(&mut self, offset: usize, replacement: &str) {
        self.replace_raw(offset..offset, replacement);
    }

    /// Adds all edits of `other`.
    pub fn append(&mut self, other: &Self) {
        for edit in &other.edits {
            self.replace_raw(edit.range.clone(), other.replacement(edit));
        }
    }

    /// The edited document. Without edits these are the very same bytes, not a copy.
    pub fn apply(&self, document: &Document) -> Bytes {
        let source = document.bytes();
        if self.is_empty() {
            return source.clone();
        }
        self.render(source, 0..source.len()).into()
    }

    /// The edited text of one range of `source`. Edits that are not wholly in the range have no part in it.
    pub fn render(&self, source: &[u8], range: Range<usize>) -> Vec<u8> {
        let within = |edit: &&Edit| edit.range.start >= range.start && edit.range.end <= range.end;
        let edits = self.edits.iter().filter(within);
        // Most are added in order.
        if self.edits.is_sorted_by_key(Edit::place) {
            return self.render_in_order(source, range.clone(), edits);
        }
        let mut edits: Vec<&Edit> = edits.collect();
        edits.sort_by_key(|edit| edit.place());
        self.render_in_order(source, range.clone(), edits.into_iter())
    }

    fn render_in_order<'a>(
        &self,
        source: &[u8],
        range: Range<usize>,
        edits: impl Iterator<Item = &'a Edit>,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(range.len() + self.replacements.len());
        let mut copied = range.start;
        for edit in edits {
            if edit.range.start < copied {
                continue;
            }
            out.extend_from_slice(source.get(copied..edit.range.start).unwrap_or_default());
            out.extend_from_slice(self.replacement(edit).as_bytes());
            copied = edit.range.end;
        }
        out.extend_from_slice(source.get(copied..range.end).unwrap_or_default());
        out
    }

    fn record(&mut self, range: Range<usize>, write: impl FnOnce(&mut String)) {
        debug_assert!(
            range.start <= range.end,
            "a range that ends before it starts"
        );
        let start = self.replacements.len();
        write(&mut self.replacements);
        self.edits.push(Edit {
            range,
            replacement: start..self.replacements.len(),
        });
    }

    fn replacement(&self, edit: &Edit) -> &str {
        self.replacements
            .get(edit.replacement.clone())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Edits {
    /// Without the replacements, which may be message text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.edits.iter().map(|edit| &edit.range))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xccos::Limits;

    fn document(text: &'static str) -> Document {
        Document::parse(text.as_bytes(), &Limits::DEFAULT).unwrap()
    }

    #[test]
    fn without_edits_the_bytes_are_shared() {
        let doc = document("<xccos/>");
        assert_eq!(Edits::new().apply(&doc).as_ptr(), doc.bytes().as_ptr());
    }

    #[test]
    fn edits_apply_in_document_order() {
        let doc = document("<xccos><a/><b/></xccos>");
        let mut edits = Edits::new();
        edits.replace_raw(11..15, "<c/>");
        edits.insert_raw(7, "<z/>");
        edits.remove(7..11);
        assert_eq!(edits.apply(&doc), "<xccos><z/><c/></xccos>");
        assert_eq!(edits.render(doc.bytes(), 11..15), b"<c/>");
        assert_eq!(edits.len(), 3);
    }

    #[test]
    fn an_edit_inside_another_is_void() {
        let doc = document("<xccos><a b='1'/></xccos>");
        let mut edits = Edits::new();
        edits.replace(13..14, "2");
        assert_eq!(edits.apply(&doc), "<xccos><a b='2'/></xccos>");
        edits.remove(7..17);
        assert_eq!(edits.apply(&doc), "<xccos></xccos>");
        // One byte in common is enough; none is not.
        edits.replace_raw(16..18, "x");
        assert_eq!(edits.apply(&doc), "<xccos></xccos>");
        edits.replace_raw(17..18, "[");
        assert_eq!(edits.apply(&doc), "<xccos>[/xccos>");
    }

    #[test]
    fn values_are_escaped_for_either_quote() {
        let doc = document("<xccos a='1'/>");
        let mut edits = Edits::new();
        edits.replace(10..11, "\"it's\" <&>");
        assert_eq!(
            edits.apply(&doc),
            "<xccos a='&quot;it&apos;s&quot; &lt;&amp;&gt;'/>"
        );
    }

    #[test]
    fn appended_edits_keep_their_replacements() {
        let doc = document("<xccos><a/><b/></xccos>");
        let (mut one, mut two) = (Edits::new(), Edits::new());
        one.replace_raw(8..9, "first");
        two.replace_raw(12..13, "second");
        one.append(&two);
        assert_eq!(one.apply(&doc), "<xccos><first/><second/></xccos>");
    }
}
