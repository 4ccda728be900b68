//! The users file of digest sign-in: who may sign in, and the hash of each password.
//!
//! ```toml
//! [users]
//! "ann@contoso.com" = "939e7578ed9e3c518a452acee763bce9"   # HA1: MD5 of user:realm:password in hex
//! ```
//!
//! A hash is as good as a password, so no diagnostic shows a line of this file and no `Debug` shows a hash.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use schemars::{Schema, json_schema};
use toml::Spanned;
use toml::de::DeValue;
use toml_edit::DocumentMut;

use crate::codes;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Source};
use crate::environment::unreadable;
use crate::load::read_text;
use crate::names::Domain;
use crate::reader::{FromToml, Key, Presence, Reader, join};
use crate::text::{FromText, TextError};
use crate::write::replace;

/// HA1 of RFC 2617 §3.2.2.2: the MD5 of `user:realm:password` as 32 hexadecimal digits in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1(Box<str>);

impl Ha1 {
    /// Parses 32 hexadecimal digits.
    ///
    /// # Errors
    /// What a hash looks like, if `text` is none. The error never shows `text`.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(TextError::new(
                "no HA1 hash, which is 32 hexadecimal digits",
                "set the password with `holdover user add`",
            ))
        }
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(…)")
    }
}

/// The users of digest sign-in.
#[derive(Clone, Debug, Default)]
pub struct Users {
    hashes: HashMap<Box<str>, Ha1>,
}

impl Users {
    /// Reads the users file `path`.
    ///
    /// # Errors
    /// All faults of the file.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        Self::parse(&path.display().to_string(), &read_text(path)?)
    }

    /// Reads the `text` of a users file that people know as `name`.
    ///
    /// # Errors
    /// All faults of the text.
    pub fn parse(name: &str, text: &str) -> Result<Self, Diagnostics> {
        let source = Source::new(name, text).hide_text();
        let (file, mut faults) = Reader::new(&source).read_file::<File>();
        faults.sort();
        match file.map(|file| file.users) {
            Some(Key::Given(users)) if !faults.has_errors() => Ok(Self {
                hashes: users.into_inner().0,
            }),
            _ => Err(faults),
        }
    }

    /// The hash of the user `address`: `user@domain` in any case, with or without `sip:`.
    pub fn get(&self, address: &str) -> Option<&Ha1> {
        self.hashes.get(canonical(address).ok()?.as_str())
    }

    /// Number of users.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether nobody can sign in.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

/// A users file as it is written.
struct File {
    users: Key<Table>,
}

impl FromToml for File {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = reader.entries(value, at, &[("users", Presence::Required)])?;
        Some(Self {
            users: reader.key(&entries, "users"),
        })
    }
}

/// The table `[users]`: every key is a user.
struct Table(HashMap<Box<str>, Ha1>);

impl FromToml for Table {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let mut hashes = HashMap::new();
        for (key, value) in reader.table(value, at)? {
            let name = key.get_ref();
            let user = canonical(name);
            if let Err(error) = &user {
                let fault = reader.error(
                    codes::BAD_USER,
                    key.span(),
                    format!("the user `{name}` is {error}"),
                );
                reader.report(fault.help(error.help()));
            }
            let hash = Ha1::read(value, &join(at, name), reader);
            if let (Ok(user), Some(hash)) = (user, hash)
                && hashes.insert(user.into_boxed_str(), hash).is_some()
            {
                let message = format!("the user `{name}` is listed twice");
                let fault = reader.error(codes::DUPLICATE_USER, key.span(), message);
                reader.report(
                    fault.help("capital letters make no other user; remove one of the lines"),
                );
            }
        }
        Some(Self(hashes))
    }
}

impl FromText for Ha1 {
    const CODE: &'static str = codes::BAD_HASH;

    fn from_text(text: &str) -> Result<Self, TextError> {
        Self::parse(text)
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9A-Fa-f]{32}$" })
    }
}

/// `user@domain` in lower case, as Active Directory compares addresses.
fn canonical(address: &str) -> Result<String, TextError> {
    const HELP: &str = "write `user@domain`, for example `ann@contoso.com`";
    let address = address.strip_prefix("sip:").unwrap_or(address);
    let (user, domain) = address
        .split_once('@')
        .ok_or_else(|| TextError::new("not `user@domain`", HELP))?;
    let foreign =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '"' | '<' | '>' | ';');
    if user.is_empty() || user.contains(foreign) {
        return Err(TextError::new(
            "not `user@domain`: the part before the `@` is wrong",
            HELP,
        ));
    }
    let domain = Domain::from_text(domain).map_err(|error| {
        TextError::new(format!("not `user@domain`: its domain is {error}"), HELP)
    })?;
    Ok(format!("{}@{domain}", user.to_ascii_lowercase()))
}

/// What [`upsert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upserted {
    /// The user is new.
    Added,
    /// The user had another hash or the same.
    Replaced,
}

