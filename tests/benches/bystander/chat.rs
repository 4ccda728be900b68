//! The bystanders: two users who chat at a fixed pace, whatever becomes of their posts.
//!
//! A post is sent when its time has come and not when the one before it is answered, so that a gateway that stands still for a
//! second is seen by all posts of that second. Each holds a number; it has arrived when its sender has the receipt and both
//! have the message.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use holdover_protocol::sip::{Message, Request, Status, respond};
use holdover_tests::client::{Client, text_of};
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::lab::CHAT;

/// Posts of one user that may wait for their receipt. Further ones are sent late, which counts.
const WINDOW: usize = 256;

/// A tick that is late by less is the timer's matter.
const TIMER: Duration = Duration::from_millis(5);

/// Longest time that a post may take before it counts as lost.
const LONGEST: Duration = Duration::from_secs(40);

/// One post.
#[derive(Clone, Copy)]
struct Post {
    sender: usize,
    due: Instant,
    /// Whether the receipt is there.
    is_accepted: bool,
    /// Whether each of the two has it.
    has_it: [bool; 2],
    /// When the last of these was so.
    arrived: Option<Duration>,
}

impl Post {
    fn look(&mut self) {
        if self.arrived.is_none() && self.is_accepted && self.has_it == [true; 2] {
            self.arrived = Some(self.due.elapsed());
        }
    }
}

#[derive(Default)]
struct Ledger(Mutex<Vec<Post>>);

impl Ledger {
    fn posts(&self) -> MutexGuard<'_, Vec<Post>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, sender: usize, due: Instant) -> usize {
        let mut posts = self.posts();
        posts.push(Post {
            sender,
            due,
            is_accepted: false,
            has_it: [false; 2],
            arrived: None,
        });
        posts.len() - 1
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut Post)) {
        if let Some(post) = self.posts().get_mut(number) {
            change(post);
            post.look();
        }
    }
}

/// What became of the posts of a while.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    /// Posts that were sent.
    pub(crate) posts: usize,
    /// Those that did not arrive, or were refused.
    pub(crate) lost: usize,
    /// Median of the time until a post arrived.
    pub(crate) median: Duration,
    /// Its 99th percentile.
    pub(crate) late: Duration,
}

/// The conversation.
pub(crate) struct Chat {
    ledger: Arc<Ledger>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Chat {
    /// Starts it: both have signed in and chat, with so many posts a second together.
    pub(crate) fn start(gateway: SocketAddr, pace: u32) -> Result<Self> {
        let ledger = Arc::new(Ledger::default());
        let stop = CancellationToken::new();
        let (kept, stopped) = (Arc::clone(&ledger), stop.clone());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let mut users = Vec::new();
                for name in ["ann", "bob"] {
                    let mut client = Client::tcp(gateway, name).await;
                    client.sign_in().await;
                    client.join(CHAT).await;
                    users.push(client);
                }
                let _unheard = ready.send(());
                let mut talks = tokio::task::JoinSet::new();
                for (number, client) in users.into_iter().enumerate() {
                    let user = User {
                        number,
                        client,
                        ledger: Arc::clone(&kept),
                        under_way: Vec::new(),
                    };
                    talks.spawn(user.talk(pace, stopped.clone()));
                }
                // A connection that ends is seen by the posts that are missing.
                while talks.join_next().await.is_some() {}
            });
        });
        if is_ready.recv_timeout(LONGEST).is_err() {
            bail!("the bystanders could not sign in");
        }
        Ok(Self {
            ledger,
            stop,
            thread: Some(thread),
        })
    }

    /// Returns the number of the next post.
    pub(crate) fn mark(&self) -> usize {
        self.ledger.posts().len()
    }

    /// Waits until these posts have arrived or are lost, and returns what became of them.
    pub(crate) fn settle(&self, posts: Range<usize>) -> Summary {
        loop {
            let posts = self.ledger.posts().get(posts.clone()).map(<[Post]>::to_vec);
            let posts = posts.unwrap_or_default();
            let is_open = |post: &Post| post.arrived.is_none() && post.due.elapsed() < LONGEST;
            if !posts.iter().any(is_open) {
                return Summary::of(&posts);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // What panicked there has said so, and its posts are lost.
            let _ended = thread.join();
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Summary {
    fn of(posts: &[Post]) -> Self {
        let mut times: Vec<Duration> = posts
            .iter()
            .map(|post| post.arrived.unwrap_or(LONGEST))
            .collect();
        times.sort_unstable();
        let at = |share: f64| {
            let at = (times.len() as f64 * share) as usize;
            times
                .get(at)
                .or_else(|| times.last())
                .copied()
                .unwrap_or_default()
        };
        Self {
            posts: posts.len(),
            lost: posts.iter().filter(|post| post.arrived.is_none()).count(),
            median: at(0.5),
            late: at(0.99),
        }
    }
}

/// One of the two.
struct User {
    number: usize,
    client: Client,
    ledger: Arc<Ledger>,
    /// Posts without a receipt: CSeq and number.
    under_way: Vec<(u32, usize)>,
}

impl User {
    async fn talk(mut self, pace: u32, stop: CancellationToken) {
        let every = Duration::from_secs(2) / pace.max(1);
        // They speak in turn.
        let first = tokio::time::Instant::now() + every / 2 * self.number as u32;
        let mut ticks = interval_at(first, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                message = self.client.receive() => {
                    let Some(message) = message else { return };
                    if self.heard(&message).await.is_err() {
                        return;
                    }
                }
                due = ticks.tick(), if self.under_way.len() < WINDOW => {
                    let due = due.into_std();
                    // Being late by a timer's grain is not the gateway's fault.
                    let due = if due.elapsed() < TIMER { Instant::now() } else { due };
                    let number = self.ledger.begin(self.number, due);
                    let dialog = self.client.send_post(CHAT, &number.to_string()).await;
                    self.under_way.push((dialog.cseq, number));
                }
            }
        }
    }

    async fn heard(&mut self, message: &Message) -> Result<()> {
        match message {
            Message::Request(request) => {
                let answer = respond(request, Status::OK, None).finish();
                self.client.write(&answer).await?;
                self.message(request);
            }
            Message::Response(response) => {
                let cseq = response.headers().cseq()?.number;
                let at = self.under_way.iter().position(|(sent, _)| *sent == cseq);
                let Some(at) = at.filter(|_| !response.status().is_provisional()) else {
                    return Ok(());
                };
                let (_, number) = self.under_way.swap_remove(at);
                if response.status() == Status::OK {
                    self.ledger.change(number, |post| post.is_accepted = true);
                }
            }
        }
        Ok(())
    }

    fn message(&self, request: &Request) {
        let body = String::from_utf8_lossy(request.body());
        if !body.contains("<chat>") {
            return;
        }
        if let Ok(number) = text_of(&body).parse() {
            self.ledger.change(number, |post| {
                let to_sender = usize::from(post.sender != self.number);
                if let Some(has_it) = post.has_it.get_mut(to_sender) {
                    *has_it = true;
                }
            });
        }
    }
}
