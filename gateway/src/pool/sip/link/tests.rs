//! A link with a scripted server at the other end of a pipe, on a clock that is wound by hand.

use std::collections::VecDeque;
use std::sync::Mutex;

use holdover_protocol::sip::{Decoded, Decoder, Message, Method, Name, Request, Status, respond};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant as Clock, advance, timeout};

use super::*;
use crate::pool::Receipt;
use crate::pool::sip::dial::Dialled;
use crate::pool::sip::servers::Servers;

/// Longer than anything here may take on the wound clock.
const TEST_TIMEOUT: Duration = Duration::from_secs(600);

/// One end of a pipe, with or without TLS.
trait Ends: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Ends for S {}

type End = Box<dyn Ends>;

/// What each dial of a link yields.
struct Pipes(mpsc::UnboundedReceiver<End>);

impl Dial for Pipes {
    type Stream = End;

    async fn dial(&mut self) -> Result<Dialled<End>, DialError> {
        match self.0.try_recv() {
            Ok(stream) => Ok(Dialled {
                stream,
                local: "192.0.2.1:40000".parse().unwrap(),
                transport: "TCP",
            }),
            Err(_) => Err(DialError {
                reason: ServerLoss::Connect,
                tls: None,
                error: std::io::ErrorKind::ConnectionRefused.into(),
            }),
        }
    }
}

/// A session that takes `room` events.
struct Session {
    events: Mutex<VecDeque<LegEvent>>,
    room: usize,
}

impl Session {
    fn new(room: usize) -> Arc<Self> {
        let events = Mutex::default();
        Arc::new(Self { events, room })
    }

    fn take(&self) -> Vec<LegEvent> {
        self.events.lock().unwrap().drain(..).collect()
    }
}

impl LegSink for Session {
    fn deliver(&self, event: LegEvent) -> Result<(), LegClosed> {
        let mut events = self.events.lock().unwrap();
        if events.len() >= self.room {
            return Err(LegClosed::Overflow);
        }
        events.push_back(event);
        Ok(())
    }
}

/// A server's end of a connection.
struct Peer {
    stream: End,
    decoder: Decoder,
}

impl Peer {
    fn new(stream: End) -> Self {
        Self {
            stream,
            decoder: Decoder::new(Limits::default()),
        }
    }

    async fn receive(&mut self) -> Message {
        loop {
            match self.decoder.decode() {
                Decoded::Message(message) => return message,
                Decoded::NeedMore { .. } => {}
                other => panic!("{other:?}"),
            }
            let read = self.stream.read_buf(self.decoder.buffer());
            assert_ne!(
                timeout(TEST_TIMEOUT, read).await.unwrap().unwrap(),
                0,
                "closed"
            );
        }
    }

    async fn request(&mut self, method: Method) -> Request {
        match self.receive().await {
            Message::Request(request) if *request.method() == method => request,
            other => panic!("{other:?}, not {method}"),
        }
    }

    async fn status(&mut self) -> u16 {
        match self.receive().await {
            Message::Response(response) => response.status().code(),
            Message::Request(request) => panic!("{request:?}"),
        }
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn answer(&mut self, request: &Request, status: Status) {
        let answer = respond(request, status, Some("pool")).finish();
        self.write(&answer).await;
    }

    /// Answers the first sign of life.
    async fn prove(&mut self) {
        let options = self.request(Method::Options).await;
        self.answer(&options, Status::OK).await;
    }

    /// Accepts a call; the INVITE.
    async fn accept(&mut self) -> Request {
        let invite = self.request(Method::Invite).await;
        self.answer(&invite, Status::OK).await;
        self.request(Method::Ack).await;
        invite
    }

    async fn inform(&mut self, invite: &Request, cseq: u32, body: &str) {
        let headers = invite.headers();
        let text = format!(
            "INFO sip:x@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{cseq}\r\nFrom: {};tag=pool\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {cseq} INFO\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            headers.get(Name::To).unwrap(),
            headers.get(Name::From).unwrap(),
            headers.get(Name::CallId).unwrap(),
            body.len(),
        );
        self.write(text.as_bytes()).await;
    }

    /// A request outside of all dialogs.
    async fn ask(&mut self, method: &str, to_tag: &str) {
        let text = format!(
            "{method} sip:x@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:p@h>;tag=p\r\n\
             To: <sip:x@h>{to_tag}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
        );
        self.write(text.as_bytes()).await;
    }
}

struct Bench {
    server: Arc<Server>,
    handle: Arc<LinkHandle>,
    common: Arc<Common>,
    pipes: mpsc::UnboundedSender<End>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    /// A link with one connection waiting for it.
    fn new(ping: Option<u64>) -> (Self, Peer) {
        Self::with_room(ping, 1 << 20)
    }

