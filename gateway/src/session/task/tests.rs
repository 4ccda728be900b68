//! The task between a connection and the table of sessions.

use holdover_protocol::sip::Message;
use holdover_protocol::user::UserUri;

use super::*;
use crate::peer::{ClientNumber, ConnectionNumber, Door, SentBy};

fn context() -> Arc<SessionContext> {
    SessionContext::of(Router::empty())
}

fn request(method: &str, cseq: u32, body: &str) -> Box<Request> {
    let to_tag = if method == "INVITE" { "" } else { ";tag=l" };
    let text = format!(
        "{method} sip:channel@contoso.com SIP/2.0\r\nVia: SIP/2.0/tcp 192.0.2.7\r\n\
         From: <sip:ann@contoso.com>;tag=1;epid=0123456789ab\r\n\
         To: <sip:channel@contoso.com>{to_tag}\r\nCall-ID: call\r\nCSeq: {cseq} {method}\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Request(request) => Box::new(request),
        Message::Response(_) => panic!("a response"),
    }
}

/// A client with a channel dialog on a connection of this number.
fn come(
    context: &Arc<SessionContext>,
    number: u64,
) -> (Arc<SessionHandle>, queue::Receiver<Outgoing>) {
    come_as(context, number, "0123456789ab")
}

/// The same with an endpoint identifier.
fn come_as(
    context: &Arc<SessionContext>,
    number: u64,
    epid: &str,
) -> (Arc<SessionHandle>, queue::Receiver<Outgoing>) {
    let (outbound, sent) = queue::bounded(16);
    let close = Some(CancellationToken::new());
    let connection = to(outbound, close);
    let session = come_over(context, number, epid, Way::Own, connection);
    (session, sent)
}

/// The way to a connection.
fn to(outbound: queue::Sender<Outgoing>, close: Option<CancellationToken>) -> ConnectionHandle {
    ConnectionHandle {
        outbound,
        close,
        peer: ([192, 0, 2, 7], 50_000).into(),
    }
}

fn attachment(number: u64, way: Way) -> Attachment {
    Attachment {
        connection: ConnectionNumber(number),
        sent_by: SentBy {
            transport: "TCP",
            address: "192.0.2.1:5060".into(),
        },
        way,
    }
}

/// The same on this connection.
fn come_over(
    context: &Arc<SessionContext>,
    number: u64,
    epid: &str,
    way: Way,
    connection: ConnectionHandle,
) -> Arc<SessionHandle> {
    let endpoint = Endpoint {
        user: UserUri::parse("sip:ann@contoso.com").unwrap(),
        epid: epid.into(),
        door: match way {
            Way::Own => Door::Own,
            Way::FrontEnd { .. } => Door::FrontEnd,
        },
    };
    let with = Attach {
        dialog: Box::new(Dialog::accept(&request("INVITE", 1, ""), "l").unwrap()),
        attachment: attachment(number, way),
        branch: number << 32,
        connection,
        caller: Caller {
            user: endpoint.user.clone(),
            network: None,
            listener: None,
            client: None,
        },
    };
    attach(context, endpoint, Box::new(with))
}

/// What was counted under this name.
fn counted(context: &SessionContext, name: &str) -> String {
    let exposition = context.telemetry.exposition();
    let line = exposition
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}")).to_owned()
}

const ASK: &str = "<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\">\
                   <cmd id=\"cmd:requri\" seqid=\"1\"><data/></cmd></xccos>";

fn size_of_result<A, B, C, R>(_: impl FnOnce(A, B, C) -> R) -> usize {
    size_of::<R>()
}

#[test]
fn a_task_is_small() {
    let size = size_of_result(Task::run);
    assert!(size <= 1_000, "{size} octets for each session");
}

async fn send(session: &SessionHandle, input: SessionInput) {
    session.mailbox().send(input).await.unwrap();
}

async fn text(sent: &mut queue::Receiver<Outgoing>) -> String {
    let Some(Outgoing::Printed(message)) = sent.recv().await else {
        panic!("not printed");
    };
    String::from_utf8(message.to_vec()).unwrap()
}

