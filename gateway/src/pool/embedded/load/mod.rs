//! `pool load`: filling a pool from a TOML file.
//!
//! ```toml
//! [[category]]
//! name = "Trading"
//! allowed = ["*@contoso.com"]        # everyone, if absent
//! denied = ["mallory@contoso.com"]   # deny wins
//! creators = ["ann@contoso.com"]
//!
//! [[room]]
//! name = "Deals"
//! value = "3c29"                     # the room's identifier; made up if absent
//! category = "Trading"
//! description = "What is on the table"
//! privacy = "closed"                 # or "open", "secret"
//! type = "normal"                    # or "auditorium"
//! members = ["*@contoso.com"]
//! managers = ["ann@contoso.com"]
//! presenters = []
//! disabled = false
//! invitations = true
//!
//! [[room.message]]
//! author = "ann@contoso.com"
//! text = "Good morning"
//! at = 2026-11-02T08:00:00Z          # now, if absent
//! ```
//!
//! The file is the truth about the categories and rooms it names: their details and lists become what it says, so
//! that loading it again changes nothing. It says nothing about others, and nothing is ever removed. Messages are
//! written only into a room that has none. Either the whole file is loaded or nothing.

mod check;
mod codes;
mod table;

use std::io;
use std::path::Path;

use holdover_config::{Diagnostic, Diagnostics, Severity, file};
use jiff::Timestamp;

use super::store::{Store, StoreError};
use super::ticks::Ticks;
use check::Existing;
pub use codes::LOAD_CODES;

/// What a load did.
#[derive(Debug)]
pub struct LoadReport {
    /// Number of categories that the file names.
    pub categories: usize,
    /// Number of rooms that the file names.
    pub rooms: usize,
    /// Oddities that did not hinder.
    pub warnings: Diagnostics,
}

/// Why nothing was loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is wrong. Every fault is told.
    #[error("the load file has faults")]
    Faults(Diagnostics),
    /// The database failed.
    #[error("nothing was loaded")]
    Store(#[from] StoreError),
}

/// Loads the file `path` into the database at `database`, which is made if there is none and no fault either.
/// A gateway that serves this database sees the change at once.
///
/// # Errors
///
/// [`LoadError`]: nothing was changed then.
pub fn load_file(database: &Path, path: &Path, now: Timestamp) -> Result<LoadReport, LoadError> {
    let name = path.display().to_string();
    let text = file::read_text(path).map_err(|error| unreadable(&name, &error))?;
    load_text(database, &name, file::without_mark(&text), now)
}

/// Loads `text`, which diagnostics call `name`. See [`load_file`].
///
/// # Errors
///
/// [`LoadError`]: nothing was changed then.
pub fn load_text(
    database: &Path,
    name: &str,
    text: &str,
    now: Timestamp,
) -> Result<LoadReport, LoadError> {
    let mut store = None;
    let mut existing = Existing::default();
    if database.exists() {
        let opened = Store::open_existing(database)?;
        existing = Existing::read(&opened)?;
        store = Some(opened);
    }
    let (plan, warnings) = check::read(name, text, &existing).map_err(LoadError::Faults)?;
    let mut store = match store {
        Some(store) => store,
        None => Store::open(database)?,
    };
    store.apply(&plan, Ticks::from(now))?;
    Ok(LoadReport {
        categories: plan.categories.len(),
        rooms: plan.rooms.len(),
        warnings,
    })
}

fn unreadable(name: &str, error: &io::Error) -> LoadError {
    let fault = Diagnostic::whole_file(
        Severity::Error,
        codes::UNREADABLE,
        name,
        format!("cannot be read: {error}"),
    );
    LoadError::Faults(Diagnostics::from(fault))
}

#[cfg(test)]
mod tests;
