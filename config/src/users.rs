//! The users file of digest sign-in: who may sign in, and the hash of each password.
//!
//! ```toml
//! [users]
//! "ann@contoso.com" = "939e7578ed9e3c518a452acee763bce9"   # HA1: MD5 of user:realm:password in hex
//! ```
//!
//! The user's name is in the hash, in the very spelling that the client sends: that is how Digest is made. So a user may
//! have several hashes of one password, `["…", "…"]`, one for each of [`spellings`].
//!
//! A hash is as good as a password, so no diagnostic shows a line of this file and no `Debug` shows a hash.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use holdover_protocol::user::UserUri;
use schemars::{Schema, json_schema};
use toml::Spanned;
use toml::de::DeValue;
use toml_edit::DocumentMut;

use crate::codes;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Source};
use crate::environment::unreadable;
use crate::file::{self, replace};
use crate::load::read_text;
use crate::names::Domain;
use crate::raw::rules::OneOrMore;
use crate::reader::{FromToml, Key, Presence, Reader, join};
use crate::text::{FromText, TextError};

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
    hashes: HashMap<UserUri, Hashes>,
}

type Hashes = Box<[Ha1]>;

/// Most hashes of one user: one for each spelling of the name.
const MAX_HASHES: usize = 12;

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
        let source = Source::new(name, file::without_mark(text)).hide_text();
        let (file, mut faults) = Reader::new(&source).read_file::<File>();
        faults.sort();
        match file.map(|file| file.users) {
            Some(Key::Given(users)) if !faults.has_errors() => Ok(Self {
                hashes: users.into_inner().0,
            }),
            _ => Err(faults),
        }
    }

    /// The hashes of a user, at most 12; `None` for an unknown user.
    pub fn get(&self, user: &UserUri) -> Option<&[Ha1]> {
        self.hashes.get(user).map(|hashes| &**hashes)
    }

    /// One of the users who are not of `domain`, the first by name, and how many there are.
    #[must_use]
    pub fn foreign(&self, domain: &Domain) -> Option<(&UserUri, usize)> {
        let foreign = || {
            let users = self.hashes.keys();
            users.filter(|user| user.domain() != domain.as_str())
        };
        foreign().min().map(|first| (first, foreign().count()))
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
struct Table(HashMap<UserUri, Hashes>);

impl FromToml for Table {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let mut hashes = HashMap::new();
        for (key, value) in reader.table(value, at)? {
            let name = key.get_ref();
            let user = address(name);
            if let Err(error) = &user {
                let fault = reader.error(
                    codes::BAD_USER,
                    key.span(),
                    format!("the user `{name}` is {error}"),
                );
                reader.report(fault.help(error.help()));
            }
            let of_user = hashes_of(value, &join(at, name), reader);
            if let (Ok(user), Some(of_user)) = (user, of_user)
                && hashes.insert(user, of_user).is_some()
            {
                let message = format!("the user `{name}` is listed twice");
                let fault = reader.error(codes::DUPLICATE_USER, key.span(), message);
                reader.report(fault.help(
                    "capital letters and `%` escapes make no other user; remove one of the lines",
                ));
            }
        }
        Some(Self(hashes))
    }
}

