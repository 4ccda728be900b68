//! The values of identifiers, small: a million of them are held twice.

use std::hash::{Hash as _, Hasher};

use holdover_protocol::room;

/// Sixteen bytes without alignment, so that a [`Value`] is no larger than its text's pointer, length and a tag.
type Guid = [u8; 16];

/// The value of an identifier as it is kept. A GUID in one of the two usual spellings is 16 bytes, anything else its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A GUID with lower-case digits, or digits that have no case.
    Lower(Guid),
    /// A GUID with upper-case digits.
    Upper(Guid),
    /// Any other text.
    Text(Box<str>),
}

/// A [`Value`] that is asked about and not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueRef<'a> {
    Lower(Guid),
    Upper(Guid),
    Text(&'a str),
}

impl<'a> ValueRef<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        match parse(text) {
            Some((guid, seen)) if seen & (LOWER | UPPER) != LOWER | UPPER => match seen & UPPER {
                0 => Self::Lower(guid),
                _ => Self::Upper(guid),
            },
            _ => Self::Text(text),
        }
    }

    /// Whether both name the same: GUIDs in whatever spelling, anything else in the same one.
    pub(super) fn is_same(self, other: Self) -> bool {
        match (self.guid(), other.guid()) {
            (Some(own), Some(other)) => own == other,
            (None, None) => self == other,
            _ => false,
        }
    }

    /// Hashes what [`Self::is_same`] compares.
    pub(super) fn hash_key<H: Hasher>(self, state: &mut H) {
        match (self.guid(), self) {
            (Some(guid), _) => guid.hash(state),
            (None, Self::Text(text)) => text.hash(state),
            (None, _) => {}
        }
    }

    fn guid(self) -> Option<Guid> {
        match self {
            Self::Lower(guid) | Self::Upper(guid) => Some(guid),
            Self::Text(text) => room::guid(text),
        }
    }

    pub(super) fn to_value(self) -> Value {
        match self {
            Self::Lower(guid) => Value::Lower(guid),
            Self::Upper(guid) => Value::Upper(guid),
            Self::Text(text) => Value::Text(text.into()),
        }
    }
}

impl Value {
    pub(super) fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Lower(guid) => ValueRef::Lower(*guid),
            Self::Upper(guid) => ValueRef::Upper(*guid),
            Self::Text(text) => ValueRef::Text(text),
        }
    }

    /// Appends the text, exactly as it was read.
    pub(super) fn write_to(&self, text: &mut String) {
        match self {
            Self::Lower(guid) => write(*guid, b'a', text),
            Self::Upper(guid) => write(*guid, b'A', text),
            Self::Text(value) => text.push_str(value),
        }
    }
}

/// Whether a hyphen stands before the byte of this number.
fn hyphen_before(byte: usize) -> bool {
    matches!(byte, 4 | 6 | 8 | 10)
}

/// Set in [`DIGITS`] for `a` to `f`.
const LOWER: u8 = 0x10;
/// Set in [`DIGITS`] for `A` to `F`.
const UPPER: u8 = 0x20;
/// Set in [`DIGITS`] for what is no hexadecimal digit.
const OTHER: u8 = 0x40;

/// The value of each character as a hexadecimal digit, and of which kind it is. A table, because every lookup reads 32 of
/// them.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, once")]
const DIGITS: [u8; 256] = {
    let mut digits = [OTHER; 256];
    let mut value = 0;
    while value < 16 {
        let lower = b"0123456789abcdef"[value as usize];
        let (in_lower, in_upper) = if value < 10 { (0, 0) } else { (LOWER, UPPER) };
        digits[lower.to_ascii_uppercase() as usize] = value | in_upper;
        digits[lower as usize] = value | in_lower;
        value += 1;
    }
    digits
};

/// Reads a GUID, and which kinds of letters it has.
fn parse(text: &str) -> Option<(Guid, u8)> {
    let digit = |character: &u8| {
        DIGITS
            .get(usize::from(*character))
            .copied()
            .unwrap_or(OTHER)
    };
    let mut rest = text.as_bytes();
    let mut guid = Guid::default();
    let mut seen = 0;
    for (number, byte) in guid.iter_mut().enumerate() {
        if hyphen_before(number) {
            rest = rest.strip_prefix(b"-")?;
        }
        let (pair, after) = rest.split_first_chunk::<2>()?;
        let [high, low] = pair.each_ref().map(digit);
        seen |= high | low;
        *byte = high << 4 | low & 0xf;
        rest = after;
    }
    (rest.is_empty() && seen & OTHER == 0).then_some((guid, seen))
}

fn write(guid: Guid, a: u8, text: &mut String) {
    let digit = |nibble: u8| {
        char::from(if nibble < 10 {
            b'0' + nibble
        } else {
            a + nibble - 10
        })
    };
    for (number, byte) in guid.into_iter().enumerate() {
        if hyphen_before(number) {
            text.push('-');
        }
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0xf));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn there_and_back(text: &str) -> String {
        let mut written = String::new();
        ValueRef::new(text).to_value().write_to(&mut written);
        written
    }

    #[test]
    fn guids_are_small_and_nothing_else_is_taken_for_one() {
        assert_eq!(size_of::<Value>(), 24);
        assert_eq!(size_of::<Option<Value>>(), 24);
        assert!(matches!(ValueRef::new(GUID), ValueRef::Lower(_)));
        assert!(matches!(
            ValueRef::new(&GUID.to_uppercase()),
            ValueRef::Upper(_)
        ));
        for other in [
            format!("{{{GUID}}}"),
            GUID.replace('-', ""),
            GUID.replacen("fad", "fAd", 1),
            format!("{GUID}0"),
            GUID.replacen('-', "0", 1),
            GUID.replacen('0', "g", 1),
            "300".to_owned(),
        ] {
            assert!(
                matches!(ValueRef::new(&other), ValueRef::Text(_)),
                "{other}"
            );
        }
    }

    #[test]
    fn spellings_of_a_guid_are_the_same_and_texts_are_not() {
        let lower = ValueRef::new(GUID);
        for spelling in [
            GUID.to_uppercase(),
            format!("{{{GUID}}}"),
            format!("{{{}}}", GUID.to_uppercase()),
            GUID.replacen("fad", "fAd", 1),
        ] {
            assert!(lower.is_same(ValueRef::new(&spelling)), "{spelling}");
        }
        assert!(!lower.is_same(ValueRef::new(&GUID.replacen('0', "1", 1))));
        assert!(!ValueRef::new("deals").is_same(ValueRef::new("Deals")));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_text_comes_back_exactly(
            text in "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-Fa-f-]{36}|[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}|.{0,40}"
        ) {
            prop_assert_eq!(there_and_back(&text), text.clone());
            let upper = text.to_uppercase();
            prop_assert_eq!(ValueRef::new(&text) == ValueRef::new(&upper), text == upper);
        }
    }
}
