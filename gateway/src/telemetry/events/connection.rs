//! Listeners and the connections of clients.

use std::net::SocketAddr;

use holdover_config::ListenerName;
use holdover_protocol::user::UserUri;
use tracing::Value;

use crate::telemetry::event::event;
use crate::telemetry::label::label;
use crate::telemetry::{Detail, Field, Label, LabelPairs};

label! {
    /// Why a connection was not taken.
    ConnectionRefusal as "reason" {
        /// The limit on all connections was reached.
        Limit = "limit",
        /// The limit on connections from one address was reached.
        AddressLimit = "address-limit",
        /// The process may have no more open files; see `process.descriptors-lacking`.
        Descriptors = "descriptors",
    }
}

label! {
    /// Why a connection ended.
    ConnectionEnd as "reason" {
        /// The client closed it.
        Client = "client",
        /// The network failed: a reset, or a time-out of the system.
        Network = "network",
        /// The client did not renew its registration in time.
        Idle = "idle",
        /// Nobody signed in in time, or too many sign-ins failed.
        SignIn = "sign-in",
        /// The client did not read what was sent to it.
        Slow = "slow",
        /// A session made its client start over: see `session.slow`, `session.info-timeout` and `leg.closed`.
        Session = "session",
        /// No encryption was agreed on: see `tls.failed`.
        Tls = "tls",
        /// What came could no longer be split into messages, or was larger than the limits allow.
        Fault = "fault",
        /// A message began and did not end within `limits.message_timeout_secs`.
        Unfinished = "unfinished",
        /// Messages that had come in part took all of `limits.unfinished_bytes`.
        Memory = "memory",
        /// Messages that had come in part, from clients of this address that had not signed in, took all of
        /// `limits.sign_in_bytes_per_address`.
        AddressMemory = "address-memory",
        /// The gateway is going down.
        Draining = "draining",
    }
}

label! {
    /// Why a TLS handshake failed.
    TlsFailure as "reason" {
        /// No cipher suite in common: the client offers TLS 1.2, but with old suites only. Old Windows clients need an ECDSA
        /// certificate here.
        NoCommonSuite = "no-common-suite",
        /// The client offers less than TLS 1.2. No certificate helps: switch TLS 1.2 on in its system (Windows 7 and Server
        /// 2008 R2 have it, switched off), or put it behind a proxy that still speaks the old versions.
        OldVersion = "old-version",
        /// The client begins with a hello in the form of SSL 2.0, as Windows XP and old Java do: switch SSL 2.0 off in it,
        /// and see `old-version`.
        Ssl2Hello = "ssl2-hello",
        /// The client accepts no signature that the key of this listener's certificate can make; it may know SHA-1 alone.
        NoCommonSignature = "no-common-signature",
        /// The client does not accept the certificate of this listener.
        CertificateRejected = "certificate-rejected",
        /// The client showed no certificate where this listener asks for one.
        NoClientCertificate = "client-certificate-missing",
        /// The client's certificate has expired: renew it.
        ClientCertificateExpired = "client-certificate-expired",
        /// The client's certificate is not valid yet: look at the clocks.
        ClientCertificateNotYetValid = "client-certificate-not-yet-valid",
        /// The client's certificate comes from none of the authorities of this listener.
        ClientAuthorityUnknown = "client-authority-unknown",
        /// The client's certificate is good, but for none of the names that this listener admits. See the log line for its
        /// names.
        ClientNotListed = "client-not-listed",
        /// The extended key usage of the client's certificate does not allow client authentication: many are issued for
        /// server authentication alone.
        ClientCertificatePurpose = "client-certificate-wrong-purpose",
        /// The client shows the certificate of an authority, perhaps a self-signed one, where it needs one of its own.
        ClientCertificateIsAuthority = "client-certificate-is-authority",
        /// The client's certificate, or one of its chain, is signed with an old algorithm such as SHA-1.
        ClientCertificateWeak = "client-certificate-weak-signature",
        /// The client's certificate was revoked.
        ClientCertificateRevoked = "client-certificate-revoked",
        /// The client's certificate cannot be used for another reason; see the log line.
        ClientCertificateInvalid = "client-certificate-invalid",
        /// What came is not TLS.
        NotTls = "not-tls",
        /// The client broke the rules of the handshake.
        Misbehaved = "misbehaved",
        /// The client ended the handshake for a reason of its own; see the log line.
        Alert = "alert",
        /// The handshake took too long.
        Timeout = "timeout",
        /// The client closed the connection.
        Closed = "closed",
        /// Something else; see the log line.
        Other = "other",
    }
}

