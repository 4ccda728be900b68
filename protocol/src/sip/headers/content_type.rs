//! Content-Type and the ranges of Accept.

use super::params::Params;
use crate::sip::grammar::{TOKEN, cut, strip, trim_start};

/// `type/subtype` with parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaType<'a> {
    kind: &'a str,
    subtype: &'a str,
    params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads one media type or media range.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (kind, rest) = TOKEN.take(trim_start(text));
        let rest = strip(trim_start(rest), b'/').ok_or("not a type and a subtype")?;
        let (subtype, rest) = TOKEN.take(trim_start(rest));
        if kind.is_empty() || subtype.is_empty() {
            return Err("not a type and a subtype");
        }
        match Params::take(rest)? {
            (params, "") => Ok(Self {
                kind,
                subtype,
                params,
            }),
            _ => Err("text after the media type"),
        }
    }

    /// Whether it is `essence`, such as `text/plain`, whatever its parameters are.
    #[must_use]
    pub fn is(&self, essence: &str) -> bool {
        cut(essence, b'/').is_some_and(|(kind, subtype)| {
            self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
        })
    }

    /// Whether `essence` lies in this range, which may be `*/*` or `text/*`.
    #[must_use]
    pub fn accepts(&self, essence: &str) -> bool {
        cut(essence, b'/').is_some_and(|(kind, subtype)| {
            (self.kind == "*" || self.kind.eq_ignore_ascii_case(kind))
                && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype))
        })
    }

    /// The parameters.
    #[must_use]
    pub const fn params(&self) -> Params<'a> {
        self.params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn essence_compares_without_case_and_parameters() {
        let media = MediaType::parse("Text / Plain ; charset=UTF-8").unwrap();
        assert!(media.is("text/plain"));
        assert!(!media.is("text/html") && !media.is("text"));
        assert_eq!(media.params().get("charset"), Some("UTF-8"));
    }

    #[test]
    fn rfc3261_section_20_1_ranges() {
        for range in ["*/*", "application/*", "application/sdp;q=0.5"] {
            assert!(
                MediaType::parse(range).unwrap().accepts("application/sdp"),
                "{range}"
            );
        }
        assert!(
            !MediaType::parse("text/*")
                .unwrap()
                .accepts("application/sdp")
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in ["", "text", "text/", "/plain", "text/plain x", "text/plain;"] {
            assert!(MediaType::parse(bad).is_err(), "{bad}");
        }
    }
}
