//! The other process: takes the bench's commands and lets the clients act.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdover::transport::Stream;
use holdover::transport::tls::Connector;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::user::Client;
use super::{ARGUMENT, Rooms, Way, Work, echo};

/// Clients that sign in at a time.
const AT_ONCE: usize = 16;

/// Time for queues to fill and caches to warm before anything counts.
const WARM_UP: Duration = Duration::from_millis(700);

/// Clients with the same address: a client needs a port of its own, and the system has about 28,000 for each address.
const ONE_ADDRESS: usize = 10_000;

/// Plays the clients, if this process was started for that.
pub(crate) fn serve() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, argument, members, each, first] = arguments.as_slice() else {
        return Ok(false);
    };
    if argument != ARGUMENT {
        return Ok(false);
    }
    let rooms = Rooms {
        members: members.parse()?,
        each: each.parse()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match runtime.block_on(Stage::new(rooms, first.parse()?).play()) {
        Ok(()) => {}
        Err(fault) => println!("fault {fault:#}"),
    }
    Ok(true)
}

#[derive(Default)]
pub(super) struct Counts {
    posts: AtomicU64,
    delivered: AtomicU64,
    /// Number of posts by the logarithm of the time they took: 16 buckets for each power of two microseconds.
    times: Vec<AtomicU64>,
}

impl Counts {
    /// A client was sent an INFO.
    pub(super) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// A client got a post of its own back.
    pub(super) fn took(&self, time: Duration) {
        self.posts.fetch_add(1, Ordering::Relaxed);
        let time = (time.as_micros() as u64).max(16);
        let power = u64::from(time.ilog2());
        let bucket = power * 16 + ((time >> (power - 4)) & 15);
        if let Some(count) = self.times.get(bucket as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn reset(&self) {
        for count in self.times.iter().chain([&self.posts, &self.delivered]) {
            count.store(0, Ordering::Relaxed);
        }
    }

    fn quantile(&self, of_thousand: u64) -> u64 {
        let all: u64 = self
            .times
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum();
        let mut seen = 0;
        let at = self.times.iter().position(|count| {
            seen += count.load(Ordering::Relaxed);
            seen * 1000 > all * of_thousand
        });
        let bucket = at.unwrap_or_default() as u64;
        (16 + bucket % 16) << (bucket / 16).saturating_sub(4)
    }
}

struct Stage {
    rooms: Rooms,
    target: Option<(Way, SocketAddr, Option<Connector>)>,
    /// The number of the next client.
    next: usize,
    signed_in: usize,
    work: watch::Sender<Option<Work>>,
    counts: Arc<Counts>,
    faults: watch::Sender<Option<String>>,
}

impl Stage {
    fn new(rooms: Rooms, first: usize) -> Self {
        let times = std::iter::repeat_with(AtomicU64::default)
            .take(1024)
            .collect();
        Self {
            rooms,
            target: None,
            next: first,
            signed_in: 0,
            work: watch::Sender::new(None),
            counts: Arc::new(Counts {
                times,
                ..Counts::default()
            }),
            faults: watch::Sender::new(None),
        }
    }

    async fn play(mut self) -> Result<()> {
        let echo = TcpListener::bind("127.0.0.1:0").await?;
        println!("ok {}", echo.local_addr()?);
        tokio::spawn(echo::serve(echo));
        let (commands, mut next) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            std::io::stdin()
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| commands.send(line))
        });
        let mut faults = self.faults.subscribe();
        loop {
            let command = tokio::select! {
                command = next.recv() => command,
                _ = faults.changed() => bail!("{}", faults.borrow().clone().unwrap_or_default()),
            };
            let Some(command) = command else {
                return Ok(());
            };
            let words: Vec<&str> = command.split(' ').collect();
            match words.as_slice() {
                ["connect", way, address, trusted] => {
                    let way = Way::of(way).context("no such way")?;
                    let trusted = Some(*trusted).filter(|path| *path != "-");
                    let connector = trusted.map(|path| Connector::trusting(Path::new(path)));
                    self.target = Some((way, address.parse()?, connector.transpose()?));
                    println!("ok");
                }
                ["sign-in", clients] => {
                    self.sign_in(clients.parse()?).await?;
                    println!("ok");
                }
                ["post", bytes, window, rate, millis] => {
                    let work = Work {
                        bytes: bytes.parse()?,
                        window: window.parse()?,
                        rate: rate.parse()?,
                        clients: self.signed_in.max(1),
                        time: Duration::from_millis(millis.parse()?),
                    };
                    self.post(work).await?;
                }
                _ => bail!("no such command: {command}"),
            }
        }
    }

    async fn sign_in(&mut self, clients: usize) -> Result<()> {
        let (way, address, connector) = self.target.clone().context("nowhere to connect to")?;
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut signing_in = tokio::task::JoinSet::new();
        for number in self.next..self.next + clients {
            let (turns, connector, rooms) = (Arc::clone(&turns), connector.clone(), self.rooms);
            signing_in.spawn(async move {
                let _turn = turns.acquire_owned().await?;
                let stream = connect(number, address).await?;
                let stream = match connector {
                    Some(connector) => {
                        Stream::Tls(Box::new(connector.connect("localhost", stream).await?))
                    }
                    None => Stream::Tcp(stream),
                };
                let mut client = Client::new(stream, number, rooms, way);
                client
                    .sign_in()
                    .await
                    .with_context(|| format!("client {number} signs in"))?;
                Ok::<Client, anyhow::Error>(client)
            });
        }
        self.next += clients;
        self.signed_in += clients;
        while let Some(client) = signing_in.join_next().await {
            let client = client??;
            let (work, counts) = (self.work.subscribe(), Arc::clone(&self.counts));
            let faults = self.faults.clone();
            tokio::spawn(async move {
                if let Err(fault) = client.live(work, counts).await {
                    faults.send_replace(Some(format!("{fault:#}")));
                }
            });
        }
        Ok(())
    }

    async fn post(&self, work: Work) -> Result<()> {
        self.work.send_replace(Some(work));
        tokio::time::sleep(WARM_UP).await;
        self.counts.reset();
        println!("ok");
        tokio::time::sleep(work.time).await;
        if let Some(fault) = self.faults.borrow().clone() {
            bail!("{fault}");
        }
        let counts = &self.counts;
        println!(
            "ok {} {} {} {} {}",
            counts.posts.load(Ordering::Relaxed),
            counts.delivered.load(Ordering::Relaxed),
            counts.quantile(500),
            counts.quantile(990),
            counts.quantile(999),
        );
        self.work.send_replace(None);
        Ok(())
    }
}

async fn connect(number: usize, address: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let host = u8::try_from(1 + number / ONE_ADDRESS).context("too many clients")?;
    if host > 1 {
        socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
