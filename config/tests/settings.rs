//! What right configurations mean.

#![allow(clippy::unwrap_used)] // helpers of tests may, like tests

use std::path::Path;
use std::time::Duration;

use holdover_config::settings::{
    Dialect, Limits, LogFormat, Peers, PoolKind, Security, Servers, SignIn, Sip, Unlisted,
};
use holdover_config::{Loaded, parse};

const MINIMAL: &str = include_str!("../examples/minimal.toml");
const FULL: &str = include_str!("../examples/full.toml");
const POOLS: &str = include_str!("../examples/pools.toml");
const LAB: &str = include_str!("../examples/lab.toml");

fn loaded(text: &str) -> Loaded {
    parse("holdover.toml", text, Path::new("/etc/holdover")).unwrap()
}

#[test]
fn what_is_left_out_has_its_default() {
    let settings = loaded(MINIMAL).settings;
    let gateway = settings.fixed.gateway;
    assert_eq!(gateway.lookup_uri.as_str(), "sip:ocschat@contoso.com");
    assert_eq!(gateway.channel_uri.as_str(), "sip:channel@contoso.com");
    assert_eq!(gateway.grace, Duration::from_secs(120));
    assert_eq!(gateway.session_expires, Duration::from_secs(1_800));
    assert_eq!(gateway.drain, Duration::from_secs(10));
    assert_eq!(settings.fixed.admin, None);
    assert_eq!(settings.fixed.log.format, LogFormat::Text);
    assert_eq!(settings.fixed.log.level.as_str(), "info");
    assert_eq!(
        settings.live.limits,
        Limits {
            head_bytes: 65_536,
            body_bytes: 1_048_576,
            sign_in_body_bytes: 16_384,
            sign_in_bytes_per_address: 1_048_576,
            unfinished_bytes: 268_435_456,
            message_timeout: Duration::from_secs(60),
            headers: 256,
            connections: 20_000,
            connections_per_address: 1_000,
            requests_per_second: 200,
            requests_per_second_per_address: 2_000,
            queue_messages: 512,
            queue_bytes: 1_048_576,
            rooms_per_command: 1_000,
            rooms_per_session: 1_000,
            info_timeout: Duration::from_secs(32),
            sign_in_timeout: Duration::from_secs(30),
            outstanding_infos: 1,
            pool_timeout: Duration::from_secs(10),
            split_timeout: Duration::from_millis(800),
        }
    );
    assert_eq!(settings.live.directory.preferences_pool, None);
    // Failing closed is the default; the only pool is the default pool.
    assert_eq!(settings.live.directory.unlisted, Unlisted::Refuse);
    assert_eq!(
        settings.live.directory.default_pool.unwrap().as_str(),
        "here"
    );
}

#[test]
fn the_full_example_writes_the_defaults_of_the_minimal_one() {
    let (full, minimal) = (loaded(FULL).settings, loaded(MINIMAL).settings);
    assert_eq!(full.fixed.gateway, minimal.fixed.gateway);
    assert_eq!(full.fixed.log, minimal.fixed.log);
    assert_eq!(full.fixed.reload, minimal.fixed.reload);
    assert_eq!(full.fixed.history, minimal.fixed.history);
    assert_eq!(minimal.fixed.audit, None);
    assert_eq!(full.live.limits, minimal.live.limits);
    assert_eq!(
        full.fixed.listeners.first(),
        minimal.fixed.listeners.first()
    );
    assert_eq!(full.fixed.pools.first(), minimal.fixed.pools.first());
}

#[test]
fn paths_start_at_the_folder_of_the_file_and_the_realm_is_the_domain() {
    let settings = loaded(MINIMAL).settings;
    let listener = settings.fixed.listeners.first().unwrap();
    assert_eq!(
        listener.tls().unwrap().private_key,
        Path::new("/etc/holdover/sip.key")
    );
    let Peers::Clients {
        sign_in: SignIn::Digest { users, realm },
        ..
    } = &listener.peers
    else {
        panic!("{:?}", listener.peers);
    };
    assert_eq!(users, Path::new("/etc/holdover/users.toml"));
    assert_eq!(realm.as_str(), "contoso.com");
    let PoolKind::Embedded(embedded) = &settings.fixed.pools.first().unwrap().kind else {
        panic!("no embedded pool");
    };
    assert_eq!(embedded.database, Path::new("/etc/holdover/rooms.db"));
    assert_eq!(embedded.domain.as_str(), "contoso.com");
    assert_eq!(
        settings.live.directory.rooms,
        [Path::new("/etc/holdover/rooms.csv")]
    );
}

#[test]
fn unlisted_rooms_go_to_the_named_or_the_only_pool() {
    let pool = |text| match loaded(text).settings.live.directory.unlisted {
        Unlisted::SameId(pool) => pool.to_string(),
        Unlisted::Refuse => "refused".to_owned(),
    };
    assert_eq!(pool(FULL), "here");
    assert_eq!(pool(LAB), "here");
    assert_eq!(pool(MINIMAL), "refused");
}

