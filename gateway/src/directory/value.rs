//! The values of identifiers, small: a million of them are held twice.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ValueRef<'a> {
    Lower(Guid),
    Upper(Guid),
    Text(&'a str),
}

impl<'a> ValueRef<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        if let Some(guid) = parse(text, b'a') {
            Self::Lower(guid)
        } else if let Some(guid) = parse(text, b'A') {
            Self::Upper(guid)
        } else {
            Self::Text(text)
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

/// Reads a GUID whose letters start at `a`, which is `a` or `A`.
fn parse(text: &str, a: u8) -> Option<Guid> {
    let digit = |character: u8| match character {
        b'0'..=b'9' => Some(character - b'0'),
        _ => character
            .checked_sub(a)
            .filter(|&above| above < 6)
            .map(|above| above + 10),
    };
    let mut rest = text.as_bytes();
    let mut guid = Guid::default();
    for (number, byte) in guid.iter_mut().enumerate() {
        if hyphen_before(number) {
            rest = rest.strip_prefix(b"-")?;
        }
        let [high, low, after @ ..] = rest else {
            return None;
        };
        *byte = digit(*high)? << 4 | digit(*low)?;
        rest = after;
    }
    rest.is_empty().then_some(guid)
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

    const LOWER: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    fn there_and_back(text: &str) -> String {
        let mut written = String::new();
        ValueRef::new(text).to_value().write_to(&mut written);
        written
    }

    #[test]
    fn guids_are_small_and_nothing_else_is_taken_for_one() {
        assert_eq!(size_of::<Value>(), 24);
        assert_eq!(size_of::<Option<Value>>(), 24);
        assert!(matches!(ValueRef::new(LOWER), ValueRef::Lower(_)));
        assert!(matches!(
            ValueRef::new(&LOWER.to_uppercase()),
            ValueRef::Upper(_)
        ));
        for other in [
            format!("{{{LOWER}}}"),
            LOWER.replace('-', ""),
            LOWER.replacen("fad", "fAd", 1),
            format!("{LOWER}0"),
            LOWER.replacen('-', "0", 1),
            LOWER.replacen('0', "g", 1),
            "300".to_owned(),
        ] {
            assert!(
                matches!(ValueRef::new(&other), ValueRef::Text(_)),
                "{other}"
            );
        }
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
