//! Orders from a person at a terminal, whose line is edited while messages appear above it.

use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};

use anyhow::Context as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Editor, ExternalPrinter as _, Helper};
use tokio::sync::mpsc;

use super::command::{Command, TYPED, of_person};
use super::conversation::{Conversation, Flow};
use super::report::{Report, Told};

/// How many messages are shown when a room is opened.
const HISTORY: u32 = 25;

const WELCOME: &str = "Type /rooms to see the rooms, /join ROOM to enter one, /help for the rest.";

const HELP: &str = "What can be typed:
  /rooms [WORDS]     list the rooms, or those whose name contains WORDS
  /join ROOM         enter a room, by its name or its ma-chan:// identifier
  /switch ROOM       talk in another of the rooms you are in
  /history [N]       show the last N messages
  /who               show who is in the room
  /part [ROOM]       leave a room
  /quit              sign out
  anything else is said in the current room; start with // to say something that starts with a slash";

/// What the line editor gives.
enum Typed {
    Line(String),
    /// Ctrl-C, Ctrl-D, or a terminal that is gone.
    Enough,
}

/// The line editor. It reads in a thread of its own, one line for each prompt it is given.
pub(super) struct Terminal {
    prompts: blocking::Sender<String>,
    typed: mpsc::Receiver<Typed>,
    names: Names,
}

type Names = Arc<Mutex<Vec<String>>>;

impl Terminal {
    /// Takes the terminal, and gives with it what prints above the line.
    ///
    /// # Errors
    ///
    /// The terminal cannot be used.
    pub(super) fn open() -> anyhow::Result<(Self, Report)> {
        let names = Names::default();
        let helper = Completion {
            names: Arc::clone(&names),
        };
        let mut editor = Editor::with_history(Config::default(), MemHistory::new())
            .context("the terminal cannot be used")?;
        editor.set_helper(Some(helper));
        let report = match editor.create_external_printer() {
            Ok(mut printer) => Report::Terminal(Box::new(move |text| {
                // A terminal that is gone ends the reading too.
                let _unseen = printer.print(text);
            })),
            // A terminal too simple to print above the line.
            Err(_) => Report::Text,
        };
        let (prompts, to_prompt) = blocking::channel::<String>();
        let (typing, typed) = mpsc::channel(1);
        std::thread::spawn(move || {
            while let Ok(prompt) = to_prompt.recv() {
                let read = match editor.readline(&prompt) {
                    Ok(line) => {
                        // A history that is full or cannot be kept costs nobody a line.
                        let _kept = editor.add_history_entry(line.as_str());
                        Typed::Line(line)
                    }
                    Err(_) => Typed::Enough,
                };
                if typing.blocking_send(read).is_err() {
                    return;
                }
            }
        });
        Ok((
            Self {
                prompts,
                typed,
                names,
            },
            report,
        ))
    }

    /// Asks for the next line.
    fn prompt(&self, conversation: &Conversation) {
        let book = conversation.book();
        let mut names: Vec<String> = book.names().map(Into::into).collect();
        names.sort_unstable();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        let room = book
            .current()
            .map(|open| &*open.room.name)
            .unwrap_or_default();
        // An editor that is gone says so with the line it does not give.
        let _gone = self.prompts.send(format!("{room}> "));
    }
}

/// Talks with a person until they have enough. Returns whether the session was there until then.
pub(super) async fn run(mut conversation: Conversation, mut terminal: Terminal) -> bool {
    conversation.report().tell(&Told::Help { text: WELCOME });
    let mut is_over = false;
    terminal.prompt(&conversation);
    loop {
        let typed = tokio::select! {
            typed = terminal.typed.recv() => typed,
            flow = conversation.listen(), if !is_over => {
                if flow == Flow::Over {
                    is_over = true;
                    // The editor holds the terminal until its line is done.
                    let text = format!("{}; press Enter to leave", conversation.ended());
                    conversation.report().tell(&Told::Error { text: &text });
                }
                continue;
            }
        };
        let Some(Typed::Line(line)) = typed else {
            break;
        };
        if is_over {
            return false;
        }
        match obey(&mut conversation, &line).await {
            Ok(Flow::Continues) => {}
            Ok(Flow::Over) => break,
            Err(error) => conversation.report().tell(&Told::Error {
                text: &format!("{error:#}"),
            }),
        }
        terminal.prompt(&conversation);
    }
    conversation.leave().await;
    !is_over
}

