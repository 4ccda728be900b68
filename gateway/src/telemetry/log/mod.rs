//! Where log lines go, and in which form.

mod buffer;

use std::io::{self, IsTerminal};
use std::time::Duration;

use holdover_config::settings::{Log, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use buffer::Buffer;

use super::events::process::ProcessPanicked;
use super::{Detail, Emit as _, Telemetry};

/// How long the last lines may take at the end of the program.
const LAST_LINES: Duration = Duration::from_secs(1);

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
    /// There is no descriptor, or no thread, to write with.
    #[error("cannot write a log")]
    Output(#[source] io::Error),
    /// Logging was set up before.
    #[error("logging is already set up")]
    Twice(#[from] TryInitError),
}

/// Writes what is still to be written when it is dropped, for a second at most.
#[must_use = "the last lines are lost if nobody waits for them"]
pub struct LastLines(Buffer);

impl Drop for LastLines {
    fn drop(&mut self) {
        self.0.flush(LAST_LINES);
    }
}

/// Sends log lines to standard error, for the rest of the process. A panic of any thread is an event from here on.
///
/// Whoever logs never waits: a thread of its own writes, and `telemetry` counts what it cannot get rid of.
///
/// # Errors
///
/// If the filter cannot be read, or logging is set up already.
pub fn init(settings: &Log, telemetry: &Telemetry) -> Result<LastLines, InitError> {
    let filter = filter(settings.level.as_str())?;
    let out = buffer::standard_error().map_err(InitError::Output)?;
    let buffer = Buffer::start(out, telemetry.clone()).map_err(InitError::Output)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(buffer.clone());
    match settings.format {
        LogFormat::Text => {
            lines
                .with_ansi(io::stderr().is_terminal())
                .finish()
                .try_init()?;
        }
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    tell_panics(telemetry.clone());
    Ok(LastLines(buffer))
}

/// Has panics told as events instead of printed: the usual way writes on the thread that panics, and what it writes can
/// hold anything.
fn tell_panics(telemetry: Telemetry) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let place = panic.location().map(Detail::new);
        ProcessPanicked {
            thread: Detail::new(thread.name().unwrap_or("without a name")),
            place: place.unwrap_or_else(|| Detail::new("unknown")),
        }
        .emit(&telemetry);
    }));
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
