//! File descriptors: how many the process may have, and how many of them connections may take.

use std::sync::atomic::{AtomicUsize, Ordering};

use holdover_config::settings::{Fixed, PoolKind, Servers};

/// Descriptors that the program needs beside its connections: standard streams, runtimes, watched folders, and files that
/// are read for a reload or a rollback.
pub(crate) const OWN: usize = 96;

/// Connections to the admin server at one time.
pub(crate) const ADMIN: usize = 128;

/// Descriptors of an embedded pool: its database with what belongs to it, and its lock.
const EMBEDDED: usize = 8;

/// Servers of a pool that DNS names; it can name more than that, but rarely does.
const NAMED_SERVERS: usize = 16;

/// Descriptors that are not for connections of clients and front ends.
#[must_use]
pub fn reserve(fixed: &Fixed) -> usize {
    let of_pools = fixed.pools.iter().map(|pool| match &pool.kind {
        PoolKind::Embedded(_) => EMBEDDED,
        PoolKind::Sip(sip) => {
            let servers = match &sip.servers {
                Servers::Listed(servers) => servers.len(),
                Servers::Srv { .. } => NAMED_SERVERS,
            };
            servers.saturating_mul(sip.connections_per_server)
        }
    });
    let of_admin = if fixed.admin.is_some() { ADMIN } else { 0 };
    of_pools.fold(
        OWN + of_admin + fixed.listeners.len(),
        usize::saturating_add,
    )
}

/// The descriptors of connections, over all listeners. What is left is for the admin server, the pools and files.
#[derive(Debug)]
pub struct Descriptors {
    /// What the system allows; none if that is not known.
    limit: Option<usize>,
    most: usize,
    used: AtomicUsize,
    wanted: AtomicUsize,
}

impl Descriptors {
    /// With so many allowed, and so many kept back.
    #[must_use]
    pub fn new(limit: Option<usize>, reserve: usize) -> Self {
        // However few there are, a few clients can be served.
        let most = limit.map_or(usize::MAX, |limit| {
            limit.saturating_sub(reserve).max(limit / 4)
        });
        Self {
            limit,
            most,
            used: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
        }
    }

    /// Raises the limit of this process as far as it may be raised, and counts within it.
    #[must_use]
    pub fn raised(reserve: usize) -> Self {
        Self::new(raise(), reserve)
    }

    /// What the system allows, and how many of these connections may have, if that is clearly less than `connections`:
    /// whoever allows as many as there are connections has done enough.
    #[must_use]
    pub fn lack(&self, connections: usize) -> Option<(usize, usize)> {
        let limit = self.limit?;
        (self.most < connections - connections / 32).then_some((limit, self.most))
    }

    /// Notes how many connections the configuration allows.
    pub fn wanted(&self, connections: usize) {
        self.wanted.store(connections, Ordering::Release);
    }

    /// The [lack](Self::lack) of what the configuration allows now.
    #[must_use]
    pub fn lacking(&self) -> Option<(usize, usize)> {
        self.lack(self.wanted.load(Ordering::Acquire))
    }

    /// Takes one, if there is one left.
    pub(crate) fn take(&self) -> bool {
        if self.used.fetch_add(1, Ordering::AcqRel) < self.most {
            return true;
        }
        self.give_back();
        false
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&self) {
        self.used.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The most that this process may be allowed, without changing anything.
#[must_use]
pub fn most_allowed() -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, getrlimit};
        let limit = getrlimit(Resource::Nofile).maximum?;
        usize::try_from(limit).ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Raises the limit to what is allowed. Returns what it is then; none if there is none, or it is not known.
fn raise() -> Option<usize> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        let current = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit.maximum,
            Err(_) => limit.current,
        };
        usize::try_from(current?).ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_back_is_never_taken() {
        let descriptors = Descriptors::new(Some(1_024), 300);
        let taken = (0..2_000).filter(|_| descriptors.take()).count();
        assert_eq!(taken, 724);
        descriptors.give_back();
        assert!(descriptors.take() && !descriptors.take());
        assert_eq!(descriptors.lack(1_150), Some((1_024, 724)));
        assert_eq!(descriptors.lack(740), None);
        assert_eq!(Descriptors::new(None, 300).lack(1_000_000), None);
        assert_eq!(
            Descriptors::new(Some(100), 300).lack(1_000),
            Some((100, 25))
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        use rustix::process::{Resource, getrlimit};
        let raised = raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(raised, limit.maximum.and_then(|most| most.try_into().ok()));
        assert_eq!(raised, most_allowed());
    }
}
