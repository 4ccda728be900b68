//! Categories, and rooms that exist on several pools.

use super::*;

fn both() -> [PoolName; 2] {
    pools().try_into().unwrap()
}

#[test]
fn a_room_has_a_category_if_the_file_has_the_column() {
    let text = "legacy,pool,migrated,state,category\n\
                ma-chan://old.example/1,hq,ma-chan://new.example/1,migrated,Night\n\
                ma-chan://old.example/2,hq,ma-chan://new.example/2,migrated,\n\
                ma-chan://old.example/3,hq,ma-chan://new.example/3,migrated,Night\n";
    let directory = Directory::new(load_texts(&[text]).unwrap());
    let category = |value: &str| listed(&directory, &old(value)).category().to_owned();
    assert_eq!(
        [category("1"), category("2"), category("3")],
        ["Night", "", "Night"]
    );
    let explanation = directory.explain(&Query::Legacy(old("1")), 1);
    assert_eq!(explanation.rooms[0].category, "Night");
    assert!(explanation.to_string().contains("\n  category  Night\n"));
    assert_eq!(
        faults(
            "legacy,pool,migrated,state,category\nma-chan://old.example/1,hq,,retired,\"a\nb\"\n"
        ),
        ["2:37 HD009 the category contains a line break or another control character | -"]
    );
}

#[test]
fn a_room_is_found_on_each_of_its_pools_and_back() {
    // The further line may stand before the room's own.
    let directory = refuse(
        "ma-chan://OLD.example/1,branch,ma-chan://b.example/7,also,,\n\
         ma-chan://old.example/1,hq,ma-chan://new.example/1,migrated,Lounge,\n\
         ma-chan://old.example/2,hq,ma-chan://new.example/2,migrated,,\n",
    );
    let [hq, branch] = both();
    assert_eq!(directory.rooms(), 2);
    let entry = listed(&directory, &old("1"));
    assert_eq!((entry.pool(), entry.migrated()), (&hq, Some(new("1"))));
    let seven = uri("ma-chan://b.example/7");
    assert_eq!(directory.target(&old("1"), &hq), Some(new("1")));
    assert_eq!(directory.target(&old("1"), &branch), Some(seven.clone()));
    assert_eq!(directory.target(&old("2"), &branch), None);
    assert_eq!(directory.target(&old("3"), &hq), None);
    assert_eq!(directory.legacy_of(&branch, &seven), Some(old("1")));
    assert_eq!(directory.legacy_of(&hq, &seven), None);
    assert_eq!(directory.aliases(&branch, &seven), [old("1")]);
    let of_legacy = directory.explain(&Query::Legacy(old("1")), 1);
    let text = of_legacy.to_string();
    let line = "\n  also      ma-chan://b.example/7 on branch (";
    assert!(text.contains(line) && text.contains("0.csv:2)\n"), "{text}");
    let of_migrated = directory.explain(&Query::Migrated(seven), 1);
    assert_eq!(of_migrated.rooms, of_legacy.rooms);
    let json = serde_json::to_value(&of_legacy).unwrap();
    assert_eq!(json["rooms"][0]["also"][0]["pool"], "branch");
}

#[test]
fn an_identifier_that_a_room_has_on_two_pools_leads_to_it_once() {
    let directory = refuse(
        "ma-chan://old.example/1,hq,ma-chan://new.example/1,migrated,,\n\
         ma-chan://old.example/1,branch,ma-chan://new.example/1,also,,\n",
    );
    assert_eq!(
        directory.explain(&Query::Migrated(new("1")), 1).rooms.len(),
        1
    );
}

#[test]
fn a_room_that_is_still_to_be_moved_can_be_on_another_pool_already() {
    let directory = refuse(
        "ma-chan://old.example/1,hq,ma-chan://new.example/1,pending,,\n\
         ma-chan://old.example/1,branch,ma-chan://new.example/b,also,,\n",
    );
    let [hq, branch] = both();
    assert_eq!(directory.target(&old("1"), &hq), None);
    assert_eq!(directory.target(&old("1"), &branch), Some(new("b")));
    assert_eq!(directory.legacy_of(&branch, &new("b")), Some(old("1")));
}

