//! Where log lines go, and in which form.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text for people.
    Text,
    /// One JSON object a line.
    Json,
}

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

/// Sends log lines to standard error, for the rest of the process. `filter` is a level (`info`) or the directives of
/// tracing's filter (`warn,holdover=debug`).
///
/// # Errors
///
/// If the filter cannot be read, or logging is set up already.
pub fn init(filter: &str, format: LogFormat) -> Result<(), InitError> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| InitError::Filter {
            filter: filter.to_owned(),
            source,
        })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_named() {
        let error = init("holdover=chatty", LogFormat::Text).unwrap_err();
        assert!(error.to_string().contains("`holdover=chatty`"), "{error}");
    }
}
