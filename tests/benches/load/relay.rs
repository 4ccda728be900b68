//! The floor in a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use holdover::transport::tls::Acceptor;
use tokio::net::TcpListener;

use crate::floor::relay;

/// First argument of a copy that is the floor.
const ARGUMENT: &str = "play-floor";

/// Starts it by `command`, which runs the program it is given. Returns where it listens, without TLS and with it.
pub(crate) fn start(
    mut command: Command,
    folder: &Path,
    pool: SocketAddr,
    rooms: usize,
) -> Result<(Child, SocketAddr, SocketAddr)> {
    let mut child = command
        .arg(std::env::current_exe()?)
        .args([ARGUMENT, &pool.to_string(), &rooms.to_string()])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("no standard output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let (tcp, tls) = line
        .trim()
        .split_once(' ')
        .context("the floor ended at once")?;
    Ok((child, tcp.parse()?, tls.parse()?))
}

/// Is the floor, if this process was started for that.
pub(crate) fn serve() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, argument, pool, rooms, folder] = arguments.as_slice() else {
        return Ok(false);
    };
    if argument != ARGUMENT {
        return Ok(false);
    }
    let (pool, rooms, folder) = (pool.parse()?, rooms.parse()?, Path::new(folder));
    let acceptor = Acceptor::load(&folder.join("certificate.pem"), &folder.join("key.pem"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let tcp = TcpListener::bind("127.0.0.1:0").await?;
        let tls = TcpListener::bind("127.0.0.1:0").await?;
        println!("{} {}", tcp.local_addr()?, tls.local_addr()?);
        std::io::stdout().flush()?;
        let plain = tokio::spawn(relay(tcp, None, pool, rooms));
        relay(tls, Some(acceptor), pool, rooms).await?;
        plain.await?
    })?;
    Ok(true)
}
