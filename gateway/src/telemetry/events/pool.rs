//! Pools and the legs on them.

use std::time::Duration;

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
        /// The pool could not be reached or refused the user, before anything was sent to it.
        Unopened = "unopened",
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
    "A session is no longer connected to a pool. If it has rooms there the leg is opened again, the rooms are joined again \
     (`rooms.rejoined`) and what was missed is delivered (`room.gap-closed`); the client notices only that posts are refused \
     meanwhile."
}

label! {
    /// Why a pool's server cannot be reached.
    ServerLoss as "reason" {
        /// Its name could not be looked up.
        Name = "name",
        /// It did not take the connection.
        Connect = "connect",
        /// TLS failed; see `pool.tls-failed`.
        Tls = "tls",
        /// It closed the connection.
        Closed = "closed",
        /// The network failed: a reset, or a time-out of the system.
        Network = "network",
        /// It did not answer a sign of life.
        Silent = "silent",
        /// It answered the sign of life by saying that it cannot serve.
        Refused = "refused",
        /// It did not read what was sent to it.
        Stalled = "stalled",
        /// What came could no longer be split into messages.
        Fault = "fault",
    }
}

label! {
    /// What a leg saw when a server failed.
    ServerFailure as "reason" {
        /// Requests were not answered in time.
        Silent = "silent",
        /// It answered that it cannot serve.
        Failing = "failing",
    }
}

label! {
    /// Why there is no TLS with a pool's server.
    PoolTlsFailure as "reason" {
        /// The server's certificate is from an authority that is not in the file of `authorities`.
        UnknownAuthority = "unknown-authority",
        /// The server's certificate has expired.
        Expired = "expired",
        /// The server's certificate is not valid yet: is a clock wrong?
        NotYetValid = "not-yet-valid",
        /// The server's certificate is for another name than the one in `servers`; see `names`.
        WrongName = "wrong-name",
        /// The server's certificate has none of the `names`.
        NotListed = "not-listed",
        /// The extended key usage of the server's certificate does not allow server authentication.
        WrongPurpose = "wrong-purpose",
        /// The server shows the certificate of an authority, perhaps a self-signed one, where it needs one of its own.
        IsAuthority = "is-authority",
        /// The server's certificate, or one of its chain, is signed with an old algorithm such as SHA-1.
        WeakSignature = "weak-signature",
        /// The server's certificate was revoked.
        Revoked = "revoked",
        /// The server's certificate is broken in another way; see the log line.
        BadCertificate = "bad-certificate",
        /// The server does not accept our certificate, or wants one.
        Rejected = "rejected",
        /// No cipher suite in common, or the server wants a certificate of ours and says so badly.
        NoCommonSuite = "no-common-suite",
        /// The server offers less than TLS 1.2.
        OldVersion = "old-version",
        /// What came is not TLS.
        NotTls = "not-tls",
        /// The server broke the rules of the handshake.
        Misbehaved = "misbehaved",
        /// The server ended the handshake for a reason of its own; see the log line.
        Alert = "alert",
        /// A certificate or key file of ours cannot be used.
        OwnFiles = "own-files",
        /// The handshake took too long.
        Timeout = "timeout",
        /// The server closed the connection.
        Closed = "closed",
        /// Something else; see the log line.
        Other = "other",
    }
}

event! {
    /// A pool's server can be reached.
    PoolServerUp {
        /// The pool.
        pool: PoolName => pool,
        /// The server, as configured.
        server: Detail => upstream.addr,
    }
    INFO "pool.server-up", counted as "pool_servers_gained";
    measured |_, instruments| instruments.pool_servers.inc();
    "A server of a pool over SIP is connected and gave a sign of life. New legs are opened on it."
}

event! {
    /// A pool's server cannot be reached.
    PoolServerDown {
        /// The pool.
        pool: PoolName => pool,
        /// The server, as configured.
        server: Detail => upstream.addr,
        /// Whether it could be reached before.
        was_up: bool => server.was_up,
        /// Why.
        reason: ServerLoss => reason,
        /// The system's words.
        error: Detail => error,
    }
    ERROR "pool.server-down", counted as "pool_servers_lost" by reason: ServerLoss;
    measured |this, instruments| if this.was_up { instruments.pool_servers.dec(); };
    "No connection to a server of a pool is left, or none could be made at the start. It is tried again with growing \
     pauses, without further word. Sessions move to the pool's other servers; without one, its rooms are out of reach."
}

