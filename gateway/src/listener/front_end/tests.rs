//! The server of a front end between the texts of many users and its outputs.

mod identity;

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdover_protocol::sip::Message;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos;
use jiff::Timestamp;

use super::lookups::Lookups;
use super::server::{Event, FrontEndServer, FrontEndSettings, Output};
use crate::admission::{Gate, Turned};
use crate::decide::{Refusal, RefusalReason};
use crate::listener::uas::Service;
use crate::peer::{Caller, ClientNumber, Door, Endpoint, SentBy};
use crate::queue;
use crate::session::table::{Claim, SessionHandle, SessionTable};
use crate::session::task::SessionInput;

const LOOKUP: &str = "sip:ocschat@contoso.com";
const CHANNEL: &str = "sip:channel@contoso.com";
const MOST: usize = 20;
const REQURI: &str = r#"<xccos ver="1" envid="139132350" xmlns="urn:parlano:xml:ns:xccos"><cmd id="cmd:requri" seqid="1"><data/></cmd></xccos>"#;

/// Lets in everybody but Zoe.
#[derive(Debug)]
struct Doorkeeper;

impl Gate for Doorkeeper {
    fn sign_in(&self, caller: &Caller, _: Timestamp) -> Result<(), Turned> {
        if caller.user.user() != "zoe" {
            return Ok(());
        }
        Err(Turned {
            refusal: Refusal {
                reason: RefusalReason::Maintenance,
                text: "Until Monday.".into(),
            },
            retry_after: Some(60),
        })
    }
}

/// A request as a front end forwards it.
#[derive(Clone, Copy)]
struct Ask<'a> {
    method: &'a str,
    uri: &'a str,
    from: &'a str,
    epid: &'a str,
    tag: &'a str,
    /// Lines, each with its end.
    asserted: &'a str,
    /// The port of the client's connection to the front end.
    port: u16,
    body: &'a str,
}

const ANN: Ask<'_> = Ask {
    method: "INVITE",
    uri: CHANNEL,
    from: "sip:ann@contoso.com",
    epid: "0123456789ab",
    tag: "",
    asserted: "P-Asserted-Identity: <sip:ann@contoso.com>\r\n",
    port: 50_001,
    body: "",
};

const BOB: Ask<'_> = Ask {
    from: "sip:bob@contoso.com",
    asserted: "P-Asserted-Identity: \"Bob\" <sip:Bob@contoso.com>, <tel:+4930>\r\n",
    ..ANN
};

/// A front end with one connection, and sessions that say nothing.
struct FrontEnd {
    server: FrontEndServer,
    lookups: Arc<Lookups>,
    table: SessionTable,
    mailboxes: Vec<queue::Receiver<SessionInput>>,
    sessions: Vec<Arc<SessionHandle>>,
    clients: Vec<(ClientNumber, Caller)>,
    now: Instant,
    cseq: u32,
}

impl FrontEnd {
    fn new() -> Self {
        let lookups = Arc::<Lookups>::default();
        Self {
            server: server(&lookups, 1),
            lookups,
            table: SessionTable::default(),
            mailboxes: Vec::new(),
            sessions: Vec::new(),
            clients: Vec::new(),
            now: Instant::now(),
            cseq: 0,
        }
    }

    fn send(&mut self, ask: Ask<'_>) -> Vec<Output> {
        self.cseq += 1;
        let message = message(ask, self.cseq);
        self.take(message)
    }

    /// Takes a message, and makes the sessions that it opens.
    fn take(&mut self, message: Message) -> Vec<Output> {
        let here = self.sessions.len();
        let now = (self.now, Timestamp::UNIX_EPOCH);
        self.server.handle(now, message, &self.table, here);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.server.poll_output()).collect();
        for output in &outputs {
            let Output::Open {
                endpoint,
                dialog,
                client,
                caller,
                ..
            } = output
            else {
                continue;
            };
            let session = self
                .table
                .take(endpoint)
                .map(Claim::keep)
                .unwrap_or_else(|| {
                    let (mailbox, inbox) = queue::bounded(8);
                    self.mailboxes.push(inbox);
                    let session = self.table.insert(endpoint.clone(), mailbox);
                    self.sessions.push(Arc::clone(&session));
                    session
                });
            self.table.bind(&session, dialog.key());
            self.clients.push((*client, caller.clone()));
        }
        outputs
    }

    /// Opens a dialog and answers our tag.
    fn invite(&mut self, ask: Ask<'_>) -> String {
        let outputs = self.send(ask);
        let accepted = status_of(&outputs, 200);
        let to = line(&accepted, "To").unwrap().to_owned();
        to.split(";tag=").nth(1).unwrap().to_owned()
    }
}

