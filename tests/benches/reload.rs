//! Reloads of 10,000 rules and 100,000 rooms: how long they take, what posts feel of them, and what they leave behind.
//!
//! The budget: 50 ms from the first look at the files until another generation is in use, where one file of rules or the
//! configuration file changed; a second to go back to an earlier one; posts at most twice as slow at the 99th percentile; no
//! memory.

#[path = "support/process.rs"]
mod process;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use holdover_tests::client::Client;
use holdover_tests::gateway::{Installation, TestGateway};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Files of rules.
const FILES: usize = 20;

/// Keeps what is measured from being disturbed by what notices changes.
const QUIET: &str = "[reload]\nwatch = \"off\"\n[audit]\nfile = \"audit.jsonl\"\n[limits]\nconnections = 1000\n\
     requests_per_second = 10000000\nrequests_per_second_per_address = 10000000\n";

struct Scale {
    rules: usize,
    rooms: usize,
    /// How often each change is made.
    times: usize,
    /// Generations that there are when one is gone back to.
    kept: usize,
    /// Reloads while clients post.
    storm: usize,
    /// Reloads after which memory is compared.
    many: usize,
}

fn main() -> Result<()> {
    let scale = if process::is_measured() {
        Scale {
            rules: 10_000,
            rooms: 100_000,
            times: 20,
            kept: 50,
            storm: 1_000,
            many: 10_000,
        }
    } else {
        Scale {
            rules: 100,
            rooms: 100,
            times: 2,
            kept: 2,
            storm: 4,
            many: 8,
        }
    };
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|word| part.contains(word));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if wants("changes") {
            changes(&scale).await?;
        }
        if wants("undo") {
            undo(&scale).await?;
        }
        if wants("storm") {
            storm(&scale).await?;
        }
        if wants("memory") {
            memory(&scale).await?;
        }
        Ok(())
    })
}

fn rules(file: usize, number: usize, text: &str) -> String {
    let rule = |rule: usize| {
        let id = file * number + rule;
        format!(
            "[[rule]]\nname = \"rule {id}\"\nwhen = {{ user = \"*-{id}@contoso.com\", room = \"ma-chan://contoso.com/r{id}\", \
             command = \"post\" }}\nthen = {{ refuse = \"{text}\" }}\n\n"
        )
    };
    (0..number).map(rule).collect()
}

fn rooms(number: usize, name: &str) -> String {
    let mut text = "legacy,pool,migrated,state,name,note\n\
                    ma-chan://contoso.com/deals,here,ma-chan://contoso.com/m-deals,migrated,Deals,\n"
        .to_owned();
    for room in 0..number {
        text.push_str(&format!(
            "ma-chan://contoso.com/r{room},here,ma-chan://contoso.com/0d9e8f70-1a2b-4c3d-8e4f-{room:012},migrated,{name} {room},\n"
        ));
    }
    text
}

fn install(rules_of_file: usize, number_of_rooms: usize) -> Result<Installation> {
    let installation = Installation::new("\"open\"", QUIET);
    fs::create_dir(installation.path("rules.d"))?;
    for file in 0..FILES {
        installation.write(&name(file), &rules(file, rules_of_file, "No."));
    }
    installation.write("rooms.csv", &rooms(number_of_rooms, "Room"));
    Ok(installation)
}

fn name(file: usize) -> String {
    format!("rules.d/{file:02}.toml")
}

/// The gateway's word on how long it took, if it took something into use, and how long the answer took.
async fn reload(admin: SocketAddr) -> Result<(Option<f64>, Duration)> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(admin).await?;
    let request =
        "POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let took = begun.elapsed();
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let body: Value = serde_json::from_str(body)?;
    Ok((body.get("seconds").and_then(Value::as_f64), took))
}