#[tokio::test]
async fn a_sign_out_on_the_connection_before_does_not_end_the_session() {
    let context = context();
    let (session, _sent) = come(&context, 1);
    // The client is gone, and its session does not know it yet.
    session.set_attached(false);
    let (resumed, mut sent) = come(&context, 2);
    assert_eq!(resumed.id, session.id);

    send(&session, SessionInput::SignedOut(ConnectionNumber(1))).await;
    send(&session, SessionInput::Request(request("UPDATE", 2, ""))).await;
    assert!(text(&mut sent).await.starts_with("SIP/2.0 200 "));
    send(&session, SessionInput::SignedOut(ConnectionNumber(2))).await;
    session.mailbox().closed().await;
    assert!(context.table.all().is_empty());
}

#[tokio::test]
async fn a_request_in_a_dialog_that_the_client_gave_up_is_answered() {
    let context = context();
    let (session, mut sent) = come(&context, 1);
    send(&session, SessionInput::Request(request("INFO", 2, ASK))).await;
    assert!(text(&mut sent).await.starts_with("SIP/2.0 200 "));
    let info = text(&mut sent).await;
    let header = |name: &str| info.lines().find(|line| line.starts_with(name)).unwrap();
    let gone = format!(
        "SIP/2.0 481 Gone\r\n{}\r\n{}\r\n{}\r\n{}\r\n{}\r\nContent-Length: 0\r\n\r\n",
        header("Via:"),
        header("From:"),
        header("To:"),
        header("Call-ID:"),
        header("CSeq:")
    );
    let Ok(Message::Response(gone)) = Message::parse(gone.as_bytes()) else {
        panic!("{gone}");
    };
    send(&session, SessionInput::Response(Box::new(gone))).await;
    send(&session, SessionInput::Request(request("INFO", 3, ASK))).await;
    assert!(text(&mut sent).await.starts_with("SIP/2.0 481 "));
}

#[tokio::test]
async fn a_user_leaves_only_so_many_sessions_behind() {
    let context = context();
    let mut left = Vec::new();
    for number in 0..20 {
        let (session, _sent) = come_as(&context, number, &format!("{number:012x}"));
        tokio::task::yield_now().await;
        left.push(session);
    }
    // Whoever has a client keeps it, however many there are.
    assert!(left.iter().all(|it| !it.mailbox().is_closed()));
    // All clients are gone at once.
    for session in &left {
        session.set_attached(false);
    }
    for session in &left {
        context.table.displace(&session.endpoint.user);
    }
    let waiting = left.split_off(12);
    for session in left {
        session.mailbox().closed().await;
    }
    assert!(waiting.iter().all(|it| !it.mailbox().is_closed()));
    assert!(waiting.iter().all(|it| !it.is_attached()));
}

#[tokio::test]
async fn a_client_that_says_goodbye_and_closes_is_not_slow() {
    let context = context();
    let (session, sent) = come(&context, 1);
    // As a client quits: BYE, and its connection is gone before the answer.
    drop(sent);
    session.tell(SessionInput::Request(request("BYE", 2, "")));
    session.tell(SessionInput::ConnectionLost(ConnectionNumber(1)));
    session.mailbox().closed().await;
    tokio::task::yield_now().await;
    assert_eq!(counted(&context, "holdover_slow_clients_closed_total"), "0");
    assert_eq!(counted(&context, "holdover_sessions"), "0");
}

#[tokio::test]
async fn sessions_move_with_whatever_they_were_saying_when_the_connection_broke() {
    let context = context();
    let way = Way::FrontEnd {
        client: ClientNumber(1),
    };
    let (before, lost) = queue::bounded(1_000);
    let sessions: Vec<_> = (0..20)
        .map(|number| {
            let epid = format!("{number:012x}");
            come_over(&context, 1, &epid, way, to(before.clone(), None))
        })
        .collect();
    drop(lost);
    let mut moved = Vec::new();
    for session in &sessions {
        let (after, sent) = queue::bounded(16);
        moved.push(sent);
        // Its mailbox is full meanwhile.
        session.tell(SessionInput::Request(request("INFO", 2, ASK)));
        while session
            .mailbox()
            .try_send(SessionInput::ConnectionLost(ConnectionNumber(0)))
            .is_ok()
        {}
        session.tell(SessionInput::ConnectionLost(ConnectionNumber(1)));
        session.tell(SessionInput::Moved(Box::new(Moved {
            attachment: attachment(
                2,
                Way::FrontEnd {
                    client: ClientNumber(0),
                },
            ),
            connection: to(after, None),
        })));
    }
    for (session, sent) in sessions.iter().zip(&mut moved) {
        assert!(text(sent).await.starts_with("INFO "));
        assert!(session.is_attached(), "it is not one that waits");
    }
    assert_eq!(counted(&context, "holdover_slow_clients_closed_total"), "0");
}

