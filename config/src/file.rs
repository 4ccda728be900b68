//! Reading and replacing files as people really leave them about.
//!
//! Only plain files are read, of bounded size and within a bounded time: a pipe, a device or a folder in the place of a file is
//! an error and not a wait. A file that is replaced keeps its owner, group, mode and access control list, or is not replaced.

mod lock;
mod replace;

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

pub use lock::{Alone, alone};
pub use replace::{Rights, adopt, replace, replace_with};

/// Largest file of settings, rules, users or certificates, in octets.
pub const TEXT_BYTES: u64 = 64 * 1_024 * 1_024;

/// Largest file of rooms, in octets.
pub const ROOMS_BYTES: u64 = 1_024 * 1_024 * 1_024;

/// For how long certificates, keys and authorities may not have changed before they are read anew: whoever writes a file may
/// pause.
pub const SETTLE: Duration = Duration::from_millis(500);

/// How long a file may take to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The mark with which some editors begin UTF-8 text. It is not part of the text.
const MARK: &str = "\u{feff}";

/// Opens the plain file `path`, following links. What is read from it is at most `most` octets long, else an error, and
/// comes within half a minute.
///
/// # Errors
///
/// The file cannot be opened, is no plain file, or is larger than `most`.
pub fn open(path: &Path, most: u64) -> io::Result<Bounded> {
    // Looked at before it is opened: to open a device can have consequences.
    check(&fs::metadata(path)?, most)?;
    let mut options = OpenOptions::new();
    options.read(true);
    // Something else may be there by now: a pipe without a writer would wait for one.
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    check(&file.metadata()?, most)?;
    Ok(Bounded {
        file,
        most,
        left: most,
        until: Instant::now() + READ_TIMEOUT,
    })
}

/// Whether the file `path` changed within `time` before now, in content or otherwise: somebody may still be writing it. What is not
/// there has not, nor has what changed in the future, by the clock of a network share.
#[must_use]
pub fn changed_within(path: &Path, time: Duration) -> bool {
    let Ok(metadata) = fs::metadata(path) else {
        return false;
    };
    last_change(&metadata)
        .and_then(|changed| SystemTime::now().duration_since(changed).ok())
        .is_some_and(|age| age < time)
}

/// When a file changed last, in content or otherwise: copies keep the time of the last write of what they copy.
#[must_use]
pub fn last_change(metadata: &Metadata) -> Option<SystemTime> {
    let modified = metadata.modified().ok();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
        let since = Duration::new(u64::try_from(metadata.ctime()).ok()?, nanoseconds);
        modified.max(SystemTime::UNIX_EPOCH.checked_add(since))
    }
    #[cfg(not(unix))]
    modified
}

/// Whether the plain file `path` may be read, without opening it: whoever opens and closes a database while SQLite has it open in
/// the same process takes SQLite's locks away.
///
/// # Errors
///
/// It may not, or is no plain file.
pub fn check_readable(path: &Path) -> io::Result<()> {
    check(&fs::metadata(path)?, u64::MAX)?;
    #[cfg(unix)]
    rustix::fs::access(path, rustix::fs::Access::READ_OK)?;
    Ok(())
}

/// The same of a file that is written too.
///
/// # Errors
///
/// It may not be read and written, or is no plain file.
pub fn check_writable(path: &Path) -> io::Result<()> {
    check(&fs::metadata(path)?, u64::MAX)?;
    #[cfg(unix)]
    rustix::fs::access(
        path,
        rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
    )?;
    Ok(())
}

/// The content of the plain file `path`, of at most `most` octets.
///
/// # Errors
///
/// As [`open`], and of reading.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path, most)?.read_to_end(&mut content)?;
    Ok(content)
}

/// The content of the plain file `path` as text, of at most [`TEXT_BYTES`]. A byte order mark stays where it is.
///
/// # Errors
///
/// As [`read`], or the file is not UTF-8 text.
pub fn read_text(path: &Path) -> io::Result<String> {
    let content = read(path, TEXT_BYTES)?;
    let invalid = |message| io::Error::new(io::ErrorKind::InvalidData, message);
    match not_text(&content) {
        Some(message) => Err(invalid(message)),
        None => String::from_utf8(content).map_err(|error| {
            let offset = error.utf8_error().valid_up_to();
            invalid(format!(
                "it is not UTF-8 text: the byte at offset {offset} begins no character"
            ))
        }),
    }
}

