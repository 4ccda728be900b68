//! A signed-in user and what they do, whoever gives the orders.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use holdover_protocol::room::RoomUri;
use holdover_protocol::user::UserUri;
use holdover_protocol::xccos::block::RoomBlock;
use holdover_protocol::xccos::verb::RoomHistory;
use holdover_protocol::xccos::{GroupChat, Notice, ReplyData};
use jiff::Timestamp;

use super::command::{Command, split_word};
use super::report::{Report, Told};
use super::rooms::{Book, NoRoom};
use crate::client::{Answer, Client, Driver, Event, Failure, Ticket};

/// How many messages a real client asks for.
const HISTORY: u32 = 25;

/// Messages that are kept for `expect`.
const INBOX: usize = 1000;

/// Whether the conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continues,
    Over,
}

/// See the module's documentation.
pub(super) struct Conversation {
    driver: Driver,
    user: UserUri,
    book: Book,
    report: Report,
    patience: Duration,
    /// The texts of messages that no `expect` has looked at yet.
    inbox: VecDeque<String>,
    /// Why the session ended, once it has.
    failure: Option<Failure>,
}

impl Conversation {
    /// With a client that is [ready](Event::Ready).
    pub(super) fn new(driver: Driver, user: UserUri, report: Report, patience: Duration) -> Self {
        Self {
            driver,
            user,
            book: Book::default(),
            report,
            patience,
            inbox: VecDeque::new(),
            failure: None,
        }
    }

    pub(super) fn report(&mut self) -> &mut Report {
        &mut self.report
    }

    pub(super) fn book(&self) -> &Book {
        &self.book
    }

    /// Waits for the next thing to happen and tells it. Cancel-safe.
    pub(super) async fn listen(&mut self) -> Flow {
        match self.driver.next().await {
            Some(event) => {
                self.handle(event);
                Flow::Continues
            }
            None => Flow::Over,
        }
    }

    /// Signs out and waits until that is done.
    pub(super) async fn leave(&mut self) {
        self.driver.client().sign_out(Instant::now());
        while self.listen().await == Flow::Continues {}
    }

    /// Does what is wanted.
    ///
    /// # Errors
    ///
    /// What went wrong, for people.
    pub(super) async fn perform(&mut self, command: Command) -> anyhow::Result<Flow> {
        match command {
            Command::Rooms(words) => self.list(&words).await?,
            Command::Join(room) => self.join(&room).await?,
            Command::Part(room) => {
                let room = self.book.find_open(room.as_deref())?.room.clone();
                self.ask(|client, now| client.part(now, room.uri.clone()))
                    .await?;
                self.book.parted(&room.uri);
                self.report.tell(&Told::Parted {
                    room: room.uri.as_str(),
                    name: &room.name,
                });
            }
            Command::Say(words) => {
                let (room, text) = self.addressed(&words)?;
                self.say(room, text).await?;
            }
            Command::SayHere(text) => {
                let room = self.book.find_open(None)?.room.uri.clone();
                self.say(room, &text).await?;
            }
            Command::History { room, count } => {
                let room = match room {
                    // History may be read without joining.
                    Some(room) => self.resolve(&room).await?,
                    None => self.book.find_open(None)?.room.uri.clone(),
                };
                self.show_history(room, count.unwrap_or(HISTORY)).await?;
            }
            Command::Who(room) => {
                let open = self.book.find_open(room.as_deref())?;
                let (room, name) = (open.room.uri.as_str(), &*open.room.name);
                let people: Vec<&str> = open.people.iter().map(|user| &**user).collect();
                let short = people.iter().map(|user| self.short(user)).collect();
                let told = Told::People {
                    room,
                    name,
                    people,
                    short,
                };
                self.report.tell(&told);
            }
            Command::Switch(room) => {
                let room = self.book.find_open(Some(&room))?.room.uri.clone();
                self.book.switch(&room);
            }
            Command::Expect(text) => self.expect(&text).await?,
            Command::Help => {}
            Command::Quit => return Ok(Flow::Over),
        }
        Ok(Flow::Continues)
    }

    /// Why the session ended.
    pub(super) fn ended(&self) -> anyhow::Error {
        match &self.failure {
            Some(failure) => anyhow!("the session is over: {failure}"),
            None => anyhow!("the session is over"),
        }
    }