#[tokio::test]
async fn a_session_that_panics_leaves_nothing_behind() {
    let context = context();
    let (session, _sent) = come(&context, 1);
    let close = CancellationToken::new();
    let task = Task {
        core: SessionCore::new(
            Instant::now(),
            session.endpoint.user.clone(),
            context.settings.load_full(),
        ),
        teller: Teller::open(
            context.telemetry.clone(),
            SessionId(session.id),
            session.endpoint.user.clone(),
            ([192, 0, 2, 7], 50_000).into(),
            "call",
        ),
        caller: Caller {
            user: session.endpoint.user.clone(),
            network: None,
            listener: None,
            client: None,
        },
        context: Arc::clone(&context),
        handle: Arc::clone(&session),
        connection: Some(to(queue::bounded(1).0, Some(close.clone()))),
        legs: Vec::new(),
        epoch: 0,
        finished: None,
    };
    let panicking = tokio::spawn(async move {
        let _task = task;
        panic!("as if in the core");
    });
    assert!(panicking.await.unwrap_err().is_panic());
    assert!(context.table.all().is_empty());
    assert!(close.is_cancelled(), "its client comes again");
    let closed = "holdover_sessions_closed_total{reason=\"panicked\"}";
    assert_eq!(counted(&context, closed), "1");
}

#[tokio::test]
async fn a_session_that_could_not_be_taken_can_be_taken_later() {
    let context = context();
    let (session, _sent) = come(&context, 1);
    session.set_attached(false);
    // Its task does not run meanwhile: this one never waits.
    while session
        .mailbox()
        .try_send(SessionInput::ConnectionLost(ConnectionNumber(0)))
        .is_ok()
    {}
    let (fresh, _sent) = come(&context, 2);
    assert_ne!(fresh.id, session.id);
    assert!(!session.is_attached());
}

#[tokio::test]
async fn a_client_that_comes_from_elsewhere_is_decided_anew() {
    let context = context();
    let (handle, _sent) = come(&context, 1);
    let (outbound, _sent) = queue::bounded(16);
    let caller = Caller {
        user: handle.endpoint.user.clone(),
        network: Some([10, 0, 0, 1].into()),
        listener: None,
        client: None,
    };
    let settings = context.settings.load_full();
    let mut task = Task {
        core: SessionCore::new(Instant::now(), caller.user.clone(), settings),
        teller: Teller::open(
            context.telemetry.clone(),
            SessionId(handle.id),
            caller.user.clone(),
            ([192, 0, 2, 7], 50_000).into(),
            "call",
        ),
        caller: caller.clone(),
        context: Arc::clone(&context),
        handle,
        connection: None,
        legs: Vec::new(),
        epoch: 0,
        finished: None,
    };
    let mut comes = |number: u64, caller: Caller| {
        let with = Attach {
            dialog: Box::new(Dialog::accept(&request("INVITE", 1, ""), "l").unwrap()),
            attachment: attachment(number, Way::Own),
            branch: number << 32,
            connection: ConnectionHandle {
                outbound: outbound.clone(),
                close: None,
                peer: ([192, 0, 2, 7], 50_000).into(),
            },
            caller,
        };
        task.handle_input(SessionInput::Attach(Box::new(with)));
        let decided_by = task.core.version;
        task.handle_input(SessionInput::DecisionsChanged);
        decided_by
    };
    comes(1, caller.clone());
    let same = comes(2, caller.clone());
    assert_ne!(same, 0, "nothing has to be decided again");
    let network = Some([192, 168, 0, 1].into());
    assert_eq!(
        comes(
            3,
            Caller {
                network,
                ..caller.clone()
            }
        ),
        0
    );
    let client = Some("another build".into());
    assert_eq!(
        comes(
            4,
            Caller {
                network,
                client,
                ..caller
            }
        ),
        0
    );
}

#[tokio::test]
async fn what_opens_while_the_gateway_goes_down_ends_too() {
    let context = context();
    let (before, _sent) = come_as(&context, 1, "000000000001");
    assert_eq!(context.table.drain(), 1);
    // Its INVITE was answered before.
    let (late, _sent) = come_as(&context, 2, "000000000002");
    before.mailbox().closed().await;
    late.mailbox().closed().await;
    context.table.drained().await;
    assert_eq!(context.table.cut(), 0);
}
