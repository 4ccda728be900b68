//! Legacy clients in a process of their own, so that what the gateway costs can be told from what they cost.
//!
//! A bench starts itself again with [`Clients::start`]; the copy runs [`serve`] and does what the bench tells it on its
//! standard input. Clients speak SIP by fixed templates: they sign in as real ones do, answer every INFO at once, and post
//! in a closed loop.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{Buf as _, BytesMut};
use holdover::transport::Stream;
use holdover::transport::tls::Connector;
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::samples;

/// First argument of a copy that plays the clients.
const ARGUMENT: &str = "play-clients";

/// Clients that sign in at a time.
const AT_ONCE: usize = 16;

/// Time for queues to fill and caches to warm before anything counts.
const WARM_UP: Duration = Duration::from_millis(700);

/// What the posts of a while came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    /// Posts that their sender got back.
    pub(crate) posts: u64,
    /// INFO requests that clients were sent.
    pub(crate) delivered: u64,
    /// Time from sending a post until its sender has it back, microseconds: median and 99th percentile.
    pub(crate) median: u64,
    /// See `median`.
    pub(crate) late: u64,
}

/// Who the clients share their rooms with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    /// Clients in each room.
    pub(crate) members: usize,
    /// Rooms that each client joins.
    pub(crate) each: usize,
}

impl Rooms {
    /// The number of rooms that so many clients need.
    pub(crate) fn count(self, clients: usize) -> usize {
        clients.div_ceil(self.members) * self.each
    }

    /// The numbers of the rooms of a client.
    fn of(self, client: usize) -> std::ops::Range<usize> {
        let first = client / self.members * self.each;
        first..first + self.each
    }
}

/// The bench's end.
pub(crate) struct Clients {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where a server listens that answers every request and sends every INFO back: for relays to relay to.
    pub(crate) echo: SocketAddr,
}

impl Clients {
    /// Starts the process.
    pub(crate) fn start(rooms: Rooms) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                ARGUMENT,
                &rooms.members.to_string(),
                &rooms.each.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = child.stdin.take().context("no standard input")?;
        let mut answers = BufReader::new(child.stdout.take().context("no standard output")?);
        let echo = line(&mut answers)?.parse()?;
        Ok(Self {
            child,
            commands,
            answers,
            echo,
        })
    }

    /// Where clients connect from now on; over TLS if there is a certificate to trust.
    pub(crate) fn connect_to(&mut self, address: SocketAddr, trusted: Option<&Path>) -> Result<()> {
        let trusted = trusted.map_or_else(|| "-".into(), |path| path.display().to_string());
        self.ask(&format!("connect {address} {trusted}")).map(drop)
    }

    /// Signs in so many more.
    pub(crate) fn sign_in(&mut self, clients: usize) -> Result<()> {
        self.ask(&format!("sign-in {clients}")).map(drop)
    }

    /// All post bodies of `bytes` bytes for so long, `window` at a time each. `begun` is called when it counts.
    pub(crate) fn post<T>(
        &mut self,
        bytes: usize,
        window: usize,
        time: Duration,
        begun: impl FnOnce() -> T,
    ) -> Result<(Posted, T)> {
        self.ask(&format!("post {bytes} {window} {}", time.as_millis()))?;
        let begun = begun();
        let answer = line(&mut self.answers)?;
        let mut numbers = answer.split(' ').map(str::parse);
        let mut next = || Ok::<u64, anyhow::Error>(numbers.next().context("too few numbers")??);
        let posted = Posted {
            posts: next()?,
            delivered: next()?,
            median: next()?,
            late: next()?,
        };
        Ok((posted, begun))
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        writeln!(self.commands, "{command}")?;
        line(&mut self.answers)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn line(from: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    match line.trim_end().strip_prefix("ok") {
        Some(answer) => Ok(answer.trim_start().to_owned()),
        None => bail!("the clients failed: {line}"),
    }
}

// === In the other process ===

/// Plays the clients, if this process was started for that.
pub(crate) fn serve() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, first, members, each] = arguments.as_slice() else {
        return Ok(false);
    };
    if first != ARGUMENT {
        return Ok(false);
    }
    let rooms = Rooms {
        members: members.parse()?,
        each: each.parse()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match runtime.block_on(Stage::new(rooms).play()) {
        Ok(()) => {}
        Err(fault) => println!("fault {fault:#}"),
    }
    Ok(true)
}

/// What the clients are to do.
#[derive(Clone, Copy)]
struct Work {
    bytes: usize,
    window: usize,
}

