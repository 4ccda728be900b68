//! Pools over SIP: servers, and the certificates that their transport needs.

use std::collections::HashMap;
use std::time::Duration;

use toml::Spanned;

use super::{Checker, count, seconds};
use crate::codes;
use crate::environment::Role;
use crate::names::ServerAddress;
use crate::raw;
use crate::reader::{Key, List};
use crate::settings::{Dialect, PoolKind, PoolTls, Security, Servers, Sip, Tls, Transport};

impl Checker<'_> {
    pub(super) fn sip(&mut self, table: &Spanned<raw::Sip>) -> Option<PoolKind> {
        let raw = table.get_ref();
        let servers = self.servers_or_srv(table);
        let security = self.security(raw);
        let ping = seconds(&raw.ping_secs);
        Some(PoolKind::Sip(Sip {
            uri: raw.uri.get()?.clone(),
            servers: servers?,
            security: security?,
            dialect: raw
                .dialect
                .get()
                .copied()
                .unwrap_or(Dialect::PersistentChat),
            lookup: raw.lookup.get().copied().unwrap_or(false),
            receipt_timeout: seconds(&raw.receipt_timeout_secs),
            outstanding_infos: count(&raw.outstanding_infos),
            connections_per_server: count(&raw.connections_per_server),
            ping: (ping > Duration::ZERO).then_some(ping),
        }))
    }

    /// Servers are listed or looked up, one of the two.
    fn servers_or_srv(&mut self, table: &Spanned<raw::Sip>) -> Option<Servers> {
        let raw = table.get_ref();
        if raw.servers.is_bad() || raw.srv.is_bad() || raw.resolver.is_bad() {
            return None;
        }
        let Some(srv) = raw.srv.given() else {
            if let Some(given) = raw.resolver.given() {
                let message = "`resolver` does nothing without `srv`";
                let fault = self
                    .source
                    .error(codes::SRV_AND_SERVERS, given.span(), message)
                    .help("names in `servers` are looked up by the system; remove it");
                self.faults.push(fault);
                return None;
            }
            if raw.servers.is_absent() {
                let fault = self
                    .source
                    .error(codes::NO_SERVER, table.span(), "the pool has no server")
                    .help("add `servers`, for example `servers = [\"pc1.contoso.com:5041\"]`");
                self.faults.push(fault);
                return None;
            }
            return self.servers(&raw.servers).map(Servers::Listed);
        };
        if let Some(given) = raw.servers.given() {
            let fault = self
                .source
                .error(
                    codes::SRV_AND_SERVERS,
                    given.span(),
                    "`servers` and `srv` exclude each other",
                )
                .help("remove one of them");
            self.faults.push(fault);
            return None;
        }
        if !cfg!(feature = "dns-srv") {
            let message = "this program cannot look up SRV records";
            let fault = self
                .source
                .error(codes::SRV_NOT_BUILT, srv.span(), message)
                .help("build it with `--features dns-srv`, or list the `servers`");
            self.faults.push(fault);
            return None;
        }
        Some(Servers::Srv {
            name: srv.get_ref().clone(),
            resolver: raw.resolver.get().map(|address| address.0),
        })
    }

    fn servers(&mut self, key: &Key<List<ServerAddress>>) -> Option<Vec<ServerAddress>> {
        if let Some(given) = key.given().filter(|_| key.is_empty()) {
            let message = "the pool has no server";
            let fault = self
                .source
                .error(codes::NO_SERVER, given.span(), message)
                .help("add one, for example `[\"pc1.contoso.com:5041\"]`");
            self.faults.push(fault);
            return None;
        }
        let mut seen: HashMap<&ServerAddress, usize> = HashMap::new();
        for server in key.elements() {
            let line = self.line(server.span());
            if let Some(first) = seen.insert(server.get_ref(), line) {
                let message = format!("the server `{}` is listed twice", server.get_ref());
                let fault = self
                    .source
                    .error(codes::DUPLICATE_SERVER, server.span(), message);
                self.faults.push(fault.help(format!(
                    "it already stands in line {first}; for more connections to it there is `connections_per_server`"
                )));
            }
        }
        let servers = key.elements().iter().map(Spanned::get_ref).cloned();
        Some(servers.collect())
    }

    fn security(&mut self, raw: &raw::Sip) -> Option<Security> {
        if raw.transport.is_bad() || raw.tls.is_bad() {
            return None;
        }
        let transport = raw.transport.get().copied().unwrap_or(Transport::Tls);
        match (transport, raw.tls.given()) {
            (Transport::Tcp, None) => Some(Security::Tcp),
            (Transport::Tls, Some(tls)) => self.pool_tls(tls.get_ref()).map(Security::Tls),
            (Transport::Tcp, Some(tls)) => {
                let message = "`tls` does nothing over plain TCP";
                let fault = self
                    .source
                    .error(codes::TRANSPORT_AND_TLS, tls.span(), message);
                self.faults
                    .push(fault.help("remove it, or write `transport = \"tls\"`"));
                None
            }
            (Transport::Tls, None) => {
                let place = raw.transport.given().map(Spanned::span);
                let span = place.or_else(|| raw.uri.given().map(Spanned::span))?;
                let message = "TLS to a pool needs to know whom to trust";
                let fault = self.source.error(codes::TRANSPORT_AND_TLS, span, message);
                self.faults.push(fault.help(
                    "add `tls = { authorities = \"ca.pem\" }`, or `transport = \"tcp\"` in a closed lab",
                ));
                None
            }
        }
    }

    fn pool_tls(&mut self, raw: &raw::PoolTls) -> Option<PoolTls> {
        let (certificate, key) = (&raw.certificate, &raw.private_key);
        let own = match (certificate.given(), key.given()) {
            (Some(certificate), Some(key)) => Some(Tls {
                certificate: self.file(certificate, Role::Certificate),
                private_key: self.file(key, Role::PrivateKey),
            }),
            (None, None) => None,
            (Some(half), None) | (None, Some(half)) => {
                if certificate.is_absent() || key.is_absent() {
                    let message = "`certificate` and `private_key` go together";
                    let fault = self.source.error(codes::HALF_A_PAIR, half.span(), message);
                    self.faults.push(
                        fault
                            .label("the other one is missing")
                            .help("the pool asks for both to trust what Holdover says of users"),
                    );
                }
                return None;
            }
        };
        let names = raw.names.elements().iter().map(Spanned::get_ref).cloned();
        Some(PoolTls {
            authorities: self.file(raw.authorities.given()?, Role::Certificate),
            own,
            names: names.collect(),
        })
    }
}
