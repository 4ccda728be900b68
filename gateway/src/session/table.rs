//! The sessions that exist, by user endpoint: so that a client that comes back finds the one that waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::mpsc;

use super::task::SessionInput;
use crate::listener::uas::Endpoint;

/// One session, as others see it.
#[derive(Debug)]
pub struct SessionHandle {
    /// Unique number, for logs.
    pub id: u64,
    /// Whose it is.
    pub endpoint: Endpoint,
    mailbox: mpsc::Sender<SessionInput>,
    attached: AtomicBool,
}

impl SessionHandle {
    /// The session's mailbox.
    #[must_use]
    pub fn mailbox(&self) -> &mpsc::Sender<SessionInput> {
        &self.mailbox
    }

    /// Whether a client is connected.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// Gives the session back.
    pub(super) fn release(&self) {
        self.attached.store(false, Ordering::Release);
    }

    /// Takes the session, for a client or to end it, if nobody has it.
    pub(super) fn claim(&self) -> bool {
        !self.attached.swap(true, Ordering::AcqRel)
    }
}

/// All sessions. Several may have one endpoint: two processes of a user on one host share their epid.
#[derive(Debug, Default)]
pub struct SessionTable {
    sessions: DashMap<Endpoint, Vec<Arc<SessionHandle>>>,
    next: AtomicU64,
}

impl SessionTable {
    /// The session of this endpoint that waits for a client. It is the caller's now.
    #[must_use]
    pub fn claim(&self, endpoint: &Endpoint) -> Option<Arc<SessionHandle>> {
        let sessions = self.sessions.get(endpoint)?;
        sessions.iter().find(|session| session.claim()).cloned()
    }

    /// Adds a session that has a client.
    pub fn insert(
        &self,
        endpoint: Endpoint,
        mailbox: mpsc::Sender<SessionInput>,
    ) -> Arc<SessionHandle> {
        let session = Arc::new(SessionHandle {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            endpoint: endpoint.clone(),
            mailbox,
            attached: AtomicBool::new(true),
        });
        self.sessions
            .entry(endpoint)
            .or_default()
            .push(Arc::clone(&session));
        session
    }

    /// Removes a session that is over.
    pub fn remove(&self, session: &SessionHandle) {
        if let Some(mut sessions) = self.sessions.get_mut(&session.endpoint) {
            sessions.retain(|other| other.id != session.id);
        }
        self.sessions
            .remove_if(&session.endpoint, |_, sessions| sessions.is_empty());
    }

    /// All of them, as they are now.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<SessionHandle>> {
        self.sessions
            .iter()
            .flat_map(|entry| entry.value().clone())
            .collect()
    }
}
