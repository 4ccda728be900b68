//! One client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::{Buf as _, BytesMut};
use holdover::transport::Stream;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::stage::Counts;
use super::{POOL_URI, Rooms, Way, Work};
use crate::samples;

/// A message: its head, and its body behind it.
pub(super) struct Message {
    whole: BytesMut,
    body: usize,
}

impl Message {
    /// Takes one message out of a buffer that starts with one, or with line ends that keep the connection alive.
    pub(super) fn take(buffer: &mut BytesMut) -> Option<Self> {
        while buffer.starts_with(b"\r\n") {
            buffer.advance(2);
        }
        let body = memmem::find(buffer, b"\r\n\r\n")? + 4;
        let head = buffer.get(..body)?;
        let at = memmem::find(head, b"\r\nContent-Length: ")? + 18;
        let digits = head
            .get(at..)?
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        if buffer.len() < body + length {
            buffer.reserve(body + length - buffer.len());
            return None;
        }
        Some(Self {
            whole: buffer.split_to(body + length),
            body,
        })
    }

    pub(super) fn whole(&self) -> &[u8] {
        &self.whole
    }

    pub(super) fn body(&self) -> &[u8] {
        self.whole.get(self.body..).unwrap_or_default()
    }

    fn head(&self) -> &str {
        let head = self.whole.get(..self.body).unwrap_or_default();
        std::str::from_utf8(head).unwrap_or_default()
    }

    pub(super) fn is_response(&self) -> bool {
        self.whole.starts_with(b"SIP/2.0 ")
    }

    fn is_ok(&self) -> bool {
        self.whole.starts_with(b"SIP/2.0 200")
    }

