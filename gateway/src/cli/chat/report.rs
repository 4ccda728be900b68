//! Telling the user or the script what happens: text for people, or one JSON line for each event.

use std::fmt;
use std::io::{self, Write as _};

use jiff::Timestamp;
use serde::Serialize;

/// What is told.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Told<'a> {
    /// The server knows the user.
    SignedIn { user: &'a str, server: &'a str },
    /// The rooms are within reach.
    Ready { channel: &'a str },
    /// A room that was found.
    Room {
        room: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        people: Option<u32>,
    },
    /// The end of a list of rooms.
    Rooms { count: usize },
    /// The user is in a room.
    Joined {
        room: &'a str,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<&'a str>,
        people: Vec<&'a str>,
    },
    /// The user is out of a room.
    Parted { room: &'a str, name: &'a str },
    /// Somebody said something.
    Message {
        room: &'a str,
        name: &'a str,
        author: &'a str,
        /// The author as people in the same domain call them.
        #[serde(skip)]
        short: &'a str,
        ts: &'a str,
        text: &'a str,
        /// It is of the past.
        history: bool,
    },
    /// The end of a history.
    History {
        room: &'a str,
        name: &'a str,
        count: usize,
    },
    /// The user's message is in the room.
    Sent { room: &'a str, name: &'a str },
    /// Somebody came.
    Arrived {
        room: &'a str,
        name: &'a str,
        user: &'a str,
        #[serde(skip)]
        short: &'a str,
    },
    /// Somebody went.
    Left {
        room: &'a str,
        name: &'a str,
        user: &'a str,
        #[serde(skip)]
        short: &'a str,
    },
    /// Who is there.
    People {
        room: &'a str,
        name: &'a str,
        people: Vec<&'a str>,
        #[serde(skip)]
        short: Vec<&'a str>,
    },
    /// The message that was waited for is there.
    Expected { text: &'a str },
    /// Something arrived that a real client would drop.
    Dropped { what: &'a str },
    /// The session begins anew.
    Restarting,
    /// What can be done.
    Help { text: &'a str },
    /// Something was not done.
    Error { text: &'a str },
    /// It is over.
    SignedOut,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignedIn { user, server } => write!(f, "* signed in at {server} as {user}"),
            Self::Ready { channel } => write!(f, "* the rooms are at {channel}"),
            Self::Room {
                room,
                name,
                description,
                people,
            } => {
                write!(f, "  {name}")?;
                if let Some(people) = people {
                    write!(f, " ({people} in it)")?;
                }
                if let Some(description) = description {
                    write!(f, ": {description}")?;
                }
                write!(f, "  {room}")
            }
            Self::Rooms { count: 1 } => write!(f, "* 1 room"),
            Self::Rooms { count } => write!(f, "* {count} rooms"),
            Self::Joined {
                name,
                topic,
                people,
                ..
            } => {
                write!(f, "* you are in {name}")?;
                if let Some(topic) = topic {
                    write!(f, ", topic: {topic}")?;
                }
                write!(f, ", with {} in it", people.len())
            }
            Self::Parted { name, .. } => write!(f, "* you left {name}"),
            Self::Message {
                name,
                short,
                ts,
                text,
                history,
                ..
            } => {
                write!(f, "[{name}] ")?;
                if *history {
                    write!(f, "{} ", minute(ts))?;
                }
                write!(
                    f,
                    "{short}: {}",
                    text.replace("\r\n", "\n").replace('\n', "\n    ")
                )
            }
            Self::History { name, count: 0, .. } => write!(f, "* nothing was said in {name} yet"),
            Self::History { name, count: 1, .. } => write!(f, "* this was 1 message of {name}"),
            Self::History { name, count, .. } => {
                write!(f, "* these were {count} messages of {name}")
            }
            // The message itself comes back from the server and is shown then.
            Self::Sent { .. } => Ok(()),
            Self::Arrived { name, short, .. } => write!(f, "[{name}] * {short} came"),
            Self::Left { name, short, .. } => write!(f, "[{name}] * {short} left"),
            Self::People { name, short, .. } => write!(f, "* in {name}: {}", short.join(", ")),
            Self::Expected { text } => write!(f, "* there it is: {text}"),
            Self::Dropped { what } => {
                write!(f, "* something arrived that a legacy client drops: {what}")
            }
            Self::Restarting => {
                write!(f, "* the server forgot the session; calling it again")
            }
            Self::Help { text } => f.write_str(text),
            Self::Error { text } => write!(f, "! {text}"),
            Self::SignedOut => write!(f, "* signed out"),
        }
    }
}

/// Where it is told.
pub(super) enum Report {
    /// JSON lines on standard output.
    Json,
    /// Text on standard output, errors on standard error.
    Text,
    /// Text above the line that is being typed.
    Terminal(Box<dyn FnMut(String) + Send>),
}

impl Report {
    /// Tells.
    pub(super) fn tell(&mut self, told: &Told<'_>) {
        let text = match self {
            Self::Json => serde_json::to_string(told).unwrap_or_default(),
            Self::Text | Self::Terminal(_) => printable(&told.to_string()),
        };
        if text.is_empty() {
            return;
        }
        // Whoever closed the pipe does not want to know.
        let _unheard = match (self, told) {
            (Self::Terminal(print), _) => {
                print(text + "\n");
                Ok(())
            }
            (Self::Text, Told::Error { text }) => {
                writeln!(io::stderr(), "holdover chat: {}", printable(text))
            }
            (Self::Json, Told::Error { text: error }) => {
                let shown = writeln!(io::stderr(), "holdover chat: {}", printable(error));
                shown.and_then(|()| line(&text))
            }
            _ => line(&text),
        };
    }
}

/// A time as people want it; in UTC, as it is written. One that cannot be read stays as it is.
fn minute(ts: &str) -> String {
    match ts.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => ts.into(),
    }
}

fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Text of others without what would command a terminal.
fn printable(text: &str) -> String {
    let harmless = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'a>(text: &'a str, history: bool) -> Told<'a> {
        Told::Message {
            room: "ma-chan://contoso.com/1",
            name: "Deals",
            author: "sip:ann@contoso.com",
            short: "ann",
            ts: "2026-11-02T08:00:00Z",
            text,
            history,
        }
    }

    #[test]
    fn messages_read_like_a_chat() {
        assert_eq!(message("hello", false).to_string(), "[Deals] ann: hello");
        assert_eq!(
            message("a\r\nb", true).to_string(),
            "[Deals] 2026-11-02 08:00 UTC ann: a\n    b"
        );
    }

    #[test]
    fn json_has_the_whole_message_in_one_line() {
        assert_eq!(
            serde_json::to_string(&message("a\nb", false)).unwrap(),
            "{\"event\":\"message\",\"room\":\"ma-chan://contoso.com/1\",\"name\":\"Deals\",\
             \"author\":\"sip:ann@contoso.com\",\"ts\":\"2026-11-02T08:00:00Z\",\"text\":\"a\\nb\",\"history\":false}"
        );
        assert_eq!(
            serde_json::to_string(&Told::Restarting).unwrap(),
            "{\"event\":\"restarting\"}"
        );
    }

    #[test]
    fn no_message_commands_the_terminal() {
        let shown = printable("\u{1b}]0;owned\u{7}\u{9b}2Jok");
        assert!(
            !shown.chars().any(char::is_control) && shown.ends_with("2Jok"),
            "{shown:?}"
        );
    }
}
