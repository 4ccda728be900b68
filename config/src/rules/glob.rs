//! Patterns with `*` and `?`.
//!
//! Not compiled to a regular expression: ten thousand rules are read within the time of a reload.

use std::fmt;

use holdover_protocol::fold::fold;

/// A pattern: `*` stands for any text, `?` for one character. Letters match in either case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Glob {
    /// As it was written.
    text: Box<str>,
    /// With its letters folded.
    folded: Box<str>,
}

impl Glob {
    /// The pattern `text`. Every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            folded: fold(text).into(),
        }
    }

    /// Whether it matches all of `text`. Takes time in proportion to the product of both lengths at the worst.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        // ASCII is folded on the way.
        if text.is_ascii() {
            return matches(self.folded.as_bytes(), text.as_bytes(), false);
        }
        matches(self.folded.as_bytes(), fold(text).as_bytes(), false)
    }

    /// Whether it matches everything that `other` matches.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // What a `*` stands for may be as long as a `*` takes it to be, but is not one character.
        matches(self.folded.as_bytes(), other.folded.as_bytes(), true)
    }

    /// Whether there is a text that both match.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        // What one begins with must be able to begin the other, and likewise at the end: that alone tells most apart.
        let (x, y) = (self.folded.as_bytes(), other.folded.as_bytes());
        if !agree(x.iter().zip(y)) || !agree(x.iter().rev().zip(y.iter().rev())) {
            return false;
        }
        let a: Vec<char> = self.folded.chars().collect();
        let b: Vec<char> = other.folded.chars().collect();
        // Whether what follows in `b` can be what follows in `a`, for each place in `b`, from the end of `a` to its begin.
        let mut next: Vec<bool> = (0..=b.len())
            .map(|from| b.iter().skip(from).all(|c| *c == '*'))
            .collect();
        for x in a.iter().rev() {
            let mut now = vec![false; b.len() + 1];
            let mut behind = false;
            for place in (0..=b.len()).rev() {
                let skip_x = next.get(place).copied().unwrap_or_default();
                let both = next.get(place + 1).copied().unwrap_or_default();
                let meets = match (x, b.get(place)) {
                    ('*', None) => skip_x,
                    ('*', Some(_)) => skip_x || behind,
                    (_, Some('*')) => skip_x || behind,
                    (_, None) => false,
                    (x, Some(y)) => (x == y || *x == '?' || *y == '?') && both,
                };
                if let Some(slot) = now.get_mut(place) {
                    *slot = meets;
                }
                behind = meets;
            }
            next = now;
        }
        next.first().copied().unwrap_or_default()
    }

    /// The text, if it stands for itself alone.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.folded.contains(['*', '?'])).then_some(&self.folded)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As it is compared: with its letters folded.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }

    /// What follows the last `@`, if no wildcard is in it, with its letters folded.
    pub(crate) fn domain(&self) -> Option<&str> {
        let (_, domain) = self.folded.rsplit_once('@')?;
        (!domain.contains(['*', '?'])).then_some(domain)
    }
}

/// Whether two patterns are the same until one has a wildcard.
fn agree<'p>(pairs: impl Iterator<Item = (&'p u8, &'p u8)>) -> bool {
    let is_wild = |byte: &u8| matches!(byte, b'*' | b'?');
    pairs
        .take_while(|(a, b)| !is_wild(a) && !is_wild(b))
        .all(|(a, b)| a == b)
}

/// Whether a pattern matches all of a text, or of every text that another pattern stands for.
fn matches(pattern: &[u8], text: &[u8], text_is_pattern: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*`: it takes one byte more each time.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                p += 1;
                if p == pattern.len() {
                    return true;
                }
                retry = Some((p, t));
                continue;
            }
            (Some(b'?'), Some(have)) if !(text_is_pattern && *have == b'*') => {
                p += 1;
                t += 1;
                // The rest of one character.
                while text.get(t).is_some_and(|byte| byte & 0xc0 == 0x80) {
                    t += 1;
                }
                continue;
            }
            (Some(want), Some(have)) if *want == have.to_ascii_lowercase() => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((after_star, from)) if from < text.len() => {
                p = after_star;
                t = from + 1;
                retry = Some((after_star, t));
            }
            _ => return false,
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_one_character() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("*@pilot.contoso.com", "ann@pilot.contoso.com", true),
            ("*@PILOT.contoso.com", "ann@pilot.contoso.com", true),
            ("*@pilot.contoso.com", "ann@contoso.com", false),
            ("a?n@*", "ann@x", true),
            ("a?n@*", "an@x", false),
            ("?", "ü", true),
            ("??", "ü", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("*aab", "aaaaaaab", true),
            ("night*", "Night Shift", true),
            ("a**b", "ab", true),
            ("BÖRSE", "Börse", true),
            ("börse*", "BÖRSE Frankfurt", true),
            ("*биржа", "Московская БИРЖА", true),
            ("B?RSE", "börse", true),
            ("ΟΔΟΣ", "οδος", true),
            ("straße", "STRAẞE", true),
            ("k?", "\u{212a}\u{212a}", true),
            ("börse", "borse", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(text),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn patterns_cover_and_meet() {
        // The first covers the second; the second covers the first; there is a text that both match.
        for (a, b, covers, covered, meets) in [
            ("*", "*@contoso.com", true, false, true),
            ("*@contoso.com", "*@CONTOSO.com", true, true, true),
            ("a*", "*b", false, false, true),
            ("a*", "b*", false, false, false),
            ("*@a.com", "*@b.com", false, false, false),
            ("?", "*", false, true, true),
            ("??*", "?*", false, true, true),
            ("a?c", "abc", true, false, true),
            ("a?c", "ac", false, false, false),
            ("*a*", "*b*", false, false, true),
            ("*ab*", "*ab", true, false, true),
            ("ü?", "?x", false, false, true),
            ("*Ö*", "bör", true, false, true),
            ("БИР*", "*жа", false, false, true),
            ("Ö", "ö", true, true, true),
            ("?", "Ö", true, false, true),
            ("**", "*", true, true, true),
            ("a*b*c", "a*c", false, true, true),
        ] {
            let (a, b) = (Glob::new(a), Glob::new(b));
            assert_eq!(a.covers(&b), covers, "{a} covers {b}");
            assert_eq!(b.covers(&a), covered, "{b} covers {a}");
            assert_eq!(a.meets(&b), meets, "{a} meets {b}");
            assert_eq!(b.meets(&a), meets, "{b} meets {a}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_the_product_of_the_lengths() {
        let pattern = Glob::new(&format!("{}b", "a*".repeat(200)));
        assert!(!pattern.matches(&"a".repeat(10_000)));
    }
}
