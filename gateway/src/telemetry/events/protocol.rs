//! Peers that do not speak as they should.

use std::net::SocketAddr;

use holdover_protocol::user::UserUri;

use crate::telemetry::Detail;
use crate::telemetry::event::event;
use crate::telemetry::label::label;

label! {
    /// What was wrong.
    FaultKind as "kind" {
        /// The stream can no longer be split into messages. The connection is closed.
        SipFraming = "sip-framing",
        /// A SIP message is not well formed. It is refused.
        SipSyntax = "sip-syntax",
        /// An XCCOS document of the client is not well formed or beyond the limits. It is refused.
        Xccos = "xccos",
        /// An XCCOS document of a pool is not well formed or beyond the limits. The client misses it.
        PoolXccos = "pool-xccos",
    }
}

event! {
    /// A peer sent something that cannot be understood.
    ProtocolFault {
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// The user who is signed in there, if any.
        user: Option<UserUri> => user.uri,
        /// What was wrong.
        kind: FaultKind => kind,
        /// The place and nature of the fault; not the message.
        detail: Detail => error,
    }
    WARN "protocol.fault", counted as "protocol_faults" by kind: FaultKind;
    "A client, or the pool of its rooms, sent something that is not SIP or not XCCOS. A client was answered if it could be; \
     other sessions are not touched."
}
