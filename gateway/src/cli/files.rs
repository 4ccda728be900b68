//! Reading what a command was given, and telling what is wrong with it.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use holdover_config::{Diagnostics, Loaded, Settings, check_environment};

use crate::directory::{self, Directory};

/// Reads a configuration and looks at the files it names. What is wrong or odd is told on standard error; with errors
/// there is nothing to go on with.
pub(super) fn load(path: &Path) -> Option<Loaded> {
    match holdover_config::load(path) {
        Ok(loaded) => {
            let mut found = loaded.warnings.clone();
            found.append(check_environment(&loaded));
            tell(&found);
            (!found.has_errors()).then_some(loaded)
        }
        Err(faults) => {
            tell(&faults);
            None
        }
    }
}

/// Reads the directory of a configuration. What is wrong with it is told on standard error.
pub(super) fn directory(settings: &Settings) -> Option<Directory> {
    match directory::load(&settings.live.directory, &settings.fixed.pool_names()) {
        Ok(rooms) => Some(Directory::new(rooms)),
        Err(faults) => {
            tell(&faults);
            None
        }
    }
}

/// Shows diagnostics to people.
pub(super) fn tell(diagnostics: &Diagnostics) {
    if !diagnostics.is_empty() {
        eprintln!("{}", diagnostics.render(io::stderr().is_terminal()));
    }
}
