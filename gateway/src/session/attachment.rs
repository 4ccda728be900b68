//! The connection that a session has to its client, and whose it is.

use super::downstream::SentBy;

/// A client's connection, as the session needs to know it.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Unique number of the connection.
    pub connection: u64,
    /// How requests on it name this end.
    pub sent_by: SentBy,
    /// Whose it is.
    pub way: Way,
}

/// How a client is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The connection is the client's own: where it ends, the client is gone.
    Own,
    /// The connection is that of a front end, which others are on as well. It says nothing about the client, whose dialog
    /// goes on over another connection of the front end.
    FrontEnd {
        /// Tells the client's own connection, to the front end, from others it had before.
        client: u64,
    },
}

impl Attachment {
    /// What tells a client's own connection from others it had before.
    pub(super) fn client(&self) -> u64 {
        match self.way {
            Way::Own => self.connection,
            Way::FrontEnd { client } => client,
        }
    }

    /// Where the client's later requests are to go (RFC 3261 §8.1.1.8), which invited the URI `invited`. Whoever has a
    /// connection of its own comes over that anyway; a front end routes by it.
    pub(crate) fn contact(&self, invited: &str) -> String {
        let uri = invited.split([';', '?']).next().unwrap_or_default();
        let transport = self.sent_by.transport.to_ascii_lowercase();
        match self.way {
            Way::Own => format!("<{uri};transport={transport}>"),
            Way::FrontEnd { .. } => {
                let user = uri.split_once('@').map_or(uri, |(user, _)| user);
                format!("<{user}@{};transport={transport}>", self.sent_by.address)
            }
        }
    }
}
