//! Debian's Kamailio as the front end between real clients and the gateway: a proxy that nobody here wrote.
//!
//! Its configuration is `tests/kamailio/front-end.cfg`.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::gateway::DOMAIN;
use crate::program::Addresses;
use crate::{patience, pipe};

/// The program.
const PROGRAM: &str = "/usr/sbin/kamailio";

/// What it says once it listens.
const UP: &str = "the front end is up";

/// Times that ports are chosen anew: it cannot be told to let the system choose, and somebody may be faster.
const TRIES: usize = 5;

/// Where it and its modules are, if they are installed.
///
/// `None` where they are not and are not required: that is said on standard error, past the test harness, which would hide
/// it.
///
/// # Panics
///
/// If they are required and not there.
pub fn installed() -> Option<&'static Path> {
    static MODULES: OnceLock<Option<PathBuf>> = OnceLock::new();
    let modules = MODULES.get_or_init(|| {
        let found = modules().filter(|_| Path::new(PROGRAM).exists());
        if found.is_none() {
            let required = std::env::var_os("HOLDOVER_KAMAILIO").is_some_and(|it| it == "required");
            assert!(!required, "kamailio and kamailio-tls-modules are missing");
            let mut stderr = std::io::stderr().lock();
            let _unseen = writeln!(
                stderr,
                "\n*** SKIPPED: ALL SCENARIOS BEHIND KAMAILIO. Nothing was tested with a front end that is not ours.\n\
                 *** Why: the packages kamailio and kamailio-tls-modules are not installed.\n\
                 *** With HOLDOVER_KAMAILIO=required that is a failure.\n"
            );
        }
        found
    });
    modules.as_deref()
}

/// Where Debian puts its modules; the second part depends on the machine.
fn modules() -> Option<PathBuf> {
    std::fs::read_dir("/usr/lib").ok()?.find_map(|entry| {
        let folder = entry.ok()?.path().join("kamailio/modules");
        folder.join("tls.so").exists().then_some(folder)
    })
}

/// A Kamailio that runs. Dropped, it is ended; in a test that fails, what it logged is shown.
#[derive(Debug)]
pub struct Kamailio {
    child: Child,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    seen: Vec<String>,
    addresses: Addresses,
}

impl Kamailio {
    /// Starts it in `folder`, in front of the gateway's trusted listener at `holdover`. The folder has its certificates:
    /// `kamailio` toward clients, `fe1` toward the gateway, and `ca.pem`, which both are from.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(modules: &Path, folder: &Path, holdover: SocketAddr) -> Self {
        let addresses = || Addresses {
            tcp: free(),
            tls: free(),
        };
        for _ in 1..TRIES {
            if let Ok(started) = Self::try_start(modules, folder, holdover, addresses()) {
                return started;
            }
        }
        Self::start_at(modules, folder, holdover, addresses())
    }

    /// Like [`start`](Self::start), where clients expect it.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start_at(
        modules: &Path,
        folder: &Path,
        holdover: SocketAddr,
        addresses: Addresses,
    ) -> Self {
        match Self::try_start(modules, folder, holdover, addresses) {
            Ok(started) => started,
            Err(log) => panic!("kamailio does not start:\n{log}"),
        }
    }

    fn try_start(
        modules: &Path,
        folder: &Path,
        holdover: SocketAddr,
        addresses: Addresses,
    ) -> Result<Self, String> {
        let fill = |template: &str| {
            template
                .replace("@TCP@", &addresses.tcp.to_string())
                .replace("@TLS@", &addresses.tls.to_string())
                .replace("@MODULES@", modules.to_str().unwrap())
                .replace("@FOLDER@", folder.to_str().unwrap())
                .replace("@HOLDOVER_HOST@", &holdover.ip().to_string())
                .replace("@HOLDOVER_PORT@", &holdover.port().to_string())
                .replace("@DOMAIN@", DOMAIN)
        };
        let config = folder.join("kamailio.cfg");
        std::fs::write(&config, fill(include_str!("../kamailio/front-end.cfg"))).unwrap();
        let tls = fill(include_str!("../kamailio/tls.cfg"));
        std::fs::write(folder.join("tls.cfg"), tls).unwrap();
        let mut child = Command::new(PROGRAM)
            // In the foreground, with the log on standard error.
            .args(["-DD", "-E", "-m", "64", "-M", "8"])
            .arg("-f")
            .arg(config)
            .arg("-Y")
            .arg(folder)
            .arg("-P")
            .arg(folder.join("kamailio.pid"))
            // It has children, which end with it or by their group.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kamailio starts");
        let (told, lines) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        let mut kamailio = Self {
            child,
            lines,
            reader: Some(pipe::follow(stderr, told, Some)),
            seen: Vec::new(),
            addresses,
        };
        if kamailio.reads(UP) {
            Ok(kamailio)
        } else {
            Err(kamailio.seen.join("\n"))
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Ends it, as an admin would, and waits until it and its children are gone.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn stop(mut self) {
        self.signal("TERM", &self.child.id().to_string());
        assert!(!self.reads("\0"), "its log ends with it");
        self.child.wait().unwrap();
    }

    /// Reads its log until a line has this in it. `false`: the log ended before.
    fn reads(&mut self, text: &str) -> bool {
        let deadline = Instant::now() + patience();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let is_it = line.contains(text);
                    self.seen.push(line);
                    if is_it {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("kamailio did nothing in time"),
            }
        }
    }

    fn signal(&self, signal: &str, whom: &str) {
        let script = format!("kill -s {signal} -- {whom}");
        let _gone = Command::new("sh").args(["-c", &script]).status();
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal("KILL", &format!("-{}", self.child.id()));
        }
        let _reaped = self.child.wait();
        let _read = self.reader.take().map(JoinHandle::join);
        if std::thread::panicking() {
            eprintln!("--- what kamailio wrote:");
            self.seen.extend(self.lines.try_iter());
            for line in &self.seen {
                eprintln!("{line}");
            }
        }
    }
}

/// An address that nobody has at the moment.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documentation_shows_lines_of_the_configuration() {
        let config = include_str!("../kamailio/front-end.cfg");
        let shown = include_str!("../../docs/front-ends.md");
        let blocks: Vec<&str> = shown
            .split("```kamailio\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .collect();
        assert_eq!(blocks.len(), 5);
        for block in blocks {
            assert!(config.contains(block), "not in front-end.cfg:\n{block}");
        }
    }
}
