//! The README's steps to a gateway of one's own, in its order and with its files.

use std::path::Path;

use holdover_tests::binary::run;
use holdover_tests::gateway::Installation;

/// The part of the README under this heading.
fn part<'a>(readme: &'a str, heading: &str) -> &'a str {
    let (_, rest) = readme.split_once(heading).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// The code blocks of a text: the language, and the lines without what indents them.
fn blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push((language, code.join("\n") + "\n"));
    }
    blocks
}

#[test]
fn the_steps_to_ones_own_gateway_work_in_their_order() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |file: &str| std::fs::read_to_string(repository.join(file)).unwrap();
    // It has the certificate, which the README makes by openssl.
    let folder = Installation::empty();
    folder.write("holdover.toml", &read("config/examples/minimal.toml"));
    folder.write("content.toml", &read("config/examples/content.toml"));
    let readme = read("README.md");
    let mut ran = Vec::new();
    for (language, code) in blocks(part(&readme, "\n## Run your own\n")) {
        if language == "csv" {
            folder.write("rooms.csv", &code);
        }
        for line in code.lines() {
            let Some(arguments) = line.strip_prefix("holdover ") else {
                continue;
            };
            let arguments: Vec<&str> = arguments.split(' ').collect();
            if arguments[0] == "run" {
                continue;
            }
            let done = run(folder.dir(), &arguments, "correct horse\n");
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success(), "{line}: {said}");
            assert!(!said.contains("warning"), "{line}: {said}");
            ran.push(arguments[0].to_owned());
        }
    }
    assert_eq!(ran, ["user", "pool", "check"]);
    // The room of the directory is the one of the pool.
    let list = ["pool", "list", "--config", "holdover.toml", "--json"];
    let listed = run(folder.dir(), &list, "");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let lookup = [
        "lookup",
        "ma-chan://contoso.com/300",
        "--config",
        "holdover.toml",
    ];
    let found = run(folder.dir(), &lookup, "");
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let value = "0d9e8f70-1a2b-4c3d-8e4f-5a6b7c8d9e0f";
    assert!(listed.contains(value), "{listed}");
    assert!(found.contains(value), "{found}");
}
