//! The sessions that exist, by user endpoint: so that a client that comes back finds the one that waits for it. And by
//! dialog, for those behind a front end: their requests come over any connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use holdover_protocol::sip::dialog::DialogKey;
use holdover_protocol::sip::{Request, Status};
use holdover_protocol::user::UserUri;

use super::task::SessionInput;
use crate::listener::uas::Endpoint;
use crate::queue::{self, TrySendError};

/// One session, as others see it.
#[derive(Debug)]
pub struct SessionHandle {
    /// Unique number, for logs.
    pub id: u64,
    /// Whose it is.
    pub endpoint: Endpoint,
    mailbox: queue::Sender<SessionInput>,
    attached: AtomicBool,
    /// Number of the front end's connection that it is on, or was on last.
    connection: AtomicU64,
    /// The dialog that the table finds it by.
    dialog: Mutex<Option<DialogKey>>,
}

impl SessionHandle {
    /// The session's mailbox.
    #[must_use]
    pub fn mailbox(&self) -> &queue::Sender<SessionInput> {
        &self.mailbox
    }

    /// Whether a client is connected.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Acquire)
    }

    /// Whether it is on this connection of a front end.
    #[must_use]
    pub fn is_on(&self, connection: u64) -> bool {
        self.connection.load(Ordering::Acquire) == connection
    }

    /// Notes that it is on this connection of a front end from now on. Answers whether that is news.
    #[must_use]
    pub fn moves_to(&self, connection: u64) -> bool {
        self.connection.swap(connection, Ordering::AcqRel) != connection
    }

    /// Hands over a request of the client.
    ///
    /// # Errors
    ///
    /// The request, and what it is to be answered: the session is over, or has too much to do.
    pub fn offer(&self, request: Box<Request>) -> Result<(), (Box<Request>, Status)> {
        // Half of it is for what the pools say: where that does not fit, the leg is lost.
        if self.mailbox.capacity() <= self.mailbox.max_capacity() / 2 && !self.mailbox.is_closed() {
            return Err((request, Status::SERVICE_UNAVAILABLE));
        }
        match self.mailbox.try_send(SessionInput::Request(request)) {
            Err(TrySendError::Full(SessionInput::Request(request))) => {
                Err((request, Status::SERVICE_UNAVAILABLE))
            }
            // The session is over: the client starts again from the lookup.
            Err(TrySendError::Closed(SessionInput::Request(request))) => {
                Err((request, Status::NO_SUCH_DIALOG))
            }
            _ => Ok(()),
        }
    }

    /// Tells it something that must arrive.
    pub fn tell(&self, input: SessionInput) {
        if let Err(TrySendError::Full(input)) = self.mailbox.try_send(input) {
            let mailbox = self.mailbox.clone();
            tokio::spawn(async move {
                let _over = mailbox.send(input).await;
            });
        }
    }

    /// Gives the session back.
    pub(super) fn release(&self) {
        self.attached.store(false, Ordering::Release);
    }

    /// Takes the session, for a client or to end it, if nobody has it.
    pub(super) fn claim(&self) -> bool {
        !self.attached.swap(true, Ordering::AcqRel)
    }

    fn dialog(&self) -> std::sync::MutexGuard<'_, Option<DialogKey>> {
        self.dialog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All sessions. Several may have one endpoint: two processes of a user on one host share their epid.
#[derive(Debug, Default)]
pub struct SessionTable {
    sessions: DashMap<UserUri, Vec<Arc<SessionHandle>>>,
    dialogs: DashMap<DialogKey, Arc<SessionHandle>>,
    next: AtomicU64,
}

impl SessionTable {
    /// The session of this endpoint that waits for a client. It is the caller's now.
    #[must_use]
    pub fn claim(&self, endpoint: &Endpoint) -> Option<Arc<SessionHandle>> {
        let sessions = self.sessions.get(&endpoint.user)?;
        let mut sessions = sessions.iter().filter(|it| it.endpoint == *endpoint);
        sessions.find(|session| session.claim()).cloned()
    }