event! {
    /// A listener is bound.
    ListenerOpened {
        /// Name of the listener.
        listener: ListenerName => listener,
        /// Address it is bound to.
        address: SocketAddr => listen.addr,
        /// Whether it speaks TLS.
        tls: bool => tls,
    }
    INFO "listener.opened", counted as "listeners_opened";
    "A listener is bound to its address and takes clients."
}

event! {
    /// A connection could not be accepted.
    AcceptFailed {
        /// Name of the listener, or `admin`.
        listener: Detail => listener,
        /// The system's error.
        error: Detail => error,
        /// Number of tries that failed since the last such line.
        times: u64 => times,
    }
    ERROR "listener.accept-failed", counted as "accept_failures";
    "The system would not hand over a new connection, most often because the process has too many files open: raise its \
     limit. The listener waits up to a second and tries again; while that goes on, it says so once a minute."
}

event! {
    /// A client connected.
    ConnectionOpened {
        /// Listener it came in on.
        listener: ListenerName => listener,
        /// The client's address.
        peer: SocketAddr => downstream.addr,
    }
    DEBUG "connection.opened", counted as "connections_opened";
    measured |_, instruments| instruments.connections.inc();
    "A client connected. Every one of these is followed by one `connection.closed`."
}

event! {
    /// A connection was not taken.
    ConnectionRefused {
        /// Listener it came in on.
        listener: ListenerName => listener,
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// Why.
        reason: ConnectionRefusal => reason,
    }
    WARN "connection.refused", counted as "connections_refused" by reason: ConnectionRefusal;
    "A client connected and was turned away before it could say anything."
}

label! {
    /// Which limit a client has reached.
    PaceLimit as "reason" {
        /// `limits.requests_per_second`, of its connection.
        Connection = "connection",
        /// `limits.requests_per_second_per_address`, of all connections from its address.
        Address = "address",
    }
}

event! {
    /// A client sends requests faster than it may.
    ConnectionPaced {
        /// Listener it came in on.
        listener: ListenerName => listener,
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// The user, once signed in.
        user: Option<UserUri> => user,
        /// Which limit.
        reason: PaceLimit => reason,
    }
    WARN "connection.paced", counted as "connections_paced" by reason: PaceLimit;
    "A client sends requests faster than the limits allow. They are read as fast as that, and nothing is refused or lost. Once \
     for each connection. If many people share an address, behind a proxy or on a terminal server, raise \
     `limits.requests_per_second_per_address`."
}

event! {
    /// A connection that was opened has ended.
    ConnectionClosed {
        /// Listener it came in on.
        listener: ListenerName => listener,
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// Why.
        reason: ConnectionEnd => reason,
    }
    DEBUG "connection.closed", counted as "connections_closed" by reason: ConnectionEnd;
    measured |_, instruments| instruments.connections.dec();
    "A client's connection ended. Its sessions wait for the client to come back; see `session.detached`."
}

event! {
    /// A front end connected.
    FrontEndConnected {
        /// Listener it came in on.
        listener: ListenerName => listener,
        /// Its address.
        peer: SocketAddr => downstream.addr,
        /// The name in its certificate by which it was let in.
        name: Detail => tls.name,
        /// Number of sessions that waited for it.
        sessions: usize => sessions,
    }
    INFO "front-end.connected", counted as "front_ends_connected";
    "A front-end server showed a certificate that this listener admits. Sessions that lost a connection of the same front end \
     go on over this one. Every one of these is followed by one `front-end.lost`."
}

event! {
    /// A connection of a front end ended.
    FrontEndLost {
        /// Listener it came in on.
        listener: ListenerName => listener,
        /// Its address.
        peer: SocketAddr => downstream.addr,
        /// The name in its certificate by which it was let in.
        name: Detail => tls.name,
        /// Number of sessions on it.
        sessions: usize => sessions,
    }
    INFO "front-end.lost", counted as "front_ends_lost";
    "A connection of a front-end server ended; see `connection.closed` for why. Its sessions go on over another connection of \
     the same front end. If there is none they wait for the grace period: see to it that the front end connects again by itself."
}

/// What a TLS handshake agreed on: the cipher suite, and the version of TLS that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsSuite {
    /// TLS 1.3, AES-128.
    Tls13Aes128,
    /// TLS 1.3, AES-256.
    Tls13Aes256,
    /// TLS 1.3, ChaCha20.
    Tls13ChaCha20,
    /// TLS 1.2, ECDSA certificate, AES-128.
    Tls12EcdsaAes128,
    /// TLS 1.2, ECDSA certificate, AES-256.
    Tls12EcdsaAes256,
    /// TLS 1.2, ECDSA certificate, ChaCha20.
    Tls12EcdsaChaCha20,
    /// TLS 1.2, RSA certificate, AES-128.
    Tls12RsaAes128,
    /// TLS 1.2, RSA certificate, AES-256.
    Tls12RsaAes256,
    /// TLS 1.2, RSA certificate, ChaCha20.
    Tls12RsaChaCha20,
    /// One that this list does not know yet.
    Other,
}

