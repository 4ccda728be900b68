//! Listeners: names, addresses and who may connect.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use toml::Spanned;

use super::Checker;
use crate::codes;
use crate::environment::Role;
use crate::names::{Domain, ListenAddress, Realm};
use crate::raw;
use crate::settings::{Listener, Mode, Peers, SignIn, Tls};

impl Checker<'_> {
    pub(super) fn listeners(
        &mut self,
        raw: &raw::Root,
        domain: Option<&Domain>,
    ) -> Option<Vec<Listener>> {
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
        let admin = raw.admin.get().and_then(|admin| admin.address.given());
        let addresses = key
            .elements()
            .iter()
            .filter_map(|listener| listener.get_ref().address.given());
        self.unique_addresses(addresses.chain(admin));
        let listeners: Vec<_> = key
            .elements()
            .iter()
            .map(|listener| self.listener(listener, domain))
            .collect();
        listeners.into_iter().collect()
    }

    fn listener(
        &mut self,
        given: &Spanned<raw::Listener>,
        domain: Option<&Domain>,
    ) -> Option<Listener> {
        let raw = given.get_ref();
        let peers = match raw.mode.get() {
            Some(Mode::Trusted) => self.front_ends(given),
            Some(Mode::Clients) => self.clients(given, domain),
            None if raw.mode.is_absent() => self.clients(given, domain),
            None => None,
        };
        Some(Listener {
            name: raw.name.get()?.clone(),
            address: raw.address.get()?.0,
            peers: peers?,
        })
    }

    fn clients(
        &mut self,
        given: &Spanned<raw::Listener>,
        domain: Option<&Domain>,
    ) -> Option<Peers> {
        let raw = given.get_ref();
        self.exposure(raw);
        if let Some(front_ends) = raw.front_ends.given() {
            let message = "`front_ends` are for a listener with `mode = \"trusted\"`";
            let fault = self
                .source
                .error(codes::LISTENER_MODE, front_ends.span(), message);
            self.faults.push(
                fault.help("add `mode = \"trusted\"` and remove `sign_in`, or remove this key"),
            );
        }
        if raw.sign_in.is_absent() {
            self.lacks(given, "sign_in");
        }
        let tls = match raw.tls.get() {
            Some(tls) => Some(self.own_certificate(tls)?),
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
        Some(Peers::Clients { tls, sign_in })
    }

    /// Who need not prove anything may come from this machine only, unless the file says otherwise.
    fn exposure(&mut self, raw: &raw::Listener) {
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
    }

    pub(super) fn own_certificate(&mut self, raw: &raw::Tls) -> Option<Tls> {
        Some(Tls {
            certificate: self.file(raw.certificate.given()?, Role::Certificate),
            private_key: self.file(raw.private_key.given()?, Role::PrivateKey),
        })
    }

    /// A listener needs a key because of who connects to it.
    pub(super) fn lacks(&mut self, listener: &Spanned<raw::Listener>, key: &str) {
        let message = format!("`listener` lacks the key `{key}`");
        let fault = self
            .source
            .error(codes::MISSING_KEY, listener.span(), message);
        self.faults.push(fault.label(format!("`{key}` is missing")));
    }

    /// Of everything that listens no two may have one address, and `0.0.0.0` and `[::]` are every address.
    pub(crate) fn unique_addresses<'a>(
        &mut self,
        addresses: impl Iterator<Item = &'a Spanned<ListenAddress>>,
    ) {
        let mut by_port: HashMap<u16, Vec<&'a Spanned<ListenAddress>>> = HashMap::new();
        for given in addresses {
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
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // Whether `[::]` takes IPv4 connections as well is the system's choice, so only one family is compared.
    let every = |ip: IpAddr| ip.is_unspecified();
    a.ip() == b.ip() || (a.is_ipv4() == b.is_ipv4() && (every(a.ip()) || every(b.ip())))
}
