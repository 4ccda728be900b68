//! The gateway of a measurement, as a process of its own.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use holdover::pool::embedded;
use holdover_protocol::sip::digest::Ha1;
use holdover_tests::binary::{holdover, resident};
use holdover_tests::gateway::DOMAIN;

use crate::options::Options;

/// The room of the bystanders, as they know it. It is on the pool `here`.
pub(crate) const CHAT: &str = "chat";

/// A room of the pool `busy`, for attackers, as they know it.
pub(crate) const NOISE: &str = "noise";

/// The user whose password is guessed.
pub(crate) const VICTIM: &str = "carol";

/// Her password.
pub(crate) const PASSWORD: &str = "correct horse";

/// Time that the gateway has to end when it is asked to, of which one second is for requests under way.
const END: Duration = Duration::from_secs(8);

/// What becomes of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// Somebody reads it.
    Read,
    /// It goes into a pipe that nobody reads once the gateway serves.
    Unread,
}

/// In what a gateway differs from the others.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Rooms of the pool `here`, beside that of the bystanders.
    pub(crate) rooms_here: usize,
    /// Rooms of the pool `busy`: `b00000`, `b00001` and so on, on both sides.
    pub(crate) rooms_busy: usize,
    /// More lines of the directory.
    pub(crate) lines: String,
    /// `directory.unlisted`, with `busy` as the default pool.
    pub(crate) unlisted: &'static str,
    /// More of `[limits]`.
    pub(crate) limits: &'static str,
    /// Whether there is a pool `evil`, which the attacker plays.
    pub(crate) has_evil_pool: bool,
    pub(crate) log: Log,
    /// File descriptors that the gateway may have.
    pub(crate) descriptors: Option<u32>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            rooms_here: 200,
            rooms_busy: 0,
            lines: String::new(),
            unlisted: "refuse",
            limits: "",
            has_evil_pool: false,
            log: Log::Read,
            descriptors: None,
        }
    }
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// For clients, without passwords.
    pub(crate) open: SocketAddr,
    /// For clients with a password.
    pub(crate) digest: SocketAddr,
    /// The admin server.
    pub(crate) admin: SocketAddr,
}

/// A gateway that serves.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) addresses: Addresses,
    _folder: tempfile::TempDir,
    /// The log that nobody reads.
    _unread: Option<BufReader<ChildStderr>>,
}

