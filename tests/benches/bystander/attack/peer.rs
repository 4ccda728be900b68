//! What all attackers share: the stage, and clients that take whatever comes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use holdover_protocol::sip::{Limits, Message, Status, respond};
use holdover_tests::client::{Client, Dialog};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::lab::Addresses;

/// The last part of the attackers' address, 127.0.0.x: not that of the bystanders.
pub(super) const HOST: u8 = 2;

/// Where an attacker acts.
pub(super) struct Stage {
    /// Where its pool listens.
    pub(super) pool: Arc<TcpListener>,
    /// The gateway.
    pub(super) gateway: Addresses,
    time: Duration,
}

impl Stage {
    /// Waits until it is told where the gateway is.
    pub(super) fn read(pool: TcpListener, time: Duration) -> Result<Self> {
        let line = line()?;
        let mut addresses = line.split(' ').map(str::parse);
        let mut next = || anyhow::Ok(addresses.next().context("too few addresses")??);
        let gateway = Addresses {
            open: next()?,
            digest: next()?,
            admin: next()?,
        };
        Ok(Self {
            pool: Arc::new(pool),
            gateway,
            time,
        })
    }

    /// Says that all is prepared, waits for the word, and returns when the attack ends.
    pub(super) async fn begin(&self) -> Result<Instant> {
        println!("ok");
        tokio::task::spawn_blocking(line).await??;
        Ok(Instant::now() + self.time)
    }
}

fn line() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Connects from 127.0.0.`host`.
pub(super) async fn connect(to: SocketAddr, host: u8) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A client of this connection, which takes bodies of any size.
pub(super) fn client(stream: TcpStream, name: &str) -> Client {
    let limits = Limits {
        body: 1 << 30,
        ..Limits::default()
    };
    Client::over(stream, name, limits)
}

/// A client that has signed in, with the channel dialog open.
pub(super) async fn signed_in(stage: &Stage, name: &str) -> Result<Client> {
    let stream = connect(stage.gateway.open, HOST).await?;
    let mut client = client(stream, name);
    client.sign_in().await;
    Ok(client)
}

/// What came back, by status; 0 stands for a connection that was closed.
#[derive(Debug, Default)]
pub(super) struct Counts {
    sent: usize,
    answers: BTreeMap<u16, usize>,
}

impl Counts {
    pub(super) fn sent(&mut self) {
        self.sent += 1;
    }

    pub(super) fn got(&mut self, status: u16) {
        *self.answers.entry(status).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        for (status, count) in &other.answers {
            *self.answers.entry(*status).or_default() += count;
        }
    }

    /// How many were answered so.
    pub(super) fn of(&self, status: u16) -> usize {
        self.answers.get(&status).copied().unwrap_or_default()
    }

    /// How many were answered at all.
    pub(super) fn answered(&self) -> usize {
        self.answers.values().sum::<usize>() - self.of(0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sent", self.sent)?;
        for (status, count) in &self.answers {
            match status {
                0 => write!(f, ", {count} closed")?,
                status => write!(f, ", {count} x {status}")?,
            }
        }
        Ok(())
    }
}

/// Answers what the gateway asks, and counts its responses.
pub(super) async fn take(client: &mut Client, message: Message, counts: &mut Counts) -> Result<()> {
    match message {
        Message::Request(request) => {
            let answer = respond(&request, Status::OK, None).finish();
            client.write(&answer).await?;
        }
        Message::Response(response) if !response.status().is_provisional() => {
            counts.got(response.status().code());
        }
        Message::Response(_) => {}
    }
    Ok(())
}

/// Sends a request of this body in the channel dialog `every` so often, and takes what comes, until the time is over or the
/// connection is closed.
pub(super) async fn repeat(
    client: &mut Client,
    every: Duration,
    until: Instant,
    mut body: impl FnMut(&mut Client) -> String,
) -> Counts {
    let mut counts = Counts::default();
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let acted = timeout_at(until, async {
        loop {
            tokio::select! {
                message = client.receive() => match message {
                    Some(message) => take(client, message, &mut counts).await?,
                    None => anyhow::bail!("closed"),
                },
                _ = ticks.tick() => {
                    let body = body(client);
                    let (_, request): (Dialog, String) = client.info(&body);
                    counts.sent();
                    client.write(request.as_bytes()).await?;
                }
            }
        }
    });
    let acted: Result<Result<()>, _> = acted.await;
    if matches!(acted, Ok(Err(_))) {
        counts.got(0);
        tokio::time::sleep_until(until).await;
    }
    counts
}