fn server(lookups: &Arc<Lookups>, seed: u64) -> FrontEndServer {
    let settings = FrontEndSettings {
        listener: "front-ends".parse().unwrap(),
        service: Service {
            lookup_uri: LOOKUP.parse().unwrap(),
            channel_uri: CHANNEL.parse().unwrap(),
            session_expires: 1800,
            xccos: xccos::Limits::DEFAULT,
        },
        domain: "contoso.com".into(),
        gate: Arc::new(Doorkeeper),
        most_sessions: MOST,
    };
    let sent_by = SentBy {
        transport: "TLS",
        address: "192.0.2.9:5062".into(),
    };
    let peer = ([192, 0, 2, 1], 40_000).into();
    FrontEndServer::new(Arc::new(settings), Arc::clone(lookups), peer, sent_by, seed)
}

fn message(ask: Ask<'_>, cseq: u32) -> Message {
    Message::parse(text(ask, cseq).as_bytes()).unwrap()
}

fn text(ask: Ask<'_>, cseq: u32) -> String {
    let Ask {
        method,
        uri,
        from,
        epid,
        tag,
        asserted,
        port,
        body,
    } = ask;
    let tag = if tag.is_empty() {
        String::new()
    } else {
        format!(";tag={tag}")
    };
    let epid = if epid.is_empty() {
        String::new()
    } else {
        format!(";epid={epid}")
    };
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: text/plain\r\n"
    };
    format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/TLS fe1.contoso.com:5061;branch=z9hG4bK{cseq}\r\n\
         Via: SIP/2.0/tcp 10.0.0.5:{port}\r\n\
         Record-Route: <sip:fe1.contoso.com:5061;transport=tls;lr>, <sip:fe1.contoso.com;transport=tcp;lr>\r\n\
         {asserted}From: <{from}>;tag=there{epid}\r\nTo: <{uri}>{tag}\r\n\
         Call-ID: one-and-the-same\r\nCSeq: {cseq} {method}\r\n\
         Contact: <{from};gruu>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len(),
    )
}

#[track_caller]
fn status_of(outputs: &[Output], status: u16) -> String {
    let Some(Output::Send(answer)) = outputs.first() else {
        panic!("nothing was sent: {outputs:?}");
    };
    let answer = String::from_utf8(answer.to_vec()).unwrap();
    assert!(
        answer.starts_with(&format!("SIP/2.0 {status} ")),
        "{answer}"
    );
    answer
}

fn line<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .split("\r\n")
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn lines<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    let named = |line: &'a str| line.strip_prefix(name)?.strip_prefix(": ");
    message.split("\r\n").filter_map(named).collect()
}

#[test]
fn many_users_on_one_connection_each_have_their_session() {
    let mut front_end = FrontEnd::new();
    let ann = front_end.invite(ANN);
    let bob = front_end.invite(BOB);
    assert_eq!(front_end.sessions.len(), 2);
    // Call-ID and their own tags are the same: they started in the same second.
    for (at, ask, tag) in [(0, ANN, &ann), (1, BOB, &bob)] {
        let ask = Ask {
            method: "INFO",
            tag,
            body: REQURI,
            ..ask
        };
        let outputs = front_end.send(ask);
        let [Output::Request(session, _)] = &outputs[..] else {
            panic!("{outputs:?}");
        };
        assert_eq!(session.id, front_end.sessions[at].id);
        assert_eq!(session.endpoint.door, Door::FrontEnd);
        // And an answer of the client finds it too.
        let text = format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS 192.0.2.9:5062;branch=z9hG4bK1\r\n\
             From: <{CHANNEL}>;tag={tag}\r\nTo: <{}>;tag=there;epid={}\r\n\
             Call-ID: one-and-the-same\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n",
            ask.from, ask.epid
        );
        let outputs = front_end.take(Message::parse(text.as_bytes()).unwrap());
        let [Output::Response(session, _)] = &outputs[..] else {
            panic!("{outputs:?}");
        };
        assert_eq!(session.id, front_end.sessions[at].id);
    }
}

