//! From raw structs to checked settings: everything that needs more than one value to be judged.
//!
//! A check that cannot say anything because a value is missing or bad stays silent: that fault was told when it was read.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Source};
use crate::environment::{FileUse, Role};
use crate::load::Loaded;
use crate::names::{Domain, FilePath, ListenAddress, LogFilter, PoolName, Realm};
use crate::raw;
use crate::reader::{Int, Key, List};
use crate::settings::{
    Admin, Directory, Embedded, Fixed, Gateway, Limits, Listener, Live, Log, LogFormat, Pool,
    PoolKind, Settings, SignIn, Tls, Unlisted,
};
use crate::uri::ServiceUri;
use crate::{codes, suggest};

/// The settings that `raw` says. `faults` were found while reading it.
pub(crate) fn check(
    raw: &raw::Root,
    source: &Source<'_>,
    base: &Path,
    faults: Diagnostics,
) -> Result<Loaded, Diagnostics> {
    let mut checker = Checker {
        source,
        base,
        faults,
        files: Vec::new(),
    };
    let settings = checker.settings(raw);
    checker.faults.sort();
    match settings {
        Some(settings) if !checker.faults.has_errors() => Ok(Loaded {
            settings,
            warnings: checker.faults,
            files: checker.files,
        }),
        _ => Err(checker.faults),
    }
}

struct Checker<'c> {
    source: &'c Source<'c>,
    /// Folder at which relative paths start.
    base: &'c Path,
    faults: Diagnostics,
    /// Files that the configuration names.
    files: Vec<FileUse>,
}

