//! The counters and gauges. The only place that knows prometheus-client.

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::catalogue::Kind;
use super::event::About;
use super::label::LabelPairs;
use super::servers::{Collected, Source};

/// Upper bounds of the buckets of receipt times, in seconds. The promise is 2 s; a healthy pool answers in milliseconds.
const RECEIPT_BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

/// What is measured beside counting. Moved by events only.
#[derive(Debug)]
pub struct Instruments {
    pub(super) connections: Gauge,
    pub(super) signed_in_users: Gauge,
    pub(super) sessions: Gauge,
    pub(super) pool_legs: Gauge,
    pub(super) pool_servers: Gauge,
    pub(super) directory_rooms: Gauge,
    pub(super) directory_generation: Gauge,
    pub(super) config_generation: Gauge,
    pub(super) config_last_reload_successful: Gauge,
    pub(super) config_last_success: Gauge,
    pub(super) ready: Gauge,
    pub(super) post_receipt: Histogram,
}

impl Instruments {
    fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let gauge: Gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let connections = gauge("holdover_connections", "Open client connections");
        let signed_in_users = gauge("holdover_signed_in_users", "Signed-in user endpoints");
        let sessions = gauge("holdover_sessions", "Open sessions, detached ones included");
        let pool_legs = gauge("holdover_pool_legs", "Open legs of sessions on pools");
        let pool_servers = gauge(
            "holdover_pool_servers",
            "Servers of pools over SIP that can be reached",
        );
        let directory_rooms = gauge("holdover_directory_rooms", "Rooms in the directory");
        let directory_generation = gauge(
            "holdover_directory_generation",
            "Generation of the directory in use",
        );
        let config_generation = gauge(
            "holdover_config_generation",
            "Generation of the configuration in use",
        );
        let config_last_reload_successful = gauge(
            "holdover_config_last_reload_successful",
            "1 if the last start or reload went well, else 0",
        );
        let config_last_success = gauge(
            "holdover_config_last_success_timestamp_seconds",
            "When the configuration was last found right, in seconds since 1970",
        );
        let ready = gauge(
            "holdover_ready",
            "1 while the gateway takes new clients, else 0",
        );
        let post_receipt = Histogram::new(RECEIPT_BUCKETS);
        registry.register(
            "holdover_post_receipt_seconds",
            "Time from sending a post to a pool until the pool's receipt",
            post_receipt.clone(),
        );
        Self {
            connections,
            signed_in_users,
            sessions,
            pool_legs,
            pool_servers,
            directory_rooms,
            directory_generation,
            config_generation,
            config_last_reload_successful,
            config_last_success,
            ready,
            post_receipt,
        }
    }
}

/// Registers an event's counter and returns it by label value.
fn register_counter(registry: &mut Registry, event: &About) -> Vec<Counter> {
    // The encoder appends what these lack: `_total` to the name of a counter, a full stop to the help.
    let name = event.counter.trim_end_matches("_total");
    let help = event.explanation.trim_end_matches('.');
    let series = (event.series)();
    if let [(labels, _)] = series.as_slice()
        && labels.is_empty()
    {
        let counter: Counter = Counter::default();
        registry.register(name, help, counter.clone());
        return vec![counter];
    }
    let family = Family::<LabelPairs, Counter>::default();
    registry.register(name, help, family.clone());
    series
        .iter()
        .map(|(labels, _)| family.get_or_create_owned(labels))
        .collect()
}

/// Every metric of one gateway.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    /// By kind of event, then by label value: nothing is looked up by name when an event is told.
    counters: Vec<Vec<Counter>>,
    instruments: Instruments,
    pub(super) servers: Source,
}

impl Metrics {
    /// Registers a counter for each of `events`, which must be in the order of their kinds.
    pub(super) fn new(events: &[About]) -> Self {
        let mut registry = Registry::default();
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("holdover_build", "The running program", build);
        let instruments = Instruments::register(&mut registry);
        let counters = events
            .iter()
            .map(|event| register_counter(&mut registry, event))
            .collect();
        let servers = Source::default();
        registry.register_collector(Box::new(Collected(Arc::clone(&servers))));
        Self {
            registry,
            counters,
            instruments,
            servers,
        }
    }

    /// Adds to a counter.
    pub(super) fn count(&self, kind: Kind, label: usize, times: u64) {
        let counter = self
            .counters
            .get(kind as usize)
            .and_then(|by_label| by_label.get(label));
        debug_assert!(
            counter.is_some(),
            "{kind:?} has no counter for label {label}"
        );
        if let Some(counter) = counter {
            counter.inc_by(times);
        }
    }

    pub(super) fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    pub(super) fn exposition(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail, and no metric's own encoding does.
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}