#[test]
fn rfc3261_12_1_1_the_way_is_told_back_and_contact_is_this_listener() {
    let mut front_end = FrontEnd::new();
    let accepted = status_of(&front_end.send(ANN), 200);
    assert_eq!(
        lines(&accepted, "Via"),
        [
            "SIP/2.0/TLS fe1.contoso.com:5061;branch=z9hG4bK1;received=192.0.2.1",
            "SIP/2.0/tcp 10.0.0.5:50001"
        ]
    );
    assert_eq!(
        line(&accepted, "Record-Route"),
        Some("<sip:fe1.contoso.com:5061;transport=tls;lr>, <sip:fe1.contoso.com;transport=tcp;lr>")
    );
    // The front end must not find itself there, as it would under the domain.
    assert_eq!(
        line(&accepted, "Contact"),
        Some("<sip:channel@192.0.2.9:5062;transport=tls>")
    );
    assert_eq!(
        line(&accepted, "Session-Expires"),
        Some("1800;refresher=uac")
    );
}

#[test]
fn a_lookup_goes_on_over_any_connection_of_the_front_end() {
    let mut front_end = FrontEnd::new();
    let ask = Ask { uri: LOOKUP, ..ANN };
    let tag = front_end.invite(ask);
    assert!(front_end.sessions.is_empty());
    front_end.server = server(&front_end.lookups, 2);
    let info = Ask {
        method: "INFO",
        tag: &tag,
        body: REQURI,
        ..ask
    };
    let outputs = front_end.send(info);
    status_of(&outputs, 200);
    let [
        _,
        Output::Send(reply),
        Output::Event(Event::LookupAnswered { .. }),
    ] = &outputs[..]
    else {
        panic!("{outputs:?}");
    };
    let reply = String::from_utf8(reply.to_vec()).unwrap();
    // Along the route set, to the client's Contact, from the URI that it invited.
    assert!(
        reply.starts_with("INFO sip:ann@contoso.com;gruu SIP/2.0\r\n"),
        "{reply}"
    );
    assert_eq!(
        lines(&reply, "Route"),
        [
            "<sip:fe1.contoso.com:5061;transport=tls;lr>",
            "<sip:fe1.contoso.com;transport=tcp;lr>"
        ]
    );
    assert_eq!(
        line(&reply, "From"),
        Some(format!("<{LOOKUP}>;tag={tag}").as_str())
    );
    assert!(
        reply.contains(&format!("<uib uri=\"{CHANNEL}\"")),
        "{reply}"
    );
    // Bob cannot end it.
    let bye = Ask {
        method: "BYE",
        tag: &tag,
        uri: LOOKUP,
        ..BOB
    };
    status_of(&front_end.send(bye), 481);
    let bye = Ask {
        from: ANN.from,
        asserted: ANN.asserted,
        ..bye
    };
    status_of(&front_end.send(bye), 200);
    status_of(&front_end.send(info), 481);
    assert_eq!(front_end.lookups.users(), 0);
}

#[test]
fn lookups_are_bounded_for_each_user_and_in_age() {
    let mut front_end = FrontEnd::new();
    let lookup = Ask { uri: LOOKUP, ..ANN };
    let of_bob = Ask { uri: LOOKUP, ..BOB };
    let bobs = front_end.invite(of_bob);
    let first = front_end.invite(lookup);
    for _ in 0..8 {
        front_end.invite(lookup);
    }
    let info = |tag, ask| Ask {
        method: "INFO",
        body: REQURI,
        tag,
        ..ask
    };
    status_of(&front_end.send(info(&first, lookup)), 481);
    status_of(&front_end.send(info(&bobs, of_bob)), 200);
    for at in 0..1000 {
        let user = UserUri::parse(&format!("sip:u{at}@contoso.com")).unwrap();
        let Message::Request(invite) = message(lookup, 1) else {
            unreachable!()
        };
        let dialog = holdover_protocol::sip::dialog::Dialog::accept(&invite, "t").unwrap();
        front_end.now += Duration::from_secs(1);
        front_end.lookups.open(front_end.now, user, dialog);
    }
    assert!(
        front_end.lookups.users() <= 512,
        "{}",
        front_end.lookups.users()
    );
}

