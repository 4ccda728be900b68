//! `getpref`: read a blob.

use super::super::block::PreferenceBlock;
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;
use super::require_child;

/// The command `getpref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetPreference {
    /// Which blob, and which version the client has.
    pub preference: PreferenceBlock,
}

impl GetPreference {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            preference: PreferenceBlock::read(require_child(data, "pref")?)?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        self.preference.write(w);
    }
}

/// The reply to `getpref` and to `setpref`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreferenceReply {
    /// The blob and its version; nothing when there is none.
    pub preference: Option<PreferenceBlock>,
}

impl PreferenceReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            preference: data.child("pref").map(PreferenceBlock::read).transpose()?,
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        if let Some(preference) = &self.preference {
            preference.write(w);
        }
    }
}
