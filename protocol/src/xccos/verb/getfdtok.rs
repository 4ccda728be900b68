//! `getfdtok`: the right to download a file. The reply is `getftok`.

use super::super::block::FileBlock;
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::require_child;

/// The command `getfdtok`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetDownloadToken {
    /// The file.
    pub file: FileBlock,
}

impl GetDownloadToken {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            file: FileBlock::read(require_child(data, "ftdb")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.file.write(w);
    }
}
