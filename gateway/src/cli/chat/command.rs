//! What a user or a script wants, from one line.

/// One wish. Rooms are as they were typed: a name or an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// List the rooms whose name contains this.
    Rooms(String),
    /// Enter a room.
    Join(String),
    /// Leave a room, else the current one.
    Part(Option<String>),
    /// Say something. In a script its first word may name a room.
    Say(String),
    /// Say something in the current room, whatever its first word is.
    SayHere(String),
    /// Show the last messages.
    History {
        /// Of this room, else of the current one.
        room: Option<String>,
        /// So many.
        count: Option<u32>,
    },
    /// Show who is in the room, else in the current one.
    Who(Option<String>),
    /// Make a room the current one.
    Switch(String),
    /// Wait for a message that contains this.
    Expect(String),
    /// Show what can be typed.
    Help,
    /// Sign out.
    Quit,
}

/// A line that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SyntaxError {
    /// There is no such command.
    #[error("there is no command `{word}`{}", suggestion(near))]
    Unknown {
        /// What was typed.
        word: String,
        /// What may have been meant.
        near: Option<&'static str>,
    },
    /// Something is missing.
    #[error("`{command}` needs {needs}")]
    Incomplete {
        /// The command.
        command: &'static str,
        /// What.
        needs: &'static str,
    },
    /// A quotation mark without its second.
    #[error("a quotation mark is not closed")]
    OpenQuote,
}

fn suggestion(near: &Option<&'static str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}

/// The commands of a script.
const SCRIPT: &[&str] = &[
    "rooms", "join", "part", "say", "history", "who", "expect", "quit",
];

/// The commands of a person, each behind a slash.
pub(super) const TYPED: &[&str] = &[
    "rooms", "join", "part", "history", "who", "switch", "help", "quit",
];

/// Reads a line of a script. `None` for an empty one and for a comment, which starts with `#`.
pub(super) fn of_script(line: &str) -> Result<Option<Command>, SyntaxError> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (word, rest) = split_word(line);
    if SCRIPT.contains(&word) {
        return read(word, rest).map(Some);
    }
    Err(unknown(word, SCRIPT))
}

/// Reads what a person typed: a command after a slash, else a message. Two slashes start a message with one.
pub(super) fn of_person(line: &str) -> Result<Option<Command>, SyntaxError> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let Some(command) = line.strip_prefix('/') else {
        return Ok(Some(Command::SayHere(line.into())));
    };
    if command.starts_with('/') {
        return Ok(Some(Command::SayHere(command.into())));
    }
    let (word, rest) = split_word(command.trim());
    if TYPED.contains(&word) {
        return read(word, rest).map(Some);
    }
    Err(unknown(word, TYPED))
}

fn read(word: &str, rest: &str) -> Result<Command, SyntaxError> {
    let incomplete = |command, needs| SyntaxError::Incomplete { command, needs };
    let room = |command| one_room(rest)?.ok_or_else(|| incomplete(command, "the name of a room"));
    Ok(match word {
        "rooms" => Command::Rooms(rest.into()),
        "join" => Command::Join(room("join")?),
        "switch" => Command::Switch(room("switch")?),
        "part" => Command::Part(one_room(rest)?),
        "who" => Command::Who(one_room(rest)?),
        "history" => history(rest)?,
        "say" if rest.is_empty() => return Err(incomplete("say", "something to say")),
        "say" => Command::Say(rest.into()),
        "expect" if rest.is_empty() => return Err(incomplete("expect", "a text to wait for")),
        "expect" => Command::Expect(rest.into()),
        "quit" => Command::Quit,
        _ => Command::Help,
    })
}

fn unknown(word: &str, all: &'static [&'static str]) -> SyntaxError {
    let near = holdover_config::suggest::nearest(word, all.iter().copied());
    SyntaxError::Unknown {
        word: word.into(),
        near,
    }
}

/// `[ROOM] [COUNT]`: a number at the end is the count; a room that is called like a number stands in quotation marks.
fn history(rest: &str) -> Result<Command, SyntaxError> {
    let (before, last) = match rest.rsplit_once(char::is_whitespace) {
        Some((before, last)) => (before.trim_end(), last),
        None => ("", rest),
    };
    Ok(match last.parse() {
        Ok(count) => Command::History {
            room: one_room(before)?,
            count: Some(count),
        },
        Err(_) => Command::History {
            room: one_room(rest)?,
            count: None,
        },
    })
}

