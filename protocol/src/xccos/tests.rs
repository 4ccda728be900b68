//! Documents that somebody damaged.

use super::*;

/// Reads whatever it is as far as it goes.
fn read(item: Item<'_>) {
    match item {
        Item::Command(view) => drop((Command::read(view), view.id())),
        Item::Reply(view) => drop((Reply::read(view), view.command_id())),
        Item::Notice(view) => drop(Notice::read(view)),
        Item::GroupChat(view) => drop(GroupChat::read(view)),
        Item::Other(element) => drop(element.text()),
    }
}

/// A small generator of numbers that always gives the same ones.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn mutations_never_panic() {
    let pieces: [&[u8]; 16] = [
        b"<",
        b">",
        b"</",
        b"/>",
        b"'",
        b"\"",
        b"=",
        b"&",
        b";",
        b"<![CDATA[",
        b"]]>",
        b"<!--",
        b"<?",
        b"\xef\xbb\xbf",
        b"\xff",
        b":",
    ];
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let mut samples: Vec<Vec<u8>> = verb::tests::samples().map(|it| it.to_vec()).collect();
    samples.push(parse::tests::SAMPLE.into());
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = samples[numbers.below(samples.len())].clone();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(bytes.len());
            match numbers.below(5) {
                0 => bytes[at] ^= 1 << numbers.below(8),
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.drain(at..(at + 1 + numbers.below(20)).min(bytes.len()))),
                3 => {
                    drop(bytes.splice(at..at, pieces[numbers.below(pieces.len())].iter().copied()))
                }
                _ => {
                    let copy = bytes[at..(at + numbers.below(40)).min(bytes.len())].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        if let Ok(document) = Document::parse(bytes, &Limits::DEFAULT) {
            accepted += 1;
            parse::tests::check(&document);
            document.items().for_each(read);
        }
    }
    // The mutations are not so wild that they test only the first check.
    assert!(accepted > 1_000, "{accepted}");
}
