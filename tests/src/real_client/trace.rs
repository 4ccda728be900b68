//! The client's debug log: whole SIP messages, both ways.

/// A SIP message as the client sent or received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// Whether the client sent it.
    pub sent: bool,
    /// Start line and headers, line by line.
    pub head: Vec<String>,
    /// The body.
    pub body: String,
}

impl Sip {
    /// The start line.
    #[must_use]
    pub fn start(&self) -> &str {
        self.head.first().map_or("", String::as_str)
    }

    /// The value of the first header of this name, which the client and the gateway spell the same.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.head.iter().filter_map(|line| line.split_once(':'));
        values
            .find(|(other, _)| *other == name)
            .map_or("", |(_, value)| value.trim())
    }
}

/// Finds the messages in the log.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The one being read, and whether its body has begun.
    current: Option<(Sip, bool)>,
}

impl Messages {
    /// Takes a line; answers the message that ends with it.
    pub(super) fn line(&mut self, line: &str) -> Option<Sip> {
        if let Some(direction) = line.strip_prefix("MESSAGE START ") {
            let sip = Sip {
                sent: direction.starts_with('>'),
                head: Vec::new(),
                body: String::new(),
            };
            self.current = Some((sip, false));
            return None;
        }
        if line.starts_with("MESSAGE END ") {
            return self.current.take().map(|(sip, _)| sip);
        }
        match self.current.as_mut()? {
            (sip, true) => {
                sip.body.push_str(line);
                sip.body.push('\n');
            }
            (_, in_body) if line.is_empty() => *in_body = true,
            (sip, false) => sip.head.push(line.to_owned()),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_among_other_lines() {
        let mut messages = Messages::default();
        let lines = [
            "12:00:00 info sipe: something",
            "MESSAGE START >>>>>>>>>> SIP(0x1) - 2026-11-22T12:00:00Z",
            "INFO sip:channel@contoso.com SIP/2.0",
            "CSeq: 2 INFO",
            "",
            "<xccos>",
            "</xccos>",
        ];
        assert!(lines.iter().all(|line| messages.line(line).is_none()));
        let sip = messages.line("MESSAGE END >>>>>>>>>> SIP(0x1)").unwrap();
        assert!(sip.sent);
        assert_eq!(sip.start(), "INFO sip:channel@contoso.com SIP/2.0");
        assert_eq!(sip.header("CSeq"), "2 INFO");
        assert_eq!(sip.body, "<xccos>\n</xccos>\n");
    }
}
