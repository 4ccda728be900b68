//! Pools: names, kinds and databases. What pools over SIP need is in `sip`.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;

use super::Checker;
use crate::codes;
use crate::environment::Role;
use crate::names::Domain;
use crate::raw;
use crate::settings::{Embedded, Pool, PoolKind};

impl Checker<'_> {
    pub(super) fn pools(&mut self, raw: &raw::Root, domain: Option<&Domain>) -> Option<Vec<Pool>> {
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
        const KINDS: &str = "the kinds are: `embedded`, `sip`";
        let raw = pool.get_ref();
        if raw.embedded.is_absent() && raw.sip.is_absent() {
            let fault = self
                .source
                .error(codes::POOL_KIND, pool.span(), "the pool has no kind");
            self.faults
                .push(fault.label("one key must say what the pool is").help(KINDS));
        }
        if let (Some(_), Some(sip)) = (raw.embedded.given(), raw.sip.given()) {
            let fault = self.source.error(
                codes::POOL_KIND,
                sip.span(),
                "the pool has more than one kind",
            );
            self.faults.push(
                fault
                    .label("it is `embedded` already")
                    .help("make it two pools, or remove one of the keys"),
            );
        }
        let embedded = raw
            .embedded
            .get()
            .and_then(|embedded| self.embedded(embedded, domain));
        let sip = raw.sip.given().and_then(|sip| self.sip(sip));
        Some(Pool {
            name: raw.name.get()?.clone(),
            region: raw.region.get().cloned(),
            kind: embedded.or(sip)?,
        })
    }

    fn embedded(&mut self, raw: &raw::Embedded, domain: Option<&Domain>) -> Option<PoolKind> {
        let domain = match raw.domain.get() {
            Some(domain) => domain,
            None => domain?,
        };
        Some(PoolKind::Embedded(Embedded {
            database: self.file(raw.database.given()?, Role::Database),
            domain: domain.clone(),
        }))
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
}
