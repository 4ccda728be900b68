//! `sib`: what a client wants to know about the server, and what it is told.

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use crate::room::CategoryUri;

/// `sib` in a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerQuery {
    /// The domain asked about.
    pub domain: Box<str>,
    /// Which facts are wanted, as bits. Old clients ask for 123; which bit is which fact is unknown.
    pub info_type: u32,
}

impl ServerQuery {
    pub(crate) fn read(sib: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            domain: sib.attr("domain").unwrap_or_default().into(),
            info_type: sib.parsed("infoType")?.unwrap_or_default(),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.element("sib")
            .attr("domain", &self.domain)
            .attr("infoType", self.info_type)
            .end();
    }
}

/// `sib` in a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerBlock {
    /// Which facts were asked for.
    pub info_type: u32,
    /// The server's clock: UTC, seven digits of fraction.
    pub server_time: Option<Box<str>>,
    /// Results of one search at most.
    pub search_limit: Option<u32>,
    /// Bytes of one message at most.
    pub message_size_limit: Option<u32>,
    /// Bytes of one story at most.
    pub story_size_limit: Option<u32>,
    /// The category all others are in.
    pub root_uri: Option<CategoryUri>,
    /// Changes when what clients have cached is no longer right.
    pub db_version: Option<Box<str>>,
}

impl ServerBlock {
    pub(crate) fn read(sib: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            info_type: sib.parsed("infoType")?.unwrap_or_default(),
            server_time: sib.attr("serverTime").map(Into::into),
            search_limit: sib.parsed("searchLimit")?,
            message_size_limit: sib.parsed("messageSizeLimit")?,
            story_size_limit: sib.parsed("storySizeLimit")?,
            root_uri: sib.parsed("rootUri")?,
            db_version: sib.attr("dbVersion").map(Into::into),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.element("sib")
            .attr("infoType", self.info_type)
            .attr_opt("serverTime", self.server_time.as_deref())
            .attr_opt("searchLimit", self.search_limit)
            .attr_opt("messageSizeLimit", self.message_size_limit)
            .attr_opt("storySizeLimit", self.story_size_limit)
            .attr_opt("rootUri", self.root_uri.as_ref())
            .attr_opt("dbVersion", self.db_version.as_deref())
            .end();
    }
}
