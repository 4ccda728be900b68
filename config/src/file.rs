//! Reading and replacing files as people really leave them about.
//!
//! Only plain files are read, of bounded size and within a bounded time: a pipe, a device or a folder in the place of a file is
//! an error and not a wait. A file that is replaced keeps its owner, group, mode and access control list, or is not replaced.

use std::ffi::OsString;
use std::fs::{self, File, FileType, Metadata, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Largest file of settings, rules, users or certificates, in octets.
pub const TEXT_BYTES: u64 = 64 * 1_024 * 1_024;

/// Largest file of rooms, in octets.
pub const ROOMS_BYTES: u64 = 1_024 * 1_024 * 1_024;

/// For how long certificates, keys and authorities may not have changed before they are read anew: whoever writes a file may
/// pause.
pub const SETTLE: Duration = Duration::from_millis(500);

/// How long a file may take to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a command waits for another one that changes files of the same folder.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between two looks at whether it is done.
const LOCK_AGAIN: Duration = Duration::from_millis(10);

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

/// Who may do what with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    #[cfg(unix)]
    user: u32,
    #[cfg(unix)]
    group: u32,
    permissions: fs::Permissions,
    /// As the system keeps it; none if there are only owner, group and others.
    #[cfg(target_os = "linux")]
    list: Option<Vec<u8>>,
}

#[cfg(target_os = "linux")]
const ACCESS_LIST: &str = "system.posix_acl_access";

impl Rights {
    /// Those of the file `path`. `None`: there is no such file.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Ok(Some(Self {
            #[cfg(unix)]
            user: metadata.uid(),
            #[cfg(unix)]
            group: metadata.gid(),
            permissions: metadata.permissions(),
            #[cfg(target_os = "linux")]
            list: access_list(path)?,
        }))
    }

    /// Gives them to a file that was just made.
    fn give(&self, file: &File) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let now = file.metadata()?;
            let user = (now.uid() != self.user).then_some(self.user);
            let group = (now.gid() != self.group).then_some(self.group);
            if user.is_some() || group.is_some() {
                std::os::unix::fs::fchown(file, user, group).map_err(|error| {
                    let (user, group) = (self.user, self.group);
                    let message = format!(
                        "its owner (user {user}, group {group}) cannot be kept: {error}; run the command as that user or as root"
                    );
                    io::Error::new(error.kind(), message)
                })?;
            }
        }
        // After the owner: a change of owner takes rights away.
        file.set_permissions(self.permissions.clone())?;
        #[cfg(target_os = "linux")]
        set_access_list(file, self.list.as_deref()).map_err(|error| {
            let message = format!("its access control list cannot be kept: {error}");
            io::Error::new(error.kind(), message)
        })?;
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn access_list(path: &Path) -> io::Result<Option<Vec<u8>>> {
    use rustix::io::Errno;
    // Far more than a kernel keeps.
    let mut list = vec![0; 65_536];
    match rustix::fs::getxattr(path, ACCESS_LIST, list.as_mut_slice()) {
        Ok(length) => {
            list.truncate(length);
            Ok(Some(list))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(target_os = "linux")]
fn set_access_list(file: &File, list: Option<&[u8]>) -> io::Result<()> {
    use rustix::fs::XattrFlags;
    use rustix::io::Errno;
    let done = match list {
        Some(list) => rustix::fs::fsetxattr(file, ACCESS_LIST, list, XattrFlags::empty()),
        // One may have come from the folder.
        None => rustix::fs::fremovexattr(file, ACCESS_LIST).or_else(|error| match error {
            Errno::NODATA | Errno::OPNOTSUPP => Ok(()),
            error => Err(error),
        }),
    };
    done.map_err(io::Error::from)
}

/// While it exists no other command changes files of the same folder.
#[derive(Debug)]
#[must_use = "it is over when this is dropped"]
pub struct Alone {
    _folder: Option<File>,
}

/// Waits for other commands that change files beside `path`: whoever reads a file, changes it and writes it back would lose
/// what another one wrote meanwhile. The gateway only reads, and waits for nobody. Without an effect where the file system has
/// no locks.
///
/// # Errors
///
/// Another command is not done within ten seconds, or the folder cannot be opened.
pub fn alone(path: &Path) -> io::Result<Alone> {
    alone_within(path, LOCK_TIMEOUT)
}

fn alone_within(path: &Path, time: Duration) -> io::Result<Alone> {
    if !cfg!(unix) {
        return Ok(Alone { _folder: None });
    }
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or_else(|| Path::new(".")))?;
    let until = Instant::now() + time;
    loop {
        match folder.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(_)) => return Ok(Alone { _folder: None }),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                let message = format!(
                    "another command has been changing files of this folder for {} seconds",
                    time.as_secs()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
        }
    }
    Ok(Alone {
        _folder: Some(folder),
    })
}

