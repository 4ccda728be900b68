//! The configuration as it is written: every table and key with its documentation, type, bounds and default.
//!
//! This is the one place where a key is declared. Its reader, its suggestions and its part of the JSON Schema come from here.

pub(crate) mod rules;
mod scalars;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::DeValue;

use crate::names::{
    Domain, FilePath, ListenAddress, ListenerName, LogFilter, PoolName, Realm, Region,
    ServerAddress, SrvName,
};
use crate::reader::{FromToml, Int, Key, List, Presence, Reader};
use crate::settings::{Dialect, LogFormat, Mode, Transport, Watch};
use crate::uri::{PoolUri, ServiceUri};

pub(crate) use scalars::{SignIn, UnlistedWord};

macro_rules! presence {
    (required) => {
        Presence::Required
    };
    (optional) => {
        Presence::Optional
    };
}
pub(crate) use presence;

macro_rules! tables {
    ($(
        $(#[doc = $doc:literal])*
        struct $name:ident {
            $( $(#[doc = $key_doc:literal])* $presence:ident $key:ident: $type:ty, )*
        }
    )*) => { $(
        $(#[doc = $doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name {
            $( $(#[doc = $key_doc])* pub(crate) $key: Key<$type>, )*
        }

        impl $name {
            const KEYS: &'static [(&'static str, Presence)] = &[ $( (stringify!($key), presence!($presence)), )* ];
        }

        impl FromToml for $name {
            fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
                let entries = reader.entries(value, at, Self::KEYS)?;
                Some(Self { $( $key: reader.key(&entries, stringify!($key)), )* })
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let mut properties = Map::new();
                $(
                    let docs: &[&str] = &[$($key_doc),*];
                    let schema = generator.subschema_for::<$type>();
                    properties.insert(stringify!($key).to_owned(), described(schema, docs));
                )*
                table_schema(&[$($doc),*], properties, Self::KEYS)
            }
        }
    )* };
}
pub(crate) use tables;

tables! {
    /// The configuration of Holdover.
    struct Root {
        /// Who Holdover is for its legacy clients. Takes effect at the next start.
        required gateway: Gateway,
        /// Where legacy clients, or front-end servers, connect; at least one. Takes effect at the next start.
        required listener: List<Listener>,
        /// What rooms live on; at least one. Takes effect at the next start.
        required pool: List<Pool>,
        /// Which rooms there are. Takes effect on reload.
        optional directory: Directory,
        /// What one peer may cost. Takes effect on reload, for new connections and sessions.
        optional limits: Limits,
        /// What is logged. Takes effect at the next start.
        optional log: Log,
        /// The admin server: lookup, metrics and health over HTTP. Without this table there is none. Takes effect at the
        /// next start.
        optional admin: Admin,
        /// How changed files are noticed, and which are taken for whole. Takes effect at the next start, but for `settle_ms` and
        /// `keep_percent`, which do on reload.
        optional reload: Reload,
        /// What was in use before, for `holdover config rollback`. Takes effect at the next start.
        optional history: History,
        /// Who changed what, and when. Without this table nothing is written down. Takes effect at the next start.
        optional audit: Audit,
        /// Routing rules; those in the files of the folder `rules.d` come after them. Takes effect on reload.
        optional rule: List<rules::Rule>,
        /// Test cases of the rules, for `holdover rules test`. Takes effect on reload.
        optional test: List<rules::Case>,
    }

    /// Who Holdover is for its legacy clients.
    struct Gateway {
        /// SIP domain of the legacy users.
        required domain: Domain,
        /// SIP URI that legacy clients dial first. Default: `sip:ocschat@` and the domain.
        optional lookup_uri: ServiceUri,
        /// SIP URI that the lookup answers with and that clients then chat with; another than `lookup_uri`. Default:
        /// `sip:channel@` and the domain.
        optional channel_uri: ServiceUri,
        /// Seconds that a session whose connection broke keeps its rooms, so that a client that comes back is not seen
        /// leaving.
        optional grace_secs: Int<0, 3_600, 120>,
        /// Seconds between session refreshes that are agreed with clients (RFC 4028).
        optional session_expires_secs: Int<90, 86_400, 1_800>,
        /// Seconds that requests in flight get to finish when Holdover stops.
        optional drain_secs: Int<0, 600, 10>,
    }

    /// One address on which legacy clients, or front-end servers that speak for them, connect.
    struct Listener {
        /// Name in logs and metrics: letters, digits, `-`, `_` and `.`, at most 64.
        required name: ListenerName,
        /// IP address and port, for example `0.0.0.0:5061` or `[::]:5061`. Port 0 lets the system choose one.
        required address: ListenAddress,
        /// Who connects: `"clients"` themselves, or `"trusted"` front-end servers. Default: `"clients"`.
        optional mode: Mode,
        /// Certificate and key. Without this key the listener speaks plain TCP, which front-end servers may not.
        optional tls: Tls,
        /// How users prove who they are: `"open"` (they do not) or `{ digest = { … } }`. Required where clients connect;
        /// front-end servers say who their users are.
        optional sign_in: SignIn,
        /// The front-end servers that may connect. Required with `mode = "trusted"`.
        optional front_ends: FrontEnds,
        /// Allows `sign_in = "open"` on an address that other machines can reach. Default: false.
        optional insecure: bool,
    }

    /// The certificate of a listener. Paths are relative to the folder of the configuration file.
    struct Tls {
        /// PEM file with the certificate and the chain up to the root's issuer.
        required certificate: FilePath,
        /// PEM file with the private key of the certificate.
        required private_key: FilePath,
    }

    /// Front-end servers that may connect to a listener and speak for every user of the gateway's domain
    /// (P-Asserted-Identity, RFC 3325).
    struct FrontEnds {
        /// PEM file with the authorities that issue their certificates. Read again when it changes.
        required authorities: FilePath,
        /// DNS names, one of which a front end's certificate must be valid for; at least one.
        required names: List<Domain>,
        /// Host and port under which the front ends reach this listener, where that is not the address they connected to:
        /// for example `holdover.contoso.com:5062`.
        optional contact: ServerAddress,
        /// Number of sessions on one connection of a front end.
        optional sessions_per_connection: Int<1, 1_000_000, 20_000>,
    }

    /// Sign-in by password (SIP digest authentication).
    struct DigestTable {
        /// File of users and their HA1 hashes, relative to the folder of the configuration file.
        required users: FilePath,
        /// Realm of the challenge, which is part of every hash. Default: the domain of the gateway.
        optional realm: Realm,
    }

    /// A `sign_in` that is a table.
    struct SignInTable {
        /// Users sign in with a password.
        required digest: DigestTable,
    }

    /// What rooms live on. A pool has exactly one kind.
    struct Pool {
        /// Name in logs, metrics and the directory: letters, digits, `-`, `_` and `.`, at most 64.
        required name: PoolName,
        /// Region that the pool is in, which rules may demand: letters, digits, `-`, `_` and `.`, at most 64. Default: none.
        optional region: Region,
        /// Kind: a small Persistent Chat server inside Holdover.
        optional embedded: Embedded,
        /// Kind: a Persistent Chat pool, or an old Group Chat server, reached over SIP.
        optional sip: Sip,
    }

    /// A pool inside Holdover.
    struct Embedded {
        /// SQLite file with rooms and history, relative to the folder of the configuration file. It is made if it does not
        /// exist.
        required database: FilePath,
        /// Domain in the identifiers of the pool's rooms. Default: the domain of the gateway.
        optional domain: Domain,
    }

    /// A pool reached over SIP.
    struct Sip {
        /// SIP URI that is dialled: the contact of a Persistent Chat pool, the lookup service of a Group Chat server.
        required uri: PoolUri,
        /// Servers of the pool, for example `["pc1.contoso.com:5041"]`; at least one. Names are looked up at each connect.
        /// Either these or `srv`.
        optional servers: List<ServerAddress>,
        /// DNS name of the SRV records that name the servers, for example `"_sipinternaltls._tcp.contoso.com"`. They are
        /// looked up again when they are too old and when a server is lost. Needs a program that is built with `dns-srv`.
        optional srv: SrvName,
        /// IP address and port of the DNS server that is asked for `srv`. Default: those of the system.
        optional resolver: ListenAddress,
        /// `"tls"` or `"tcp"`. Default: `"tls"`.
        optional transport: Transport,
        /// Certificates for `transport = "tls"`, which needs them.
        optional tls: PoolTls,
        /// How the pool speaks: `"persistent-chat"`, or `"group-chat"` for servers of 2007 R2 and 2010, whose rooms keep
        /// the identifiers that clients know. Default: `"persistent-chat"`.
        optional dialect: Dialect,
        /// Asks `uri` for the address to dial, as legacy clients ask their lookup service. Default: false.
        optional lookup: bool,
        /// Seconds that the pool may take to answer a request. After them nobody knows what became of a message.
        optional receipt_timeout_secs: Int<1, 300, 10>,
        /// Number of INFO requests of one user that may wait for their answer at one time.
        optional outstanding_infos: Int<1, 64, 8>,
        /// Number of connections to each server, which all users share.
        optional connections_per_server: Int<1, 64, 1>,
        /// Seconds of silence after which a server is asked for a sign of life (OPTIONS). 0: never, for servers that do
        /// not answer it.
        optional ping_secs: Int<0, 3_600, 30>,
    }

    /// Certificates for a pool. Files are read anew at each connect. Paths are relative to the folder of the configuration
    /// file.
    struct PoolTls {
        /// PEM file with the authorities that the pool's certificate may be from.
        required authorities: FilePath,
        /// PEM file with Holdover's own certificate and chain, by which the pool trusts it to speak for users.
        optional certificate: FilePath,
        /// PEM file with the private key of that certificate.
        optional private_key: FilePath,
        /// Names of which the pool's certificate must have one. Default: the host in `servers`.
        optional names: List<Domain>,
    }

    /// Which rooms there are, and where.
    struct Directory {
        /// CSV files of `legacy,pool,migrated,state,name,note,category`, relative to the folder of the configuration file.
        /// Default: none.
        optional rooms: List<FilePath>,
        /// What becomes of rooms that no file lists: `"refuse"`, or `"same-id"` to look for them in `default_pool` under the
        /// identifier that the client knows. Default: `"refuse"`.
        optional unlisted: UnlistedWord,
        /// Pool of the rooms that name none. Default: the only pool; with several pools, `unlisted = "same-id"` needs it.
        optional default_pool: PoolName,
        /// Pool that keeps what clients save of themselves (`getpref`, `setpref`), such as their list of rooms. Default:
        /// `default_pool`.
        optional preferences_pool: PoolName,
    }

    /// What one peer may cost. Beyond a limit that peer is refused or loses its own dialog, nobody else.
    struct Limits {
        /// Bytes of a SIP message before its body.
        optional head_bytes: Int<4_096, 1_048_576, 65_536>,
        /// Bytes of a SIP message's body.
        optional body_bytes: Int<16_384, 16_777_216, 1_048_576>,
        /// Bytes of a SIP message's body before its sender has signed in; never more than `body_bytes`.
        optional sign_in_body_bytes: Int<1_024, 1_048_576, 16_384>,
        /// Bytes that messages may take which have come in part, of all clients from one IPv4 address or IPv6 network (/64)
        /// that have not signed in. The first 2 KiB of each connection are not counted.
        optional sign_in_bytes_per_address: Int<65_536, 1_073_741_824, 1_048_576>,
        /// Bytes that messages may take which have come in part, of all clients and front ends together; a quarter of it
        /// for those that have not signed in. The first 2 KiB of each connection are not counted.
        optional unfinished_bytes: Int<67_108_864, 4_000_000_000, 268_435_456>,
        /// Seconds from the first byte of a message to its last. A connection whose message takes longer is closed.
        optional message_timeout_secs: Int<1, 3_600, 60>,
        /// Number of headers of a SIP message.
        optional headers: Int<32, 4_096, 256>,
        /// Number of connections of legacy clients at one time.
        optional connections: Int<1, 1_000_000, 20_000>,
        /// Number of connections from one IPv4 address, or one IPv6 network (/64), at one time.
        optional connections_per_address: Int<1, 1_000_000, 1_000>,
        /// Number of requests of one client that are read in a second, in the long run; it may be 5 seconds ahead of that.
        /// What comes faster waits until it is read. Front ends have no such limit.
        optional requests_per_second: Int<10, 10_000_000, 200>,
        /// The same of all clients from one IPv4 address or IPv6 network (/64) together, which may be one second ahead. Each
        /// connection counts as four requests.
        optional requests_per_second_per_address: Int<100, 10_000_000, 2_000>,
        /// Number of messages that wait for a client that reads slowly.
        optional queue_messages: Int<16, 65_536, 512>,
        /// Bytes of messages that wait for a client that reads slowly; at least `body_bytes`.
        optional queue_bytes: Int<65_536, 268_435_456, 1_048_576>,
        /// Number of rooms that one command of a client may name. Of a request to join more the others are refused, any other
        /// command is refused whole; leaving rooms never is.
        optional rooms_per_command: Int<16, 100_000, 1_000>,
        /// Number of rooms that a session may have at one time; more are refused.
        optional rooms_per_session: Int<16, 100_000, 1_000>,
        /// Seconds until an INFO without an answer is given up (RFC 3261 timer F).
        optional info_timeout_secs: Int<1, 300, 32>,
        /// Seconds that a new connection may take to sign in.
        optional sign_in_timeout_secs: Int<1, 600, 30>,
        /// Number of INFO requests to one client that may wait for their answer at one time. Old clients cope with one.
        optional outstanding_infos: Int<1, 64, 1>,
        /// Seconds that a session waits for a pool's receipt or reply, however long the pool itself is given.
        optional pool_timeout_secs: Int<1, 300, 10>,
        /// Milliseconds that one pool may keep the others waiting, when a client asks for rooms of several.
        optional split_timeout_ms: Int<50, 10_000, 800>,
    }

    /// What is logged, to standard error.
    struct Log {
        /// `"text"` for people or `"json"` for programs. Default: `"text"`.
        optional format: LogFormat,
        /// `off`, `error`, `warn`, `info`, `debug` or `trace`, or a list such as `info,holdover::session=debug`. Default:
        /// `"info"`.
        optional level: LogFilter,
    }

    /// The admin server.
    struct Admin {
        /// IP address and port, for example `127.0.0.1:8080`. It asks for no password: keep it on a loopback address or
        /// behind a proxy that does.
        required address: ListenAddress,
        /// Host names under which it is asked, for example `["holdover.contoso.com"]`, beside `localhost` and its own
        /// addresses. Requests for other names are refused, so that no page of another site can read it in a browser.
        optional hosts: List<Domain>,
    }

    /// How changed files are noticed, and which are taken for whole. A signal (SIGHUP), `POST /v1/reload` and `holdover reload`
    /// work always.
    struct Reload {
        /// `"native"`: the system tells; `"poll"`: files are looked at again and again, for network shares; `"off"`.
        /// Default: `"native"`.
        optional watch: Watch,
        /// Seconds between two looks of `watch = "poll"`.
        optional poll_secs: Int<1, 3_600, 5>,
        /// Milliseconds for which no file may have changed before files are read: whoever writes one may pause.
        optional settle_ms: Int<0, 60_000, 500>,
        /// A reload is refused if it would leave less than this percentage of the rooms, of the users of a sign-in file, or of
        /// the users in a list that a rule names: the file may be cut short. `holdover reload --accept-fewer` applies it all the
        /// same. 0: never refused.
        optional keep_percent: Int<0, 100, 50>,
    }

    /// The generations of the configuration that were in use.
    struct History {
        /// Folder of the copies, relative to the folder of the configuration file. It is made if it does not exist. Keys,
        /// certificates and users are not copied. Default: `"history"`.
        optional folder: FilePath,
        /// Number of generations that are kept. 0: none, and nothing can be rolled back.
        optional keep: Int<0, 10_000, 50>,
    }

    /// The record of control-plane acts: starts, reloads, rollbacks, rules that were toggled.
    struct Audit {
        /// File to which each act is added as a line of JSON, relative to the folder of the configuration file. It is made
        /// if it does not exist. `holdover audit verify` finds out whether somebody changed it.
        required file: FilePath,
    }
}

/// Doc lines as one paragraph.
fn paragraph(docs: &[&str]) -> String {
    docs.iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn described(mut schema: Schema, docs: &[&str]) -> Value {
    schema.insert("description".to_owned(), paragraph(docs).into());
    schema.to_value()
}

pub(crate) fn table_schema(
    docs: &[&str],
    properties: Map<String, Value>,
    keys: &[(&str, Presence)],
) -> Schema {
    let required: Vec<&str> = keys
        .iter()
        .filter(|&&(_, presence)| presence == Presence::Required)
        .map(|&(key, _)| key)
        .collect();
    json_schema!({
        "type": "object",
        "description": paragraph(docs),
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}
