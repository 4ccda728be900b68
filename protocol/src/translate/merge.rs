//! One reply from the replies of several pools.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::named::room_of;
use crate::room::RoomUri;
use crate::xccos::{Document, Edits, ElementRef};

/// The limits in `sib` that are those of the smallest pool: what a client sends must fit wherever it goes.
const LIMITS: [&str; 3] = ["searchLimit", "messageSizeLimit", "storySizeLimit"];

/// Merges what several pools replied to one command into the one reply the client waits for.
///
/// `parts` are replies as the client takes them, the one to keep what is said once (envelope, `commandid`, `resp`, root
/// category) first. People are listed once and numbered anew, rooms stand in the order in which `order` names them,
/// those it does not name behind them in the order of the parts, failures last. A room that two parts have is the first
/// part's. Limits are the smallest of all, the number of the last invitation the largest. What is not known here is kept,
/// in the order of the parts.
///
/// The reply of a single pool, if its rooms stand in that order, is that very reply.
#[must_use]
pub fn merge_replies(parts: &[Document], order: &[RoomUri]) -> Bytes {
    let [first, rest @ ..] = parts else {
        return Bytes::new();
    };
    if rest.is_empty() && is_in_order(first, order) {
        return first.bytes().clone();
    }
    let mut merged = Merged::default();
    for part in parts {
        if let Some(data) = data_of(part) {
            merged.add(part, data);
        }
    }
    let content = merged.finish(order);
    let mut edits = Edits::new();
    match data_of(first) {
        Some(data) if data.is_self_closing() => {
            edits.replace_raw(data.range(), &format!("<data>{content}</data>"));
        }
        Some(data) => edits.replace_raw(data.content_range(), &content),
        None => {
            if let Some(reply) = first.root().child("rpl") {
                let end = reply.content_range().end;
                edits.insert_raw(end, &format!("<data>{content}</data>"));
            }
        }
    }
    edits.apply(first)
}

/// Whether the rooms of a reply, and those that failed, stand in this order already.
fn is_in_order(part: &Document, order: &[RoomUri]) -> bool {
    let positions = positions(order);
    let position = |room: RoomUri| positions.get(&room).copied();
    ["chanib", "fib"].into_iter().all(|name| {
        data_of(part)
            .into_iter()
            .flat_map(|data| data.children_named(name))
            .map(|room| room_of(room).and_then(position).unwrap_or(usize::MAX))
            .is_sorted()
    })
}

/// Where each room stands first.
fn positions(order: &[RoomUri]) -> HashMap<&RoomUri, usize> {
    let places = order.iter().enumerate().rev();
    places.map(|(at, room)| (room, at)).collect()
}

fn data_of(part: &Document) -> Option<ElementRef<'_>> {
    part.root().child("rpl")?.child("data")
}

/// What stands in `data`, sorted by kind. Everything is text of the parts, with a few values replaced.
#[derive(Default)]
struct Merged<'a> {
    /// Number of each person.
    numbers: HashMap<String, usize>,
    people: String,
    /// The first `sib` or `inv`, whose numbers are put in at the end: what it is made of.
    numbered: Vec<Numbered<'a>>,
    others: String,
    rooms: Vec<(Option<RoomUri>, String)>,
    failures: Vec<(Option<RoomUri>, String)>,
}

impl<'a> Merged<'a> {
    fn add(&mut self, part: &'a Document, data: ElementRef<'a>) {
        // Numbers of this part's people in the merged list.
        let mut numbers: HashMap<String, usize> = HashMap::new();
        for element in data.children() {
            match element.name() {
                "uib" => {
                    let number = self.add_person(part, element);
                    if let (Some(id), Some(number)) = (element.attr("id"), number) {
                        numbers.insert(id.into_owned(), number);
                    }
                }
                "chanib" => {
                    let mut edits = Edits::new();
                    for aib in element.children_named("aib") {
                        renumber(aib, &numbers, &mut edits);
                    }
                    self.rooms
                        .push((room_of(element), text(part, element, &edits)));
                }
                "fib" => {
                    let failure = text(part, element, &Edits::new());
                    self.failures.push((room_of(element), failure));
                }
                "sib" => self.add_numbers(part, element, &LIMITS, u64::min),
                "inv" => self.add_numbers(part, element, &["inviteId"], u64::max),
                _ => self.others.push_str(&text(part, element, &Edits::new())),
            }
        }
    }