#[test]
fn rooms_that_were_merged_can_share_a_further_pool_too() {
    let directory = refuse(
        "ma-chan://old.example/1,hq,ma-chan://new.example/m,merged,,\n\
         ma-chan://old.example/1,branch,ma-chan://new.example/b,also,,\n\
         ma-chan://old.example/2,hq,ma-chan://new.example/m,migrated,,\n\
         ma-chan://old.example/2,branch,ma-chan://new.example/b,also,,\n",
    );
    let [_, branch] = both();
    assert_eq!(directory.aliases(&branch, &new("b")), [old("2"), old("1")]);
}

#[test]
fn an_unlisted_room_is_on_its_own_pool_alone() {
    let [hq, branch] = both();
    let directory = Directory::new(load_texts_with(&[HEADER], same_id(&hq)).unwrap());
    assert_eq!(directory.target(&old("1"), &hq), Some(old("1")));
    assert_eq!(directory.target(&old("1"), &branch), None);
}

/// Faults that name another line do so with the whole path.
fn found(text: &str) -> Vec<String> {
    let folder = |fault: String| {
        let words = fault.split(' ').map(|word| match word.rsplit_once('/') {
            Some((_, name)) if name.starts_with("0.csv") => name,
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    rows(text).into_iter().map(folder).collect()
}

#[test]
fn a_further_line_that_cannot_stand_is_told_with_what_it_contradicts() {
    assert_eq!(
        found(
            "ma-chan://old.example/1,hq,ma-chan://new.example/1,migrated,,\n\
             ma-chan://old.example/1,hq,ma-chan://new.example/b,also,,\n\
             ma-chan://old.example/2,branch,ma-chan://new.example/2,migrated,,\n\
             ma-chan://old.example/1,branch,ma-chan://new.example/2,also,,\n\
             ma-chan://old.example/1,branch,ma-chan://new.example/3,also,,\n\
             ma-chan://old.example/4,branch,ma-chan://new.example/4,also,,\n\
             ma-chan://old.example/5,hq,,retired,,\n\
             ma-chan://old.example/5,branch,ma-chan://new.example/5,also,,\n"
        ),
        [
            "3:1 HD013 0.csv:2 names the room's identifier on `hq` already | a room has one line for each pool; remove one of the two",
            "5:1 HD011 the room at 0.csv:4 has the migrated id `ma-chan://new.example/2` as well | say `merged` for every room that became part of another",
            "6:1 HD013 0.csv:5 names the room's identifier on `branch` already | a room has one line for each pool; remove one of the two",
            "7:1 HD012 no line lists the room `ma-chan://old.example/4` itself | give the room a line of its own: a line `also` only names one more pool of it",
            "9:1 HD014 the room is retired by 0.csv:8 and can be on no pool | remove this line, or give the room another state",
        ]
    );
}

#[test]
fn a_further_line_needs_an_identifier_and_has_nothing_else() {
    assert_eq!(
        rows(
            "ma-chan://old.example/1,branch,,also,,\n\
             ma-chan://old.example/1,branch,ma-chan://new.example/1,also,Lounge,Ask Ann\n\
             ma-chan://old.example/1,brunch,ma-chan://new.example/1,alsp,,\n"
        ),
        [
            "2:32 HD008 a line `also` needs the migrated id on its pool | give the id that the room has there",
            "3:61 HD009 a line `also` has no name of its own | write it in the room's own line",
            "3:68 HD009 a line `also` has no note of its own | write it in the room's own line",
            "4:25 HD006 unknown pool `brunch` | did you mean `branch`?",
            "4:56 HD007 unknown state `alsp` | did you mean `also`?",
        ]
    );
}

/// A line of a file: legacy id, migrated id, state (none: a further pool), pool.
type Written = (String, String, Option<State>, usize);

fn a_line() -> impl Strategy<Value = Written> {
    let state = prop_oneof![
        2 => prop::sample::select(State::ALL.to_vec()).prop_map(Some),
        1 => Just(None),
    ];
    (some_id(), some_id(), state, 0..2usize)
}

/// Which line of a room says that it is on a pool under an identifier, and whether it owns that.
fn claims<'w>(lines: &'w [Written], main: &'w Written) -> Vec<(&'w Written, bool)> {
    let state = main.2.unwrap();
    let own = state.is_open().then_some(main);
    let further = lines
        .iter()
        .filter(|line| line.2.is_none() && same(&uri(&line.0), &uri(&main.0)));
    own.into_iter()
        .chain(further)
        .map(|line| (line, state != State::Merged))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn further_pools_answer_as_a_search_through_the_lines_would(
        lines in prop::collection::vec(a_line(), 0..6),
        asked in some_id(),
    ) {
        let mut text = HEADER.to_owned();
        for (legacy, migrated, state, pool) in &lines {
            let state = state.map_or("also", State::as_str);
            text.push_str(&format!("{legacy},{},{migrated},{state},,\n", pools()[*pool]));
        }
        let mains: Vec<&Written> = lines.iter().filter(|line| line.2.is_some()).collect();
        let all: Vec<(&Written, &Written, bool)> = mains
            .iter()
            .flat_map(|main| claims(&lines, main).into_iter().map(|(line, owns)| (*main, line, owns)))
            .collect();
        let pairs = || (0..lines.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        let room = |line: &Written| uri(&line.0);
        let twice = pairs().any(|(a, b)| {
            let (a, b) = (&lines[a], &lines[b]);
            let one_room = same(&room(a), &room(b));
            one_room && (a.2.is_some() && b.2.is_some() || a.3 == b.3)
        });
        let lost = lines.iter().filter(|line| line.2.is_none()).any(|line| {
            let main = mains.iter().find(|main| same(&room(main), &room(line)));
            main.is_none_or(|main| main.2 == Some(State::Retired))
        });
        let contested = all.iter().enumerate().any(|(at, (main, line, owns))| {
            all[..at].iter().any(|(other, second, also)| {
                *owns && *also && !same(&room(main), &room(other)) && line.3 == second.3
                    && same(&uri(&line.1), &uri(&second.1))
            })
        });
        let loaded = load_texts(&[text]);
        prop_assert_eq!(loaded.is_err(), twice || lost || contested, "{:?}", loaded.as_ref().map_err(|faults| faults.render(false)));
        let Ok(loaded) = loaded else { return Ok(()) };
        let (directory, asked) = (Directory::new(loaded), uri(&asked));
        for (number, pool) in pools().iter().enumerate() {
            let forward = all.iter().find(|(main, line, _)| line.3 == number && same(&room(main), &asked));
            prop_assert_eq!(directory.target(&asked, pool), forward.map(|(_, line, _)| uri(&line.1)));
            let mut back: Vec<_> = all
                .iter()
                .filter(|(_, line, _)| line.3 == number && same(&uri(&line.1), &asked))
                .collect();
            back.sort_by_key(|(_, _, owns)| !owns);
            // Several that were merged come in the order of the files, but further lines after the rooms' own.
            let first = back.first().map(|(main, ..)| room(main));
            if back.first().is_some_and(|(_, _, owns)| *owns) {
                prop_assert_eq!(directory.legacy_of(pool, &asked), first);
            }
            let mut expected: Vec<_> = back.iter().map(|(main, ..)| room(main)).collect();
            let mut aliases = directory.aliases(pool, &asked);
            expected.sort();
            aliases.sort();
            prop_assert_eq!(aliases, expected);
        }
    }
}

#[test]
fn a_further_pool_is_a_difference_and_another_line_is_none() {
    let rows = "ma-chan://old.example/1,hq,ma-chan://new.example/a,migrated,Lounge,\n\
                ma-chan://old.example/2,hq,ma-chan://new.example/b,migrated,Falcon,\n";
    let turned: Vec<&str> = rows.lines().rev().collect();
    let also = "ma-chan://old.example/1,branch,ma-chan://new.example/z,also,,\n";
    let of = |rows: &str| Directory::new(load_texts(&[format!("{HEADER}{rows}")]).unwrap());
    let before = of(rows);
    let after = of(&format!("{}\n", turned.join("\n")));
    assert_eq!(Difference::between(&before, &after), Difference::default());
    let after = of(&format!("{rows}{also}"));
    let changed = Difference {
        changed: 1,
        ..Difference::default()
    };
    assert_eq!(Difference::between(&before, &after), changed);
    assert_eq!(Difference::between(&after, &before), changed);
}
