//! A parsed document: the bytes as they came, and where everything in them stands.
//!
//! Elements, attributes and text runs lie in three flat lists in document order and hold ranges into the bytes. Nothing
//! is copied or unescaped until it is asked for.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::error::{XccosError, XccosErrorKind};
use super::limits::Limits;
use super::{parse, text};

/// A range of the document. Documents are bounded well below 4 GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One element. Its descendants follow it directly in the list, up to `descendants_end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// The name with its prefix.
    pub(super) name: Span,
    /// Bytes of the prefix and its colon.
    pub(super) prefix: u32,
    /// From `<` to the last `>`.
    pub(super) whole: Span,
    /// Between the tags; empty and at the end for `<a/>`.
    pub(super) content: Span,
    /// Index of the element around it; its own for the root.
    pub(super) parent: u32,
    pub(super) descendants_end: u32,
    /// Indexes of its attributes.
    pub(super) attributes: Span,
    /// Indexes of the text runs in it and in its descendants.
    pub(super) texts: Span,
}

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) name: Span,
    /// Between the quotes.
    pub(super) value: Span,
}

/// One stretch of text between markup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) span: Span,
    pub(super) parent: u32,
    pub(super) is_cdata: bool,
}

/// An XCCOS document and the positions of everything in it.
///
/// Read leniently: a byte order mark, an XML declaration, prefixes, CDATA, comments, and character references that
/// XML 1.0 forbids are all fine. Elements are found by local name. A document type declaration is refused.
#[derive(Clone)]
pub struct Document {
    bytes: Bytes,
    elements: Vec<Element>,
    attributes: Vec<Attribute>,
    texts: Vec<Text>,
}

impl Document {
    /// Finds everything in `bytes`, which is kept as it is.
    ///
    /// # Errors
    /// [`XccosError`] when the bytes are beyond `limits`, not UTF-8, not well-formed, or the root is not `xccos`.
    pub fn parse(bytes: impl Into<Bytes>, limits: &Limits) -> Result<Self, XccosError> {
        let bytes = bytes.into();
        let parse::Parsed {
            elements,
            attributes,
            texts,
        } = parse::parse(&bytes, limits)?;
        let document = Self {
            bytes,
            elements,
            attributes,
            texts,
        };
        if document.elements.is_empty() {
            return Err(XccosError::new(XccosErrorKind::Malformed("no element"), 0));
        }
        if !document.root().is_xccos() {
            return Err(XccosError::new(
                XccosErrorKind::NotXccos,
                document.root().range().start,
            ));
        }
        Ok(document)
    }

    /// The bytes as they came, a byte order mark included. All ranges count from their start.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The element `xccos`.
    pub fn root(&self) -> ElementRef<'_> {
        ElementRef {
            document: self,
            index: 0,
        }
    }

    /// All elements in document order, the root first.
    pub fn elements(&self) -> impl ExactSizeIterator<Item = ElementRef<'_>> {
        (0..self.elements.len()).map(|index| ElementRef {
            document: self,
            index,
        })
    }

    /// All text runs in document order, white space between elements included.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = TextRef<'_>> {
        self.texts.iter().map(|text| TextRef {
            document: self,
            text: *text,
        })
    }

    fn str(&self, span: Span) -> &str {
        // The whole was checked to be UTF-8 and every span borders on ASCII, so this never fails; checking these few
        // bytes again is cheaper than keeping a second copy of the document as a `str`.
        std::str::from_utf8(self.slice(span)).unwrap_or_default()
    }

    fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.range()).unwrap_or_default()
    }
}

impl fmt::Debug for Document {
    /// Shows sizes only: message text must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.bytes.len())
            .field("elements", &self.elements.len())
            .finish_non_exhaustive()
    }
}

/// One element of a [`Document`].
#[derive(Clone, Copy)]
pub struct ElementRef<'a> {
    document: &'a Document,
    index: usize,
}