    /// Takes the numbers of an element that is to be there once.
    fn add_numbers(
        &mut self,
        part: &'a Document,
        element: ElementRef<'a>,
        names: &'static [&'static str],
        choose: fn(u64, u64) -> u64,
    ) {
        let known = self
            .numbered
            .iter()
            .position(|one| one.element.is(element.name()));
        let at = known.unwrap_or(self.numbered.len());
        if known.is_none() {
            self.numbered.push(Numbered {
                part,
                element,
                values: HashMap::new(),
            });
        }
        let Some(one) = self.numbered.get_mut(at) else {
            return;
        };
        for name in names {
            if let Some(value) = number(element, name) {
                let chosen = one.values.entry(*name).or_insert(value);
                *chosen = choose(*chosen, value);
            }
        }
    }

    /// Lists a person, if nobody of that address is listed. Returns their number.
    fn add_person(&mut self, part: &Document, uib: ElementRef<'_>) -> Option<usize> {
        let uri = uib.attr("uri")?.into_owned();
        let next = self.numbers.len();
        if let Some(number) = self.numbers.get(&uri) {
            return Some(*number);
        }
        self.numbers.insert(uri, next);
        let mut edits = Edits::new();
        if let Some(range) = uib.attr_range("id") {
            edits.replace(range, &next.to_string());
        }
        self.people.push_str(&text(part, uib, &edits));
        Some(next)
    }

    fn finish(self, order: &[RoomUri]) -> String {
        let position = positions(order);
        let rank = |room: &Option<RoomUri>| {
            room.as_ref()
                .and_then(|room| position.get(room))
                .copied()
                .unwrap_or(usize::MAX)
        };
        let mut content = self.people;
        for Numbered {
            part,
            element,
            values,
        } in self.numbered
        {
            let mut edits = Edits::new();
            for (name, value) in values {
                if let Some(range) = element.attr_range(name) {
                    edits.replace(range, &value.to_string());
                }
            }
            content.push_str(&text(part, element, &edits));
        }
        content.push_str(&self.others);
        let mut seen: HashSet<RoomUri> = HashSet::new();
        let mut emit = |mut elements: Vec<(Option<RoomUri>, String)>| {
            // Stable: what `order` does not name stays in the order of the parts.
            elements.sort_by_key(|(room, _)| rank(room));
            for (room, element) in elements {
                if room.is_none_or(|room| seen.insert(room)) {
                    content.push_str(&element);
                }
            }
        };
        // A room that failed on one pool and was served by another did not fail.
        emit(self.rooms);
        emit(self.failures);
        content
    }
}

/// An element that stands once in the merged reply, with numbers from all parts.
struct Numbered<'a> {
    part: &'a Document,
    element: ElementRef<'a>,
    values: HashMap<&'static str, u64>,
}

/// An element as it stands in its part, edited.
fn text(part: &Document, element: ElementRef<'_>, edits: &Edits) -> String {
    String::from_utf8_lossy(&edits.render(part.bytes(), element.range())).into_owned()
}

fn number(element: ElementRef<'_>, name: &str) -> Option<u64> {
    element.attr(name)?.trim().parse().ok()
}

