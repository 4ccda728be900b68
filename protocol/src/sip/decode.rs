//! Cutting a byte stream into messages.

use bytes::{Buf, Bytes, BytesMut};

use super::check::check_message;
use super::fault::Fault;
use super::grammar::TOKEN;
use super::head::{Head, HeadScan, Progress};
use super::limits::Limits;
use super::message::Message;
use super::status::Status;

/// What a decoder found next.
#[derive(Debug)]
pub enum Decoded {
    /// Nothing whole is left. At least `hint` more bytes are needed; a peer that only announces a long body makes it
    /// large, so it is no amount to reserve at once.
    NeedMore {
        /// Bytes, zero once the decoder is dead.
        hint: usize,
    },
    /// Line ends between messages (RFC 5626 §4.4.1).
    KeepAlive(KeepAlive),
    /// A sound message.
    Message(Message),
    /// A faulty message whose end is known: answer it with [`Fault::answer`], then go on.
    Malformed {
        /// The message as far as it could be read; none if its start line is beyond reading.
        message: Option<Message>,
        /// What is wrong.
        fault: Fault,
    },
    /// Where the next message begins is not known: answer with [`Fault::answer`] if there is a message, then close. The
    /// decoder is dead and takes nothing more in.
    Fatal {
        /// The message, without its body, if its head could be read.
        message: Option<Message>,
        /// What is wrong.
        fault: Fault,
    },
}

/// A keep-alive. The first CRLF is reported at once, since it may be all that comes; so the two of a ping are reported as
/// a pong and then a ping, in however many reads they come. A side that sent no ping ignores pongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// A second CRLF in a row: to be answered with one CRLF.
    Ping,
    /// One CRLF: the answer to a ping, or a line end that RFC 3261 §7.5 has ignored.
    Pong,
}

/// Bodies up to this size are copied out of the read buffer: a view of it would keep all of it alive for them, and would
/// take it from the next read.
const COPIED_BODY: usize = 4096;

/// Decodes one direction of one connection. Linear in the bytes, however they are cut into reads.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limits: Limits,
    /// Longest body over the limit that is read and thrown away.
    skipped: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Before a message. → `Head` at its first byte, `Dead` at one that begins no message.
    Between {
        /// The last thing that came was one CRLF.
        after_crlf: bool,
    },
    /// The buffer starts with a head. → `Body` at its end, `Dead` when it has none or says no length.
    Head(HeadScan),
    /// The buffer starts with a body. → `Between` when it is there.
    Body {
        message: Option<Message>,
        problem: Option<Fault>,
        length: usize,
    },
    /// The buffer starts with what is left of a body that was refused for its length. → `Between` when it is gone.
    Skip { left: usize },
    /// Framing was lost.
    Dead,
}

