//! `uib`: a person, or the service of a server.

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::{Tag, Writer};

/// `uib`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserBlock {
    /// A small number that stands for the person in this document only.
    pub id: Option<u32>,
    /// The SIP address as the peer writes it: services have parameters that must stay.
    pub uri: Box<str>,
}

impl UserBlock {
    /// A person without number.
    pub fn new(uri: impl Into<Box<str>>) -> Self {
        Self {
            id: None,
            uri: uri.into(),
        }
    }

    pub(crate) fn read(uib: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            id: uib.parsed("id")?,
            uri: uib.require("uri")?.into(),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        self.tag(w).end();
    }

    /// The open tag, for what stands inside.
    pub(crate) fn tag<'a>(&self, w: &'a mut Writer) -> Tag<'a> {
        w.element("uib")
            .attr_opt("id", self.id)
            .attr("uri", &self.uri)
    }
}
