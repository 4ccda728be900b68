//! What a legacy client does not know, or knows otherwise.
//!
//! Pools of 2013 and later say some things in another way than the servers these clients were made for. All of this
//! leaves a document as it is that already speaks the legacy dialect.

use crate::xccos::{Edits, ElementRef, PermissionMask};

/// The spelling is that of the wire.
const VISIBILITY: &str = "urn:parlano:ma:info:visibilty";

/// The attributes of `sib` that a 2007 R2 server sends.
const SERVER_ATTRIBUTES: [&str; 8] = [
    "dbVersion",
    "domain",
    "infoType",
    "messageSizeLimit",
    "rootUri",
    "searchLimit",
    "serverTime",
    "storySizeLimit",
];

/// True when `item` is the reply or notice `id`, whatever the case of its letters.
pub(super) fn is(item: ElementRef<'_>, id: &str) -> bool {
    item.attribute("id")
        .is_some_and(|attribute| attribute.raw().eq_ignore_ascii_case(id))
}

/// Brings `root`, which is `item` or something in it, into the legacy dialect.
pub(super) fn adapt(root: ElementRef<'_>, item: ElementRef<'_>, edits: &mut Edits) {
    if item.is("cmd") {
        return;
    }
    let is_join = item.is("rpl") && (is(item, "rpl:join") || is(item, "rpl:bjoin"));
    for element in std::iter::once(root).chain(root.descendants()) {
        match element.name() {
            "aib" => adapt_permissions(element, edits),
            "chanib" if is_join => add_topic(element, edits),
            "grpchat" | "msg" => strip_message(element, edits),
            "info" => adapt_visibility(element, edits),
            "sib" => strip_server(element, edits),
            _ => {}
        }
    }
}

/// Clients compare the mask with the two values that 2007 R2 knew, one for members and one for managers.
fn adapt_permissions(association: ElementRef<'_>, edits: &mut Edits) {
    let Some(key) = association.attribute("key") else {
        return;
    };
    if let Ok(mask) = key.raw().parse::<PermissionMask>() {
        let legacy = mask.to_legacy();
        if legacy != mask {
            match legacy {
                PermissionMask::LEGACY_MEMBER => edits.replace_raw(key.value_range(), "3984"),
                PermissionMask::LEGACY_MANAGER => edits.replace_raw(key.value_range(), "12276"),
                other => edits.replace_raw(key.value_range(), &other.to_string()),
            }
        }
    }
}

/// Rooms have no topic since 2013; the client shows one.
fn add_topic(room: ElementRef<'_>, edits: &mut Edits) {
    if room.attribute("topic").is_none() {
        let name = room.name_range();
        let at = room
            .attributes()
            .last()
            .map_or(name.end, |attribute| attribute.range().end);
        edits.insert_raw(at, " topic=\"\"");
    }
}

/// Newer clients put other versions of a message beside its plain text.
fn strip_message(message: ElementRef<'_>, edits: &mut Edits) {
    for child in message.children().filter(|child| !child.is("chat")) {
        edits.remove(child.range());
    }
}

/// Open rooms came with 2013. To a legacy client they are rooms it can find without being a member.
fn adapt_visibility(info: ElementRef<'_>, edits: &mut Edits) {
    if info.attribute("id").is_none_or(|id| id.raw() != VISIBILITY) {
        return;
    }
    for text in info.texts() {
        let raw = text.raw();
        let word = raw.trim();
        if word.eq_ignore_ascii_case("open") {
            let start = text.range().start + (raw.len() - raw.trim_start().len());
            edits.replace_raw(start..start + word.len(), "scope");
        }
    }
}

fn strip_server(server: ElementRef<'_>, edits: &mut Edits) {
    let mut end = server.name_range().end;
    for attribute in server.attributes() {
        let name = attribute.name();
        if !SERVER_ATTRIBUTES.contains(&name) && !name.starts_with("xmlns") {
            // With the blanks in front of it.
            edits.remove(end..attribute.range().end);
        }
        end = attribute.range().end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xccos::{Document, Limits};

    fn adapted(item: &str) -> String {
        let document = Document::parse(format!("<xccos>{item}</xccos>"), &Limits::DEFAULT).unwrap();
        let mut edits = Edits::new();
        for item in document.root().children() {
            adapt(item, item, &mut edits);
        }
        let text = String::from_utf8(edits.apply(&document).to_vec()).unwrap();
        text.replace("<xccos>", "").replace("</xccos>", "")
    }

    #[test]
    fn masks_become_those_of_the_role() {
        let masks = [
            ("3472", "3984"),
            ("7568", "8080"),
            ("11668", "12276"),
            ("x", "x"),
            ("", ""),
        ];
        for (pool, legacy) in masks {
            let notice = |key: &str| format!("<ntc><uib><aib a='1' key='{key}'/></uib></ntc>");
            assert_eq!(adapted(&notice(pool)), notice(legacy));
        }
    }

    #[test]
    fn only_rooms_that_are_joined_get_a_topic() {
        let reply = |id: &str, topic: &str| format!("<rpl id='{id}'><chanib{topic}/></rpl>");
        assert_eq!(
            adapted(&reply("RPL:Join", "")),
            reply("RPL:Join", " topic=\"\"")
        );
        for id in ["rpl:part", "rpl:chansrch", "rpl:bccontext"] {
            assert_eq!(adapted(&reply(id, "")), reply(id, ""));
        }
        assert_eq!(
            adapted(&reply("rpl:bjoin", " topic='x'")),
            reply("rpl:bjoin", " topic='x'")
        );
    }

    #[test]
    fn open_is_a_word_of_the_visibility_alone() {
        let info = |id: &str, text: &str| format!("<rpl><info id='{id}'>{text}</info></rpl>");
        assert_eq!(
            adapted(&info(VISIBILITY, " Open\n")),
            info(VISIBILITY, " scope\n")
        );
        for (id, text) in [
            (VISIBILITY, "private"),
            (VISIBILITY, "opened"),
            ("other", "open"),
        ] {
            assert_eq!(adapted(&info(id, text)), info(id, text));
        }
    }

    #[test]
    fn the_server_says_what_it_said_in_2009() {
        assert_eq!(
            adapted(
                "<rpl><sib a='1' infoType='8' b='2'\n c = '3' xmlns:x='urn:x' x:d='4' /></rpl>"
            ),
            "<rpl><sib infoType='8' xmlns:x='urn:x' /></rpl>"
        );
    }

    #[test]
    fn commands_are_not_touched() {
        let command = "<cmd><sib new='1'/><aib key='3472'/><msg><rtf/></msg></cmd>";
        assert_eq!(adapted(command), command);
    }
}