#[test]
fn open_sign_in_is_for_loopback_in_every_spelling() {
    let with = |address: &str| {
        let text = LAB
            .replace("0.0.0.0:5060", address)
            .replace("insecure = true", "");
        parse("lab.toml", &text, Path::new("")).is_ok()
    };
    for loopback in [
        "127.0.0.1:0",
        "127.9.9.9:5060",
        "[::1]:5060",
        "[::ffff:127.0.0.1]:5060",
    ] {
        assert!(with(loopback), "{loopback}");
    }
    for open in [
        "0.0.0.0:0",
        "[::]:5060",
        "10.0.0.1:5060",
        "[::ffff:10.0.0.1]:5060",
    ] {
        assert!(!with(open), "{open}");
    }
}

#[test]
fn two_listeners_may_both_ask_for_any_port() {
    let listener =
        "\n[[listener]]\nname = \"NAME\"\naddress = \"127.0.0.1:0\"\nsign_in = \"open\"\n";
    let text = [
        MINIMAL,
        &listener.replace("NAME", "a"),
        &listener.replace("NAME", "b"),
    ]
    .concat();
    assert_eq!(loaded(&text).settings.fixed.listeners.len(), 3);
}

#[test]
fn pools_over_sip_have_their_defaults() {
    let settings = loaded(POOLS).settings;
    let sip = |at: usize| match &settings.fixed.pools.get(at).unwrap().kind {
        PoolKind::Sip(sip) => sip.clone(),
        PoolKind::Embedded(_) => panic!("pool {at} is embedded"),
    };
    let Sip {
        uri,
        servers,
        security,
        dialect,
        lookup,
        receipt_timeout,
        outstanding_infos,
        connections_per_server,
        ping,
    } = sip(0);
    assert_eq!(uri.as_str(), "sip:GC-1-PersistentChatService-1@contoso.com");
    let Servers::Listed(servers) = servers else {
        panic!("{servers:?}");
    };
    assert_eq!(servers.len(), 2);
    let Security::Tls(tls) = security else {
        panic!("{security:?}");
    };
    assert_eq!(tls.authorities, Path::new("/etc/holdover/ca.pem"));
    assert_eq!(
        tls.own.unwrap().private_key,
        Path::new("/etc/holdover/holdover.key")
    );
    assert!(tls.names.is_empty());
    assert_eq!((dialect, lookup), (Dialect::PersistentChat, false));
    assert_eq!(receipt_timeout, Duration::from_secs(10));
    assert_eq!((outstanding_infos, connections_per_server), (8, 1));
    assert_eq!(ping, Some(Duration::from_secs(30)));
    let old = sip(2);
    assert_eq!((old.dialect, old.lookup), (Dialect::GroupChat, true));
}

#[test]
fn no_ping_is_written_as_zero_seconds() {
    let text = POOLS.replace("outstanding_infos = 1", "ping_secs = 0");
    let settings = loaded(&text).settings;
    let PoolKind::Sip(sip) = &settings.fixed.pools.get(2).unwrap().kind else {
        panic!("not over SIP");
    };
    assert_eq!(sip.ping, None);
}

#[test]
fn front_ends_have_their_defaults() {
    let text = format!(
        "{MINIMAL}\n[[listener]]\nname = \"front-ends\"\nmode = \"trusted\"\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"sip.pem\", private_key = \"sip.key\" }}\n\
         front_ends = {{ authorities = \"ca.pem\", names = [\"FE1.contoso.com\"] }}\n"
    );
    let settings = loaded(&text).settings;
    let Peers::FrontEnds(front_ends) = &settings.fixed.listeners.last().unwrap().peers else {
        panic!("for clients");
    };
    assert_eq!(
        front_ends.own.certificate,
        Path::new("/etc/holdover/sip.pem")
    );
    assert_eq!(front_ends.authorities, Path::new("/etc/holdover/ca.pem"));
    assert_eq!(front_ends.names.len(), 1);
    assert_eq!(
        front_ends.names.first().unwrap().as_str(),
        "fe1.contoso.com"
    );
    assert_eq!(front_ends.contact, None);
    assert_eq!(front_ends.sessions_per_connection, 20_000);
}

#[cfg(feature = "dns-srv")]
#[test]
fn servers_may_be_looked_up() {
    let text = POOLS.replacen(
        "servers = [\"pc1.contoso.com:5041\", \"pc2.contoso.com:5041\"]",
        "srv = \"_sipInternalTLS._tcp.contoso.com\"\nresolver = \"10.0.0.53:53\"",
        1,
    );
    let settings = loaded(&text).settings;
    let PoolKind::Sip(sip) = &settings.fixed.pools[0].kind else {
        panic!("{:?}", settings.fixed.pools);
    };
    let expected = Servers::Srv {
        name: "_sipinternaltls._tcp.contoso.com".parse().unwrap(),
        resolver: Some("10.0.0.53:53".parse().unwrap()),
    };
    assert_eq!(sip.servers, expected);
}
