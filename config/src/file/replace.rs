//! Replacing a file at once, with its owner, group, mode and access control list.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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
        let rights = |metadata: &fs::Metadata| (metadata.uid(), metadata.gid(), metadata.mode());
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
