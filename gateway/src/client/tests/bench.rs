//! A client without a connection, and a server that says what a test wants.

use std::time::{Duration, Instant};

use holdover_protocol::room::RoomUri;
use holdover_protocol::sip::{Message, Request};
use holdover_protocol::user::UserUri;

use crate::client::{
    Answer, Client, Event, Failure, Local, Output, Password, Profile, Refusal, Ticket,
};

pub(super) const REGISTERED: &str = "Expires: 3600\r\nSupported: msrtc-event-categories\r\n\
    Allow-Events: vnd-microsoft-provisioning-v2\r\n";
pub(super) const PROVISIONED: &str =
    "Expires: 0\r\nEvent: vnd-microsoft-provisioning-v2\r\nms-piggyback-cseq: 1\r\n";
pub(super) const CHANNEL: &str = "sip:channel@contoso.com;opaque=srvr:1";

/// A client, a clock and what the client did.
pub(super) struct Bench {
    pub(super) client: Client,
    pub(super) now: Instant,
    pub(super) sent: Vec<String>,
    /// The last INVITE: the server's INFOs are in its dialog.
    pub(super) invite: String,
    pub(super) events: Vec<Event>,
    pub(super) is_closed: bool,
    pub(super) server_cseq: u32,
}

impl Bench {
    pub(super) fn new(password: Option<&str>) -> Self {
        let mut profile = Profile::new(UserUri::parse("ann@contoso.com").unwrap(), 0xabc);
        profile.password = password.map(Password::new);
        profile.user_agent = "Test/1".into();
        let local = Local {
            transport: "tcp",
            host: "192.0.2.7".into(),
            port: 50123,
        };
        let now = Instant::now();
        let mut bench = Self {
            client: Client::new(now, &profile, local),
            now,
            sent: Vec::new(),
            invite: String::new(),
            events: Vec::new(),
            is_closed: false,
            server_cseq: 0,
        };
        bench.drain();
        bench
    }

    /// One that is signed in and has its channel dialog; what it did until then is forgotten.
    pub(super) fn ready() -> Self {
        let mut bench = Self::new(None);
        bench.sign_in();
        bench.sent.clear();
        bench.events.clear();
        bench
    }

    pub(super) fn sign_in(&mut self) {
        self.answer("REGISTER", "200 OK", REGISTERED);
        self.answer("SUBSCRIBE", "200 OK", PROVISIONED);
        self.call_channel();
    }

    pub(super) fn call_channel(&mut self) {
        self.answer(
            "INVITE",
            "200 OK",
            "Session-Expires: 1800;refresher=uac\r\n",
        );
        let data = format!("<uib uri=\"{CHANNEL}\"/>");
        self.info(
            "sip:ocschat@contoso.com",
            &reply("requri", "", "200", &data),
        );
        self.answer(
            "INVITE",
            "200 OK",
            "Contact: <sip:pool.contoso.com:5061;transport=tcp>\r\n",
        );
        assert!(
            matches!(self.events.last(), Some(Event::Ready { .. })),
            "{:?}",
            self.events
        );
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Send(octets) => {
                    let text = String::from_utf8(octets.to_vec()).unwrap();
                    if text.starts_with("INVITE ") {
                        self.invite.clone_from(&text);
                    }
                    self.sent.push(text);
                }
                Output::Event(event) => self.events.push(event),
                Output::Close => self.is_closed = true,
            }
        }
    }

    pub(super) fn hear(&mut self, text: &str) {
        let message = Message::parse(text.as_bytes()).unwrap();
        self.client.handle(self.now, &message);
        self.drain();
    }

    /// The last request of this method.
    pub(super) fn last(&self, method: &str) -> &str {
        let start = format!("{method} ");
        self.sent
            .iter()
            .rfind(|text| text.starts_with(&start))
            .expect(method)
    }

    pub(super) fn answer(&mut self, method: &str, status: &str, more: &str) {
        let request = self.last(method);
        let field = |name: &str| {
            let line = request.lines().find(|line| line.starts_with(name)).unwrap();
            line.to_owned() + "\r\n"
        };
        let to = field("To: ");
        let to = if to.contains(";tag=") {
            to
        } else {
            to.replace("\r\n", ";tag=srv;epid=feed\r\n")
        };
        let text = format!(
            "SIP/2.0 {status}\r\n{}{}{to}{}{}{more}Content-Length: 0\r\n\r\n",
            field("Via: "),
            field("From: "),
            field("Call-ID: "),
            field("CSeq: ")
        );
        self.hear(&text);
    }

    /// The server's INFO in the dialog of the last INVITE.
    pub(super) fn info(&mut self, from: &str, body: &str) {
        let invite = self.invite.clone();
        let value = |name: &str| {
            let line = invite
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            line.to_owned()
        };
        self.server_cseq += 1;
        self.hear(&format!(
            "INFO sip:ann@contoso.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{cseq}\r\n\
             From: <{from}>;tag=srv\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} INFO\r\nMax-Forwards: 70\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            value("From: "),
            value("Call-ID: "),
            body.len(),
            cseq = self.server_cseq,
        ));
    }

    pub(super) fn ask(&mut self, ask: impl FnOnce(&mut Client, Instant) -> Ticket) -> Ticket {
        let ticket = ask(&mut self.client, self.now);
        self.drain();
        ticket
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
        self.drain();
    }

    pub(super) fn end_of(&self, asked: Ticket) -> Option<&Result<Answer, Refusal>> {
        self.events.iter().find_map(|event| match event {
            Event::Done { ticket, result } if *ticket == asked => Some(result),
            _ => None,
        })
    }

    pub(super) fn failure(&self) -> &Failure {
        match self.events.last() {
            Some(Event::Failed(failure)) if self.is_closed => failure,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn room() -> RoomUri {
    "ma-chan://contoso.com/1a".parse().unwrap()
}

pub(super) fn reply(verb: &str, command: &str, code: &str, data: &str) -> String {
    format!(
        "<xccos ver=\"1\" envid=\"7962449779256000001\" xmlns=\"urn:parlano:xml:ns:xccos\"><rpl id=\"rpl:{verb}\" \
         seqid=\"1\">{command}<resp code=\"{code}\">TEXT</resp><data>{data}</data></rpl></xccos>"
    )
}

pub(super) fn request(text: &str) -> Request {
    match Message::parse(text.as_bytes()).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response: {text}"),
    }
}

pub(super) fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").unwrap().1
}

/// The text with what chance made of tags, Call-IDs and branches replaced.
pub(super) fn without_chance(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.split("\r\n") {
        let mut line = line.to_owned();
        for (mark, end) in [(";tag=", ";"), (";branch=z9hG4bK", ";")] {
            if let Some((before, after)) = line.clone().split_once(mark)
                && !after.starts_with("srv")
            {
                let rest = after
                    .find(end)
                    .and_then(|at| after.get(at..))
                    .unwrap_or_default();
                line = format!("{before}{mark}_{rest}");
            }
        }
        if line.starts_with("Call-ID: ") {
            line = "Call-ID: _".into();
        }
        lines.push(line);
    }
    lines.join("\n")
}