#[test]
fn registrations_are_the_front_ends_business_and_options_are_answered() {
    let mut front_end = FrontEnd::new();
    for method in ["REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE", "SERVICE"] {
        let answer = status_of(&front_end.send(Ask { method, ..ANN }), 405);
        let allow = line(&answer, "Allow").unwrap();
        assert!(
            allow.contains("INVITE") && !allow.contains("REGISTER"),
            "{allow}"
        );
    }
    status_of(
        &front_end.send(Ask {
            method: "FROB",
            ..ANN
        }),
        501,
    );
    // A front end that looks whether we are here is no user.
    let options = Ask {
        method: "OPTIONS",
        asserted: "",
        ..ANN
    };
    status_of(&front_end.send(options), 200);
    for method in ["INFO", "BYE", "UPDATE", "CANCEL"] {
        status_of(&front_end.send(Ask { method, ..ANN }), 481);
    }
    let elsewhere = Ask {
        uri: "sip:bob@contoso.com",
        ..ANN
    };
    status_of(&front_end.send(elsewhere), 404);
}

#[test]
fn an_endpoint_that_dials_again_takes_its_session_over() {
    let mut front_end = FrontEnd::new();
    let old = front_end.invite(ANN);
    let new = front_end.invite(ANN);
    front_end.invite(Ask {
        port: 50_002,
        ..ANN
    });
    assert_eq!(front_end.sessions.len(), 1);
    // Whether it is still the same client is told by its own connection.
    let [first, second, third] = &front_end.clients[..] else {
        panic!("{:?}", front_end.clients);
    };
    assert_eq!(first.0, second.0);
    assert_ne!(second.0, third.0);
    for tag in [&old, &new] {
        let info = Ask {
            method: "INFO",
            tag,
            body: REQURI,
            ..ANN
        };
        status_of(&front_end.send(info), 481);
    }
}

#[test]
fn sessions_of_a_user_and_of_a_connection_are_bounded() {
    let mut front_end = FrontEnd::new();
    let epids: Vec<String> = (0..9).map(|at| format!("{at:012x}")).collect();
    for epid in &epids[..8] {
        front_end.invite(Ask { epid, ..ANN });
    }
    let outputs = front_end.send(Ask {
        epid: &epids[8],
        ..ANN
    });
    status_of(&outputs, 503);
    assert_eq!(outputs.len(), 1);
    // An endpoint that has a session may come back to it.
    front_end.invite(Ask {
        epid: &epids[0],
        ..ANN
    });
    // Nobody can tell clients without one apart: each has a session.
    for _ in 0..8 {
        front_end.invite(Ask { epid: "", ..BOB });
    }
    status_of(&front_end.send(Ask { epid: "", ..BOB }), 503);

    let users: Vec<String> = (0..5).map(|at| format!("sip:u{at}@contoso.com")).collect();
    for (at, user) in users.iter().enumerate() {
        let asserted = format!("P-Asserted-Identity: <{user}>\r\n");
        let outputs = front_end.send(Ask {
            from: user,
            asserted: &asserted,
            ..ANN
        });
        status_of(&outputs, if at < 4 { 200 } else { 503 });
    }
    assert_eq!(front_end.sessions.len(), MOST);
}

#[test]
fn a_session_that_is_over_is_found_no_more() {
    let mut front_end = FrontEnd::new();
    let tag = front_end.invite(ANN);
    let session = front_end.sessions.remove(0);
    front_end.table.remove(&session);
    let info = Ask {
        method: "INFO",
        tag: &tag,
        ..ANN
    };
    status_of(&front_end.send(info), 481);
    // Nor one that ends while its dialog is noted.
    front_end.mailboxes.clear();
    front_end.table.bind(&session, session_key(&tag));
    status_of(&front_end.send(info), 481);
    let ann = Endpoint {
        user: UserUri::parse(ANN.from).unwrap(),
        epid: ANN.epid.into(),
        door: Door::FrontEnd,
    };
    assert!(front_end.table.take(&ann).is_none());
}

fn session_key(tag: &str) -> holdover_protocol::sip::dialog::DialogKey {
    let info = Ask {
        method: "INFO",
        tag,
        ..ANN
    };
    let Message::Request(request) = message(info, 7) else {
        unreachable!()
    };
    holdover_protocol::sip::dialog::DialogKey::of_request(&request)
        .unwrap()
        .unwrap()
}
