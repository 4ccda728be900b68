//! Listeners for front-end servers: what they need, and what has no place there.

use std::ops::Range;

use toml::Spanned;

use super::{Checker, count};
use crate::codes;
use crate::environment::Role;
use crate::raw;
use crate::settings::{FrontEnds, Peers};

impl Checker<'_> {
    pub(super) fn front_ends(&mut self, given: &Spanned<raw::Listener>) -> Option<Peers> {
        let listener = given.get_ref();
        if let Some(sign_in) = listener.sign_in.given() {
            self.misfit(
                sign_in.span(),
                "nobody signs in on a listener with `mode = \"trusted\"`",
                "remove `sign_in`: the front ends say who their users are",
            );
        }
        if let Some(insecure) = listener.insecure.given() {
            self.misfit(
                insecure.span(),
                "`insecure` has no place on a listener with `mode = \"trusted\"`",
                "remove it: front ends are known by their certificates, on every address",
            );
        }
        let mode = listener.mode.given().map(Spanned::span);
        if let (true, Some(mode)) = (listener.tls.is_absent(), mode) {
            self.misfit(
                mode,
                "front ends are known by their certificates, which takes TLS",
                "add `tls = { certificate = \"sip.pem\", private_key = \"sip.key\" }`",
            );
        }
        if listener.front_ends.is_absent() {
            self.lacks(given, "front_ends");
        }
        let own = listener.tls.get().and_then(|tls| self.own_certificate(tls));
        let raw = listener.front_ends.get()?;
        let authorities = raw
            .authorities
            .given()
            .map(|path| self.file(path, Role::Certificate));
        if let Some(names) = raw.names.given().filter(|_| raw.names.is_empty()) {
            let message = "`names` names nobody: no front end could connect";
            let fault = self
                .source
                .error(codes::NOBODY_ADMITTED, names.span(), message);
            self.faults.push(fault.help(
                "list the names in the front ends' certificates, for example `[\"fe1.contoso.com\"]`",
            ));
        }
        let names = raw.names.elements().iter().map(Spanned::get_ref).cloned();
        Some(Peers::FrontEnds(FrontEnds {
            own: own?,
            authorities: authorities?,
            names: names.collect(),
            contact: raw.contact.get().cloned(),
            sessions_per_connection: count(&raw.sessions_per_connection),
        }))
    }

    fn misfit(&mut self, span: Range<usize>, message: &str, help: &str) {
        let fault = self.source.error(codes::LISTENER_MODE, span, message);
        self.faults.push(fault.help(help));
    }
}
