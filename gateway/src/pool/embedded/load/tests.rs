use std::path::PathBuf;

use super::*;
use crate::pool::embedded::{Privacy, RoomType, list};

const GOOD: &str = r#"
[[category]]
name = "Trading"
allowed = ["*@contoso.com"]
denied = ["mallory@contoso.com"]
creators = ["ann@contoso.com"]

[[room]]
name = "Deals"
value = "3c29/a b"
category = "trading"
"#;

const FULL: &str = r#"
[[category]]
name = "Trading"
allowed = ["*@contoso.com"]
denied = ["mallory@contoso.com"]
creators = ["ann@contoso.com"]

[[category]]
name = "Town"

[[room]]
name = "Deals"
value = "3c29"
category = "trading"
description = "What is on the table"
members = ["ann@contoso.com", "*@contoso.com"]
managers = ["bob@contoso.com"]

[[room.message]]
author = "ann@contoso.com"
text = "Good morning"
at = 2026-11-02T08:00:00Z

[[room.message]]
author = "bob@contoso.com"
text = "Good morning to you"

[[room]]
name = "Town hall"
category = "Town"
privacy = "open"
type = "auditorium"
presenters = ["carol@fabrikam.com"]
invitations = false
disabled = true
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("rooms.db")
    }

    fn load(&self, text: &str) -> Result<LoadReport, LoadError> {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        load_text(&self.database(), "load.toml", text, now)
    }

    /// Codes and lines of the faults of a file.
    fn faults(&self, text: &str) -> Vec<(&'static str, usize)> {
        let Err(LoadError::Faults(faults)) = self.load(text) else {
            panic!("loaded");
        };
        faults
            .iter()
            .map(|fault| (fault.code(), fault.location().unwrap().line()))
            .collect()
    }
}

#[test]
fn a_file_is_loaded_and_listed() {
    let folder = Folder::new();
    let report = folder.load(FULL).unwrap();
    assert_eq!((report.categories, report.rooms), (2, 2));
    assert!(report.warnings.is_empty());
    let rooms = list(&folder.database()).unwrap();
    let [deals, hall] = rooms.as_slice() else {
        panic!("{rooms:?}");
    };
    assert_eq!(
        (deals.value.as_str(), deals.name.as_str()),
        ("3c29", "Deals")
    );
    assert_eq!(deals.category, "Trading");
    assert_eq!(deals.privacy, Privacy::Closed);
    assert_eq!((deals.members, deals.managers, deals.presenters), (2, 1, 0));
    assert_eq!(deals.messages, 2);
    assert_eq!(
        deals.last_message.as_deref(),
        Some("2026-11-02T08:00:00.0000001Z")
    );
    assert_eq!(hall.value.len(), 36);
    assert_eq!(hall.room_type, RoomType::Auditorium);
    assert!(hall.disabled && !hall.invitations);
    assert_eq!(hall.last_message, None);
}

#[test]
fn loading_again_changes_nothing() {
    let folder = Folder::new();
    folder.load(FULL).unwrap();
    let before = list(&folder.database()).unwrap();
    let store = Store::open_existing(&folder.database()).unwrap();
    let invitations = store.invitations("sip:ann@contoso.com", 0).unwrap();
    assert_eq!(invitations.len(), 1);
    folder.load(FULL).unwrap();
    assert_eq!(list(&folder.database()).unwrap(), before);
    assert_eq!(
        store.invitations("sip:ann@contoso.com", 0).unwrap(),
        invitations
    );
}

#[test]
fn a_file_is_the_truth_about_what_it_names_and_silent_about_the_rest() {
    let folder = Folder::new();
    folder.load(FULL).unwrap();
    folder
        .load(
            r#"
            [[room]]
            name = "Deals of today"
            value = "3c29"
            category = "Trading"
            members = ["ann@contoso.com"]
            "#,
        )
        .unwrap();
    let rooms = list(&folder.database()).unwrap();
    assert_eq!(rooms.len(), 2);
    assert_eq!(rooms[0].name, "Deals of today");
    assert_eq!((rooms[0].members, rooms[0].managers), (1, 0));
    assert_eq!(rooms[0].description, "");
    assert_eq!(rooms[0].messages, 2);
    assert_eq!(rooms[1].name, "Town hall");
}

