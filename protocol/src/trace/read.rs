//! Logs as text: which SIP messages stand in them, and where.

use std::borrow::Cow;

/// The longest message that is taken from a log, in bytes. Longer ones are counted and left out.
pub const LONGEST_MESSAGE: usize = 2 * 1024 * 1024;

/// How far into a line the end of its prefix may stand: date, time, process, level.
const LONGEST_PREFIX: usize = 160;

/// One message of a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Traced {
    /// The line its start line stands on, counted from 1.
    pub line: usize,
    /// The message as it goes over the wire. Logs change the line ends of bodies, so Content-Length is that of the body
    /// in the log.
    pub bytes: Vec<u8>,
    /// The log ends, or its body is much shorter than its Content-Length said.
    pub is_cut: bool,
}

impl std::fmt::Debug for Traced {
    /// Shows sizes only: message text must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traced")
            .field("line", &self.line)
            .field("bytes", &self.bytes.len())
            .field("is_cut", &self.is_cut)
            .finish()
    }
}

/// What was found in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The messages in their order.
    pub messages: Vec<Traced>,
    /// Messages longer than [`LONGEST_MESSAGE`].
    pub too_long: usize,
}

/// Returns the text of a file in UTF-8 or UTF-16 of either byte order, with or without a mark. What is no text becomes
/// U+FFFD.
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    let (units, big_endian): (&[u8], bool) = match bytes {
        [0xFF, 0xFE, rest @ ..] => (rest, false),
        [0xFE, 0xFF, rest @ ..] => (rest, true),
        [0xEF, 0xBB, 0xBF, rest @ ..] => return String::from_utf8_lossy(rest),
        // Logs begin with ASCII, so every other byte of UTF-16 is zero there.
        [first, 0, third, 0, ..] if *first != 0 && *third != 0 => (bytes, false),
        [0, second, 0, fourth, ..] if *second != 0 && *fourth != 0 => (bytes, true),
        _ => return String::from_utf8_lossy(bytes),
    };
    let unit = |pair: &[u8; 2]| match big_endian {
        true => u16::from_be_bytes(*pair),
        false => u16::from_le_bytes(*pair),
    };
    let (pairs, _odd) = units.as_chunks::<2>();
    char::decode_utf16(pairs.iter().map(unit))
        .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect::<String>()
        .into()
}

/// Finds the SIP messages in a log, whatever mixture of forms it has.
///
/// Known are the records of the servers' SIP stack, between `$$begin_record` and `$$end_record`, as OCSLogger and the
/// tracing of Lync write them, and the lines of clients (`.uccapilog`), where a start line follows ` :: `. All else is
/// passed over. Linear in the text.
pub fn read(text: &str) -> Trace {
    let mut reader = Reader::default();
    for (index, line) in text.lines().enumerate() {
        reader.line(index + 1, line);
    }
    reader.finish(true);
    reader.found
}

#[derive(Default)]
struct Reader {
    found: Trace,
    state: State,
}

#[derive(Default)]
enum State {
    /// Between messages.
    #[default]
    Outside,
    /// In a record, before its start line.
    Record,
    /// In a message of a record.
    InRecord(Partial),
    /// In a message of a client's log.
    InLines(Partial),
}

