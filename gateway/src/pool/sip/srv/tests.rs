use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdover_config::settings::{Dialect, Security, Servers as Known, Sip};
use holdover_protocol::sip::{Decoded, Decoder, Limits, Message, Method, Name, Status, respond};
use holdover_protocol::user::UserUri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::pool::sip::{SipLeg, SipOptions, SipPool};
use crate::pool::{LegClosed, LegEvent, LegSink, Opening};
use crate::telemetry::Telemetry;

const NAME: &str = "_sipinternaltls._tcp.contoso.com";
const LONGEST: Duration = Duration::from_secs(30);

/// Priority, weight and port; the target is this machine.
type Record = (u16, u16, u16);

/// A DNS server that answers every question with these records, or that there is no such name.
#[derive(Clone, Default)]
struct Dns(Arc<Mutex<Vec<Record>>>);

impl Dns {
    async fn serve(&self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let records = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let answer = answer(&question[..length], &records.lock().unwrap());
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        address
    }

    fn says(&self, records: &[Record]) {
        *self.0.lock().unwrap() = records.to_vec();
    }
}

/// RFC 1035 §4.1, written by hand.
fn answer(question: &[u8], records: &[Record]) -> Vec<u8> {
    // The name ends with an empty label; type and class follow.
    let mut end = 12;
    while question[end] != 0 {
        end += usize::from(question[end]) + 1;
    }
    let asked = &question[12..end + 5];
    assert_eq!(asked[asked.len() - 4..], [0, 33, 0, 1], "SRV, IN");
    let code = if records.is_empty() { 3 } else { 0 };
    let count = u16::try_from(records.len()).unwrap().to_be_bytes();
    let mut answer = question[..2].to_vec();
    answer.extend([0x85, 0x80 | code, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    answer.extend(asked);
    for (priority, weight, port) in records {
        let target = b"\x09localhost\x00";
        let length = u16::try_from(6 + target.len()).unwrap();
        // The name is the one at offset 12; SRV, IN, and a minute to live.
        answer.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
        for number in [&length, priority, weight, port] {
            answer.extend(number.to_be_bytes());
        }
        answer.extend(target);
    }
    answer
}

/// A server that takes every call, and counts them.
struct Peer {
    port: u16,
    calls: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Peer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self {
            port: listener.local_addr().unwrap().port(),
            calls: Arc::default(),
            connections: Arc::default(),
            stop: CancellationToken::new(),
        };
        let (calls, connections) = (Arc::clone(&peer.calls), Arc::clone(&peer.connections));
        let stop = peer.stop.clone();
        let accept = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (calls, connections) = (Arc::clone(&calls), Arc::clone(&connections));
                let carry = async move {
                    connections.fetch_add(1, Ordering::Relaxed);
                    let mut decoder = Decoder::new(Limits::default());
                    while stream
                        .read_buf(decoder.buffer())
                        .await
                        .is_ok_and(|read| read > 0)
                    {
                        while let Decoded::Message(message) = decoder.decode() {
                            let Message::Request(request) = message else {
                                continue;
                            };
                            let answer = match request.method() {
                                Method::Invite => {
                                    calls.fetch_add(1, Ordering::Relaxed);
                                    respond(&request, Status::OK, Some("t"))
                                        .header(Name::Contact, "<sip:pool@127.0.0.1>")
                                }
                                Method::Options | Method::Bye => {
                                    respond(&request, Status::OK, Some("t"))
                                }
                                _ => continue,
                            };
                            stream.write_all(&answer.finish()).await.unwrap();
                        }
                    }
                    connections.fetch_sub(1, Ordering::Relaxed);
                };
                let stop = stop.clone();
                tokio::spawn(async move { stop.run_until_cancelled(carry).await });
            }
        };
        let stop = peer.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(accept).await });
        peer
    }

    /// Closes all connections and takes no more.
    fn die(&self) {
        self.stop.cancel();
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

struct Deaf;

impl LegSink for Deaf {
    fn deliver(&self, _: LegEvent) -> Result<(), LegClosed> {
        Ok(())
    }
}

struct World {
    pool: SipPool,
    telemetry: Telemetry,
}

impl World {
    fn start(resolver: SocketAddr) -> Self {
        let telemetry = Telemetry::new();
        let options = SipOptions {
            name: "hq".parse().unwrap(),
            pool: Sip {
                uri: "sip:pool@contoso.com".parse().unwrap(),
                servers: Known::Srv {
                    name: NAME.parse().unwrap(),
                    resolver: Some(resolver),
                },
                security: Security::Tcp,
                dialect: Dialect::PersistentChat,
                lookup: false,
                receipt_timeout: Duration::from_secs(300),
                outstanding_infos: 8,
                connections_per_server: 1,
                ping: Some(Duration::from_secs(300)),
            },
            own_uri: "sip:channel@contoso.com".into(),
            limits: Limits::default(),
            xccos: holdover_protocol::xccos::Limits::default(),
        };
        let pool = SipPool::start(options, telemetry.clone()).unwrap();
        Self { pool, telemetry }
    }

    /// The servers: port, priority, state.
    fn servers(&self) -> Vec<(u16, u16, &'static str)> {
        let servers = self.pool.state().servers;
        let shown = servers.into_iter().map(|server| {
            let (_, port) = server.address.rsplit_once(':').unwrap();
            (
                port.parse().unwrap(),
                server.priority.unwrap(),
                server.state,
            )
        });
        shown.collect()
    }

    fn open(&self) -> SipLeg {
        let user = UserUri::parse("sip:ann@contoso.com").unwrap();
        self.pool
            .open_leg(user, Arc::new(Deaf), Opening::First)
            .unwrap()
    }

    fn counted(&self, metric: &str) -> u64 {
        let exposition = self.telemetry.exposition();
        let mut lines = exposition.lines();
        let found = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        found.unwrap().parse().unwrap()
    }
}

/// Waits until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    let held = tokio::time::timeout(LONGEST, waiting).await;
    assert!(held.is_ok(), "{what}");
}