impl Decoder {
    /// A decoder for a new connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            buffer: BytesMut::new(),
            limits,
            skipped: 0,
            state: State::Between { after_crlf: false },
        }
    }

    /// Where bytes from the socket are read to. Only append. Between [`decode`](Self::decode) calls that say
    /// [`NeedMore`](Decoded::NeedMore) it holds at most one message within the limits and what the driver adds.
    pub const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Appends bytes to the buffer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// A body over the limit and up to so many bytes does not end the connection: its message is [malformed](Decoded::Malformed),
    /// and the body is thrown away as it comes. For connections that many share.
    pub const fn skip_bodies(&mut self, bytes: usize) {
        self.skipped = bytes;
    }

    /// Sets the longest body of the messages whose head is still to come.
    pub const fn limit_body(&mut self, bytes: usize) {
        self.limits.body = bytes;
    }

    /// Bytes of memory that a message takes which has come in part.
    #[must_use]
    pub fn held(&self) -> usize {
        let head = match &self.state {
            State::Body {
                message: Some(message),
                ..
            } => message.headers().head_len(),
            _ => 0,
        };
        head + self.buffer.capacity()
    }

    /// Gives up a message that has come in part. The decoder is dead from now on; if the head was there, `fault` can be
    /// answered to the message.
    pub fn give_up(&mut self, fault: Fault) -> Decoded {
        let message = match &mut self.state {
            State::Body { message, .. } => message.take(),
            State::Between { .. } | State::Head(_) | State::Skip { .. } | State::Dead => None,
        };
        self.fatal(message, fault)
    }

    /// Whether part of a message was read: a connection that ends now was cut.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        match self.state {
            State::Between { .. } => !self.buffer.is_empty(),
            State::Head(_) | State::Body { .. } | State::Skip { .. } => true,
            State::Dead => false,
        }
    }

    /// Takes the next thing out of the buffer. Call until it says [`NeedMore`](Decoded::NeedMore); it then holds no
    /// memory if nothing is left.
    pub fn decode(&mut self) -> Decoded {
        loop {
            match &mut self.state {
                State::Between { after_crlf } => match self.buffer.as_ref() {
                    [] => {
                        self.buffer = BytesMut::new();
                        return Decoded::NeedMore { hint: 1 };
                    }
                    [b'\r'] => return Decoded::NeedMore { hint: 1 },
                    [b'\r', b'\n', ..] => {
                        self.buffer.advance(2);
                        *after_crlf = !*after_crlf;
                        return Decoded::KeepAlive(if *after_crlf {
                            KeepAlive::Pong
                        } else {
                            KeepAlive::Ping
                        });
                    }
                    [first, ..] if TOKEN.has(*first) => {
                        self.state = State::Head(HeadScan::new());
                    }
                    [_, ..] => {
                        let fault = Fault::bad_request("Not SIP", "no message begins like this");
                        return self.fatal(None, fault);
                    }
                },
                State::Head(scan) => match scan.advance(&mut self.buffer, &self.limits) {
                    Progress::More => return Decoded::NeedMore { hint: 1 },
                    Progress::Lost(fault) => return self.fatal(None, fault),
                    Progress::Complete(length) => {
                        let scan = std::mem::take(scan);
                        if let Some(fatal) = self.begin_body(scan, length) {
                            return fatal;
                        }
                    }
                },
                State::Body {
                    message,
                    problem,
                    length,
                } => {
                    if self.buffer.len() < *length {
                        let hint = *length - self.buffer.len();
                        return Decoded::NeedMore { hint };
                    }
                    let body = take_body(&mut self.buffer, *length);
                    if let Some(message) = message {
                        message.set_body(body);
                    }
                    let decoded = match (message.take(), problem.take()) {
                        (Some(message), None) => Decoded::Message(message),
                        (message, fault) => Decoded::Malformed {
                            message,
                            fault: fault.unwrap_or_else(|| Fault::bad_request("Not SIP", "")),
                        },
                    };
                    self.state = State::Between { after_crlf: false };
                    return decoded;
                }
                State::Skip { left } => {
                    let here = self.buffer.len().min(*left);
                    self.buffer.advance(here);
                    *left -= here;
                    if *left > 0 {
                        self.buffer = BytesMut::new();
                        return Decoded::NeedMore { hint: *left };
                    }
                    self.state = State::Between { after_crlf: false };
                }
                State::Dead => {
                    self.buffer = BytesMut::new();
                    return Decoded::NeedMore { hint: 0 };
                }
            }
        }
    }

    fn begin_body(&mut self, scan: HeadScan, head_length: usize) -> Option<Decoded> {
        let head = self.buffer.get_mut(..head_length).unwrap_or_default();
        let Head {
            mut message,
            problem,
            content_length,
        } = scan.finish(head);
        self.buffer.advance(head_length);
        match content_length {
            Ok(length) if length <= self.limits.body => {
                let problem = problem.or_else(|| {
                    message
                        .as_mut()
                        .and_then(|message| check_message(message).err())
                });
                self.state = State::Body {
                    message,
                    problem,
                    length,
                };
                None
            }
            Ok(length) => {
                let fault = Fault::new(
                    Status::REQUEST_ENTITY_TOO_LARGE,
                    "the body is longer than the limit allows",
                );
                if length > self.skipped {
                    return Some(self.fatal(message, fault));
                }
                self.state = State::Skip { left: length };
                Some(Decoded::Malformed { message, fault })
            }
            Err(fault) => Some(self.fatal(message, fault)),
        }
    }

    fn fatal(&mut self, message: Option<Message>, fault: Fault) -> Decoded {
        self.buffer = BytesMut::new();
        self.state = State::Dead;
        Decoded::Fatal { message, fault }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

fn take_body(buffer: &mut BytesMut, length: usize) -> Bytes {
    if length == 0 {
        return Bytes::new();
    }
    if length > COPIED_BODY {
        return buffer.split_to(length).freeze();
    }
    let body = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
    buffer.advance(length);
    body
}

/// See [`Message::parse`].
pub(super) fn one_message(bytes: &[u8]) -> Result<Message, Fault> {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    let not_one = |detail| Err(Fault::bad_request("Not one message", detail));
    match decoder.decode() {
        Decoded::Message(message) if decoder.buffer.is_empty() => Ok(message),
        Decoded::Message(_) => not_one("bytes after the message"),
        Decoded::Malformed { fault, .. } | Decoded::Fatal { fault, .. } => Err(fault),
        Decoded::NeedMore { .. } => not_one("the message is cut short"),
        Decoded::KeepAlive(_) => not_one("a keep-alive"),
    }
}

#[cfg(test)]
mod tests;