    fn with_room(ping: Option<u64>, room: usize) -> (Self, Peer) {
        let (ours, theirs) = tokio::io::duplex(room);
        Self::over(ping, Box::new(ours), Box::new(theirs))
    }

    /// The same over a connection that is there.
    fn over(ping: Option<u64>, ours: End, theirs: End) -> (Self, Peer) {
        let (handle, inbox) = LinkHandle::new();
        let address = "pc1.contoso.com:5041".parse().unwrap();
        let server = Arc::new(Server::new(address, vec![Arc::clone(&handle)], 1));
        let common = Arc::new(Common {
            pool: "hq".parse().unwrap(),
            legs: ArcSwap::from_pointee(LegSettings {
                uri: "sip:pool@contoso.com".into(),
                lookup: false,
                limit: Duration::from_secs(10),
                outstanding: 8,
                xccos: holdover_protocol::xccos::Limits::default(),
            }),
            own_uri: "sip:channel@contoso.com".into(),
            ping: ping.map(Duration::from_secs),
            limits: ArcSwap::from_pointee(Limits::default()),
            telemetry: Telemetry::new(),
            shutdown: CancellationToken::new(),
            lost: Notify::new(),
        });
        let (pipes, dials) = mpsc::unbounded_channel();
        pipes.send(ours).unwrap();
        let link = Link {
            dial: Pipes(dials),
            inbox,
            handle: Arc::clone(&handle),
            server: Arc::clone(&server),
            common: Arc::clone(&common),
            random: Random::new(1),
        };
        let bench = Self {
            server,
            handle,
            common,
            pipes,
            task: tokio::spawn(link.run()),
        };
        (bench, Peer::new(theirs))
    }

    fn open(&self, leg: u64, session: &Arc<Session>) -> Arc<Gate> {
        self.try_open(leg, session, Opening::First).unwrap()
    }

    fn try_open(
        &self,
        leg: u64,
        session: &Arc<Session>,
        why: Opening,
    ) -> Result<Arc<Gate>, LegClosed> {
        let user = UserUri::parse(&format!("sip:user{leg}@contoso.com")).unwrap();
        self.handle.open(leg, user, session.clone(), why)
    }

    fn send(&self, leg: u64, gate: &Arc<Gate>, id: u64, body: &'static [u8]) {
        let body = Bytes::from_static(body);
        self.handle.send(leg, gate, SendId(id), body).unwrap();
    }

