//! One real client: one process, one user.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::build::Driver;
use super::trace::{Messages, Sip};
use crate::{patience, pipe};

/// Events shown when one is missed.
const SHOWN: usize = 40;

/// What a client signs in with.
#[derive(Clone, Debug)]
pub struct Account {
    /// `user@domain`.
    pub user: String,
    /// `None`: any.
    pub password: Option<String>,
    /// Two clients with the same seed use the same Call-IDs, tags and envelope ids.
    pub seed: Option<u32>,
    /// Seconds in which a minute of the client's own waits passes. `None`: 60.
    pub minute: Option<u32>,
    /// How it connects.
    pub transport: Transport,
}

/// How a client connects.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Plain.
    Tcp(SocketAddr),
    /// Verified: the certificate must chain to this authority and be for `host`.
    Tls {
        /// The name, or address, to connect to.
        host: String,
        /// The port.
        port: u16,
        /// PEM file with the authority's certificate.
        ca: PathBuf,
    },
}

#[derive(Debug)]
enum Told {
    Event(Value),
    Trace(String),
    Sip(Sip),
}

/// A client that runs. Dropped, it is killed; in a test that fails, its debug log is kept and named.
#[derive(Debug)]
pub struct Client {
    user: String,
    child: Child,
    commands: Option<ChildStdin>,
    told: Receiver<Told>,
    readers: Vec<JoinHandle<()>>,
    /// Everything it told, and whether a test has expected it already.
    events: Vec<(Value, bool)>,
    sip: Vec<(Sip, bool)>,
    trace: String,
    kept_trace: PathBuf,
    _home: TempDir,
}

/// All that a client told until its end.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// Events, in order.
    pub events: Vec<Value>,
    /// SIP messages both ways, in order.
    pub sip: Vec<Sip>,
}

impl Transcript {
    /// Call-IDs of the dialogs that the client opened.
    #[must_use]
    pub fn call_ids(&self) -> Vec<&str> {
        let invites = self
            .sip
            .iter()
            .filter(|sip| sip.sent && sip.start().starts_with("INVITE "));
        invites.map(|sip| sip.header("Call-ID")).collect()
    }

    /// Whether a request of the client was answered with 200 (the client pipelines, but never repeats).
    #[must_use]
    pub fn is_accepted(&self, request: &Sip) -> bool {
        let mut answers = self.sip.iter().filter(|sip| {
            let same = |name| sip.header(name) == request.header(name);
            !sip.sent && sip.start().starts_with("SIP/2.0 ") && same("Call-ID") && same("CSeq")
        });
        answers.any(|answer| answer.start().starts_with("SIP/2.0 200 "))
    }
}

impl Client {
    /// Starts a client. It does not sign in yet.
    #[must_use]
    pub fn start(driver: &Driver, account: &Account) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(driver.program());
        command
            .args(["--user", &account.user, "--deadline", "300"])
            // All of the log comes through a pipe: nothing is left behind, and messages can be waited for.
            .args(["--trace", "/dev/stderr"]);
        match &account.transport {
            Transport::Tcp(address) => {
                command.args(["--transport", "tcp", "--server", &address.to_string()]);
            }
            Transport::Tls { host, port, ca } => {
                command.args(["--transport", "tls", "--server", &format!("{host}:{port}")]);
                command.arg("--ca").arg(ca);
            }
        }
        if let Some(password) = &account.password {
            command.args(["--password", password]);
        }
        if let Some(seed) = account.seed {
            command.args(["--seed", &seed.to_string()]);
        }
        if let Some(minute) = account.minute {
            command.args(["--minute", &minute.to_string()]);
        }
        let mut child = command
            .env("TMPDIR", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the driver starts");
        let (tell, told) = mpsc::channel();
        let mut messages = Messages::default();
        let trace = tell.clone();
        let readers = vec![
            pipe::follow(child.stdout.take().unwrap(), tell.clone(), |line| {
                Some(Told::Event(
                    serde_json::from_str(&line).expect("an event is JSON"),
                ))
            }),
            pipe::follow(child.stderr.take().unwrap(), tell, move |line| {
                let message = messages.line(&line);
                let _unheard = trace.send(Told::Trace(line));
                message.map(Told::Sip)
            }),
        ];
        let test = std::thread::current()
            .name()
            .unwrap_or("test")
            .replace("::", "-");
        Self {
            user: account.user.clone(),
            commands: child.stdin.take(),
            child,
            told,
            readers,
            events: Vec::new(),
            sip: Vec::new(),
            trace: String::new(),
            kept_trace: driver.traces().join(format!("{test}-{}.log", account.user)),
            _home: home,
        }
    }

