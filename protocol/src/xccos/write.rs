//! Writing documents that every reader accepts.

use std::fmt::{self, Display, Write as _};

use bytes::Bytes;

use super::NAMESPACE;
use super::envelope::CommandId;
use super::group_chat::GroupChat;
use super::notice::Notice;
use super::text;
use super::verb::{Command, Reply};

/// Writes one document.
///
/// What comes out is well-formed XML 1.0 in UTF-8 on one line, as clients write it themselves: names are ours, values are
/// escaped, and a character that XML 1.0 forbids becomes U+FFFD, because a client drops a whole body that holds one.
/// Attributes stand in the order in which they are given.
///
/// Clients look for replies, else notices, else one post: put only things of one kind in a document, and one post.
#[must_use]
pub struct Envelope {
    writer: Writer,
}

impl Envelope {
    /// An empty document with this id.
    pub fn new(envid: impl Display) -> Self {
        let mut writer = Writer {
            out: String::with_capacity(512),
        };
        let tag = writer.element("xccos").attr("ver", 1).attr("envid", envid);
        tag.attr("xmlns", NAMESPACE).begin();
        Self { writer }
    }

    /// Adds a command.
    pub fn command(mut self, seqid: impl Display, command: &Command) -> Self {
        let verb = command.verb();
        let tag = self
            .writer
            .element("cmd")
            .attr("id", verb.command_name())
            .attr("seqid", seqid);
        tag.children(|w| w.element("data").children(|w| command.write(w)));
        self
    }

    /// Adds a reply to the command `to`.
    pub fn reply(mut self, seqid: impl Display, to: Option<&CommandId<'_>>, reply: &Reply) -> Self {
        let name = reply.verb.reply_name();
        self.writer
            .element("rpl")
            .attr("id", name)
            .attr("seqid", seqid)
            .children(|w| {
                if let Some(to) = to {
                    w.element("commandid")
                        .attr("seqid", &to.seqid)
                        .attr("envid", &to.envid)
                        .end();
                }
                w.element("resp")
                    .attr("code", reply.outcome.code)
                    .text(&reply.outcome.text);
                w.element("data").children(|w| reply.data.write(w));
            });
        self
    }

    /// Adds a notice.
    pub fn notice(mut self, seqid: impl Display, notice: &Notice) -> Self {
        let name = notice.verb().notice_name();
        let tag = self
            .writer
            .element("ntc")
            .attr("id", name)
            .attr("seqid", seqid);
        tag.children(|w| w.element("data").children(|w| notice.write(w)));
        self
    }

    /// Adds a post, or the copy of one that goes to everybody in the room.
    pub fn group_chat(mut self, seqid: impl Display, post: &GroupChat) -> Self {
        let tag = self
            .writer
            .element("grpchat")
            .attr("id", "grpchat")
            .attr("seqid", seqid);
        post.write(tag);
        self
    }

    /// The document.
    pub fn finish(mut self) -> Bytes {
        self.writer.out.push_str("</xccos>");
        self.writer.out.into()
    }
}

impl fmt::Debug for Envelope {
    /// Without the content, which may be message text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("bytes", &self.writer.out.len())
            .finish()
    }
}

/// Writes elements. Names are constants of this program; values may be anything.
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    /// Opens the start tag of an element.
    pub(crate) fn element(&mut self, name: &'static str) -> Tag<'_> {
        self.out.push('<');
        self.out.push_str(name);
        Tag { writer: self, name }
    }
}

/// A start tag that is not closed yet.
#[must_use = "a tag must be ended"]
pub(crate) struct Tag<'a> {
    writer: &'a mut Writer,
    name: &'static str,
}

impl Tag<'_> {
    /// Adds an attribute.
    pub(crate) fn attr(self, name: &'static str, value: impl Display) -> Self {
        let out = &mut self.writer.out;
        out.push(' ');
        out.push_str(name);
        out.push_str("=\"");
        // Writing into a string does not fail, and a value that cannot show itself is written as far as it went.
        write!(AttributeEscaper(out), "{value}").unwrap_or_default();
        out.push('"');
        self
    }

    /// Adds an attribute when there is a value.
    pub(crate) fn attr_opt(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// An element without content.
    pub(crate) fn end(self) {
        self.writer.out.push_str("/>");
    }

    /// An element that holds text.
    pub(crate) fn text(self, value: &str) {
        self.writer.out.push('>');
        text::escape_text(value, &mut self.writer.out);
        self.writer.close(self.name);
    }

    /// An element that holds what `write` writes.
    pub(crate) fn children(self, write: impl FnOnce(&mut Writer)) {
        let Self { writer, name } = self;
        writer.out.push('>');
        let start = writer.out.len();
        write(writer);
        if writer.out.len() == start {
            writer.out.pop();
            writer.out.push_str("/>");
        } else {
            writer.close(name);
        }
    }

    /// Ends the start tag only; the caller writes the end tag.
    fn begin(self) {
        self.writer.out.push('>');
    }
}

impl Writer {
    fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }
}

/// Escapes what is formatted into it.
struct AttributeEscaper<'a>(&'a mut String);

impl fmt::Write for AttributeEscaper<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        text::escape_attribute(part, self.0);
        Ok(())
    }
}