#[test]
fn an_identifier_cannot_hold_blanks() {
    assert_eq!(Folder::new().faults(GOOD), [("HP006", 10)]);
}

#[test]
fn every_fault_is_told_with_its_line() {
    let folder = Folder::new();
    let text = r#"
[[category]]
name = "Trading"
allowed = ["*@contoso.com"]
colour = "red"

[[category]]
name = "TRADING"
allowed = "everyone"

[[room]]
value = "1"
category = "Trading"

[[room]]
name = "Deals"
value = "1"
category = "Treding"
privacy = "hidden"
members = ["ann", 5]

[[room]]
name = "deals"
category = "Trading"
disabled = "no"

[[room]]
name = "Trading"
category = "Trading"
members = ["eve@fabrikam.com"]
presenters = ["bob@contoso.com"]
type = "auditorium"

[[room.message]]
author = "nobody"
text = ""
at = "yesterday"

[[room.message]]
author = "ann@contoso.com"
text = "two"
at = "2026-11-02T08:00:00Z"

[[room.message]]
author = "ann@contoso.com"
text = "one"
at = "2026-11-01T08:00:00Z"
"#;
    let mut faults = folder.faults(text);
    faults.sort_by_key(|(_, line)| *line);
    assert_eq!(
        faults,
        [
            ("HP003", 5),
            ("HP007", 8),
            ("HP004", 9),
            ("HP005", 11),
            ("HP007", 17),
            ("HP008", 18),
            ("HP006", 19),
            ("HP006", 20),
            ("HP004", 20),
            ("HP007", 23),
            ("HP004", 25),
            ("HP007", 28),
            ("HP009", 30),
            ("HP009", 31),
            ("HP006", 35),
            ("HP006", 36),
            ("HP006", 37),
            ("HP011", 47),
        ]
    );
    assert!(!folder.database().exists());
}

#[test]
fn broken_toml_is_told_with_its_lines() {
    let faults = Folder::new().faults("[[room]\nname = \"a\"\n\nx = = 1\n");
    assert!(faults.iter().all(|(code, _)| *code == "HP002"));
    assert!(faults.contains(&("HP002", 1)) && faults.contains(&("HP002", 4)));
}

#[test]
fn a_name_that_another_room_of_the_pool_has_is_a_fault() {
    let folder = Folder::new();
    folder.load(FULL).unwrap();
    let before = list(&folder.database()).unwrap();
    let text = "[[room]]\nname = \"DEALS\"\nvalue = \"other\"\ncategory = \"Trading\"\n";
    assert_eq!(folder.faults(text), [("HP010", 3)]);
    assert_eq!(list(&folder.database()).unwrap(), before);
}

#[test]
fn a_presenter_of_a_normal_room_is_a_warning() {
    let folder = Folder::new();
    let report = folder
        .load(
            r#"
            [[category]]
            name = "Town"
            [[room]]
            name = "Square"
            category = "Town"
            privacy = "open"
            presenters = ["carol@fabrikam.com"]
            "#,
        )
        .unwrap();
    assert!(!report.warnings.has_errors());
    assert_eq!(report.warnings.iter().count(), 1);
}

#[test]
fn a_missing_file_is_a_fault_of_that_file() {
    let folder = Folder::new();
    let missing = folder.0.path().join("none.toml");
    let result = load_file(&folder.database(), &missing, Timestamp::UNIX_EPOCH);
    let Err(LoadError::Faults(faults)) = result else {
        panic!("{result:?}");
    };
    assert_eq!(faults.iter().next().unwrap().code(), "HP001");
    assert!(!folder.database().exists());
}
