//! `docs/events.md`, made from the declarations.

use std::fmt::Write as _;
use std::path::Path;

use super::Telemetry;
use super::catalogue::ABOUT;
use super::event::About;

const HEAD: &str = "\
# Events

<!-- Made from the declarations of the events. Write anew with:
     HOLDOVER_UPDATE=1 cargo test -p holdover telemetry::docs -->

Everything Holdover tells about itself is one of these events. An event writes one log line and moves one counter. Message
text, file tokens and credentials are in none of them.

Levels: `ERROR`, someone must act; `WARN`, odd, but coped with; `INFO`, something an operator did or waits for; `DEBUG`, the
daily business of clients. A log filter chooses: `info`, or `warn,holdover=debug`.

";

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("| event | level | counter |\n|---|---|---|\n");
    for event in ABOUT {
        let anchor: String = event.name.chars().filter(|&c| c != '.').collect();
        let About {
            name,
            level,
            counter,
            ..
        } = event;
        writeln!(page, "| [`{name}`](#{anchor}) | `{level}` | `{counter}` |").unwrap();
    }
    for event in ABOUT {
        writeln!(page, "\n## {}\n\n{}\n", event.name, event.explanation).unwrap();
        let fields: Vec<_> = event
            .fields
            .iter()
            .map(|field| format!("`{field}`"))
            .collect();
        writeln!(
            page,
            "Level `{}`. Fields: {}.",
            event.level,
            fields.join(", ")
        )
        .unwrap();
        writeln!(page, "Counter `{}`.", event.counter).unwrap();
        let series = (event.series)();
        let labels =
            series
                .iter()
                .filter(|(labels, _)| !labels.is_empty())
                .map(|(labels, what)| {
                    let pairs: Vec<_> = labels
                        .iter()
                        .map(|(key, value)| format!("`{key}=\"{value}\"`"))
                        .collect();
                    format!("| {} | {what} |\n", pairs.join(" "))
                });
        let table: String = labels.collect();
        if !table.is_empty() {
            write!(page, "\n| label | meaning |\n|---|---|\n{table}").unwrap();
        }
    }
    page.push_str("\n## Beside the counters\n\n| metric | kind | meaning |\n|---|---|---|\n");
    let exposition = Telemetry::new().exposition();
    let mut help = None;
    for line in exposition.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ').map(|(_, help)| help);
        } else if let Some(typed) = line.strip_prefix("# TYPE ")
            && let Some((name, kind)) = typed.split_once(' ')
            && kind != "counter"
        {
            writeln!(page, "| `{name}` | {kind} | {} |", help.unwrap_or_default()).unwrap();
        }
    }
    page
}

#[test]
fn the_page_is_what_the_declarations_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/events.md");
    let page = page();
    if std::env::var_os("HOLDOVER_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/events.md is out of date; its second paragraph says how to renew it"
    );
}
