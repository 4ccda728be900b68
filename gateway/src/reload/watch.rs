//! Noticing that files changed.
//!
//! Folders are watched, not files: editors put a new file in the place of the old one. What the system tells is only a reason
//! to look, and what is seen is only a reason to read; whether something changed the contents say.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdover_config::settings::{Reload as Settings, Watch};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Reloader;
use super::look::Look;
use crate::audit::{self, Who};
use crate::telemetry::events::config::WatchFailed;
use crate::telemetry::{Detail, Emit as _, Telemetry};

/// Quiet that has to come after a change before files are read: whoever writes several wants them read together.
const QUIET: Duration = Duration::from_millis(100);

/// Time between two looks at files that the system should tell about: it tells nothing of a single file that was mounted into a
/// container and is changed outside.
const LOOK: Duration = Duration::from_millis(500);

/// What is said when the system's messages about files are lost.
const LOOKED_AT: &str = "a fault of the program ended it: changed files are noticed by looking at them every `poll_secs`";

/// How long quiet is waited for.
const UNQUIET: Duration = Duration::from_millis(500);

/// Reloads when a file changes, until `stop` is cancelled.
pub async fn watch(
    reloader: Reloader,
    settings: Settings,
    telemetry: Telemetry,
    stop: CancellationToken,
) {
    watch_by(reloader, settings, telemetry, stop, Folders::new).await;
}

/// The same, with another way to be told by the system.
pub(super) async fn watch_by(
    reloader: Reloader,
    settings: Settings,
    telemetry: Telemetry,
    stop: CancellationToken,
    native: impl FnOnce(Arc<Told>) -> notify::Result<Folders>,
) {
    if settings.watch == Watch::Off {
        return;
    }
    let told = Arc::new(Told::default());
    let mut unwatched = HashSet::new();
    let mut folders = match settings.watch {
        Watch::Native => match native(Arc::clone(&told)) {
            Ok(folders) => Some(folders),
            Err(error) => {
                failed(Path::new(""), &error, &telemetry, &mut unwatched);
                None
            }
        },
        Watch::Poll | Watch::Off => None,
    };
    let mut ticks = interval(settings.poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<Look> = None;
    let mut is_woken = false;
    // Whether the system told of a file that is watched since the last reload.
    let mut is_named = false;
    loop {
        let begun = Instant::now();
        let status = reloader.status();
        told.names_are(&status.watched);
        let armed = tokio::task::spawn_blocking(move || {
            let look = || Look::at(&status.watched, &status.rules);
            let Some(mut folders) = folders else {
                return (look(), None, Vec::new());
            };
            let problems = folders.arm(&look(), &status.rules);
            // What changed before its folder was watched is seen now.
            (look(), Some(folders), problems)
        });
        let Ok((look, returned, problems)) = armed.await else {
            // A fault of the program, told as such. From here on files are looked at instead.
            reloader.troubles().watching(LOOKED_AT);
            folders = None;
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => continue,
            }
        };
        let looked = begun.elapsed();
        folders = returned;
        let is_blind = folders.is_none() || !problems.is_empty();
        for (folder, error) in problems {
            failed(&folder, &error, &telemetry, &mut unwatched);
        }
        let changed = last.as_ref() != Some(&look);
        is_named |= told.named.swap(false, Ordering::AcqRel);
        // Looks do not show that a file changed twice within a moment. A file that is missing may be none of those that are
        // looked at.
        let unsure = (is_blind && look.is_fresh()) || !reloader.status().last_reload_successful;
        let woken = std::mem::take(&mut is_woken);
        if (changed || is_named) && !woken {
            // Whoever writes may be in the middle of it.
            is_woken = true;
            tokio::select! {
                () = stop.cancelled() => return,
                () = told.quiet() => continue,
            }
        }
        if changed || is_named || (woken && unsure) {
            is_named = false;
            let newest = last.as_ref().and_then(|last| look.newest_since(last));
            let owner = newest.and_then(audit::owner);
            last = Some(look);
            tokio::select! {
                () = stop.cancelled() => return,
                report = reloader.reload(Who::FileChange { owner }) => if report.is_none() { return },
            }
            // Other files may be watched from here on.
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = told.changed.notified() => told.quiet().await,
            _ = ticks.tick(), if is_blind => {}
            // What it shows is a change like any other; that it shows none says nothing.
            () = sleep(LOOK.max(looked * 20)), if settings.watch == Watch::Native => continue,
        }
        is_woken = true;
    }
}

/// Tells once of each folder that the system does not tell about.
fn failed(
    folder: &Path,
    error: &notify::Error,
    telemetry: &Telemetry,
    told: &mut HashSet<PathBuf>,
) {
    if !told.insert(folder.to_owned()) {
        return;
    }
    WatchFailed {
        folder: Detail::new(folder.display()),
        error: Detail::new(error),
    }
    .emit(telemetry);
}

/// What the system told.
#[derive(Debug, Default)]
pub(super) struct Told {
    changed: Notify,
    /// Whether it was about a file that is watched, by its name.
    named: AtomicBool,
    /// Whether something was removed or renamed: folders may be others under the same name.
    moved: AtomicBool,
    names: Mutex<HashSet<OsString>>,
}

impl Told {
    fn names_are(&self, files: &[PathBuf]) {
        let names = files.iter().filter_map(|path| path.file_name());
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) =
            names.map(ToOwned::to_owned).collect();
    }

    fn tell(&self, event: &notify::Event) {
        // To read a file is no change of it, and we do that ourselves.
        let is_read = matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        if is_read {
            return;
        }
        if matches!(
            event.kind,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
        ) {
            self.moved.store(true, Ordering::Release);
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let is_named = |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
        if event.paths.iter().any(is_named) || event.need_rescan() {
            self.named.store(true, Ordering::Release);
        }
        self.changed.notify_one();
    }

    /// Waits until nothing has been told for a moment.
    async fn quiet(&self) {
        let until = Instant::now() + UNQUIET;
        while Instant::now() < until && timeout(QUIET, self.changed.notified()).await.is_ok() {}
    }
}

/// The folders that the system tells about.
pub(super) struct Folders {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    told: Arc<Told>,
}

impl Folders {
    pub(super) fn new(told: Arc<Told>) -> notify::Result<Self> {
        let teller = Arc::clone(&told);
        let watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
                Ok(event) => teller.tell(&event),
                // Something was missed.
                Err(_) => {
                    teller.named.store(true, Ordering::Release);
                    teller.changed.notify_one();
                }
            })?;
        Ok(Self {
            watcher,
            watched: BTreeSet::new(),
            told,
        })
    }

    /// Watches the folders of what is looked at. Returns those that cannot be watched.
    fn arm(&mut self, look: &Look, rules: &Path) -> Vec<(PathBuf, notify::Error)> {
        let wanted = look.folders(rules);
        let moved = self.told.moved.swap(false, Ordering::AcqRel);
        let (watcher, watched) = (&mut self.watcher, &mut self.watched);
        watched.retain(|folder| {
            let keep = !moved && wanted.contains(folder);
            if !keep {
                // It may be gone, and its watch with it.
                let _gone = watcher.unwatch(folder);
            }
            keep
        });
        let mut problems = Vec::new();
        for folder in wanted {
            if watched.contains(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(folder);
                }
                Err(error) => problems.push((folder, error)),
            }
        }
        problems
    }
}
