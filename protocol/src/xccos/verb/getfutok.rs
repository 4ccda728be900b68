//! `getfutok`: the right to upload a file. The reply is `getftok`.

use super::super::block::FileBlock;
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::require_child;

/// The command `getfutok`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetUploadToken {
    /// The file.
    pub file: FileBlock,
}

impl GetUploadToken {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            file: FileBlock::read(require_child(data, "ftdb")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.file.write(w);
    }
}
