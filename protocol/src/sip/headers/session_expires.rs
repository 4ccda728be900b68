//! Session-Expires and Min-SE (RFC 4028 §4, §5).

use std::fmt;

use super::params::Params;
use crate::sip::grammar::{DIGIT, number};

/// Who refreshes the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// The side that sent the INVITE.
    Uac,
    /// The side that answered it.
    Uas,
}

impl fmt::Display for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        })
    }
}

/// How long a session lives without a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// The interval in seconds.
    pub seconds: u32,
    /// Who refreshes, where that is said.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads the value of the field.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (seconds, params) = seconds(text)?;
        let refresher = match params.get("refresher") {
            None => None,
            Some(side) if side.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(side) if side.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            Some(_) => return Err("its refresher is neither uac nor uas"),
        };
        Ok(Self { seconds, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(refresher) => write!(f, ";refresher={refresher}"),
            None => Ok(()),
        }
    }
}

/// The seconds of a Min-SE value.
pub(super) fn min_se(text: &str) -> Result<u32, &'static str> {
    seconds(text).map(|(seconds, _)| seconds)
}

fn seconds(text: &str) -> Result<(u32, Params<'_>), &'static str> {
    let (digits, rest) = DIGIT.take(text);
    let seconds = number(digits).ok_or("not a number of seconds up to 2^32-1")?;
    match Params::take(rest)? {
        (params, "") => Ok((seconds, params)),
        _ => Err("text after the number of seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4028_section_4_interval_and_refresher() {
        let value = SessionExpires::parse("1800 ; refresher=UAC;x=y").unwrap();
        assert_eq!(
            (value.seconds, value.refresher),
            (1800, Some(Refresher::Uac))
        );
        assert_eq!(value.to_string(), "1800;refresher=uac");
        assert_eq!(SessionExpires::parse("90").unwrap().to_string(), "90");
    }

    #[test]
    fn rfc4028_section_4_faults() {
        for bad in ["", "x", "1800 s", "4294967296", "90;refresher=me", "90;"] {
            assert!(SessionExpires::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(min_se("90;x"), Ok(90));
        assert!(min_se("-90").is_err());
    }
}
