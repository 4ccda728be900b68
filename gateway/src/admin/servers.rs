//! The state of each pool's servers as metrics. They come and go with DNS, so they are written when they are asked for
//! instead of being registered.

use std::fmt::Write as _;

use crate::pool::PoolState;

/// What a server may be; one of them is 1.
const STATES: [&str; 5] = ["connecting", "up", "ejected", "half-open", "down"];

/// Adds them to an exposition, before its end.
pub(super) fn with_servers(mut exposition: String, pools: &[PoolState]) -> String {
    const END: &str = "# EOF\n";
    if !exposition.ends_with(END) {
        return exposition;
    }
    exposition.truncate(exposition.len() - END.len());
    let servers: Vec<_> = pools
        .iter()
        .filter_map(|pool| Some((&pool.name, pool.sip.as_ref()?)))
        .flat_map(|(pool, sip)| sip.servers.iter().map(move |server| (pool, server)))
        .collect();
    let mut write = |name: &str, help: &str, values: &dyn Fn(&mut String)| {
        let metric = format!("holdover_pool_server_{name}");
        // Writing to a `String` cannot fail.
        let _infallible = write!(
            exposition,
            "# HELP {metric} {help}.\n# TYPE {metric} gauge\n"
        );
        values(&mut exposition);
    };
    write(
        "state",
        "How a server of a pool is: 1 for what it is",
        &|text| {
            for (pool, server) in &servers {
                for state in STATES {
                    let (address, is_it) = (&server.address, u8::from(server.state == state));
                    let _infallible = writeln!(
                        text,
                        "holdover_pool_server_state{{pool=\"{pool}\",server=\"{address}\",state=\"{state}\"}} {is_it}"
                    );
                }
            }
        },
    );
    for (name, help) in [
        ("connections", "Connections to a server that are up"),
        ("legs", "Legs on a server"),
        ("failures", "Calls to a server that failed in a row"),
    ] {
        write(name, help, &|text| {
            for (pool, server) in &servers {
                let value = match name {
                    "connections" => server.connections,
                    "legs" => server.legs,
                    _ => usize::try_from(server.failures).unwrap_or(usize::MAX),
                };
                let _infallible = writeln!(
                    text,
                    "holdover_pool_server_{name}{{pool=\"{pool}\",server=\"{}\"}} {value}",
                    server.address
                );
            }
        });
    }
    exposition.push_str(END);
    exposition
}

#[cfg(test)]
mod tests {
    use crate::pool::sip::{ServerState, SipPoolState};

    use super::*;

    #[test]
    fn each_server_is_in_one_state() {
        let server = |address: &str, state, failures| ServerState {
            address: address.to_owned(),
            priority: None,
            weight: None,
            state,
            connections: 1,
            legs: 7,
            failures,
            last_error: None,
        };
        let pools = [
            PoolState {
                name: "here".to_owned(),
                kind: "embedded",
                sip: None,
            },
            PoolState {
                name: "hq".to_owned(),
                kind: "sip",
                sip: Some(SipPoolState {
                    uri: "sip:pool@contoso.com".to_owned(),
                    servers: vec![
                        server("pc1.contoso.com:5041", "up", 0),
                        server("[2001:db8::1]:5041", "half-open", 3),
                    ],
                }),
            },
        ];
        let text = with_servers("holdover_ready 1\n# EOF\n".to_owned(), &pools);
        assert!(text.starts_with("holdover_ready 1\n# HELP holdover_pool_server_state How"));
        for line in [
            "holdover_pool_server_state{pool=\"hq\",server=\"pc1.contoso.com:5041\",state=\"up\"} 1\n",
            "holdover_pool_server_state{pool=\"hq\",server=\"pc1.contoso.com:5041\",state=\"down\"} 0\n",
            "holdover_pool_server_state{pool=\"hq\",server=\"[2001:db8::1]:5041\",state=\"half-open\"} 1\n",
            "holdover_pool_server_failures{pool=\"hq\",server=\"[2001:db8::1]:5041\"} 3\n",
            "holdover_pool_server_legs{pool=\"hq\",server=\"pc1.contoso.com:5041\"} 7\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert_eq!(
            text.matches("} 1\n").count(),
            4,
            "two states, two connections"
        );
        assert!(text.ends_with("\n# EOF\n"));
    }
}
