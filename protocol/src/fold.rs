//! Comparing names in either case: simple Unicode case folding.
//!
//! Each character stands for one character (Unicode's `CaseFolding.txt`, statuses C and S), as in most products that
//! compare names ignoring case. So `BÖRSE` and `Börse` are equal, and `ß` and `ss` are not.

use std::borrow::Cow;

/// `text` with each character folded: two texts that differ only in case become equal. Allocates only where there is
/// something to change.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return text.to_ascii_lowercase().into();
        }
        return text.into();
    }
    if text
        .chars()
        .all(|character| fold_char(character) == character)
    {
        return text.into();
    }
    text.chars().map(fold_char).collect::<String>().into()
}

/// A character that stands for all that differ from it only in case.
pub fn fold_char(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    // Upper case in between brings together what has several small letters (`σ` and `ς`, `s` and `ſ`). The Turkish
    // letters are equal to no other (statuses T and F alone).
    match character {
        'ı' | 'İ' => character,
        _ => lower(upper(lower(character))),
    }
}

fn lower(character: char) -> char {
    only(character.to_lowercase()).unwrap_or(character)
}

fn upper(character: char) -> char {
    only(character.to_uppercase()).unwrap_or(character)
}

/// The one character, if there is just one.
fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next()?;
    characters.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_case_become_equal() {
        for (one, other) in [
            ("Night Shift", "NIGHT SHIFT"),
            ("BÖRSE", "Börse"),
            ("БИРЖА", "биржа"),
            ("ΟΔΟΣ", "οδος"),
            ("οδος", "οδοσ"),
            ("STRAẞE", "straße"),
            ("ǅ", "ǆ"),
            ("ԱԲ", "աբ"),
            ("\u{212a}", "k"),
            ("\u{2126}", "ω"),
            ("ſ", "S"),
            ("Ｂ", "ｂ"),
            ("𐐀", "𐐨"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        for (one, other) in [("ß", "ss"), ("ı", "i"), ("İ", "i"), ("é", "e"), ("o", "ö")] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn every_character_is_folded_to_one_that_stays() {
        for character in '\0'..=char::MAX {
            let folded = fold_char(character);
            assert_eq!(fold_char(folded), folded, "{character}");
            for same in [lower(character), upper(character)] {
                if !matches!(character, 'ı' | 'İ') {
                    assert_eq!(fold_char(same), folded, "{character} {same}");
                }
            }
        }
    }

    #[test]
    fn what_is_folded_already_is_not_copied() {
        assert!(matches!(fold("börse 1"), Cow::Borrowed(_)));
        assert!(matches!(fold("room"), Cow::Borrowed(_)));
        assert!(matches!(fold("Room"), Cow::Owned(_)));
    }
}
