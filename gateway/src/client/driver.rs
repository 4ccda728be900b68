//! Runs a client over a connection.

use std::collections::VecDeque;
use std::time::Instant;

use holdover_protocol::sip::Limits;

use super::connect::{ConnectError, Server};
use super::core::Client;
use super::event::{Event, Output};
use super::profile::Profile;
use crate::transport::{self, Incoming, Progress, STALL, now};

/// A client and its connection. There is no task behind it: it gets on while somebody awaits [`Driver::next`].
pub struct Driver {
    client: Client,
    octets: transport::Driver,
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
        Ok(Self {
            client: Client::new(Instant::now(), profile, local),
            octets: transport::Driver::new(stream, Limits::default()),
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
                self.octets.finish().await;
                return None;
            }
            self.step().await;
        }
    }

    /// Waits for one thing to happen and lets the client handle it.
    async fn step(&mut self) {
        let stalls_at = self.octets.stalls_at(STALL);
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
            progress = self.octets.next(true) => match progress {
                Progress::Written => {}
                Progress::Read => self.decode(),
                Progress::Closed | Progress::Failed(_) => self.client.handle_closed(),
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
        while let Some(incoming) = self.octets.decode() {
            match incoming {
                Incoming::Message(message) => self.client.handle(Instant::now(), &message),
                Incoming::Fault {
                    fault, is_fatal, ..
                } => self.client.handle_fault(&fault, is_fatal),
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Send(octets) => self.octets.send(octets),
                Output::Event(event) => self.events.push_back(event),
                Output::Close => self.is_over = true,
            }
        }
    }
}
