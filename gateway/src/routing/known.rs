//! The pools as far as decisions need to know them: nothing of them is open.

use holdover_config::settings::{Dialect, Fixed, PoolKind};
use holdover_config::{PoolName, Region};

use crate::pool::PoolId;

/// The pools of a configuration, in its order.
#[derive(Clone, Debug, Default)]
pub struct KnownPools {
    pools: Vec<Known>,
    /// The domain of the users, hence of the identifiers that their clients know.
    domain: Box<str>,
    /// Whether a test has users of any domain.
    #[cfg(test)]
    serves_all: bool,
}

#[derive(Clone, Debug)]
struct Known {
    name: PoolName,
    /// Whether rooms have the same identifier there as at legacy clients: an old Group Chat server.
    keeps_ids: bool,
    region: Option<Region>,
    /// The domain in its own identifiers, by `facts/xccos.md` §1.1 that of the address it is dialled at.
    domain: Box<str>,
}

impl KnownPools {
    /// Those of a configuration.
    #[must_use]
    pub fn new(fixed: &Fixed) -> Self {
        let known = |pool: &holdover_config::settings::Pool| Known {
            name: pool.name.clone(),
            keeps_ids: match &pool.kind {
                PoolKind::Embedded(_) => false,
                PoolKind::Sip(sip) => sip.dialect == Dialect::GroupChat,
            },
            region: pool.region.clone(),
            domain: match &pool.kind {
                PoolKind::Embedded(embedded) => embedded.domain.as_str().into(),
                PoolKind::Sip(sip) => sip.uri.domain().into(),
            },
        };
        Self {
            pools: fixed.pools.iter().map(known).collect(),
            domain: fixed.gateway.domain.as_str().into(),
            #[cfg(test)]
            serves_all: false,
        }
    }

    /// The same for users of any domain, or only of its own.
    #[cfg(test)]
    pub(crate) fn serving_all(self, serves_all: bool) -> Self {
        Self { serves_all, ..self }
    }

    /// A pool by its name.
    #[must_use]
    pub fn id(&self, name: &PoolName) -> Option<PoolId> {
        let at = self.pools.iter().position(|known| known.name == *name)?;
        u16::try_from(at).ok().map(PoolId)
    }

    /// All of them, in order.
    pub fn ids(&self) -> impl Iterator<Item = PoolId> {
        (0..self.pools.len()).filter_map(|at| u16::try_from(at).ok().map(PoolId))
    }

    /// A pool's name.
    #[must_use]
    pub fn name(&self, id: PoolId) -> Option<&PoolName> {
        self.get(id).map(|known| &known.name)
    }

    /// Whether rooms have the same identifier there as at legacy clients.
    #[must_use]
    pub fn keeps_ids(&self, id: PoolId) -> bool {
        self.get(id).is_some_and(|known| known.keeps_ids)
    }

    /// Whether there is a pool on which rooms have the identifiers of legacy clients.
    #[must_use]
    pub fn any_keeps_ids(&self) -> bool {
        self.pools.iter().any(|known| known.keeps_ids)
    }

    /// The region that a pool is in.
    #[must_use]
    pub fn region(&self, id: PoolId) -> Option<&Region> {
        self.get(id)?.region.as_ref()
    }

    /// Whether users of a domain can sign in.
    #[must_use]
    pub fn serves(&self, domain: &str) -> bool {
        #[cfg(test)]
        if self.serves_all || self.domain.is_empty() {
            return true;
        }
        self.domain.eq_ignore_ascii_case(domain)
    }

    /// The domain in the identifiers that clients know, and that in a pool's own, where it has another.
    #[must_use]
    pub fn domains(&self, id: PoolId) -> Option<(&str, &str)> {
        let known = self.get(id).filter(|known| !known.keeps_ids)?;
        let (legacy, migrated) = (&*self.domain, &*known.domain);
        (!legacy.eq_ignore_ascii_case(migrated)).then_some((legacy, migrated))
    }

    fn get(&self, id: PoolId) -> Option<&Known> {
        self.pools.get(usize::from(id.0))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_pool_has_the_domain_of_its_address() {
        let sip = |name: &str, uri: &str, more: &str| {
            format!(
                "[[pool]]\nname = \"{name}\"\nsip = {{ uri = \"{uri}\", servers = [\"10.0.0.1:5041\"], \
                 transport = \"tcp\"{more} }}\n"
            )
        };
        let text = [
            "[gateway]\ndomain = \"contoso.com\"\n[[listener]]\nname = \"lab\"\naddress = \"127.0.0.1:0\"\n\
             sign_in = \"open\"\n"
                .to_owned(),
            sip("same", "sip:pool@Contoso.com", ""),
            sip("other", "sip:pool@fabrikam.com", ""),
            sip("old", "sip:old@fabrikam.com", ", dialect = \"group-chat\""),
            "[[pool]]\nname = \"here\"\nembedded = { database = \"a.db\", domain = \"here.contoso.com\" }\n\
             [directory]\nrooms = [\"rooms.csv\"]\n"
                .to_owned(),
        ]
        .concat();
        let loaded = holdover_config::parse("holdover.toml", &text, Path::new("/")).unwrap();
        let pools = KnownPools::new(&loaded.settings.fixed);
        let domains: Vec<_> = pools.ids().map(|id| pools.domains(id)).collect();
        assert_eq!(
            domains,
            [
                None,
                Some(("contoso.com", "fabrikam.com")),
                None,
                Some(("contoso.com", "here.contoso.com")),
            ]
        );
    }
}
