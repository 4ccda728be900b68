//! What of a running gateway follows its configuration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use holdover_config::settings::Limits as LimitSettings;
use holdover_protocol::sip::Limits;

use super::{Publish, Version};
use crate::listener::MessageLimits;
use crate::listener::connection::ConnectionContext;
use crate::listener::front_end::FrontEndContext;
use crate::registrar::SharedUsers;
use crate::routing::Routing;
use crate::session::SessionSettings;
use crate::session::task::SessionContext;
use crate::telemetry::events::process::DirectoryLoaded;
use crate::telemetry::{Emit as _, Telemetry};
use crate::transport::{Most, Occupancy};

/// How long sessions may be in the middle of asking a version that is not in use any more. They ask for microseconds.
const LONGEST_USE: Duration = Duration::from_secs(1);

/// What was in use until another version was published. Taking ten thousand rules apart keeps a thread busy for milliseconds, so
/// it is not left to whichever session asked last.
#[derive(Debug, Default)]
#[must_use = "it is to be taken apart by the thread that replaced it"]
pub struct Retired(Option<Arc<Routing>>);

impl Retired {
    /// Waits until nobody uses it, and frees it here. Blocks.
    pub(super) fn take_apart(self) {
        let Some(routing) = self.0 else { return };
        let until = Instant::now() + LONGEST_USE;
        while Arc::strong_count(&routing) > 1 && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The parts of a running gateway that a reload replaces.
pub struct Live {
    /// What sessions share. Its router has the rules and the rooms.
    pub sessions: Arc<SessionContext>,
    /// What the connections of each listener for clients share.
    pub contexts: Vec<Arc<ArcSwap<ConnectionContext>>>,
    /// What the connections of each listener for front ends share.
    pub front_ends: Vec<Arc<FrontEndContext>>,
    /// Who may be connected at a time.
    pub occupancies: Vec<Arc<Occupancy>>,
    /// The users, by their file.
    pub users: HashMap<PathBuf, SharedUsers>,
    /// Where the new directory is told.
    pub telemetry: Telemetry,
}

impl Publish for Live {
    /// Rules, rooms and users count for everybody at once, limits for new connections and sessions.
    fn publish(&self, generation: u64, version: &Version) -> Retired {
        let live = &version.settings.live;
        let before = self.sessions.router.current();
        let pools = Arc::clone(before.pools());
        let directory = Arc::clone(&version.directory);
        // There is a pool: the check refuses a configuration without one, and pools are fixed.
        let Some(routing) = Routing::new(generation, live, directory, pools) else {
            return Retired::default();
        };
        for (path, users) in &self.users {
            if let Some(now) = version.users.get(path) {
                users.replace(Arc::clone(now));
            }
        }
        let limits = &live.limits;
        let settings = SessionSettings::new(&version.settings.fixed.gateway, limits);
        let (sip, xccos) = (sip_limits(limits), settings.xccos);
        self.sessions.settings.store(Arc::new(settings));
        for context in &self.contexts {
            context.rcu(|context| {
                let mut uas = (*context.uas).clone();
                uas.sign_in_timeout = limits.sign_in_timeout;
                uas.service.xccos = xccos;
                ConnectionContext {
                    uas: Arc::new(uas),
                    limits: message_limits(limits),
                    ..(**context).clone()
                }
            });
        }
        for front_ends in &self.front_ends {
            front_ends.limit(message_limits(limits), xccos);
        }
        self.sessions.pools.limit(sip, xccos);
        for occupancy in &self.occupancies {
            occupancy.limit(occupancy_limits(limits));
        }
        self.sessions.router.publish(routing);
        if !Arc::ptr_eq(&before.directory, &version.directory) {
            DirectoryLoaded {
                rooms: version.directory.rooms(),
                files: live.directory.rooms.len(),
                generation,
                took: version.directory_took,
            }
            .emit(&self.telemetry);
        }
        Retired(Some(before))
    }
}

/// Bounds of a SIP message.
pub(crate) fn sip_limits(limits: &LimitSettings) -> Limits {
    Limits {
        head: limits.head_bytes,
        body: limits.body_bytes,
        headers: limits.headers,
    }
}

/// Bounds of what clients and front ends send.
pub(crate) fn message_limits(limits: &LimitSettings) -> MessageLimits {
    MessageLimits {
        sip: sip_limits(limits),
        sign_in_body: limits.sign_in_body_bytes,
        timeout: limits.message_timeout,
        requests_per_second: limits.requests_per_second,
    }
}

/// How many may be connected, and how much memory their unfinished messages may take.
pub(crate) fn occupancy_limits(limits: &LimitSettings) -> Most {
    Most {
        connections: limits.connections,
        per_address: limits.connections_per_address,
        bytes_per_address: limits.sign_in_bytes_per_address,
        unfinished_bytes: limits.unfinished_bytes,
        requests_per_address: limits.requests_per_second_per_address,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_retired_is_freed_by_who_replaced_it() {
        let routing = Arc::new(Routing::nowhere());
        let (asked, freed) = (Arc::clone(&routing), Arc::downgrade(&routing));
        let (begin, begun) = mpsc::channel();
        let asking = thread::spawn(move || {
            begun.recv().unwrap();
            drop(asked);
        });
        begin.send(()).unwrap();
        Retired(Some(routing)).take_apart();
        assert!(freed.upgrade().is_none());
        asking.join().unwrap();
    }
}