#[tokio::test]
async fn priorities_and_weights_are_kept_and_the_next_priority_stands_by() {
    let (often, seldom) = (Peer::start().await, Peer::start().await);
    let (never, spare) = (Peer::start().await, Peer::start().await);
    let dns = Dns::default();
    dns.says(&[
        (20, 1, spare.port),
        (10, 30, often.port),
        (10, 10, seldom.port),
        (10, 0, never.port),
    ]);
    let world = World::start(dns.serve().await);
    until("all are up", || {
        let servers = world.servers();
        servers.len() == 4 && servers.iter().all(|(.., state)| *state == "up")
    })
    .await;
    let ports: Vec<u16> = world.servers().iter().map(|(port, ..)| *port).collect();
    assert_eq!(ports, [never.port, seldom.port, often.port, spare.port]);
    let legs: Vec<SipLeg> = (0..400).map(|_| world.open()).collect();
    let all = || never.calls() + seldom.calls() + often.calls();
    until("all are called", || all() == 400).await;
    assert!((250..350).contains(&often.calls()), "{}", often.calls());
    assert!((50..150).contains(&seldom.calls()), "{}", seldom.calls());
    assert!((1..40).contains(&never.calls()), "{}", never.calls());
    assert_eq!(spare.calls(), 0);
    drop(legs);

    // The lowest priority that can be reached.
    for peer in [&often, &seldom, &never] {
        peer.die();
    }
    until("they are down", || {
        let up = world
            .servers()
            .iter()
            .filter(|(.., state)| *state == "up")
            .count();
        up == 1
    })
    .await;
    let _legs: Vec<SipLeg> = (0..10).map(|_| world.open()).collect();
    until("the spare is called", || spare.calls() == 10).await;
}

