//! Sessions, from the channel dialog to its end.

use std::net::SocketAddr;
use std::time::Duration;

use holdover_protocol::user::UserUri;

use crate::telemetry::event::event;
use crate::telemetry::label::label;
use crate::telemetry::{Detail, SessionId};

label! {
    /// Why a session ended.
    SessionEnd as "reason" {
        /// The client signed out, or its registration ran out.
        SignedOut = "signed-out",
        /// The dialog or the connection ended and the client did not come back within the grace period.
        GraceExpired = "grace-expired",
        /// The dialog or the connection ended while the client had no rooms open.
        NothingOpen = "nothing-open",
        /// More sessions of the user waited for a client than may, and this one had waited longest.
        Displaced = "displaced",
        /// The gateway is going down.
        Draining = "draining",
        /// An error in Holdover itself ended it; what it was is on standard error. Please report it.
        Panicked = "panicked",
    }
}

event! {
    /// A session was opened.
    SessionOpened {
        /// The session.
        session: SessionId => session.id,
        /// Whose it is.
        user: UserUri => user.uri,
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// Call-ID of the channel dialog.
        call_id: Detail => sip.call_id,
    }
    DEBUG "session.opened", counted as "sessions_opened";
    measured |_, instruments| instruments.sessions.inc();
    "A client is in chat. Every one of these is followed by one `session.closed`."
}

event! {
    /// A session lost its connection and waits.
    SessionDetached {
        /// The session.
        session: SessionId => session.id,
        /// Whose it is.
        user: UserUri => user.uri,
        /// How long it waits.
        grace: Duration => grace.seconds,
    }
    DEBUG "session.detached", counted as "sessions_detached";
    "The dialog of a session ended or its connection was lost. The user stays in the rooms for the grace period, so that others do not see \
     a short outage."
}

event! {
    /// A detached session has a connection again.
    SessionResumed {
        /// The session.
        session: SessionId => session.id,
        /// Whose it is.
        user: UserUri => user.uri,
        /// The client's new address.
        peer: SocketAddr => downstream.addr,
    }
    DEBUG "session.resumed", counted as "sessions_resumed";
    "The client came back within the grace period."
}

event! {
    /// A session ended.
    SessionClosed {
        /// The session.
        session: SessionId => session.id,
        /// Whose it was.
        user: UserUri => user.uri,
        /// Why.
        reason: SessionEnd => reason,
        /// How long it lasted.
        lasted: Duration => seconds,
    }
    DEBUG "session.closed", counted as "sessions_closed" by reason: SessionEnd;
    measured |_, instruments| instruments.sessions.dec();
    "A client left chat and was taken out of its rooms."
}

event! {
    /// A client did not read and was cut off.
    SlowClientClosed {
        /// The session.
        session: SessionId => session.id,
        /// Whose it was.
        user: UserUri => user.uri,
        /// Messages that waited for it.
        queued: usize => queued,
    }
    WARN "session.slow", counted as "slow_clients_closed";
    "A client did not take what was sent to it and lost its connection, so that nobody waits for it. It signs in again by \
     itself; what it missed is in the history."
}

event! {
    /// A client does not get a document.
    DocumentRefused {
        /// The session.
        session: SessionId => session.id,
        /// Whose it is.
        user: UserUri => user.uri,
        /// How it was refused.
        status: u16 => sip.status,
    }
    WARN "session.not-delivered", counted as "documents_refused";
    "A client, or the front end before it, refused something that was sent to it, and it was dropped: it is too large (413) or \
     not allowed, or it was refused for as long as `limits.info_timeout_secs`. A message is in the room's history; a command is \
     answered with a failure instead. Look at what the front end allows."
}

event! {
    /// A client did not answer an INFO.
    InfoTimedOut {
        /// The session.
        session: SessionId => session.id,
        /// Whose it is.
        user: UserUri => user.uri,
    }
    WARN "session.info-timeout", counted as "info_timeouts";
    "A client took a message and did not answer it within `limits.info_timeout_secs`. Its connection is closed; it signs in \
     again by itself."
}