/// One hash, or an array of them.
fn hashes_of(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Hashes> {
    let list = OneOrMore::<Ha1>::read(value, at, reader)?.0;
    if list.elements.len() > MAX_HASHES {
        let message = format!("`{at}` has more than {MAX_HASHES} hashes");
        let fault = reader.error(codes::BAD_HASH, value.span(), message);
        reader.report(fault.help("set the password with `holdover user add`"));
        return None;
    }
    let hashes = list.elements.into_iter().map(Spanned::into_inner);
    list.complete.then(|| hashes.collect())
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

/// Reads `user@domain`, with or without `sip:`, and nothing beside it.
fn address(text: &str) -> Result<UserUri, TextError> {
    const HELP: &str = "write `user@domain`, for example `ann@contoso.com`";
    let bare = text.strip_prefix("sip:").unwrap_or(text);
    let (user, domain) = bare
        .split_once('@')
        .ok_or_else(|| TextError::new("not `user@domain`", HELP))?;
    let wrong_user = || TextError::new("not `user@domain`: the part before the `@` is wrong", HELP);
    if user.contains([':', ';']) {
        return Err(wrong_user());
    }
    Domain::from_text(domain).map_err(|error| {
        TextError::new(format!("not `user@domain`: its domain is {error}"), HELP)
    })?;
    UserUri::parse(bare).map_err(|_| wrong_user())
}

/// The spellings of a user's name in which clients may send it when they sign in, for the hash of each: as the user is
/// known, as it was `typed`, escaped, and with the capitals that people write.
#[must_use]
pub fn spellings(user: &UserUri, typed: &str) -> Vec<String> {
    let capital = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        first.chain(letters).collect::<String>()
    };
    let parts = |name: &str| {
        let parts = name.split_inclusive(['.', '-', '_']);
        parts.map(capital).collect::<String>()
    };
    let (name, domain) = (user.user(), user.domain());
    let mut spellings = Vec::new();
    let mut add = |spelling: String| {
        if spellings.len() < MAX_HASHES && !spellings.contains(&spelling) {
            spellings.push(spelling);
        }
    };
    add(user.address().to_owned());
    add(typed.strip_prefix("sip:").unwrap_or(typed).to_owned());
    for domain in [domain.to_owned(), capital(domain)] {
        for name in [name.to_owned(), capital(name), parts(name)] {
            add(format!("{name}@{domain}"));
        }
    }
    add(format!("{}@{domain}", name.to_uppercase()));
    add(user.address().to_uppercase());
    add(user
        .as_str()
        .strip_prefix("sip:")
        .unwrap_or_default()
        .to_owned());
    spellings
}

/// What [`upsert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upserted {
    /// The user is new.
    Added,
    /// The user had another hash or the same.
    Replaced,
}

/// Puts the hashes of the user `typed` into the users file `path`, which is made if it does not exist. All other lines and
/// comments stay as they are. The file is replaced in one step: a reader sees the old one or the new one.
///
/// # Errors
/// The faults of `typed` or of the existing file, which is then not touched, or that it cannot be written.
pub fn upsert(path: &Path, typed: &str, hashes: &[Ha1]) -> Result<Upserted, Diagnostics> {
    let name = path.display().to_string();
    let user = address(typed).map_err(|error| {
        let message = format!("the user `{typed}` is {error}");
        Diagnostic::whole_file(Severity::Error, codes::BAD_USER, name.as_str(), message)
            .help(error.help())
    })?;
    let _alone = file::alone(path).map_err(|error| unwritable(&name, &error))?;
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
    let bare = file::without_mark(&text);
    let mark = text.strip_suffix(bare).unwrap_or_default();
    let mut document: DocumentMut = bare.parse().map_err(|_| not_editable())?;
    let users = document
        .get_mut("users")
        .and_then(|item| item.as_table_like_mut())
        .ok_or_else(not_editable)?;
    let same = users
        .iter()
        .map(|(key, _)| key.to_owned())
        .find(|key| address(key).is_ok_and(|key| key == user));
    let mut hash = match hashes {
        [one] => toml_edit::Value::from(one.as_str()),
        several => several.iter().map(Ha1::as_str).collect(),
    };
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
            users.insert(user.address(), toml_edit::Item::Value(hash));
            Upserted::Added
        }
    };
    replace(path, format!("{mark}{document}").as_bytes())
        .map_err(|error| unwritable(&name, &error))?;
    Ok(upserted)
}

