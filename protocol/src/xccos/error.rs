//! What is wrong with a document.

/// A document, or a part of it, that cannot be understood. Carries no text of the document: message text must never
/// reach a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at byte {offset})")]
pub struct XccosError {
    /// What is wrong.
    pub kind: XccosErrorKind,
    /// Where, in bytes from the start of the document.
    pub offset: usize,
}

impl XccosError {
    pub(crate) fn new(kind: XccosErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }
}

/// The kinds of [`XccosError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XccosErrorKind {
    /// A typed view found an attribute or a text that does not have the form it must have.
    #[error("`{0}` has a value that cannot be understood")]
    BadValue(&'static str),
    /// A character below U+0020 stands in the document itself, where XML 1.0 allows only tab and line breaks.
    #[error("a control character stands in the document")]
    ControlCharacter,
    /// A document type declaration: it could define entities, and no peer sends one.
    #[error("a document type declaration is not accepted")]
    Doctype,
    /// The same attribute twice on one element.
    #[error("an element has the same attribute twice")]
    DuplicateAttribute,
    /// Not well-formed XML.
    #[error("not well-formed: {0}")]
    Malformed(&'static str),
    /// A typed view did not find an element or attribute that must be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The bytes are not UTF-8.
    #[error("the document is not UTF-8")]
    NotUtf8,
    /// The root is not `xccos` in the XCCOS namespace.
    #[error("the root element is not `xccos`")]
    NotXccos,
    /// Elements are nested deeper than [`Limits::depth`](super::Limits::depth).
    #[error("elements are nested deeper than {0}")]
    TooDeep(usize),
    /// More bytes than [`Limits::bytes`](super::Limits::bytes).
    #[error("the document is longer than {0} bytes")]
    TooLong(usize),
    /// An element has more attributes than [`Limits::attributes`](super::Limits::attributes).
    #[error("an element has more than {0} attributes")]
    TooManyAttributes(usize),
    /// More elements than [`Limits::elements`](super::Limits::elements).
    #[error("the document has more than {0} elements")]
    TooManyElements(usize),
}
