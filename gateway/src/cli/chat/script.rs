//! Orders from a script: one after the other, and the first that fails ends it.

use std::collections::VecDeque;
use std::io::{self, BufRead as _};
use std::path::Path;

use anyhow::Context as _;
use holdover_config::file::without_mark;
use tokio::sync::mpsc;

use super::command::{Command, of_script};
use super::conversation::{Conversation, Flow};
use super::report::Told;

/// What standard input is called, on the command line and in messages.
const STDIN: &str = "-";

/// An order and where it stands.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    place: String,
    command: Command,
}

/// Where the orders come from.
pub(super) struct Script {
    ready: VecDeque<Order>,
    /// Lines of standard input, as they come.
    stdin: Option<mpsc::Receiver<io::Result<String>>>,
    stdin_line: usize,
}

impl Script {
    /// Reads `commands`, then `file`, where `-` is standard input. All but the latter is checked at once.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or a line that means nothing.
    pub(super) fn read(commands: &[String], file: Option<&Path>) -> anyhow::Result<Self> {
        let mut ready = VecDeque::new();
        for (index, line) in commands.iter().enumerate() {
            ready.extend(order(format!("--command {}", index + 1), line)?);
        }
        let mut stdin = None;
        match file {
            Some(path) if path == Path::new(STDIN) => stdin = Some(lines_of_stdin()),
            Some(path) => {
                let name = path.display();
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the script {name}"))?;
                for (index, line) in without_mark(&text).lines().enumerate() {
                    ready.extend(order(format!("{name}:{}", index + 1), line)?);
                }
            }
            None => {}
        }
        Ok(Self {
            ready,
            stdin,
            stdin_line: 0,
        })
    }

    /// The next order; `None` at the end. Cancel-safe.
    async fn next(&mut self) -> anyhow::Result<Option<Order>> {
        if let Some(order) = self.ready.pop_front() {
            return Ok(Some(order));
        }
        let Some(stdin) = &mut self.stdin else {
            return Ok(None);
        };
        while let Some(line) = stdin.recv().await {
            self.stdin_line += 1;
            let line = line.context("cannot read standard input")?;
            if let Some(order) = order(format!("line {}", self.stdin_line), &line)? {
                return Ok(Some(order));
            }
        }
        Ok(None)
    }
}

fn order(place: String, line: &str) -> anyhow::Result<Option<Order>> {
    let command = of_script(line).with_context(|| place.clone())?;
    Ok(command.map(|command| Order { place, command }))
}

/// A thread of its own: reading standard input cannot be given up, and must not hold up the end of the program.
fn lines_of_stdin() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Carries out a script and signs out. Returns whether all of it was done.
pub(super) async fn run(mut conversation: Conversation, script: Script) -> bool {
    let carried_out = tokio::select! {
        carried_out = carry_out(&mut conversation, script) => carried_out,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if let Err(error) = &carried_out {
        conversation.report().tell(&Told::Error {
            text: &format!("{error:#}"),
        });
    }
    conversation.leave().await;
    carried_out.is_ok()
}

async fn carry_out(conversation: &mut Conversation, mut script: Script) -> anyhow::Result<()> {
    loop {
        let order = tokio::select! {
            biased;
            order = script.next() => order?,
            flow = conversation.listen() => match flow {
                Flow::Continues => continue,
                Flow::Over => return Err(conversation.ended()),
            },
        };
        let Some(Order { place, command }) = order else {
            return Ok(());
        };
        if conversation.perform(command).await.context(place)? == Flow::Over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_first_and_then_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("probe");
        std::fs::write(&file, "# is it there?\n\nsay hello\nquit\n").unwrap();
        let script = Script::read(&["join Deals".into()], Some(&file)).unwrap();
        let places: Vec<_> = script
            .ready
            .iter()
            .map(|order| order.place.clone())
            .collect();
        let name = file.display();
        assert_eq!(
            places,
            [
                "--command 1".into(),
                format!("{name}:3"),
                format!("{name}:4")
            ]
        );
    }

    #[test]
    fn a_fault_names_its_place_before_anything_is_done() {
        let fault = |commands: &[&str]| {
            let commands: Vec<String> = commands.iter().map(|line| (*line).into()).collect();
            format!("{:#}", Script::read(&commands, None).err().unwrap())
        };
        assert_eq!(
            fault(&["join Deals", "sya hello"]),
            "--command 2: there is no command `sya`; did you mean `say`?"
        );
        let missing = Script::read(&[], Some(Path::new("/nonexistent/probe")))
            .err()
            .unwrap();
        assert!(missing.to_string().contains("/nonexistent/probe"));
    }
}
