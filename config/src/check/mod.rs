//! From raw structs to checked settings: everything that needs more than one value to be judged.
//!
//! A check that cannot say anything because a value is missing or bad stays silent: that fault was told when it was read.

mod directory;
mod front_ends;
mod listeners;
mod pools;
mod rules;
mod sip;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use crate::codes;
use crate::diagnostic::{Diagnostics, Source};
use crate::environment::{FileUse, Role};
use crate::load::Loaded;
use crate::names::{FilePath, LogFilter};
use crate::raw;
use crate::reader::{Int, Key, List};
use crate::rulefile::RuleFile;
use crate::rules::Case;
use crate::settings::{
    Admin, Audit, Fixed, Gateway, History, Limits, Live, Log, LogFormat, Reload, Settings, Watch,
    Whole,
};
use crate::uri::ServiceUri;

pub(crate) use rules::{RuleFiles, Unread, user_files};

/// The settings that `raw` says. `faults` were found while reading it.
pub(crate) fn check(
    raw: &raw::Root,
    source: &Source<'_>,
    base: &Path,
    faults: Diagnostics,
    rules: RuleFiles,
) -> Result<Loaded, Diagnostics> {
    let mut checker = Checker::new(source, base, faults);
    let settings = checker.settings(raw, &rules);
    checker.rule_files = rules.files;
    checker.finish(settings)
}

/// Judges the values of one file. Every kind of configuration file has settings of its own; what they share is here.
pub(crate) struct Checker<'c> {
    pub(crate) source: &'c Source<'c>,
    /// Folder at which relative paths start.
    base: &'c Path,
    pub(crate) faults: Diagnostics,
    /// Files that the configuration names.
    files: Vec<FileUse>,
    /// The files that hold rules.
    rule_files: Vec<Arc<RuleFile>>,
    /// The tests of the rules.
    tests: Vec<Arc<Case>>,
}

impl<'c> Checker<'c> {
    pub(crate) fn new(source: &'c Source<'c>, base: &'c Path, faults: Diagnostics) -> Self {
        Self {
            source,
            base,
            faults,
            files: Vec::new(),
            rule_files: Vec::new(),
            tests: Vec::new(),
        }
    }

    /// The settings, if there are some and nothing was found wrong.
    pub(crate) fn finish<T>(mut self, settings: Option<T>) -> Result<Loaded<T>, Diagnostics> {
        self.faults.sort();
        match settings {
            Some(settings) if !self.faults.has_errors() => Ok(Loaded {
                settings,
                warnings: self.faults,
                files: self.files,
                rule_files: self.rule_files,
                tests: self.tests,
            }),
            _ => Err(self.faults),
        }
    }
}