    /// The values of the headers of this name, in order.
    fn values<'m>(&'m self, name: &str) -> impl Iterator<Item = &'m str> {
        self.head().lines().filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The value of the first of them.
    pub(super) fn value(&self, name: &str) -> &str {
        self.values(name).next().unwrap_or_default()
    }

    /// The 200 to this request.
    pub(super) fn ok(&self, tag: &str, out: &mut BytesMut) {
        out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
        for line in self.head().split_inclusive("\r\n") {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            match name {
                "To" if !tag.is_empty() && !value.contains(";tag=") => {
                    out.extend_from_slice(line.trim_end().as_bytes());
                    out.extend_from_slice(tag.as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                "Via" | "From" | "To" | "Call-ID" | "CSeq" => {
                    out.extend_from_slice(line.as_bytes());
                }
                _ => {}
            }
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

/// A dialog of the client, or what stands for one before there is any.
struct Dialog {
    /// What requests are sent to.
    target: String,
    /// The value of To.
    to: String,
    /// Route headers, with their line ends.
    route: String,
}

/// See the module's text.
pub(super) struct Client {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    number: usize,
    rooms: Rooms,
    way: Way,
    dialog: Dialog,
    call: u32,
    cseq: u32,
}

impl Client {
    pub(super) fn new(stream: Stream, number: usize, rooms: Rooms, way: Way) -> Self {
        let user = user(number);
        Self {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            number,
            rooms,
            way,
            dialog: Dialog {
                to: format!("<{user}>"),
                target: user,
                route: String::new(),
            },
            call: 0,
            cseq: 0,
        }
    }

    async fn read(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = Message::take(&mut self.input) {
                return Ok(message);
            }
            self.flush().await?;
            if self.stream.read_buf(&mut self.input).await? == 0 {
                bail!("the connection was closed");
            }
        }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.output.has_remaining() {
            self.stream.write_all_buf(&mut self.output).await?;
            self.stream.flush().await?;
        }
        Ok(())
    }

    fn send(&mut self, method: &str, more: &str, body: &str) {
        if method != "ACK" {
            self.cseq += 1;
        }
        let Self {
            number, call, cseq, ..
        } = *self;
        let user = user(number);
        let Dialog { target, to, route } = &self.dialog;
        let text = format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/tcp 10.20.31.17:49152;branch=z9hG4bK{number:x}x{call}x{cseq}{method}\r\n\
             From: <{user}>;tag={number};epid={number:012x}\r\n\
             To: {to}\r\n\
             Max-Forwards: 70\r\n\
             CSeq: {cseq} {method}\r\n\
             User-Agent: Purple/2.14.12 Sipe/1.25.0 (linux-x86_64; RTC/6.0)\r\n\
             Call-ID: 2F13g5A7EaC92Bi3F0Dt4C17m{number:08X}x{call}\r\n\
             {route}{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Sends a request and waits for its 200. What the server asks meanwhile is answered.
    async fn ask(&mut self, method: &str, more: &str, body: &str) -> Result<Message> {
        self.send(method, more, body);
        loop {
            let message = self.read().await?;
            if !message.is_response() {
                message.ok("", &mut self.output);
            } else if message.value("CSeq").ends_with(method)
                && !message.whole.starts_with(b"SIP/2.0 1")
            {
                if !message.is_ok() {
                    bail!("{method}: {}", message.head());
                }
                return Ok(message);
            }
        }
    }

    /// Sends a command and waits for what comes back.
    async fn command(&mut self, id: &str, data: &str) -> Result<()> {
        let body = format!(
            r#"<xccos ver="1" envid="{}" xmlns="urn:parlano:xml:ns:xccos"><cmd id="cmd:{id}" seqid="1"><data>{data}</data></cmd></xccos>"#,
            self.cseq
        );
        self.send("INFO", "Content-Type: text/plain\r\n", &body);
        let wanted = [format!("id=\"rpl:{id}"), format!("id=\"cmd:{id}")];
        loop {
            let message = self.read().await?;
            if message.is_response() {
                if !message.is_ok() {
                    bail!("{id}: {}", message.head());
                }
                continue;
            }
            message.ok("", &mut self.output);
            if wanted
                .iter()
                .any(|id| memmem::find(message.body(), id.as_bytes()).is_some())
            {
                if id == "bjoin" && memmem::find(message.body(), b"<fib").is_some() {
                    bail!("a room could not be joined");
                }
                return Ok(());
            }
        }
    }

    async fn dial(&mut self, uri: &str) -> Result<()> {
        self.call += 1;
        self.dialog = Dialog {
            target: uri.to_owned(),
            to: format!("<{uri}>"),
            route: String::new(),
        };
        let sdp = "v=0\r\no=- 0 0 IN IP4 10.20.31.17\r\ns=session\r\nc=IN IP4 10.20.31.17\r\nt=0 0\r\nm=message 5060 sip null\r\n";
        let more = format!(
            "Contact: <{}>\r\nContent-Type: application/sdp\r\n",
            user(self.number)
        );
        let accepted = self.ask("INVITE", &more, sdp).await?;
        self.dialog.to = accepted.value("To").to_owned();
        let contact = accepted.value("Contact");
        if let Some((uri, _)) = contact
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'))
        {
            self.dialog.target = uri.to_owned();
        }
        let recorded: Vec<&str> = accepted
            .values("Record-Route")
            .flat_map(|value| value.split(','))
            .collect();
        let route = |value: &&str| format!("Route: {}\r\n", value.trim());
        self.dialog.route = recorded.iter().rev().map(route).collect();
        self.send("ACK", "", "");
        Ok(())
    }

    /// Everything a real client does until its rooms are open.
    pub(super) async fn sign_in(&mut self) -> Result<()> {
        if self.way == Way::Gateway {
            self.register().await?;
        } else {
            self.dial(POOL_URI).await?;
        }
        let rooms = self.rooms.of(self.number);
        if !rooms.is_empty() {
            let chanid = |number: usize| {
                // Relays rewrite posts alone.
                let value = samples::room(number, self.way != Way::Gateway);
                let domain = samples::DOMAIN;
                format!(r#"<chanid key="{number}" domain="{domain}" value="{value}"/>"#)
            };
            let data: String = rooms.map(chanid).collect();
            self.command("bjoin", &data).await?;
        }
        self.flush().await?;
        // As idle clients hold none either. What others caused may have come already.
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.output = BytesMut::new();
        Ok(())
    }

    async fn register(&mut self) -> Result<()> {
        let (user, domain) = (user(self.number), samples::DOMAIN);
        let target = std::mem::replace(&mut self.dialog.target, format!("sip:{domain}"));
        self.ask("REGISTER", &format!("Contact: <{user}>\r\n"), "")
            .await?;
        self.dialog.target = target;
        let event = "Event: vnd-microsoft-provisioning-v2\r\nExpires: 0\r\n";
        self.ask("SUBSCRIBE", event, "").await?;
        self.dial(&format!("sip:ocschat@{domain}")).await?;
        self.command("requri", "").await?;
        self.ask("BYE", "", "").await?;
        self.dial(&format!("sip:channel@{domain}")).await
    }

    /// Answers what comes, and posts while there is work.
    pub(super) async fn live(
        mut self,
        mut work: watch::Receiver<Option<Work>>,
        counts: Arc<Counts>,
    ) -> Result<()> {
        let mine = format!("author=\"{}\"", user(self.number));
        let mut posting: Option<Posting> = None;
        let mut under_way: VecDeque<Instant> = VecDeque::new();
        loop {
            let mut pause = None;
            while let Some(posting) = &mut posting
                && under_way.len() < posting.work.window
            {
                pause = posting.pause();
                if pause.is_some() {
                    break;
                }
                self.send("INFO", "Content-Type: text/plain\r\n", &posting.body);
                under_way.push_back(Instant::now());
            }
            let message = tokio::select! {
                biased;
                message = self.read() => message?,
                changed = work.changed() => {
                    changed?;
                    let work = *work.borrow();
                    posting = work.map(|work| self.posting(work));
                    continue;
                }
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => continue,
            };
            if message.is_response() {
                if !message.is_ok() {
                    bail!("a post was refused: {}", message.head());
                }
                continue;
            }
            message.ok("", &mut self.output);
            counts.delivered();
            if let Some(posting) = &posting
                && memmem::find(message.body(), b"<grpchat").is_some()
                && memmem::find(message.body(), &posting.room).is_none()
            {
                bail!("a post came back with the other side's identifier");
            }
            if memmem::find(message.body(), mine.as_bytes()).is_some()
                && let Some(sent) = under_way.pop_front()
            {
                counts.took(sent.elapsed());
            }
        }
    }

    fn posting(&self, work: Work) -> Posting {
        let room = self.rooms.of(self.number).start;
        let is_migrated = self.way == Way::Straight;
        let body = samples::post(work.bytes, room, is_migrated);
        let every = match work.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs(work.clients as u64) / rate,
        };
        // Spread evenly: each client starts a little after the one before it.
        let turn = (self.number % work.clients) as f64 / work.clients as f64;
        Posting {
            work,
            body: body.replacen("sip:ann.example@contoso.com", &user(self.number), 1),
            room: samples::room(room, is_migrated).into_bytes(),
            every,
            next: Instant::now() + every.mul_f64(turn),
        }
    }
}

/// What a client posts.
struct Posting {
    work: Work,
    body: String,
    /// As the room is called in what comes back.
    room: Vec<u8>,
    /// Time from one post to the next; zero: as soon as the window allows.
    every: Duration,
    next: Instant,
}

impl Posting {
    /// How long to wait before the next post; `None`: it is sent now.
    fn pause(&mut self) -> Option<Duration> {
        if self.every.is_zero() {
            return None;
        }
        let pause = self.next.saturating_duration_since(Instant::now());
        if pause.is_zero() {
            self.next += self.every;
            return None;
        }
        Some(pause)
    }
}

fn user(number: usize) -> String {
    format!("sip:user{number}@{}", samples::DOMAIN)
}
