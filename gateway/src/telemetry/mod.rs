//! Telling: what the gateway says about itself, in log lines and in numbers.
//!
//! The set of things that can be said is closed. Each is an event, a struct in [`events`]; [`Emit::emit`] writes the log
//! line and moves the counter, so neither can be forgotten and the two never disagree. Nothing else in the gateway
//! calls a tracing macro or names a metric, and a test scans the sources for it. The same declarations give operators
//! `docs/events.md`.
//!
//! An event has no field that could hold message text, a file token or a credential: field types are limited to those
//! that implement [`Field`].

pub mod events;

mod catalogue;
mod event;
mod exposition;
mod field;
mod label;
mod log;
mod metrics;
mod rate;
mod servers;

#[cfg(test)]
mod docs;
#[cfg(test)]
mod fence;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use catalogue::{Event, Kind};
pub use event::{About, Emit};
pub use exposition::Format;
pub use field::{Detail, Field, SessionId};
pub use label::{Label, LabelPairs};
pub use log::{InitError, LastLines, init};
pub use metrics::Instruments;
pub use rate::Source;
pub use servers::{STATES as SERVER_STATES, ServerSample, Servers};

use events::process::{LogDropped, LogSuppressed};
use metrics::Metrics;
use rate::Rate;

/// Where events are counted. Cheap to clone; one per gateway, so that two gateways in a process do not share numbers.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    rate: Mutex<Rate>,
}

impl Telemetry {
    /// Registers every counter at zero, so that a rate over a rare event starts from a known value.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            metrics: Metrics::new(catalogue::ABOUT),
            rate: Mutex::default(),
        }))
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn exposition(&self) -> String {
        self.0.metrics.exposition()
    }

    /// All metrics in a format; serve them with its [content type](Format::content_type).
    #[must_use]
    pub fn exposition_as(&self, format: Format) -> String {
        let exposition = self.exposition();
        match format {
            Format::OpenMetrics => exposition,
            Format::Text => exposition::to_text(&exposition),
        }
    }

    /// Has the metrics of pools' servers taken from here, for as long as it lives. The first one counts.
    pub fn watch_servers(&self, servers: &Arc<dyn Servers>) {
        let _first = self.0.metrics.servers.set(Arc::downgrade(servers));
    }

    /// Counts an event.
    fn count(&self, kind: Kind, label: usize) {
        self.0.metrics.count(kind, label, 1);
    }

    fn instruments(&self) -> &Instruments {
        self.0.metrics.instruments()
    }

    /// Whether another line about an event that `source` caused may be written. If not, that is counted.
    fn admits(&self, source: Option<Source>, kind: Kind) -> bool {
        let Some(source) = source else { return true };
        let admitted = self.rate().admits(Instant::now(), source, kind);
        if !admitted {
            self.0.metrics.count(Kind::LogSuppressed, 0, 1);
        }
        admitted
    }

    /// Counts lines that could not be written.
    fn log_dropped(&self, lines: u64) {
        self.0.metrics.count(Kind::LogDropped, 0, lines);
    }

    /// Says how many lines could not be written; they are counted already.
    fn tell_dropped(&self, lines: u64) {
        LogDropped { lines }.log();
    }

    /// Says how many lines were held back, of the sources whose time has come, or of all.
    fn tell_suppressed(&self, now: Instant, all: bool) {
        let summaries = self.rate().summaries(now, all);
        for summary in summaries {
            let about = catalogue::ABOUT.get(summary.kind as usize);
            LogSuppressed {
                event: about.map_or("unknown", |about| about.name),
                source: Detail::new(summary.source),
                lines: summary.lines,
            }
            .log();
        }
    }

    fn rate(&self) -> MutexGuard<'_, Rate> {
        self.0.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}
