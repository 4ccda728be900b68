//! Log lines on their way to standard error: a bounded buffer, and the one thread that writes.
//!
//! Nobody else ever waits for whoever reads the log. A line that does not fit is dropped and counted; once there is room
//! again, `log.dropped` says how many were.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

use crate::telemetry::Telemetry;

/// Octets of lines that wait; as many may be on their way to the reader.
const OCTETS: usize = 2 * 1_024 * 1_024;

/// What the thread may add to a full buffer, so that it can say that lines were dropped.
const RESERVE: usize = 16 * 1_024;

/// How often lines that were held back are summed up.
const TICK: Duration = Duration::from_secs(1);

/// Pause before a reader that takes nothing for now is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// The buffer. Cheap to clone.
#[derive(Clone)]
pub(super) struct Buffer(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to write, or somebody waits for the end.
    work: Condvar,
    /// Everything is written.
    idle: Condvar,
    octets: usize,
    telemetry: Telemetry,
}

#[derive(Default)]
struct State {
    text: Vec<u8>,
    /// Lines dropped since that was last said.
    dropped: u64,
    /// Whether the thread is at work on what it took out.
    writing: bool,
    /// Somebody waits for the last line.
    closing: bool,
}

impl Buffer {
    /// Starts the thread, which writes to `out` for the rest of the process.
    pub(super) fn start(out: impl Out, telemetry: Telemetry) -> io::Result<Self> {
        Self::with_octets(OCTETS, out, telemetry)
    }

    fn with_octets(octets: usize, out: impl Out, telemetry: Telemetry) -> io::Result<Self> {
        let buffer = Self(Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            idle: Condvar::new(),
            octets,
            telemetry,
        }));
        let writer = buffer.clone();
        let builder = thread::Builder::new().name("log".to_owned());
        builder.spawn(move || writer.serve(out))?;
        Ok(buffer)
    }

    /// Waits until every line is written, but no longer than `time`. Returns whether they are.
    pub(super) fn flush(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        state.closing = true;
        self.0.work.notify_one();
        while state.closing || state.writing || !state.text.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.0.idle.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Adds lines, if they fit.
    fn push(&self, text: &[u8], limit: usize) {
        let mut state = self.lock();
        if state.text.len().saturating_add(text.len()) > limit {
            let lines = count(text);
            state.dropped += lines;
            drop(state);
            self.0.telemetry.log_dropped(lines);
            return;
        }
        let is_first = state.text.is_empty();
        state.text.extend_from_slice(text);
        drop(state);
        if is_first {
            self.0.work.notify_one();
        }
    }

    fn serve(self, mut out: impl Out) {
        WRITES.set(true);
        let mut taken = Vec::new();
        loop {
            let closing = self.take(&mut taken);
            let lost = write(&mut out, &taken);
            taken.clear();
            if lost > 0 {
                self.0.telemetry.log_dropped(lost);
            }
            let mut state = self.lock();
            state.dropped += lost;
            let dropped = std::mem::take(&mut state.dropped);
            drop(state);
            // These are lines like any other and pass through this buffer.
            if dropped > 0 {
                self.0.telemetry.tell_dropped(dropped);
            }
            self.0.telemetry.tell_suppressed(Instant::now(), closing);
            let mut state = self.lock();
            state.writing = false;
            if closing {
                state.closing = false;
            }
            self.0.idle.notify_all();
        }
    }

    /// Waits for lines, or for the time to look at what was held back. Returns whether somebody waits for the last line.
    fn take(&self, taken: &mut Vec<u8>) -> bool {
        let mut state = self.lock();
        if state.text.is_empty() && !state.closing {
            let waited = self.0.work.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(taken, &mut state.text);
        state.writing = true;
        state.closing
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    /// Whether this thread is the one that writes.
    static WRITES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Takes one line at a time, whole.
impl Write for Buffer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let reserve = if WRITES.get() { RESERVE } else { 0 };
        self.push(line, self.0.octets + reserve);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where lines go.
pub(super) trait Out: Write + Send + 'static {}

impl<W: Write + Send + 'static> Out for W {}

/// Standard error by a descriptor of its own: whoever waits for a reader here holds no lock that others want.
pub(super) fn standard_error() -> io::Result<File> {
    use std::os::fd::AsFd as _;
    Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?))
}

/// Writes it all. Returns the number of lines that nobody takes.
fn write(out: &mut impl Write, mut text: &[u8]) -> u64 {
    while !text.is_empty() {
        match out.write(text) {
            Ok(0) => return count(text),
            Ok(written) => text = text.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(AGAIN),
            Err(_) => return count(text),
        }
    }
    0
}

fn count(text: &[u8]) -> u64 {
    text.iter().filter(|octet| **octet == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Takes something each time the test lets it, and hands on what it took.
    struct Slow {
        go: Receiver<()>,
        took: SyncSender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            // Without a test everything is taken.
            let _over = self.go.recv();
            let _over = self.took.send(text.to_vec());
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow(octets: usize) -> (Buffer, SyncSender<()>, Receiver<Vec<u8>>, Telemetry) {
        let (let_go, go) = sync_channel(64);
        let (took, taken) = sync_channel(64);
        let telemetry = Telemetry::new();
        let buffer = Buffer::with_octets(octets, Slow { go, took }, telemetry.clone());
        (buffer.unwrap(), let_go, taken, telemetry)
    }

    fn line(buffer: &Buffer, text: &str) {
        buffer.clone().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn who_logs_never_waits_and_what_does_not_fit_is_counted() {
        let (buffer, go, taken, telemetry) = slow(20);
        // Whether the thread has taken the first lines out or not, at most twice the buffer is kept.
        for _ in 0..10 {
            line(&buffer, "0123456789\n");
        }
        let dropped = || {
            let exposition = telemetry.exposition();
            let mut lines = exposition.lines();
            let found = lines.find_map(|line| line.strip_prefix("holdover_log_dropped_total "));
            found.unwrap().parse::<usize>().unwrap()
        };
        let lost = dropped();
        assert!((8..10).contains(&lost), "{lost}");
        assert!(!buffer.flush(Duration::ZERO), "nobody reads");
        drop(go);
        assert!(buffer.flush(Duration::from_secs(60)));
        let written: Vec<u8> = taken.try_iter().flatten().collect();
        assert_eq!(count(&written) as usize + lost, 10);
        assert_eq!(dropped(), lost);
    }

    #[test]
    fn a_reader_that_is_gone_costs_the_lines_and_nothing_else() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let telemetry = Telemetry::new();
        let buffer = Buffer::start(Gone, telemetry.clone()).unwrap();
        line(&buffer, "one\n");
        line(&buffer, "two\n");
        assert!(buffer.flush(Duration::from_secs(60)));
        let exposition = telemetry.exposition();
        assert!(
            exposition.contains("holdover_log_dropped_total 2\n"),
            "{exposition}"
        );
    }

    #[test]
    fn what_is_written_in_pieces_arrives_whole() {
        /// Takes three octets, then wants to be asked again.
        struct Pieces(Vec<u8>, bool);
        impl Write for Pieces {
            fn write(&mut self, text: &[u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                let piece = text.get(..3).unwrap_or(text);
                self.0.extend_from_slice(piece);
                Ok(piece.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Pieces(Vec::new(), false);
        assert_eq!(write(&mut out, b"a line\nand another\n"), 0);
        assert_eq!(out.0, b"a line\nand another\n");
    }
}
