//! `setpref`: store a blob. Its reply is that of `getpref`.

use super::super::block::PreferenceBlock;
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::require_child;

/// The command `setpref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPreference {
    /// The blob.
    pub preference: PreferenceBlock,
}

impl SetPreference {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            preference: PreferenceBlock::read(require_child(data, "pref")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.preference.write(w);
    }
}