#[derive(Default)]
struct Counts {
    posts: AtomicU64,
    delivered: AtomicU64,
    /// Number of posts by the logarithm of the time they took: 16 buckets for each power of two microseconds.
    times: Vec<AtomicU64>,
}

impl Counts {
    fn took(&self, time: Duration) {
        let time = (time.as_micros() as u64).max(16);
        let power = u64::from(time.ilog2());
        let bucket = power * 16 + ((time >> (power - 4)) & 15);
        if let Some(count) = self.times.get(bucket as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn reset(&self) {
        for count in self.times.iter().chain([&self.posts, &self.delivered]) {
            count.store(0, Ordering::Relaxed);
        }
    }

    fn quantile(&self, of_thousand: u64) -> u64 {
        let all: u64 = self
            .times
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum();
        let mut seen = 0;
        let at = self.times.iter().position(|count| {
            seen += count.load(Ordering::Relaxed);
            seen * 1000 > all * of_thousand
        });
        let bucket = at.unwrap_or_default() as u64;
        (16 + bucket % 16) << (bucket / 16).saturating_sub(4)
    }
}

struct Stage {
    rooms: Rooms,
    target: Option<(SocketAddr, Option<Connector>)>,
    signed_in: usize,
    work: watch::Sender<Option<Work>>,
    counts: Arc<Counts>,
    faults: watch::Sender<Option<String>>,
}

impl Stage {
    fn new(rooms: Rooms) -> Self {
        let times = std::iter::repeat_with(AtomicU64::default)
            .take(1024)
            .collect();
        Self {
            rooms,
            target: None,
            signed_in: 0,
            work: watch::Sender::new(None),
            counts: Arc::new(Counts {
                times,
                ..Counts::default()
            }),
            faults: watch::Sender::new(None),
        }
    }

    async fn play(mut self) -> Result<()> {
        let echo = TcpListener::bind("127.0.0.1:0").await?;
        println!("ok {}", echo.local_addr()?);
        tokio::spawn(serve_echo(echo));
        let (commands, mut next) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            std::io::stdin()
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| commands.send(line))
        });
        let mut faults = self.faults.subscribe();
        loop {
            let command = tokio::select! {
                command = next.recv() => command,
                _ = faults.changed() => bail!("{}", faults.borrow().clone().unwrap_or_default()),
            };
            let Some(command) = command else {
                return Ok(());
            };
            let words: Vec<&str> = command.split(' ').collect();
            match words.as_slice() {
                ["connect", address, trusted] => {
                    let trusted = Some(*trusted).filter(|path| *path != "-");
                    let connector = trusted.map(|path| Connector::trusting(Path::new(path)));
                    self.target = Some((address.parse()?, connector.transpose()?));
                    println!("ok");
                }
                ["sign-in", clients] => {
                    self.sign_in(clients.parse()?).await?;
                    println!("ok");
                }
                ["post", bytes, window, millis] => {
                    let work = Work {
                        bytes: bytes.parse()?,
                        window: window.parse()?,
                    };
                    self.work.send_replace(Some(work));
                    tokio::time::sleep(WARM_UP).await;
                    self.counts.reset();
                    println!("ok");
                    tokio::time::sleep(Duration::from_millis(millis.parse()?)).await;
                    if let Some(fault) = self.faults.borrow().clone() {
                        bail!("{fault}");
                    }
                    let counts = &self.counts;
                    let (posts, delivered) = (&counts.posts, &counts.delivered);
                    println!(
                        "ok {} {} {} {}",
                        posts.load(Ordering::Relaxed),
                        delivered.load(Ordering::Relaxed),
                        counts.quantile(500),
                        counts.quantile(990)
                    );
                    self.work.send_replace(None);
                }
                _ => bail!("no such command: {command}"),
            }
        }
    }

    async fn sign_in(&mut self, clients: usize) -> Result<()> {
        let (address, connector) = self.target.clone().context("nowhere to connect to")?;
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut signing_in = tokio::task::JoinSet::new();
        for number in self.signed_in..self.signed_in + clients {
            let (turns, connector, rooms) = (Arc::clone(&turns), connector.clone(), self.rooms);
            signing_in.spawn(async move {
                let _turn = turns.acquire_owned().await?;
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let stream = match connector {
                    Some(connector) => {
                        Stream::Tls(Box::new(connector.connect("localhost", stream).await?))
                    }
                    None => Stream::Tcp(stream),
                };
                let mut client = Client::new(stream, number, rooms);
                client
                    .sign_in()
                    .await
                    .with_context(|| format!("client {number} signs in"))?;
                Ok::<Client, anyhow::Error>(client)
            });
        }
        self.signed_in += clients;
        while let Some(client) = signing_in.join_next().await {
            let client = client??;
            let (work, counts) = (self.work.subscribe(), Arc::clone(&self.counts));
            let faults = self.faults.clone();
            tokio::spawn(async move {
                if let Err(fault) = client.live(work, counts).await {
                    faults.send_replace(Some(format!("{fault:#}")));
                }
            });
        }
        Ok(())
    }
}

