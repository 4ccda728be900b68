//! The directory from its files to its answers.

use std::fs;
use std::path::PathBuf;

use holdover_config::settings::Directory as Settings;
use holdover_config::{Diagnostics, PoolName};
use holdover_protocol::room::RoomUri;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

mod further;

const HEADER: &str = "legacy,pool,migrated,state,name,note\n";

fn pools() -> Vec<PoolName> {
    ["hq", "branch"].map(|name| name.parse().unwrap()).to_vec()
}

fn uri(value: &str) -> RoomUri {
    value.parse().unwrap()
}

fn old(value: &str) -> RoomUri {
    RoomUri::new("old.example", value).unwrap()
}

fn new(value: &str) -> RoomUri {
    RoomUri::new("new.example", value).unwrap()
}

fn settings(rooms: Vec<PathBuf>) -> Settings {
    Settings {
        rooms,
        unlisted: Unlisted::Refuse,
        default_pool: None,
        preferences_pool: None,
    }
}

/// Loads files with these contents, named `0.csv`, `1.csv` and so on, after `change` of the settings.
fn load_texts_with(
    texts: &[impl AsRef<[u8]>],
    change: impl FnOnce(&mut Settings),
) -> Result<Rooms, Diagnostics> {
    let folder = TempDir::new().unwrap();
    let write = |(number, text): (usize, &dyn AsRef<[u8]>)| {
        let path = folder.path().join(format!("{number}.csv"));
        fs::write(&path, text.as_ref()).unwrap();
        path
    };
    let files: Vec<PathBuf> = texts
        .iter()
        .map(|text| text as &dyn AsRef<[u8]>)
        .enumerate()
        .map(write)
        .collect();
    let mut settings = settings(files);
    change(&mut settings);
    load(&settings, &pools())
}

fn load_texts(texts: &[impl AsRef<[u8]>]) -> Result<Rooms, Diagnostics> {
    load_texts_with(texts, |_| ())
}

fn same_id(pool: &PoolName) -> impl FnOnce(&mut Settings) {
    let unlisted = Unlisted::SameId(pool.clone());
    |settings| settings.unlisted = unlisted
}

fn refuse(rows: &str) -> Directory {
    Directory::new(load_texts(&[format!("{HEADER}{rows}")]).unwrap())
}

/// `line:column code message | help` of each fault.
fn faults(text: impl AsRef<[u8]>) -> Vec<String> {
    let diagnostics = load_texts(&[text]).unwrap_err();
    let one = |fault: &holdover_config::Diagnostic| {
        let place = fault
            .location()
            .map(|at| format!("{}:{} ", at.line(), at.column()));
        let json = fault.to_json();
        let help = json["help"].as_str().unwrap_or("-").to_owned();
        format!(
            "{}{} {} | {help}",
            place.unwrap_or_default(),
            fault.code(),
            fault.message()
        )
    };
    diagnostics.iter().map(one).collect()
}

fn rows(rows: &str) -> Vec<String> {
    faults(format!("{HEADER}{rows}"))
}

fn listed(directory: &Directory, room: &RoomUri) -> Arc<Entry> {
    match directory.resolve(room) {
        Resolution::Listed(entry) => entry,
        other => panic!("{room} is {other:?}"),
    }
}

#[test]
fn a_room_is_found_by_both_of_its_identifiers() {
    let migrated = new("0F8FAD5B-D9CB-469F-A165-70867728950E");
    let directory = refuse(&format!(
        "ma-chan://old.example/a/B,hq,{migrated},migrated,,\n"
    ));
    let entry = listed(&directory, &old("a/B"));
    assert_eq!(entry.migrated(), Some(migrated.clone()));
    assert_eq!(
        (entry.state(), entry.pool().as_str(), entry.line()),
        (State::Migrated, "hq", 2)
    );
    let [hq, branch] = pools().try_into().unwrap();
    assert_eq!(directory.legacy_of(&hq, &migrated), Some(old("a/B")));
    assert_eq!(directory.legacy_of(&branch, &migrated), None);
}

#[test]
fn domains_compare_without_case_and_values_exactly() {
    let directory = refuse("ma-chan://Old.Example/Room,hq,ma-chan://new.example/x,migrated,,\n");
    assert_eq!(
        listed(&directory, &uri("ma-chan://oLD.eXAMPLE/Room"))
            .legacy()
            .as_str(),
        "ma-chan://Old.Example/Room"
    );
    assert!(matches!(
        directory.resolve(&old("room")),
        Resolution::Unlisted
    ));
    let hq = &pools()[0];
    assert!(
        directory
            .legacy_of(hq, &uri("ma-chan://NEW.example/x"))
            .is_some()
    );
    assert!(directory.legacy_of(hq, &new("X")).is_none());
}

