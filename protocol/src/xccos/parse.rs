//! One pass over the bytes that finds every element, attribute and text run.

mod plain;

use quick_xml::Reader;
use quick_xml::errors::{Error as XmlError, IllFormedError, SyntaxError};
use quick_xml::events::{BytesStart, Event};

use super::attributes::{is_name_byte, scan_attributes};
use super::document::{Attribute, Element, Span, Text};
use super::error::{XccosError, XccosErrorKind as Kind};
use super::limits::Limits;

/// The UTF-8 byte order mark. It is no content: documents are read with it, and clients get none.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// What opens and closes a CDATA section, in bytes.
const CDATA_OPEN: u32 = "<![CDATA[".len() as u32;
const CDATA_CLOSE: u32 = "]]>".len() as u32;

/// The three lists of a document.
#[cfg_attr(test, derive(Debug, PartialEq))]
pub(super) struct Parsed {
    pub(super) elements: Vec<Element>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) texts: Vec<Text>,
}

impl Parsed {
    /// Empty lists that seldom grow for a document of so many bytes.
    fn with_room_for(bytes: usize) -> Self {
        Self {
            elements: Vec::with_capacity(8 + bytes / 96),
            attributes: Vec::with_capacity(16 + bytes / 48),
            texts: Vec::with_capacity(4 + bytes / 512),
        }
    }

    /// Adds an element of which the tag is known. It ends with the tag until it is [closed](Self::close).
    fn open(&mut self, element: Element) {
        let texts = self.texts.len() as u32;
        self.elements.push(Element {
            content: Span {
                start: element.whole.end,
                end: element.whole.end,
            },
            descendants_end: self.elements.len() as u32 + 1,
            texts: Span {
                start: texts,
                end: texts,
            },
            ..element
        });
    }

    /// Ends an element with the end tag at `tag`. Returns the one around it.
    fn close(&mut self, index: u32, tag: Span) -> Option<u32> {
        let descendants_end = self.elements.len() as u32;
        let element = self.elements.get_mut(index as usize)?;
        element.whole.end = tag.end;
        element.content.end = tag.start;
        element.descendants_end = descendants_end;
        element.texts.end = self.texts.len() as u32;
        (element.parent != index).then_some(element.parent)
    }
}

/// Finds everything in `bytes`.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Parsed, XccosError> {
    // Positions are kept in 32 bits whatever the limit says.
    let longest = limits.bytes.min(u32::MAX as usize);
    if bytes.len() > longest {
        return Err(XccosError::new(Kind::TooLong(longest), longest));
    }
    check_control_characters(bytes)?;
    // The reader's positions do not count a byte order mark, so it never sees one.
    let base = if bytes.starts_with(BYTE_ORDER_MARK) {
        BYTE_ORDER_MARK.len()
    } else {
        0
    };
    let text = std::str::from_utf8(bytes.get(base..).unwrap_or_default())
        .map_err(|error| XccosError::new(Kind::NotUtf8, base + error.valid_up_to()))?;
    if base == 0
        && let Some(parsed) = plain::parse(text, limits)
    {
        return Ok(parsed);
    }
    let mut parser = Parser::new(text, base as u32, limits);
    parser.run()?;
    Ok(parser.parsed)
}

