//! A log that nobody reads: standard error is a pipe that is full.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use holdover_tests::gateway::Installation;
use holdover_tests::patience;
use serde_json::Value;

/// Room in a pipe, on every system there is, and more.
const MORE_THAN_A_PIPE: usize = 4 * 1_024 * 1_024;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_before = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The body of the admin server's answer, or none if it does not come in time.
fn get(admin: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let installation = Installation::new("\"open\"", "[log]\nformat = \"json\"\n");
    let (reader, mut writer) = std::io::pipe().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_holdover-under-test"))
        .args(["run", "--config"])
        .arg(installation.config())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer.try_clone().unwrap())
        .spawn()
        .unwrap();
    let mut running = Running(child);
    let mut reader = BufReader::new(reader);
    let mut address_of = |message: &str, field: &str, listener: Option<&str>| loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "{message}");
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        if event["message"] == message && listener.is_none_or(|it| event["listener"] == it) {
            break event[field]
                .as_str()
                .unwrap()
                .parse::<SocketAddr>()
                .unwrap();
        }
    };
    let admin = address_of("admin.opened", "address", None);
    let tcp = address_of("listener.opened", "listen.addr", Some("tcp"));

    // From here on nobody reads, and there is no room left.
    let (filled, fills) = mpsc::channel();
    let filler = std::thread::spawn(move || {
        let chunk = [b'x'; 4_096];
        for _ in 0..MORE_THAN_A_PIPE / chunk.len() {
            if writer.write_all(&chunk).is_err() {
                return;
            }
            let _nobody_asks = filled.send(());
        }
    });
    for _ in 0..8 {
        fills.recv_timeout(patience()).unwrap();
    }

    // Each of these would have a line of its own.
    let mut peer = TcpStream::connect(tcp).unwrap();
    peer.set_read_timeout(Some(patience())).unwrap();
    for n in 1..=330 {
        write!(
            peer,
            "INFO sip:bob@contoso.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{n}\r\n\
             From: <sip:ann@contoso.com>;tag=1\r\nTo: <sip:bob@contoso.com>\r\nCall-ID: {n}\r\nCSeq: {n} INFO\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        .unwrap();
    }
    let mut answers = BufReader::new(peer);
    let mut answered = 0;
    while answered < 330 {
        let mut line = String::new();
        assert!(answers.read_line(&mut line).unwrap() > 0);
        answered += usize::from(line.starts_with("SIP/2.0 "));
    }
    assert!(get(admin, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(admin, "/readyz").starts_with("HTTP/1.1 200"));
    let metrics = get(admin, "/metrics");
    let suppressed = metrics
        .lines()
        .find_map(|line| line.strip_prefix("holdover_log_suppressed_total "));
    assert!(
        suppressed.unwrap().parse::<u64>().unwrap() >= 300,
        "{metrics}"
    );
    assert!(!filler.is_finished(), "the pipe was not full");

    let pid = running.0.id().to_string();
    let sent = Command::new("sh")
        .args(["-c", "kill -TERM \"$0\"", &pid])
        .status();
    assert!(sent.unwrap().success());
    let deadline = Instant::now() + patience();
    let status = loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "SIGTERM did not end it");
        std::thread::yield_now();
    };
    assert!(status.success(), "{status}");
    drop(answers);
    drop(reader);
    filler.join().unwrap();
}
