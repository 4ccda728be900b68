//! One connection to a server, kept up for as long as the pool runs.
//!
//! A link is a task. It dials, proves the connection, carries legs over it, and when it is lost waits and dials again;
//! meanwhile it turns legs away. Only the first try is waited for: a server that cannot be reached may take many seconds to
//! show it, and users are better told at once. Sessions reach it through a queue that never blocks: documents are bounded per leg and in
//! bytes over all, opening and closing are always taken, because there is one of each per leg.

mod connection;
mod ping;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use holdover_config::PoolName;
use holdover_protocol::sip::Limits;
use holdover_protocol::user::UserUri;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use self::connection::{Connection, Ended};
use super::dial::{Dial, DialError};
use super::leg::LegSettings;
use super::servers::Server;
use crate::pool::{LegClosed, LegEvent, LegSink, Opening, SendId};
use crate::random::Random;
use crate::telemetry::Telemetry;
use crate::telemetry::events::pool::ServerLoss;
use crate::transport::now;

/// Documents of one leg that may wait for the link.
const PER_LEG: usize = 128;

/// Bytes of documents that may wait for the link, all legs together.
const BYTES: usize = 32 << 20;

/// Sessions that may be joining their rooms again at one time: what they all send fits in [`BYTES`]. The others are turned
/// away and come again a few seconds later, so that a pool that is back is not met by all at once.
const REJOINING: usize = 256;

/// Pause after the first failed try; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Longest pause between tries. It is what users wait for when the server is back, and one try for all of them costs little.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What all links of a pool have in common.
pub(super) struct Common {
    pub(super) pool: PoolName,
    pub(super) legs: ArcSwap<LegSettings>,
    /// The address that signs of life are sent from, which is nobody's.
    pub(super) own_uri: Box<str>,
    pub(super) ping: Option<Duration>,
    pub(super) limits: ArcSwap<Limits>,
    pub(super) telemetry: Telemetry,
    pub(super) shutdown: CancellationToken,
    /// A connection was lost, or could not be made: what is known of the servers may be too old.
    pub(super) lost: Notify,
}

/// What a link is asked to do.
pub(super) enum Command {
    Open {
        leg: u64,
        user: UserUri,
        sink: Arc<dyn LegSink>,
        gate: Arc<Gate>,
        rejoining: Option<Rejoining>,
    },
    Send {
        leg: u64,
        id: SendId,
        document: Bytes,
        gate: Arc<Gate>,
    },
    Close {
        leg: u64,
    },
}

/// What the two ends of a leg share.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Number of its documents that wait for the link.
    waiting: AtomicUsize,
    /// The link dropped the leg, because the session did not keep up.
    overflowed: AtomicBool,
}

/// A place among those that may be [joining again](REJOINING) at one time. Kept until the pool has said something on the
/// leg, or the leg is gone.
#[derive(Debug)]
pub(super) struct Rejoining(Arc<LinkHandle>);

impl Rejoining {
    fn on(link: &Arc<LinkHandle>) -> Option<Self> {
        let count = &link.rejoining;
        let more = |count| (count < REJOINING).then_some(count + 1);
        let taken = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Self(Arc::clone(link)))
    }
}

