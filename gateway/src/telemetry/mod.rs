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
mod field;
mod label;
mod log;
mod metrics;

#[cfg(test)]
mod docs;
#[cfg(test)]
mod fence;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use catalogue::{Event, Kind};
pub use event::{About, Emit};
pub use field::{Detail, Field, SessionId};
pub use label::{Label, LabelPairs};
pub use log::{InitError, init};
pub use metrics::{CONTENT_TYPE, Instruments};

use metrics::Metrics;

/// Where events are counted. Cheap to clone; one per gateway, so that two gateways in a process do not share numbers.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Metrics>);

impl Telemetry {
    /// Registers every counter at zero, so that a rate over a rare event starts from a known value.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Metrics::new(catalogue::ABOUT)))
    }

    /// All metrics in the OpenMetrics text format; serve it as [`CONTENT_TYPE`].
    #[must_use]
    pub fn exposition(&self) -> String {
        self.0.exposition()
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}
