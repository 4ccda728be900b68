//! How a file of rooms is written: programs that write CSV differ in what separates fields and ends lines, and in what they put
//! before the columns.

use std::io::{self, Read};

use super::columns::Column;

/// Octets at the beginning of a file by which it is known how it is written.
pub(super) const START: usize = 64 * 1_024;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// What separates fields.
    pub(super) delimiter: u8,
    /// Whether lines end in a carriage return alone, as on old Macintoshes.
    pub(super) has_returns: bool,
}

impl Format {
    /// That of the file that begins with `start`.
    pub(super) fn of(start: &[u8]) -> Self {
        let has_returns = start.contains(&b'\r') && !start.contains(&b'\n');
        let mut lines = start.split(|byte| matches!(byte, b'\n' | b'\r'));
        let header = lines.find(|line| !is_blank(line) && !is_preface(line));
        let mut preface = start.split(|byte| matches!(byte, b'\n' | b'\r'));
        // Excel says what it uses.
        let told = preface.find_map(|line| match told_separator(line)? {
            [delimiter, ..] if DELIMITERS.contains(delimiter) => Some(*delimiter),
            _ => None,
        });
        let header = header.unwrap_or_default();
        // The first of several that find as many columns.
        let best = DELIMITERS
            .into_iter()
            .rev()
            .max_by_key(|&delimiter| known_columns(header, delimiter));
        Self {
            delimiter: told.or(best).unwrap_or(b','),
            has_returns,
        }
    }

    /// What separates fields, in words.
    pub(super) fn separator(self) -> &'static str {
        match self.delimiter {
            b';' => "a semicolon",
            b'\t' => "a tab",
            _ => "a comma",
        }
    }
}

const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Whether a line before the columns says something about the file: `#TYPE …` of PowerShell's `Export-Csv`, `sep=;` of Excel.
pub(super) fn is_preface(line: &[u8]) -> bool {
    let text = without_mark(line);
    text.starts_with(b"#TYPE") || text.starts_with(b"\"#TYPE") || told_separator(line).is_some()
}

/// What follows `sep=`, in whatever case and between quotes or not.
fn told_separator(line: &[u8]) -> Option<&[u8]> {
    let line = without_mark(line);
    let line = line.strip_prefix(b"\"").unwrap_or(line);
    let (key, separator) = line.split_at_checked(b"sep=".len())?;
    key.eq_ignore_ascii_case(b"sep=").then_some(separator)
}

fn is_blank(line: &[u8]) -> bool {
    without_mark(line).trim_ascii().is_empty()
}

/// `text` without the byte order marks before it: files that were put together have one where each began.
pub(super) fn without_mark(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b"\xef\xbb\xbf") {
        text = rest;
    }
    text
}

fn known_columns(header: &[u8], delimiter: u8) -> usize {
    let names = without_mark(header).split(|&byte| byte == delimiter);
    names
        .filter(|name| {
            let name = name.trim_ascii();
            let name = name.strip_prefix(b"\"").unwrap_or(name);
            let name = name.strip_suffix(b"\"").unwrap_or(name).trim_ascii();
            Column::ALL
                .iter()
                .any(|column| column.as_str().as_bytes().eq_ignore_ascii_case(name))
        })
        .count()
}

/// The first octets of a file.
pub(super) fn start_of(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    file.take(START as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// A file whose lines end in line feeds, whatever they end in on the disk.
pub(super) struct Lines<R> {
    pub(super) file: R,
    pub(super) has_returns: bool,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        if self.has_returns {
            for byte in buffer.iter_mut().take(length) {
                if *byte == b'\r' {
                    *byte = b'\n';
                }
            }
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_lines() {
        for (text, delimiter, has_returns) in [
            ("legacy,pool,migrated,state\na,b", b',', false),
            ("\u{feff}legacy;pool;migrated;state\r\na,b", b';', false),
            ("\"legacy\"\t\"pool\"\t\"state\"\n", b'\t', false),
            (
                "#TYPE System.Object\r\n\r\n\"legacy\",\"pool\"\r\n",
                b',',
                false,
            ),
            ("sep=;\r\nlegacy;pool\r\n", b';', false),
            ("\"sep=;\"\r\nlegacy;pool\r\n", b';', false),
            ("SEP=;\r\nwhat,ever\r\n", b';', false),
            ("\u{feff}\u{feff}Legacy;Pool;State\r\n", b';', false),
            ("legacy,migrated\ra,b\r", b',', true),
            ("what;ever", b',', false),
            ("", b',', false),
        ] {
            let expected = Format {
                delimiter,
                has_returns,
            };
            assert_eq!(Format::of(text.as_bytes()), expected, "{text}");
        }
    }
}
