//! The real program: built once, started as a process, its standard error read as it comes.

#![allow(clippy::unwrap_used, reason = "a panic is how a test says no")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use crate::patience::patience;

/// The program's path. Cargo builds it for the tests of this package, as `holdover-under-test`.
///
/// # Panics
///
/// When it is not there.
pub fn holdover() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        // target/<profile>/deps/<this test>
        let test = std::env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("holdover-under-test");
        assert!(program.exists(), "{} is not built", program.display());
        program
    })
}

/// Runs a command to its end, in `dir`, with `input`.
///
/// # Panics
///
/// When it cannot be started.
pub fn run(dir: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(holdover())
        .args(arguments)
        .current_dir(dir)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input is not at fault.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs a command to its end, in `dir`, with its standard output in `stdout`.
///
/// # Panics
///
/// When it cannot be started.
pub fn run_into(dir: &Path, arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let mut command = Command::new(holdover());
    let command = command
        .args(arguments)
        .current_dir(dir)
        .env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(stdout);
    command.stderr(Stdio::piped()).output().unwrap()
}

/// Where a process listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// For clients over TCP.
    pub tcp: SocketAddr,
    /// For clients over TLS.
    pub tls: SocketAddr,
    /// For the admin.
    pub admin: SocketAddr,
}

/// `holdover run` as a process.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    lines: Receiver<String>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Process {
    /// Starts it on a configuration whose log has at least level `info`.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(config: &Path) -> Self {
        let mut child = Command::new(holdover())
            .arg("run")
            .arg("--config")
            .arg(config)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (line, lines) = channel();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for read in errors.lines().map_while(Result::ok) {
                let mut log = kept.lock().unwrap();
                log.push_str(&read);
                log.push('\n');
                // Nobody waits for lines any more once the test has seen what it wanted.
                let _unheard = line.send(read);
            }
        });
        Self {
            child,
            log,
            lines,
            reader: Some(reader),
        }
    }

    /// Waits for a log line.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + patience();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if wanted(&line) => return line,
                Ok(_) => {}
                Err(error) => fail(&format!("{error}; the log is\n{}", self.log())),
            }
        }
    }

    /// Waits until it is ready. Returns where it listens.
    ///
    /// # Panics
    ///
    /// When it never gets ready.
    #[must_use]
    pub fn ready(&self) -> Addresses {
        // The listeners tell of themselves at any time around the process's own line.
        for (what, count) in [("process.ready", 1), ("listener.opened", 2)] {
            while self.log().matches(what).count() < count {
                self.line(|line| line.contains(what));
            }
        }
        let log = self.log();
        let address = |told: &str, marks: [&str; 2]| {
            let mut lines = log.lines().filter(|line| line.contains(told));
            address_in(
                lines
                    .find(|line| marks.iter().any(|mark| line.contains(mark)))
                    .unwrap(),
            )
        };
        Addresses {
            tcp: address("listener.opened", ["tls=false", "\"tls\":false"]),
            tls: address("listener.opened", ["tls=true", "\"tls\":true"]),
            admin: address("admin.opened", ["address"; 2]),
        }
    }

    /// Everything it has logged so far.
    ///
    /// # Panics
    ///
    /// Never.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its resident memory in bytes.
    ///
    /// # Panics
    ///
    /// When it is gone.
    #[must_use]
    pub fn resident(&self) -> u64 {
        resident(&format!("/proc/{}/statm", self.child.id()))
    }

    /// Sends it a signal by name.
    ///
    /// # Panics
    ///
    /// When there is no shell.
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &command]).status();
        assert!(sent.unwrap().success());
    }

    /// Kills it at once, as a power cut would.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ended. Returns how, and everything it logged.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    #[must_use]
    pub fn ended(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + patience();
        // Its standard error closes when it ends.
        while !self.reader.as_ref().unwrap().is_finished() {
            assert!(Instant::now() < deadline, "does not end:\n{}", self.log());
            let _line = self.lines.recv_timeout(patience());
        }
        self.reader.take().unwrap().join().unwrap();
        (self.child.wait().unwrap(), self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Asks the admin server for a path. Returns the whole response, or nothing if nobody is there.
#[must_use]
pub fn get(admin: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(admin).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    Some(response)
}

/// Resident memory in bytes, from a `statm` file of the process file system.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn resident(statm: &str) -> u64 {
    let text = std::fs::read_to_string(statm).unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn address_in(line: &str) -> SocketAddr {
    let mut words = line.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
    words
        .find_map(|word| word.starts_with("127.").then(|| word.parse().unwrap()))
        .unwrap()
}

#[expect(clippy::panic, reason = "a panic is how a test says no")]
fn fail(text: &str) -> ! {
    panic!("{text}")
}
