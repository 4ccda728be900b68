//! Diagnostics in SARIF 2.1.0, which code hosts and editors show beside the lines.

use serde_json::{Map, Value, json};

use super::{Diagnostic, Diagnostics};
use crate::codes;

pub(super) fn sarif(diagnostics: &Diagnostics, version: &str) -> Value {
    let mut kinds: Vec<&str> = diagnostics.iter().map(Diagnostic::code).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| result(diagnostic, &kinds))
        .collect();
    let rules: Vec<Value> = kinds.iter().map(|code| kind(code)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "holdover", "version": version, "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": { "omitted": diagnostics.omitted() },
        }],
    })
}

fn kind(code: &str) -> Value {
    let title = codes::ALL
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, title)| *title);
    match title {
        Some(title) => json!({ "id": code, "shortDescription": { "text": title } }),
        // Of another crate's files.
        None => json!({ "id": code }),
    }
}

fn result(diagnostic: &Diagnostic, kinds: &[&str]) -> Value {
    let text = match &diagnostic.help {
        Some(help) => format!("{}. Help: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let mut place = Map::new();
    place.insert(
        "artifactLocation".to_owned(),
        json!({ "uri": uri(&diagnostic.file) }),
    );
    if let Some(location) = &diagnostic.location {
        let mut region = Map::new();
        region.insert("startLine".to_owned(), location.line.into());
        region.insert("startColumn".to_owned(), location.column.into());
        // Of what reaches into the next line only the begin is told.
        let marked = location
            .excerpt
            .as_ref()
            .and_then(|excerpt| excerpt.text.get(excerpt.span.clone()))
            .filter(|marked| !marked.contains('\n'));
        if let Some(marked) = marked {
            let end = location.column + marked.chars().count();
            region.insert("endColumn".to_owned(), end.into());
        }
        place.insert("region".to_owned(), region.into());
    }
    json!({
        "ruleId": diagnostic.code,
        "ruleIndex": kinds.iter().position(|code| *code == diagnostic.code),
        "level": diagnostic.severity.as_str(),
        "message": { "text": text },
        "locations": [{ "physicalLocation": place }],
    })
}

/// A path as a URI reference: an absolute one as a `file` URI.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'\\' => uri.push('/'),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' | b':' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{Diagnostic, Diagnostics, Severity, Source};

    #[test]
    fn each_fault_is_a_result_with_its_place() {
        let source = Source::new("rules d/ü.toml", "a = 1\nbé = 2\n");
        let mut all = Diagnostics::new();
        all.push(source.error("HC003", 6..9, "unknown key").help("remove it"));
        all.push(source.warning("HC040", 0..9, "two lines"));
        all.push(Diagnostic::whole_file(
            Severity::Error,
            "HX999",
            "/etc/holdover.toml",
            "no",
        ));
        let sarif = all.to_sarif("1.2.3");
        assert_eq!(sarif["version"], "2.1.0");
        let run = &sarif["runs"][0];
        assert_eq!(run["tool"]["driver"]["version"], "1.2.3");
        let rules = &run["tool"]["driver"]["rules"];
        assert_eq!(rules[0]["id"], "HC003");
        assert_eq!(rules[2], json!({ "id": "HX999" }));
        assert_eq!(
            run["results"],
            json!([
                {
                    "ruleId": "HC003",
                    "ruleIndex": 0,
                    "level": "error",
                    "message": { "text": "unknown key. Help: remove it" },
                    "locations": [{ "physicalLocation": {
                        "artifactLocation": { "uri": "rules%20d/%C3%BC.toml" },
                        "region": { "startLine": 2, "startColumn": 1, "endColumn": 3 },
                    } }],
                },
                {
                    "ruleId": "HC040",
                    "ruleIndex": 1,
                    "level": "warning",
                    "message": { "text": "two lines" },
                    "locations": [{ "physicalLocation": {
                        "artifactLocation": { "uri": "rules%20d/%C3%BC.toml" },
                        "region": { "startLine": 1, "startColumn": 1 },
                    } }],
                },
                {
                    "ruleId": "HX999",
                    "ruleIndex": 2,
                    "level": "error",
                    "message": { "text": "no" },
                    "locations": [{ "physicalLocation": {
                        "artifactLocation": { "uri": "file:///etc/holdover.toml" },
                    } }],
                },
            ])
        );
    }
}
