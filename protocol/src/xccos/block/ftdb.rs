//! `ftdb`: the file for which a token is wanted.

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use crate::room::RoomUri;

/// `ftdb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBlock {
    /// The room the file is or will be in.
    pub room: RoomUri,
    /// The file's name on the user's side.
    pub file: Box<str>,
}

impl FileBlock {
    pub(crate) fn read(ftdb: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            room: ftdb.require_parsed("channelUri")?,
            file: ftdb.require("fileUrl")?.into(),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.element("ftdb")
            .attr("channelUri", &self.room)
            .attr("fileUrl", &self.file)
            .end();
    }
}