#[test]
fn an_unlisted_room_follows_the_policy() {
    let hq = pools().remove(0);
    let directory = refuse("");
    assert!(matches!(directory.resolve(&old("1")), Resolution::Unlisted));
    let directory = Directory::new(load_texts_with(&[HEADER], same_id(&hq)).unwrap());
    assert!(matches!(directory.resolve(&old("1")), Resolution::SameId { pool } if pool == hq));
}

#[test]
fn merged_rooms_answer_to_every_old_id_and_the_room_that_went_on_comes_first() {
    let directory = refuse(
        "ma-chan://old.example/1,hq,ma-chan://new.example/m,merged,,\n\
         ma-chan://old.example/2,hq,ma-chan://new.example/m,retired,,\n\
         ma-chan://old.example/3,hq,ma-chan://new.example/m,renamed,,\n\
         ma-chan://old.example/4,hq,ma-chan://new.example/m,merged,,\n\
         ma-chan://old.example/5,branch,ma-chan://new.example/m,migrated,,\n",
    );
    let hq = &pools()[0];
    assert_eq!(directory.legacy_of(hq, &new("m")), Some(old("3")));
    assert_eq!(
        directory.aliases(hq, &new("m")),
        [old("3"), old("1"), old("4")]
    );
    assert_eq!(listed(&directory, &old("4")).migrated(), Some(new("m")));
    let all = directory.explain(&Query::Migrated(new("m")), 1).rooms;
    let order: Vec<_> = all
        .iter()
        .map(|room| room.legacy.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(order, ["3", "1", "4", "2", "5"]);
}

#[test]
fn closed_rooms_are_listed_with_their_note_and_lead_back_from_nowhere() {
    let directory = refuse(
        "ma-chan://old.example/1,hq,,retired,Lounge,\"Closed, ask Ann\"\n\
         ma-chan://old.example/2,hq,ma-chan://new.example/2,pending,,\n",
    );
    let entry = listed(&directory, &old("1"));
    assert_eq!((entry.name(), entry.note()), ("Lounge", "Closed, ask Ann"));
    assert_eq!((entry.migrated(), entry.state().is_open()), (None, false));
    let hq = &pools()[0];
    assert_eq!(directory.legacy_of(hq, &new("2")), None);
    assert!(directory.aliases(hq, &new("2")).is_empty());
}

#[test]
fn columns_come_in_any_order_with_bom_crlf_quotes_and_blank_lines() {
    let text = "\u{feff}state , note,legacy,pool,migrated\r\n\r\n\
                migrated,\" a \"\"b\"\"\",ma-chan://old.example/1 ,hq,ma-chan://new.example/1\r\n";
    let directory = Directory::new(load_texts(&[text]).unwrap());
    let entry = listed(&directory, &old("1"));
    assert_eq!(
        (entry.note(), entry.name(), entry.line()),
        ("a \"b\"", "", 3)
    );
}

#[test]
fn all_faults_of_all_lines_are_told_with_their_places() {
    let found = rows(
        "ma-chan://old.example/1,qh,nonsense,migratd,,\n\
         ma-chan://old.example/2,hq,,renamed,,\n\
         \n\
         ma-chan://old.example/3,hq\n\
         MA-CHAN://old.example/4,elsewhere,,lost,,\n",
    );
    assert_eq!(
        found,
        [
            "2:25 HD006 unknown pool `qh` | did you mean `hq`?",
            "2:28 HD005 `nonsense` is not a room's identifier: expected an identifier that starts with `ma-chan://` | a room's identifier looks like `ma-chan://contoso.com/value`",
            "2:37 HD007 unknown state `migratd` | did you mean `migrated`?",
            "3:28 HD008 a room that is renamed needs its migrated id | give the id, or say `retired` or `pending`",
            "5:1 HD003 the line has 2 fields, the header has 6 | put a field that contains a comma between double quotes",
            "6:1 HD005 `MA-CHAN://old.example/4` is not a room's identifier: expected an identifier that starts with `ma-chan://` | a room's identifier looks like `ma-chan://contoso.com/value`",
            "6:25 HD006 unknown pool `elsewhere` | the configured pools are: `hq`, `branch`",
            "6:36 HD007 unknown state `lost` | the states are: `migrated`, `renamed`, `merged`, `retired`, `pending`, `also`",
        ]
    );
}

#[test]
fn clashes_name_the_other_line() {
    let diagnostics = load_texts(&[
        format!("{HEADER}ma-chan://old.example/1,hq,ma-chan://new.example/1,migrated,,\n"),
        format!(
            "{HEADER}ma-chan://OLD.example/1,hq,ma-chan://new.example/2,migrated,,\n\
             ma-chan://old.example/3,hq,ma-chan://new.example/1,renamed,,\n"
        ),
    ])
    .unwrap_err();
    let messages: Vec<_> = diagnostics
        .iter()
        .map(|fault| {
            let line = fault.location().unwrap().line();
            let file = |text: &str| text.rsplit('/').next().unwrap().to_owned();
            (
                file(fault.file()),
                line,
                fault.code(),
                fault.message().to_owned(),
            )
        })
        .collect();
    let [duplicate, claimed] = messages.as_slice() else {
        panic!("{messages:?}")
    };
    assert_eq!(
        (duplicate.0.as_str(), duplicate.1, duplicate.2),
        ("1.csv", 2, "HD010")
    );
    assert!(duplicate.3.contains("/0.csv:2 already"), "{}", duplicate.3);
    assert_eq!(
        (claimed.0.as_str(), claimed.1, claimed.2),
        ("1.csv", 3, "HD011")
    );
    assert!(
        claimed.3.contains("/0.csv:2 has the migrated id"),
        "{}",
        claimed.3
    );
}

#[test]
fn a_header_must_name_the_columns() {
    assert_eq!(
        faults("legacy,pool,migratd,state,owner,pool\n"),
        [
            "1:1 HD002 the column `migrated` is missing | the first line names the columns: `legacy,pool,migrated,state,name,note,category`",
            "1:13 HD002 unknown column `migratd` | did you mean `migrated`?",
            "1:27 HD002 unknown column `owner` | the columns are: `legacy`, `pool`, `migrated`, `state`, `name`, `note`, `category`",
            "1:33 HD002 the column `pool` is there twice | -",
        ]
    );
    assert_eq!(
        faults("legacy|pool|migrated|state\n"),
        [
            "1:1 HD002 unknown column `legacy|pool|migrated|state` | the columns are: `legacy`, `pool`, `migrated`, `state`, `name`, `note`, `category`"
        ]
    );
    assert_eq!(faults("").len(), 1);
}

/// What programs that people use make of the same two rooms.
#[test]
fn files_are_read_as_programs_write_them() {
    let plain = "legacy,pool,migrated,state,name,note\n\
                 ma-chan://old.example/1,hq,ma-chan://new.example/1,migrated,Lounge,\n\
                 ma-chan://old.example/2,hq,,retired,Falcon,gone\n";
    let quoted = plain.replace('\n', "\"\n\"").replace(',', "\",\"");
    let quoted = format!("\"{}", quoted.strip_suffix('"').unwrap());
    for (what, text) in [
        (
            "Excel in Germany",
            plain.replace(',', ";").replace('\n', "\r\n"),
        ),
        (
            "a note with a comma",
            plain.replace(',', ";").replace("gone", "gone, ask Ann"),
        ),
        (
            "Excel with its hint",
            format!("sep=;\r\n{}", plain.replace(',', ";")),
        ),
        ("tabs", plain.replace(',', "\t")),
        ("an old Macintosh", plain.replace('\n', "\r")),
        (
            "Export-Csv",
            format!("#TYPE Selected.System.Object\r\n{quoted}"),
        ),
        (
            "Export-Csv with a mark",
            format!("\u{feff}#TYPE X\r\n{quoted}"),
        ),
        (
            "rows and columns that are empty",
            format!("{},,,,,,,\r\n,,,\r\n", plain.replace('\n', ",,\r\n")),
        ),
        (
            "empty rows of semicolons",
            format!("\r\n{};;;;;\r\n", plain.replace(',', ";")),
        ),
        ("no line end", plain.trim_end().to_owned()),
        (
            "columns in capitals",
            plain
                .replace("legacy,pool", "Legacy,POOL")
                .replace(',', ";"),
        ),
        (
            "a hint between quotes",
            format!("\"sep=;\"\r\n{}", plain.replace(',', ";")),
        ),
        (
            "a mark behind the hint",
            format!("\u{feff}SEP=;\r\n\u{feff}{}", plain.replace(',', ";")),
        ),
        ("two marks", format!("\u{feff}\u{feff}{quoted}")),
        (
            "a mark in the quotes",
            quoted.replace("\"legacy", "\"\u{feff}legacy"),
        ),
        (
            "files put together by copy",
            plain
                .replace("/1,migrated", "/1\u{feff},migrated")
                .replace("ma-chan://old.example/2", "\u{feff}ma-chan://old.example/2")
                + "\u{1a}",
        ),
    ] {
        let loaded = load_texts(&[&text]);
        let loaded = loaded.unwrap_or_else(|faults| panic!("{what}: {}", faults.render(false)));
        assert_eq!(loaded.len(), 2, "{what}");
        let directory = Directory::new(loaded);
        let lounge = listed(&directory, &old("1"));
        assert_eq!(
            (lounge.name(), lounge.migrated()),
            ("Lounge", Some(new("1"))),
            "{what}"
        );
        assert!(
            listed(&directory, &old("2")).note().starts_with("gone"),
            "{what}"
        );
    }
}

#[test]
fn what_is_no_utf8_text_is_told_without_showing_it() {
    let utf16 = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        b"\xff\xfe"
            .iter()
            .copied()
            .chain(units)
            .collect::<Vec<u8>>()
    };
    let bare = utf16(HEADER).split_off(2);
    for text in [utf16(HEADER), bare] {
        let faults = load_texts(&[text]).unwrap_err();
        let shown = faults.render(false);
        assert!(shown.contains("it is UTF-16 text, not UTF-8"), "{shown}");
        assert!(shown.contains("save the file as UTF-8"), "{shown}");
        assert!(!shown.contains('\0'), "{shown}");
    }
    // A zero far behind, in a name and in an identifier.
    let filler = "ma-chan://old.example/1,hq,,retired,,\n\n".to_owned() + &"\n".repeat(70_000);
    let text = format!("{HEADER}{filler}ma-chan://old.example/\0,hq,,retired,a\0,\n");
    let shown = load_texts(&[text]).unwrap_err().render(false);
    assert!(shown.contains("HD009") && !shown.contains('\0'), "{shown}");
}

