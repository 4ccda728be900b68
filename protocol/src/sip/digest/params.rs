//! The `name=value` list of an authentication header (RFC 3261 §25.1 `auth-param`).

use std::borrow::Cow;

use super::DigestError;

/// Splits `Digest a=1, b="2"` into its scheme and the rest.
///
/// # Errors
///
/// [`DigestError::Scheme`] when the scheme is not `Digest` in any letter case.
pub(super) fn strip_scheme(value: &str) -> Result<&str, DigestError> {
    let value = value.trim_start();
    let (scheme, rest) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("Digest") {
        Ok(rest)
    } else {
        Err(DigestError::Scheme)
    }
}

/// Iterates over the parameters of one header value, in order.
///
/// Takes what real clients write: values quoted or not whatever the grammar says (`qop=auth`), blanks around `=` and
/// `,`, and empty list items. After an error the iteration ends.
pub(super) struct Params<'a> {
    rest: &'a str,
}

impl<'a> Params<'a> {
    pub(super) fn new(rest: &'a str) -> Self {
        Self { rest }
    }

    fn value(&mut self) -> Result<Cow<'a, str>, DigestError> {
        if let Some(quoted) = self.rest.strip_prefix('"') {
            let end = closing_quote(quoted).ok_or(DigestError::Syntax)?;
            let (text, rest) = quoted.split_at_checked(end).ok_or(DigestError::Syntax)?;
            self.rest = rest.strip_prefix('"').ok_or(DigestError::Syntax)?;
            Ok(unescape(text))
        } else {
            let end = self.rest.find([',', ' ', '\t']).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at_checked(end).ok_or(DigestError::Syntax)?;
            self.rest = rest;
            Ok(Cow::Borrowed(text))
        }
    }
}

impl<'a> Iterator for Params<'a> {
    type Item = Result<(&'a str, Cow<'a, str>), DigestError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rest = self.rest.trim_start_matches([',', ' ', '\t']);
        if self.rest.is_empty() {
            return None;
        }
        let Some((name, rest)) = self.rest.split_once('=') else {
            self.rest = "";
            return Some(Err(DigestError::Syntax));
        };
        let name = name.trim_end();
        let is_token = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte));
        self.rest = rest.trim_start();
        let value = if is_token {
            self.value()
        } else {
            Err(DigestError::Syntax)
        };
        if value.is_err() {
            self.rest = "";
        }
        Some(value.map(|value| (name, value)))
    }
}

/// Where the quoted string that starts at the beginning of `text` ends.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// Undoes `\"` and `\\` and leaves every other backslash alone: clients write `DOMAIN\user` without escaping it.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match chars.peek() {
            Some(&next @ ('"' | '\\')) if char == '\\' => {
                plain.push(next);
                chars.next();
            }
            _ => plain.push(char),
        }
    }
    Cow::Owned(plain)
}

/// Writes `text` as a quoted string. Control characters become blanks: they could end the header line.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            _ if char.is_control() => quoted.push(' '),
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Result<Vec<(&str, String)>, DigestError> {
        Params::new(text)
            .map(|param| param.map(|(name, value)| (name, value.into_owned())))
            .collect()
    }

    #[test]
    fn rfc3261_25_1_list_with_odd_blanks_and_empty_items() {
        let params = all("a=1,b = \"two, three\" ,, c=x\td=\"\"").unwrap();
        let expected = [("a", "1"), ("b", "two, three"), ("c", "x"), ("d", "")];
        assert_eq!(
            params,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
    }

    #[test]
    fn lone_backslash_in_a_windows_account_name_stays() {
        let params = all(r#"username="CONTOSO\alice", x="a\\b\"c""#).unwrap();
        assert_eq!(params[0].1, r"CONTOSO\alice");
        assert_eq!(params[1].1, r#"a\b"c"#);
    }

    #[test]
    fn rfc3261_25_1_broken_lists_are_refused() {
        for text in ["realm", "a=\"open", "=x", "a b=1", "a=\"x\\\""] {
            assert_eq!(all(text), Err(DigestError::Syntax), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_survives_quoting(text in "[^\\p{Cc}]{0,40}") {
            let list = format!("x={}", quote(&text));
            prop_assert_eq!(all(&list).unwrap(), vec![("x", text)]);
        }

        #[test]
        fn any_input_terminates(text in "[a=\"\\\\, \\t\u{fc}]{0,60}") {
            prop_assert!(Params::new(&text).count() <= text.len());
        }
    }
}
