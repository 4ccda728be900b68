//! A file of users that a rule names: one in each line.

use std::collections::HashSet;
use std::sync::Arc;

use holdover_protocol::user::UserUri;

use crate::codes;
use crate::diagnostic::{Diagnostics, Source};

/// The users that a file lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserList {
    users: Arc<HashSet<UserUri>>,
    faults: Diagnostics,
}

impl UserList {
    /// Reads a text with one user in each line: `ann@contoso.com`, with or without `sip:`. Empty lines, and what follows a
    /// `#` at the begin of a line or after a blank, do not count.
    #[must_use]
    pub fn parse(name: &str, text: &str) -> Self {
        let source = Source::new(name, text);
        let mut users = HashSet::new();
        let mut faults = Diagnostics::new();
        let mut offset = 0;
        for line in lines(text) {
            // Files that were put together have a mark where each begins.
            let said = line.trim_start_matches('\u{feff}');
            let start = offset + line.len() - said.len();
            offset += line.len();
            let line = said;
            let comment = line
                .match_indices('#')
                .map(|(at, _)| line.get(..at).unwrap_or_default())
                .find(|before| before.is_empty() || before.ends_with(char::is_whitespace));
            let said = comment.unwrap_or(line);
            let blanks = line.len() - line.trim_start().len();
            let said = said.trim_matches(|letter: char| {
                // Marks and, of `copy` of DOS, the sign for the end of a file.
                letter.is_whitespace() || matches!(letter, '\u{feff}' | '\u{1a}')
            });
            if said.is_empty() {
                continue;
            }
            match UserUri::parse(said) {
                Ok(user) => {
                    users.insert(user);
                }
                Err(error) => {
                    let start = start + blanks;
                    let fault = source.error(
                        codes::BAD_USER,
                        start..start + said.len(),
                        "the line is not the address of a user",
                    );
                    faults.push(fault.help(format!("write `user@domain`: {error}")));
                }
            }
        }
        Self {
            users: Arc::new(users),
            faults,
        }
    }

    /// Everybody who stands in it.
    #[must_use]
    pub fn users(&self) -> &Arc<HashSet<UserUri>> {
        &self.users
    }

    /// What is wrong with it.
    #[must_use]
    pub fn faults(&self) -> &Diagnostics {
        &self.faults
    }
}

/// The lines of a text with their ends, which are those of Unix, Windows or old Macintoshes.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let end = if text.contains('\n') { '\n' } else { '\r' };
    text.split_inclusive(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_the_ends_of_lines_are_no_content() {
        for text in [
            "\u{feff}# pilots\nann@contoso.com\n\u{feff}\u{feff}bob@contoso.com\n",
            "\u{feff}# pilots\rann@contoso.com\rbob@contoso.com\r",
            "\u{feff}\r\nann@contoso.com\r\n\tbob@contoso.com\t# since May\r\n",
            "ann@contoso.com \u{feff}\r\nbob@contoso.com\u{feff}\r\n \u{feff}\r\n\u{1a}",
        ] {
            let list = UserList::parse("pilots.txt", text);
            assert!(list.faults().is_empty(), "{}", list.faults());
            let mut users: Vec<&str> = list.users().iter().map(UserUri::address).collect();
            users.sort_unstable();
            assert_eq!(users, ["ann@contoso.com", "bob@contoso.com"]);
        }
        let list = UserList::parse("pilots.txt", "\u{feff}ann\n");
        let place = list.faults().iter().next().unwrap().location().unwrap();
        assert_eq!(place.line(), 1);
    }

    #[test]
    fn each_line_is_a_user() {
        let list = UserList::parse(
            "pilots.txt",
            "# pilots\n\nann@contoso.com\r\n  SIP:Bob@Contoso.com  # since May\nann@contoso.com",
        );
        assert!(list.faults().is_empty(), "{}", list.faults());
        let mut users: Vec<&str> = list.users().iter().map(UserUri::address).collect();
        users.sort_unstable();
        assert_eq!(users, ["ann@contoso.com", "bob@contoso.com"]);
    }

    #[test]
    fn every_line_that_is_none_is_told() {
        let list = UserList::parse("pilots.txt", "ann\nbob@contoso.com\n  *@contoso.com, x\n");
        let places: Vec<String> = list.faults().iter().map(ToString::to_string).collect();
        assert_eq!(
            places,
            [
                "pilots.txt:1:1: error[HC060]: the line is not the address of a user",
                "pilots.txt:3:3: error[HC060]: the line is not the address of a user",
            ]
        );
    }
}
