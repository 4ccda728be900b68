//! Legacy clients in a process of their own, so that what the gateway costs can be told from what they cost.
//!
//! A bench starts itself again with [`Clients::start`]; the copy runs [`serve`] and does what the bench tells it on its
//! standard input. Clients speak SIP by fixed templates: they sign in as real ones do, answer every INFO at once, and post
//! in a closed loop or at a pace.
#![allow(dead_code, reason = "each bench uses a part of it")]

#[path = "client/echo.rs"]
mod echo;
#[path = "client/stage.rs"]
mod stage;
#[path = "client/user.rs"]
mod user;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub(crate) use stage::serve;

/// First argument of a copy that plays the clients.
const ARGUMENT: &str = "play-clients";

/// What is dialled to reach a pool without a gateway.
pub(crate) const POOL_URI: &str = "sip:pool@contoso.com";

/// What stands between the clients and the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A gateway: clients sign in, look up, and know rooms by their legacy identifiers.
    Gateway,
    /// Nothing: clients dial the pool and know rooms as it does.
    Straight,
    /// A relay that rewrites the room of each post: clients dial the pool, and know rooms by legacy identifiers there.
    Rewritten,
}

impl Way {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Gateway, "gateway"),
        (Self::Straight, "straight"),
        (Self::Rewritten, "rewritten"),
    ];

    fn name(self) -> &'static str {
        let found = Self::ALL.into_iter().find(|(way, _)| *way == self);
        found.map_or("", |(_, name)| name)
    }

    fn of(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, known)| *known == name);
        found.map(|(way, _)| way)
    }
}

/// What the clients are to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Size of the bodies.
    pub(crate) bytes: usize,
    /// Posts that each client has under way at most.
    pub(crate) window: usize,
    /// Posts a second of all clients together, at most; 0: as fast as the window allows.
    pub(crate) rate: u32,
    /// How many clients there are; the other process fills it in.
    pub(crate) clients: usize,
    /// For how long it counts.
    pub(crate) time: Duration,
}

/// What the posts of a while came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    /// Posts that their sender got back.
    pub(crate) posts: u64,
    /// INFO requests that clients were sent.
    pub(crate) delivered: u64,
    /// Time from sending a post until its sender has it back, microseconds: median, 99th percentile, 99.9th.
    pub(crate) median: u64,
    /// See `median`.
    pub(crate) late: u64,
    /// See `median`.
    pub(crate) latest: u64,
}

/// Who the clients share their rooms with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    /// Clients in each room.
    pub(crate) members: usize,
    /// Rooms that each client joins.
    pub(crate) each: usize,
}

impl Rooms {
    /// The number of rooms that so many clients need.
    pub(crate) fn count(self, clients: usize) -> usize {
        clients.div_ceil(self.members) * self.each
    }

    /// The numbers of the rooms of a client.
    fn of(self, client: usize) -> std::ops::Range<usize> {
        let first = client / self.members * self.each;
        first..first + self.each
    }
}

/// The bench's end.
pub(crate) struct Clients {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where a server listens that answers every request and sends every INFO back: for relays to relay to.
    pub(crate) echo: SocketAddr,
}

impl Clients {
    /// Starts the process.
    pub(crate) fn start(rooms: Rooms) -> Result<Self> {
        Self::start_with(Command::new(std::env::current_exe()?), rooms, 0)
    }

    /// Starts the process by `command`, which runs this very program. Clients are numbered from `first` on.
    pub(crate) fn start_with(mut command: Command, rooms: Rooms, first: usize) -> Result<Self> {
        let numbers = [rooms.members, rooms.each, first].map(|number| number.to_string());
        let mut child = command
            .arg(ARGUMENT)
            .args(numbers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = child.stdin.take().context("no standard input")?;
        let mut answers = BufReader::new(child.stdout.take().context("no standard output")?);
        let echo = line(&mut answers)?.parse()?;
        Ok(Self {
            child,
            commands,
            answers,
            echo,
        })
    }

    /// Where clients connect from now on; over TLS if there is a certificate to trust.
    pub(crate) fn connect_to(&mut self, address: SocketAddr, trusted: Option<&Path>) -> Result<()> {
        self.connect_by(Way::Gateway, address, trusted)
    }

    /// The same, and what stands there.
    pub(crate) fn connect_by(
        &mut self,
        way: Way,
        address: SocketAddr,
        trusted: Option<&Path>,
    ) -> Result<()> {
        let trusted = trusted.map_or_else(|| "-".into(), |path| path.display().to_string());
        self.ask(&format!("connect {} {address} {trusted}", way.name()))
            .map(drop)
    }

    /// Signs in so many more.
    pub(crate) fn sign_in(&mut self, clients: usize) -> Result<()> {
        self.ask(&format!("sign-in {clients}")).map(drop)
    }

    /// All post bodies of `bytes` bytes for so long, `window` at a time each. `begun` is called when it counts.
    pub(crate) fn post<T>(
        &mut self,
        bytes: usize,
        window: usize,
        time: Duration,
        begun: impl FnOnce() -> T,
    ) -> Result<(Posted, T)> {
        let work = Work {
            bytes,
            window,
            rate: 0,
            clients: 0,
            time,
        };
        self.work(work, begun)
    }

    /// All post as `work` says. `begun` is called when it counts.
    pub(crate) fn work<T>(&mut self, work: Work, begun: impl FnOnce() -> T) -> Result<(Posted, T)> {
        let Work {
            bytes,
            window,
            rate,
            time,
            ..
        } = work;
        self.ask(&format!(
            "post {bytes} {window} {rate} {}",
            time.as_millis()
        ))?;
        let begun = begun();
        let answer = line(&mut self.answers)?;
        let mut numbers = answer.split(' ').map(str::parse);
        let mut next = || Ok::<u64, anyhow::Error>(numbers.next().context("too few numbers")??);
        let posted = Posted {
            posts: next()?,
            delivered: next()?,
            median: next()?,
            late: next()?,
            latest: next()?,
        };
        Ok((posted, begun))
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        // A process that has ended has said why before.
        let asked = writeln!(self.commands, "{command}");
        let answer = line(&mut self.answers)?;
        asked?;
        Ok(answer)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn line(from: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    match line.trim_end().strip_prefix("ok") {
        Some(answer) => Ok(answer.trim_start().to_owned()),
        None => bail!("the clients failed: {line}"),
    }
}