    /// Shows the last messages of a room.
    pub(super) async fn show_history(&mut self, room: RoomUri, count: u32) -> anyhow::Result<()> {
        let asked = room.clone();
        let answer = self
            .ask(|client, now| client.history(now, asked, count))
            .await?;
        let Answer::Reply(ReplyData::BackChat(reply)) = answer else {
            bail!("the server's answer holds no history");
        };
        // Real clients look at the first room only.
        let messages = reply.rooms.into_iter().next().map(|room| room.messages);
        let messages = messages.unwrap_or_default();
        messages.iter().for_each(|message| self.show(message, true));
        let (name, count) = (self.book.name(&room), messages.len());
        self.report.tell(&Told::History {
            room: room.as_str(),
            name,
            count,
        });
        Ok(())
    }

    async fn list(&mut self, words: &str) -> anyhow::Result<()> {
        let rooms = self.search(words).await?;
        for block in &rooms {
            let name = self.book.name(&block.uri);
            self.report.tell(&Told::Room {
                room: block.uri.as_str(),
                name,
                description: block.description.as_deref().filter(|text| !text.is_empty()),
                people: block.user_count,
            });
        }
        self.report.tell(&Told::Rooms { count: rooms.len() });
        Ok(())
    }

    async fn search(&mut self, words: &str) -> anyhow::Result<Vec<RoomBlock>> {
        let answer = self.ask(|client, now| client.search(now, words)).await?;
        let Answer::Reply(ReplyData::ChannelSearch(reply)) = answer else {
            bail!("the server's answer holds no rooms");
        };
        for room in &reply.rooms {
            self.book.learn(room);
        }
        Ok(reply.rooms)
    }

    /// The room that was named. Asks the server when the name is new.
    async fn resolve(&mut self, text: &str) -> anyhow::Result<RoomUri> {
        if let Err(NoRoom::Unknown { .. }) = self.book.find(text) {
            self.search(text).await?;
            if let Err(NoRoom::Unknown { .. }) = self.book.find(text) {
                // For the names that are like it.
                self.search("").await?;
            }
        }
        Ok(self.book.find(text)?)
    }

    async fn join(&mut self, text: &str) -> anyhow::Result<()> {
        let uri = self.resolve(text).await?;
        let asked = uri.clone();
        let answer = self
            .ask(|client, now| client.join(now, asked))
            .await
            .map_err(|refusal| refusal.context(format!("cannot join `{text}`")))?;
        let Answer::Reply(ReplyData::Join(reply)) = answer else {
            bail!("the server's answer holds no room");
        };
        if reply.rooms.is_empty() {
            bail!("the server's answer holds no room");
        }
        self.book.joined(&reply);
        for block in &reply.rooms {
            let Ok(open) = self.book.find_open(Some(block.uri.as_str())) else {
                continue;
            };
            let told = Told::Joined {
                room: block.uri.as_str(),
                name: &open.room.name,
                topic: block.topic.as_deref().filter(|text| !text.is_empty()),
                people: open.people.iter().map(|user| &**user).collect(),
            };
            self.report.tell(&told);
        }
        Ok(())
    }

    async fn say(&mut self, room: RoomUri, text: &str) -> anyhow::Result<()> {
        let (asked, at) = (room.clone(), Timestamp::now());
        self.ask(|client, now| client.post(now, asked, text, at))
            .await
            .map_err(|refusal| {
                refusal.context(format!("not delivered to `{}`", self.book.name(&room)))
            })?;
        let name = self.book.name(&room);
        self.report.tell(&Told::Sent {
            room: room.as_str(),
            name,
        });
        Ok(())
    }

