//! What a stand-alone pool tells of its dialogs.

use std::net::SocketAddr;

use holdover_protocol::user::UserUri;

use crate::telemetry::Detail;
use crate::telemetry::event::event;
use crate::telemetry::label::label;

label! {
    /// Why a dialog with a stand-alone pool ended.
    DialogEnd as "reason" {
        /// The peer ended it.
        Peer = "peer",
        /// The connection it was on ended.
        Connection = "connection",
        /// Nobody refreshed it.
        Expired = "expired",
        /// The peer knows nothing of it any more.
        Gone = "gone",
        /// The peer did not answer.
        Unanswered = "unanswered",
        /// The peer did not keep up with the pool.
        Slow = "slow",
        /// The pool ended it.
        Pool = "pool",
        /// A switch of the configuration says so.
        Switch = "switch",
        /// The program is going down.
        Draining = "draining",
    }
}

event! {
    /// A user reached a stand-alone pool.
    DialogOpened {
        /// Who.
        user: UserUri => user.uri,
        /// Where the connection comes from.
        peer: SocketAddr => downstream.addr,
        /// The dialog's Call-ID.
        call_id: Detail => sip.call_id,
    }
    DEBUG "dialog.opened", counted as "dialogs_opened";
    "`holdover pool serve` accepted a user's INVITE. Every one of these is followed by one `dialog.closed`."
}

event! {
    /// A user left a stand-alone pool.
    DialogClosed {
        /// Who.
        user: UserUri => user.uri,
        /// Where the connection comes from.
        peer: SocketAddr => downstream.addr,
        /// Why.
        reason: DialogEnd => reason,
    }
    DEBUG "dialog.closed", counted as "dialogs_closed" by reason: DialogEnd;
    "A user's dialog with `holdover pool serve` ended, and the user left the rooms that it had joined."
}
