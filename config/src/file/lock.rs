//! One command at a time changes the files of a folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a command waits for another one that changes files of the same folder.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between two looks at whether it is done.
const LOCK_AGAIN: Duration = Duration::from_millis(10);

/// While it exists no other command changes files of the same folder.
#[derive(Debug)]
#[must_use = "it is over when this is dropped"]
pub struct Alone {
    _folder: Option<File>,
}

/// Waits for other commands that change files beside `path`: whoever reads a file, changes it and writes it back would lose
/// what another one wrote meanwhile. The gateway only reads, and waits for nobody. Without an effect where the folder
/// cannot be listed, or the file system has no locks.
///
/// # Errors
///
/// Another command is not done within ten seconds.
pub fn alone(path: &Path) -> io::Result<Alone> {
    alone_within(path, LOCK_TIMEOUT)
}

fn alone_within(path: &Path, time: Duration) -> io::Result<Alone> {
    if !cfg!(unix) {
        return Ok(Alone { _folder: None });
    }
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let Ok(folder) = File::open(folder.unwrap_or_else(|| Path::new("."))) else {
        return Ok(Alone { _folder: None });
    };
    let until = Instant::now() + time;
    loop {
        match folder.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(_)) => return Ok(Alone { _folder: None }),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                let message = format!(
                    "another command has been changing files of this folder for {} seconds",
                    time.as_secs()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
        }
    }
    Ok(Alone {
        _folder: Some(folder),
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_one_changes_files_of_a_folder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (users, rules) = (folder.path().join("users"), folder.path().join("rules"));
        let first = alone(&users).unwrap();
        let refused = alone_within(&rules, Duration::ZERO).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        drop(first);
        let _second = alone_within(&rules, Duration::ZERO).unwrap();
    }
}