    fn counted(&self, metric: &str) -> String {
        let exposition = self.common.telemetry.exposition();
        let line = exposition
            .lines()
            .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{metric}")).to_owned()
    }
}

/// Makes the next dial succeed.
fn connection(pipes: &mpsc::UnboundedSender<End>, room: usize) -> Peer {
    let (ours, theirs) = tokio::io::duplex(room);
    pipes.send(Box::new(ours)).unwrap();
    Peer::new(Box::new(theirs))
}

/// Waits until something holds; the clock is wound while everything sleeps.
async fn until(what: impl Fn() -> bool) {
    let begun = Clock::now();
    while !what() {
        assert!(begun.elapsed() < TEST_TIMEOUT, "it never came to be");
        advance(Duration::from_millis(1)).await;
        tokio::task::yield_now().await;
    }
}

const ACCEPTED: fn(u64) -> LegEvent = |id| LegEvent::Receipt {
    id: SendId(id),
    receipt: Receipt::Accepted,
};
const LOST: LegEvent = LegEvent::Closed(LegClosed::Unreachable);
const UNOPENED: LegEvent = LegEvent::Closed(LegClosed::Unopened);

#[tokio::test(start_paused = true)]
async fn legs_wait_for_the_proof_and_share_the_connection() {
    let (bench, mut peer) = Bench::new(Some(30));
    let (ann, bob) = (Session::new(9), Session::new(9));
    let (to_ann, to_bob) = (bench.open(1, &ann), bench.open(2, &bob));
    bench.send(1, &to_ann, 7, b"<ann/>");
    bench.send(2, &to_bob, 8, b"<bob/>");
    assert_eq!(bench.handle.stage(), LinkState::Connecting);
    peer.prove().await;
    let invites = [
        peer.request(Method::Invite).await,
        peer.request(Method::Invite).await,
    ];
    assert_eq!(bench.handle.stage(), LinkState::Ready);
    // Answered in the other order.
    for invite in invites.iter().rev() {
        peer.answer(invite, Status::OK).await;
        peer.request(Method::Ack).await;
        let info = peer.request(Method::Info).await;
        assert_eq!(info.headers().call_id(), invite.headers().call_id());
        peer.answer(&info, Status::OK).await;
        peer.inform(invite, 1, "<news/>").await;
        assert_eq!(peer.status().await, 200);
    }
    for (session, id) in [(ann, 7), (bob, 8)] {
        let news = LegEvent::Document("<news/>".into());
        assert_eq!(session.take(), [ACCEPTED(id), news]);
    }
    assert_eq!(bench.handle.legs(), 2);
    bench.handle.close(1);
    peer.request(Method::Bye).await;
    until(|| bench.handle.legs() == 1).await;
    assert_eq!(bench.handle.waiting_bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_ends_every_leg_at_once_and_is_made_again() {
    let (bench, mut peer) = Bench::new(Some(30));
    let sessions = [Session::new(9), Session::new(9), Session::new(9)];
    peer.prove().await;
    for (number, session) in (1..).zip(&sessions) {
        bench.open(number, session);
        peer.accept().await;
    }
    assert_eq!(bench.counted("holdover_pool_servers"), "1");
    let begun = Clock::now();
    drop(peer);
    until(|| bench.handle.stage() == LinkState::Down).await;
    assert!(begun.elapsed() < Duration::from_millis(100));
    for session in &sessions {
        assert_eq!(session.take(), [LOST]);
    }
    assert_eq!(bench.handle.legs(), 0);
    assert_eq!(bench.counted("holdover_pool_servers"), "0");
    assert_eq!(
        bench.counted("holdover_pool_servers_lost_total{reason=\"closed\"}"),
        "1"
    );
    // While there is none, legs are turned away.
    let late = Session::new(9);
    bench.open(9, &late);
    until(|| late.take() == [UNOPENED]).await;
    // For a while nobody is there; the pauses grow.
    let begun = Clock::now();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let mut peer = connection(&bench.pipes, 1 << 20);
    peer.prove().await;
    until(|| bench.handle.stage() == LinkState::Ready).await;
    assert!(begun.elapsed() <= Duration::from_secs(126));
    bench.open(10, &late);
    peer.accept().await;
    assert_eq!(
        bench.counted("holdover_pool_servers_lost_total{reason=\"connect\"}"),
        "0"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_lost_and_frozen_keeps_nobody_waiting() {
    let (bench, mut peer) = Bench::new(Some(30));
    peer.prove().await;
    until(|| bench.handle.stage() == LinkState::Ready).await;
    drop(peer);
    until(|| bench.handle.stage() == LinkState::Down).await;
    // It takes the next connection and says nothing on it.
    let mut frozen = connection(&bench.pipes, 1 << 20);
    frozen.request(Method::Options).await;
    assert_eq!(bench.handle.stage(), LinkState::Down);
    let (session, begun) = (Session::new(9), Clock::now());
    let gate = bench.open(1, &session);
    bench.send(1, &gate, 1, b"<x/>");
    until(|| session.take() == [UNOPENED]).await;
    assert!(begun.elapsed() < Duration::from_millis(100));
    until(|| bench.handle.waiting_bytes.load(Ordering::Relaxed) == 0).await;
    // When it is itself again it is found within the longest pause.
    tokio::time::sleep(Duration::from_secs(120)).await;
    let mut peer = connection(&bench.pipes, 1 << 20);
    let begun = Clock::now();
    peer.prove().await;
    until(|| bench.handle.stage() == LinkState::Ready).await;
    assert!(begun.elapsed() <= LONGEST_PAUSE);
    bench.open(2, &session);
    peer.accept().await;
    drop(frozen);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_no_to_the_proof_gets_no_legs() {
    let (bench, mut peer) = Bench::new(Some(30));
    let session = Session::new(9);
    bench.open(1, &session);
    let options = peer.request(Method::Options).await;
    assert_eq!(options.uri(), "sip:pool@contoso.com");
    peer.answer(&options, Status::SERVICE_UNAVAILABLE).await;
    until(|| session.take() == [UNOPENED]).await;
    assert_eq!(
        bench.counted("holdover_pool_servers_lost_total{reason=\"refused\"}"),
        "1"
    );
    // One that does not know OPTIONS answers for itself as well.
    let mut peer = connection(&bench.pipes, 1 << 20);
    let options = peer.request(Method::Options).await;
    peer.answer(&options, Status::NOT_IMPLEMENTED).await;
    until(|| bench.handle.stage() == LinkState::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_and_then_given_up() {
    let (bench, mut peer) = Bench::new(Some(30));
    peer.prove().await;
    until(|| bench.handle.stage() == LinkState::Ready).await;
    let begun = Clock::now();
    peer.prove().await;
    assert_eq!(begun.elapsed().as_secs(), 30, "idle");
    let session = Session::new(9);
    bench.open(1, &session);
    peer.accept().await;
    // Now something is sent and nothing comes.
    let gate = bench.open(2, &session);
    peer.request(Method::Invite).await;
    let begun = Clock::now();
    bench.send(2, &gate, 1, b"<x/>");
    peer.request(Method::Options).await;
    assert!(begun.elapsed() <= Duration::from_secs(2));
    until(|| bench.handle.stage() != LinkState::Ready).await;
    assert!(
        begun.elapsed() <= Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(session.take(), [LOST, UNOPENED]);
    assert_eq!(
        bench.counted("holdover_pool_servers_lost_total{reason=\"silent\"}"),
        "1"
    );
}

#[tokio::test(start_paused = true)]
async fn without_signs_of_life_line_ends_keep_the_connection_open() {
    let (bench, mut peer) = Bench::new(None);
    until(|| bench.handle.stage() == LinkState::Ready).await;
    for _ in 0..3 {
        let mut ends = [0; 4];
        peer.stream.read_exact(&mut ends).await.unwrap();
        assert_eq!(&ends, b"\r\n\r\n");
    }
    peer.write(b"\r\n\r\n").await;
    let mut end = [0; 2];
    peer.stream.read_exact(&mut end).await.unwrap();
    assert_eq!(&end, b"\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_nothing_fills_its_own_link_only() {
    let (bench, mut peer) = Bench::with_room(None, 4096);
    let (other, mut fine) = Bench::new(None);
    let (stuck, free) = (Session::new(9), Session::new(9));
    let gate = bench.open(1, &stuck);
    let to_fine = other.open(1, &free);
    peer.accept().await;
    fine.accept().await;
    // Four bodies under way fill what may wait to be written; then what may wait for the link; then no more fits.
    static BODY: [u8; 1 << 20] = [b'x'; 1 << 20];
    let mut sent = 0;
    let full = loop {
        let body = Bytes::from_static(&BODY);
        if let Err(full) = bench.handle.send(1, &gate, SendId(sent), body) {
            break full;
        }
        sent += 1;
        tokio::task::yield_now().await;
        assert!(sent < 500, "no bound");
    };
    assert_eq!(full, LegClosed::Overflow);
    other.send(1, &to_fine, 1, b"<fine/>");
    let info = fine.request(Method::Info).await;
    fine.answer(&info, Status::OK).await;
    until(|| free.take() == [ACCEPTED(1)]).await;
    until(|| bench.handle.stage() == LinkState::Down).await;
    assert_eq!(
        bench.counted("holdover_pool_servers_lost_total{reason=\"stalled\"}"),
        "1"
    );
    assert_eq!(other.handle.stage(), LinkState::Ready);
}

/// A link over TLS with eight posts on their way to a server that reads nothing: TLS has taken them all, and the pipe has
/// room for less.
async fn a_closed_window() -> (Bench, Peer) {
    static BODY: [u8; 4096] = [b'x'; 4096];
    let (ours, theirs) = crate::transport::tls::testing::pair(8192).await;
    let (bench, mut peer) = Bench::over(None, Box::new(ours), Box::new(theirs));
    let session = Session::new(99);
    let gate = bench.open(1, &session);
    peer.accept().await;
    for id in 0..8 {
        bench.send(1, &gate, id, &BODY);
    }
    until(|| bench.handle.waiting_bytes.load(Ordering::Relaxed) == 0).await;
    (bench, peer)
}

#[tokio::test(start_paused = true)]
async fn what_tls_holds_back_leaves_as_soon_as_the_server_reads() {
    let (_bench, mut peer) = a_closed_window().await;
    advance(Duration::from_secs(1)).await;
    let begun = Clock::now();
    for _ in 0..8 {
        peer.request(Method::Info).await;
    }
    assert!(begun.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_leaves_unread_what_tls_holds_back_is_given_up() {
    let (bench, _peer) = a_closed_window().await;
    let begun = Clock::now();
    until(|| bench.handle.stage() == LinkState::Down).await;
    assert!(begun.elapsed() <= Duration::from_secs(11));
    assert_eq!(
        bench.counted("holdover_pool_servers_lost_total{reason=\"stalled\"}"),
        "1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_that_does_not_keep_up_loses_its_leg_only() {
    let (bench, mut peer) = Bench::new(None);
    let (slow, quick) = (Session::new(1), Session::new(9));
    let gate = bench.open(1, &slow);
    let to_slow = peer.accept().await;
    bench.open(2, &quick);
    let to_quick = peer.accept().await;
    for cseq in 1..=2 {
        peer.inform(&to_slow, cseq, "<news/>").await;
    }
    assert_eq!([peer.status().await, peer.status().await], [200, 200]);
    peer.request(Method::Bye).await;
    peer.inform(&to_quick, 1, "<news/>").await;
    assert_eq!(peer.status().await, 200);
    assert_eq!((slow.take().len(), quick.take().len()), (1, 1));
    let refused = bench.handle.send(1, &gate, SendId(1), Bytes::new());
    assert_eq!(refused, Err(LegClosed::Overflow));
    assert_eq!(bench.handle.legs(), 1);
    // The dropped leg's dialog is no more.
    peer.inform(&to_slow, 3, "<news/>").await;
    assert_eq!(peer.status().await, 481);
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_no_leg_is_answered_as_it_should() {
    let (bench, mut peer) = Bench::new(None);
    for (method, to_tag, status) in [
        ("OPTIONS", "", 200),
        ("INVITE", "", 405),
        ("MESSAGE", "", 405),
        ("FROBNICATE", "", 501),
        ("INFO", ";tag=7-feed", 481),
        ("INFO", ";tag=nonsense", 481),
    ] {
        peer.ask("ACK", to_tag).await;
        peer.ask(method, to_tag).await;
        assert_eq!(peer.status().await, status, "{method} {to_tag}");
    }
    let mismatch = "INFO sip:x@h SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nFrom: <sip:p@h>;tag=p\r\nTo: <sip:x@h>\r\n\
                    Call-ID: c\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n";
    peer.write(mismatch.as_bytes()).await;
    assert_eq!(peer.status().await, 400);
    assert_eq!(bench.counted("holdover_pool_faults_total"), "1");
    peer.write(b"What?\r\n\r\n").await;
    until(|| bench.handle.stage() == LinkState::Down).await;
    assert_eq!(
        bench.counted("holdover_pool_servers_lost_total{reason=\"fault\"}"),
        "1"
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_says_goodbye_to_both_sides() {
    let (bench, mut peer) = Bench::new(None);
    let session = Session::new(9);
    bench.open(1, &session);
    peer.accept().await;
    bench.common.shutdown.cancel();
    peer.request(Method::Bye).await;
    bench.task.await.unwrap();
    assert_eq!(session.take(), [LegEvent::Closed(LegClosed::Pool)]);
    let user = UserUri::parse("sip:late@contoso.com").unwrap();
    let late = bench.handle.open(2, user, session.clone(), Opening::First);
    assert_eq!(late.unwrap_err(), LegClosed::Pool);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_calls_is_left_alone_while_there_is_another() {
    let (bench, mut peer) = Bench::new(Some(30));
    let (other, mut fine) = Bench::new(Some(30));
    peer.prove().await;
    fine.prove().await;
    until(|| other.handle.stage() == LinkState::Ready && bench.handle.stage() == LinkState::Ready)
        .await;
    let servers = Servers::new(vec![Arc::clone(&bench.server), Arc::clone(&other.server)]);
    let chosen = |link: &Arc<LinkHandle>| {
        let rounds = (0..4).filter_map(|_| servers.choose());
        rounds.filter(|chosen| Arc::ptr_eq(chosen, link)).count()
    };
    assert_eq!(
        (chosen(&bench.handle), chosen(&other.handle)),
        (2, 2),
        "in turn"
    );
    let session = Session::new(9);
    for number in 1..=3 {
        bench.open(number, &session);
        let invite = peer.request(Method::Invite).await;
        peer.answer(&invite, Status::SERVICE_UNAVAILABLE).await;
        peer.request(Method::Ack).await;
    }
    assert_eq!(session.take(), [UNOPENED, UNOPENED, UNOPENED]);
    assert_eq!(bench.counted("holdover_legs_refused_total"), "3");
    assert_eq!(
        bench.counted("holdover_pool_servers_ejected_total{reason=\"failing\"}"),
        "1"
    );
    assert_eq!((chosen(&bench.handle), chosen(&other.handle)), (0, 4));
    assert_eq!(
        servers
            .states()
            .iter()
            .map(|state| state.state)
            .collect::<Vec<_>>(),
        ["ejected", "up"]
    );
    // Half-open: a sign of life brings it back.
    let begun = Clock::now();
    peer.prove().await;
    assert!(begun.elapsed() <= Duration::from_secs(6));
    until(|| bench.server.ejected_until().is_none()).await;
    assert_eq!(chosen(&bench.handle), 2);
    assert_eq!(bench.counted("holdover_pool_servers_restored_total"), "1");
    // The last server that is left is used even if it fails.
    drop(fine);
    until(|| other.handle.stage() == LinkState::Down).await;
    bench.open(9, &session);
    let invite = peer.request(Method::Invite).await;
    peer.answer(&invite, Status::SERVICE_UNAVAILABLE).await;
    peer.request(Method::Ack).await;
    assert_eq!(
        servers
            .states()
            .iter()
            .map(|state| state.state)
            .collect::<Vec<_>>(),
        ["ejected", "down"]
    );
    assert_eq!(chosen(&bench.handle), 4);
}

/// A pool that is back after a failure is met by as many sessions at a time as it has answered.
#[tokio::test(start_paused = true)]
async fn those_who_lost_their_legs_come_again_at_the_pools_pace() {
    let (bench, mut peer) = Bench::new(Some(30));
    let session = Session::new(2 * REJOINING);
    let again = |leg| bench.try_open(leg, &session, Opening::Again).map(drop);
    peer.prove().await;
    until(|| bench.handle.stage() == LinkState::Ready).await;
    let most = REJOINING as u64;
    for leg in 1..=most {
        again(leg).unwrap();
    }
    assert_eq!(again(1_001), Err(LegClosed::Unopened));
    // Somebody new does not wait for them.
    bench.open(1_002, &session);
    // That the pool took the call says nothing yet: the rooms are not joined.
    let invite = peer.request(Method::Invite).await;
    peer.answer(&invite, Status::OK).await;
    assert_eq!(again(1_003), Err(LegClosed::Unopened));
    while !matches!(peer.receive().await, Message::Request(ack) if *ack.method() == Method::Ack) {}
    peer.inform(&invite, 1, "<joined/>").await;
    until(|| !session.take().is_empty()).await;
    again(1_004).unwrap();
    assert_eq!(again(1_005), Err(LegClosed::Unopened));
    // One that is given up makes room, and so do all when the connection is lost.
    bench.handle.close(2);
    until(|| again(1_006).is_ok()).await;
    assert_eq!(again(1_007), Err(LegClosed::Unopened));
    drop(peer);
    until(|| bench.handle.rejoining.load(Ordering::Relaxed) == 0).await;
}