/// The file `name` cannot be written.
pub(crate) fn unwritable(name: &str, error: &std::io::Error) -> Diagnostic {
    let message = format!("cannot be written: {error}");
    Diagnostic::whole_file(Severity::Error, codes::UNREADABLE, name, message)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HASH: &str = "939e7578ed9e3c518a452acee763bce9";
    const OTHER: &str = "0123456789abcdef0123456789ABCDEF";

    #[test]
    fn users_that_are_added_at_the_same_time_are_all_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let hash = [Ha1::parse(HASH).unwrap()];
        std::thread::scope(|scope| {
            for number in 0..12 {
                let (path, hash) = (&path, &hash);
                scope.spawn(move || {
                    let user = format!("user{number}@contoso.com");
                    assert_eq!(upsert(path, &user, hash).unwrap(), Upserted::Added);
                });
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 13);
    }

    #[test]
    fn users_are_found_in_any_spelling() {
        let users = Users::parse(
            "users.toml",
            &format!("[users]\n\"Ann@Contoso.com\" = \"{OTHER}\"\n"),
        )
        .unwrap();
        let user = |text| UserUri::parse(text).unwrap();
        for spelling in ["sip:ANN@contoso.com", "%41nn@contoso.com"] {
            let hashes = users.get(&user(spelling)).unwrap();
            assert_eq!(hashes[0].as_str(), OTHER.to_lowercase());
        }
        assert!(users.get(&user("bob@contoso.com")).is_none());
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
    fn spellings_of_one_user_are_one_line() {
        let text = format!(
            "[users]\n\"j%C3%BCrgen@contoso.com\" = \"{HASH}\"\n\"JÜRGEN@contoso.com\" = [\"{HASH}\", \"{OTHER}\"]\n"
        );
        let faults = Users::parse("users.toml", &text).unwrap_err();
        let codes: Vec<_> = faults.iter().map(Diagnostic::code).collect();
        assert_eq!(codes, [codes::DUPLICATE_USER]);

        let text = format!("[users]\n\"JÜRGEN@contoso.com\" = [\"{HASH}\", \"{OTHER}\"]\n");
        let users = Users::parse("users.toml", &text).unwrap();
        let user = UserUri::parse("sip:j%c3%bcrgen@contoso.com").unwrap();
        assert_eq!(users.get(&user).unwrap().len(), 2);
        for wrong in ["[]".to_owned(), format!("[\"{HASH}\", \"x\"]")] {
            let text = format!("[users]\n\"ann@contoso.com\" = {wrong}\n");
            assert!(Users::parse("users.toml", &text).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_has_the_spellings_that_people_write() {
        let spelled = |typed| spellings(&UserUri::parse(typed).unwrap(), typed);
        let of_ann = spelled("sip:aNN.Smith@contoso.com");
        for wanted in [
            "ann.smith@contoso.com",
            "aNN.Smith@contoso.com",
            "Ann.smith@contoso.com",
            "Ann.Smith@contoso.com",
            "Ann.Smith@Contoso.com",
            "ANN.SMITH@contoso.com",
            "ANN.SMITH@CONTOSO.COM",
        ] {
            assert!(of_ann.iter().any(|it| it == wanted), "{wanted}: {of_ann:?}");
        }
        let of_jürgen = spelled("jürgen@contoso.com");
        assert!(of_jürgen.iter().any(|it| it == "j%C3%BCrgen@contoso.com"));
        assert!(of_jürgen.len() <= MAX_HASHES && of_ann.len() <= MAX_HASHES);
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
            upsert(&path, "ann@contoso.com", std::slice::from_ref(&other)).unwrap(),
            Upserted::Replaced
        );
        let expected = before.replacen(HASH, other.as_str(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);

        assert_eq!(
            upsert(&path, "sip:Eve@contoso.com", std::slice::from_ref(&other)).unwrap(),
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
        assert!(upsert(&path, "ann", std::slice::from_ref(&ha1)).is_err());
        assert!(!path.exists());
        assert_eq!(
            upsert(&path, "ann@contoso.com", std::slice::from_ref(&ha1)).unwrap(),
            Upserted::Added
        );
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("[users]\n\"ann@contoso.com\" = \"{HASH}\"\n")
        );

        fs::write(&path, "[users]\nbroken").unwrap();
        assert!(upsert(&path, "ann@contoso.com", std::slice::from_ref(&ha1)).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[users]\nbroken");
    }
}
