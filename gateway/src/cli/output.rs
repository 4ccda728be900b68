//! What commands print. The macros of the standard library panic when it cannot be written, for example when
//! `holdover rules list | head -1` closes the pipe; within [`cli`](super) these take their place.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, StdoutLock, Write as _};
use std::sync::Mutex;

/// The first error of standard output, other than that its reader is gone.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

macro_rules! print {
    ($($text:tt)*) => { $crate::cli::output::print(format_args!($($text)*)) };
}

macro_rules! println {
    () => { print!("\n") };
    ($($text:tt)*) => { print!("{}\n", format_args!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::cli::output::complain(format_args!($($text)*)) };
}

/// Prints to standard output. Whoever reads it may stop reading: that is no error, and the command goes on.
pub(super) fn print(text: Arguments<'_>) {
    written(|out| out.write_fmt(text));
}

/// Prints what a file holds, as it is.
pub(super) fn print_file(content: &[u8]) {
    written(|out| out.write_all(content));
}

fn written(write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) {
    let mut out = io::stdout().lock();
    let written = write(&mut out).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && let Ok(mut failed) = FAILED.lock()
    {
        failed.get_or_insert(error);
    }
}

/// Prints a line to standard error. There is nowhere to report that it cannot be written.
pub(super) fn complain(text: Arguments<'_>) {
    let _unread = writeln!(io::stderr(), "{text}");
}

/// Returns the first error of standard output, once.
pub(super) fn failure() -> Option<io::Error> {
    FAILED.lock().ok()?.take()
}