/// A message: its head, and its body behind it.
struct Message {
    whole: BytesMut,
    body: usize,
}

impl Message {
    /// Takes one message out of a buffer that starts with one.
    fn take(buffer: &mut BytesMut) -> Option<Self> {
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

    fn body(&self) -> &[u8] {
        self.whole.get(self.body..).unwrap_or_default()
    }

    fn head(&self) -> &str {
        let head = self.whole.get(..self.body).unwrap_or_default();
        std::str::from_utf8(head).unwrap_or_default()
    }

    fn is_response(&self) -> bool {
        self.whole.starts_with(b"SIP/2.0 ")
    }

    /// The line of this header, with its end.
    fn line(&self, name: &str) -> &str {
        let found = self.head().split_inclusive("\r\n").find(|line| {
            line.split_once(':')
                .is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        });
        found.unwrap_or_default()
    }

    /// The 200 to this request.
    fn ok(&self, tag: &str, out: &mut BytesMut) {
        out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            let line = self.line(name);
            if name == "To" && !tag.is_empty() && !line.contains(";tag=") {
                out.extend_from_slice(line.trim_end().as_bytes());
                out.extend_from_slice(tag.as_bytes());
                out.extend_from_slice(b"\r\n");
            } else {
                out.extend_from_slice(line.as_bytes());
            }
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

struct Client {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    number: usize,
    rooms: Rooms,
    /// The value of To in the dialog that is open, or none.
    to: String,
    call: u32,
    cseq: u32,
}

impl Client {
    fn new(stream: Stream, number: usize, rooms: Rooms) -> Self {
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Self {
            stream,
            input,
            output,
            number,
            rooms,
            to: String::new(),
            call: 0,
            cseq: 0,
        }
    }

    fn user(&self) -> String {
        format!("sip:user{}@{}", self.number, samples::DOMAIN)
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

    fn send(&mut self, method: &str, uri: &str, more: &str, body: &str) {
        if method != "ACK" {
            self.cseq += 1;
        }
        let (user, number, call, cseq, to) =
            (self.user(), self.number, self.call, self.cseq, &self.to);
        let text = format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/tcp 10.20.31.17:49152\r\n\
             From: <{user}>;tag={number};epid={number:012x}\r\n\
             To: {to}\r\n\
             Max-Forwards: 70\r\n\
             CSeq: {cseq} {method}\r\n\
             User-Agent: Purple/2.14.12 Sipe/1.25.0 (linux-x86_64; RTC/6.0)\r\n\
             Call-ID: 2F13g5A7EaC92Bi3F0Dt4C17m{number:08X}x{call}\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Sends a request and waits for its 200. What the server asks meanwhile is answered.
    async fn ask(&mut self, method: &str, uri: &str, more: &str, body: &str) -> Result<Message> {
        self.send(method, uri, more, body);
        loop {
            let message = self.read().await?;
            if !message.is_response() {
                message.ok("", &mut self.output);
            } else if message.line("CSeq").trim_end().ends_with(method) {
                if !message.whole.starts_with(b"SIP/2.0 200") {
                    bail!("{method}: {}", message.head());
                }
                return Ok(message);
            }
        }
    }

    /// Sends a command and waits for what comes back.
    async fn command(&mut self, uri: &str, id: &str, data: &str) -> Result<()> {
        let body = format!(
            r#"<xccos ver="1" envid="{}" xmlns="urn:parlano:xml:ns:xccos"><cmd id="cmd:{id}" seqid="1"><data>{data}</data></cmd></xccos>"#,
            self.cseq
        );
        self.send("INFO", uri, "Content-Type: text/plain\r\n", &body);
        let wanted = [format!("id=\"rpl:{id}"), format!("id=\"cmd:{id}")];
        loop {
            let message = self.read().await?;
            if message.is_response() {
                if !message.whole.starts_with(b"SIP/2.0 200") {
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

    async fn dialog(&mut self, uri: &str) -> Result<()> {
        self.call += 1;
        self.to = format!("<{uri}>");
        let sdp = "v=0\r\no=- 0 0 IN IP4 10.20.31.17\r\ns=session\r\nc=IN IP4 10.20.31.17\r\nt=0 0\r\nm=message 5060 sip null\r\n";
        let more = format!(
            "Contact: <{}>\r\nContent-Type: application/sdp\r\n",
            self.user()
        );
        let accepted = self.ask("INVITE", uri, &more, sdp).await?;
        self.to = accepted
            .line("To")
            .trim_start_matches("To:")
            .trim()
            .to_owned();
        self.send("ACK", uri, "", "");
        Ok(())
    }

    /// Everything a real client does until its rooms are open.
    async fn sign_in(&mut self) -> Result<()> {
        let (user, domain) = (self.user(), samples::DOMAIN);
        self.to = format!("<{user}>");
        self.ask(
            "REGISTER",
            &format!("sip:{domain}"),
            &format!("Contact: <{user}>\r\n"),
            "",
        )
        .await?;
        let event = "Event: vnd-microsoft-provisioning-v2\r\nExpires: 0\r\n";
        self.ask("SUBSCRIBE", &user, event, "").await?;
        let lookup = format!("sip:ocschat@{domain}");
        self.dialog(&lookup).await?;
        self.command(&lookup, "requri", "").await?;
        self.ask("BYE", &lookup, "", "").await?;
        let channel = format!("sip:channel@{domain}");
        self.dialog(&channel).await?;
        let rooms = self.rooms.of(self.number);
        if !rooms.is_empty() {
            let chanid = |number: usize| {
                let value = samples::room(number, false);
                format!(r#"<chanid key="{number}" domain="{domain}" value="{value}"/>"#)
            };
            let data: String = rooms.map(chanid).collect();
            self.command(&channel, "bjoin", &data).await?;
        }
        self.flush().await?;
        // As idle clients hold none either.
        self.input = BytesMut::new();
        self.output = BytesMut::new();
        Ok(())
    }

    /// Answers what comes, and posts while there is work.
    async fn live(
        mut self,
        mut work: watch::Receiver<Option<Work>>,
        counts: Arc<Counts>,
    ) -> Result<()> {
        let mine = format!("author=\"{}\"", self.user());
        let mut under_way = std::collections::VecDeque::new();
        let mut post = None;
        loop {
            while let Some((body, window)) = &post
                && under_way.len() < *window
            {
                let body: &String = body;
                let body = body.clone();
                let uri = format!("sip:channel@{}", samples::DOMAIN);
                self.send("INFO", &uri, "Content-Type: text/plain\r\n", &body);
                under_way.push_back(Instant::now());
            }
            let message = tokio::select! {
                biased;
                message = self.read() => message?,
                changed = work.changed() => {
                    changed?;
                    post = (*work.borrow()).map(|work| {
                        let room = self.rooms.of(self.number).start;
                        let body = samples::post(work.bytes, room, false);
                        (body.replacen("sip:ann.example@contoso.com", &self.user(), 1), work.window)
                    });
                    continue;
                }
            };
            if message.is_response() {
                if !message.whole.starts_with(b"SIP/2.0 200") {
                    bail!("a post was refused: {}", message.head());
                }
                continue;
            }
            message.ok("", &mut self.output);
            counts.delivered.fetch_add(1, Ordering::Relaxed);
            if memmem::find(message.body(), mine.as_bytes()).is_some()
                && let Some(sent) = under_way.pop_front()
            {
                counts.posts.fetch_add(1, Ordering::Relaxed);
                counts.took(sent.elapsed());
            }
        }
    }
}

// === The server that relays are measured with ===

async fn serve_echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            // A relay that goes away takes its connections with it.
            let _gone = echo(stream).await;
        });
    }
}

/// Answers every request, and sends every INFO back as one of its own.
async fn echo(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let mut cseq = 0;
    loop {
        while let Some(message) = Message::take(&mut input) {
            if message.is_response() || message.whole.starts_with(b"ACK ") {
                continue;
            }
            message.ok(";tag=7c1f0a9be35d4412", &mut output);
            if message.whole.starts_with(b"INFO ") {
                cseq += 1;
                let turned = |name: &str| {
                    message
                        .line(name)
                        .split_once(':')
                        .map_or("", |(_, value)| value.trim())
                };
                let head = format!(
                    "INFO sip:10.20.31.17:49152 SIP/2.0\r\n\
                     Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK{cseq:x}\r\n\
                     Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} INFO\r\n\
                     Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                    turned("To"),
                    turned("From"),
                    turned("Call-ID"),
                    message.body().len()
                );
                output.extend_from_slice(head.as_bytes());
                output.extend_from_slice(message.body());
            }
        }
        stream.write_all_buf(&mut output).await?;
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}
