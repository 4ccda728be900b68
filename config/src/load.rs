//! From a file or a text to settings.

use std::path::{Path, PathBuf};

use crate::check;
use crate::codes;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Source};
use crate::environment::{FileUse, unreadable};
use crate::raw;
use crate::reader::Reader;
use crate::settings::Settings;

/// Settings that can be used: those of the gateway, or of another program that has a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T = Settings> {
    /// The settings.
    pub settings: T,
    /// What is odd about them. Has no errors.
    pub warnings: Diagnostics,
    /// The files that they name, for [`check_environment`](crate::check_environment).
    pub(crate) files: Vec<FileUse>,
}

/// Reads and checks the configuration file `path`. Relative paths in it start at its folder.
///
/// Files that it names are not touched: [`check_environment`](crate::check_environment) does that.
///
/// # Errors
/// All faults, if at least one is an error, with the warnings among them.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    load_by(path, parse)
}

/// Reads the file `path` and has it parsed, relative paths starting at its folder.
pub(crate) fn load_by<T>(
    path: &Path,
    parse: fn(&str, &str, &Path) -> Result<Loaded<T>, Diagnostics>,
) -> Result<Loaded<T>, Diagnostics> {
    let text = read_text(path)?;
    let base = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    parse(&path.display().to_string(), &text, &base)
}

/// Checks the configuration `text`, known to people as `name`. Relative paths in it start at `base`. Pure: no file is read.
///
/// # Errors
/// All faults, if at least one is an error, with the warnings among them.
pub fn parse(name: &str, text: &str, base: &Path) -> Result<Loaded, Diagnostics> {
    let source = Source::new(name, text);
    let (raw, mut faults) = Reader::new(&source).read_file::<raw::Root>();
    match raw {
        Some(raw) => check::check(&raw, &source, base, faults),
        None => {
            faults.sort();
            Err(faults)
        }
    }
}

/// The text of the file `path`, or why it cannot be had.
pub(crate) fn read_text(path: &Path) -> Result<String, Diagnostic> {
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let message =
            format!("the file is not UTF-8 text: the byte at offset {offset} begins no character");
        Diagnostic::whole_file(
            Severity::Error,
            codes::UNREADABLE,
            path.display().to_string(),
            message,
        )
        .help("save the file as UTF-8")
    })
}