#[test]
fn a_quote_that_is_not_closed_is_told_where_it_begins() {
    let help = "close the quote in this line; write a quote that belongs to the text twice, in a field between quotes";
    let expected = |place: &str| {
        format!("{place} HD003 the quote that begins this field is not closed in its line | {help}")
    };
    let good = "ma-chan://old.example/9,hq,,retired,,\n";
    let bad = "ma-chan://old.example/1,hq,,retired,\"Lounge,\n";
    let column = 37;
    for more in [0, 1, 3, 5] {
        let text = format!("{bad}{}", good.repeat(more));
        assert_eq!(rows(&text), [expected(&format!("2:{column}"))], "{more}");
    }
    // Without an end of the last line, and where another quote far below closes it.
    assert_eq!(rows(bad.trim_end()), [expected(&format!("2:{column}"))]);
    let closed = format!("{good}\n{bad}{good}{}", bad.replace("/1", "/2"));
    assert_eq!(
        rows(&closed).first(),
        Some(&expected(&format!("4:{column}")))
    );
    assert_eq!(faults("legacy,\"pool,migrated\n"), [expected("1:8")]);
    // What is closed is told as what it is.
    let broken = "ma-chan://old.example/1,hq,,retired,\"Lounge\",\"a\nb\"\n";
    let told = rows(broken);
    assert!(
        told.len() == 1 && told[0].starts_with("2:46 HD009"),
        "{told:?}"
    );
}

