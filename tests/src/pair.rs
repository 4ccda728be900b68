//! Two well-behaved users who chat while others misbehave. That is how a test sees that others go on unaffected.

#![allow(clippy::unwrap_used, reason = "a panic is how a test says no")]

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::gateway::TestGateway;
use crate::patience::patience;

/// The room they chat in.
pub const ROOM: &str = "deals";

/// Longest time a message may take to both of them, in a debug build on a busy machine.
const LATENCY: Duration = Duration::from_secs(5);

/// A conversation that goes on.
pub struct Pair {
    stop: CancellationToken,
    talk: JoinHandle<usize>,
}

impl Pair {
    /// Ann and Bob sign in and begin to talk.
    pub async fn start(gateway: &TestGateway) -> Self {
        let ca = gateway.installation.path("ca.pem");
        let mut ann = Client::tls(gateway.tls, "ann", &ca).await;
        let mut bob = Client::tcp(gateway.tcp, "bob").await;
        ann.sign_in().await;
        bob.sign_in().await;
        ann.join(ROOM).await;
        bob.join(ROOM).await;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let talk = tokio::spawn(async move {
            let mut said = 0;
            while !stopped.is_cancelled() {
                say(&mut ann, &mut bob, &format!("ann {said}")).await;
                say(&mut bob, &mut ann, &format!("bob {said}")).await;
                said += 1;
            }
            // The last word comes after whatever the others did.
            say(&mut ann, &mut bob, "the end").await;
            said
        });
        Self { stop, talk }
    }

    /// Ends it: each message was acknowledged, and came to both in time and in order.
    ///
    /// # Panics
    ///
    /// When one was not, or they never got to talk.
    pub async fn finish(self) -> usize {
        self.stop.cancel();
        tokio::time::timeout(patience(), self.talk)
            .await
            .unwrap()
            .unwrap()
    }
}

async fn say(from: &mut Client, to: &mut Client, text: &str) {
    let begun = Instant::now();
    assert_eq!(from.post(ROOM, text).await, 200);
    assert_eq!(from.message().await, text, "the echo");
    assert_eq!(to.message().await, text);
    assert!(
        begun.elapsed() < LATENCY,
        "{text}: took {:?}",
        begun.elapsed()
    );
}
