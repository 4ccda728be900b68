//! The sessions that exist, by user endpoint: so that a client that comes back finds the one that waits for it. And by
//! dialog, for those behind a front end: their requests come over any connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use holdover_protocol::sip::dialog::DialogKey;
use holdover_protocol::sip::{Request, Status};
use holdover_protocol::user::UserUri;

use super::task::{Attach, SessionInput};
use crate::peer::{ConnectionNumber, Endpoint};
use crate::queue::{self, TrySendError};

/// Sessions of one user that may wait for their clients. Few people have more than three endpoints.
const WAITING_OF_USER: usize = 8;

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
    pub fn is_on(&self, connection: ConnectionNumber) -> bool {
        self.connection.load(Ordering::Acquire) == connection.0
    }

    /// Notes that it is on this connection of a front end from now on. Returns whether that is news.
    #[must_use]
    pub fn moves_to(&self, connection: ConnectionNumber) -> bool {
        self.connection.swap(connection.0, Ordering::AcqRel) != connection.0
    }

    /// Hands over a request of the client.
    ///
    /// # Errors
    ///
    /// The request, and what it is to be answered: the session is over, or has too much to do.
    pub fn offer(&self, request: Box<Request>) -> Result<(), (Box<Request>, Status)> {
        if !self.has_room() && !self.mailbox.is_closed() {
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

    /// Whether it has room for a request of the client. Half of the mailbox is for what the pools say: where that does not
    /// fit, the leg is lost.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.mailbox.capacity() > self.mailbox.max_capacity() / 2
    }

    /// Tells it something that must arrive, after all that it was told before.
    pub fn tell(&self, input: SessionInput) {
        // A session that is over need not know.
        let _over = self.mailbox.push(input);
    }

    /// Notes whether it has a client.
    pub(super) fn set_attached(&self, attached: bool) {
        self.attached.store(attached, Ordering::Release);
    }

    fn dialog(&self) -> std::sync::MutexGuard<'_, Option<DialogKey>> {
        self.dialog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to give a session another client, or to end it. Dropped without either, the session waits on as it did.
#[derive(Debug)]
pub(crate) struct Claim {
    session: Arc<SessionHandle>,
    /// Whether it waited for a client when it was claimed, and does again when this is dropped.
    waited: bool,
}

impl Claim {
    /// Claims a session that waits for a client, unless somebody else has.
    pub(super) fn waiting(session: &Arc<SessionHandle>) -> Option<Self> {
        let claim = Self::any(session);
        claim.waited.then_some(claim)
    }

    /// Claims a session, whether or not it has a client.
    fn any(session: &Arc<SessionHandle>) -> Self {
        Self {
            session: Arc::clone(session),
            waited: !session.attached.swap(true, Ordering::AcqRel),
        }
    }

    /// Gives it this client.
    ///
    /// # Errors
    ///
    /// It ended in this very moment, or has no room for even this. What was to be attached is handed back.
    pub(super) fn attach(self, with: Box<Attach>) -> Result<Arc<SessionHandle>, Box<Attach>> {
        match self.session.mailbox.try_send(SessionInput::Attach(with)) {
            Ok(()) => Ok(self.keep()),
            Err(unsent) => match unsent.into_inner() {
                SessionInput::Attach(with) => Err(with),
                _ => Ok(self.keep()),
            },
        }
    }

    /// Ends it, because the user has too many.
    pub(super) fn displace(self) {
        self.keep().tell(SessionInput::Displaced);
    }

    /// It is the caller's from now on.
    pub(crate) fn keep(mut self) -> Arc<SessionHandle> {
        self.waited = false;
        Arc::clone(&self.session)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.waited {
            self.session.set_attached(false);
        }
    }
}

/// All sessions. Several may have one endpoint: two processes of a user on one host share their epid.
#[derive(Debug, Default)]
pub struct SessionTable {
    sessions: DashMap<UserUri, Vec<Arc<SessionHandle>>>,
    dialogs: DashMap<DialogKey, Arc<SessionHandle>>,
    next: AtomicU64,
    draining: AtomicBool,
}

impl SessionTable {
    /// The session of this endpoint that waits for a client.
    #[must_use]
    pub(crate) fn claim(&self, endpoint: &Endpoint) -> Option<Claim> {
        let sessions = self.sessions.get(&endpoint.user)?;
        let mut sessions = sessions.iter().filter(|it| it.endpoint == *endpoint);
        sessions.find_map(Claim::waiting)
    }

    /// The session of this endpoint, whether or not it has a client: for a front end, whose registrar knows each
    /// endpoint once, so that an endpoint's new dialog takes the place of its old one.
    #[must_use]
    pub(crate) fn take(&self, endpoint: &Endpoint) -> Option<Claim> {
        if endpoint.epid.is_empty() {
            // Nobody can tell the user's clients apart.
            return self.claim(endpoint);
        }
        let sessions = self.sessions.get(&endpoint.user)?;
        let session = sessions.iter().find(|it| it.endpoint == *endpoint)?;
        Some(Claim::any(session))
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

    /// Bounds what a user leaves behind like what a user has: if more than so many of the user's sessions wait for a client,
    /// the one that was opened first ends. Whoever came back each time as another endpoint would keep as many as fit into
    /// a grace.
    pub(super) fn displace(&self, user: &UserUri) {
        let Some(sessions) = self.sessions.get(user) else {
            return;
        };
        // A session that ends is not counted, nor one that a client has.
        let waits = |it: &&Arc<SessionHandle>| !it.is_attached() && !it.mailbox.is_closed();
        if sessions.iter().filter(waits).count() > WAITING_OF_USER
            && let Some(oldest) = sessions.iter().filter(waits).find_map(Claim::waiting)
        {
            oldest.displace();
        }
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

    /// Ends all of them, as soon as they have nothing under way, and those that may still be opened by what was let in
    /// before. Returns how many there are.
    pub fn drain(&self) -> usize {
        self.draining.store(true, Ordering::SeqCst);
        let sessions = self.all();
        for session in &sessions {
            session.tell(SessionInput::Drain);
        }
        sessions.len()
    }

    /// Whether a session that is opened now is to end.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Waits until all are over.
    pub async fn drained(&self) {
        while let Some(session) = self.all().into_iter().find(|it| !it.mailbox.is_closed()) {
            session.mailbox.closed().await;
        }
    }

    /// Ends all that are left at once: what is under way is answered as unknown. Returns how many there are.
    pub fn cut(&self) -> usize {
        let sessions = self.all();
        let left = sessions.iter().filter(|it| !it.mailbox.is_closed());
        left.map(|session| session.tell(SessionInput::Cut)).count()
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