async fn changes(scale: &Scale) -> Result<()> {
    let of_file = scale.rules / FILES;
    let gateway = TestGateway::serve(install(of_file, scale.rooms)?).await;
    let here = &gateway.installation;
    let main = fs::read_to_string(here.config())?;
    println!(
        "{} rules in {FILES} files, {} rooms; milliseconds until in use, and until answered",
        scale.rules, scale.rooms
    );
    type Change<'c> = Box<dyn Fn(usize) + 'c>;
    let kinds: [(&str, bool, Change<'_>); 6] = [
        (
            "one rule of one file",
            true,
            Box::new(|turn| {
                let text = rules(3, of_file, "No.").replacen("No.", &format!("No {turn}."), 1);
                here.write(&name(3), &text);
            }),
        ),
        (
            "all rules of one file",
            true,
            Box::new(|turn| {
                here.write(&name(3), &rules(3, of_file, &format!("Never {turn}.")));
            }),
        ),
        (
            "the configuration file",
            true,
            Box::new(|turn| {
                let limit = format!("connections = {}", 2_000 + turn);
                here.write("holdover.toml", &main.replace("connections = 1000", &limit));
            }),
        ),
        (
            "a fault in one file",
            false,
            Box::new(|turn| {
                here.write(&name(3), &format!("nonsense {turn}"));
            }),
        ),
        (
            "all rooms",
            true,
            Box::new(|turn| {
                here.write(&name(3), &rules(3, of_file, "No."));
                here.write("rooms.csv", &rooms(scale.rooms, &format!("Salon {turn}")));
            }),
        ),
        (
            "everything",
            true,
            Box::new(|turn| {
                for file in 0..FILES {
                    here.write(&name(file), &rules(file, of_file, &format!("Not {turn}.")));
                }
                here.write("rooms.csv", &rooms(scale.rooms, &format!("Hall {turn}")));
            }),
        ),
    ];
    for (what, applies, change) in kinds {
        let (mut used, mut answered) = (Vec::new(), Vec::new());
        for turn in 0..scale.times {
            change(turn);
            let (took, answer) = reload(gateway.admin).await?;
            ensure!(took.is_some() == applies, "{what}: {took:?}");
            used.push(took.unwrap_or(answer.as_secs_f64()) * 1e3);
            answered.push(answer.as_secs_f64() * 1e3);
        }
        used.sort_by(f64::total_cmp);
        answered.sort_by(f64::total_cmp);
        println!(
            "{what:<24} median {:7.1}   least {:7.1}   most {:7.1}   answered, median {:7.1}",
            middle(&used),
            used.first().copied().unwrap_or_default(),
            used.last().copied().unwrap_or_default(),
            middle(&answered),
        );
    }
    gateway.stop().await;
    Ok(())
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// `holdover config history` and `rollback`, as whole commands.
async fn undo(scale: &Scale) -> Result<()> {
    let of_file = scale.rules / FILES;
    let gateway = TestGateway::serve(install(of_file, scale.rooms)?).await;
    let here = &gateway.installation;
    for turn in 0..scale.kept {
        let text = rules(3, of_file, "No.").replacen("No.", &format!("No {turn}."), 1);
        here.write(&name(3), &text);
        reload(gateway.admin).await?;
    }
    for file in 0..FILES {
        here.write(&name(file), &rules(file, of_file, "Nothing."));
    }
    here.write("rooms.csv", &rooms(scale.rooms, "Hall"));
    reload(gateway.admin).await?;
    let (mut shown, mut put_back, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.times {
        shown.push(command(&here.config(), "history").await?);
        // Every file is another one, and back again with the next turn.
        put_back.push(command(&here.config(), "rollback").await?);
        let (used, answered) = reload(gateway.admin).await?;
        ensure!(used.is_some(), "the gateway did not take the files");
        taken.push(answered.as_secs_f64() * 1e3);
    }
    for (what, times) in [
        ("config history", &mut shown),
        ("config rollback", &mut put_back),
        ("and taken after it", &mut taken),
    ] {
        times.sort_by(f64::total_cmp);
        println!(
            "{what:<24} median {:7.1}   least {:7.1}   most {:7.1}",
            middle(times),
            times.first().copied().unwrap_or_default(),
            times.last().copied().unwrap_or_default(),
        );
    }
    gateway.stop().await;
    Ok(())
}

/// Milliseconds that `holdover config` takes.
async fn command(config: &Path, what: &'static str) -> Result<f64> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdover-under-test"));
    command.args(["config", what, "--config"]).arg(config);
    command.stdout(Stdio::null());
    let begun = Instant::now();
    let status = tokio::task::spawn_blocking(move || command.status()).await??;
    ensure!(status.success(), "config {what}: {status}");
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Posts one after the other, until there were enough and `done` says so.
async fn post(
    client: &mut Client,
    least: usize,
    done: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    while times.len() < least || !done() {
        let begun = Instant::now();
        let status = client.post("deals", "Good evening, night shift").await;
        ensure!(status == 200, "a post was answered {status}");
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn p99(sorted: &[f64]) -> f64 {
    sorted
        .get(sorted.len() * 99 / 100)
        .copied()
        .unwrap_or_default()
}

async fn storm(scale: &Scale) -> Result<()> {
    let of_file = scale.rules / FILES;
    let gateway = TestGateway::serve(install(of_file, scale.rooms)?).await;
    let mut ann = Client::tcp(gateway.tcp, "ann").await;
    ann.sign_in().await;
    ann.join("deals").await;
    // As many as are sent during the reloads, about: a pool tidies up now and then, in both.
    let idle = post(&mut ann, scale.storm * 50, &|| true).await?;
    let admin = gateway.admin;
    let (good, other) = (rules(3, of_file, "No."), rules(3, of_file, "Never."));
    let (path, begun) = (gateway.installation.path(&name(3)), Instant::now());
    let number = scale.storm;
    let reloads = tokio::spawn(async move {
        for turn in 0..number {
            let text = match turn % 4 {
                0 => other.clone(),
                2 => good.clone(),
                _ => "nonsense".to_owned(),
            };
            // Who edits is no thread of the gateway.
            let path = path.clone();
            tokio::task::spawn_blocking(move || fs::write(path, text)).await??;
            reload(admin).await?;
        }
        anyhow::Ok(begun.elapsed())
    });
    let busy = post(&mut ann, scale.storm, &|| reloads.is_finished()).await?;
    let took = reloads.await??;
    ensure!(
        gateway.metric("holdover_sessions") == 1,
        "the session is gone"
    );
    let (idle_p99, busy_p99) = (p99(&idle), p99(&busy));
    println!(
        "posts, ms: idle p50 {:.2} p99 {idle_p99:.2}; during {number} reloads in {:.1} s, half of them at fault: p50 {:.2} p99 \
         {busy_p99:.2}, {:.1} x idle; {} posts, none lost",
        middle(&idle),
        took.as_secs_f64(),
        middle(&busy),
        busy_p99 / idle_p99,
        busy.len(),
    );
    gateway.stop().await;
    Ok(())
}

async fn memory(scale: &Scale) -> Result<()> {
    let gateway = TestGateway::serve(install(5, 1_000)?).await;
    let (good, other) = (rules(3, 5, "No."), rules(3, 5, "Never."));
    let mut before = 0;
    for turn in 0..scale.many {
        // What is needed once, and what the allocator keeps, is there after some of them.
        if turn == scale.many / 10 {
            before = process::resident()?;
        }
        let text = match turn % 4 {
            0 => &other,
            2 => &good,
            _ => "nonsense",
        };
        gateway.installation.write(&name(3), text);
        reload(gateway.admin).await?;
    }
    let after = process::resident()?;
    println!(
        "memory: {:.1} MiB after {} reloads, {:.1} MiB after {}",
        before as f64 / 1024.0 / 1024.0,
        scale.many / 10,
        after as f64 / 1024.0 / 1024.0,
        scale.many,
    );
    gateway.stop().await;
    Ok(())
}