impl<'a> ElementRef<'a> {
    /// The name without its prefix.
    pub fn name(self) -> &'a str {
        let element = self.get();
        self.document.str(Span {
            start: element.name.start + element.prefix,
            ..element.name
        })
    }

    /// True when the name without its prefix is `name`.
    pub fn is(self, name: &str) -> bool {
        let element = self.get();
        let local = Span {
            start: element.name.start + element.prefix,
            ..element.name
        };
        self.document.slice(local) == name.as_bytes()
    }

    /// The prefix of the name, without its colon; empty when there is none.
    pub fn prefix(self) -> &'a str {
        let element = self.get();
        let end = element.name.start + element.prefix.saturating_sub(1);
        self.document.str(Span {
            end,
            ..element.name
        })
    }

    /// From the `<` of its start tag to the `>` of its end.
    pub fn range(self) -> Range<usize> {
        self.get().whole.range()
    }

    /// What stands between its tags. Empty, and at the end of the element, for `<a/>`.
    pub fn content_range(self) -> Range<usize> {
        self.get().content.range()
    }

    /// The name as it stands in the start tag, with its prefix.
    pub fn name_range(self) -> Range<usize> {
        self.get().name.range()
    }

    /// True for `<a/>`.
    pub fn is_self_closing(self) -> bool {
        let element = self.get();
        element.content.start == element.whole.end
    }

    /// Its position in [`Document::elements`].
    pub fn index(self) -> usize {
        self.index
    }

    /// The document it is in.
    pub fn document(self) -> &'a Document {
        self.document
    }

    /// It, and nothing else, as if it were all children of its parent.
    pub(crate) fn alone(self) -> Children<'a> {
        Children {
            document: self.document,
            next: self.index,
            end: self.index + 1,
        }
    }

    /// The element around it; `None` for the root.
    pub fn parent(self) -> Option<Self> {
        let parent = self.get().parent as usize;
        (parent != self.index).then_some(Self {
            index: parent,
            ..self
        })
    }

    /// The elements directly in it, in order.
    pub fn children(self) -> Children<'a> {
        Children {
            document: self.document,
            next: self.index + 1,
            end: self.get().descendants_end as usize,
        }
    }

    /// The first child of this name.
    pub fn child(self, name: &str) -> Option<Self> {
        self.children().find(|child| child.is(name))
    }

    /// The children of this name, in order.
    pub fn children_named(self, name: &str) -> impl Iterator<Item = Self> {
        self.children().filter(move |child| child.is(name))
    }

    /// The elements in it at any depth, in document order.
    pub fn descendants(self) -> impl ExactSizeIterator<Item = Self> {
        (self.index + 1..self.get().descendants_end as usize)
            .map(move |index| Self { index, ..self })
    }

    /// The text runs in it at any depth, in document order.
    pub fn descendant_texts(self) -> impl ExactSizeIterator<Item = TextRef<'a>> {
        let document = self.document;
        document
            .texts
            .get(self.get().texts.range())
            .unwrap_or_default()
            .iter()
            .map(move |text| TextRef {
                document,
                text: *text,
            })
    }

    /// Its attributes, in order, namespace declarations included.
    pub fn attributes(self) -> impl ExactSizeIterator<Item = AttributeRef<'a>> {
        let document = self.document;
        document
            .attributes
            .get(self.get().attributes.range())
            .unwrap_or_default()
            .iter()
            .map(move |attribute| AttributeRef {
                document,
                attribute: *attribute,
            })
    }

    /// The attribute of exactly this name.
    pub fn attribute(self, name: &str) -> Option<AttributeRef<'a>> {
        self.attributes().find(|attribute| attribute.is(name))
    }

    /// The value of an attribute, unescaped.
    pub fn attr(self, name: &str) -> Option<Cow<'a, str>> {
        self.attribute(name).map(AttributeRef::value)
    }

    /// Where the value of an attribute stands, between its quotes.
    pub fn attr_range(self, name: &str) -> Option<Range<usize>> {
        self.attribute(name).map(AttributeRef::value_range)
    }

    /// The text runs directly in it, in order.
    pub fn texts(self) -> impl Iterator<Item = TextRef<'a>> {
        let document = self.document;
        let index = self.index;
        document
            .texts
            .get(self.get().texts.range())
            .unwrap_or_default()
            .iter()
            .filter(move |text| text.parent as usize == index)
            .map(move |text| TextRef {
                document,
                text: *text,
            })
    }

    /// The text directly in it, unescaped, without that of its descendants. Line breaks are as they stand.
    pub fn text(self) -> Cow<'a, str> {
        let mut runs = self.texts();
        let Some(first) = runs.next() else {
            return Cow::Borrowed("");
        };
        runs.fold(first.value(), |mut whole, run| {
            whole.to_mut().push_str(&run.value());
            whole
        })
    }

    /// An error about this element.
    pub(crate) fn error(self, kind: XccosErrorKind) -> XccosError {
        XccosError::new(kind, self.range().start)
    }

    /// An attribute that must be there.
    pub(crate) fn require(self, name: &'static str) -> Result<Cow<'a, str>, XccosError> {
        self.attr(name)
            .ok_or_else(|| self.error(XccosErrorKind::Missing(name)))
    }

    /// An attribute that must have a certain form, when it is there.
    pub(crate) fn parsed<T: std::str::FromStr>(
        self,
        name: &'static str,
    ) -> Result<Option<T>, XccosError> {
        let Some(value) = self.attr(name) else {
            return Ok(None);
        };
        let bad = |_| self.error(XccosErrorKind::BadValue(name));
        value.trim().parse().map(Some).map_err(bad)
    }

    /// An attribute that must be there and have a certain form.
    pub(crate) fn require_parsed<T: std::str::FromStr>(
        self,
        name: &'static str,
    ) -> Result<T, XccosError> {
        self.parsed(name)?
            .ok_or_else(|| self.error(XccosErrorKind::Missing(name)))
    }

    /// True for `xccos` in the XCCOS namespace, or without any declaration of its namespace.
    fn is_xccos(self) -> bool {
        let prefix = self.prefix().as_bytes();
        let declares = |attribute: &AttributeRef<'_>| {
            let name = self.document.slice(attribute.attribute.name);
            match name.strip_prefix(b"xmlns") {
                Some(b"") => prefix.is_empty(),
                Some(name) => !prefix.is_empty() && name.strip_prefix(b":") == Some(prefix),
                None => false,
            }
        };
        let names_xccos = |found: AttributeRef<'_>| {
            found.raw_bytes() == super::NAMESPACE.as_bytes() || found.value() == super::NAMESPACE
        };
        self.is("xccos") && self.attributes().find(declares).is_none_or(names_xccos)
    }

    fn get(self) -> Element {
        // An index always comes from the list itself. The fallback is an empty element at the start.
        self.document
            .elements
            .get(self.index)
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Debug for ElementRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}> at {:?}", self.name(), self.range())
    }
}