/// Puts the hash of the user `address` into the users file `path`, which is made if it does not exist. All other lines and
/// comments stay as they are. The file is replaced in one step: a reader sees the old one or the new one.
///
/// # Errors
/// The faults of `address` or of the existing file, which is then not touched, or that it cannot be written.
pub fn upsert(path: &Path, address: &str, ha1: &Ha1) -> Result<Upserted, Diagnostics> {
    let name = path.display().to_string();
    let user = canonical(address).map_err(|error| {
        let message = format!("the user `{address}` is {error}");
        Diagnostic::whole_file(Severity::Error, codes::BAD_USER, name.as_str(), message)
            .help(error.help())
    })?;
    let exists = path
        .try_exists()
        .map_err(|error| unreadable(path, &error))?;
    let text = if exists {
        read_text(path)?
    } else {
        "[users]\n".to_owned()
    };
    Users::parse(&name, &text)?;

    let not_editable = || {
        let message = "the file cannot be edited: `[users]` is not a table of its own";
        Diagnostic::whole_file(Severity::Error, codes::SYNTAX, name.as_str(), message)
    };
    let mut document: DocumentMut = text.parse().map_err(|_| not_editable())?;
    let users = document
        .get_mut("users")
        .and_then(|item| item.as_table_like_mut())
        .ok_or_else(not_editable)?;
    let same = users
        .iter()
        .map(|(key, _)| key.to_owned())
        .find(|key| canonical(key).is_ok_and(|key| key == user));
    let mut hash = toml_edit::Value::from(ha1.as_str());
    let upserted = match same
        .and_then(|key| users.get_mut(&key))
        .and_then(|item| item.as_value_mut())
    {
        Some(old) => {
            // The decor of a value holds the comment behind it.
            *hash.decor_mut() = old.decor().clone();
            *old = hash;
            Upserted::Replaced
        }
        None => {
            users.insert(&user, toml_edit::Item::Value(hash));
            Upserted::Added
        }
    };
    replace(path, document.to_string().as_bytes()).map_err(|error| {
        Diagnostic::whole_file(
            Severity::Error,
            codes::UNREADABLE,
            name.as_str(),
            format!("cannot be written: {error}"),
        )
    })?;
    Ok(upserted)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HASH: &str = "939e7578ed9e3c518a452acee763bce9";
    const OTHER: &str = "0123456789abcdef0123456789ABCDEF";

    #[test]
    fn users_are_found_in_any_spelling() {
        let users = Users::parse(
            "users.toml",
            &format!("[users]\n\"Ann@Contoso.com\" = \"{OTHER}\"\n"),
        )
        .unwrap();
        assert_eq!(
            users.get("sip:ANN@contoso.com").unwrap().as_str(),
            OTHER.to_lowercase()
        );
        assert!(users.get("bob@contoso.com").is_none());
        assert!(users.get("no address").is_none());
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn every_fault_is_told_and_no_line_is_shown() {
        let text = format!(
            "user = 1\n[users]\n\"ann@contoso.com\" = \"hunter2\"\n\"bob\" = \"{HASH}\"\n\
             \"eve@contoso.com\" = \"{HASH}\"\n\"Eve@contoso.com\" = \"{HASH}\"\n"
        );
        let faults = Users::parse("users.toml", &text).unwrap_err();
        let found: Vec<_> = faults
            .iter()
            .map(|fault| (fault.code(), fault.location().unwrap().line()))
            .collect();
        assert_eq!(
            found,
            [
                (codes::UNKNOWN_KEY, 1),
                (codes::BAD_HASH, 3),
                (codes::BAD_USER, 4),
                (codes::DUPLICATE_USER, 5)
            ]
        );
        for text in [
            faults.render(true),
            faults.to_json().to_string(),
            format!("{faults:?}"),
        ] {
            assert!(!text.contains("hunter2") && !text.contains(HASH), "{text}");
        }
    }

    #[test]
    fn a_hash_is_not_in_debug_output() {
        let users =
            Users::parse("u", &format!("[users]\n\"ann@contoso.com\" = \"{HASH}\"\n")).unwrap();
        assert!(!format!("{users:?}").contains(HASH));
    }

    #[test]
    fn upsert_keeps_everything_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let before = format!(
            "# Our users\n[users]\n\n# Ann is an admin\n\"Ann@contoso.com\" =   \"{HASH}\"  # since May\n'bob@contoso.com' = '{HASH}'\n"
        );
        fs::write(&path, &before).unwrap();
        let other = Ha1::parse(OTHER).unwrap();
        assert_eq!(
            upsert(&path, "ann@contoso.com", &other).unwrap(),
            Upserted::Replaced
        );
        let expected = before.replacen(HASH, other.as_str(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);

        assert_eq!(
            upsert(&path, "sip:Eve@contoso.com", &other).unwrap(),
            Upserted::Added
        );
        let expected = format!("{expected}\"eve@contoso.com\" = \"{}\"\n", other.as_str());
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(Users::load(&path).unwrap().len(), 3);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn upsert_makes_a_file_but_touches_no_broken_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let ha1 = Ha1::parse(HASH).unwrap();
        assert!(upsert(&path, "ann", &ha1).is_err());
        assert!(!path.exists());
        assert_eq!(
            upsert(&path, "ann@contoso.com", &ha1).unwrap(),
            Upserted::Added
        );
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("[users]\n\"ann@contoso.com\" = \"{HASH}\"\n")
        );

        fs::write(&path, "[users]\nbroken").unwrap();
        assert!(upsert(&path, "ann@contoso.com", &ha1).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[users]\nbroken");
    }
}