impl Checker<'_> {
    fn settings(&mut self, raw: &raw::Root, rules: &RuleFiles) -> Option<Settings> {
        let (rules, tests) = self.rules(raw, rules);
        self.tests = tests;
        let gateway = raw.gateway.get().and_then(|gateway| self.gateway(gateway));
        let domain = raw.gateway.get().and_then(|gateway| gateway.domain.get());
        let listeners = self.listeners(raw, domain);
        let pools = self.pools(raw, domain);
        let directory = self.directory(&raw.directory, &raw.pool);
        let limits = self.limits(raw.limits.get());
        self.slow_pools(raw);
        let admin = raw.admin.get().and_then(|admin| self.admin(admin));
        let log = log(raw.log.get());
        let reload = reload(raw.reload.get());
        let history = self.history(raw.history.get());
        let audit = raw.audit.get().and_then(|audit| {
            let file = self.file(audit.file.given()?, Role::Audit);
            Some(Audit { file })
        });
        Some(Settings {
            fixed: Fixed {
                gateway: gateway?,
                listeners: listeners?,
                pools: pools?,
                log,
                admin,
                reload,
                history,
                audit,
            },
            live: Live {
                directory: directory?,
                limits,
                whole: whole(raw.reload.get()),
                rules,
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
            && !raw.lookup_uri.is_bad()
            && !raw.channel_uri.is_bad()
            && let Some(given) = raw.channel_uri.given().or_else(|| raw.lookup_uri.given())
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

    fn limits(&mut self, raw: Option<&raw::Limits>) -> Limits {
        let default = raw::Limits::default();
        let raw = raw.unwrap_or(&default);
        if raw.queue_bytes.value() < raw.body_bytes.value()
            && let Some(span) = raw
                .queue_bytes
                .given()
                .map(Spanned::span)
                .or_else(|| raw.body_bytes.given().map(Spanned::span))
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
            sign_in_body_bytes: count(&raw.sign_in_body_bytes),
            sign_in_bytes_per_address: count(&raw.sign_in_bytes_per_address),
            unfinished_bytes: count(&raw.unfinished_bytes),
            message_timeout: seconds(&raw.message_timeout_secs),
            headers: count(&raw.headers),
            connections: count(&raw.connections),
            connections_per_address: count(&raw.connections_per_address),
            requests_per_second: raw.requests_per_second.value(),
            requests_per_second_per_address: raw.requests_per_second_per_address.value(),
            queue_messages: count(&raw.queue_messages),
            queue_bytes: count(&raw.queue_bytes),
            rooms_per_command: count(&raw.rooms_per_command),
            rooms_per_session: count(&raw.rooms_per_session),
            info_timeout: seconds(&raw.info_timeout_secs),
            sign_in_timeout: seconds(&raw.sign_in_timeout_secs),
            outstanding_infos: count(&raw.outstanding_infos),
            pool_timeout: seconds(&raw.pool_timeout_secs),
            split_timeout: milliseconds(&raw.split_timeout_ms),
        }
    }

    /// Whoever waits less than a pool may take tells users of a doubt where there would be an answer.
    fn slow_pools(&mut self, raw: &raw::Root) {
        let default = raw::Limits::default();
        let limits = raw.limits.get().unwrap_or(&default);
        let waits = limits.pool_timeout_secs.value();
        for pool in raw.pool.elements() {
            let Some(sip) = pool.get_ref().sip.get() else {
                continue;
            };
            let takes = sip.receipt_timeout_secs.value();
            let places = [
                sip.receipt_timeout_secs.given().map(Spanned::span),
                limits.pool_timeout_secs.given().map(Spanned::span),
            ];
            if takes <= waits
                || sip.receipt_timeout_secs.is_bad()
                || limits.pool_timeout_secs.is_bad()
            {
                continue;
            }
            let Some(span) = places.into_iter().flatten().next() else {
                continue;
            };
            let name = pool.get_ref().name.get().map(ToString::to_string);
            let message = "sessions wait less long for a pool than it may take to answer";
            let warning = self.source.warning(codes::POOL_TOO_SLOW, span, message);
            self.faults.push(
                warning
                    .label(format!(
                        "`{}` may take {takes} s, sessions wait {waits} s",
                        name.unwrap_or_default()
                    ))
                    .help("let `pool_timeout_secs` in `[limits]` be at least `receipt_timeout_secs` of the pool"),
            );
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
        let hosts = raw.hosts.elements().iter().map(Spanned::get_ref).cloned();
        Some(Admin {
            address,
            hosts: hosts.collect(),
        })
    }

    fn history(&self, raw: Option<&raw::History>) -> Option<History> {
        let default = raw::History::default();
        let raw = raw.unwrap_or(&default);
        let folder = match raw.folder.get() {
            Some(folder) => folder.within(self.base),
            None => self.base.join("history"),
        };
        let keep = count(&raw.keep);
        (keep > 0).then_some(History { folder, keep })
    }

    pub(crate) fn not_empty<T>(
        &mut self,
        key: &Key<List<T>>,
        code: &'static str,
        message: &str,
        table: &str,
    ) {
        if let Some(given) = key.given().filter(|_| key.is_empty()) {
            let fault = self.source.error(code, given.span(), message);
            self.faults.push(fault.help(format!("add a {table} table")));
        }
    }

    pub(crate) fn unique_names<'n, T: AsRef<str> + 'n>(
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
    pub(crate) fn file(&mut self, path: &Spanned<FilePath>, role: Role) -> PathBuf {
        let full = path.get_ref().within(self.base);
        self.files
            .push(FileUse::new(self.source, path.span(), role, full.clone()));
        full
    }

    fn line(&self, span: Range<usize>) -> usize {
        self.source.line(span.start)
    }
}

pub(crate) fn log(raw: Option<&raw::Log>) -> Log {
    raw.map_or_else(default_log, given_log)
}

fn reload(raw: Option<&raw::Reload>) -> Reload {
    let default = raw::Reload::default();
    let raw = raw.unwrap_or(&default);
    Reload {
        watch: raw.watch.get().copied().unwrap_or(Watch::Native),
        poll: seconds(&raw.poll_secs),
    }
}

fn whole(raw: Option<&raw::Reload>) -> Whole {
    let default = raw::Reload::default();
    let raw = raw.unwrap_or(&default);
    Whole {
        settle: milliseconds(&raw.settle_ms),
        keep_percent: count(&raw.keep_percent),
    }
}

fn given_log(raw: &raw::Log) -> Log {
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

pub(crate) fn seconds<const MIN: u32, const MAX: u32, const DEFAULT: u32>(
    key: &Key<Int<MIN, MAX, DEFAULT>>,
) -> Duration {
    Duration::from_secs(key.value().into())
}

pub(crate) fn milliseconds<const MIN: u32, const MAX: u32, const DEFAULT: u32>(
    key: &Key<Int<MIN, MAX, DEFAULT>>,
) -> Duration {
    Duration::from_millis(key.value().into())
}

pub(crate) fn count<const MIN: u32, const MAX: u32, const DEFAULT: u32>(
    key: &Key<Int<MIN, MAX, DEFAULT>>,
) -> usize {
    usize::try_from(key.value()).unwrap_or(usize::MAX)
}