/// What a content is, if it is clearly no UTF-8 text.
#[must_use]
pub fn not_text(content: &[u8]) -> Option<String> {
    // Windows PowerShell writes UTF-16 by default.
    let is_utf16 = content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff");
    if is_utf16 {
        return Some("it is UTF-16 text, not UTF-8".to_owned());
    }
    let at = content.iter().position(|&byte| byte == 0)?;
    let is_alternating = content
        .get(..64.min(content.len()))
        .is_some_and(|start| start.iter().filter(|&&byte| byte == 0).count() * 3 >= start.len());
    Some(if is_alternating {
        "it is UTF-16 text, not UTF-8".to_owned()
    } else {
        format!("it is not text: the byte at offset {at} is zero")
    })
}

/// `text` without the byte order mark before it.
#[must_use]
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// `content` without the byte order marks of UTF-8 in it, for files that mean nothing by them anywhere.
#[must_use]
pub fn without_marks(content: Vec<u8>) -> Vec<u8> {
    let mark = MARK.as_bytes();
    if !content.windows(mark.len()).any(|part| part == mark) {
        return content;
    }
    let mut bare = Vec::with_capacity(content.len());
    let mut rest = content.as_slice();
    while let Some((&first, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(mark) {
            rest = behind;
        } else {
            bare.push(first);
            rest = behind;
        }
    }
    bare
}

fn check(metadata: &Metadata, most: u64) -> io::Result<()> {
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "it is {}, and only plain files are read",
                kind_of(metadata.file_type())
            ),
        ));
    }
    if metadata.len() > most {
        return Err(too_large(most));
    }
    Ok(())
}

fn too_large(most: u64) -> io::Error {
    let mebibytes = most / (1_024 * 1_024);
    let message = format!("it is larger than {mebibytes} MiB");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

fn kind_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    "something else"
}

/// A plain file that is read to its end or an error: it may not become too large, nor take too long.
#[derive(Debug)]
pub struct Bounded {
    file: File,
    most: u64,
    left: u64,
    until: Instant,
}

impl Bounded {
    /// What the system says about it.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() >= self.until {
            let message = "it took too long to read";
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        let length = self.file.read(buffer)?;
        // Somebody may still write: a file that grows for ever has no end.
        self.left = self
            .left
            .checked_sub(length as u64)
            .ok_or_else(|| too_large(self.most))?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_part_of_a_text() {
        assert_eq!(without_mark("\u{feff}a\u{feff}"), "a\u{feff}");
        let bare = |content: &[u8]| without_marks(content.to_vec());
        assert_eq!(bare(b"\xef\xbb\xbfa\n\xef\xbb\xbf\xef\xbb\xbfb"), b"a\nb");
        assert_eq!(bare(b"\xef\xbba\xef\xbb"), b"\xef\xbba\xef\xbb");
    }

    #[test]
    fn what_is_no_utf8_text_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        for (content, said) in [
            (&b"\xff\xfea\0"[..], "it is UTF-16 text, not UTF-8"),
            (b"\xfe\xff\0a", "it is UTF-16 text, not UTF-8"),
            (b"a\0b\0\n\0", "it is UTF-16 text, not UTF-8"),
            (
                b"abcdefgh\0",
                "it is not text: the byte at offset 8 is zero",
            ),
            (
                b"ab\xff",
                "it is not UTF-8 text: the byte at offset 2 begins no character",
            ),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(read_text(&path).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn only_plain_files_of_bounded_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"1234");
        let error = read(&path, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        // A hole costs nothing on the disk.
        File::create(&path).unwrap().set_len(24 << 30).unwrap();
        let error = read(&path, ROOMS_BYTES).unwrap_err().to_string();
        assert_eq!(error, "it is larger than 1024 MiB");
        let error = read(folder.path(), 4).unwrap_err().to_string();
        assert_eq!(error, "it is a folder, and only plain files are read");
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "1234").unwrap();
        let mut opened = open(&path, 4).unwrap();
        fs::write(&path, "12345").unwrap();
        let error = opened.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let mut late = open(&path, 8).unwrap();
        late.until = Instant::now();
        let error = late.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[cfg(unix)]
    #[test]
    fn what_never_ends_is_not_waited_for() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let _listener = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        symlink("/dev/zero", path("device")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe"),
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        for (name, what) in [
            ("socket", "a socket"),
            ("device", "a device"),
            ("pipe", "a pipe"),
        ] {
            let error = read(&path(name), 4).unwrap_err().to_string();
            let expected = format!("it is {what}, and only plain files are read");
            assert_eq!(error, expected);
        }
    }
}