impl Gateway {
    /// Starts it. `evil` is where the attacker's pool listens.
    pub(crate) fn start(options: &Options, setting: &Setting, evil: SocketAddr) -> Result<Self> {
        // In memory where that is possible, so that a disk's time is not part of it.
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory)?,
            false => tempfile::tempdir()?,
        };
        write_files(folder.path(), setting, evil)?;
        let program = options.gateway.as_deref().unwrap_or_else(|| holdover());
        let mut command = match setting.descriptors {
            Some(count) => {
                let mut command = Command::new("sh");
                let limited = format!("ulimit -n {count} && exec \"$0\" \"$@\"");
                command.args(["-c", &limited]).arg(program);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .args(["run", "--config"])
            .arg(folder.path().join("holdover.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(child.stderr.take().context("no standard error")?);
        let addresses = match addresses(&mut log) {
            Ok(addresses) => addresses,
            Err(error) => {
                let _gone = child.kill();
                let _reaped = child.wait();
                return Err(error);
            }
        };
        let unread = match setting.log {
            Log::Unread => Some(log),
            Log::Read => {
                std::thread::spawn(move || {
                    let mut chunk = vec![0; 64 * 1024];
                    while log.read(&mut chunk).is_ok_and(|count| count > 0) {}
                });
                None
            }
        };
        Ok(Self {
            child,
            addresses,
            _folder: folder,
            _unread: unread,
        })
    }

    /// Where its memory is told.
    pub(crate) fn statm(&self) -> String {
        format!("/proc/{}/statm", self.child.id())
    }

    /// Bytes of memory in use; 0 if it is gone.
    pub(crate) fn memory(&mut self) -> u64 {
        match self.child.try_wait() {
            Ok(None) => resident(&self.statm()),
            _ => 0,
        }
    }

    /// Asks it to end (SIGTERM) and returns how it did, or nothing if it did not.
    pub(crate) fn stop(&mut self) -> Result<Option<ExitStatus>> {
        let pid = self.child.id().to_string();
        // One that has ended already cannot be asked.
        let _asked = Command::new("kill")
            .arg(pid)
            .stderr(Stdio::null())
            .status()?;
        let begun = Instant::now();
        while begun.elapsed() < END {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(None)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn write_files(folder: &Path, setting: &Setting, evil: SocketAddr) -> Result<()> {
    let room = |text: &mut String, name: &str, value: &str| {
        writeln!(
            text,
            "[[room]]\nname = \"{name}\"\nvalue = \"{value}\"\ncategory = \"All\"\nprivacy = \"open\""
        )
    };
    let mut here = String::from("[[category]]\nname = \"All\"\n");
    let mut busy = here.clone();
    room(&mut here, "Chat", "m-chat")?;
    for number in 0..setting.rooms_here {
        room(
            &mut here,
            &format!("Room {number}"),
            &format!("h{number:05}"),
        )?;
    }
    room(&mut busy, "Noise", "m-noise")?;
    for number in 0..setting.rooms_busy {
        room(
            &mut busy,
            &format!("Busy {number}"),
            &format!("b{number:05}"),
        )?;
    }
    for (name, rooms) in [("here", here), ("busy", busy)] {
        let database = folder.join(format!("{name}.db"));
        embedded::load_text(&database, "rooms.toml", &rooms, jiff::Timestamp::now())?;
    }
    let mut csv = format!(
        "legacy,pool,migrated,state,name,note\n\
         ma-chan://{DOMAIN}/{CHAT},here,ma-chan://{DOMAIN}/m-chat,migrated,Chat,\n\
         ma-chan://{DOMAIN}/{NOISE},busy,ma-chan://{DOMAIN}/m-noise,migrated,Noise,\n"
    );
    for number in 0..setting.rooms_busy {
        let id = format!("ma-chan://{DOMAIN}/b{number:05}");
        writeln!(csv, "{id},busy,{id},migrated,Busy {number},")?;
    }
    csv.push_str(&setting.lines);
    std::fs::write(folder.join("rooms.csv"), csv)?;
    let victim = format!("{VICTIM}@{DOMAIN}");
    let ha1 = Ha1::new(&victim, DOMAIN, PASSWORD).to_hex();
    std::fs::write(
        folder.join("users.toml"),
        format!("[users]\n\"{victim}\" = \"{ha1}\"\n"),
    )?;
    let evil = match setting.has_evil_pool {
        true => format!(
            "[[pool]]\nname = \"evil\"\n\
             sip = {{ uri = \"sip:evil@{DOMAIN}\", servers = [\"{evil}\"], transport = \"tcp\" }}\n"
        ),
        false => String::new(),
    };
    let Setting {
        unlisted, limits, ..
    } = setting;
    let text = format!(
        r#"
        [gateway]
        domain = "{DOMAIN}"
        grace_secs = 1
        drain_secs = 1
        [[listener]]
        name = "open"
        address = "127.0.0.1:0"
        sign_in = "open"
        [[listener]]
        name = "digest"
        address = "127.0.0.1:0"
        sign_in = {{ digest = {{ users = "users.toml" }} }}
        [[pool]]
        name = "here"
        embedded = {{ database = "here.db" }}
        [[pool]]
        name = "busy"
        embedded = {{ database = "busy.db" }}
        {evil}
        [directory]
        rooms = ["rooms.csv"]
        unlisted = "{unlisted}"
        default_pool = "busy"
        [limits]
        {limits}
        [admin]
        address = "127.0.0.1:0"
        [log]
        format = "json"
        level = "info"
        [reload]
        watch = "off"
        "#
    );
    std::fs::write(folder.join("holdover.toml"), text)?;
    Ok(())
}

/// Reads the log until everything listens.
fn addresses(log: &mut BufReader<ChildStderr>) -> Result<Addresses> {
    let (mut open, mut digest, mut admin) = (None, None, None);
    let mut seen = String::new();
    loop {
        if let (Some(open), Some(digest), Some(admin)) = (open, digest, admin) {
            return Ok(Addresses {
                open,
                digest,
                admin,
            });
        }
        let mut line = String::new();
        if log.read_line(&mut line)? == 0 {
            bail!("the gateway ended at once:\n{seen}");
        }
        seen.push_str(&line);
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let text = |key: &str| event.get(key).and_then(serde_json::Value::as_str);
        let address = |key| text(key).and_then(|address| address.parse().ok());
        match (text("message"), text("listener")) {
            (Some("listener.opened"), Some("open")) => open = address("listen.addr"),
            (Some("listener.opened"), Some("digest")) => digest = address("listen.addr"),
            (Some("admin.opened"), _) => admin = address("address"),
            _ => {}
        }
    }
}
