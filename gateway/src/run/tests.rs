use std::path::Path;

use holdover_config::settings::Limits as LimitSettings;
use holdover_protocol::sip::Limits;

use super::*;
use crate::listener::MessageLimits;
use crate::reload::Publish as _;
use crate::transport::Most;

const CONFIG: &str = "[gateway]
domain = \"contoso.com\"

[[listener]]
name = \"clients\"
address = \"127.0.0.1:0\"
sign_in = \"open\"

[[pool]]
name = \"here\"
embedded = { database = \"rooms.db\" }

[[pool]]
name = \"hq\"
sip = { uri = \"sip:channel@hq.contoso.com\", servers = [\"127.0.0.1:1\"], transport = \"tcp\", receipt_timeout_secs = 1 }

[directory]
default_pool = \"here\"

[limits]
";

/// Every key of `[limits]`, each with a value that is not its default.
const OTHERS: [(&str, u64); 20] = [
    ("head_bytes", 8_192),
    ("body_bytes", 32_768),
    ("sign_in_body_bytes", 2_048),
    ("sign_in_bytes_per_address", 70_000),
    ("unfinished_bytes", 70_000_000),
    ("message_timeout_secs", 9),
    ("headers", 64),
    ("connections", 7),
    ("connections_per_address", 3),
    ("requests_per_second", 30),
    ("requests_per_second_per_address", 300),
    ("queue_messages", 99),
    ("queue_bytes", 2_000_000),
    ("rooms_per_command", 300),
    ("rooms_per_session", 400),
    ("info_timeout_secs", 5),
    ("sign_in_timeout_secs", 6),
    ("outstanding_infos", 2),
    ("pool_timeout_secs", 2),
    ("split_timeout_ms", 70),
];

/// Collects what new connections and sessions get, wherever it is kept. There is no `..`: a new key does not compile before it is
/// looked for here.
fn in_use(live: &Live) -> LimitSettings {
    let sessions = live.sessions.settings.load();
    let context = live.contexts.first().unwrap().load();
    let Most {
        connections,
        per_address: connections_per_address,
        bytes_per_address: sign_in_bytes_per_address,
        unfinished_bytes,
        requests_per_address: requests_per_second_per_address,
    } = live.occupancies.first().unwrap().limits();
    let MessageLimits {
        sip,
        sign_in_body: sign_in_body_bytes,
        timeout: message_timeout,
        requests_per_second,
    } = context.limits;
    for pool in live.sessions.pools.over_sip() {
        assert_eq!(pool.limits(), (sip, sessions.xccos));
    }
    assert_eq!(context.uas.service.xccos, sessions.xccos);
    assert_eq!(sip.body, sessions.xccos.bytes);
    let Limits {
        head: head_bytes,
        body: body_bytes,
        headers,
    } = sip;
    LimitSettings {
        sign_in_body_bytes,
        sign_in_bytes_per_address,
        unfinished_bytes,
        message_timeout,
        head_bytes,
        body_bytes,
        headers,
        connections,
        connections_per_address,
        requests_per_second,
        requests_per_second_per_address,
        queue_messages: sessions.queue.messages,
        queue_bytes: sessions.queue.bytes,
        rooms_per_command: sessions.rooms_per_command,
        rooms_per_session: sessions.rooms_per_session,
        info_timeout: sessions.info_timeout,
        sign_in_timeout: context.uas.sign_in_timeout,
        outstanding_infos: sessions.queue.outstanding,
        pool_timeout: sessions.pool_timeout,
        split_timeout: sessions.split_timeout,
    }
}

fn version(config: &Path, limits: &str) -> Version {
    std::fs::write(config, format!("{CONFIG}{limits}")).unwrap();
    Reader::new(config).read().version.unwrap()
}

#[tokio::test]
async fn every_limit_is_replaced_by_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("holdover.toml");
    let first = version(&config, "");
    let (_gateway, live) = Gateway::assemble(
        first.settings.clone(),
        Arc::clone(&first.directory),
        Duration::ZERO,
        1,
        Telemetry::new(),
    )
    .await
    .unwrap();
    let defaults = first.settings.live.limits;
    assert_eq!(in_use(&live), defaults);
    let mut changed = String::new();
    let mut before = defaults;
    for (generation, (key, value)) in (2..).zip(OTHERS) {
        changed.push_str(&format!("{key} = {value}\n"));
        let version = version(&config, &changed);
        let limits = &version.settings.live.limits;
        assert_ne!(*limits, before, "{key} has its default");
        let _nobody_asks = live.publish(generation, &version);
        assert_eq!(in_use(&live), *limits, "{key} is not replaced");
        before = limits.clone();
    }
    // And no key was left out above.
    let schema = holdover_config::json_schema();
    let schema = serde_json::to_value(schema).unwrap();
    let keys = schema["$defs"]["Limits"]["properties"].as_object().unwrap();
    let mut known: Vec<&str> = OTHERS.map(|(key, _)| key).to_vec();
    known.sort_unstable();
    let mut keys: Vec<&str> = keys.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, known);
}