    /// The user as rooms show them.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("sip:{}", self.user)
    }

    // === Commands ===

    /// Signs in; what comes of it are events.
    #[track_caller]
    pub fn login(&mut self) {
        self.command("login");
    }

    /// Begins to sign in again after a lost connection, as Pidgin does by itself.
    #[track_caller]
    pub fn begin_reconnect(&mut self) {
        self.command("reconnect");
    }

    /// Signs in again after a lost connection, and waits until the rooms can be used.
    #[track_caller]
    pub fn reconnect(&mut self) {
        self.begin_reconnect();
        self.expect("groupchat-ready", json!({}));
    }

    /// Loses the connection by FIN: no BYE, no word to the server.
    #[track_caller]
    pub fn cut(&mut self) {
        self.command("cut");
        self.loses_connection();
    }

    /// Loses the connection by RST.
    #[track_caller]
    pub fn reset(&mut self) {
        self.command("cut reset");
        self.loses_connection();
    }

    /// Waits until the client notices that its connection is gone.
    #[track_caller]
    pub fn loses_connection(&mut self) {
        let lost = json!({"reason": "network-error", "fatal": false});
        self.expect("disconnected", lost);
    }

    /// Signs out orderly.
    #[track_caller]
    pub fn logout(&mut self) {
        self.command("logout");
        self.expect("disconnected", json!({"reason": "requested"}));
    }

    /// Fetches the room list: the events `room`.
    #[track_caller]
    pub fn rooms(&mut self) -> Vec<Value> {
        self.command("rooms");
        let listed = self.expect("rooms-done", json!({}))["rooms"]
            .as_u64()
            .unwrap();
        (0..listed)
            .map(|_| self.expect("room", json!({})))
            .collect()
    }

    /// Asks for a room, by URI or by a name of the list fetched last; answers its URI.
    #[track_caller]
    pub fn ask_for(&mut self, room: &str) -> Value {
        self.command(&format!("join {}", quoted(room)));
        self.expect("joining", json!({"open": false}))["uri"].clone()
    }

    /// Joins a room and waits for its history; answers the event `joined`.
    #[track_caller]
    pub fn join(&mut self, room: &str) -> Value {
        let uri = self.ask_for(room);
        let joined = self.expect("joined", json!({"uri": uri}));
        self.expect("history", json!({"uri": uri}));
        joined
    }

    /// Posts to an open room.
    #[track_caller]
    pub fn say(&mut self, room: &str, text: &str) {
        self.command(&format!("say {} {}", quoted(room), escaped(text)));
    }

    /// Leaves a room and waits until it is left.
    #[track_caller]
    pub fn part(&mut self, room: &str) {
        self.command(&format!("part {}", quoted(room)));
        self.expect("left", json!({"uri": room}));
    }

    /// Ends the client and answers all it told.
    #[track_caller]
    pub fn quit(mut self) -> Transcript {
        self.command("quit");
        self.expect("ended", json!({}));
        let status = self.child.wait().unwrap();
        assert!(
            status.success(),
            "the client of {} ended with {status}",
            self.user
        );
        self.readers
            .drain(..)
            .for_each(|reader| reader.join().unwrap());
        self.catch_up();
        Transcript {
            events: self.events.drain(..).map(|(event, _)| event).collect(),
            sip: self.sip.drain(..).map(|(sip, _)| sip).collect(),
        }
    }

    #[track_caller]
    fn command(&mut self, line: &str) {
        let commands = self.commands.as_mut().unwrap();
        let written = commands.write_all(format!("{line}\n").as_bytes());
        written.unwrap_or_else(|error| panic!("the client of {} is gone: {error}", self.user));
    }

    // === Events ===

    /// Waits for the first event of this name, not expected before, that has these fields.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "json!({...}) reads better without &"
    )]
    pub fn expect(&mut self, name: &str, fields: Value) -> Value {
        let found = self.first(|event| event["event"] == name && has(event, &fields));
        found.unwrap_or_else(|why| self.missed(&format!("{name} {fields}"), why))
    }

    /// Waits for the first event of one of these names, not expected before.
    #[track_caller]
    pub fn expect_one_of(&mut self, names: &[&str]) -> Value {
        let found = self.first(|event| names.iter().any(|name| event["event"] == *name));
        found.unwrap_or_else(|why| self.missed(&format!("one of {names:?}"), why))
    }

    fn first(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, RecvTimeoutError> {
        self.wait(|client| {
            let event = client
                .events
                .iter_mut()
                .find(|(event, taken)| !taken && wanted(event));
            event.map(|(event, taken)| {
                *taken = true;
                event.clone()
            })
        })
    }

    /// Waits for a message that someone posts now.
    #[track_caller]
    pub fn hears(&mut self, room: &str, from: &str, text: &str) -> Value {
        let said = json!({"uri": room, "from": from, "text": text, "history": false});
        self.expect("message", said)
    }

    /// Waits for a SIP message, not expected before.
    #[track_caller]
    pub fn expect_sip(&mut self, what: &str, wanted: impl Fn(&Sip) -> bool) -> Sip {
        let found = self.wait(|client| {
            let sip = client
                .sip
                .iter_mut()
                .find(|(sip, taken)| !taken && wanted(sip));
            sip.map(|(sip, taken)| {
                *taken = true;
                sip.clone()
            })
        });
        found.unwrap_or_else(|why| self.missed(what, why))
    }

    /// How many events of this name with these fields there were until now, expected or not.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "json!({...}) reads better without &"
    )]
    pub fn count(&mut self, name: &str, fields: Value) -> usize {
        self.catch_up();
        let events = self.events.iter().map(|(event, _)| event);
        events
            .filter(|event| event["event"] == name && has(event, &fields))
            .count()
    }

    /// Texts of the messages shown in a room until now, in order.
    pub fn texts(&mut self, room: &str) -> Vec<String> {
        self.catch_up();
        let events = self.events.iter().map(|(event, _)| event);
        let messages = events.filter(|event| event["event"] == "message" && event["uri"] == room);
        messages
            .map(|event| event["text"].as_str().unwrap().to_owned())
            .collect()
    }

    fn wait<T>(
        &mut self,
        mut found: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, RecvTimeoutError> {
        let deadline = Instant::now() + patience();
        loop {
            self.catch_up();
            if let Some(found) = found(self) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let told = self.told.recv_timeout(left)?;
            self.note(told);
        }
    }

    fn catch_up(&mut self) {
        while let Ok(told) = self.told.try_recv() {
            self.note(told);
        }
    }

    fn note(&mut self, told: Told) {
        match told {
            Told::Event(event) => self.events.push((event, false)),
            Told::Sip(sip) => self.sip.push((sip, false)),
            Told::Trace(line) => {
                self.trace.push_str(&line);
                self.trace.push('\n');
            }
        }
    }

    #[track_caller]
    fn missed(&mut self, wanted: &str, why: RecvTimeoutError) -> ! {
        let mut report = match why {
            RecvTimeoutError::Timeout => format!("{} waited in vain for {wanted}", self.user),
            RecvTimeoutError::Disconnected => {
                let status = self.child.wait();
                format!(
                    "the client of {} ended ({status:?}) before {wanted}",
                    self.user
                )
            }
        };
        report.push_str("; it told last:\n");
        for (event, taken) in self
            .events
            .iter()
            .skip(self.events.len().saturating_sub(SHOWN))
        {
            let mark = if *taken { ' ' } else { '*' };
            let _infallible = writeln!(report, "  {mark} {event}");
        }
        panic!("{report}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _reaped = self.child.wait();
        for reader in self.readers.drain(..) {
            let _read = reader.join();
        }
        if std::thread::panicking() {
            self.catch_up();
            let folder = self.kept_trace.parent().unwrap();
            let kept = std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&self.kept_trace, &self.trace));
            eprintln!(
                "--- trace of {}: {} ({kept:?})",
                self.user,
                self.kept_trace.display()
            );
        }
    }
}

