//! The attacks, each played by a process of its own with low priority: what an attacker costs the machine is not the gateway's
//! matter. All of them are bounded in count and time and stay on this machine.

mod flood;
mod peer;
mod pool;
mod signed_in;
mod unsigned;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpListener;

use crate::lab::{Addresses, Log, Setting};
use peer::Stage;

/// First argument of a copy that plays an attacker.
const ARGUMENT: &str = "play-attacker";

/// Time for an attacker to sign in and so on, and to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Every attack: how it is called, and what it is.
macro_rules! attacks {
    ($($(#[doc = $about:literal])+ $attack:ident = $name:literal,)+) => {
        /// What is done to the gateway.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Attack { $($(#[doc = $about])+ $attack,)+ }

        impl Attack {
            pub(crate) const ALL: &[Self] = &[$(Self::$attack,)+];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$attack => $name,)+ }
            }

            pub(crate) fn about(self) -> &'static str {
                match self { $(Self::$attack => concat!($($about),+).trim_ascii(),)+ }
            }
        }
    };
}

attacks! {
    /// A pool's document: 600 KB of comments, then 5,000 items; one a second.
    Items = "a1",
    /// The same with 20,000 items.
    ManyItems = "a1-20k",
    /// The log goes into a pipe that nobody reads: 330 unsigned OPTIONS, and then 200 a second.
    UnreadLog = "a2-pipe",
    /// Four unsigned connections that send OPTIONS as fast as they are read.
    MuchLog = "a2-log",
    /// One bjoin of 20,000 rooms that no file lists, 1 MB, with unlisted = "same-id"; one a second.
    Join = "a3-bjoin",
    /// The same with unlisted = "refuse".
    JoinRefused = "a3-refuse",
    /// A bccontext that names as many rooms; one a second.
    Context = "a3-bccontext",
    /// An unknown command that names as many rooms; one a second.
    Unknown = "a3-unknown",
    /// 500 lines that merge into one room, the client joins all, the pool's chanib has 900 KB; one a second.
    Merged = "a4",
    /// A pool's reply to a bjoin of two pools, 1 MB, whose legacy ids are longer; one a second.
    LongReply = "a5-split",
    /// A bjoin of 10,000 rooms that exist on an embedded pool; one a second.
    JoinEmbedded = "a5-embedded",
    /// 1,000 connections with a body of 1 MiB less one octet each, before sign-in.
    Bodies = "a6",
    /// Eight searches at once with 1 MB of words each, on the bystanders' pool.
    Search = "a7",
    /// Wrong passwords for one user on four connections, as fast as they are refused.
    Guesses = "a8",
    /// 300 sessions of one user with 60 kB of Call-ID, From, tag and epid each.
    LongDialogs = "a9",
    /// 1,150 connections where the gateway may have 1,024 file descriptors.
    Descriptors = "a10",
    /// 200 slow heads on the admin port.
    SlowHeads = "a11",
    /// 50 signed-in clients that send half a message of 1 MB each.
    HalfMessages = "a12",
    /// Ten times the posts that the gateway can take, from 40 signed-in clients.
    Posts = "flood-posts",
    /// Ten times the unsigned requests that the gateway can take, on 40 connections.
    Requests = "flood-requests",
    /// Ten times the connections that one address may have.
    Connections = "flood-connections",
    /// 40 clients that never read in a room with 200 posts of 2 kB a second.
    NeverRead = "never-read",
}

impl Attack {
    /// Returns in what the gateway differs for it.
    pub(crate) fn setting(self) -> Setting {
        let base = Setting::default();
        match self {
            Self::Items | Self::ManyItems | Self::Merged | Self::LongReply => Setting {
                has_evil_pool: true,
                lines: pool::lines(self),
                ..base
            },
            Self::UnreadLog => Setting {
                log: Log::Unread,
                ..base
            },
            Self::Join => Setting {
                unlisted: "same-id",
                ..base
            },
            Self::JoinEmbedded => Setting {
                rooms_busy: signed_in::EXISTING,
                ..base
            },
            Self::Descriptors => Setting {
                descriptors: Some(1024),
                ..base
            },
            Self::Posts => Setting {
                rooms_busy: flood::CLIENTS,
                ..base
            },
            Self::Connections => Setting {
                limits: "connections_per_address = 100",
                ..base
            },
            _ => base,
        }
    }

