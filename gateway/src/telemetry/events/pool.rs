//! Pools and the legs on them.

use holdover_config::PoolName;
use holdover_protocol::user::UserUri;

use crate::telemetry::event::event;
use crate::telemetry::label::label;
use crate::telemetry::{Detail, SessionId};

label! {
    /// Why a leg ended.
    LegEnd as "reason" {
        /// The session no longer needs it.
        Session = "session",
        /// The session did not keep up with the pool.
        Overflow = "overflow",
        /// The pool ended it.
        Pool = "pool",
        /// The pool could not be reached, or its storage failed.
        Unreachable = "unreachable",
    }
}

event! {
    /// A session reached a pool.
    LegOpened {
        /// The session.
        session: SessionId => session.id,
        /// Whose it is.
        user: UserUri => user.uri,
        /// The pool.
        pool: PoolName => pool,
    }
    DEBUG "leg.opened", counted as "legs_opened";
    measured |_, instruments| instruments.pool_legs.inc();
    "A session is connected to a pool. Every one of these is followed by one `leg.closed`."
}

event! {
    /// A session's connection to a pool ended.
    LegClosed {
        /// The session.
        session: SessionId => session.id,
        /// Whose it is.
        user: UserUri => user.uri,
        /// The pool.
        pool: PoolName => pool,
        /// Why.
        reason: LegEnd => reason,
    }
    DEBUG "leg.closed", counted as "legs_closed" by reason: LegEnd;
    measured |_, instruments| instruments.pool_legs.dec();
    "A session is no longer connected to a pool. If a client is there its connection is closed: it signs in again by \
     itself, joins its rooms again and fetches what it missed."
}

event! {
    /// An embedded pool cannot write or read.
    PoolStoreFailed {
        /// The pool.
        pool: PoolName => pool,
        /// The store's words.
        error: Detail => error,
    }
    ERROR "pool.store-failed", counted as "pool_store_failures";
    "The database of an embedded pool failed. Posts to it are refused until it works again: look at disk space and at the \
     rights on the file."
}