#[test]
fn bytes_and_texts_that_cannot_be_shown_are_refused() {
    let latin = [
        HEADER.as_bytes(),
        b"ma-chan://old.example/1,hq,,retired,,caf\xe9\n",
    ]
    .concat();
    assert_eq!(
        faults(latin),
        ["2:38 HD004 the field is not UTF-8 | save the file as UTF-8"]
    );
    assert_eq!(
        rows("ma-chan://old.example/1,hq,,retired,\"two\nlines\",\n"),
        ["2:37 HD009 the name contains a line break or another control character | -"]
    );
    let long = format!(
        "ma-chan://old.example/1,hq,,retired,,{}\n",
        "n".repeat(1025)
    );
    assert_eq!(
        rows(&long),
        ["2:38 HD009 the note is longer than 1024 bytes | -"]
    );
}

#[test]
fn a_file_that_is_not_there_is_a_fault_and_the_others_are_still_read() {
    let folder = TempDir::new().unwrap();
    let wrong = folder.path().join("wrong.csv");
    fs::write(&wrong, "x").unwrap();
    let files = [folder.path().join("none.csv"), wrong];
    let codes: Vec<_> = load(&settings(files.to_vec()), &pools())
        .unwrap_err()
        .iter()
        .map(|fault| fault.code())
        .collect();
    assert_eq!(codes.first(), Some(&"HD001"));
    assert!(codes.contains(&"HD002"), "{codes:?}");
}

