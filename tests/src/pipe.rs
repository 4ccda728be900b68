//! The lines a child process writes, as they come.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

/// Reads a child's output line by line, invalid UTF-8 replaced, and sends what `told` makes of each. Ends with the pipe.
pub fn follow<T: Send + 'static>(
    pipe: impl Read + Send + 'static,
    to: Sender<T>,
    mut told: impl FnMut(String) -> Option<T> + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            let item = told(text.trim_end_matches(['\r', '\n']).to_owned());
            // Nobody listens any more: the pipe is still emptied, or the child would block on it.
            let _unheard = item.map(|item| to.send(item));
            line.clear();
        }
    })
}
