//! `pref`: a numbered blob that a client keeps on the server.

use std::fmt;

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;

/// `pref`.
#[derive(Clone, PartialEq, Eq)]
pub struct PreferenceBlock {
    /// The name of the blob, opaque.
    pub label: Box<str>,
    /// Counts the versions. A read brings content only when the server's number is higher than the reader's.
    pub seqid: u64,
    /// A read makes an empty blob when there is none.
    pub create_default: Option<bool>,
    /// The blob in base64.
    pub content: Option<Box<str>>,
}

impl PreferenceBlock {
    pub(crate) fn read(pref: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            label: pref.require("label")?.into(),
            seqid: pref.parsed("seqid")?.unwrap_or_default(),
            create_default: pref
                .attr("createdefault")
                .map(|it| it.eq_ignore_ascii_case("true")),
            content: pref.attr("content").map(Into::into),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.element("pref")
            .attr("label", &self.label)
            .attr("seqid", self.seqid)
            .attr_opt("createdefault", self.create_default)
            .attr_opt("content", self.content.as_deref())
            .end();
    }
}

impl fmt::Debug for PreferenceBlock {
    /// Without the content, which is private to its user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreferenceBlock")
            .field("label", &self.label)
            .field("seqid", &self.seqid)
            .field("create_default", &self.create_default)
            .field(
                "content_bytes",
                &self.content.as_ref().map(|content| content.len()),
            )
            .finish()
    }
}