/// Gives the people in an `aib` of a room their numbers in the merged list.
fn renumber(aib: ElementRef<'_>, numbers: &HashMap<String, usize>, edits: &mut Edits) {
    let Some(value) = aib.attribute("value") else {
        return;
    };
    let people: Vec<String> = value
        .value()
        .split(',')
        .map(|id| {
            let known = numbers.get(id.trim());
            known.map_or_else(|| id.to_owned(), usize::to_string)
        })
        .collect();
    edits.replace(value.value_range(), &people.join(","));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xccos::Limits;

    fn reply(data: &str) -> Document {
        let text = format!(
            "<xccos ver=\"1\" envid=\"7\" xmlns=\"urn:parlano:xml:ns:xccos\"><rpl id=\"rpl:bjoin\" seqid=\"1\">\
             <commandid seqid=\"1\" envid=\"3\"/><resp code=\"200\">SUCCESS_OK</resp>{data}</rpl></xccos>"
        );
        Document::parse(text, &Limits::DEFAULT).unwrap()
    }

    fn merged(parts: &[&str], order: &[&str]) -> String {
        let parts: Vec<Document> = parts.iter().map(|data| reply(data)).collect();
        let order: Vec<RoomUri> = order
            .iter()
            .map(|value| RoomUri::new("c.com", value).unwrap())
            .collect();
        let bytes = merge_replies(&parts, &order);
        let document = Document::parse(bytes, &Limits::DEFAULT).unwrap();
        let data = data_of(&document).unwrap();
        let text = std::str::from_utf8(document.bytes()).unwrap();
        text.get(data.range()).unwrap().to_owned()
    }

    #[test]
    fn one_reply_is_that_very_reply() {
        let only = reply("<data ><uib uri='sip:ann@c.com' id='5'/></data >");
        assert_eq!(
            merge_replies(std::slice::from_ref(&only), &[]).as_ptr(),
            only.bytes().as_ptr()
        );
    }

    #[test]
    fn people_are_listed_once_and_rooms_stand_in_the_order_of_the_client() {
        let left = "<data><uib id=\"0\" uri=\"sip:ann@c.com\"/><uib id=\"1\" uri=\"sip:bob@c.com\"/>\
                    <chanib uri=\"ma-chan://c.com/b\" x=\"&amp;\"><aib key=\"3984\" value=\"0,1\"/></chanib></data>";
        let right = "<data><uib id=\"0\" uri=\"sip:bob@c.com\"/><uib id=\"1\" uri=\"sip:eve@c.com\"/>\
                     <chanib uri=\"ma-chan://c.com/a\"><aib key=\"12276\" value=\"0\"/><aib key=\"3984\" value=\"1\"/>\
                     </chanib></data>";
        assert_eq!(
            merged(&[left, right], &["a", "b"]),
            "<data><uib id=\"0\" uri=\"sip:ann@c.com\"/><uib id=\"1\" uri=\"sip:bob@c.com\"/>\
             <uib id=\"2\" uri=\"sip:eve@c.com\"/>\
             <chanib uri=\"ma-chan://c.com/a\"><aib key=\"12276\" value=\"1\"/><aib key=\"3984\" value=\"2\"/></chanib>\
             <chanib uri=\"ma-chan://c.com/b\" x=\"&amp;\"><aib key=\"3984\" value=\"0,1\"/></chanib></data>"
        );
    }

    #[test]
    fn failures_stand_last_and_a_room_served_by_one_pool_did_not_fail() {
        let left = "<data><fib key=\"OPERATION_FAILED\" value=\"a\" domain=\"c.com\"/>\
                    <fib key=\"OPERATION_FAILED\" value=\"c\" domain=\"c.com\"/></data>";
        let right = "<data><chanib uri=\"ma-chan://c.com/a\"/></data>";
        assert_eq!(
            merged(&[left, right], &["a", "c"]),
            "<data><chanib uri=\"ma-chan://c.com/a\"/><fib key=\"OPERATION_FAILED\" value=\"c\" domain=\"c.com\"/></data>"
        );
    }

    #[test]
    fn limits_are_the_smallest_and_the_rest_is_the_first_pools() {
        let left = "<data><sib infoType=\"123\" searchLimit=\"999\" messageSizeLimit=\"512\" rootUri=\"ma-cat://c.com/1\"/></data>";
        let right = "<data><sib infoType=\"123\" searchLimit=\"50\" messageSizeLimit=\"800\" rootUri=\"ma-cat://c.com/2\"/></data>";
        assert_eq!(
            merged(&[left, right], &[]),
            "<data><sib infoType=\"123\" searchLimit=\"50\" messageSizeLimit=\"512\" rootUri=\"ma-cat://c.com/1\"/></data>"
        );
    }

    #[test]
    fn the_last_invitation_is_the_latest_of_all() {
        let left = "<data><inv inviteId=\"3\" domain=\"c.com\"/><chanib uri=\"ma-chan://c.com/a\"/></data>";
        let right = "<data><inv inviteId=\"8\" domain=\"c.com\"/><chanib uri=\"ma-chan://c.com/b\"/></data>";
        assert_eq!(
            merged(&[left, right], &[]),
            "<data><inv inviteId=\"8\" domain=\"c.com\"/><chanib uri=\"ma-chan://c.com/a\"/><chanib uri=\"ma-chan://c.com/b\"/></data>"
        );
    }

    #[test]
    fn what_is_not_known_is_kept() {
        assert_eq!(
            merged(&["<data/>", "<data><new a=\"1\">x</new></data>"], &[]),
            "<data><new a=\"1\">x</new></data>"
        );
    }
}
