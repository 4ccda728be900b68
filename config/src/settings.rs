//! What the program runs on: checked, complete, with every default filled in.
//!
//! What can change while the program runs and what cannot are two types. A reload replaces [`Live`] and refuses a file whose
//! [`Fixed`] part differs from the running one.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::names::{
    Domain, ListenerName, LogFilter, PoolName, Realm, Region, ServerAddress, SrvName,
};
use crate::rules::Rule;
use crate::text::choices;
use crate::uri::{PoolUri, ServiceUri};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What holds from start to stop.
    pub fixed: Fixed,
    /// What a reload replaces.
    pub live: Live,
}

/// What holds from start to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[[listener]]`, at least one, in the order of the file. Names and addresses are unique.
    pub listeners: Vec<Listener>,
    /// `[[pool]]`, at least one, in the order of the file. Names are unique.
    pub pools: Vec<Pool>,
    /// `[log]`
    pub log: Log,
    /// `[admin]`
    pub admin: Option<Admin>,
    /// `[reload]`
    pub reload: Reload,
    /// `[history]`
    pub history: Option<History>,
    /// `[audit]`
    pub audit: Option<Audit>,
}

impl Fixed {
    /// The names of the pools, in the order of the file.
    #[must_use]
    pub fn pool_names(&self) -> Vec<PoolName> {
        self.pools.iter().map(|pool| pool.name.clone()).collect()
    }
}

/// What a reload replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// `[directory]`
    pub directory: Directory,
    /// `[limits]`
    pub limits: Limits,
    /// `[reload]`, as far as it says which files are whole.
    pub whole: Whole,
    /// `[[rule]]`, in the order in which they are tried.
    pub rules: Vec<Arc<Rule>>,
}

/// Who Holdover is for its legacy clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// SIP domain of the legacy users.
    pub domain: Domain,
    /// What legacy clients dial first.
    pub lookup_uri: ServiceUri,
    /// What the lookup answers with; another than `lookup_uri`.
    pub channel_uri: ServiceUri,
    /// How long a session whose connection broke keeps its rooms.
    pub grace: Duration,
    /// Time between session refreshes that is agreed with clients; at least 90 s (RFC 4028 §4).
    pub session_expires: Duration,
    /// How long requests in flight get to finish when the program stops.
    pub drain: Duration,
}

/// One address on which Holdover takes connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in logs and metrics.
    pub name: ListenerName,
    /// Where it listens. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// Who connects.
    pub peers: Peers,
}

impl Listener {
    /// Its certificate; `None`: plain TCP.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        match &self.peers {
            Peers::Clients { tls, .. } => tls.as_ref(),
            Peers::FrontEnds(front_ends) => Some(&front_ends.own),
        }
    }
}

/// Who connects to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Legacy clients, each for its own user.
    Clients {
        /// The listener's certificate; plain TCP without one.
        tls: Option<Tls>,
        /// How users prove who they are. [`SignIn::Open`] off loopback only if the file says `insecure = true`.
        sign_in: SignIn,
    },
    /// Front-end servers, each for many users.
    FrontEnds(FrontEnds),
}

/// Front-end servers that are believed when they say whose a request is. They come by mutual TLS and by nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontEnds {
    /// The listener's certificate.
    pub own: Tls,
    /// PEM file with the authorities of the front ends' certificates.
    pub authorities: PathBuf,
    /// Names, at least one, of which a front end's certificate must have one.
    pub names: Vec<Domain>,
    /// Where front ends reach the listener; `None`: at the address they connected to.
    pub contact: Option<ServerAddress>,
    /// Number of sessions on one connection; at least 1.
    pub sessions_per_connection: usize,
}

/// A certificate of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub private_key: PathBuf,
}

/// How users prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// They do not.
    Open,
    /// By password.
    Digest {
        /// File that [`Users::load`](crate::Users::load) reads.
        users: PathBuf,
        /// Realm of the challenge.
        realm: Realm,
    },
}

/// What rooms live on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name in logs, metrics and the directory.
    pub name: PoolName,
    /// The region that it is in.
    pub region: Option<Region>,
    /// What it is.
    pub kind: PoolKind,
}

/// What a pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// A small Persistent Chat server inside the program.
    Embedded(Embedded),
    /// A Persistent Chat pool, or an old Group Chat server, reached over SIP.
    Sip(Sip),
}

/// A pool inside the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// SQLite file, made if it does not exist. No other pool has the same.
    pub database: PathBuf,
    /// Domain in the identifiers of its rooms.
    pub domain: Domain,
}

/// A pool reached over SIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// What is dialled.
    pub uri: PoolUri,
    /// Its servers.
    pub servers: Servers,
    /// What carries SIP.
    pub security: Security,
    /// How the pool speaks XCCOS.
    pub dialect: Dialect,
    /// Whether `uri` is asked for the address to dial.
    pub lookup: bool,
    /// How long the pool may take to answer a request.
    pub receipt_timeout: Duration,
    /// Number of INFO requests of one leg that may wait for their answer at one time; at least 1.
    pub outstanding_infos: usize,
    /// Number of connections to each server; at least 1.
    pub connections_per_server: usize,
    /// Silence after which a server is asked for a sign of life; `None`: never.
    pub ping: Option<Duration>,
}

