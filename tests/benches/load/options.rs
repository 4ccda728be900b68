//! What is to be measured.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// How much Holdover, and what stands in the same place, cost between the same clients and the same pool.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// What is measured
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "busy,paced,idle"
    )]
    pub(crate) only: Vec<Part>,
    /// What stands between clients and pool
    #[arg(
        long = "through",
        value_enum,
        value_delimiter = ',',
        default_value = "straight,floor,kamailio,kamailio-stateless,holdover"
    )]
    pub(crate) boxes: Vec<Box>,
    /// Another build of Holdover to measure in the same run, such as an older one; the same configuration must do for it
    #[arg(long)]
    pub(crate) beside: Option<PathBuf>,
    /// How clients connect
    #[arg(long, value_enum, value_delimiter = ',', default_value = "tcp,tls")]
    pub(crate) transports: Vec<Transport>,
    /// Clients that post
    #[arg(long, default_value_t = 100)]
    pub(crate) clients: usize,
    /// Posts that each has under way
    #[arg(long, default_value_t = 2)]
    pub(crate) window: usize,
    /// Sizes of the bodies, bytes
    #[arg(long, value_delimiter = ',', default_value = "400,2000")]
    pub(crate) bodies: Vec<usize>,
    /// Clients in each room: every post goes to all of them
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    pub(crate) members: Vec<usize>,
    /// INFO requests a second of all clients together, for the latency at a pace
    #[arg(long, default_value_t = 2_000)]
    pub(crate) pace: u32,
    /// Seconds that a measurement takes
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// Measurements of each kind; the one that took the least processor time counts
    #[arg(long, default_value_t = 3)]
    pub(crate) repeat: usize,
    /// Sessions that do nothing
    #[arg(long, default_value_t = 2_000)]
    pub(crate) idle: usize,
    /// Rooms that each of them has open
    #[arg(long, value_delimiter = ',', default_value = "0,4")]
    pub(crate) rooms: Vec<usize>,
    /// Who share each of these rooms
    #[arg(long, default_value_t = 20)]
    pub(crate) idle_members: usize,
    /// Sessions that do nothing for each process; beyond that, more than one gateway runs. Every process needs a file
    /// descriptor for each
    #[arg(long, default_value_t = 18_000)]
    pub(crate) per_process: usize,
    /// Processes of Kamailio that serve TCP
    #[arg(long, default_value_t = 1)]
    pub(crate) kamailio_children: usize,
    /// Less than a minute for all of it
    #[arg(long)]
    pub(crate) quick: bool,
    /// What `cargo bench` says
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// As fast as it goes.
    Busy,
    /// Latency at a pace.
    Paced,
    /// Memory of sessions that do nothing.
    Idle,
}

/// What stands between clients and pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Box {
    /// Nothing.
    Straight,
    /// A relay that only frames and splices.
    Floor,
    /// Kamailio, with a table of room identifiers.
    Kamailio,
    /// The same without transactions.
    KamailioStateless,
    /// Holdover.
    Holdover,
    /// The other build of it that `--beside` names.
    #[value(skip)]
    Beside,
}

impl Box {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Straight => "straight",
            Self::Floor => "floor",
            Self::Kamailio => "kamailio",
            Self::KamailioStateless => "kamailio stateless",
            Self::Holdover => "holdover",
            Self::Beside => "holdover beside",
        }
    }
}

/// How clients connect. Behind what stands between it is always TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// In the clear.
    Tcp,
    /// With TLS.
    Tls,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

impl Options {
    /// What the command line says; `quick` and a run that only has to work have less of everything.
    pub(crate) fn read(is_measured: bool) -> Self {
        // `cargo test` has arguments of its own.
        let mut options = match is_measured {
            true => Self::parse(),
            false => Self::parse_from(["load"]),
        };
        if options.beside.is_some() {
            options.boxes.push(Box::Beside);
        }
        if options.quick {
            options.seconds = options.seconds.min(0.7);
            options.repeat = 1;
            options.bodies.truncate(1);
            options.members.truncate(1);
            options.idle = options.idle.min(200);
            options.rooms = options.rooms.last().copied().into_iter().collect();
        }
        if !is_measured {
            options.seconds = 0.1;
            options.repeat = 1;
            options.clients = 4;
            options.bodies.truncate(1);
            options.members.truncate(1);
            options.idle = 8;
            options.pace = 200;
            options.rooms = options.rooms.last().copied().into_iter().collect();
        }
        options
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.05, 600.0))
    }
}