    /// Whom a script talks to: the room its first word names, else the current one.
    fn addressed<'a>(&self, words: &'a str) -> Result<(RoomUri, &'a str), NoRoom> {
        let (first, rest) = split_word(words);
        if !rest.is_empty() {
            match self.book.find_open(Some(first)) {
                Ok(open) => return Ok((open.room.uri.clone(), rest)),
                // A word like any other.
                Err(NoRoom::Unknown { .. }) => {}
                // Rather nothing said than in the wrong room.
                Err(other) => return Err(other),
            }
        }
        Ok((self.book.find_open(None)?.room.uri.clone(), words))
    }

    async fn expect(&mut self, text: &str) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(self.patience, async {
            loop {
                while let Some(message) = self.inbox.pop_front() {
                    if message.contains(text) {
                        return Ok(());
                    }
                }
                if self.failure.is_some() || self.listen().await == Flow::Over {
                    return Err(self.ended());
                }
            }
        })
        .await;
        match waited {
            Ok(found) => found?,
            Err(_) => bail!(
                "no message with `{text}` within {} s",
                self.patience.as_secs()
            ),
        }
        self.report.tell(&Told::Expected { text });
        Ok(())
    }

    /// Asks the client for something and waits for the end of it. What else happens is told meanwhile.
    async fn ask(
        &mut self,
        what: impl FnOnce(&mut Client, Instant) -> Ticket,
    ) -> anyhow::Result<Answer> {
        let asked = what(self.driver.client(), Instant::now());
        loop {
            match self.driver.next().await {
                Some(Event::Done { ticket, result }) if ticket == asked => {
                    return result.map_err(|refusal| match &self.failure {
                        Some(_) => self.ended(),
                        None => refusal.into(),
                    });
                }
                Some(event) => self.handle(event),
                None => return Err(self.ended()),
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Message(message) => self.show(&message, false),
            Event::History(RoomHistory { messages, .. }) => {
                messages.iter().for_each(|message| self.show(message, true));
            }
            Event::Notice(notice) => self.handle_notice(&notice),
            Event::Dropped(what) => self.report.tell(&Told::Dropped { what: &what }),
            Event::Restarting => self.report.tell(&Told::Restarting),
            Event::SignedOut => self.report.tell(&Told::SignedOut),
            Event::Failed(failure) => self.failure = Some(failure),
            // Whoever asked has gone, or there is nothing to add.
            Event::Done { .. } | Event::Ready { .. } | Event::SignedIn | Event::PasswordNeeded => {}
        }
    }

    fn show(&mut self, message: &GroupChat, history: bool) {
        let author = message.author.as_deref().unwrap_or_default();
        let told = Told::Message {
            room: message.room.as_str(),
            name: self.book.name(&message.room),
            author,
            short: self.short(author),
            ts: message.ts.as_deref().unwrap_or_default(),
            text: &message.chat,
            history,
        };
        self.report.tell(&told);
        if self.inbox.len() >= INBOX {
            self.inbox.pop_front();
        }
        self.inbox.push_back(message.chat.clone());
    }

    fn handle_notice(&mut self, notice: &Notice) {
        let (arrivals, departures) = match notice {
            Notice::Join(arrivals) | Notice::BatchJoin(arrivals) => {
                (arrivals.as_slice(), [].as_slice())
            }
            Notice::Part(departures) => ([].as_slice(), departures.as_slice()),
            Notice::Unknown(_) => return,
        };
        for arrival in arrivals {
            let user = &arrival.user.uri;
            for membership in &arrival.rooms {
                self.note(&membership.room, user, true);
            }
        }
        for departure in departures {
            for user in &departure.users {
                self.note(&departure.room, &user.uri, false);
            }
        }
    }

    /// Notes who came or went, and tells it of others.
    fn note(&mut self, room: &RoomUri, user: &str, came: bool) {
        if let Some(open) = self.book.open_mut(room) {
            match came {
                true => open.people.insert(user.into()),
                false => open.people.remove(user),
            };
        }
        if UserUri::parse(user).is_ok_and(|user| user == self.user) {
            return;
        }
        let (room, name, short) = (room.as_str(), self.book.name(room), self.short(user));
        let told = match came {
            true => Told::Arrived {
                room,
                name,
                user,
                short,
            },
            false => Told::Left {
                room,
                name,
                user,
                short,
            },
        };
        self.report.tell(&told);
    }

    /// How people of one domain call each other.
    fn short<'a>(&self, uri: &'a str) -> &'a str {
        let address = uri.strip_prefix("sip:").unwrap_or(uri);
        match address.split_once('@') {
            Some((user, domain)) if domain.eq_ignore_ascii_case(self.user.domain()) => user,
            _ => address,
        }
    }
}