fn check_control_characters(bytes: &[u8]) -> Result<(), XccosError> {
    let forbidden = |byte: u8| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    // Without an early exit the loop runs over many bytes at a time.
    if !bytes
        .iter()
        .fold(false, |found, &byte| found | forbidden(byte))
    {
        return Ok(());
    }
    let offset = bytes
        .iter()
        .position(|&byte| forbidden(byte))
        .unwrap_or_default();
    Err(XccosError::new(Kind::ControlCharacter, offset))
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    text: &'a str,
    /// Bytes of the document before `text`.
    base: u32,
    limits: Limits,
    /// Index of the innermost open element.
    open: Option<u32>,
    depth: usize,
    parsed: Parsed,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, base: u32, limits: &Limits) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        // End tags are compared here, with the list of elements, without a second stack in the reader.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        Self {
            reader,
            text,
            base,
            limits: *limits,
            open: None,
            depth: 0,
            parsed: Parsed::with_room_for(text.len()),
        }
    }

    fn run(&mut self) -> Result<(), XccosError> {
        loop {
            let start = self.position();
            let event = self
                .reader
                .read_event()
                .map_err(|error| self.xml_error(&error))?;
            let span = Span {
                start,
                end: self.position(),
            };
            match event {
                Event::Start(tag) => self.start(&tag, span)?,
                Event::Empty(tag) => self.empty(&tag, span)?,
                Event::End(tag) => self.end(tag.name().as_ref(), span)?,
                Event::Text(_) | Event::GeneralRef(_) => self.characters(span)?,
                Event::CData(_) => self.cdata(span)?,
                Event::DocType(_) => return Err(error(Kind::Doctype, span.start)),
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => (),
                Event::Eof => break,
            }
        }
        match self.open {
            Some(_) => Err(error(
                Kind::Malformed("an element is not closed"),
                self.position(),
            )),
            None => Ok(()),
        }
    }

    /// Where the reader stands in the document.
    fn position(&self) -> u32 {
        self.base + self.reader.buffer_position() as u32
    }

    fn start(&mut self, tag: &BytesStart<'_>, span: Span) -> Result<(), XccosError> {
        let index = self.element(tag, span)?;
        self.open = Some(index);
        self.depth += 1;
        Ok(())
    }

    fn empty(&mut self, tag: &BytesStart<'_>, span: Span) -> Result<(), XccosError> {
        self.element(tag, span).map(|_| ())
    }

    /// Adds an element that ends with its tag; an end tag corrects that.
    fn element(&mut self, tag: &BytesStart<'_>, span: Span) -> Result<u32, XccosError> {
        let elements = self.parsed.elements.len();
        if elements >= self.limits.elements {
            return Err(error(
                Kind::TooManyElements(self.limits.elements),
                span.start,
            ));
        }
        if self.depth >= self.limits.depth {
            return Err(error(Kind::TooDeep(self.limits.depth), span.start));
        }
        if self.open.is_none() && elements > 0 {
            return Err(error(Kind::Malformed("a second root element"), span.start));
        }
        let index = elements as u32;
        let name = tag.name();
        let name_length = name.as_ref().len() as u32;
        if name_length == 0 || !name.as_ref().bytes().all(is_name_byte) {
            return Err(error(
                Kind::Malformed("a tag without a proper name"),
                span.start,
            ));
        }
        let name_span = Span {
            start: span.start + 1,
            end: span.start + 1 + name_length,
        };
        let first = self.parsed.attributes.len() as u32;
        scan_attributes(
            tag.attributes_raw().as_bytes(),
            name_span.end,
            self.limits.attributes,
            &mut self.parsed.attributes,
        )?;
        self.parsed.open(Element {
            name: name_span,
            prefix: name
                .prefix()
                .map_or(0, |prefix| prefix.as_ref().len() as u32 + 1),
            whole: span,
            parent: self.open.unwrap_or(index),
            attributes: Span {
                start: first,
                end: self.parsed.attributes.len() as u32,
            },
            ..Element::default()
        });
        Ok(index)
    }

    fn end(&mut self, name: &str, span: Span) -> Result<(), XccosError> {
        let unmatched = || {
            error(
                Kind::Malformed("an end tag without its start tag"),
                span.start,
            )
        };
        let index = self.open.ok_or_else(unmatched)?;
        let element = self
            .parsed
            .elements
            .get(index as usize)
            .ok_or_else(unmatched)?;
        let opened = (element.name.start - self.base) as usize;
        let closed = (element.name.end - self.base) as usize;
        if self.text.get(opened..closed) != Some(name) {
            return Err(unmatched());
        }
        self.open = self.parsed.close(index, span);
        self.depth -= 1;
        Ok(())
    }

    /// Text and references that follow each other are one run.
    fn characters(&mut self, span: Span) -> Result<(), XccosError> {
        let Some(parent) = self.open else {
            return self.outside(span);
        };
        // Runs that touch have no markup between them, hence one parent; CDATA ends in markup and touches nothing.
        if let Some(last) = self.parsed.texts.last_mut()
            && last.span.end == span.start
        {
            last.span.end = span.end;
        } else if span.start < span.end {
            self.parsed.texts.push(Text {
                span,
                parent,
                is_cdata: false,
            });
        }
        Ok(())
    }

    fn cdata(&mut self, span: Span) -> Result<(), XccosError> {
        let parent = self
            .open
            .ok_or_else(|| error(Kind::Malformed("text outside of the root"), span.start))?;
        let span = Span {
            start: span.start + CDATA_OPEN,
            end: span.end - CDATA_CLOSE,
        };
        self.parsed.texts.push(Text {
            span,
            parent,
            is_cdata: true,
        });
        Ok(())
    }

    /// Only white space may stand outside of the root.
    fn outside(&self, span: Span) -> Result<(), XccosError> {
        let (start, end) = (
            (span.start - self.base) as usize,
            (span.end - self.base) as usize,
        );
        let text = self.text.get(start..end).unwrap_or_default();
        if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
            return Ok(());
        }
        Err(error(
            Kind::Malformed("text outside of the root"),
            span.start,
        ))
    }

    fn xml_error(&self, found: &XmlError) -> XccosError {
        let what = match found {
            XmlError::Syntax(SyntaxError::UnclosedDoctype) => {
                return error(Kind::Doctype, self.error_position());
            }
            XmlError::Syntax(SyntaxError::InvalidBangMarkup) => "unknown markup behind `<!`",
            XmlError::Syntax(_) => "markup is not closed",
            XmlError::IllFormed(IllFormedError::UnclosedReference) => "`&` without reference",
            XmlError::IllFormed(_) => "ill-formed markup",
            _ => "unreadable markup",
        };
        error(Kind::Malformed(what), self.error_position())
    }

    fn error_position(&self) -> u32 {
        self.base + self.reader.error_position() as u32
    }
}

fn error(kind: Kind, offset: u32) -> XccosError {
    XccosError::new(kind, offset as usize)
}

#[cfg(test)]
pub(in crate::xccos) mod tests;
