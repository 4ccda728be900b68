//! Who is at the other end: the client, the connection it is reached by, and what rules may ask of it.

use std::net::IpAddr;
use std::sync::Arc;

use holdover_config::ListenerName;
use holdover_protocol::user::UserUri;

/// One user endpoint: what a session survives a connection by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The user.
    pub user: UserUri,
    /// The client's endpoint identifier; empty if it has none.
    pub epid: Box<str>,
    /// How it comes. A session belongs to one of the two: what is said on a client's own connection never ends up on a
    /// front end's.
    pub door: Door,
}

/// How clients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// By a connection of their own.
    Own,
    /// By a front end.
    FrontEnd,
}

/// What rules may ask of whoever acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub user: UserUri,
    /// From where.
    pub network: Option<IpAddr>,
    /// On which listener.
    pub listener: Option<ListenerName>,
    /// With which client, as that says itself.
    pub client: Option<Arc<str>>,
}

/// How requests to the client name this end (RFC 3261 §18.1.1).
#[derive(Clone, Debug)]
pub struct SentBy {
    /// `TCP` or `TLS`.
    pub transport: &'static str,
    /// Address and port of the listener.
    pub address: Box<str>,
}

/// Number of a connection of this process, to a client or a front end. No two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionNumber(pub u64);

/// Tells a client's own connection from others it had before: the number of ours, or one made of what a front end says of
/// the client's connection to it. Comparable only within one session, whose client always comes the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNumber(pub u64);

impl ClientNumber {
    /// That of a client whose own connection this is.
    #[must_use]
    pub fn of(connection: ConnectionNumber) -> Self {
        Self(connection.0)
    }
}

/// A client's connection, as the session needs to know it.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The connection.
    pub connection: ConnectionNumber,
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
        client: ClientNumber,
    },
}

impl Attachment {
    /// What tells a client's own connection from others it had before.
    pub(crate) fn client(&self) -> ClientNumber {
        match self.way {
            Way::Own => ClientNumber::of(self.connection),
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
