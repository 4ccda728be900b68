//! What of the settings that hold from start to stop differs between the running configuration and one that was written since.

use std::fmt::Debug;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::codes;
use crate::diagnostic::{Diagnostics, Source};
use crate::settings::{Embedded, Fixed, FrontEnds, Gateway, Listener, Peers, Pool, PoolKind, Sip};

/// A key by the names on the way to it. An element of an array of tables is known by its name.
type Path = Vec<String>;

/// Every fixed setting with its value, for comparison only.
#[derive(Default)]
struct Keys(Vec<(Path, String)>);

impl Keys {
    /// Takes structs apart without `..`, so that a new setting does not compile before it is named here.
    fn of(fixed: &Fixed) -> Self {
        let mut keys = Self::default();
        let Fixed {
            gateway,
            listeners,
            pools,
            log,
            admin,
            reload,
            history,
            audit,
        } = fixed;
        let Gateway {
            domain,
            lookup_uri,
            channel_uri,
            grace,
            session_expires,
            drain,
        } = gateway;
        keys.add(&["gateway", "domain"], domain);
        keys.add(&["gateway", "lookup_uri"], lookup_uri);
        keys.add(&["gateway", "channel_uri"], channel_uri);
        keys.add(&["gateway", "grace_secs"], grace);
        keys.add(&["gateway", "session_expires_secs"], session_expires);
        keys.add(&["gateway", "drain_secs"], drain);
        for listener in listeners {
            let Listener {
                name,
                address,
                peers,
            } = listener;
            let at = ["listener", name.as_str()];
            keys.add(&[&at[..], &["address"]].concat(), address);
            let mut add = |key, value: &dyn Debug| keys.add(&[&at[..], &[key]].concat(), value);
            add("mode", &matches!(peers, Peers::FrontEnds(_)));
            match peers {
                Peers::Clients { tls, sign_in } => {
                    add("tls", tls);
                    add("sign_in", sign_in);
                }
                Peers::FrontEnds(FrontEnds {
                    own,
                    authorities,
                    names,
                    contact,
                    sessions_per_connection,
                }) => {
                    add("tls", own);
                    let mut trusted = |key, value: &dyn Debug| {
                        keys.add(&[&at[..], &["front_ends", key]].concat(), value);
                    };
                    trusted("authorities", authorities);
                    trusted("names", names);
                    trusted("contact", contact);
                    trusted("sessions_per_connection", sessions_per_connection);
                }
            }
        }
        for pool in pools {
            keys.pool(pool);
        }
        keys.add(&["log", "format"], &log.format);
        keys.add(&["log", "level"], &log.level);
        keys.add(
            &["admin", "address"],
            &admin.as_ref().map(|admin| admin.address),
        );
        keys.add(
            &["admin", "hosts"],
            &admin.as_ref().map(|admin| &admin.hosts),
        );
        keys.add(&["reload", "watch"], &reload.watch);
        keys.add(&["reload", "poll_secs"], &reload.poll);
        let folder = history.as_ref().map(|history| &history.folder);
        keys.add(&["history", "folder"], &folder);
        keys.add(
            &["history", "keep"],
            &history.as_ref().map(|history| history.keep),
        );
        keys.add(&["audit", "file"], &audit.as_ref().map(|audit| &audit.file));
        keys
    }

    fn pool(&mut self, pool: &Pool) {
        let Pool { name, region, kind } = pool;
        self.add(&["pool", name.as_str(), "region"], region);
        let at = |kind, key| ["pool", name.as_str(), kind, key];
        match kind {
            PoolKind::Embedded(Embedded { database, domain }) => {
                self.add(&at("embedded", "database"), database);
                self.add(&at("embedded", "domain"), domain);
            }
            PoolKind::Sip(Sip {
                uri,
                servers,
                security,
                dialect,
                lookup,
                receipt_timeout,
                outstanding_infos,
                connections_per_server,
                ping,
            }) => {
                self.add(&at("sip", "uri"), uri);
                self.add(&at("sip", "servers"), servers);
                self.add(&at("sip", "tls"), security);
                self.add(&at("sip", "dialect"), dialect);
                self.add(&at("sip", "lookup"), lookup);
                self.add(&at("sip", "receipt_timeout_secs"), receipt_timeout);
                self.add(&at("sip", "outstanding_infos"), outstanding_infos);
                self.add(&at("sip", "connections_per_server"), connections_per_server);
                self.add(&at("sip", "ping_secs"), ping);
            }
        }
    }

