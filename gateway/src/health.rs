//! Looks every second at what the gateway depends on, for `/readyz` and the log: pools, disks, descriptors, reloads.
//!
//! What is wrong here, and would not be wrong on another machine, makes the gateway not ready: it can be taken out of a
//! balancer until it is repaired. A pool that cannot be reached does so only when no other is left, because the next
//! gateway would not reach it either.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdover_config::settings::{Fixed, PoolKind};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::admin::{Condition, Readiness};
use crate::descriptors::Descriptors;
use crate::pool::Pools;
use crate::reload::Reloader;
use crate::session::task::SessionContext;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks at disks are this much rarer.
const DISK_EVERY: u32 = 5;

/// How long a disk may take to say how full it is.
const DISK_TIME: Duration = Duration::from_secs(5);

/// Free octets of a disk below which it counts as full: as much as the log of a database may need.
const DISK_FREE: u64 = 16 * 1_024 * 1_024;

/// Looks until `stop` is cancelled.
#[derive(Debug)]
pub struct Health {
    pools: Vec<Condition>,
    reachable: Condition,
    disks: Vec<Disk>,
    descriptors: Condition,
    reload: Condition,
    watch: Condition,
}

/// A folder that is written to.
#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    condition: Condition,
    /// A look that has not ended yet.
    look: Option<JoinHandle<Result<(), String>>>,
}

impl Health {
    /// Names the conditions of a gateway.
    #[must_use]
    pub fn new(fixed: &Fixed, readiness: &Readiness) -> Self {
        let pools = fixed.pools.iter().map(|pool| {
            let name = format!("pool {}", pool.name);
            match pool.kind {
                PoolKind::Embedded(_) => readiness.condition(name),
                PoolKind::Sip(_) => readiness.remark(name),
            }
        });
        let pools = pools.collect();
        let reachable = readiness.condition("pools");
        let mut disks: Vec<Disk> = Vec::new();
        let mut add = |folder: &Path, is_needed: bool| {
            if disks.iter().any(|disk| disk.folder == folder) {
                return;
            }
            let name = format!("disk {}", folder.display());
            let condition = if is_needed {
                readiness.condition(name)
            } else {
                readiness.remark(name)
            };
            disks.push(Disk {
                folder: folder.to_owned(),
                condition,
                look: None,
            });
        };
        for pool in &fixed.pools {
            if let PoolKind::Embedded(embedded) = &pool.kind {
                add(folder_of(&embedded.database), true);
            }
        }
        if let Some(audit) = &fixed.audit {
            add(folder_of(&audit.file), false);
        }
        if let Some(history) = &fixed.history {
            add(&history.folder, false);
        }
        Self {
            pools,
            reachable,
            disks,
            descriptors: readiness.remark("descriptors"),
            reload: readiness.remark("reload"),
            watch: readiness.remark("watch"),
        }
    }

    /// Looks at everything once. Waits for no disk for longer than `DISK_TIME`.
    pub async fn look(&mut self, pools: &Pools, descriptors: &Descriptors, with_disks: bool) {
        let looked = pools.look();
        for (condition, pool) in self.pools.iter().zip(&looked) {
            match &pool.works {
                Some(works) => condition.set(works.clone()),
                None => condition.pending(),
            }
        }
        if looked.iter().any(|pool| pool.works == Some(Ok(()))) {
            self.reachable.met();
        } else if looked.iter().any(|pool| pool.works.is_none()) {
            self.reachable.pending();
        } else {
            let none = "no pool works, see each of them";
            self.reachable.set(Err(none.to_owned()));
        }
        let lack = descriptors.lacking().map(|(limit, usable)| {
            format!("{limit} open files are allowed: {usable} connections can be served")
        });
        self.descriptors.set(lack.map_or(Ok(()), Err));
        if with_disks {
            for disk in &mut self.disks {
                disk.look().await;
            }
        }
    }

    /// Looks again and again.
    pub async fn watch(
        mut self,
        sessions: Arc<SessionContext>,
        descriptors: Arc<Descriptors>,
        reloader: Option<Reloader>,
        stop: CancellationToken,
    ) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0_u32;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let with_disks = count.is_multiple_of(DISK_EVERY);
            self.look(&sessions.pools, &descriptors, with_disks).await;
            if let Some(troubles) = reloader.as_ref().map(Reloader::troubles) {
                self.reload.set(troubles.of_reload());
                self.watch.set(troubles.of_watch());
            }
            count = count.wrapping_add(1);
        }
    }
}

impl Disk {
    async fn look(&mut self) {
        let folder = self.folder.clone();
        let look = self
            .look
            .get_or_insert_with(|| tokio::task::spawn_blocking(move || room(&folder)));
        match timeout(DISK_TIME, &mut *look).await {
            Ok(looked) => {
                self.look = None;
                let failed = |_| Err("it cannot be looked at".to_owned());
                self.condition.set(looked.unwrap_or_else(failed));
            }
            Err(_) => self.condition.set(Err("it does not answer".to_owned())),
        }
    }
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether there is room on the disk of a folder, which may not exist yet.
fn room(folder: &Path) -> Result<(), String> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{StatVfsMountFlags, statvfs};
        let Some(existing) = folder.ancestors().find(|folder| folder.exists()) else {
            return Ok(());
        };
        let status =
            statvfs(existing).map_err(|error| format!("it cannot be looked at: {error}"))?;
        if status.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err("it can only be read".to_owned());
        }
        // Some file systems do not say how large they are.
        let free = status.f_bavail.saturating_mul(status.f_frsize);
        if status.f_blocks > 0 && free < DISK_FREE {
            return Err(format!("it is full: {} KiB are free", free / 1_024));
        }
        // Likewise.
        if status.f_files > 0 && status.f_favail == 0 {
            return Err("it can hold no more files".to_owned());
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _not_known = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_without_room_is_noticed() {
        assert_eq!(room(&std::env::temp_dir().join("not/yet")), Ok(()));
        // Read-only wherever it is mounted read-only, and nothing to be full of elsewhere.
        let system = room(Path::new("/proc/self"));
        assert!(system.is_ok() || system == Err("it can only be read".to_owned()));
    }

    #[tokio::test]
    async fn what_does_not_work_is_a_condition() {
        let readiness = Readiness::new();
        let text = "[gateway]\ndomain = \"contoso.com\"\n[[listener]]\nname = \"clients\"\n\
                    address = \"127.0.0.1:0\"\nsign_in = \"open\"\n[[pool]]\nname = \"hq\"\n\
                    sip = { uri = \"sip:pool@contoso.com\", servers = [\"127.0.0.1:1\"], transport = \"tcp\" }\n\
                    [directory]\nunlisted = \"refuse\"\n";
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("holdover.toml");
        std::fs::write(&config, text).unwrap();
        let fixed = holdover_config::load(&config).unwrap().settings.fixed;
        let mut health = Health::new(&fixed, &readiness);
        let descriptors = Descriptors::new(Some(1_024), 300);
        descriptors.wanted(20_000);
        // No pool at all is no pool that works.
        health
            .look(&Pools::new(Vec::new()), &descriptors, true)
            .await;
        let status = readiness.status();
        let unmet: Vec<_> = status
            .conditions
            .iter()
            .filter(|named| !named.met)
            .map(|named| (named.name.as_str(), named.is_required))
            .collect();
        assert_eq!(unmet, [("pools", true), ("descriptors", false)]);
        assert!(!status.ready);
    }
}
