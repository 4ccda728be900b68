//! Pools: names, kinds and databases.

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
}
