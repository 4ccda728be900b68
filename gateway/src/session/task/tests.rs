//! The task between a connection and the table of sessions.

use holdover_protocol::sip::Message;
use holdover_protocol::user::UserUri;

use super::*;
use crate::listener::uas::Door;
use crate::session::SentBy;

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
) -> (Arc<SessionHandle>, queue::Receiver<Bytes>) {
    come_as(context, number, "0123456789ab")
}

/// The same with an endpoint identifier.
fn come_as(
    context: &Arc<SessionContext>,
    number: u64,
    epid: &str,
) -> (Arc<SessionHandle>, queue::Receiver<Bytes>) {
    let (outbound, sent) = queue::bounded(16);
    let endpoint = Endpoint {
        user: UserUri::parse("sip:ann@contoso.com").unwrap(),
        epid: epid.into(),
        door: Door::Own,
    };
    let attachment = Attachment {
        connection: number,
        sent_by: SentBy {
            transport: "TCP",
            address: "192.0.2.1:5060".into(),
        },
        way: Way::Own,
    };
    let with = Attach {
        dialog: Box::new(Dialog::accept(&request("INVITE", 1, ""), "l").unwrap()),
        attachment,
        branch: number << 32,
        connection: ConnectionHandle {
            outbound,
            close: Some(CancellationToken::new()),
            peer: ([192, 0, 2, 7], 50_000).into(),
        },
        caller: Caller {
            user: endpoint.user.clone(),
            network: None,
            listener: None,
            client: None,
        },
    };
    (attach(context, endpoint, Box::new(with)), sent)
}

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

async fn text(sent: &mut queue::Receiver<Bytes>) -> String {
    String::from_utf8(sent.recv().await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_sign_out_on_the_connection_before_does_not_end_the_session() {
    let context = context();
    let (session, _sent) = come(&context, 1);
    // The client is gone, and its session does not know it yet.
    session.release();
    let (resumed, mut sent) = come(&context, 2);
    assert_eq!(resumed.id, session.id);

    send(&session, SessionInput::SignedOut(1)).await;
    send(&session, SessionInput::Request(request("UPDATE", 2, ""))).await;
    assert!(text(&mut sent).await.starts_with("SIP/2.0 200 "));
    send(&session, SessionInput::SignedOut(2)).await;
    session.mailbox().closed().await;
    assert!(context.table.all().is_empty());
}

#[tokio::test]
async fn a_request_in_a_dialog_that_the_client_gave_up_is_answered() {
    let context = context();
    let (session, mut sent) = come(&context, 1);
    let ask = "<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\">\
               <cmd id=\"cmd:requri\" seqid=\"1\"><data/></cmd></xccos>";
    send(&session, SessionInput::Request(request("INFO", 2, ask))).await;
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
    send(&session, SessionInput::Request(request("INFO", 3, ask))).await;
    assert!(text(&mut sent).await.starts_with("SIP/2.0 481 "));
}

#[tokio::test]
async fn a_user_leaves_only_so_many_sessions_behind() {
    let context = context();
    let mut left = Vec::new();
    for number in 0..20 {
        let (session, _sent) = come_as(&context, number, &format!("{number:012x}"));
        // Its client is gone.
        session.release();
        left.push(session);
    }
    let (waiting, displaced) = (left.split_off(12), left);
    for session in displaced {
        session.mailbox().closed().await;
    }
    assert!(waiting.iter().all(|it| !it.mailbox().is_closed()));
    // Whoever has a client keeps it, however many there are.
    let clients: Vec<_> = (20..40)
        .map(|number| come_as(&context, number, &format!("{number:012x}")).0)
        .collect();
    assert!(clients.iter().all(|it| !it.mailbox().is_closed()));
    assert!(clients.iter().all(|it| it.is_attached()));
}

#[tokio::test]
async fn a_session_that_could_not_be_taken_can_be_taken_later() {
    let context = context();
    let (session, _sent) = come(&context, 1);
    session.release();
    // Its task does not run meanwhile: this one never waits.
    while session
        .mailbox()
        .try_send(SessionInput::ConnectionLost(0))
        .is_ok()
    {}
    let (fresh, _sent) = come(&context, 2);
    assert_ne!(fresh.id, session.id);
    assert!(!session.is_attached());
}
