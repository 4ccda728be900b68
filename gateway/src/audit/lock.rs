//! Waiting for a file that another process has locked, but not for ever.

use std::fs::{File, TryLockError};
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// Locks `file` for this process alone. The lock is gone with the file.
///
/// # Errors
///
/// Another process did not give it back within `limit`, or the system has no locks for it.
pub fn lock_within(file: &File, limit: Duration) -> io::Result<()> {
    let until = Instant::now() + limit;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                let message = "another process has locked the file";
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}
