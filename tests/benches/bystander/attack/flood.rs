//! Ten times what the gateway can take.

use std::time::Duration;

use anyhow::Result;
use holdover_tests::client::Client;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::peer::{self, Counts, HOST, Stage, connect, signed_in, take};
use super::unsigned::{options, pour};

/// How many times capacity a flood has.
const TIMES: f64 = 10.0;

/// Who floods.
pub(super) const CLIENTS: usize = 40;

/// Time for finding out what the gateway can take.
const PROBE: Duration = Duration::from_secs(1);

pub(super) async fn posts(stage: Stage) -> Result<String> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = signed_in(&stage, &format!("mallory{number}")).await?;
        // Each has a room to itself.
        let room = format!("b{number:05}");
        client.join(&room).await;
        clients.push((client, room));
    }
    let mut probe = JoinSet::new();
    let until = Instant::now() + PROBE;
    for client in clients {
        probe.spawn(post(client, until, 1, None));
    }
    let (clients, before) = joined(probe).await;
    let capacity = before.answered() as f64 / PROBE.as_secs_f64();
    let until = stage.begin().await?;
    let every = Duration::from_secs_f64(CLIENTS as f64 / (capacity.max(1.0) * TIMES));
    let mut flood = JoinSet::new();
    for client in clients {
        flood.spawn(post(client, until, usize::MAX, Some(every)));
    }
    let (_, counts) = joined(flood).await;
    Ok(format!(
        "{capacity:.0} posts a second is what it takes; {counts}"
    ))
}

/// A client, and its room.
type Flooder = (Client, String);

async fn joined(mut clients: JoinSet<(Flooder, Counts)>) -> (Vec<Flooder>, Counts) {
    let (mut all, mut counts) = (Vec::new(), Counts::default());
    while let Some(client) = clients.join_next().await {
        // One that panics has said so.
        if let Ok((client, one)) = client {
            counts.add(&one);
            all.push(client);
        }
    }
    (all, counts)
}

/// Posts with so many under way, at this pace or as fast as they are answered.
async fn post(
    (mut client, room): Flooder,
    until: Instant,
    window: usize,
    every: Option<Duration>,
) -> (Flooder, Counts) {
    let mut counts = Counts::default();
    let mut ticks = interval(every.unwrap_or(Duration::from_nanos(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = 0_usize;
    let flooded = timeout_at(until, async {
        loop {
            tokio::select! {
                message = client.receive() => {
                    let Some(message) = message else { anyhow::bail!("closed") };
                    let before = counts.answered();
                    take(&mut client, message, &mut counts).await?;
                    // An answer may be to a post of the probe before.
                    under_way = under_way.saturating_sub(counts.answered() - before);
                }
                _ = ticks.tick(), if under_way < window => {
                    let body = client.post_body(&room, "flood");
                    let (_, request) = client.info(&body);
                    client.write(request.as_bytes()).await?;
                    counts.sent();
                    under_way += 1;
                }
            }
        }
    });
    let flooded: Result<Result<()>, _> = flooded.await;
    if matches!(flooded, Ok(Err(_))) {
        counts.got(0);
    }
    ((client, room), counts)
}

pub(super) async fn requests(stage: Stage) -> Result<String> {
    let capacity = one_by_one(&stage).await?;
    let until = stage.begin().await?;
    let every = Duration::from_secs_f64(CLIENTS as f64 / (capacity.max(1.0) * TIMES));
    let mut floods = Vec::new();
    for _ in 0..CLIENTS {
        floods.push(pour(&stage, until, Some(every), options));
    }
    let mut counts = Counts::default();
    for flood in join_all(floods).await {
        counts.add(&flood);
    }
    Ok(format!(
        "{capacity:.0} requests a second is what it takes; {counts}"
    ))
}

/// Returns the outputs of all of them, which run side by side.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        let mut at = 0;
        while let Some(future) = pending.get_mut(at) {
            match future.as_mut().poll(context) {
                std::task::Poll::Ready(output) => {
                    done.push(output);
                    drop(pending.swap_remove(at));
                }
                std::task::Poll::Pending => at += 1,
            }
        }
        match pending.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done
}

/// Requests a second that are answered one after the other on each connection.
async fn one_by_one(stage: &Stage) -> Result<f64> {
    let until = Instant::now() + PROBE;
    let mut probe = JoinSet::new();
    for number in 0..CLIENTS {
        let stream = connect(stage.gateway.open, HOST).await?;
        let mut client = peer::client(stream, &format!("mallory{number}"));
        probe.spawn(async move {
            let mut answered = 0_usize;
            let asked = timeout_at(until, async {
                while client.write(options(number).as_bytes()).await.is_ok()
                    && client.receive().await.is_some()
                {
                    answered += 1;
                }
            });
            // Closed, or the time is over.
            let _over = asked.await;
            answered
        });
    }
    let mut answered = 0;
    while let Some(one) = probe.join_next().await {
        answered += one?;
    }
    Ok(answered as f64 / PROBE.as_secs_f64())
}

pub(super) async fn connections(stage: Stage) -> Result<String> {
    const ALLOWED: usize = 100;
    let until = stage.begin().await?;
    let mut flood = JoinSet::new();
    for _ in 0..ALLOWED * 10 {
        let open = stage.gateway.open;
        flood.spawn(async move {
            let mut connected = 0_usize;
            let held = timeout_at(until, async {
                loop {
                    if let Ok(stream) = connect(open, HOST).await {
                        connected += 1;
                        let mut octet = [0];
                        // Who is let in stays.
                        let _end = stream.readable().await;
                        let _read = stream.try_read(&mut octet);
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            });
            // It only ends by time.
            let _over: Result<(), _> = held.await;
            connected
        });
    }
    let mut connected = 0;
    while let Some(one) = flood.join_next().await {
        connected += one?;
    }
    Ok(format!(
        "{connected} connections, {ALLOWED} allowed at a time"
    ))
}
