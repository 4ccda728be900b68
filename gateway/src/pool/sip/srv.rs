//! Servers that DNS names (RFC 2782): looked up when what is known is too old and when a server is lost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use holdover_config::{ServerAddress, SrvName};

use super::Starter;
use super::servers::{Place, Placed, Server, Servers};
use crate::random::Random;
use crate::telemetry::events::pool::{PoolServersFound, PoolSrvFailed};
use crate::telemetry::{Detail, Emit as _};

/// How long a lookup may take, all tries together.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long records are used at least and at most, whatever their time to live.
const LIFE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3600));

/// Shortest time between two lookups: many connections may be lost at once.
const PAUSE: Duration = Duration::from_millis(500);

/// Longest time between two lookups that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Servers of one pool that are connected to. What DNS says beyond them is left out, the highest priorities first.
const MOST: usize = 32;

/// Why the servers are not known.
#[derive(Debug, thiserror::Error)]
enum SrvError {
    #[error("{0}")]
    Dns(#[from] NetError),
    #[error("no answer in time")]
    Silent,
    /// RFC 2782: a single record whose target is the root.
    #[error("DNS says that there is no such service")]
    None,
    #[error("no record names a server that can be connected to")]
    Unusable,
}

/// Keeps the servers those that DNS names, until the pool is shut down.
pub(super) fn watch(starter: Starter, name: SrvName, resolver: Option<SocketAddr>) -> Arc<Servers> {
    let servers = Arc::new(Servers::unknown());
    let links = starter.links.clone();
    let watch = Watch {
        starter,
        name,
        resolver,
        servers: Arc::clone(&servers),
    };
    links.spawn(watch.run());
    servers
}

struct Watch {
    starter: Starter,
    name: SrvName,
    resolver: Option<SocketAddr>,
    servers: Arc<Servers>,
}

impl Watch {
    async fn run(mut self) {
        let common = Arc::clone(&self.starter.common);
        let mut random = Random::new(self.starter.random.draw());
        let mut failures = 0;
        loop {
            let looked_up = tokio::select! {
                () = common.shutdown.cancelled() => return,
                looked_up = self.look_up() => looked_up,
            };
            let pause = match looked_up {
                Ok((records, valid_until)) => {
                    failures = 0;
                    self.apply(records);
                    let (shortest, longest) = LIFE;
                    let left = valid_until.saturating_duration_since(Instant::now());
                    left.clamp(shortest, longest)
                }
                Err(error) => {
                    PoolSrvFailed {
                        pool: common.pool.clone(),
                        name: Detail::new(&self.name),
                        error: Detail::new(error),
                    }
                    .emit(&common.telemetry);
                    failures += 1;
                    let pause = PAUSE.saturating_mul(1 << u32::min(failures, 10));
                    random.jitter(pause.min(LONGEST_PAUSE))
                }
            };
            tokio::select! {
                () = common.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = async {
                    tokio::time::sleep(PAUSE).await;
                    common.lost.notified().await;
                } => {}
            }
        }
    }

    async fn look_up(&self) -> Result<(Vec<(ServerAddress, Place)>, Instant), SrvError> {
        // A new one each time knows the system's settings as they are now, and remembers no answer.
        let resolver = match self.resolver {
            None => TokioResolver::builder_tokio()?.build()?,
            Some(at) => {
                let mut ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for way in &mut ways {
                    way.port = at.port();
                }
                let server = NameServerConfig::new(at.ip(), true, ways.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                    .build()?
            }
        };
        // With the dot at its end no search list is tried.
        let lookup = resolver.srv_lookup(format!("{}.", self.name));
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup)
            .await
            .map_err(|_| SrvError::Silent)??;
        let records = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => Some(srv),
                _ => None,
            });
        Ok((servers(records)?, found.valid_until()))
    }

    /// Servers that are known stay as they are; the others are started, or retired.
    fn apply(&mut self, records: Vec<(ServerAddress, Place)>) {
        let before = self.servers.all();
        let mut known: HashMap<ServerAddress, Arc<Server>> = before
            .iter()
            .map(|placed| (placed.server.address().clone(), Arc::clone(&placed.server)))
            .collect();
        let mut added = 0;
        let mut list = Vec::with_capacity(records.len());
        for (address, place) in records {
            let server = known.remove(&address).unwrap_or_else(|| {
                added += 1;
                self.starter.start(address)
            });
            list.push(Placed { place, server });
        }
        let servers = list.len();
        self.servers.replace(list);
        let common = &self.starter.common;
        if added > 0 || !known.is_empty() {
            PoolServersFound {
                pool: common.pool.clone(),
                servers,
                added,
            }
            .emit(&common.telemetry);
        }
        for server in known.into_values() {
            server.retire(common);
        }
    }
}

/// The servers that records name, each once, in the best of its places.
fn servers<'r>(
    records: impl Iterator<Item = &'r SRV>,
) -> Result<Vec<(ServerAddress, Place)>, SrvError> {
    let mut records: Vec<&SRV> = records.collect();
    if let [only] = records.as_slice()
        && only.target.is_root()
    {
        return Err(SrvError::None);
    }
    records.sort_by_key(|srv| (srv.priority, std::cmp::Reverse(srv.weight)));
    let mut found: Vec<(ServerAddress, Place)> = Vec::new();
    for SRV {
        priority,
        weight,
        port,
        target,
        ..
    } in records
    {
        let target = target.to_ascii();
        let address = format!("{}:{port}", target.trim_end_matches('.'));
        // What is no host name, or port 0, cannot be connected to.
        if let Ok(address) = address.parse::<ServerAddress>()
            && found.len() < MOST
            && !found.iter().any(|(known, _)| *known == address)
        {
            let place = Place {
                priority: *priority,
                weight: *weight,
            };
            found.push((address, place));
        }
    }
    if found.is_empty() {
        return Err(SrvError::Unusable);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
