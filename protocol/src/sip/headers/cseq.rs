//! CSeq.

use std::fmt;

use crate::sip::grammar::{DIGIT, TOKEN, number, trim_start};
use crate::sip::message::Method;

/// A request's place in its dialog (RFC 3261 §20.16).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CSeq {
    /// The sequence number.
    pub number: u32,
    /// The request's method.
    pub method: Method,
}

impl CSeq {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (digits, rest) = DIGIT.take(text);
        let method = trim_start(rest);
        if digits.is_empty() || method.len() == rest.len() {
            return Err("not a number and a method");
        }
        if !TOKEN.spells(method.as_bytes()) {
            return Err("its method is no token");
        }
        Ok(Self {
            number: number(digits).ok_or("its number is above 2^32-1")?,
            method: Method::from(method),
        })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4475_section_3_1_1_1_leading_zeros_and_folds() {
        let cseq = CSeq::parse("0009    INVITE").unwrap();
        assert_eq!((cseq.number, &cseq.method), (9, &Method::Invite));
        assert_eq!(cseq.to_string(), "9 INVITE");
    }

    #[test]
    fn rfc4475_section_3_1_2_4_numbers_above_32_bits() {
        assert_eq!(CSeq::parse("4294967295 INFO").unwrap().number, u32::MAX);
        assert!(CSeq::parse("4294967296 INFO").is_err());
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "1",
            "INVITE",
            "1INVITE",
            "-1 INVITE",
            "1 IN VITE",
            "1 ",
            "1 <a>",
        ] {
            assert!(CSeq::parse(bad).is_err(), "{bad:?}");
        }
    }
}