/// The elements directly in another one. See [`ElementRef::children`].
#[derive(Clone, Debug)]
pub struct Children<'a> {
    document: &'a Document,
    next: usize,
    end: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = ElementRef<'a>;

    fn next(&mut self) -> Option<ElementRef<'a>> {
        if self.next >= self.end {
            return None;
        }
        let child = ElementRef {
            document: self.document,
            index: self.next,
        };
        self.next = child.get().descendants_end as usize;
        Some(child)
    }
}

/// One attribute of an element.
#[derive(Clone, Copy)]
pub struct AttributeRef<'a> {
    document: &'a Document,
    attribute: Attribute,
}

impl<'a> AttributeRef<'a> {
    /// The name with its prefix: a prefixed attribute is another attribute.
    pub fn name(self) -> &'a str {
        self.document.str(self.attribute.name)
    }

    /// True when the name, with its prefix, is `name`.
    pub fn is(self, name: &str) -> bool {
        self.document.slice(self.attribute.name) == name.as_bytes()
    }

    /// The value, unescaped.
    pub fn value(self) -> Cow<'a, str> {
        text::unescape_attribute(self.raw())
    }

    /// The value as it stands between its quotes.
    pub fn raw(self) -> &'a str {
        self.document.str(self.attribute.value)
    }

    /// The bytes of the value as they stand between its quotes: cheaper than [`raw`](Self::raw) for a search.
    pub fn raw_bytes(self) -> &'a [u8] {
        self.document.slice(self.attribute.value)
    }

    /// Where the value stands, between its quotes.
    pub fn value_range(self) -> Range<usize> {
        self.attribute.value.range()
    }

    /// From the first byte of the name to the closing quote.
    pub fn range(self) -> Range<usize> {
        self.attribute.name.start as usize..self.attribute.value.end as usize + 1
    }
}

impl fmt::Debug for AttributeRef<'_> {
    /// Without the value, which may be a file token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}", self.name(), self.value_range())
    }
}

/// One stretch of text between markup.
#[derive(Clone, Copy)]
pub struct TextRef<'a> {
    document: &'a Document,
    text: Text,
}

impl<'a> TextRef<'a> {
    /// Where it stands; for CDATA what is inside the brackets.
    pub fn range(self) -> Range<usize> {
        self.text.span.range()
    }

    /// As it stands, references and all.
    pub fn raw(self) -> &'a str {
        self.document.str(self.text.span)
    }

    /// The bytes as they stand: cheaper than [`raw`](Self::raw) for a search.
    pub fn raw_bytes(self) -> &'a [u8] {
        self.document.slice(self.text.span)
    }

    /// True inside `<![CDATA[` and `]]>`, where nothing is escaped.
    pub fn is_cdata(self) -> bool {
        self.text.is_cdata
    }

    /// The text it stands for.
    pub fn value(self) -> Cow<'a, str> {
        if self.text.is_cdata {
            Cow::Borrowed(self.raw())
        } else {
            text::unescape(self.raw())
        }
    }

    /// The element it is directly in.
    pub fn parent(self) -> ElementRef<'a> {
        ElementRef {
            document: self.document,
            index: self.text.parent as usize,
        }
    }
}

impl fmt::Debug for TextRef<'_> {
    /// Without the text, which may be a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text at {:?}", self.range())
    }
}