impl Drop for Rejoining {
    fn drop(&mut self) {
        self.0.rejoining.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum LinkState {
    /// It dials, or proves the connection, for the first time. Legs wait for the outcome.
    Connecting,
    /// Legs are opened at once.
    Ready,
    /// It failed, or was lost. Legs are turned away until it is proved again.
    Down,
}

/// The sessions' end of a link.
#[derive(Debug)]
pub(super) struct LinkHandle {
    queue: mpsc::UnboundedSender<Command>,
    stage: AtomicU8,
    waiting_bytes: AtomicUsize,
    legs: AtomicUsize,
    rejoining: AtomicUsize,
}

impl LinkHandle {
    pub(super) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Command>) {
        let (queue, inbox) = mpsc::unbounded_channel();
        let handle = Self {
            queue,
            stage: AtomicU8::new(LinkState::Connecting as u8),
            waiting_bytes: AtomicUsize::new(0),
            legs: AtomicUsize::new(0),
            rejoining: AtomicUsize::new(0),
        };
        (Arc::new(handle), inbox)
    }

    pub(super) fn stage(&self) -> LinkState {
        match self.stage.load(Ordering::Acquire) {
            stage if stage == LinkState::Connecting as u8 => LinkState::Connecting,
            stage if stage == LinkState::Ready as u8 => LinkState::Ready,
            _ => LinkState::Down,
        }
    }

    fn set_stage(&self, stage: LinkState) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    /// Legs on it.
    pub(super) fn legs(&self) -> usize {
        self.legs.load(Ordering::Relaxed)
    }

    /// Opens a leg. `leg` is its number, never used twice.
    ///
    /// # Errors
    ///
    /// [`LegClosed::Pool`] when the pool is shut down, [`LegClosed::Unopened`] when the leg is to take the place of a lost
    /// one and [too many](REJOINING) are about to.
    pub(super) fn open(
        self: &Arc<Self>,
        leg: u64,
        user: UserUri,
        sink: Arc<dyn LegSink>,
        why: Opening,
    ) -> Result<Arc<Gate>, LegClosed> {
        let rejoining = match why {
            Opening::First => None,
            Opening::Again => Some(Rejoining::on(self).ok_or(LegClosed::Unopened)?),
        };
        let gate = Arc::new(Gate::default());
        let open = Command::Open {
            leg,
            user,
            sink,
            gate: Arc::clone(&gate),
            rejoining,
        };
        self.queue.send(open).map_err(|_| LegClosed::Pool)?;
        Ok(gate)
    }

    /// Sends a document on a leg.
    ///
    /// # Errors
    ///
    /// [`LegClosed::Overflow`] when too much waits or the leg was dropped, [`LegClosed::Pool`] when the pool is shut down.
    pub(super) fn send(
        &self,
        leg: u64,
        gate: &Arc<Gate>,
        id: SendId,
        document: Bytes,
    ) -> Result<(), LegClosed> {
        let length = document.len();
        // Two sessions may pass the check together; the bound is soft by their documents.
        if self.waiting_bytes.load(Ordering::Relaxed) >= BYTES
            || gate.waiting.load(Ordering::Relaxed) >= PER_LEG
            || gate.overflowed.load(Ordering::Relaxed)
        {
            return Err(LegClosed::Overflow);
        }
        self.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        gate.waiting.fetch_add(1, Ordering::Relaxed);
        let send = Command::Send {
            leg,
            id,
            document,
            gate: Arc::clone(gate),
        };
        self.queue.send(send).map_err(|_| LegClosed::Pool)
    }

    /// Closes a leg.
    pub(super) fn close(&self, leg: u64) {
        // A link that is gone took the leg with it.
        let _gone = self.queue.send(Command::Close { leg });
    }

    /// A document left the queue.
    fn taken(&self, document: &Bytes, gate: &Gate) {
        self.waiting_bytes
            .fetch_sub(document.len(), Ordering::Relaxed);
        gate.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See the module's text.
pub(super) struct Link<D> {
    pub(super) dial: D,
    pub(super) inbox: mpsc::UnboundedReceiver<Command>,
    pub(super) handle: Arc<LinkHandle>,
    pub(super) server: Arc<Server>,
    pub(super) common: Arc<Common>,
    pub(super) random: Random,
}

impl<D: Dial> Link<D> {
    /// Runs until the pool is shut down or the server is retired.
    pub(super) async fn run(mut self) {
        let shutdown = self.common.shutdown.clone();
        let retired = self.server.retired().clone();
        let mut failures = 0;
        while !retired.is_cancelled() {
            let is_first = self.handle.stage() == LinkState::Connecting;
            let dialled = tokio::select! {
                () = shutdown.cancelled() => break,
                () = retired.cancelled() => break,
                () = turn_away(&mut self.inbox, &self.handle), if !is_first => break,
                dialled = self.dial.dial() => dialled,
            };
            let proved = match dialled {
                Ok(dialled) => {
                    let mut connection = Connection::new(
                        now(),
                        dialled,
                        Arc::clone(&self.handle),
                        Arc::clone(&self.server),
                        Arc::clone(&self.common),
                        self.random.draw(),
                    );
                    let ended = connection.run(&mut self.inbox).await;
                    let proved = connection.is_proved();
                    drop(connection);
                    self.handle.set_stage(LinkState::Down);
                    let error = match ended {
                        Ended::Shutdown => break,
                        Ended::Retired => {
                            self.server.left(&self.common, proved);
                            break;
                        }
                        Ended::Lost(error) => error,
                    };
                    self.server.lost(&self.common, proved, &error);
                    proved
                }
                Err(error) => {
                    self.handle.set_stage(LinkState::Down);
                    self.server.lost(&self.common, false, &error);
                    false
                }
            };
            failures = if proved { 0 } else { failures + 1 };
            let pause = FIRST_PAUSE.saturating_mul(1 << u32::min(failures, 10));
            let pause = self.random.jitter(pause.min(LONGEST_PAUSE));
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = retired.cancelled() => break,
                () = turn_away(&mut self.inbox, &self.handle) => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.handle.set_stage(LinkState::Down);
        self.inbox.close();
        turn_away(&mut self.inbox, &self.handle).await;
    }
}

/// Tells legs that they cannot be had, until there is nobody left to ask for one.
async fn turn_away(inbox: &mut mpsc::UnboundedReceiver<Command>, handle: &LinkHandle) {
    while let Some(command) = inbox.recv().await {
        refuse(command, handle);
    }
}

/// Tells a leg that it cannot be had.
fn refuse(command: Command, handle: &LinkHandle) {
    match command {
        Command::Open { sink, .. } => {
            // A session that cannot take this knows by itself that it has no leg.
            let _full = sink.deliver(LegEvent::Closed(LegClosed::Unopened));
        }
        // The leg's end was told, or is told by its `Open`.
        Command::Send { document, gate, .. } => handle.taken(&document, &gate),
        Command::Close { .. } => {}
    }
}

/// What ended a connection that was up.
fn lost(reason: ServerLoss, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Ended {
    Ended::Lost(DialError {
        reason,
        tls: None,
        error: std::io::Error::other(error),
    })
}

#[cfg(test)]
mod tests;
