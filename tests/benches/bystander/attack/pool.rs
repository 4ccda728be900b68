//! A pool that sends what no pool sends, and the attacks it is for.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use holdover_protocol::sip::{Decoded, Decoder, Limits, Message, Name, Request, Status, respond};
use holdover_tests::client::Client;
use holdover_tests::gateway::DOMAIN;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::{interval, timeout_at};

use super::Attack;
use super::peer::{Stage, repeat, signed_in};
use super::signed_in::SECOND;
use crate::lab::NOISE;

/// Lines that merge into one room.
const MERGED: usize = 500;

/// Rooms of the long reply.
const ROOMS: usize = 4_000;

/// Octets of the long reply.
const REPLY: usize = 1_020_000;

/// Returns the lines of the directory that the attack needs.
pub(super) fn lines(attack: Attack) -> String {
    let mut lines = String::new();
    let mut line = |legacy: &str, migrated: &str, state: &str| {
        let _written = writeln!(
            lines,
            "ma-chan://{DOMAIN}/{legacy},evil,ma-chan://{DOMAIN}/{migrated},{state},,"
        );
    };
    match attack {
        Attack::Merged => {
            for number in 0..MERGED {
                line(&format!("e{number:05}"), "m-evil", "merged");
            }
        }
        Attack::LongReply => {
            for number in 0..ROOMS {
                line(&legacy(number), &format!("e{number:05}"), "migrated");
            }
        }
        _ => line("evil", "m-evil", "migrated"),
    }
    lines
}

/// Longer than the migrated identifier, by about a twentieth of what a room takes in the reply.
fn legacy(number: usize) -> String {
    format!("legacy-room-{number:05}")
}

fn chanid(value: &str) -> String {
    format!("<chanid key=\"0\" domain=\"{DOMAIN}\" value=\"{value}\"/>")
}

pub(super) async fn items(stage: Stage, count: usize) -> Result<String> {
    let mut document =
        String::from("<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\">");
    for _ in 0..10 {
        let _written = write!(document, "<!--{}-->", "c".repeat(60_000));
    }
    document.push_str(&"<rpl id=\"x\"/>".repeat(count));
    document.push_str("</xccos>");
    let pool = Pool::serve(&stage.pool, |_| chanib("m-evil", 200))?;
    let mut client = signed_in(&stage, "mallory").await?;
    client.join("evil").await;
    let until = stage.begin().await?;
    let sends = timeout_at(until, async {
        let mut ticks = interval(SECOND);
        let mut sent = 0;
        loop {
            ticks.tick().await;
            pool.documents.send(document.clone())?;
            sent += 1;
            anyhow::ensure!(sent < 1_000, "enough");
        }
    });
    // The client never asks; it takes what comes.
    let never = Duration::from_secs(3600);
    let (sent, _) = tokio::join!(
        sends,
        repeat(&mut client, never, until, |client| {
            client.command_body("getpref", "")
        })
    );
    let sent: Result<Result<()>, _> = sent;
    anyhow::ensure!(sent.is_err(), "the gateway never dialled the pool");
    Ok(format!("documents of {} octets", document.len()))
}

pub(super) async fn merged(stage: Stage) -> Result<String> {
    let _pool = Pool::serve(&stage.pool, |_| chanib("m-evil", 900_000))?;
    let rooms: String = (0..MERGED)
        .map(|number| chanid(&format!("e{number:05}")))
        .collect();
    join(stage, rooms).await
}

pub(super) async fn long_reply(stage: Stage) -> Result<String> {
    let _pool = Pool::serve(&stage.pool, |command| {
        // Only the large one is answered with all rooms.
        if !command.contains("e00001") {
            return String::new();
        }
        let room = REPLY / ROOMS;
        (0..ROOMS)
            .map(|number| chanib(&format!("e{number:05}"), room))
            .collect()
    })?;
    let mut rooms = chanid(NOISE);
    rooms.extend((0..ROOMS).map(|number| chanid(&legacy(number))));
    join(stage, rooms).await
}

async fn join(stage: Stage, rooms: String) -> Result<String> {
    let mut client = signed_in(&stage, "mallory").await?;
    let until = stage.begin().await?;
    let body = |client: &mut Client| client.command_body("bjoin", &rooms);
    let counts = repeat(&mut client, SECOND, until, body).await;
    Ok(counts.to_string())
}

/// A room of so many octets.
fn chanib(value: &str, octets: usize) -> String {
    let start = format!("<chanib uri=\"ma-chan://{DOMAIN}/{value}\" name=\"Evil\" description=\"");
    let fill = "d".repeat(octets.saturating_sub(start.len() + 4));
    format!("{start}{fill}\"/>")
}

/// The rooms of the reply to a `bjoin` or `join`.
type Rooms = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// The pool. It answers what a pool must, joins with the rooms of its script, and sends documents in every dialog.
struct Pool {
    documents: broadcast::Sender<String>,
}

