//! Runs a client over a connection.

use std::collections::VecDeque;
use std::time::Instant;

use holdover_protocol::sip::{Decoded, Decoder, KeepAlive, Limits};
use tokio::io::{AsyncReadExt as _, ReadHalf, WriteHalf};

use super::connect::{ConnectError, Server};
use super::core::Client;
use super::event::{Event, Output};
use super::profile::Profile;
use crate::transport::{Outbox, STALL, Stream, now};

/// A client and its connection. There is no task behind it: it gets on while somebody awaits [`Driver::next`].
pub struct Driver {
    client: Client,
    read: ReadHalf<Stream>,
    write: WriteHalf<Stream>,
    decoder: Decoder,
    outbox: Outbox,
    events: VecDeque<Event>,
    is_over: bool,
}

impl Driver {
    /// Connects and begins to sign in.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]
    pub async fn connect(server: &Server, profile: &Profile) -> Result<Self, ConnectError> {
        let (stream, local) = server.connect(profile.patience).await?;
        let (read, write) = tokio::io::split(stream);
        Ok(Self {
            client: Client::new(Instant::now(), profile, local),
            read,
            write,
            decoder: Decoder::new(Limits::default()),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            is_over: false,
        })
    }

    /// The client, to be asked for things. What it wants to send is sent by [`Self::next`].
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The next event, `None` when all is over. Cancel-safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            self.carry_out();
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.is_over {
                // The last words; a server that is gone already misses nothing.
                self.outbox.finish(&mut self.write).await;
                return None;
            }
            self.step().await;
        }
    }

    /// Waits for one thing to happen and lets the client handle it.
    async fn step(&mut self) {
        let stalls_at = self.outbox.stalls_at(STALL);
        let deadline = [self.client.poll_timeout(), stalls_at]
            .into_iter()
            .flatten()
            .min();
        let timeout = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            written = self.outbox.write(&mut self.write), if self.outbox.is_waiting() => {
                if written.is_err() {
                    self.client.handle_closed();
                }
            }
            read = self.read.read_buf(self.decoder.buffer()) => match read {
                Ok(0) | Err(_) => self.client.handle_closed(),
                Ok(_) => self.decode(),
            },
            () = timeout => {
                if stalls_at.is_some_and(|at| at <= now()) {
                    return self.client.handle_closed();
                }
                self.client.handle_timeout(Instant::now());
            }
        }
    }

    fn decode(&mut self) {
        loop {
            match self.decoder.decode() {
                Decoded::NeedMore { .. } => return,
                Decoded::KeepAlive(KeepAlive::Ping) => self.outbox.queue(b"\r\n"),
                Decoded::KeepAlive(KeepAlive::Pong) => {}
                Decoded::Message(message) => self.client.handle(Instant::now(), &message),
                Decoded::Malformed { fault, .. } => self.client.handle_fault(&fault, false),
                Decoded::Fatal { fault, .. } => return self.client.handle_fault(&fault, true),
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Send(octets) => self.outbox.queue(&octets),
                Output::Event(event) => self.events.push_back(event),
                Output::Close => self.is_over = true,
            }
        }
    }
}