impl Checker<'_> {
    fn settings(&mut self, raw: &raw::Root) -> Option<Settings> {
        if let Some(rules) = raw.rule.given() {
            let fault = self.source.error(
                codes::RULES_UNSUPPORTED,
                rules.span(),
                "this version knows no routing rules",
            );
            self.faults.push(
                fault.help(
                    "remove the `[[rule]]` tables; `[directory]` says which pool a room is in",
                ),
            );
        }
        let gateway = raw.gateway.get().and_then(|gateway| self.gateway(gateway));
        let domain = raw.gateway.get().and_then(|gateway| gateway.domain.get());
        let listeners = self.listeners(raw, domain);
        let pools = self.pools(raw, domain);
        let directory = self.directory(raw.directory.get(), &raw.pool);
        let limits = self.limits(raw.limits.get());
        let admin = raw.admin.get().and_then(|admin| self.admin(admin));
        let log = raw.log.get().map_or_else(default_log, log);
        Some(Settings {
            fixed: Fixed {
                gateway: gateway?,
                listeners: listeners?,
                pools: pools?,
                log,
                admin,
            },
            live: Live {
                directory: directory?,
                limits,
            },
        })
    }

    fn gateway(&mut self, raw: &raw::Gateway) -> Option<Gateway> {
        let domain = raw.domain.get()?;
        let uri = |key: &Key<ServiceUri>, user| {
            key.get()
                .cloned()
                .unwrap_or_else(|| ServiceUri::new(user, domain))
        };
        let lookup_uri = uri(&raw.lookup_uri, "ocschat");
        let channel_uri = uri(&raw.channel_uri, "channel");
        if lookup_uri.same_user(&channel_uri)
            && let Some(given) = raw.channel_uri.given().or(raw.lookup_uri.given())
        {
            let fault = self.source.error(
                codes::SAME_URIS,
                given.span(),
                "`lookup_uri` and `channel_uri` must differ",
            );
            self.faults.push(
                fault.label(format!("both are `{lookup_uri}`"))
                    .help("a client tells by the URI whether it talks to the lookup or chats; leave out one of the two"),
            );
        }
        Some(Gateway {
            domain: domain.clone(),
            lookup_uri,
            channel_uri,
            grace: seconds(&raw.grace_secs),
            session_expires: seconds(&raw.session_expires_secs),
            drain: seconds(&raw.drain_secs),
        })
    }

    fn listeners(&mut self, raw: &raw::Root, domain: Option<&Domain>) -> Option<Vec<Listener>> {
        let key = &raw.listener;
        self.not_empty(
            key,
            codes::NO_LISTENER,
            "there is no listener: no client could connect",
            "`[[listener]]`",
        );
        self.unique_names(
            key.elements()
                .iter()
                .filter_map(|listener| listener.get_ref().name.given()),
            "listener",
        );
        self.unique_addresses(raw);
        let listeners: Vec<_> = key
            .elements()
            .iter()
            .map(|listener| self.listener(listener.get_ref(), domain))
            .collect();
        listeners.into_iter().collect()
    }

    fn listener(&mut self, raw: &raw::Listener, domain: Option<&Domain>) -> Option<Listener> {
        let open = raw
            .sign_in
            .given()
            .filter(|sign_in| matches!(sign_in.get_ref(), raw::SignIn::Open));
        let insecure = raw.insecure.given().filter(|insecure| *insecure.get_ref());
        let loopback = raw
            .address
            .get()
            .map(|address| address.0.ip().to_canonical().is_loopback());
        if let (Some(open), None, Some(false), false) =
            (open, insecure, loopback, raw.insecure.is_bad())
        {
            let fault = self.source.error(
                codes::OPEN_SIGN_IN,
                open.span(),
                "`sign_in = \"open\"` lets anyone on the network be anyone",
            );
            self.faults.push(
                fault.label("not on an address that other machines can reach")
                    .help("use `{ digest = { users = \"users.toml\" } }` or a loopback address; in a closed lab set `insecure = true`"),
            );
        }
        if let (Some(insecure), Some(_), true) = (
            insecure,
            raw.sign_in.get(),
            open.is_none() || loopback == Some(true),
        ) {
            let fault = self.source.warning(
                codes::NO_EFFECT,
                insecure.span(),
                "`insecure = true` is not needed here",
            );
            self.faults
                .push(fault.help("remove it: it only allows `sign_in = \"open\"` off loopback"));
        }

        let tls = match raw.tls.get() {
            Some(tls) => Some(Tls {
                certificate: self.file(tls.certificate.given()?, Role::Certificate),
                private_key: self.file(tls.private_key.given()?, Role::PrivateKey),
            }),
            None => None,
        };
        let sign_in = match raw.sign_in.get()? {
            raw::SignIn::Open => SignIn::Open,
            raw::SignIn::Digest(digest) => {
                let digest = digest.get()?;
                let realm = match digest.realm.get() {
                    Some(realm) => realm.clone(),
                    None => Realm::from(domain?),
                };
                SignIn::Digest {
                    users: self.file(digest.users.given()?, Role::Users),
                    realm,
                }
            }
        };
        Some(Listener {
            name: raw.name.get()?.clone(),
            address: raw.address.get()?.0,
            tls,
            sign_in,
        })
    }

    /// Listeners and the admin server: no two may have one address, and `0.0.0.0` and `[::]` are every address.
    fn unique_addresses(&mut self, raw: &raw::Root) {
        let listeners = raw
            .listener
            .elements()
            .iter()
            .filter_map(|listener| listener.get_ref().address.given());
        let admin = raw.admin.get().and_then(|admin| admin.address.given());
        let mut by_port: HashMap<u16, Vec<&Spanned<ListenAddress>>> = HashMap::new();
        for given in listeners.chain(admin) {
            let address = given.get_ref().0;
            if address.port() == 0 {
                continue;
            }
            let same_port = by_port.entry(address.port()).or_default();
            if let Some(first) = same_port
                .iter()
                .find(|first| overlap(first.get_ref().0, address))
            {
                let other = first.get_ref().0;
                let message = if other == address {
                    format!("two things listen on `{address}`")
                } else {
                    format!("`{address}` and `{other}` overlap")
                };
                let fault = self
                    .source
                    .error(codes::DUPLICATE_ADDRESS, given.span(), message);
                self.faults.push(fault.help(format!(
                    "the other is in line {}; choose another port",
                    self.line(first.span())
                )));
            }
            same_port.push(given);
        }
    }

    fn pools(&mut self, raw: &raw::Root, domain: Option<&Domain>) -> Option<Vec<Pool>> {
        let key = &raw.pool;
        self.not_empty(
            key,
            codes::NO_POOL,
            "there is no pool: no room could live anywhere",
            "`[[pool]]`",
        );
        self.unique_names(
            key.elements()
                .iter()
                .filter_map(|pool| pool.get_ref().name.given()),
            "pool",
        );
        self.unique_databases(key.elements());
        let pools: Vec<_> = key
            .elements()
            .iter()
            .map(|pool| self.pool(pool, domain))
            .collect();
        pools.into_iter().collect()
    }

    fn pool(&mut self, pool: &Spanned<raw::Pool>, domain: Option<&Domain>) -> Option<Pool> {
        const KINDS: &str = "the kinds of this version are: `embedded`";
        let raw = pool.get_ref();
        if let Some(sip) = raw.sip.given() {
            let fault = self.source.error(
                codes::POOL_KIND_UNSUPPORTED,
                sip.span(),
                "this version knows no pools of the kind `sip`",
            );
            self.faults.push(fault.label("unknown kind").help(KINDS));
            return None;
        }
        if raw.embedded.is_absent() {
            let fault = self
                .source
                .error(codes::POOL_KIND, pool.span(), "the pool has no kind");
            self.faults
                .push(fault.label("one key must say what the pool is").help(KINDS));
        }
        let embedded = raw.embedded.get()?;
        let domain = match embedded.domain.get() {
            Some(domain) => domain,
            None => domain?,
        };
        let database = self.file(embedded.database.given()?, Role::Database);
        let kind = PoolKind::Embedded(Embedded {
            database,
            domain: domain.clone(),
        });
        Some(Pool {
            name: raw.name.get()?.clone(),
            kind,
        })
    }

    fn unique_databases(&mut self, pools: &[Spanned<raw::Pool>]) {
        let mut seen: HashMap<PathBuf, Range<usize>> = HashMap::new();
        for pool in pools {
            let Some(database) = pool
                .get_ref()
                .embedded
                .get()
                .and_then(|embedded| embedded.database.given())
            else {
                continue;
            };
            let path = database.get_ref().within(self.base);
            match seen.get(&path) {
                Some(first) => {
                    let message = "two pools have one database";
                    let fault = self
                        .source
                        .error(codes::DUPLICATE_FILE, database.span(), message);
                    let line = self.line(first.clone());
                    self.faults.push(fault.help(format!(
                        "the other is in line {line}; give each pool its own file"
                    )));
                }
                None => {
                    seen.insert(path, database.span());
                }
            }
        }
    }

    fn directory(
        &mut self,
        raw: Option<&raw::Directory>,
        pool_key: &Key<List<raw::Pool>>,
    ) -> Option<Directory> {
        let pools = pool_key.elements();
        let names: Vec<&PoolName> = pools
            .iter()
            .filter_map(|pool| pool.get_ref().name.get())
            .collect();
        let all_named = !pool_key.is_bad() && names.len() == pools.len() && !pools.is_empty();
        let only_pool = match names.as_slice() {
            &[only] if all_named => Some(only.clone()),
            _ => None,
        };
        let Some(raw) = raw else {
            self.faults
                .push(self.no_rooms("there is no `[directory]`: every room is refused"));
            return Some(Directory {
                rooms: Vec::new(),
                unlisted: Unlisted::Refuse,
                default_pool: only_pool,
            });
        };

        if let Some(given) = raw
            .default_pool
            .given()
            .filter(|given| all_named && !names.contains(&given.get_ref()))
        {
            let pool = given.get_ref();
            let fault = self.source.error(
                codes::UNKNOWN_POOL,
                given.span(),
                format!("there is no pool `{pool}`"),
            );
            let words: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            self.faults
                .push(fault.label("unknown pool").help(suggest::help(
                    pool.as_str(),
                    &words,
                    "the pools are",
                )));
        }
        let default_pool = raw.default_pool.get().cloned().or(only_pool);

        let same_id = raw
            .unlisted
            .given()
            .filter(|word| *word.get_ref() == raw::UnlistedWord::SameId);
        if let Some(given) =
            same_id.filter(|_| all_named && default_pool.is_none() && raw.default_pool.is_absent())
        {
            let message =
                "`unlisted = \"same-id\"` needs `default_pool` where there are several pools";
            let words: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            let fault = self
                .source
                .error(codes::DEFAULT_POOL_MISSING, given.span(), message);
            self.faults.push(fault.help(format!(
                "add `default_pool` with one of {}",
                suggest::list(&words)
            )));
        }
        if same_id.is_none()
            && raw.rooms.elements().is_empty()
            && !raw.rooms.is_bad()
            && !raw.unlisted.is_bad()
        {
            self.faults
                .push(self.no_rooms("`[directory]` lists no rooms and refuses unlisted ones"));
        }
        self.unique_room_files(raw.rooms.elements());

        let unlisted = match same_id {
            Some(_) => Unlisted::SameId(default_pool.clone()?),
            None => Unlisted::Refuse,
        };
        let rooms = raw
            .rooms
            .elements()
            .iter()
            .map(|path| self.file(path, Role::Rooms))
            .collect();
        Some(Directory {
            rooms,
            unlisted,
            default_pool,
        })
    }

    fn no_rooms(&self, message: &str) -> Diagnostic {
        Diagnostic::whole_file(
            Severity::Warning,
            codes::NO_ROOMS,
            self.source.name().clone(),
            message,
        )
        .help("name the CSV files in `rooms`, or set `unlisted = \"same-id\"`")
    }

    fn unique_room_files(&mut self, files: &[Spanned<FilePath>]) {
        let mut seen = HashMap::new();
        for file in files {
            if let Some(first) = seen.insert(file.get_ref().within(self.base), file.span()) {
                let fault = self.source.error(
                    codes::DUPLICATE_FILE,
                    file.span(),
                    "the file is listed twice",
                );
                self.faults.push(fault.help(format!(
                    "it already stands in line {}; remove one",
                    self.line(first)
                )));
            }
        }
    }

    fn limits(&mut self, raw: Option<&raw::Limits>) -> Limits {
        let default = raw::Limits::default();
        let raw = raw.unwrap_or(&default);
        if raw.queue_bytes.value() < raw.body_bytes.value()
            && let Some(span) = raw
                .queue_bytes
                .given()
                .map(Spanned::span)
                .or(raw.body_bytes.given().map(Spanned::span))
            && !raw.queue_bytes.is_bad()
            && !raw.body_bytes.is_bad()
        {
            let message = "`queue_bytes` must be at least `body_bytes`";
            let fault = self.source.error(codes::QUEUE_TOO_SMALL, span, message);
            self.faults.push(
                fault
                    .label(format!(
                        "queue_bytes is {}, body_bytes is {}",
                        raw.queue_bytes.value(),
                        raw.body_bytes.value()
                    ))
                    .help("a message that fills the body would never fit the queue"),
            );
        }
        Limits {
            head_bytes: count(&raw.head_bytes),
            body_bytes: count(&raw.body_bytes),
            headers: count(&raw.headers),
            connections: count(&raw.connections),
            connections_per_address: count(&raw.connections_per_address),
            queue_messages: count(&raw.queue_messages),
            queue_bytes: count(&raw.queue_bytes),
            info_timeout: seconds(&raw.info_timeout_secs),
            sign_in_timeout: seconds(&raw.sign_in_timeout_secs),
            outstanding_infos: count(&raw.outstanding_infos),
        }
    }

    fn admin(&mut self, raw: &raw::Admin) -> Option<Admin> {
        let given = raw.address.given()?;
        let address = given.get_ref().0;
        if !address.ip().to_canonical().is_loopback() {
            let message = "the admin address is open to the network and asks for no password";
            let fault = self
                .source
                .warning(codes::ADMIN_EXPOSED, given.span(), message);
            self.faults
                .push(fault.help("use `127.0.0.1` and a proxy that asks for one"));
        }
        Some(Admin { address })
    }

    fn not_empty<T>(&mut self, key: &Key<List<T>>, code: &'static str, message: &str, table: &str) {
        if let Some(given) = key.given().filter(|given| given.get_ref().0.is_empty()) {
            // Elements that could not be read were reported and left out; the array itself is not empty then.
            let written = self.source.text().get(given.span()).unwrap_or_default();
            if written
                .trim_matches(|c: char| c.is_whitespace() || matches!(c, '[' | ']'))
                .is_empty()
            {
                let fault = self.source.error(code, given.span(), message);
                self.faults.push(fault.help(format!("add a {table} table")));
            }
        }
    }

    fn unique_names<'n, T: AsRef<str> + 'n>(
        &mut self,
        names: impl Iterator<Item = &'n Spanned<T>>,
        what: &str,
    ) {
        let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
        for name in names {
            let text = name.get_ref().as_ref();
            match seen.get(text) {
                Some(first) => {
                    let message = format!("two {what}s have the name `{text}`");
                    let fault = self
                        .source
                        .error(codes::DUPLICATE_NAME, name.span(), message);
                    let line = self.line(first.clone());
                    self.faults.push(
                        fault.help(format!("the other is in line {line}; names must differ")),
                    );
                }
                None => {
                    seen.insert(text, name.span());
                }
            }
        }
    }

    /// The path as seen from here, noted for the check of the environment.
    fn file(&mut self, path: &Spanned<FilePath>, role: Role) -> PathBuf {
        let full = path.get_ref().within(self.base);
        self.files
            .push(FileUse::new(self.source, path.span(), role, full.clone()));
        full
    }

    fn line(&self, span: Range<usize>) -> usize {
        self.source.line(span.start)
    }
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // Whether `[::]` takes IPv4 connections as well is the system's choice, so only one family is compared.
    let every = |ip: IpAddr| ip.is_unspecified();
    a.ip() == b.ip() || (a.is_ipv4() == b.is_ipv4() && (every(a.ip()) || every(b.ip())))
}

fn log(raw: &raw::Log) -> Log {
    let default = default_log();
    Log {
        format: raw.format.get().copied().unwrap_or(default.format),
        level: raw.level.get().cloned().unwrap_or(default.level),
    }
}

fn default_log() -> Log {
    Log {
        format: LogFormat::Text,
        level: LogFilter::info(),
    }
}

fn seconds<const MIN: u32, const MAX: u32, const DEFAULT: u32>(
    key: &Key<Int<MIN, MAX, DEFAULT>>,
) -> Duration {
    Duration::from_secs(key.value().into())
}

fn count<const MIN: u32, const MAX: u32, const DEFAULT: u32>(
    key: &Key<Int<MIN, MAX, DEFAULT>>,
) -> usize {
    usize::try_from(key.value()).unwrap_or(usize::MAX)
}
