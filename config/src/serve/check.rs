//! From raw structs to the settings of a stand-alone pool.

use std::path::Path;

use super::{Listener, Masks, MutualTls, Pool, PoolServer, ServerInfoName, Switches, raw};
use crate::check::{Checker, count, log, seconds};
use crate::codes;
use crate::diagnostic::{Diagnostics, Source};
use crate::environment::Role;
use crate::load::Loaded;
use crate::names::{ListenerName, PoolName};
use crate::reader::Key;
use crate::settings::Tls;
use crate::text::FromText;

/// The settings that `raw` says. `faults` were found while reading it.
pub(super) fn check(
    raw: &raw::Root,
    source: &Source<'_>,
    base: &Path,
    faults: Diagnostics,
) -> Result<Loaded<PoolServer>, Diagnostics> {
    let mut checker = Checker::new(source, base, faults);
    let settings = server(&mut checker, raw);
    checker.finish(settings)
}

fn server(checker: &mut Checker<'_>, raw: &raw::Root) -> Option<PoolServer> {
    let pool = raw.pool.get().and_then(|raw| pool(checker, raw));
    let listeners = listeners(checker, raw);
    let switches = match raw.switches.get() {
        Some(raw) => switches(raw),
        None => switches(&raw::Switches::default()),
    };
    Some(PoolServer {
        pool: pool?,
        listeners: listeners?,
        log: log(raw.log.get()),
        switches,
    })
}

fn pool(checker: &mut Checker<'_>, raw: &raw::Pool) -> Option<Pool> {
    let uri = raw.uri.get()?;
    let domain = match raw.domain.get() {
        Some(domain) => domain.clone(),
        None => uri.domain()?,
    };
    let name = match raw.name.get() {
        Some(name) => name.clone(),
        None => PoolName::from_text("pool").ok()?,
    };
    Some(Pool {
        name,
        uri: uri.clone(),
        server_uri: raw.server_uri.get().unwrap_or(uri).clone(),
        domain,
        database: checker.file(raw.database.given()?, Role::Database),
        outstanding_infos: count(&raw.outstanding_infos),
    })
}

fn listeners(checker: &mut Checker<'_>, raw: &raw::Root) -> Option<Vec<Listener>> {
    let key = &raw.listener;
    checker.not_empty(
        key,
        codes::NO_LISTENER,
        "there is no listener: nobody could connect",
        "`[[listener]]`",
    );
    let all = key.elements().iter();
    checker.unique_names(
        all.clone()
            .filter_map(|listener| listener.get_ref().name.given()),
        "listener",
    );
    checker.unique_addresses(
        all.clone()
            .filter_map(|listener| listener.get_ref().address.given()),
    );
    let listeners: Vec<_> = all.map(|raw| listener(checker, raw.get_ref())).collect();
    listeners.into_iter().collect()
}

fn listener(checker: &mut Checker<'_>, raw: &raw::Listener) -> Option<Listener> {
    exposure(checker, raw);
    let tls = match raw.tls.get() {
        Some(raw) => Some(mutual_tls(checker, raw)?),
        None => None,
    };
    let name = match raw.name.get() {
        Some(name) => name.clone(),
        None => ListenerName::from_text("pool").ok()?,
    };
    Some(Listener {
        name,
        address: raw.address.get()?.0,
        tls,
    })
}

/// Whoever connects without TLS can speak for every user, so that is for loopback, and for those who say they know.
fn exposure(checker: &mut Checker<'_>, raw: &raw::Listener) {
    let (Some(address), false, false) =
        (raw.address.given(), raw.tls.is_bad(), raw.insecure.is_bad())
    else {
        return;
    };
    let exposed = raw.tls.is_absent() && !address.get_ref().0.ip().to_canonical().is_loopback();
    let insecure = raw.insecure.given().filter(|insecure| *insecure.get_ref());
    match (exposed, insecure) {
        (true, None) => {
            let fault = checker.source.error(
                codes::OPEN_SIGN_IN,
                address.span(),
                "everyone who reaches this address could speak for every user",
            );
            checker
                .faults
                .push(fault.label("plain TCP that other machines can reach").help(
                    "add `tls` or use a loopback address; in a closed lab set `insecure = true`",
                ));
        }
        (false, Some(insecure)) => {
            let fault = checker.source.warning(
                codes::NO_EFFECT,
                insecure.span(),
                "`insecure = true` is not needed here",
            );
            checker
                .faults
                .push(fault.help("remove it: it only allows plain TCP off loopback"));
        }
        _ => {}
    }
}

fn mutual_tls(checker: &mut Checker<'_>, raw: &raw::Tls) -> Option<MutualTls> {
    let names = &raw.client_names;
    if let Some(given) = names.given().filter(|_| names.is_empty()) {
        let fault = checker.source.error(
            codes::NOBODY_ADMITTED,
            given.span(),
            "`client_names` names nobody: no client could connect",
        );
        checker
            .faults
            .push(fault.help("leave it out to take every certificate of the authorities"));
    }
    // All three are noted for the check of the environment, whichever of them is missing.
    let certificate = raw
        .certificate
        .given()
        .map(|path| checker.file(path, Role::Certificate));
    let private_key = raw
        .private_key
        .given()
        .map(|path| checker.file(path, Role::PrivateKey));
    let client_authorities = raw
        .client_authorities
        .given()
        .map(|path| checker.file(path, Role::Certificate));
    Some(MutualTls {
        own: Tls {
            certificate: certificate?,
            private_key: private_key?,
        },
        client_authorities: client_authorities?,
        client_names: names
            .elements()
            .iter()
            .map(|name| name.get_ref().clone())
            .collect(),
    })
}

fn switches(raw: &raw::Switches) -> Switches {
    let flag = |key: &Key<bool>| key.get().copied().unwrap_or(false);
    let spelling = raw.getservinfo_spelling.get().copied();
    Switches {
        push_history_after_bjoin: raw.push_history_after_bjoin.value(),
        getservinfo_spelling: spelling.unwrap_or(ServerInfoName::GetServerInfo),
        masks: raw.masks.get().copied().unwrap_or(Masks::PersistentChat),
        session_expires: seconds(&raw.session_expires_secs),
        busy_every: raw.busy_every.value(),
        mute_receipts_every: raw.mute_receipts_every.value(),
        bye_on_first_command: flag(&raw.bye_on_first_command),
        fib_rooms: raw
            .fib_rooms
            .elements()
            .iter()
            .map(|room| room.get_ref().0.clone())
            .collect(),
        roster_limit: count(&raw.roster_limit),
        delay: std::time::Duration::from_millis(raw.delay_ms.value().into()),
        merge_replies: flag(&raw.merge_replies),
    }
}