    /// The session of this endpoint, whether or not it has a client: for a front end, whose registrar knows each
    /// endpoint once, so that an endpoint's new dialog takes the place of its old one. It is the caller's now.
    #[must_use]
    pub fn take(&self, endpoint: &Endpoint) -> Option<Arc<SessionHandle>> {
        if endpoint.epid.is_empty() {
            // Nobody can tell the user's clients apart.
            return self.claim(endpoint);
        }
        let sessions = self.sessions.get(&endpoint.user)?;
        let session = sessions.iter().find(|it| it.endpoint == *endpoint)?;
        let _had_client = !session.claim();
        Some(Arc::clone(session))
    }

    /// Whether there is a session of this endpoint.
    #[must_use]
    pub fn has(&self, endpoint: &Endpoint) -> bool {
        let sessions = self.sessions.get(&endpoint.user);
        sessions.is_some_and(|it| it.iter().any(|session| session.endpoint == *endpoint))
    }

    /// How many sessions a user has, not counting those of this endpoint.
    #[must_use]
    pub fn others(&self, endpoint: &Endpoint) -> usize {
        let sessions = self.sessions.get(&endpoint.user);
        sessions.map_or(0, |sessions| {
            let is_other =
                |it: &&Arc<SessionHandle>| it.endpoint != *endpoint || endpoint.epid.is_empty();
            sessions.iter().filter(is_other).count()
        })
    }

    /// The session that is to make room, if this many of the user's wait for a client already: the one that was opened first.
    /// It is the caller's now.
    #[must_use]
    pub(super) fn displace(&self, user: &UserUri, most: usize) -> Option<Arc<SessionHandle>> {
        let sessions = self.sessions.get(user)?;
        // A session that ends is not counted, nor one that a client has.
        let waits = |it: &&Arc<SessionHandle>| !it.is_attached() && !it.mailbox.is_closed();
        if sessions.iter().filter(waits).count() < most {
            return None;
        }
        let mut waiting = sessions.iter().filter(waits);
        waiting.find(|session| session.claim()).cloned()
    }

    /// Adds a session that has a client.
    pub fn insert(
        &self,
        endpoint: Endpoint,
        mailbox: queue::Sender<SessionInput>,
    ) -> Arc<SessionHandle> {
        let session = Arc::new(SessionHandle {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            endpoint: endpoint.clone(),
            mailbox,
            attached: AtomicBool::new(true),
            connection: AtomicU64::new(0),
            dialog: Mutex::new(None),
        });
        self.sessions
            .entry(endpoint.user)
            .or_default()
            .push(Arc::clone(&session));
        session
    }

    /// Makes a session the one of this dialog, and of no other.
    pub fn bind(&self, session: &Arc<SessionHandle>, dialog: DialogKey) {
        let before = session.dialog().replace(dialog.clone());
        if let Some(before) = before.filter(|before| *before != dialog) {
            self.dialogs.remove_if(&before, |_, it| it.id == session.id);
        }
        self.dialogs.insert(dialog, Arc::clone(session));
        // It may have ended meanwhile, and found nothing to remove.
        if session.mailbox.is_closed() {
            self.unbind(session);
        }
    }

    /// The session that a dialog belongs to, if it was [bound](Self::bind).
    #[must_use]
    pub fn of_dialog(&self, dialog: &DialogKey) -> Option<Arc<SessionHandle>> {
        self.dialogs.get(dialog).map(|it| Arc::clone(it.value()))
    }

    fn unbind(&self, session: &SessionHandle) {
        if let Some(dialog) = session.dialog().take() {
            self.dialogs.remove_if(&dialog, |_, it| it.id == session.id);
        }
    }

    /// Removes a session that is over.
    pub fn remove(&self, session: &SessionHandle) {
        if let Some(mut sessions) = self.sessions.get_mut(&session.endpoint.user) {
            sessions.retain(|other| other.id != session.id);
        }
        self.sessions
            .remove_if(&session.endpoint.user, |_, sessions| sessions.is_empty());
        self.unbind(session);
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
