//! The configuration of `holdover pool serve`, which is a file of its own: a pool, its listeners, and switches for labs.

mod check;
mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::diagnostic::{Diagnostics, Source};
use crate::load::{Loaded, load_by};
use crate::names::{Domain, ListenerName, PoolName};
use crate::reader::Reader;
use crate::schema::schema_of;
use crate::settings::{Log, Tls};
use crate::text::choices;
use crate::uri::ServiceUri;

/// A whole configuration of a stand-alone pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolServer {
    /// `[pool]`
    pub pool: Pool,
    /// `[[listener]]`, at least one, in the order of the file.
    pub listeners: Vec<Listener>,
    /// `[log]`
    pub log: Log,
    /// `[switches]`
    pub switches: Switches,
}

/// The pool that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name in logs.
    pub name: PoolName,
    /// What is dialled to reach it.
    pub uri: ServiceUri,
    /// What `requri` is answered with; can be dialled too.
    pub server_uri: ServiceUri,
    /// Domain in the identifiers of its rooms.
    pub domain: Domain,
    /// SQLite file, made if it does not exist.
    pub database: PathBuf,
    /// INFO requests in one dialog that may wait for their answer at one time.
    pub outstanding_infos: usize,
}

/// One address on which front ends and gateways connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in logs.
    pub name: ListenerName,
    /// Where it listens. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// Mutual TLS; plain TCP without it, off loopback only if the file says `insecure = true`.
    pub tls: Option<MutualTls>,
}

/// The certificates of both ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutualTls {
    /// This end's.
    pub own: Tls,
    /// PEM file with the authorities of the other end's.
    pub client_authorities: PathBuf,
    /// One of these a client's certificate must be valid for; if there are none, every certificate of the authorities will
    /// do.
    pub client_names: Vec<Domain>,
}

/// How the pool behaves where the protocol is not known, and how it misbehaves on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Messages of each room that are sent unasked after `rpl:bjoin`; 0: none.
    pub push_history_after_bjoin: u32,
    /// Name of the reply to `getserverinfo`.
    pub getservinfo_spelling: ServerInfoName,
    /// Permission masks.
    pub masks: Masks,
    /// Time that a dialog lives without a refresh.
    pub session_expires: Duration,
    /// Every n-th INFO of a dialog is refused with 503; 0: none.
    pub busy_every: u32,
    /// Every n-th INFO of a dialog is never answered; 0: none.
    pub mute_receipts_every: u32,
    /// The first command in a dialog is answered with BYE.
    pub bye_on_first_command: bool,
    /// Values of rooms that `bjoin` fails for.
    pub fib_rooms: Vec<Box<str>>,
    /// Users in a room above which it gets neither rosters nor notices.
    pub roster_limit: usize,
    /// By how much everything the pool says is late.
    pub delay: Duration,
    /// Replies that wait for the same client are sent in one document.
    pub merge_replies: bool,
}

choices! {
    /// Name of the reply to `cmd:getserverinfo`.
    pub enum ServerInfoName {
        /// As the command.
        GetServerInfo = "getserverinfo",
        /// As 2007 R2 was seen to spell it.
        GetServInfo = "getservinfo",
    }

    /// Which numbers stand for what members and managers may do.
    pub enum Masks {
        /// Those of 2013 and later.
        PersistentChat = "persistent-chat",
        /// Those of 2007 R2 and 2010.
        Legacy = "legacy",
    }
}

/// Reads and checks the configuration file `path`. Relative paths in it start at its folder.
///
/// Files that it names are not touched: [`check_environment`](crate::check_environment) does that.
///
/// # Errors
/// All faults, if at least one is an error, with the warnings among them.
pub fn load(path: &Path) -> Result<Loaded<PoolServer>, Diagnostics> {
    load_by(path, parse)
}

/// Checks the configuration `text`, known to people as `name`. Relative paths in it start at `base`. Pure: no file is read.
///
/// # Errors
/// All faults, if at least one is an error, with the warnings among them.
pub fn parse(name: &str, text: &str, base: &Path) -> Result<Loaded<PoolServer>, Diagnostics> {
    let source = Source::new(name, text);
    let (raw, mut faults) = Reader::new(&source).read_file::<raw::Root>();
    match raw {
        Some(raw) => check::check(&raw, &source, base, faults),
        None => {
            faults.sort();
            Err(faults)
        }
    }
}

/// The JSON Schema (2020-12) of such a file.
pub fn json_schema() -> Value {
    schema_of::<raw::Root>()
}
