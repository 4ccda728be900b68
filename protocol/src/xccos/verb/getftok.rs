//! `getftok`: the reply to `getfutok` and `getfdtok`. There is no command of this name.

use super::super::block::TokenBlock;
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::require_child;

/// The reply `getftok`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetFileTokenReply {
    /// The token.
    pub token: TokenBlock,
}

impl GetFileTokenReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            token: TokenBlock::read(require_child(data, "token")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.token.write(w);
    }
}
