//! `requri`: the address of the chat service. The question says nothing.

use super::super::block::UserBlock;
use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;

/// The reply to `requri`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUriReply {
    /// The address to call next. Without one a client asks again later.
    pub uri: Option<Box<str>>,
}

impl RequestUriReply {
    pub(super) fn read(data: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            uri: data
                .child("uib")
                .and_then(|uib| uib.attr("uri"))
                .map(Into::into),
        })
    }

    pub(super) fn write(&self, w: &mut Writer) {
        if let Some(uri) = &self.uri {
            UserBlock::new(uri.clone()).write(w);
        }
    }
}