async fn obey(conversation: &mut Conversation, line: &str) -> anyhow::Result<Flow> {
    let Some(command) = of_person(line)? else {
        return Ok(Flow::Continues);
    };
    if command == Command::Help {
        conversation.report().tell(&Told::Help { text: HELP });
        return Ok(Flow::Continues);
    }
    let joins = matches!(command, Command::Join(_));
    let flow = conversation.perform(command).await?;
    if joins
        && let Some(room) = conversation
            .book()
            .current()
            .map(|open| open.room.uri.clone())
    {
        // As a real client does.
        conversation.show_history(room, HISTORY).await?;
    }
    Ok(flow)
}

/// Asks for a password without showing it.
///
/// # Errors
///
/// None was given.
pub(super) fn ask_password(prompt: &str) -> anyhow::Result<String> {
    let mut editor: Editor<Hidden, MemHistory> =
        Editor::with_history(Config::default(), MemHistory::new())
            .context("the terminal cannot be used")?;
    editor.set_helper(Some(Hidden));
    match editor.readline(prompt) {
        Ok(password) => Ok(password),
        Err(ReadlineError::Interrupted | ReadlineError::Eof) => {
            Err(anyhow::anyhow!("no password was given"))
        }
        Err(error) => Err(error).context("cannot read the password"),
    }
}

/// Completes commands and the names of rooms.
struct Completion {
    names: Names,
}

impl Helper for Completion {}
impl Highlighter for Completion {}
impl Validator for Completion {}

impl Hinter for Completion {
    type Hint = String;
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(complete(line.get(..position).unwrap_or_default(), &names))
    }
}

/// Where the word to complete starts, and what it may become.
fn complete(line: &str, names: &[String]) -> (usize, Vec<String>) {
    let Some(command) = line.strip_prefix('/') else {
        return (line.len(), Vec::new());
    };
    let Some((word, typed)) = command.split_once(' ') else {
        let fits = TYPED.iter().filter(|known| known.starts_with(command));
        return (0, fits.map(|known| format!("/{known} ")).collect());
    };
    if !matches!(word, "join" | "part" | "switch" | "history" | "who") {
        return (line.len(), Vec::new());
    }
    let folded = typed.to_lowercase();
    let fits = names
        .iter()
        .filter(|name| name.to_lowercase().starts_with(&folded));
    (line.len() - typed.len(), fits.cloned().collect())
}

/// Shows nothing of what is typed.
struct Hidden;

impl Helper for Hidden {}
impl Validator for Hidden {}

impl Hinter for Hidden {
    type Hint = String;
}

impl Completer for Hidden {
    type Candidate = String;
}

impl Highlighter for Hidden {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> std::borrow::Cow<'l, str> {
        "*".repeat(line.chars().count()).into()
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_rooms_are_completed() {
        let names = ["Deals".into(), "Deals Europe".into(), "Town hall".into()];
        assert_eq!(complete("/jo", &names), (0, vec!["/join ".into()]));
        assert_eq!(
            complete("/join dea", &names),
            (6, vec!["Deals".into(), "Deals Europe".into()])
        );
        assert_eq!(
            complete("/join Town h", &names),
            (6, vec!["Town hall".into()])
        );
        assert_eq!(complete("/rooms De", &names), (9, Vec::new()));
        assert_eq!(complete("De", &names), (2, Vec::new()));
    }
}