#[test]
fn every_fault_is_counted_even_if_it_is_not_kept() {
    let lines = Diagnostics::KEPT + 7;
    let text = format!("{HEADER}{}", "x,hq,,retired,,\n".repeat(lines));
    let diagnostics = load_texts(&[text]).unwrap_err();
    assert_eq!(
        (diagnostics.error_count(), diagnostics.omitted()),
        (lines, 7)
    );
}

#[test]
fn an_explanation_says_the_same_as_text_and_as_json() {
    let directory = refuse("ma-chan://old.example/1,hq,,retired,Lounge,Ask Ann\n");
    let explanation = directory.explain(&Query::Legacy(old("1")), 1);
    let source = explanation.rooms[0].source.clone().unwrap();
    assert!(source.ends_with("0.csv:2"), "{source}");
    assert_eq!(
        explanation.to_string(),
        format!(
            "ma-chan://old.example/1 is listed as a legacy id\n\n  legacy    ma-chan://old.example/1\n  migrated  none\n  \
             pool      hq\n  state     retired\n  name      Lounge\n  note      Ask Ann\n  source    {source}\n\n\
             generation 1"
        )
    );
    assert_eq!(
        serde_json::to_value(&explanation).unwrap(),
        serde_json::json!({
            "legacy": "ma-chan://old.example/1", "answer": "listed", "generation": 1,
            "rooms": [{
                "legacy": "ma-chan://old.example/1", "migrated": null, "pool": "hq", "state": "retired", "open": false,
                "name": "Lounge", "category": "", "note": "Ask Ann", "source": source,
            }],
        })
    );
}

#[test]
fn an_unlisted_room_is_explained_by_the_policy() {
    let row = "ma-chan://old.example/1,hq,ma-chan://new.example/1,migrated,,\n";
    let directory = refuse(row);
    assert_eq!(
        directory.explain(&Query::Legacy(old("2")), 1).answer,
        Answer::Unlisted
    );
    assert_eq!(
        directory.explain(&Query::Migrated(old("2")), 1).answer,
        Answer::Unlisted
    );
    let branch = pools().remove(1);
    let rooms = load_texts_with(&[format!("{HEADER}{row}")], same_id(&branch)).unwrap();
    let directory = Directory::new(rooms);
    let same = directory.explain(&Query::Migrated(old("2")), 1);
    assert_eq!(
        (same.answer, same.rooms[0].pool.as_str()),
        (Answer::SameId, "branch")
    );
    // `old/1` is somebody's legacy id: as a migrated id it belongs to nobody.
    assert_eq!(
        directory.explain(&Query::Migrated(old("1")), 1).answer,
        Answer::Unlisted
    );
}

#[test]
fn a_room_that_names_no_pool_lives_on_the_default_pool() {
    let text = "legacy,migrated,state\nma-chan://old.example/1,ma-chan://new.example/1,migrated\n";
    let branch = pools().remove(1);
    let set = |settings: &mut Settings| settings.default_pool = Some(branch.clone());
    let directory = Directory::new(load_texts_with(&[text], set).unwrap());
    assert_eq!(listed(&directory, &old("1")).pool(), &branch);
    assert_eq!(
        rows("ma-chan://old.example/1,,,retired,,\n"),
        [
            "2:25 HD006 the room names no pool, and there is no default | name a pool here, or set `default_pool`"
        ]
    );
}