/// Where the servers of a pool are known from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// The configuration: at least one, each once.
    Listed(Vec<ServerAddress>),
    /// SRV records.
    Srv {
        /// Their name.
        name: SrvName,
        /// The DNS server that is asked; `None`: those of the system.
        resolver: Option<SocketAddr>,
    },
}

/// What carries SIP to a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Plain TCP.
    Tcp,
    /// TLS.
    Tls(PoolTls),
}

/// Certificates for a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTls {
    /// PEM file with the authorities that are trusted.
    pub authorities: PathBuf,
    /// The program's own certificate, for mutual TLS.
    pub own: Option<Tls>,
    /// Names of which the pool's certificate must have one; empty: the server's host.
    pub names: Vec<Domain>,
}

choices! {
    /// Who connects to a listener, as a word.
    pub enum Mode {
        /// Legacy clients.
        Clients = "clients",
        /// Front-end servers.
        Trusted = "trusted",
    }

    /// What carries SIP to a pool.
    pub enum Transport {
        /// Plain TCP.
        Tcp = "tcp",
        /// TLS.
        Tls = "tls",
    }

    /// How a peer speaks XCCOS.
    pub enum Dialect {
        /// As Lync 2013 and Skype for Business 2015.
        PersistentChat = "persistent-chat",
        /// As Office Communications Server 2007 R2 and Lync 2010.
        GroupChat = "group-chat",
    }
}

/// Which rooms there are, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// CSV files, in the order of the file.
    pub rooms: Vec<PathBuf>,
    /// What becomes of rooms that no file lists.
    pub unlisted: Unlisted,
    /// Pool of rooms that name none: the one that is named, or the only one.
    pub default_pool: Option<PoolName>,
    /// Pool that keeps what clients save of themselves; `None`: the default pool.
    pub preferences_pool: Option<PoolName>,
}

/// What becomes of rooms that no file lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// They are refused.
    Refuse,
    /// They are looked for in this pool under the identifier that the client knows.
    SameId(PoolName),
}

/// What one peer may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a SIP message before its body.
    pub head_bytes: usize,
    /// Bytes of a SIP message's body.
    pub body_bytes: usize,
    /// Bytes of a SIP message's body before its sender has signed in; never more than `body_bytes` count.
    pub sign_in_body_bytes: usize,
    /// Bytes of messages that have come in part, of all clients of one IPv4 address or IPv6 network (/64) that have not
    /// signed in.
    pub sign_in_bytes_per_address: usize,
    /// Bytes of messages that have come in part, of all clients and front ends together.
    pub unfinished_bytes: usize,
    /// Time from the first byte of a message to its last.
    pub message_timeout: Duration,
    /// Number of headers of a SIP message.
    pub headers: usize,
    /// Number of connections of legacy clients at one time.
    pub connections: usize,
    /// Number of connections from one IPv4 address, or one IPv6 network (/64), at one time.
    pub connections_per_address: usize,
    /// Number of requests of one client that are read in a second.
    pub requests_per_second: u32,
    /// Number of requests of all clients from one IPv4 address, or one IPv6 network (/64), that are read in a second.
    pub requests_per_second_per_address: u32,
    /// Number of messages that wait for a client that reads slowly.
    pub queue_messages: usize,
    /// Bytes of messages that wait for a client that reads slowly; at least `body_bytes`.
    pub queue_bytes: usize,
    /// Number of rooms that one command of a client may name.
    pub rooms_per_command: usize,
    /// Number of rooms that a session may have at one time.
    pub rooms_per_session: usize,
    /// Time until an INFO without an answer is given up.
    pub info_timeout: Duration,
    /// Time that a new connection may take to sign in.
    pub sign_in_timeout: Duration,
    /// Number of INFO requests to one client that may wait for their answer at one time.
    pub outstanding_infos: usize,
    /// How long a session waits for a pool's receipt or reply.
    pub pool_timeout: Duration,
    /// How long one pool may keep the others waiting.
    pub split_timeout: Duration,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a record looks.
    pub format: LogFormat,
    /// Which records are written.
    pub level: LogFilter,
}

choices! {
    /// How a log record looks.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}

/// The admin server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// Host names under which it is asked, beside `localhost` and its own addresses.
    pub hosts: Vec<Domain>,
}

/// How changed files are noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// By what.
    pub watch: Watch,
    /// Time between two looks of [`Watch::Poll`].
    pub poll: Duration,
}

/// Which files are taken for whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// For how long no file may have changed.
    pub settle: Duration,
    /// Percentage of rooms or users that have to remain; 0 to 100.
    pub keep_percent: usize,
}

choices! {
    /// By what changed files are noticed.
    pub enum Watch {
        /// The system tells.
        Native = "native",
        /// They are looked at again and again.
        Poll = "poll",
        /// They are not noticed.
        Off = "off",
    }
}

/// The generations that were in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Folder of the copies, made if it does not exist.
    pub folder: PathBuf,
    /// Number of generations that are kept; at least 1.
    pub keep: usize,
}

/// The record of control-plane acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// File to which each act is added, made if it does not exist.
    pub file: PathBuf,
}
