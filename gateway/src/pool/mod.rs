//! Pools: what rooms live on, and the legs by which sessions reach them.
//!
//! A leg is one user endpoint on one pool. A session sends XCCOS documents on it and is told, in order, what became of
//! each (the receipt) and what the pool had to say. A leg never blocks the session and the session never blocks the
//! pool: where a queue is full the leg is closed, and the session opens a new one and fetches what it missed.

pub mod embedded;
pub mod sip;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use holdover_config::PoolName;
use holdover_config::settings::Dialect;
use holdover_protocol::sip::Limits;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos;
use serde::Serialize;

use embedded::{EmbeddedLeg, EmbeddedPool};
use sip::{SipLeg, SipPool};

use crate::telemetry::{ServerSample, Servers};

/// Number of a pool in the configuration, from 0 in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u16);

/// One pool, by its kind.
#[derive(Debug)]
pub enum Pool {
    /// Inside Holdover.
    Embedded(EmbeddedPool),
    /// Over SIP.
    Sip(SipPool),
}

/// One leg, by the kind of its pool. Dropping it closes it.
#[derive(Debug)]
pub enum Leg {
    /// To a pool inside Holdover.
    Embedded(EmbeddedLeg),
    /// To a pool over SIP.
    Sip(SipLeg),
}

impl Leg {
    /// Sends a document. Never blocks.
    ///
    /// # Errors
    ///
    /// Why the leg is gone.
    pub fn send(&self, id: SendId, document: Bytes) -> Result<(), LegClosed> {
        match self {
            Self::Embedded(leg) => leg.send(id, document),
            Self::Sip(leg) => leg.send(id, document),
        }
    }
}

/// A pool, as the admin server shows it.
#[derive(Clone, Debug, Serialize)]
pub struct PoolState {
    /// Its name in the configuration.
    pub name: String,
    /// Its kind in the configuration.
    pub kind: &'static str,
    /// Its servers, if it is reached over SIP.
    #[serde(flatten)]
    pub sip: Option<sip::SipPoolState>,
}

/// The pools of the configuration, in its order.
#[derive(Debug)]
pub struct Pools(Vec<(PoolName, Pool)>);

impl Pools {
    /// Takes them over.
    #[must_use]
    pub fn new(pools: Vec<(PoolName, Pool)>) -> Self {
        Self(pools)
    }

    /// A pool by its name.
    #[must_use]
    pub fn id(&self, name: &PoolName) -> Option<PoolId> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        u16::try_from(at).ok().map(PoolId)
    }

    /// All of them, in order.
    pub fn ids(&self) -> impl Iterator<Item = PoolId> {
        (0..self.0.len()).filter_map(|at| u16::try_from(at).ok().map(PoolId))
    }

    /// A pool's name.
    #[must_use]
    pub fn name(&self, id: PoolId) -> Option<&PoolName> {
        self.0.get(usize::from(id.0)).map(|(name, _)| name)
    }

    /// Sets the bounds of messages for connections to come.
    pub fn limit(&self, limits: Limits, xccos: xccos::Limits) {
        for (_, pool) in &self.0 {
            if let Pool::Sip(pool) = pool {
                pool.limit(limits, xccos);
            }
        }
    }

    /// The pools over SIP.
    #[cfg(test)]
    pub(crate) fn over_sip(&self) -> impl Iterator<Item = &SipPool> {
        self.0.iter().filter_map(|(_, pool)| match pool {
            Pool::Sip(pool) => Some(pool),
            Pool::Embedded(_) => None,
        })
    }

    /// Whether rooms have the same identifier there as at legacy clients: an old Group Chat server.
    #[must_use]
    pub fn keeps_ids(&self, id: PoolId) -> bool {
        match self.0.get(usize::from(id.0)) {
            Some((_, Pool::Sip(pool))) => pool.dialect() == Dialect::GroupChat,
            Some((_, Pool::Embedded(_))) | None => false,
        }
    }

    /// The state of the servers behind each pool over SIP, by name.
    #[must_use]
    pub fn states(&self) -> Vec<PoolState> {
        let state = |(name, pool): &(PoolName, Pool)| PoolState {
            name: name.to_string(),
            kind: match pool {
                Pool::Embedded(_) => "embedded",
                Pool::Sip(_) => "sip",
            },
            sip: match pool {
                Pool::Embedded(_) => None,
                Pool::Sip(pool) => Some(pool.state()),
            },
        };
        self.0.iter().map(state).collect()
    }

    /// Whether each pool works, as far as that is known without asking the network. Never blocks.
    #[must_use]
    pub fn look(&self) -> Vec<Looked> {
        let look = |(name, pool): &(PoolName, Pool)| Looked {
            name: name.clone(),
            is_here: matches!(pool, Pool::Embedded(_)),
            works: match pool {
                Pool::Embedded(pool) => Some(pool.look()),
                Pool::Sip(pool) => works(&pool.state()),
            },
        };
        self.0.iter().map(look).collect()
    }

    /// Opens a leg for a user.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened.
    pub fn open_leg(
        &self,
        id: PoolId,
        user: UserUri,
        sink: Arc<dyn LegSink>,
        why: Opening,
    ) -> Result<Leg, LegClosed> {
        match self.0.get(usize::from(id.0)) {
            Some((_, Pool::Embedded(pool))) => Ok(Leg::Embedded(pool.open_leg(user, sink))),
            Some((_, Pool::Sip(pool))) => pool.open_leg(user, sink, why).map(Leg::Sip),
            None => Err(LegClosed::Unreachable),
        }
    }

    /// Finishes what they have in hand and closes them. Blocks for as long as a disk takes; [`closed`](Self::closed) waits
    /// for what the network takes.
    pub fn shutdown(&self) {
        for (_, pool) in &self.0 {
            match pool {
                Pool::Embedded(pool) => pool.shutdown(),
                Pool::Sip(pool) => pool.shutdown(),
            }
        }
    }

    /// Waits until the last words of a [`shutdown`](Self::shutdown) are said.
    pub async fn closed(&self) {
        for (_, pool) in &self.0 {
            if let Pool::Sip(pool) = pool {
                pool.closed().await;
            }
        }
    }
}

