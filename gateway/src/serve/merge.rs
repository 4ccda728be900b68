//! Several replies in one document, as real servers send them at times (`facts/xccos.md` §2, 8).

use bytes::Bytes;
use holdover_protocol::xccos::{Document, Edits, Item, Limits};

/// Most bytes of a document with several replies: half of what readers take.
const BYTES: usize = 512 * 1024;

/// Appends the replies of `next` to those of `first`. `None` if one of them holds anything else, or both together are too
/// long.
pub(super) fn merge(first: &Bytes, next: &Bytes) -> Option<Bytes> {
    if first.len() + next.len() > BYTES {
        return None;
    }
    let limits = Limits::default();
    let first = Document::parse(first.clone(), &limits).ok()?;
    let next = Document::parse(next.clone(), &limits).ok()?;
    let only_replies =
        |document: &Document| document.items().all(|item| matches!(item, Item::Reply(_)));
    if !only_replies(&first) || !only_replies(&next) {
        return None;
    }
    let mut appended = String::new();
    for (index, reply) in next.root().children().enumerate() {
        // A seqid numbers what is in one document.
        let number = first.root().children().count() + index + 1;
        let mut edits = Edits::new();
        if let Some(seqid) = reply.attr_range("seqid") {
            edits.replace(seqid, &number.to_string());
        }
        let rendered = edits.render(next.bytes(), reply.range());
        appended.push_str(std::str::from_utf8(&rendered).ok()?);
    }
    let mut edits = Edits::new();
    edits.insert_raw(first.root().content_range().end, &appended);
    Some(edits.apply(&first))
}

#[cfg(test)]
mod tests {
    use holdover_protocol::xccos::{CommandId, Envelope, Reply, ReplyData, Verb};

    use super::*;

    fn reply(envid: u64, verb: Verb, to: &str) -> Bytes {
        let reply = Reply::success(verb, ReplyData::Empty);
        Envelope::new(envid)
            .reply(1, Some(&CommandId::new(to, "1")), &reply)
            .finish()
    }

    #[test]
    fn replies_are_numbered_on_and_keep_what_they_answer() {
        let two = merge(
            &reply(7, Verb::GetInvitations, "a"),
            &reply(8, Verb::GetAssociations, "b"),
        )
        .unwrap();
        let three = merge(&two, &reply(9, Verb::GetPreference, "c")).unwrap();
        let document = Document::parse(three, &Limits::default()).unwrap();
        assert_eq!(document.envid().as_deref(), Some("7"));
        let found: Vec<_> = document
            .items()
            .map(|item| match item {
                Item::Reply(reply) => (
                    reply.verb().token().to_owned(),
                    reply.seqid().unwrap().into_owned(),
                    reply.command_id().unwrap().envid.into_owned(),
                ),
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            ("getinv", "1", "a"),
            ("getassociations", "2", "b"),
            ("getpref", "3", "c"),
        ];
        assert_eq!(
            found,
            expected.map(|(verb, seqid, to)| (verb.to_owned(), seqid.to_owned(), to.to_owned()))
        );
    }

    #[test]
    fn kinds_are_never_mixed() {
        let notice = Bytes::from_static(
            b"<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\"><ntc id=\"ntc:part\"/></xccos>",
        );
        let reply = reply(7, Verb::Part, "a");
        assert_eq!(merge(&reply, &notice), None);
        assert_eq!(merge(&notice, &reply), None);
    }
}