/// Puts a file of this content in the place of `path`, following a link to its target: a reader sees the old one or the new
/// one, whole. A file that is there keeps its rights. A new one is for its owner alone, who is the folder's owner where root
/// makes it.
///
/// # Errors
///
/// It cannot be written, or its rights cannot be kept. Then the file is as it was.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    replace_with(path, content, None)
}

/// As [`replace`]; if there is no file yet, it gets `rights`.
///
/// # Errors
///
/// As [`replace`].
pub fn replace_with(path: &Path, content: &[u8], rights: Option<&Rights>) -> io::Result<()> {
    let target = fs::canonicalize(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(path.to_path_buf()),
        _ => Err(error),
    })?;
    let own = Rights::of(&target)?;
    let aside = aside(&target);
    let written = write_aside(&aside, content, own.as_ref().or(rights))
        .and_then(|()| fs::rename(&aside, &target));
    if written.is_err() {
        // The error that is told is the first one; what is left behind is only the file aside.
        fs::remove_file(&aside).ok();
    }
    written
}

fn write_aside(aside: &Path, content: &[u8], rights: Option<&Rights>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // Never a file, or a link, that somebody else has put there.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(aside)?;
    match rights {
        Some(rights) => rights.give(&file)?,
        None => adopt(&file, aside)?,
    }
    file.write_all(content)?;
    file.sync_all()
}

/// Gives a file that root just made at `path` to the owner of its folder: the gateway, which seldom runs as root, has to be able
/// to go on with it.
///
/// # Errors
///
/// The system does not do it.
pub fn adopt(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let now = file.metadata()?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::metadata(folder.unwrap_or_else(|| Path::new(".")))?;
        if now.uid() == 0 && folder.uid() != 0 {
            std::os::unix::fs::fchown(file, Some(folder.uid()), Some(folder.gid()))?;
        }
    }
    #[cfg(not(unix))]
    let _nobody = (file, path);
    Ok(())
}

/// A new name beside `path`, which no reader of configurations takes for a file of rules.
fn aside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    // Its keys are random.
    let unique = RandomState::new().hash_one(std::process::id());
    name.push(format!(".{unique:016x}.new"));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn only_one_changes_files_of_a_folder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (users, rules) = (folder.path().join("users"), folder.path().join("rules"));
        let first = alone(&users).unwrap();
        let refused = alone_within(&rules, Duration::ZERO).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        drop(first);
        let _second = alone_within(&rules, Duration::ZERO).unwrap();
    }

    #[test]
    fn many_who_replace_a_file_at_once_leave_it_whole_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        replace(path, &[b'a' + number; 5_000]).unwrap();
                    }
                });
            }
        });
        let content = fs::read(&path).unwrap();
        assert_eq!(content.len(), 5_000);
        assert!(content.windows(2).all(|pair| pair.first() == pair.last()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

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

    #[cfg(unix)]
    #[test]
    fn a_file_that_is_replaced_keeps_owner_group_and_mode() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.toml");
        fs::write(&path, "old").unwrap();
        // Only root can give files away.
        let may_chown = chown(&path, Some(65_534), Some(65_533)).is_ok();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let before = fs::metadata(&path).unwrap();
        replace(&path, b"new").unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let rights = |metadata: &Metadata| (metadata.uid(), metadata.gid(), metadata.mode());
        assert_eq!(rights(&after), rights(&before));
        assert!(!may_chown || after.uid() == 65_534);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_folder() {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let folder = tempfile::tempdir().unwrap();
        let may_chown = chown(folder.path(), Some(65_534), Some(65_533)).is_ok();
        let path = folder.path().join("users.toml");
        replace(&path, b"new").unwrap();
        let made = fs::metadata(&path).unwrap();
        assert_eq!(made.mode() & 0o777, 0o600);
        assert!(!may_chown || (made.uid(), made.gid()) == (65_534, 65_533));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_replaced_keeps_its_access_control_list() {
        use rustix::fs::XattrFlags;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.toml");
        fs::write(&path, "old").unwrap();
        // Version 2; owner rw, user 4242 r, group r, mask r, others nothing.
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in [
            (1_u16, 6_u16, u32::MAX),
            (2, 4, 4_242),
            (4, 4, u32::MAX),
            (16, 4, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        let set = rustix::fs::setxattr(&path, ACCESS_LIST, &list, XattrFlags::empty());
        if set == Err(rustix::io::Errno::OPNOTSUPP) {
            // This file system has none.
            return;
        }
        set.unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(access_list(&path).unwrap(), Some(list));
        assert_eq!(Rights::of(&path).unwrap(), Rights::of(&path).unwrap());
    }

    #[test]
    fn nothing_is_left_aside_when_a_file_cannot_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "").unwrap();
        replace(&path, b"new").unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