/// All of a text as one room: names may hold blanks, with or without quotation marks around them.
fn one_room(text: &str) -> Result<Option<String>, SyntaxError> {
    let text = text.trim();
    let Some(quoted) = text.strip_prefix('"') else {
        return Ok((!text.is_empty()).then(|| text.into()));
    };
    quoted
        .strip_suffix('"')
        .map(|name| Some(name.into()))
        .ok_or(SyntaxError::OpenQuote)
}

/// The first word of a text, which quotation marks may hold together, and what follows it.
pub(super) fn split_word(text: &str) -> (&str, &str) {
    let parts = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"'),
        None => text.split_once(char::is_whitespace),
    };
    let (word, rest) = parts.unwrap_or((text, ""));
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(line: &str) -> Command {
        of_script(line).unwrap().unwrap()
    }

    #[test]
    fn script_lines_are_read() {
        assert_eq!(script("rooms"), Command::Rooms(String::new()));
        assert_eq!(
            script("  rooms big deals "),
            Command::Rooms("big deals".into())
        );
        assert_eq!(script("join Town hall"), Command::Join("Town hall".into()));
        assert_eq!(
            script("join \"Town hall\""),
            Command::Join("Town hall".into())
        );
        assert_eq!(
            script("join ma-chan://contoso.com/1a"),
            Command::Join("ma-chan://contoso.com/1a".into())
        );
        assert_eq!(script("say  hello  you"), Command::Say("hello  you".into()));
        assert_eq!(script("expect a b"), Command::Expect("a b".into()));
        assert_eq!(script("part"), Command::Part(None));
        assert_eq!(script("who Deals"), Command::Who(Some("Deals".into())));
        assert_eq!(script("quit"), Command::Quit);
        assert_eq!(of_script("  # comment"), Ok(None));
        assert_eq!(of_script(" \t"), Ok(None));
    }

    #[test]
    fn history_takes_a_room_a_number_both_or_none() {
        let history = |room: Option<&str>, count| Command::History {
            room: room.map(Into::into),
            count,
        };
        assert_eq!(script("history"), history(None, None));
        assert_eq!(script("history 5"), history(None, Some(5)));
        assert_eq!(
            script("history Town hall"),
            history(Some("Town hall"), None)
        );
        assert_eq!(
            script("history Town hall 7"),
            history(Some("Town hall"), Some(7))
        );
        assert_eq!(script("history \"42\""), history(Some("42"), None));
        assert_eq!(script("history \"42\" 3"), history(Some("42"), Some(3)));
    }

    #[test]
    fn faults_say_what_is_wrong() {
        let fault = |line| of_script(line).unwrap_err().to_string();
        assert_eq!(
            fault("jion Deals"),
            "there is no command `jion`; did you mean `join`?"
        );
        assert_eq!(fault("frobnicate"), "there is no command `frobnicate`");
        assert_eq!(fault("join"), "`join` needs the name of a room");
        assert_eq!(fault("say "), "`say` needs something to say");
        assert_eq!(fault("expect"), "`expect` needs a text to wait for");
        assert_eq!(fault("join \"Town hall"), "a quotation mark is not closed");
        // Those of a person are none of a script's.
        assert!(fault("switch Deals").contains("no command"));
    }

    #[test]
    fn a_person_talks_unless_a_slash_says_otherwise() {
        let typed = |line| of_person(line).unwrap();
        assert_eq!(typed("join us"), Some(Command::SayHere("join us".into())));
        assert_eq!(
            typed("//join us"),
            Some(Command::SayHere("/join us".into()))
        );
        assert_eq!(typed("/join Deals"), Some(Command::Join("Deals".into())));
        assert_eq!(
            typed("/switch Deals"),
            Some(Command::Switch("Deals".into()))
        );
        assert_eq!(typed("/help"), Some(Command::Help));
        assert_eq!(typed(" "), None);
        assert!(of_person("/expect x").is_err());
    }

    #[test]
    fn the_first_word_may_be_quoted() {
        assert_eq!(split_word("a  b c"), ("a", "b c"));
        assert_eq!(split_word("\"a b\" c"), ("a b", "c"));
        assert_eq!(split_word("\"a b c"), ("\"a b c", ""));
        assert_eq!(split_word("a"), ("a", ""));
    }
}
