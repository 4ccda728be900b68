//! What is to be explained, as people write it.

use std::net::IpAddr;

use holdover_config::rules::Act;
use holdover_config::suggest;
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use jiff::{Timestamp, Zoned};
use serde::Deserialize;

use crate::peer::Caller;

/// A question in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// `ann@contoso.com`, with or without `sip:`.
    pub user: String,
    /// A legacy id.
    pub room: Option<String>,
    /// What the client says it is.
    pub client: Option<String>,
    /// Where the client is.
    pub from_ip: Option<String>,
    /// Which listener it came to.
    pub listener: Option<String>,
    /// When, with its offset or zone. Default: now.
    pub at: Option<String>,
    /// What is done. Default: `read` with a room, `sign-in` without.
    pub act: Option<String>,
}

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who, and from where.
    pub caller: Caller,
    /// When.
    pub at: Timestamp,
    /// To do what.
    pub act: Act,
    /// In which room; none for what concerns no room.
    pub room: Option<RoomUri>,
}

/// A word that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}`: {problem}")]
pub struct BadWord {
    /// Of which part of the question.
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub help: String,
}

impl Words {
    /// Reads them. `now` is when no time is given.
    ///
    /// # Errors
    ///
    /// The first word that says nothing.
    pub fn read(&self, now: Timestamp) -> Result<Asked, BadWord> {
        let user = UserUri::parse(&self.user)
            .map_err(|error| bad("user", error, "write an address such as `ann@contoso.com`"))?;
        let room = given(&self.room, |text| text.parse::<RoomUri>())
            .map_err(|error| bad("room", error, "write `ma-chan://domain/value`"))?;
        let network = given(&self.from_ip, |text| text.parse::<IpAddr>())
            .map_err(|error| bad("from_ip", error, "write an address such as `192.0.2.7`"))?;
        let listener = given(&self.listener, |text| text.parse())
            .map_err(|error| bad("listener", error, "write the name of a `[[listener]]`"))?;
        let at = given(&self.at, time).map_err(|error| {
            let help = "write a time with its offset or zone, such as `2026-12-05T18:00:00Z`, \
                        `2026-12-05T18:00:00+01:00` or `2026-12-05T18:00[Europe/Berlin]`";
            bad("at", error, help)
        })?;
        let act = match &self.act {
            Some(word) => act(word)?,
            None if room.is_some() => Act::Read,
            None => Act::SignIn,
        };
        if act == Act::SignIn && room.is_some() {
            let problem = "nobody signs in to a room";
            return Err(bad("act", problem, "leave out the room, or ask for `read`"));
        }
        Ok(Asked {
            caller: Caller {
                user,
                network: network.map(|address| address.to_canonical()),
                listener,
                client: self.client.as_deref().map(Into::into),
            },
            at: at.unwrap_or(now),
            act,
            room,
        })
    }
}

fn given<T, E>(
    text: &Option<String>,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, E> {
    text.as_deref().map(read).transpose()
}

fn bad(name: &'static str, problem: impl ToString, help: &str) -> BadWord {
    BadWord {
        name,
        problem: problem.to_string(),
        help: help.to_owned(),
    }
}

/// A point in time. A local time alone is none: the machine that answers may be in another zone than who asks.
fn time(text: &str) -> Result<Timestamp, jiff::Error> {
    match text.parse::<Zoned>() {
        Ok(zoned) => Ok(zoned.timestamp()),
        Err(_) => text.parse(),
    }
}

fn act(word: &str) -> Result<Act, BadWord> {
    let found = Act::ALL.into_iter().find(|act| act.as_str() == word);
    found.ok_or_else(|| {
        let words = Act::ALL.map(Act::as_str);
        let help = suggest::help(word, &words, "the acts are");
        bad("act", format!("there is no act `{word}`"), &help)
    })
}
