//! A message on its way to a connection, which is printed when its place among the others is certain.

use std::fmt;

use bytes::Bytes;
use holdover_protocol::sip::MessageBuilder;

/// A message that waits for its connection.
///
/// What is the same on every connection is printed where it is made and costs nothing here. Either form is completed by
/// the connection's [`Finish`], if it has one.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Printed.
    Printed(Bytes),
    /// Not yet.
    Message(Box<MessageBuilder>),
}

impl From<Bytes> for Outgoing {
    fn from(message: Bytes) -> Self {
        Self::Printed(message)
    }
}

impl From<MessageBuilder> for Outgoing {
    fn from(message: MessageBuilder) -> Self {
        Self::Message(Box::new(message))
    }
}

/// Completes the messages of one connection with what depends on their order or on what stands in them: a running number,
/// a signature, a Route.
pub(crate) trait Finish: fmt::Debug + Send {
    /// Prints a message. Messages come in the order in which they are written to the peer, each once; one that was
    /// dropped before, for want of room, never comes.
    fn finish(&mut self, message: MessageBuilder) -> Bytes;
}

/// Prints a message for a connection.
pub(super) fn print(message: Outgoing, by: Option<&mut (dyn Finish + 'static)>) -> Bytes {
    match (message, by) {
        (Outgoing::Printed(message), None) => message,
        (Outgoing::Message(message), None) => message.finish(),
        (Outgoing::Message(message), Some(by)) => by.finish(*message),
        (Outgoing::Printed(message), Some(by)) => match MessageBuilder::reopen(&message) {
            Some(message) => by.finish(message),
            // Only a builder prints messages here.
            None => message,
        },
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Numbers messages, and makes each longer, as a signature does.
    #[derive(Debug, Default)]
    pub(crate) struct Numbers {
        last: u32,
    }

    impl Finish for Numbers {
        fn finish(&mut self, message: MessageBuilder) -> Bytes {
            self.last += 1;
            let signature = "f".repeat(64);
            message
                .other("X-Signed", format_args!("{};by={signature}", self.last))
                .finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use holdover_protocol::sip::{MessageBuilder, Method};

    use super::testing::Numbers;
    use super::*;

    #[test]
    fn a_message_waits_in_no_more_room_than_its_octets() {
        assert_eq!(size_of::<Outgoing>(), size_of::<Bytes>());
    }

    #[test]
    fn printed_or_not_a_message_leaves_complete_and_alike() {
        let message = || {
            MessageBuilder::request(&Method::Info, "sip:a@contoso.com")
                .other("X-Body", "Content-Length: 7")
                .body("text/plain", b"a\r\n\r\nContent-Length: 5\r\n\r\n")
        };
        let printed = message().finish();
        assert_eq!(print(message().into(), None), printed);
        let same = print(printed.clone().into(), None);
        assert_eq!(same.as_ptr(), printed.as_ptr(), "copied");
        let mut numbers = Numbers::default();
        let signed = print(message().into(), Some(&mut numbers));
        let mut numbers = Numbers::default();
        assert_eq!(print(printed.into(), Some(&mut numbers)), signed);
        let signed = String::from_utf8(signed.to_vec()).unwrap();
        assert_eq!(signed.matches("X-Signed: 1;").count(), 1, "{signed}");
        assert!(
            signed.contains("\r\nContent-Length: 26\r\n\r\na\r\n\r\n"),
            "{signed}"
        );
    }
}