#[tokio::test]
async fn what_dns_says_when_a_server_is_lost_counts_from_then_on() {
    let (first, second, third) = (
        Peer::start().await,
        Peer::start().await,
        Peer::start().await,
    );
    let dns = Dns::default();
    dns.says(&[(0, 0, first.port), (0, 0, second.port)]);
    let world = World::start(dns.serve().await);
    let up = |ports: &[u16]| {
        let mut expected: Vec<_> = ports.iter().map(|port| (*port, 0, "up")).collect();
        let mut servers = world.servers();
        expected.sort_unstable();
        servers.sort_unstable();
        servers == expected
    };
    until("both are up", || up(&[first.port, second.port])).await;
    let legs = [world.open(), world.open()];
    until("both are called", || {
        first.calls() == 1 && second.calls() == 1
    })
    .await;

    // Another server takes the place of both; one of them dies, the other has a leg.
    dns.says(&[(0, 0, third.port)]);
    first.die();
    until("the third is up", || up(&[third.port])).await;
    assert_eq!(
        second.connections.load(Ordering::Relaxed),
        1,
        "its leg stays"
    );
    assert_eq!(world.counted("holdover_pool_servers"), 2);
    let _leg = world.open();
    until("the third is called", || third.calls() == 1).await;
    drop(legs);
    until("it is left with its last leg", || {
        second.connections.load(Ordering::Relaxed) == 0
    })
    .await;
    until("it is told", || {
        world.counted("holdover_pool_servers_removed_total") == 2
    })
    .await;
    assert_eq!(world.counted("holdover_pool_servers"), 1);
    assert_eq!(world.counted("holdover_pool_server_lists_found_total"), 2);
}

#[tokio::test]
async fn a_name_without_records_is_told_and_asked_for_again() {
    let peer = Peer::start().await;
    let dns = Dns::default();
    let world = World::start(dns.serve().await);
    until("it is told", || {
        world.counted("holdover_pool_srv_failures_total") > 0
    })
    .await;
    assert!(world.servers().is_empty());
    dns.says(&[(0, 0, peer.port)]);
    until("it is up", || world.servers() == [(peer.port, 0, "up")]).await;

    // What is known stays known while DNS knows nothing.
    let failures = world.counted("holdover_pool_srv_failures_total");
    dns.says(&[]);
    peer.die();
    until("it is told", || {
        world.counted("holdover_pool_srv_failures_total") > failures
    })
    .await;
    assert_eq!(world.servers().len(), 1);
}

#[test]
fn records_are_servers_as_far_as_they_can_be() {
    let record = |priority, weight, port, target: &str| {
        SRV::new(priority, weight, port, target.parse().unwrap())
    };
    let found = |records: &[SRV]| {
        let found = servers(records.iter())?;
        let shown = found
            .into_iter()
            .map(|(address, place)| (address.to_string(), place.priority, place.weight));
        Ok::<_, SrvError>(shown.collect::<Vec<_>>())
    };
    let records = [
        record(2, 0, 5041, "PC2.contoso.com."),
        record(1, 5, 5041, "pc1.contoso.com."),
        // Named twice: its better place counts.
        record(1, 7, 5041, "pc2.contoso.com."),
        record(0, 0, 0, "pc3.contoso.com."),
        record(0, 0, 5041, "not_a_host."),
    ];
    assert_eq!(
        found(&records).unwrap(),
        [
            ("pc2.contoso.com:5041".to_owned(), 1, 7),
            ("pc1.contoso.com:5041".to_owned(), 1, 5),
        ]
    );
    assert!(matches!(
        found(&[record(0, 0, 0, ".")]),
        Err(SrvError::None)
    ));
    assert!(matches!(found(&[]), Err(SrvError::Unusable)));
    let many: Vec<SRV> = (1..1000)
        .map(|port| record(port, 0, port, "pc.contoso.com."))
        .collect();
    let kept = found(&many).unwrap();
    assert_eq!((kept.len(), kept[MOST - 1].1), (MOST, 32));
}