event! {
    /// A pool's server is used no more.
    PoolServerRemoved {
        /// The pool.
        pool: PoolName => pool,
        /// The server, as DNS named it.
        server: Detail => upstream.addr,
        /// Whether it could be reached until now.
        was_up: bool => server.was_up,
    }
    INFO "pool.server-removed", counted as "pool_servers_removed";
    measured |this, instruments| if this.was_up { instruments.pool_servers.dec(); };
    "No SRV record names a server of a pool any more, and its last leg is gone. Legs that were on it stayed until they ended."
}

event! {
    /// The servers of a pool were looked up and are other ones than before.
    PoolServersFound {
        /// The pool.
        pool: PoolName => pool,
        /// How many.
        servers: usize => servers,
        /// How many of them were not there before.
        added: usize => added,
    }
    INFO "pool.servers-found", counted as "pool_server_lists_found";
    "The SRV records of a pool name other servers than before, or were looked up for the first time."
}

event! {
    /// The servers of a pool cannot be looked up.
    PoolSrvFailed {
        /// The pool.
        pool: PoolName => pool,
        /// The name of the records.
        name: Detail => dns.name,
        /// Why not.
        error: Detail => error,
    }
    WARN "pool.srv-failed", counted as "pool_srv_failures";
    "The SRV records of a pool could not be looked up, or name no server. The servers that are known go on to be used; without \
     any the pool cannot be reached. It is tried again with growing pauses."
}

event! {
    /// A pool's server gets no new legs for a while.
    PoolServerEjected {
        /// The pool.
        pool: PoolName => pool,
        /// The server, as configured.
        server: Detail => upstream.addr,
        /// What legs saw last.
        reason: ServerFailure => reason,
        /// For how long.
        wait: Duration => wait,
    }
    WARN "pool.server-ejected", counted as "pool_servers_ejected" by reason: ServerFailure;
    "A server of a pool is connected but fails calls one after the other. While the pool has another server, no leg is \
     opened on it; after the pause it is asked for a sign of life."
}

event! {
    /// An ejected server is used again.
    PoolServerRestored {
        /// The pool.
        pool: PoolName => pool,
        /// The server, as configured.
        server: Detail => upstream.addr,
    }
    INFO "pool.server-restored", counted as "pool_servers_restored";
    "A server that was ejected gave a sign of life, or took a leg. New legs are opened on it again."
}

event! {
    /// There is no TLS with a pool's server.
    PoolTlsFailed {
        /// The pool.
        pool: PoolName => pool,
        /// The server, as configured.
        server: Detail => upstream.addr,
        /// Why.
        reason: PoolTlsFailure => reason,
        /// The TLS library's words.
        error: Detail => error,
    }
    ERROR "pool.tls-failed", counted as "pool_tls_failures" by reason: PoolTlsFailure;
    "A connection to a pool's server was given up because one side does not trust the other. Certificate files are read \
     anew at each try: correct them and wait, no restart is needed."
}

event! {
    /// A pool did not take a leg.
    LegRefused {
        /// Whose it would have been.
        user: UserUri => user.uri,
        /// The pool.
        pool: PoolName => pool,
        /// The server, as configured.
        server: Detail => upstream.addr,
        /// Status of the refusal.
        status: u16 => status,
    }
    WARN "leg.refused", counted as "legs_refused";
    "A pool refused to talk to a user. 403 and 404: is the user enabled for Persistent Chat, and does the pool trust this \
     gateway's certificate to speak for users? 480 and 5xx: the server is overloaded or going down."
}

event! {
    /// A pool's server sent something that is not SIP.
    PoolFault {
        /// The pool.
        pool: PoolName => pool,
        /// The server, as configured.
        server: Detail => upstream.addr,
        /// The place and nature of the fault; not the message.
        error: Detail => error,
    }
    WARN "pool.fault", counted as "pool_faults";
    "A pool's server sent a message that cannot be understood. It was answered if it could be."
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
