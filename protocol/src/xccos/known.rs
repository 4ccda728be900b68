//! The elements and attributes that are read or written anywhere in this crate.
//!
//! What stands in neither list is passed on as it came; whoever looks at a trace wants to know that it exists.

/// Each element with its attributes. Sorted by name.
const KNOWN: &[(&str, &[&str])] = &[
    ("aib", &["key", "value", "domain"]),
    ("bcq", &[]),
    ("chanib", &["uri", "name", "description", "topic"]),
    ("chanid", &["key", "domain", "value"]),
    ("chat", &[]),
    ("cmd", &["id", "seqid"]),
    ("commandid", &["seqid", "envid"]),
    ("data", &[]),
    ("fib", &["key", "domain", "value"]),
    ("ftdb", &["channelUri", "fileUrl"]),
    ("grpchat", &["id", "seqid", "chanUri", "author", "ts"]),
    ("info", &["id"]),
    ("inv", &["inviteId", "domain"]),
    ("last", &["cnt"]),
    ("msg", &["id", "chanUri", "author", "ts"]),
    ("ntc", &["id", "seqid"]),
    ("pref", &["label", "seqid", "createdefault", "content"]),
    ("prop", &["id"]),
    ("qib", &["qtype", "criteria", "extended"]),
    ("resp", &["code"]),
    ("rpl", &["id", "seqid"]),
    (
        "sib",
        &[
            "dbVersion",
            "domain",
            "infoType",
            "messageSizeLimit",
            "rootUri",
            "searchLimit",
            "serverTime",
            "storySizeLimit",
        ],
    ),
    ("token", &["token", "serveruri"]),
    ("uib", &["id", "uri"]),
    ("xccos", &["ver", "envid"]),
];

/// The attributes of an element that are known, or `None` when the element is not.
pub fn known_attributes(element: &str) -> Option<&'static [&'static str]> {
    KNOWN
        .iter()
        .find(|(name, _)| *name == element)
        .map(|(_, attributes)| *attributes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::xccos::verb::tests::samples::samples;
    use crate::xccos::{Document, Limits};

    #[test]
    fn exactly_what_is_read_and_written_is_known() {
        let mut used = BTreeSet::new();
        for sample in samples() {
            let document = Document::parse(sample, &Limits::DEFAULT).unwrap();
            for element in document.elements() {
                let name = element.name();
                used.insert(name.to_owned());
                let attributes = element.attributes().map(|attribute| attribute.name());
                let attributes = attributes.filter(|attribute| !attribute.starts_with("xmlns"));
                used.extend(attributes.map(|attribute| format!("{name}/@{attribute}")));
            }
        }
        let known = KNOWN.iter().flat_map(|(name, attributes)| {
            let attributes = attributes.iter().map(move |it| format!("{name}/@{it}"));
            std::iter::once((*name).to_owned()).chain(attributes)
        });
        assert_eq!(known.collect::<BTreeSet<_>>(), used);
    }
}
