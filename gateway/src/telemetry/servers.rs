//! The state of each pool's servers as metrics. They come and go with DNS, so they are looked at when they are asked for
//! instead of being registered.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// One server of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSample {
    /// Name of the pool.
    pub pool: String,
    /// Host and port.
    pub server: String,
    /// One of [`STATES`].
    pub state: &'static str,
    /// Connections that are up.
    pub connections: usize,
    /// Legs on it.
    pub legs: usize,
    /// Calls that failed in a row.
    pub failures: usize,
}

/// What a server may be; one of them is 1.
pub const STATES: [&str; 5] = ["connecting", "up", "ejected", "half-open", "down"];

/// Who knows the servers.
pub trait Servers: fmt::Debug + Send + Sync {
    /// All of them, as they are now.
    fn samples(&self) -> Vec<ServerSample>;
}

/// Where the servers are looked at, once somebody has said so.
pub(super) type Source = Arc<OnceLock<Weak<dyn Servers>>>;

/// Collects them for each exposition.
#[derive(Debug)]
pub(super) struct Collected(pub(super) Source);

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let servers = self.0.get().and_then(Weak::upgrade);
        let samples = servers.map(|servers| servers.samples()).unwrap_or_default();
        let mut states = encoder.encode_descriptor(
            "holdover_pool_server_state",
            "How a server of a pool is: 1 for what it is.",
            None,
            MetricType::Gauge,
        )?;
        for sample in &samples {
            for state in STATES {
                let labels = [
                    ("pool", sample.pool.as_str()),
                    ("server", sample.server.as_str()),
                    ("state", state),
                ];
                gauge((sample.state == state).into()).encode(states.encode_family(&labels)?)?;
            }
        }
        for (name, help, value) in NUMBERS {
            let mut numbers = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for sample in &samples {
                let labels = [
                    ("pool", sample.pool.as_str()),
                    ("server", sample.server.as_str()),
                ];
                gauge(value(sample)).encode(numbers.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// What is counted of a server: name, meaning, value.
type Number = (&'static str, &'static str, fn(&ServerSample) -> usize);

const NUMBERS: [Number; 3] = [
    (
        "holdover_pool_server_connections",
        "Connections to a server that are up.",
        |sample| sample.connections,
    ),
    ("holdover_pool_server_legs", "Legs on a server.", |sample| {
        sample.legs
    }),
    (
        "holdover_pool_server_failures",
        "Calls to a server that failed in a row.",
        |sample| sample.failures,
    ),
];

fn gauge(value: usize) -> ConstGauge {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Telemetry;

    #[derive(Debug)]
    struct Two;

    impl Servers for Two {
        fn samples(&self) -> Vec<ServerSample> {
            let server = |server: &str, state, failures| ServerSample {
                pool: "hq".to_owned(),
                server: server.to_owned(),
                state,
                connections: 1,
                legs: 7,
                failures,
            };
            vec![
                server("pc1.contoso.com:5041", "up", 0),
                server("[2001:db8::1]:5041", "half-open", 3),
            ]
        }
    }

    #[test]
    fn each_server_is_in_one_state() {
        let telemetry = Telemetry::new();
        let two: Arc<dyn Servers> = Arc::new(Two);
        telemetry.watch_servers(&two);
        let text = telemetry.exposition();
        for line in [
            "holdover_pool_server_state{pool=\"hq\",server=\"pc1.contoso.com:5041\",state=\"up\"} 1\n",
            "holdover_pool_server_state{pool=\"hq\",server=\"pc1.contoso.com:5041\",state=\"down\"} 0\n",
            "holdover_pool_server_state{pool=\"hq\",server=\"[2001:db8::1]:5041\",state=\"half-open\"} 1\n",
            "holdover_pool_server_failures{pool=\"hq\",server=\"[2001:db8::1]:5041\"} 3\n",
            "holdover_pool_server_legs{pool=\"hq\",server=\"pc1.contoso.com:5041\"} 7\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        let states = text
            .lines()
            .filter(|line| line.starts_with("holdover_pool_server_state{") && line.ends_with(" 1"));
        assert_eq!(states.count(), 2);
        assert!(text.ends_with("\n# EOF\n"));
        drop(two);
        assert!(!telemetry.exposition().contains("pc1.contoso.com"));
    }
}
