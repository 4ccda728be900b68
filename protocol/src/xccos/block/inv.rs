//! `inv`: where the user stands in the list of their invitations.

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;

/// `inv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitationBlock {
    /// The last invitation that is known. Ids count up for each user.
    pub invite_id: u64,
    /// The domain of the rooms.
    pub domain: Box<str>,
}

impl InvitationBlock {
    pub(crate) fn read(inv: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            invite_id: inv.require_parsed("inviteId")?,
            domain: inv.attr("domain").unwrap_or_default().into(),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.element("inv")
            .attr("inviteId", self.invite_id)
            .attr("domain", &self.domain)
            .end();
    }
}
