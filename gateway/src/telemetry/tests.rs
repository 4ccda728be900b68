//! Every event logs a line and is counted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use holdover_config::ListenerName;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::events::connection::{ConnectionClosed, ConnectionEnd, ConnectionOpened};
use super::samples::samples;
use super::{Event, Telemetry, catalogue};

/// One log line.
#[derive(Clone, Debug)]
struct Line {
    level: Level,
    message: String,
    fields: BTreeMap<&'static str, String>,
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

struct Lines(Arc<Mutex<Vec<Line>>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            level: *event.metadata().level(),
            message: fields.0.remove("message").unwrap_or_default(),
            fields: fields.0,
        };
        self.0.lock().unwrap().push(line);
    }
}

/// What `run` logs on this thread.
fn lines(run: impl FnOnce()) -> Vec<Line> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::registry().with(Lines(Arc::clone(&lines)));
    tracing::subscriber::with_default(subscriber, run);
    lines.lock().unwrap().clone()
}

fn total(exposition: &str, counter: &str) -> u64 {
    let series = exposition
        .lines()
        .filter_map(|line| line.strip_prefix(counter));
    series
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[test]
fn every_event_logs_one_line_and_moves_its_own_counter() {
    let samples = samples();
    assert_eq!(
        samples.len(),
        catalogue::ABOUT.len(),
        "a sample of each event"
    );
    for (event, about) in samples.iter().zip(catalogue::ABOUT) {
        let telemetry = Telemetry::new();
        let lines = lines(|| event.emit(&telemetry));
        let [line] = lines.as_slice() else {
            panic!("{} wrote {} lines", about.name, lines.len());
        };
        assert_eq!(
            (line.message.as_str(), line.level),
            (about.name, about.level)
        );
        let told: BTreeSet<_> = about.fields.iter().copied().collect();
        let logged: BTreeSet<_> = line.fields.keys().copied().collect();
        assert!(logged.is_subset(&told), "{logged:?} of {}", about.name);
        let absent = format!("{event:?}").matches("None").count();
        assert_eq!(told.len() - logged.len(), absent, "{}", about.name);

        let exposition = telemetry.exposition();
        for other in catalogue::ABOUT {
            let expected = u64::from(other.name == about.name);
            assert_eq!(
                total(&exposition, other.counter),
                expected,
                "{}",
                other.counter
            );
        }
    }
}

#[test]
fn names_are_unique() {
    let mut seen = HashSet::new();
    for about in catalogue::ABOUT {
        assert!(
            seen.insert(about.name) && seen.insert(about.counter),
            "{}",
            about.name
        );
    }
}

#[test]
fn labels_name_their_series() {
    let telemetry = Telemetry::new();
    let exposition = telemetry.exposition();
    for series in [
        "holdover_joins_refused_total{reason=\"retired\"} 0",
        "holdover_tls_handshakes_total{version=\"1.3\",suite=\"TLS_AES_128_GCM_SHA256\"} 0",
        "holdover_posts_accepted_total 0",
    ] {
        assert!(exposition.contains(series), "{series} in\n{exposition}");
    }
    for about in catalogue::ABOUT {
        let series = (about.series)();
        let distinct: HashSet<_> = series.iter().map(|(labels, _)| labels.clone()).collect();
        assert_eq!(distinct.len(), series.len(), "{}", about.counter);
    }
}

#[test]
fn gauges_follow_events_that_pair() {
    let telemetry = Telemetry::new();
    let listener: ListenerName = "clients".parse().unwrap();
    let peer = "192.0.2.1:40000".parse().unwrap();
    let opened: Event = ConnectionOpened {
        listener: listener.clone(),
        peer,
    }
    .into();
    let reason = ConnectionEnd::Client;
    let closed: Event = ConnectionClosed {
        listener,
        peer,
        reason,
    }
    .into();
    opened.emit(&telemetry);
    opened.emit(&telemetry);
    closed.emit(&telemetry);
    assert!(
        telemetry
            .exposition()
            .contains("\nholdover_connections 1\n")
    );
}
