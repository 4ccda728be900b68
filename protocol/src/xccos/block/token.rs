//! `token`: the right to fetch or store one file.

use std::fmt;

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;

/// `token`. Whoever holds it can use it for half an hour, so it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenBlock {
    /// The secret.
    pub token: Box<str>,
    /// The web service that takes it.
    pub server_uri: Box<str>,
}

impl TokenBlock {
    pub(crate) fn read(token: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            token: token.require("token")?.into(),
            server_uri: token.require("serveruri")?.into(),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.element("token")
            .attr("token", &self.token)
            .attr("serveruri", &self.server_uri)
            .end();
    }
}

impl fmt::Debug for TokenBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBlock")
            .field("server_uri", &self.server_uri)
            .finish_non_exhaustive()
    }
}
