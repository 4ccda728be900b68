//! Whether the files that a configuration names are there and hold what they should.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::codes;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Source};
use crate::file;
use crate::load::Loaded;
use crate::users::Users;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Certificate,
    PrivateKey,
    Users,
    Rooms,
    /// Made if it does not exist; its folder must.
    Database,
    /// As a database.
    Audit,
}

/// A file that the configuration names, and where it does so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileUse {
    role: Role,
    path: PathBuf,
    /// A fault at the place of the path, to be filled in with what is wrong.
    place: Diagnostic,
}

impl FileUse {
    pub(crate) fn new(source: &Source<'_>, span: Range<usize>, role: Role, path: PathBuf) -> Self {
        Self {
            role,
            path,
            place: source.error(codes::FILE_MISSING, span, ""),
        }
    }

    fn fault(&self, code: &'static str, message: String) -> Diagnostic {
        self.place.clone().retold(code, message)
    }

    fn check(&self, faults: &mut Diagnostics) {
        let path = self.path.display();
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => {
                let fault = self.fault(codes::NOT_A_FILE, format!("`{path}` is a folder"));
                faults.push(fault.label("a file is needed"));
            }
            Ok(_) => self.check_content(faults),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.check_absent(faults),
            Err(error) => faults.push(self.fault(
                codes::FILE_UNREADABLE,
                format!("`{path}` cannot be read: {error}"),
            )),
        }
    }

    fn check_absent(&self, faults: &mut Diagnostics) {
        let missing = |what: &str| {
            self.fault(
                codes::FILE_MISSING,
                format!("{what} `{}` does not exist", self.path.display()),
            )
        };
        let relative = "relative paths start at the folder of the configuration file";
        faults.push(match self.role {
            Role::Database | Role::Audit => {
                let folder = self
                    .path
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty());
                match folder {
                    Some(folder) if !folder.is_dir() => {
                        let message = format!("the folder `{}` does not exist", folder.display());
                        self.fault(codes::FOLDER_MISSING, message)
                            .help(match self.role {
                                Role::Audit => "make the folder; the file is made in it",
                                _ => "make the folder; the database is made in it",
                            })
                    }
                    folder => return self.check_folder(folder, faults),
                }
            }
            Role::Certificate => missing("the certificate").help(relative),
            Role::PrivateKey => missing("the private key").help(relative),
            Role::Users => missing("the users file").help("make it with `holdover user add`"),
            Role::Rooms => missing("the file of rooms").help(relative),
        });
    }

    fn check_content(&self, faults: &mut Diagnostics) {
        match self.role {
            Role::Certificate => {
                self.check_pem(faults, &["-----BEGIN CERTIFICATE-----"], "certificate")
            }
            Role::PrivateKey => {
                let labels = [
                    "-----BEGIN PRIVATE KEY-----",
                    "-----BEGIN RSA PRIVATE KEY-----",
                    "-----BEGIN EC PRIVATE KEY-----",
                ];
                self.check_pem(faults, &labels, "private key");
            }
            Role::Users => {
                if let Err(wrong) = Users::load(&self.path) {
                    faults.append(wrong);
                }
            }
            Role::Rooms => {
                if let Err(error) = file::open(&self.path, file::ROOMS_BYTES) {
                    faults.push(self.unreadable(&error));
                }
            }
            Role::Database | Role::Audit => {
                if self.role == Role::Database {
                    self.check_private(faults);
                }
                match file::check_writable(&self.path) {
                    // Other files are made beside it.
                    Ok(()) => self.check_folder(self.path.parent(), faults),
                    Err(error) => {
                        let message =
                            format!("`{}` cannot be written: {error}", self.path.display());
                        faults.push(self.fault(codes::FILE_UNREADABLE, message));
                    }
                }
            }
        }
    }

    /// Whether files can be made in a folder. None is left there.
    fn check_folder(&self, folder: Option<&Path>, faults: &mut Diagnostics) {
        let folder = match folder {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if let Err(error) = tempfile::tempfile_in(folder) {
            let message = format!("no file can be made in `{}`: {error}", folder.display());
            let help = match self.role {
                Role::Audit => "the audit file and its `.last` file are made and replaced there",
                _ => {
                    "the database and the files that belong to it (`.lock`, `-wal`, `-shm`) are made there"
                }
            };
            faults.push(self.fault(codes::FOLDER_MISSING, message).help(help));
        }
    }

    /// Whether a PEM file has a block that begins with one of `labels`: whoever swaps certificate and key, or gives a DER or
    /// PFX file, learns it here and not from a failed handshake.
    fn check_pem(&self, faults: &mut Diagnostics, labels: &[&str], what: &str) {
        let bytes = match file::read(&self.path, file::TEXT_BYTES) {
            Ok(bytes) => bytes,
            Err(error) => return faults.push(self.unreadable(&error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        if !labels.iter().any(|label| text.contains(label)) {
            let help = if file::not_text(&bytes).is_some_and(|what| what.contains("UTF-16")) {
                "the file is UTF-16 text: save it as UTF-8"
            } else if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
                "the key is encrypted: decrypt it with `openssl pkey -in KEY -out PLAIN`"
            } else if text.contains("PRIVATE KEY-----")
                || text.contains("-----BEGIN CERTIFICATE-----")
            {
                "are `certificate` and `private_key` swapped?"
            } else {
                "convert a PFX file with `openssl pkcs12 -in FILE.pfx -nodes`"
            };
            let message = format!("`{}` holds no {what} in PEM form", self.path.display());
            faults.push(self.fault(codes::WRONG_CONTENT, message).help(help));
        }
    }

    /// Whether others than its owner may read a database: it holds every message. So may files beside it.
    fn check_private(&self, faults: &mut Diagnostics) {
        #[cfg(unix)]
        for ending in ["", "-wal", "-shm"] {
            use std::os::unix::fs::PermissionsExt as _;
            let mut path = self.path.clone().into_os_string();
            path.push(ending);
            let path = PathBuf::from(path);
            let Some(metadata) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else {
                continue;
            };
            let mode = metadata.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let path = path.display();
                let message = format!(
                    "`{path}` holds what users write, and others than its owner have rights on it (mode {mode:04o})"
                );
                let fault = self.fault(codes::FILE_EXPOSED, message);
                faults.push(fault.into_warning().help(format!("chmod 600 {path}")));
            }
        }
        #[cfg(not(unix))]
        let _everybody = faults;
    }

    fn unreadable(&self, error: &io::Error) -> Diagnostic {
        self.fault(
            codes::FILE_UNREADABLE,
            format!("`{}` cannot be read: {error}", self.path.display()),
        )
    }
}

/// Looks at every file that a configuration names: that certificates, keys, users and rooms are there, can be read and have
/// the right form, and that databases can be written and have a folder in which files can be made. Nothing is changed. The content of the files of rooms is checked by the
/// directory that loads them.
pub fn check_environment<T>(loaded: &Loaded<T>) -> Diagnostics {
    let mut faults = Diagnostics::new();
    let mut users = HashSet::new();
    for file in &loaded.files {
        // Listeners share users: what is wrong inside their file is told once, where it is missing is told of each.
        let told = file.role == Role::Users && !users.insert(&file.path) && file.path.is_file();
        if !told {
            file.check(&mut faults);
        }
    }
    faults
}

/// The fault of a file that cannot be read at all, told without a place in another file.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let name = path.display().to_string();
    Diagnostic::whole_file(
        Severity::Error,
        codes::UNREADABLE,
        name,
        format!("the file cannot be read: {error}"),
    )
}