/// Whether an event has all these fields.
fn has(event: &Value, fields: &Value) -> bool {
    let fields = fields.as_object().expect("fields are an object");
    fields
        .iter()
        .all(|(key, value)| event.get(key) == Some(value))
}

/// A word of the driver's protocol.
fn quoted(word: &str) -> String {
    format!("\"{}\"", escaped(word).replace('"', "\\\""))
}

/// Text of the driver's protocol: one line, whatever it holds.
fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => line.push_str("\\\\"),
            control if control.is_control() => {
                let _infallible = write!(line, "\\u{{{:x}}}", u32::from(control));
            }
            other => line.push(other),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_holds_stays_on_its_line() {
        assert_eq!(
            escaped("a\\b\nc\u{1}\u{1F600}\""),
            "a\\\\b\\u{a}c\\u{1}\u{1F600}\""
        );
        assert_eq!(quoted("Night \"Shift\" \\"), "\"Night \\\"Shift\\\" \\\\\"");
    }

    #[test]
    fn an_event_is_matched_by_the_fields_named() {
        let event = json!({"event": "message", "text": "hi", "topic": null});
        assert!(has(&event, &json!({"text": "hi"})));
        assert!(!has(&event, &json!({"text": "ho"})));
        assert!(!has(&event, &json!({"room": null})));
    }
}
