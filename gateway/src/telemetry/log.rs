//! Where log lines go, and in which form.

use std::io::IsTerminal;

use holdover_config::settings::{Log, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter cannot be read.
    #[error(
        "the log filter `{filter}` is wrong: use a level, for example `info`, or `holdover=debug`"
    )]
    Filter {
        /// The filter as it was given.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Logging was set up before.
    #[error("logging is already set up")]
    Twice(#[from] TryInitError),
}

/// Sends log lines to standard error, for the rest of the process.
///
/// # Errors
///
/// If the filter cannot be read, or logging is set up already.
pub fn init(settings: &Log) -> Result<(), InitError> {
    let filter = filter(settings.level.as_str())?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => {
            lines
                .with_ansi(std::io::stderr().is_terminal())
                .finish()
                .try_init()?;
        }
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

fn filter(text: &str) -> Result<EnvFilter, InitError> {
    // What the library for watching files says of watches that went with their files alarms for nothing, at each save.
    EnvFilter::builder()
        .parse(format!("notify=error,{text}"))
        .map_err(|source| InitError::Filter {
            filter: text.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_named() {
        let error = filter("holdover=chatty").unwrap_err();
        assert!(error.to_string().contains("`holdover=chatty`"), "{error}");
    }

    #[test]
    fn the_library_for_watching_files_speaks_up_only_when_asked() {
        let printed = |text| filter(text).unwrap().to_string();
        assert!(printed("info").contains("notify=error"));
        let asked = printed("info,notify=debug");
        assert!(asked.contains("notify=debug") && !asked.contains("notify=error"));
    }
}
