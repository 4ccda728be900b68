//! Messages in the form of the wire, of chosen sizes.
#![allow(dead_code, reason = "each bench uses a part of it")]

/// The domain of every identifier, on both sides.
pub(crate) const DOMAIN: &str = "contoso.com";

/// Envelope of a client.
const CLIENT_ENVELOPE: &str =
    r#"<xccos ver="1" envid="139132350" xmlns="urn:parlano:xml:ns:xccos">"#;

/// Envelope of a server.
const POOL_ENVELOPE: &str = concat!(
    r#"<xccos xmlns:xsd="http://www.w3.org/2001/XMLSchema" "#,
    r#"xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" "#,
    r#"ver="1" envid="7962449779256000001" xmlns="urn:parlano:xml:ns:xccos">"#,
);

/// The value of the room of this number, as the client knows it or as the pool does.
pub(crate) fn room(number: usize, migrated: bool) -> String {
    let generation = if migrated { "9d41" } else { "1c80" };
    format!(
        "{:08x}-7b2c-4{}-{generation}-0a1b2c3d4e5f",
        number * 7919 + 1,
        number % 1000 + 100
    )
}

/// A post of `bytes` bytes to the room of this number, as it leaves the side that calls rooms so. Every two kilobytes of
/// text hold a link to another room.
pub(crate) fn post(bytes: usize, number: usize, migrated: bool) -> String {
    let envelope = if migrated {
        POOL_ENVELOPE
    } else {
        CLIENT_ENVELOPE
    };
    let room_value = room(number, migrated);
    let mut text = format!(
        r#"{envelope}<grpchat id="grpchat" seqid="1" chanUri="ma-chan://{DOMAIN}/{room_value}" author="sip:ann.example@{DOMAIN}" ts="2026-11-22T10:00:00.1234567Z"><chat>"#
    );
    let end = "</chat></grpchat></xccos>";
    let words = "Offers for the second quarter are in, margins &amp; terms as agreed on Monday. ";
    let start = text.len();
    let mut links = 0;
    while text.len() + end.len() + words.len() < bytes {
        if text.len() - start > (links + 1) * 1_500 {
            links += 1;
            text += &format!(
                "See ma-chan://{DOMAIN}/{}. ",
                room(number + links, migrated)
            );
        } else {
            text.push_str(words);
        }
    }
    while text.len() + end.len() < bytes {
        text.push('.');
    }
    text.push_str(end);
    text
}

/// The reply to a `bjoin`, of about `bytes` bytes: rooms with their members, from the room of number 0 on.
pub(crate) fn bjoin_reply(bytes: usize, migrated: bool) -> String {
    let mut text = format!(
        r#"{POOL_ENVELOPE}<rpl id="rpl:bjoin" seqid="1"><commandid seqid="1" envid="139132350"/><resp code="200">SUCCESS_OK</resp><data>"#
    );
    let mut users = 0;
    for number in 0.. {
        if text.len() + 128 > bytes {
            break;
        }
        let first = users;
        for _ in 0..8 {
            text += &format!(r#"<uib id="{users}" uri="sip:user{users}@{DOMAIN}"/>"#);
            users += 1;
        }
        let ids: Vec<String> = (first..users).map(|user| user.to_string()).collect();
        // Masks as pools of 2013 send them: the translation toward the client rewrites them.
        text += &format!(
            r#"<chanib uri="ma-chan://{DOMAIN}/{}" name="Room {number}" description="Where the desk of region {number} talks"><info id="urn:parlano:ma:info:visibilty">open</info><prop id="urn:parlano:ma:prop:filepost">True</prop><aib key="3472" value="{}"/><aib key="11668" value="{}"/></chanib>"#,
            room(number, migrated),
            ids.join(","),
            ids.first().map_or("", String::as_str),
        );
    }
    text.push_str("</data></rpl></xccos>");
    text
}