/// A pool, and whether it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Its name.
    pub name: PoolName,
    /// It is part of this process: nobody else has it either.
    pub is_here: bool,
    /// What does not work, in words for an operator. `None`: its servers are tried for the first time.
    pub works: Option<Result<(), String>>,
}

/// Whether a pool over SIP can be reached, once that is known.
fn works(pool: &sip::SipPoolState) -> Option<Result<(), String>> {
    if pool.servers.iter().any(|server| server.connections > 0) {
        return Some(Ok(()));
    }
    let mut errors = pool
        .servers
        .iter()
        .filter_map(|server| server.last_error.as_deref());
    let error = errors.next()?;
    Some(Err(format!("none of its servers can be reached: {error}")))
}

impl Servers for Pools {
    fn samples(&self) -> Vec<ServerSample> {
        let of_pool = |(name, pool): &(PoolName, Pool)| match pool {
            Pool::Embedded(_) => Vec::new(),
            Pool::Sip(pool) => {
                let sample = |server: sip::ServerState| ServerSample {
                    pool: name.to_string(),
                    server: server.address,
                    state: server.state,
                    connections: server.connections,
                    legs: server.legs,
                    failures: usize::try_from(server.failures).unwrap_or(usize::MAX),
                };
                pool.state().servers.into_iter().map(sample).collect()
            }
        };
        self.0.iter().flat_map(of_pool).collect()
    }
}

/// Names one document a session sent on a leg, so that the receipt can be matched to it. Unique per leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SendId(pub u64);

/// What a pool tells a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// What became of a document that was sent. Exactly one per document, unless the leg closes first.
    Receipt {
        /// The document.
        id: SendId,
        /// Its fate.
        receipt: Receipt,
    },
    /// A document from the pool: a reply, a notice or a message.
    Document(Bytes),
    /// The leg is gone; nothing follows. Documents without a receipt have an unknown fate, unless the leg is
    /// [`Unopened`](LegClosed::Unopened).
    Closed(LegClosed),
}

/// The final response of a pool to one document (over SIP: the final response to the INFO).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The pool has it. For a post: it is durable.
    Accepted,
    /// The pool refused it.
    Refused {
        /// SIP status, 300 to 699.
        status: u16,
        /// SIP reason phrase; never message text.
        reason: Box<str>,
    },
    /// No answer within the time limit: it may or may not have happened.
    Unknown,
}

/// Why a leg is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Somebody waits for what is sent on it first.
    First,
    /// One was lost. All who lost theirs come at about the same time, and can wait.
    Again,
}

/// Why a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegClosed {
    /// The session's queue was full: the session must catch up from history.
    Overflow,
    /// The pool ended it or is shutting down.
    Pool,
    /// The pool could not be reached, or its storage failed.
    Unreachable,
    /// The pool could not be reached or did not want it, before anything was sent on it: the pool has no document.
    Unopened,
}

impl fmt::Display for LegClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overflow => "the session did not keep up",
            Self::Pool => "the pool ended it",
            Self::Unreachable => "the pool could not be reached",
            Self::Unopened => "there was no way to the pool",
        })
    }
}

/// The end of a leg that a pool writes to. Deliveries never block.
pub trait LegSink: Send + Sync + 'static {
    /// Hands one event to the session.
    ///
    /// # Errors
    ///
    /// [`LegClosed::Overflow`] when the session's queue is full or the session is gone: the pool then drops the leg.
    fn deliver(&self, event: LegEvent) -> Result<(), LegClosed>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_whose_servers_were_not_tried_yet_has_not_failed() {
        let server = |connections, last_error: Option<&str>| sip::ServerState {
            address: "192.0.2.1:5061".to_owned(),
            priority: None,
            weight: None,
            state: "connecting",
            connections,
            legs: 0,
            failures: 0,
            last_error: last_error.map(str::to_owned),
        };
        let of = |servers| {
            let uri = String::new();
            works(&sip::SipPoolState { uri, servers })
        };
        assert_eq!(of(vec![server(0, None), server(0, None)]), None);
        assert_eq!(of(vec![server(0, None), server(1, None)]), Some(Ok(())));
        let failed = of(vec![server(0, None), server(0, Some("refused"))]);
        assert!(failed.unwrap().unwrap_err().ends_with("refused"));
    }
}
