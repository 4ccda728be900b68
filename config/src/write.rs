//! Changing a file that an admin wrote.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Writes a file aside and renames it over `path`, following a link to its target. A new file is for its owner alone.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(path.to_path_buf()),
        _ => Err(error),
    })?;
    let mut aside: OsString = target.clone().into_os_string();
    aside.push(".new");
    let aside = PathBuf::from(aside);

    let written = write_aside(&aside, &target, bytes).and_then(|()| fs::rename(&aside, &target));
    if written.is_err() {
        // The error that is told is the first one; what is left behind is only the file aside.
        fs::remove_file(&aside).ok();
    }
    written
}

fn write_aside(aside: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(aside)?;
    if let Ok(metadata) = fs::metadata(target) {
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}
