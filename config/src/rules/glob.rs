//! Patterns with `*` and `?`.
//!
//! Not compiled to a regular expression: ten thousand rules are read within the time of a reload.

use std::fmt;

/// A pattern: `*` stands for any text, `?` for one character. ASCII letters match in either case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Glob {
    /// As it was written.
    text: Box<str>,
    /// In lower case.
    folded: Box<str>,
}

impl Glob {
    /// The pattern `text`. Every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            folded: text.to_ascii_lowercase().into(),
        }
    }

    /// Whether it matches all of `text`. Takes time in proportion to the product of both lengths at the worst.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.folded.as_bytes(), text.as_bytes());
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
                (Some(b'?'), Some(_)) => {
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

    /// What follows the last `@`, if no wildcard is in it: in lower case.
    pub(super) fn domain(&self) -> Option<&str> {
        let (_, domain) = self.folded.rsplit_once('@')?;
        (!domain.contains(['*', '?'])).then_some(domain)
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
        ] {
            assert_eq!(
                Glob::new(pattern).matches(text),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_the_product_of_the_lengths() {
        let pattern = Glob::new(&format!("{}b", "a*".repeat(200)));
        assert!(!pattern.matches(&"a".repeat(10_000)));
    }
}
