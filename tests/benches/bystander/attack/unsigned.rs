//! What anybody can do who reaches a port.

use std::time::Duration;

use anyhow::{Context as _, Result};
use holdover_protocol::sip::Name;
use holdover_protocol::sip::digest::{Challenge, Ha1};
use holdover_tests::client::Client;
use holdover_tests::gateway::DOMAIN;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout_at};

use super::peer::{self, Counts, HOST, Stage, connect};
use crate::lab::{PASSWORD, VICTIM};

/// An OPTIONS of somebody who has not signed in, of about 300 octets.
pub(super) fn options(number: usize) -> String {
    format!(
        "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/tcp 127.0.0.1:5060;branch=z9hG4bK{number}\r\n\
         From: <sip:mallory@{DOMAIN}>;tag={number}\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: options-{number}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nUser-Agent: monitor\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Writes what `next` makes until the time is over, on a connection that is made again whenever it is closed. What comes back
/// is read and thrown away. Returns how many were written.
pub(super) async fn pour(
    stage: &Stage,
    until: Instant,
    every: Option<Duration>,
    next: impl Fn(usize) -> String,
) -> Counts {
    let mut counts = Counts::default();
    let mut number = 0;
    let poured = timeout_at(until, async {
        let mut ticks = every.map(interval);
        loop {
            let Ok(stream) = connect(stage.gateway.open, HOST).await else {
                counts.got(0);
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let (mut read, mut write) = stream.into_split();
            let reader = tokio::spawn(async move {
                let mut chunk = vec![0; 16 * 1024];
                while read.read(&mut chunk).await.is_ok_and(|count| count > 0) {}
            });
            while !reader.is_finished() {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                number += 1;
                if write.write_all(next(number).as_bytes()).await.is_err() {
                    break;
                }
                counts.sent();
            }
            counts.got(0);
            reader.abort();
        }
    });
    // It only ends by time.
    let _over: Result<(), _> = poured.await;
    counts
}

pub(super) async fn unread_log(stage: Stage) -> Result<String> {
    let until = stage.begin().await?;
    let mut stream = connect(stage.gateway.open, HOST).await?;
    let burst: String = (0..330).map(options).collect();
    stream.write_all(burst.as_bytes()).await?;
    let counts = pour(&stage, until, Some(Duration::from_millis(5)), options).await;
    Ok(format!("330 and {counts}"))
}

pub(super) async fn much_log(stage: Stage) -> Result<String> {
    let until = stage.begin().await?;
    let pour = || pour(&stage, until, None, options);
    let (a, b, c, d) = tokio::join!(pour(), pour(), pour(), pour());
    let mut counts = a;
    for more in [&b, &c, &d] {
        counts.add(more);
    }
    Ok(counts.to_string())
}

pub(super) async fn bodies(stage: Stage) -> Result<String> {
    const CONNECTIONS: usize = 1_000;
    const BODY: usize = 1024 * 1024;
    let until = stage.begin().await?;
    let head = format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/tcp 127.0.0.1:5060\r\n\
         From: <sip:mallory@{DOMAIN}>;tag=1;epid=1\r\nTo: <sip:mallory@{DOMAIN}>\r\nCall-ID: body\r\n\
         CSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\nContent-Length: {BODY}\r\n\r\n"
    );
    let mut sending = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let Ok(mut stream) = connect(stage.gateway.open, HOST).await else {
            continue;
        };
        let head = head.clone();
        sending.spawn(async move {
            let mut counts = Counts::default();
            counts.sent();
            let held = timeout_at(until, async {
                stream.write_all(head.as_bytes()).await?;
                let (mut left, chunk) = (BODY - 1, vec![b'x'; 64 * 1024]);
                while left > 0 {
                    let part = chunk.split_at(left.min(chunk.len())).0;
                    stream.write_all(part).await?;
                    left -= part.len();
                }
                wait_for_end(&mut stream).await
            });
            if held.await.is_ok() {
                counts.got(0);
            }
            counts
        });
    }
    let mut counts = Counts::default();
    while let Some(one) = sending.join_next().await {
        counts.add(&one?);
    }
    Ok(counts.to_string())
}

/// Reads until the other side closes.
async fn wait_for_end(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut chunk = vec![0; 4096];
    while stream.read(&mut chunk).await? > 0 {}
    Ok(())
}

/// Registers with this password. `None`: the connection was closed.
async fn register(client: &mut Client, password: &str) -> Option<u16> {
    let (dialog, request) = client.register_request("");
    client.write(request.as_bytes()).await.ok()?;
    let challenged = client.response(&dialog.call_id, dialog.cseq).await?;
    let challenge = challenged.headers().get(Name::ProxyAuthenticate);
    let Some(challenge) = challenge.and_then(|challenge| Challenge::parse(challenge).ok()) else {
        return Some(challenged.status().code());
    };
    let ha1 = Ha1::new(&client.user, challenge.realm(), password);
    let answer = challenge.answer(&client.user, &ha1, "REGISTER", "(null)", "0a4f113b", 1);
    let header = format!("Proxy-Authorization: {answer}\r\nContent-Length:");
    let again = request.replace("Content-Length:", &header);
    client.write(again.as_bytes()).await.ok()?;
    let answer = client.response(&dialog.call_id, dialog.cseq).await?;
    Some(answer.status().code())
}

pub(super) async fn guesses(stage: Stage) -> Result<String> {
    let until = stage.begin().await?;
    let guess = async || {
        let mut counts = Counts::default();
        let guessed = timeout_at(until, async {
            loop {
                let Ok(stream) = connect(stage.gateway.digest, HOST).await else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let mut client = peer::client(stream, VICTIM);
                while let Some(status) = {
                    counts.sent();
                    register(&mut client, "wrong horse").await
                } {
                    counts.got(status);
                }
            }
        });
        // It only ends by time.
        let _over: Result<(), _> = guessed.await;
        counts
    };
    // The user herself, from another address, while it goes on.
    let herself = async {
        sleep_until(until - (until - Instant::now()) / 4).await;
        let mut client = Client::tcp(stage.gateway.digest, VICTIM).await;
        let begun = Instant::now();
        let status = register(&mut client, PASSWORD).await;
        (status, begun.elapsed())
    };
    let begun = Instant::now();
    let (a, b, c, d, (status, took)) = tokio::join!(guess(), guess(), guess(), guess(), herself);
    let mut counts = a;
    for more in [&b, &c, &d] {
        counts.add(more);
    }
    let a_second = counts.of(403) as f64 / begun.elapsed().as_secs_f64();
    anyhow::ensure!(
        status == Some(200),
        "the user herself is refused: {status:?}; {counts}"
    );
    Ok(format!(
        "{a_second:.0} guesses a second; the user herself: 200 after {} ms",
        took.as_millis()
    ))
}

pub(super) async fn descriptors(stage: Stage) -> Result<String> {
    const CONNECTIONS: usize = 1_150;
    let until = stage.begin().await?;
    let mut held = Vec::new();
    for number in 0..CONNECTIONS {
        // No address has more than it may.
        let host = HOST + u8::try_from(number % 2)?;
        let connected =
            tokio::time::timeout(Duration::from_secs(1), connect(stage.gateway.open, host));
        held.push(connected.await);
        if Instant::now() > until {
            break;
        }
    }
    let open = held.iter().filter(|one| matches!(one, Ok(Ok(_)))).count();
    sleep_until(until).await;
    Ok(format!("{open} connections open"))
}

pub(super) async fn slow_heads(stage: Stage) -> Result<String> {
    const CONNECTIONS: usize = 200;
    let until = stage.begin().await?;
    let mut slow = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let admin = stage.gateway.admin;
        slow.spawn(timeout_at(until, async move {
            // One that is closed comes again.
            loop {
                let mut stream = connect(admin, HOST).await?;
                stream
                    .write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
                    .await?;
                let mut ticks = interval(Duration::from_millis(500));
                loop {
                    ticks.tick().await;
                    if stream.write_all(b"x").await.is_err() {
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }));
    }
    let mut failed = 0;
    while let Some(one) = slow.join_next().await {
        // It only ends by time, or because it could not connect.
        let one: Result<Result<()>, _> = one.context("slow head")?;
        failed += usize::from(one.is_ok());
    }
    Ok(format!(
        "{CONNECTIONS} slow heads, {failed} could not connect"
    ))
}
