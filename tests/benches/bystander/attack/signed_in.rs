//! What a signed-in client can do.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use holdover_tests::client::Client;
use holdover_tests::gateway::DOMAIN;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::peer::{self, Counts, HOST, Stage, connect, repeat, signed_in, take};
use crate::lab::NOISE;

/// Time from one large request to the next.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Rooms that one request names: about 1 MB.
const NAMED: usize = 20_000;

/// Rooms that exist on the embedded pool.
pub(super) const EXISTING: usize = 10_000;

/// Sends the same again and again from one client.
async fn one_client(stage: Stage, body: impl Fn(&mut Client) -> String) -> Result<String> {
    let mut client = signed_in(&stage, "mallory").await?;
    let until = stage.begin().await?;
    let counts = repeat(&mut client, SECOND, until, body).await;
    Ok(counts.to_string())
}

fn chanids(count: usize, prefix: &str) -> String {
    let mut text = String::with_capacity(count * 56);
    for number in 0..count {
        let _written = write!(
            text,
            "<chanid key=\"0\" domain=\"{DOMAIN}\" value=\"{prefix}{number:05}\"/>"
        );
    }
    text
}

pub(super) async fn join(stage: Stage) -> Result<String> {
    let rooms = chanids(NAMED, "");
    one_client(stage, |client| client.command_body("bjoin", &rooms)).await
}

pub(super) async fn join_existing(stage: Stage) -> Result<String> {
    let rooms = chanids(EXISTING, "b");
    one_client(stage, |client| client.command_body("bjoin", &rooms)).await
}

pub(super) async fn context(stage: Stage) -> Result<String> {
    let mut rooms = String::new();
    for number in 0..NAMED {
        let _written = write!(rooms, "<chanib uri=\"ma-chan://{DOMAIN}/{number:05}\"/>");
    }
    rooms.push_str("<bcq><last cnt=\"25\"/></bcq>");
    one_client(stage, |client| client.command_body("bccontext", &rooms)).await
}

pub(super) async fn unknown(stage: Stage) -> Result<String> {
    let rooms = chanids(NAMED, "");
    one_client(stage, |client| client.command_body("frobnicate", &rooms)).await
}

pub(super) async fn search(stage: Stage) -> Result<String> {
    let words = "o ".repeat(500_000);
    let data = format!(
        "<qib qtype=\"BYNAME\" criteria=\"{}\" extended=\"false\"/>",
        words.trim_end()
    );
    let mut clients = Vec::new();
    for number in 0..8 {
        clients.push(signed_in(&stage, &format!("mallory{number}")).await?);
    }
    let until = stage.begin().await?;
    let mut searches = JoinSet::new();
    for mut client in clients {
        let data = data.clone();
        searches.spawn(async move {
            let body = |client: &mut Client| client.command_body("chansrch", &data);
            repeat(&mut client, 2 * SECOND, until, body).await
        });
    }
    sum(searches).await
}

async fn sum(mut clients: JoinSet<Counts>) -> Result<String> {
    let mut counts = Counts::default();
    while let Some(client) = clients.join_next().await {
        // One that panics was sent what it cannot read; it has said so.
        if let Ok(client) = client {
            counts.add(&client);
        }
    }
    Ok(counts.to_string())
}

pub(super) async fn long_dialogs(stage: Stage) -> Result<String> {
    const SESSIONS: usize = 300;
    let until = stage.begin().await?;
    let mut clients = Vec::new();
    let mut counts = Counts::default();
    for number in 0..SESSIONS {
        if tokio::time::Instant::now() > until {
            break;
        }
        let stream = connect(stage.gateway.open, HOST).await?;
        let mut client = peer::client(stream, "mallory");
        client.epid = format!("{number:012x}{}", "e".repeat(20_000));
        client.seed = format!("{number}{}", "c".repeat(20_000));
        counts.sent();
        match sign_in(&mut client).await {
            Some(()) => counts.got(200),
            None => counts.got(0),
        }
        clients.push(client);
    }
    sleep_until(until).await;
    Ok(format!("{counts} (200: a session is open)"))
}

/// Signs in as far as it is let.
async fn sign_in(client: &mut Client) -> Option<()> {
    for lookup in [true, false] {
        let (dialog, request) = if lookup {
            client.register_request("")
        } else {
            let dialog = client.new_dialog("sip:channel@contoso.com");
            let request = client.request("INVITE", &dialog, "Contact: <sip:h>\r\n", "", "");
            (dialog, request)
        };
        client.write(request.as_bytes()).await.ok()?;
        let answer = client.response(&dialog.call_id, dialog.cseq).await?;
        if answer.status().code() != 200 {
            return None;
        }
    }
    Some(())
}

pub(super) async fn half_messages(stage: Stage) -> Result<String> {
    const CLIENTS: usize = 50;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(signed_in(&stage, &format!("mallory{number}")).await?);
    }
    let until = stage.begin().await?;
    let mut waiting = JoinSet::new();
    for mut client in clients {
        let body = client.post_body(NOISE, &"half ".repeat(200_000));
        let (_, request) = client.info(&body);
        waiting.spawn(async move {
            let mut counts = Counts::default();
            counts.sent();
            let half = request.as_bytes().split_at(request.len() / 2).0;
            if client.write(half).await.is_err() {
                counts.got(0);
                return counts;
            }
            let ended = tokio::time::timeout_at(until, async {
                while let Some(message) = client.receive().await {
                    if take(&mut client, message, &mut counts).await.is_err() {
                        break;
                    }
                }
                counts.got(0);
            });
            // Still open when the time is over.
            let _open = ended.await;
            counts
        });
    }
    sum(waiting).await
}

pub(super) async fn never_read(stage: Stage) -> Result<String> {
    const DEAF: usize = 40;
    let mut deaf = Vec::new();
    for number in 0..DEAF {
        let mut client = signed_in(&stage, &format!("deaf{number}")).await?;
        client.join(NOISE).await;
        deaf.push(client);
    }
    let mut poster = signed_in(&stage, "mallory").await?;
    poster.join(NOISE).await;
    let until = stage.begin().await?;
    let text = "never read ".repeat(180);
    let body = |client: &mut Client| client.post_body(NOISE, &text);
    let counts = repeat(&mut poster, Duration::from_millis(5), until, body).await;
    drop(deaf);
    Ok(counts.to_string())
}