/// A message that is being read.
struct Partial {
    line: usize,
    head: String,
    /// What Content-Length said.
    announced: Option<usize>,
    body: Option<String>,
    is_too_long: bool,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        if marks(line, "$$begin") {
            self.finish(true);
            self.state = State::Record;
            return;
        }
        if marks(line, "$$end") {
            self.finish(false);
            return;
        }
        if let Some(logged) = logged(line) {
            // A line of a client's log ends what was before it, except within a record.
            if !matches!(self.state, State::Record | State::InRecord(_)) {
                self.finish(false);
                if is_start_line(logged) {
                    self.state = State::InLines(Partial::new(number, logged));
                }
                return;
            }
        }
        match &mut self.state {
            State::Outside => (),
            State::Record => {
                if let Some(start) = after_name(line, "Start-Line") {
                    self.state = State::InRecord(Partial::new(number, start));
                }
            }
            State::InRecord(message) => match after_name(line, "Message-Body") {
                Some(body) if message.body.is_none() => {
                    let is_none = matches!(body, "-" | "\u{2013}" | "");
                    message.begin_body(if is_none { "" } else { body });
                }
                _ => message.add(line),
            },
            State::InLines(message) => match line.is_empty() && message.body.is_none() {
                true => message.body = Some(String::new()),
                false => message.add(line),
            },
        }
    }

    /// Ends the message that is being read. `early`: nothing in the log said that it ends here.
    fn finish(&mut self, early: bool) {
        let (message, early) = match std::mem::take(&mut self.state) {
            State::InRecord(message) => (message, early),
            State::InLines(message) => (message, false),
            State::Outside | State::Record => return,
        };
        if message.is_too_long {
            self.found.too_long += 1;
        } else {
            self.found.messages.push(message.into_traced(early));
        }
    }
}

impl Partial {
    fn new(line: usize, start: &str) -> Self {
        Self {
            line,
            head: format!("{}\r\n", start.trim()),
            announced: None,
            body: None,
            is_too_long: start.len() > LONGEST_MESSAGE,
        }
    }

    fn begin_body(&mut self, line: &str) {
        let mut body = String::new();
        if !line.is_empty() {
            body.push_str(line);
            body.push_str("\r\n");
        }
        self.body = Some(body);
    }

    fn add(&mut self, line: &str) {
        let long = self.head.len() + self.body.as_ref().map_or(0, String::len) + line.len();
        if long > LONGEST_MESSAGE {
            self.is_too_long = true;
            return;
        }
        if let Some(body) = &mut self.body {
            body.push_str(line);
            body.push_str("\r\n");
            return;
        }
        let length = after_name(line, "Content-Length").or_else(|| after_name(line, "l"));
        if let Some(length) = length {
            self.announced = length.parse().ok();
        } else if !line.is_empty() {
            self.head.push_str(line);
            self.head.push_str("\r\n");
        }
    }

    fn into_traced(self, early: bool) -> Traced {
        let body = self.body.unwrap_or_default();
        // The end of the last line, and blank lines behind it, are the log's.
        let body = body.trim_end_matches(['\r', '\n']);
        // Line ends are counted twice at most, and blanks at the end may be gone.
        let lines = body.matches('\n').count() + 2;
        let is_short = |announced: usize| announced > body.len() + 2 * lines;
        let length = body.len();
        Traced {
            line: self.line,
            is_cut: early || self.announced.is_some_and(is_short),
            bytes: format!("{}Content-Length: {length}\r\n\r\n{body}", self.head).into_bytes(),
        }
    }
}

/// Whether a line has one of the marks of a record, which are written with `_` and with `-`.
fn marks(line: &str, mark: &str) -> bool {
    line.find(mark)
        .and_then(|at| line.get(at + mark.len()..))
        .is_some_and(|rest| rest.starts_with("_record") || rest.starts_with("-record"))
}

/// What follows `name:` where the line begins so.
fn after_name<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (before, after) = line.split_once(':')?;
    before
        .trim_end()
        .eq_ignore_ascii_case(name)
        .then(|| after.trim())
}

/// What follows the prefix of a line of a client's log: `11/22/2026|09:00:00.000 1A4:5C8 INFO  :: `.
fn logged(line: &str) -> Option<&str> {
    let (prefix, rest) = line.split_once(" :: ")?;
    let level = prefix.split_ascii_whitespace().next_back()?;
    let is_prefix = prefix.len() <= LONGEST_PREFIX
        && prefix.starts_with(|first: char| first.is_ascii_digit())
        && prefix.contains('|')
        && level.bytes().all(|byte| byte.is_ascii_uppercase());
    is_prefix.then_some(rest)
}

/// Whether a text is the start line of a request or a response.
fn is_start_line(text: &str) -> bool {
    let text = text.trim_end();
    text.starts_with("SIP/2.0 ")
        || (text.ends_with(" SIP/2.0")
            && text.starts_with(|first: char| first.is_ascii_uppercase()))
}