    async fn play(self, stage: Stage) -> Result<String> {
        match self {
            Self::Items => pool::items(stage, 5_000).await,
            Self::ManyItems => pool::items(stage, 20_000).await,
            Self::UnreadLog => unsigned::unread_log(stage).await,
            Self::MuchLog => unsigned::much_log(stage).await,
            Self::Join | Self::JoinRefused => signed_in::join(stage).await,
            Self::Context => signed_in::context(stage).await,
            Self::Unknown => signed_in::unknown(stage).await,
            Self::Merged => pool::merged(stage).await,
            Self::LongReply => pool::long_reply(stage).await,
            Self::JoinEmbedded => signed_in::join_existing(stage).await,
            Self::Bodies => unsigned::bodies(stage).await,
            Self::Search => signed_in::search(stage).await,
            Self::Guesses => unsigned::guesses(stage).await,
            Self::LongDialogs => signed_in::long_dialogs(stage).await,
            Self::Descriptors => unsigned::descriptors(stage).await,
            Self::SlowHeads => unsigned::slow_heads(stage).await,
            Self::HalfMessages => signed_in::half_messages(stage).await,
            Self::Posts => flood::posts(stage).await,
            Self::Requests => flood::requests(stage).await,
            Self::Connections => flood::connections(stage).await,
            Self::NeverRead => signed_in::never_read(stage).await,
        }
    }
}

/// The bench's end of an attacker.
pub(crate) struct Attacker {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    /// Where the attacker's pool listens.
    pub(crate) pool: SocketAddr,
}

impl Attacker {
    /// Starts the process. It does nothing yet.
    pub(crate) fn start(attack: Attack, time: Duration) -> Result<Self> {
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .arg(std::env::current_exe()?)
            .args([ARGUMENT, attack.name(), &time.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = child.stdin.take().context("no standard input")?;
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let (line, answers) = channel();
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|read| line.send(read))
        });
        let mut attacker = Self {
            child,
            commands,
            answers,
            pool: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        attacker.pool = attacker.answer()?.parse()?;
        Ok(attacker)
    }

    /// Has it do what comes before the attack, such as signing in.
    pub(crate) fn prepare(&mut self, gateway: Addresses) -> Result<()> {
        let Addresses {
            open,
            digest,
            admin,
        } = gateway;
        writeln!(self.commands, "{open} {digest} {admin}")?;
        self.answer().map(drop)
    }

    /// Has it attack, and returns what it says of it.
    pub(crate) fn attack(&mut self) -> Result<String> {
        writeln!(self.commands, "attack")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let answer = self.answers.recv_timeout(PATIENCE);
        let answer = answer.context("the attacker says nothing")?;
        match answer.strip_prefix("ok") {
            Some(answer) => Ok(answer.trim_start().to_owned()),
            None => bail!("{answer}"),
        }
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Plays an attacker, if this process was started for that.
pub(crate) fn serve() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, argument, name, millis] = arguments.as_slice() else {
        return Ok(false);
    };
    if argument != ARGUMENT {
        return Ok(false);
    }
    let attack = Attack::ALL.iter().find(|attack| attack.name() == name);
    let attack = attack.context("no such attack")?;
    let time = Duration::from_millis(millis.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let played = runtime.block_on(async {
        let pool = TcpListener::bind("127.0.0.1:0").await?;
        println!("ok {}", pool.local_addr()?);
        attack.play(Stage::read(pool, time)?).await
    });
    match played {
        Ok(note) => println!("ok {note}"),
        Err(error) => println!("fault {error:#}"),
    }
    Ok(true)
}
