//! Starting and stopping `holdover`.

use std::ffi::OsStr;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;

use crate::{patience, pipe};

/// The program's file.
#[derive(Clone, Debug)]
pub struct Executable(PathBuf);

impl Executable {
    /// The program that cargo built for a test: `env!("CARGO_BIN_EXE_holdover-under-test")`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Runs a subcommand that ends by itself. It reads `input`.
    #[must_use]
    pub fn output<A: AsRef<OsStr>>(&self, arguments: &[A], input: &str) -> Output {
        let mut child = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    /// Starts `holdover demo` in `folder` and waits until it serves. Without addresses it chooses its own.
    #[must_use]
    pub fn demo(&self, folder: &Path, addresses: Option<Addresses>) -> (Program, Demo) {
        let [tcp, tls] = match addresses {
            Some(Addresses { tcp, tls }) => [tcp.to_string(), tls.to_string()],
            None => ["127.0.0.1:0"; 2].map(str::to_owned),
        };
        let folder = folder
            .to_str()
            .expect("a temporary folder has a plain name");
        #[rustfmt::skip]
        let mut program = self.start(&[
            "demo", "--json", "--log", "info", "--dir", folder,
            "--tcp", &tcp, "--tls", &tls, "--admin", "127.0.0.1:0",
        ]);
        let line = program.line("its line of JSON", |line| match line {
            Line::Out(text) => Some(text.clone()),
            Line::Log(_) => None,
        });
        let demo = Demo(serde_json::from_str(&line).expect("one line of JSON"));
        (program, demo)
    }

    /// Starts `holdover run` and waits until both listeners, `tcp` and `tls`, are open. The configuration must ask for
    /// the log as JSON.
    #[must_use]
    pub fn run(&self, config: &Path) -> (Program, Addresses) {
        let mut program = self.start(&[OsStr::new("run"), OsStr::new("--config"), config.as_ref()]);
        let mut opened = |listener: &str| {
            program.line("listener.opened", |line| {
                let Line::Log(text) = line else { return None };
                let event: Value = serde_json::from_str(text).ok()?;
                let is_it = event["message"] == "listener.opened" && event["listener"] == listener;
                is_it.then(|| address(&event["listen.addr"]))
            })
        };
        let addresses = Addresses {
            tcp: opened("tcp"),
            tls: opened("tls"),
        };
        (program, addresses)
    }

    fn start<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Program {
        let mut child = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (told, lines) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        let readers = vec![
            pipe::follow(stdout, told.clone(), |line| Some(Line::Out(line))),
            pipe::follow(stderr, told, |line| Some(Line::Log(line))),
        ];
        Program {
            child,
            lines,
            seen: Vec::new(),
            told: 0,
            readers,
        }
    }
}

/// Where clients connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Over TCP.
    pub tcp: SocketAddr,
    /// Over TLS.
    pub tls: SocketAddr,
}

/// What `holdover demo --json` says.
#[derive(Clone, Debug)]
pub struct Demo(Value);

impl Demo {
    /// Where clients connect.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        Addresses {
            tcp: address(&self.0["tcp"]),
            tls: address(&self.0["tls"]),
        }
    }

    /// The certificate of its authority.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.text("ca").into()
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.text("config").into()
    }

    /// The SIP domain of its users.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text("domain")
    }

    /// The room of this name.
    #[must_use]
    pub fn room(&self, name: &str) -> DemoRoom {
        let rooms = self.0["rooms"].as_array().expect("rooms");
        let room = rooms.iter().find(|room| room["name"] == name);
        let room = room.unwrap_or_else(|| panic!("the demo has no room `{name}`"));
        let text = |key: &str| room[key].as_str().unwrap_or_default().to_owned();
        DemoRoom {
            name: text("name"),
            legacy: text("legacy"),
            migrated: text("migrated"),
            note: text("note"),
        }
    }

    fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("no `{key}`"))
    }
}

/// A room of the demo.
#[derive(Clone, Debug)]
pub struct DemoRoom {
    /// Its name in the directory.
    pub name: String,
    /// Its identifier from before the migration.
    pub legacy: String,
    /// Its identifier on the pool; empty if it is not there.
    pub migrated: String,
    /// The admin's note.
    pub note: String,
}

#[derive(Debug)]
enum Line {
    Out(String),
    Log(String),
}

/// A running `holdover`. Dropped, it is killed; in a test that fails, what it logged is shown.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Receiver<Line>,
    seen: Vec<Line>,
    /// How many of them [`event`](Self::event) has looked at.
    told: usize,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Presses Ctrl-C and waits for the end.
    pub fn interrupt(mut self) -> ExitStatus {
        self.signal("INT");
        // Both pipes end with the process.
        let deadline = Instant::now() + patience();
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("Ctrl-C did not end the program"),
            }
        }
    }

    /// Tells it to read its configuration again.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} \"$0\""), &pid])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "no signal was sent"
        );
    }

    /// Kills it without warning (SIGKILL), as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for an event of this name that is `wanted`, unless it was told before. The log must be JSON.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub fn event_at_any_time(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let told = std::mem::take(&mut self.told);
        let event = self.event(name, wanted);
        self.told = self.told.max(told);
        event
    }

    /// Waits for the next event of this name that is `wanted`. The log must be JSON.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub fn event(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + patience();
        loop {
            while let Some(line) = self.seen.get(self.told) {
                self.told += 1;
                if let Line::Log(text) = line
                    && let Ok(event) = serde_json::from_str::<Value>(text)
                    && event["message"] == name
                    && wanted(&event)
                {
                    return event;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("the program did not tell {name}"),
            }
        }
    }

    /// Waits for a line.
    fn line<T>(&mut self, what: &str, mut wanted: impl FnMut(&Line) -> Option<T>) -> T {
        if let Some(found) = self.seen.iter().find_map(&mut wanted) {
            return found;
        }
        let deadline = Instant::now() + patience();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the program did not write {what}");
            };
            let found = wanted(&line);
            self.seen.push(line);
            if let Some(found) = found {
                return found;
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _reaped = self.child.wait();
        for reader in self.readers.drain(..) {
            let _read = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("--- what holdover wrote:");
            self.seen.extend(self.lines.try_iter());
            for Line::Out(text) | Line::Log(text) in &self.seen {
                eprintln!("{text}");
            }
        }
    }
}

fn address(text: &Value) -> SocketAddr {
    let address = text.as_str().and_then(|text| text.parse().ok());
    address.unwrap_or_else(|| panic!("{text} is no address"))
}