impl Pool {
    fn serve(
        listener: &Arc<TcpListener>,
        rooms: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Result<Self> {
        let (listener, address) = (Arc::clone(listener), listener.local_addr()?);
        let documents = broadcast::Sender::new(8);
        let (sender, rooms): (_, Rooms) = (documents.clone(), Arc::new(rooms));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let peer = Peer {
                    stream,
                    address,
                    rooms: Arc::clone(&rooms),
                    dialogs: HashMap::new(),
                    sent: 0,
                };
                tokio::spawn(peer.talk(sender.subscribe()));
            }
        });
        Ok(Self { documents })
    }
}

/// A dialog of one user: the lines of a request in it, and where it goes.
struct Dialog {
    target: String,
    lines: String,
}

/// A connection of the gateway.
struct Peer {
    stream: TcpStream,
    address: SocketAddr,
    rooms: Rooms,
    /// By Call-ID.
    dialogs: HashMap<String, Dialog>,
    /// Requests of our own.
    sent: u32,
}

impl Peer {
    async fn talk(mut self, mut documents: broadcast::Receiver<String>) -> Result<()> {
        let limits = Limits {
            body: 16 * 1024 * 1024,
            ..Limits::default()
        };
        let mut decoder = Decoder::new(limits);
        loop {
            loop {
                match decoder.decode() {
                    Decoded::Message(Message::Request(request)) => self.answer(&request).await?,
                    Decoded::Message(Message::Response(_)) => {}
                    Decoded::KeepAlive(_) => self.stream.write_all(b"\r\n").await?,
                    Decoded::NeedMore { .. } => break,
                    Decoded::Malformed { fault, .. } | Decoded::Fatal { fault, .. } => {
                        anyhow::bail!("{fault}")
                    }
                }
            }
            tokio::select! {
                read = self.stream.read_buf(decoder.buffer()) => {
                    anyhow::ensure!(read? > 0, "closed");
                }
                document = documents.recv() => {
                    let document = document?;
                    let calls: Vec<String> = self.dialogs.keys().cloned().collect();
                    for call in calls {
                        self.info(&call, &document).await?;
                    }
                }
            }
        }
    }

    async fn answer(&mut self, request: &Request) -> Result<()> {
        let headers = request.headers();
        let method = request.method().as_str();
        if method == "ACK" {
            return Ok(());
        }
        let mut answer = respond(request, Status::OK, Some("evil"));
        if method == "INVITE" {
            let contact = format!("<sip:evil@{};transport=tcp>", self.address);
            answer = answer.header(Name::Contact, contact);
            let text = |name| headers.get(name).unwrap_or_default();
            let target = headers.addresses(Name::Contact).next();
            let target = target.context("no Contact")??;
            let lines = format!(
                "From: {};tag=evil\r\nTo: {}\r\nCall-ID: {}\r\n",
                text(Name::To),
                text(Name::From),
                text(Name::CallId)
            );
            let target = target.uri_text().to_owned();
            let call = headers.call_id()?.to_owned();
            self.dialogs.insert(call, Dialog { target, lines });
        }
        self.stream.write_all(&answer.finish()).await?;
        if method == "BYE" {
            self.dialogs.remove(headers.call_id()?);
        }
        if method == "INFO" {
            let command = String::from_utf8_lossy(request.body()).into_owned();
            for verb in ["bjoin", "join"] {
                if command.contains(&format!("\"cmd:{verb}\"")) {
                    let reply = reply(verb, &command, &(self.rooms)(&command));
                    let call = headers.call_id()?.to_owned();
                    self.info(&call, &reply).await?;
                }
            }
        }
        Ok(())
    }

    async fn info(&mut self, call: &str, document: &str) -> Result<()> {
        let Some(Dialog { target, lines }) = self.dialogs.get(call) else {
            return Ok(());
        };
        self.sent += 1;
        let (address, number, length) = (self.address, self.sent, document.len());
        let head = format!(
            "INFO {target} SIP/2.0\r\nVia: SIP/2.0/TCP {address};branch=z9hG4bK{number}\r\n{lines}\
             CSeq: {number} INFO\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(document.as_bytes()).await?;
        Ok(())
    }
}

/// The reply to a command.
fn reply(verb: &str, command: &str, data: &str) -> String {
    let number = command.split_once("envid=\"").map_or("", |(_, rest)| rest);
    let number = number.split('"').next().unwrap_or_default();
    format!(
        "<xccos ver=\"1\" envid=\"7\" xmlns=\"urn:parlano:xml:ns:xccos\"><rpl id=\"rpl:{verb}\" seqid=\"1\">\
         <commandid seqid=\"1\" envid=\"{number}\"/><resp code=\"200\">SUCCESS_OK</resp>\
         <data>{data}</data></rpl></xccos>"
    )
}
