//! Health checks, as a probe makes them: a connection for each.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time from one check to the next.
const EVERY: Duration = Duration::from_millis(100);

/// Longest time that an answer is waited for.
const LONGEST: Duration = Duration::from_secs(30);

/// Checks that go on.
pub(crate) struct Health {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Health {
    /// Starts to ask `/healthz` of the admin server.
    pub(crate) fn start(admin: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let took = match ask(admin) {
                    Some(()) => begun.elapsed(),
                    // No answer, or a wrong one, is as bad as the longest.
                    None => LONGEST,
                };
                slowest = slowest.max(took);
                std::thread::sleep(EVERY);
            }
            slowest
        });
        Self { stop, thread }
    }

    /// Ends them and returns how long the slowest took.
    pub(crate) fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or(LONGEST)
    }
}

fn ask(admin: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect_timeout(&admin, LONGEST).ok()?;
    stream.set_read_timeout(Some(LONGEST)).ok()?;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(())
}
