//! Lines that lead to rooms which are not there: for `holdover check`, where a pool can be looked into.

use std::path::PathBuf;
use std::sync::Arc;

use holdover_config::{Diagnostics, PoolName};
use holdover_protocol::room::RoomUri;

use super::Directory;
use super::columns::Column;
use super::faults::{Fault, Faults, Place, code};

/// Warns of each line that leads users to a room of which `is_missing` says that its pool does not have it. `files` are
/// those of the directory.
#[must_use]
pub fn missing(
    directory: &Directory,
    files: &[PathBuf],
    is_missing: impl Fn(&PoolName, &RoomUri) -> bool,
) -> Diagnostics {
    let mut found: Vec<(Arc<str>, u32, RoomUri, PoolName)> = Vec::new();
    for entry in directory.entries().filter(|entry| entry.state().is_open()) {
        if let Some(migrated) = entry.migrated()
            && is_missing(entry.pool(), &migrated)
        {
            found.push((
                entry.file().into(),
                entry.line(),
                migrated,
                entry.pool().clone(),
            ));
        }
        for further in directory.further(entry) {
            let migrated = further.migrated();
            if is_missing(further.pool(), &migrated) {
                found.push((
                    further.file().into(),
                    further.line(),
                    migrated,
                    further.pool().clone(),
                ));
            }
        }
    }
    found.sort_unstable_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    let mut warnings = Faults::warnings(files);
    for (file, line, migrated, pool) in found {
        let place = Place {
            file,
            line,
            column: None,
        };
        let message = format!("the pool `{pool}` has no room `{migrated}`: its users are refused");
        warnings.push(Fault::new(place, code::NOT_ON_POOL, message).help(format!(
            "correct the `{}` id (`holdover pool list` shows the rooms that there are), or add the room with `holdover pool load`",
            Column::Migrated.as_str()
        )));
    }
    warnings.into_diagnostics()
}