#[test]
fn a_guid_is_found_in_any_spelling_and_listed_once() {
    const GUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let braced = format!("{{{}}}", GUID.to_uppercase());
    let row = |legacy: &str, name: &str| {
        format!("ma-chan://old.example/{legacy},hq,ma-chan://new.example/1,merged,{name},\n")
    };
    let directory = |legacy: &str| {
        let text = format!("{HEADER}{}", row(legacy, "Deals"));
        Directory::new(load_texts(&[text]).unwrap())
    };
    for listed in [GUID.to_owned(), GUID.to_uppercase(), braced.clone()] {
        let directory = directory(&listed);
        for asked in [GUID.to_owned(), GUID.to_uppercase(), braced.clone()] {
            let found = self::listed(&directory, &old(&asked));
            assert_eq!(found.legacy(), old(&listed), "asked for {asked}");
        }
    }
    let twice = rows(&(row(GUID, "") + &row(&braced, "")));
    let expected = format!("3:1 HD010 the legacy id `{}` is listed at ", old(&braced));
    assert!(
        twice.len() == 1 && twice[0].starts_with(&expected),
        "{twice:?}"
    );
    // A change of spelling is one: lists of rooms are told in it.
    let changed = Difference::between(&directory(GUID), &directory(&braced));
    assert_eq!((changed.added, changed.changed), (0, 1));
}

/// A few ids that often coincide, in spellings that differ in case.
fn some_id() -> impl Strategy<Value = String> {
    let domain = prop_oneof![Just("d.example"), Just("D.example"), Just("e.example")];
    let value = prop_oneof![
        Just("1"),
        Just("a"),
        Just("A"),
        Just("0f8fad5b-d9cb-469f-a165-70867728950e"),
        Just("0F8FAD5B-D9CB-469F-A165-70867728950E"),
        Just("{0F8FAD5B-D9CB-469F-A165-70867728950E}"),
    ];
    (domain, value).prop_map(|(domain, value)| format!("ma-chan://{domain}/{value}"))
}

fn same(a: &RoomUri, b: &RoomUri) -> bool {
    a.is_same_room(b)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused_with_a_place(
        head in prop_oneof![Just(HEADER.to_owned()), ".{0,20}\n"],
        body in "([a-z,;\"\r\n:/\u{e9}\u{feff}]|ma-chan://d/v|,hq,|,retired,){0,60}",
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = format!("{head}{body}").into_bytes();
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Err(diagnostics) = load_texts(&[bytes]) {
            prop_assert!(diagnostics.has_errors());
            prop_assert!(diagnostics.render(false).contains("0.csv"));
        }
    }

    #[test]
    fn lookups_answer_as_a_search_through_the_rows_would(
        rows in prop::collection::vec((some_id(), some_id(), 0..State::ALL.len(), 0..2usize), 0..6),
        asked in some_id(),
    ) {
        let mut text = HEADER.to_owned();
        let mut kept: Vec<(RoomUri, RoomUri, State, PoolName)> = Vec::new();
        let mut clash = false;
        for (legacy, migrated, state, pool) in &rows {
            let row = (uri(legacy), uri(migrated), State::ALL[*state], pools().remove(*pool));
            text.push_str(&format!("{legacy},{},{migrated},{},,\n", row.3, row.2));
            let owner = |state: State| matches!(state, State::Migrated | State::Renamed);
            clash |= kept.iter().any(|other| same(&other.0, &row.0))
                || kept.iter().any(|other| {
                    owner(other.2) && owner(row.2) && other.3 == row.3 && same(&other.1, &row.1)
                });
            kept.push(row);
        }
        let loaded = load_texts(&[text]);
        prop_assert_eq!(loaded.is_err(), clash);
        let Ok(loaded) = loaded else { return Ok(()) };
        let (directory, asked) = (Directory::new(loaded), uri(&asked));
        let expected = kept.iter().find(|row| same(&row.0, &asked));
        match directory.resolve(&asked) {
            Resolution::Listed(entry) => {
                let found = (entry.legacy(), entry.migrated(), entry.state(), entry.pool().clone());
                let row = expected.cloned().map(|row| (row.0, Some(row.1), row.2, row.3));
                prop_assert_eq!(Some(found), row);
            }
            _ => prop_assert!(expected.is_none()),
        }
        for pool in pools() {
            let open = |row: &&(RoomUri, RoomUri, State, PoolName)| {
                row.2.is_open() && row.3 == pool && same(&row.1, &asked)
            };
            let mut expected: Vec<_> = kept.iter().filter(open).collect();
            expected.sort_by_key(|row| row.2 == State::Merged);
            let expected: Vec<_> = expected.into_iter().map(|row| row.0.clone()).collect();
            prop_assert_eq!(directory.legacy_of(&pool, &asked), expected.first().cloned());
            prop_assert_eq!(directory.aliases(&pool, &asked), expected);
        }
    }
}
