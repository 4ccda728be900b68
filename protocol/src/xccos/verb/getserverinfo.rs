//! `getserverinfo`: limits, clock and root category of the server.

use super::super::block::{ServerBlock, ServerQuery};
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::require_child;

/// The command `getserverinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetServerInfo {
    /// What is asked.
    pub query: ServerQuery,
}

impl GetServerInfo {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            query: ServerQuery::read(require_child(data, "sib")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.query.write(w);
    }
}

/// The reply to `getserverinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetServerInfoReply {
    /// What the server says of itself.
    pub server: ServerBlock,
}

impl GetServerInfoReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            server: ServerBlock::read(require_child(data, "sib")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.server.write(w);
    }
}
