//! How much of a message a peer may make us hold.

/// Bounds on one message. A message that goes over any of them ends the connection, since what lies beyond it cannot be
/// found without reading on; bodies may be [skipped](super::Decoder::skip_bodies).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head: start line, header fields and the empty line. At most `u32::MAX` is used.
    pub head: usize,
    /// Bytes of a body.
    pub body: usize,
    /// Number of header fields, each line counted once.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 * 1024,
            body: 1024 * 1024,
            headers: 256,
        }
    }
}
