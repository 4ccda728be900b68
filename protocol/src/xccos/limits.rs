//! How large a body may be.

/// Bounds of one XCCOS document. A document beyond any of them is refused with an error of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Elements inside one another, the root counted.
    pub depth: usize,
    /// Attributes of one element, namespace declarations counted.
    pub attributes: usize,
    /// Elements of the whole document.
    pub elements: usize,
}

impl Limits {
    /// Generous for anything a server or a client has a reason to send.
    pub const DEFAULT: Self = Self {
        bytes: 1024 * 1024,
        depth: 32,
        attributes: 64,
        elements: 100_000,
    };

    /// For what was written here: it was bounded when it was made, and must not be lost because it became longer than what
    /// it was made of.
    pub const OWN: Self = Self {
        bytes: usize::MAX,
        depth: usize::MAX,
        attributes: usize::MAX,
        elements: usize::MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
