//! `qib`: which rooms are looked for.

use super::super::document::ElementRef;
use super::super::error::XccosError;
use super::super::write::Writer;

/// `qib`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryBlock {
    /// What is compared; only [`BY_NAME`](Self::BY_NAME) is known.
    pub query_type: Box<str>,
    /// What to look for. Empty: everything the user may see.
    pub criteria: Box<str>,
    /// Meaning unknown.
    pub extended: bool,
}

impl QueryBlock {
    /// Compare the names of rooms.
    pub const BY_NAME: &'static str = "BYNAME";

    /// A search in the names of rooms.
    pub fn by_name(criteria: &str) -> Self {
        Self {
            query_type: Self::BY_NAME.into(),
            criteria: criteria.into(),
            extended: false,
        }
    }

    pub(crate) fn read(qib: ElementRef<'_>) -> Result<Self, XccosError> {
        Ok(Self {
            query_type: qib.require("qtype")?.into(),
            criteria: qib.attr("criteria").unwrap_or_default().into(),
            extended: qib
                .attr("extended")
                .is_some_and(|it| it.eq_ignore_ascii_case("true")),
        })
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.element("qib")
            .attr("qtype", &self.query_type)
            .attr("criteria", &self.criteria)
            .attr("extended", self.extended)
            .end();
    }
}
