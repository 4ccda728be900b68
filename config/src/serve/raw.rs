//! The configuration of a stand-alone pool as it is written.

use std::borrow::Cow;

use holdover_protocol::room::RoomUri;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Map;
use toml::Spanned;
use toml::de::DeValue;

use super::{Masks, ServerInfoName};
use crate::codes;
use crate::names::{Domain, FilePath, ListenAddress, ListenerName, PoolName};
use crate::raw::{Log, described, presence, table_schema, tables};
use crate::reader::{FromToml, Int, Key, List, Presence, Reader};
use crate::text::{FromText, TextError, text_types};
use crate::uri::ServiceUri;

tables! {
    /// The configuration of `holdover pool serve`: an embedded pool as a Persistent Chat server of its own.
    struct Root {
        /// What is served.
        required pool: Pool,
        /// Where front ends and gateways connect; at least one.
        required listener: List<Listener>,
        /// What is logged.
        optional log: Log,
        /// How the pool behaves where it is not known how real pools do, and how it misbehaves on purpose. The numbers name
        /// the fact, or the open question, that a key stands for.
        optional switches: Switches,
    }

    /// The pool that is served.
    struct Pool {
        /// Name in logs: letters, digits, `-`, `_` and `.`, at most 64. Default: `"pool"`.
        optional name: PoolName,
        /// SIP URI that is dialled to reach the pool.
        required uri: ServiceUri,
        /// SIP URI that `requri` is answered with and that can be dialled as well: that of one server of the pool. Default:
        /// the `uri` of the pool. (Open question 11.)
        optional server_uri: ServiceUri,
        /// Domain in the identifiers of the pool's rooms. Default: the domain of the `uri`.
        optional domain: Domain,
        /// SQLite file with rooms and history, relative to the folder of this file. It is made if it does not exist. Rooms are
        /// put into it by `holdover pool load`, also while it is served; numeric identifiers (open question 21) are given to
        /// rooms there.
        required database: FilePath,
        /// Number of INFO requests in one dialog that may wait for their answer at one time.
        optional outstanding_infos: Int<1, 64, 1>,
    }

    /// One address on which front ends and gateways connect. Whoever may connect may speak for every user.
    struct Listener {
        /// Name in logs: letters, digits, `-`, `_` and `.`, at most 64. Default: `"pool"`.
        optional name: ListenerName,
        /// IP address and port, for example `0.0.0.0:5041` or `[::]:5041`. Port 0 lets the system choose one.
        required address: ListenAddress,
        /// Mutual TLS. Without this key the listener speaks plain TCP with everyone who connects.
        optional tls: Tls,
        /// Allows plain TCP on an address that other machines can reach. Default: false.
        optional insecure: bool,
    }

    /// Certificates of a listener and of those who may connect to it. Files that change are read again without a restart.
    struct Tls {
        /// PEM file with the certificate and the chain up to the root's issuer.
        required certificate: FilePath,
        /// PEM file with the private key of the certificate.
        required private_key: FilePath,
        /// PEM file with the authorities that issue the certificates of those who may connect.
        required client_authorities: FilePath,
        /// DNS names, one of which a client's certificate must be valid for. Default: every certificate of the authorities
        /// will do.
        optional client_names: List<Domain>,
    }

    /// How the pool behaves where the protocol is not known, and how it misbehaves on purpose.
    struct Switches {
        /// Number of messages of each room that are sent unasked after `rpl:bjoin`; 0: clients ask. (Open question 12.)
        optional push_history_after_bjoin: Int<0, 500, 0>,
        /// Name of the reply to `cmd:getserverinfo`: `"getserverinfo"`, or `"getservinfo"` as 2007 R2 was seen to spell it.
        /// Default: `"getserverinfo"`. (Facts §9.)
        optional getservinfo_spelling: ServerInfoName,
        /// Permission masks of members and managers: `"persistent-chat"` (3472, 11668) or `"legacy"` (3984, 12276). Default:
        /// `"persistent-chat"`. (Open question 4.)
        optional masks: Masks,
        /// Seconds that a dialog lives without a refresh (RFC 4028). Values below 90 break the RFC, to see refreshes soon. (Open
        /// question 14.)
        optional session_expires_secs: Int<5, 86_400, 1_800>,
        /// Every n-th INFO of a dialog is refused with 503 and has no effect; 0: none. (Facts §1.3, 3 and 4.)
        optional busy_every: Int<0, 1_000_000, 0>,
        /// Every n-th INFO of a dialog is carried out and never answered; 0: none. (Facts §1.3, 2.)
        optional mute_receipts_every: Int<0, 1_000_000, 0>,
        /// The first command in a dialog is answered with BYE, as a user who may not use the service is. Default: false. (Facts
        /// §1.2, 11.)
        optional bye_on_first_command: bool,
        /// Values of rooms that `bjoin` fails for, each with a `fib`. Default: none. (Facts §2.1.)
        optional fib_rooms: List<RoomValue>,
        /// Users in a room above which it gets neither rosters nor notices. (Facts §9.)
        optional roster_limit: Int<1, 1_000_000, 75>,
        /// Milliseconds by which everything the pool says is late: receipts, replies, notices and messages.
        optional delay_ms: Int<0, 60_000, 0>,
        /// Replies that wait for the same client are sent in one document. Default: false. (Facts §2, 8.)
        optional merge_replies: bool,
    }
}

/// The part of a room's identifier behind the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoomValue(pub(super) Box<str>);

impl FromText for RoomValue {
    const CODE: &'static str = codes::BAD_ROOM;

    fn from_text(text: &str) -> Result<Self, TextError> {
        if text.starts_with("ma-chan:") {
            let help = "write only what stands behind the domain";
            return Err(TextError::new("a whole identifier", help));
        }
        match RoomUri::new("domain", text) {
            Ok(_) => Ok(Self(text.into())),
            Err(error) => {
                let problem = format!("not the value of a room's identifier: {error}");
                Err(TextError::new(
                    problem,
                    "write what `holdover pool list` shows first",
                ))
            }
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 1024 })
    }
}

text_types!(RoomValue);