    fn add(&mut self, path: &[&str], value: &dyn Debug) {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        self.0.push((path, format!("{value:?}")));
    }

    fn get(&self, path: &[String]) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == path);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether there is a table with this path: a listener or a pool, by its first two parts.
    fn has(&self, table: &[String]) -> bool {
        self.0.iter().any(|(known, _)| known.starts_with(table))
    }

    /// The names of an array of tables, in order, each once.
    fn names(&self, array: &str) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (path, _) in &self.0 {
            if let [first, name, ..] = path.as_slice()
                && first == array
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }
}

/// Every setting that differs between the running configuration and the one in `text`, known to people as `name`, although
/// it holds from start to stop: a reload that would change one must change nothing. None if there is no such difference.
#[must_use]
pub fn fixed_changes(running: &Fixed, wanted: &Fixed, name: &str, text: &str) -> Diagnostics {
    let mut faults = Diagnostics::new();
    if running == wanted {
        return faults;
    }
    let source = Source::new(name, text);
    let (root, _) = DeTable::parse_recoverable(text);
    let places = Places {
        root: root.get_ref(),
    };
    let mut report = |path: &[String], what: &str| {
        let message = format!(
            "`{}` {what}: that takes effect at the next start",
            path.join(".")
        );
        let fault = source.error(codes::FIXED_CHANGED, places.find(path), message);
        faults.push(fault.label("holds from start to stop").help(
            "start Holdover again, or put the old value back: until then no other change is taken either",
        ));
    };
    let (before, after) = (Keys::of(running), Keys::of(wanted));
    let tables_of = |keys: &Keys, array: &'static str| -> Vec<Path> {
        let names = keys.names(array).into_iter();
        names
            .map(|name| vec![array.to_owned(), name.to_owned()])
            .collect()
    };
    let mut whole: Vec<Path> = Vec::new();
    for array in ["listener", "pool"] {
        for table in tables_of(&after, array) {
            if !before.has(&table) {
                report(&table, "is new");
                whole.push(table);
            }
        }
        for table in tables_of(&before, array) {
            if !after.has(&table) {
                report(&table, "was removed");
                whole.push(table);
            }
        }
    }
    let is_told = |path: &[String]| whole.iter().any(|table| path.starts_with(table));
    let mut differs = !whole.is_empty();
    for (path, value) in after.0.iter().filter(|(path, _)| !is_told(path)) {
        if before.get(path) != Some(value) {
            report(path, "was changed");
            differs = true;
        }
    }
    for (path, _) in before.0.iter().filter(|(path, _)| !is_told(path)) {
        if after.get(path).is_none() {
            report(path, "was removed");
            differs = true;
        }
    }
    for array in ["listener", "pool"] {
        if !differs && before.names(array) != after.names(array) {
            report(&[array.to_owned()], "has its tables in another order");
        }
    }
    faults.sort();
    faults
}

/// Where keys stand in a text.
struct Places<'t> {
    root: &'t DeTable<'t>,
}

impl Places<'_> {
    /// The place of a key, or of the innermost table on the way to it that is there.
    fn find(&self, path: &[String]) -> Range<usize> {
        let mut table = self.root;
        let mut found = 0..0;
        let mut parts = path.iter();
        while let Some(part) = parts.next() {
            let Some(value) = table.get(part.as_str()) else {
                return found;
            };
            found = value.span();
            let element;
            (element, found) = match value.get_ref() {
                DeValue::Array(elements) => {
                    let name = parts.next();
                    let named = elements
                        .iter()
                        .find(|element| name_of(element) == name.map(String::as_str));
                    let Some(named) = named else {
                        return found;
                    };
                    (named, named.span())
                }
                _ => (value, found),
            };
            match element.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => return found,
            }
        }
        found
    }
}

fn name_of<'v>(element: &'v Spanned<DeValue<'_>>) -> Option<&'v str> {
    match element.get_ref().get("name")?.get_ref() {
        DeValue::String(name) => Some(name),
        _ => None,
    }
}
