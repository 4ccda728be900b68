//! The pools as far as decisions need to know them: nothing of them is open.

use holdover_config::settings::{Dialect, Fixed, PoolKind};
use holdover_config::{PoolName, Region};

use crate::pool::PoolId;

/// The pools of a configuration, in its order.
#[derive(Clone, Debug, Default)]
pub struct KnownPools(Vec<Known>);

#[derive(Clone, Debug)]
struct Known {
    name: PoolName,
    /// Whether rooms have the same identifier there as at legacy clients: an old Group Chat server.
    keeps_ids: bool,
    region: Option<Region>,
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
        };
        Self(fixed.pools.iter().map(known).collect())
    }

    /// A pool by its name.
    #[must_use]
    pub fn id(&self, name: &PoolName) -> Option<PoolId> {
        let at = self.0.iter().position(|known| known.name == *name)?;
        u16::try_from(at).ok().map(PoolId)
    }

    /// All of them, in order.
    pub fn ids(&self) -> impl Iterator<Item = PoolId> {
        (0..self.0.len()).filter_map(|at| u16::try_from(at).ok().map(PoolId))
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
        self.0.iter().any(|known| known.keeps_ids)
    }

    /// The region that a pool is in.
    #[must_use]
    pub fn region(&self, id: PoolId) -> Option<&Region> {
        self.get(id)?.region.as_ref()
    }

    fn get(&self, id: PoolId) -> Option<&Known> {
        self.0.get(usize::from(id.0))
    }
}