impl TlsSuite {
    /// From the registered name of the suite, for example `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384`. The TLS library's own
    /// spelling of TLS 1.3 suites, `TLS13_…`, is understood as well.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let name = name
            .strip_prefix("TLS13_")
            .or_else(|| name.strip_prefix("TLS_"));
        let same = |suite: &&Self| name.is_some() && suite.text().strip_prefix("TLS_") == name;
        Self::ALL.iter().find(same).copied().unwrap_or(Self::Other)
    }

    fn version(self) -> &'static str {
        match self {
            Self::Tls13Aes128 | Self::Tls13Aes256 | Self::Tls13ChaCha20 => "1.3",
            Self::Other => "other",
            _ => "1.2",
        }
    }
}

impl Label for TlsSuite {
    const ALL: &'static [Self] = &[
        Self::Tls13Aes128,
        Self::Tls13Aes256,
        Self::Tls13ChaCha20,
        Self::Tls12EcdsaAes128,
        Self::Tls12EcdsaAes256,
        Self::Tls12EcdsaChaCha20,
        Self::Tls12RsaAes128,
        Self::Tls12RsaAes256,
        Self::Tls12RsaChaCha20,
        Self::Other,
    ];

    fn index(self) -> usize {
        self as usize
    }

    fn text(self) -> &'static str {
        match self {
            Self::Tls13Aes128 => "TLS_AES_128_GCM_SHA256",
            Self::Tls13Aes256 => "TLS_AES_256_GCM_SHA384",
            Self::Tls13ChaCha20 => "TLS_CHACHA20_POLY1305_SHA256",
            Self::Tls12EcdsaAes128 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Self::Tls12EcdsaAes256 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Self::Tls12EcdsaChaCha20 => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            Self::Tls12RsaAes128 => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            Self::Tls12RsaAes256 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            Self::Tls12RsaChaCha20 => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            Self::Other => "other",
        }
    }

    fn pairs(self) -> LabelPairs {
        vec![("version", self.version()), ("suite", self.text())]
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Other => "A suite this list does not know.",
            _ => "The suite of that name.",
        }
    }
}

impl Field for TlsSuite {
    fn value(&self) -> impl Value + '_ {
        self.text()
    }
}

event! {
    /// A TLS handshake succeeded.
    TlsCompleted {
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// What was agreed on.
        suite: TlsSuite => tls.suite,
    }
    DEBUG "tls.completed", counted as "tls_handshakes" by suite: TlsSuite;
    "A client's connection is encrypted. The counter tells which versions and suites are still in use."
}

event! {
    /// A TLS handshake failed.
    TlsFailed {
        /// The client's address.
        peer: SocketAddr => downstream.addr,
        /// Why, as far as it is known.
        reason: TlsFailure => reason,
        /// The TLS library's words.
        error: Detail => error,
    }
    WARN "tls.failed", counted as "tls_failures" by reason: TlsFailure;
    "A client could not agree with this listener on an encrypted connection. The client shows only that it cannot sign in."
}

event! {
    /// Certificates were read anew.
    CertificatesRenewed {
        /// The certificate's file.
        file: Detail => file,
    }
    INFO "tls.certificates-renewed", counted as "tls_certificate_renewals";
    "The files of a listener's certificates changed, and new connections use what is in them now. Connections that are open go on."
}

event! {
    /// New certificates cannot be used.
    CertificatesRejected {
        /// The certificate's file.
        file: Detail => file,
        /// What is wrong.
        error: Detail => error,
    }
    ERROR "tls.certificates-rejected", counted as "tls_certificate_rejections";
    "The files of a listener's certificates changed and cannot be used as they are now. The listener goes on with what it \
     had: correct the files before that expires."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_known_by_both_spellings() {
        for suite in TlsSuite::ALL {
            assert_eq!(TlsSuite::from_name(suite.text()), *suite);
        }
        assert_eq!(
            TlsSuite::from_name("TLS13_AES_256_GCM_SHA384"),
            TlsSuite::Tls13Aes256
        );
        assert_eq!(
            TlsSuite::from_name("TLS_RSA_WITH_RC4_128_MD5"),
            TlsSuite::Other
        );
    }
}
