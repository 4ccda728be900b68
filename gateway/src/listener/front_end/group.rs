//! The connections of front ends, by the name in their certificates, and the sessions on each.
//!
//! A client does not see when its front end's connection breaks, and nothing that it does opens another. So its session goes
//! over to another connection of the same front end, at once if there is one, or else as soon as there is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::peer::{Attachment, ClientNumber, ConnectionNumber, SentBy, Way};
use crate::session::table::SessionHandle;
use crate::session::task::{ConnectionHandle, Moved, SessionInput};

/// Sessions after which those that are gone are looked for, at the least.
const FIRST_SWEEP: usize = 64;

/// One connection, as sessions and other connections see it.
#[derive(Debug)]
pub(super) struct Seat {
    /// The connection.
    pub(super) number: ConnectionNumber,
    /// How requests on it name this end.
    pub(super) sent_by: SentBy,
    /// The way to it.
    pub(super) handle: ConnectionHandle,
    sessions: Mutex<Sessions>,
}

/// The sessions that came over a connection, by their number. Some may be gone.
#[derive(Debug, Default)]
struct Sessions {
    all: HashMap<u64, Arc<SessionHandle>>,
    sweep_at: usize,
}

impl Seat {
    pub(super) fn new(number: ConnectionNumber, sent_by: SentBy, handle: ConnectionHandle) -> Self {
        Self {
            number,
            sent_by,
            handle,
            sessions: Mutex::default(),
        }
    }

    pub(super) fn attachment(&self, way: Way) -> Attachment {
        Attachment {
            connection: self.number,
            sent_by: self.sent_by.clone(),
            way,
        }
    }

    /// Notes a session whose dialog was opened here.
    pub(super) fn opened(&self, session: Arc<SessionHandle>) {
        let _news = session.moves_to(self.number);
        self.sessions().all.insert(session.id, session);
    }

    /// Brings a session here, unless it is.
    pub(super) fn bring(&self, session: &Arc<SessionHandle>) {
        if session.moves_to(self.number) {
            session.tell(SessionInput::Moved(Box::new(Moved {
                attachment: self.attachment(Way::FrontEnd {
                    client: ClientNumber(0),
                }),
                connection: self.handle.clone(),
            })));
            let session = Arc::clone(session);
            self.sessions().all.insert(session.id, session);
        }
    }

    /// How many sessions are here, about: those that are gone may not have been missed yet.
    pub(super) fn count(&self) -> usize {
        let mut sessions = self.sessions();
        if sessions.all.len() >= sessions.sweep_at.max(FIRST_SWEEP) {
            self.sweep_in(&mut sessions);
        }
        sessions.all.len()
    }

    /// Lets go of sessions that are over or went elsewhere.
    pub(super) fn sweep(&self) {
        self.sweep_in(&mut self.sessions());
    }

    fn sweep_in(&self, sessions: &mut Sessions) {
        sessions.all.retain(|_, session| self.has(session));
        // Twice as many as are left, so that a session costs no more than a step.
        sessions.sweep_at = sessions.all.len() * 2;
    }

    fn has(&self, session: &SessionHandle) -> bool {
        session.is_on(self.number) && !session.mailbox().is_closed()
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connections of all front ends of a listener.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<HashMap<Box<str>, Group>>);

/// The connections of one front end.
#[derive(Debug, Default)]
struct Group {
    seats: Vec<Arc<Seat>>,
    /// Sessions that wait for a connection, and the number of the one that they were on.
    stranded: Vec<(ConnectionNumber, Arc<SessionHandle>)>,
}

impl Groups {
    /// Adds a connection, and brings the sessions there that wait for one. Returns how many.
    pub(super) fn join(&self, name: &str, seat: Arc<Seat>) -> usize {
        let mut groups = self.groups();
        let group = groups.entry(name.into()).or_default();
        let mut brought = 0;
        for (lost, session) in group.stranded.drain(..) {
            // It may have found another way.
            if session.is_on(lost) && !session.mailbox().is_closed() {
                seat.bring(&session);
                brought += 1;
            }
        }
        group.seats.push(seat);
        brought
    }

    /// Removes a connection that is gone. Its sessions go over to another, or wait for one. Returns how many there were.
    pub(super) fn leave(&self, name: &str, seat: &Seat) -> usize {
        let mut groups = self.groups();
        let group = groups.entry(name.into()).or_default();
        group.seats.retain(|other| other.number != seat.number);
        group
            .stranded
            .retain(|(lost, session)| session.is_on(*lost) && !session.mailbox().is_closed());
        // Nobody brings one here any more: those who could look for this seat under the same lock.
        let sessions = std::mem::take(&mut seat.sessions().all);
        let mut others = group.seats.iter().cycle();
        let mut count = 0;
        for session in sessions.into_values().filter(|session| seat.has(session)) {
            count += 1;
            session.tell(SessionInput::ConnectionLost(seat.number));
            match others.next() {
                Some(other) => other.bring(&session),
                None => group.stranded.push((seat.number, session)),
            }
        }
        count
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<Box<str>, Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
