//! An attack: valid streams, changed at random, sent to a gateway that others use meanwhile. Each is answered or ends its
//! connection; nothing panics, nobody waits, and memory stays bounded.
//!
//! `HOLDOVER_MUTATIONS` sets how many, `HOLDOVER_SEED` replays a run.

#[cfg(test)]
mod mutations {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use holdover_protocol::sip::{Decoded, Decoder, Limits, Message, Name};
    use holdover_tests::binary::resident;
    use holdover_tests::client::{CHANNEL, Client, Dialog, LOOKUP};
    use holdover_tests::gateway::TestGateway;
    use holdover_tests::pair::Pair;
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    /// How many by default.
    const MUTATIONS: usize = 3000;

    /// Attackers at a time.
    const ATTACKERS: usize = 4;

    /// What the process may gain while it is attacked, bytes. The tests' own clients are part of it.
    const MEMORY: u64 = 256 << 20;

    /// What is put where it does not belong.
    const TOKENS: &[&[u8]] = &[
        b"\r\n",
        b"\r\n\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"<",
        b">",
        b"\"",
        b"@",
        b"%00",
        b"&",
        b"&#x0;",
        b"&amp;",
        b"]]>",
        b"<![CDATA[",
        b"<!--",
        b"<?xml",
        b"<!DOCTYPE a>",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xc0\x80",
        b"sip:",
        b"ma-chan://",
        b";tag=",
        b";epid=",
        b"SIP/2.0",
        b"Content-Length: 5\r\n",
        b"0",
        b"-1",
        b"4294967295",
        b"4294967296",
        b"18446744073709551616",
        b"99999999999999999999999999",
        b"</data>",
        b"<data>",
        b"xmlns=\"x\"",
        b"seqid=\"\"",
        b"Require: x\r\n",
        b"Via: x\r\n",
        b"Expires: 0\r\n",
    ];

    fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
        let given = std::env::var(name).ok();
        given.and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// Everything a client says in one session.
    fn valid(client: &mut Client, random: &mut StdRng) -> Vec<u8> {
        let kinds = 14;
        let channel = client.channel.clone().unwrap();
        let in_dialog =
            |client: &Client, method: &str| client.request(method, &channel, "", "", "");
        let room = "<chanid key=\"0\" domain=\"contoso.com\" value=\"noise\"/>";
        let text = match random.random_range(0..kinds) {
            0 => client.register_request("").1,
            1 => client.register_request("Proxy-Authorization: Digest username=\"m\", realm=\"r\", nonce=\"n\", uri=\"(null)\", response=\"00000000000000000000000000000000\", qop=auth, nc=00000001, cnonce=\"c\"\r\n").1,
            2 => {
                let dialog = client.new_dialog("sip:mallory@contoso.com");
                let event = "Event: vnd-microsoft-provisioning-v2\r\nExpires: 0\r\n";
                client.request("SUBSCRIBE", &dialog, event, "", "")
            }
            3 | 4 => {
                let uri = if random.random() { LOOKUP } else { CHANNEL };
                let dialog = client.new_dialog(uri);
                let sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 5060 sip null\r\n";
                client.request("INVITE", &dialog, "Contact: <sip:127.0.0.1:1234>\r\n", "application/sdp", sdp)
            }
            5 => in_dialog(client, "ACK"),
            6 => in_dialog(client, "UPDATE"),
            7 => {
                let answer = in_dialog(client, "INFO");
                answer.replacen(&format!("INFO {CHANNEL} SIP/2.0"), "SIP/2.0 200 OK", 1)
            }
            8 => {
                let body = client.post_body("noise", "a message &amp; more");
                client.info(&body).1
            }
            kind => {
                let (verb, data) = match kind {
                    9 => ("bjoin", room),
                    10 => ("join", room),
                    11 => ("chansrch", "<qib qtype=\"BYNAME\" criteria=\"\" extended=\"false\"/>"),
                    12 => ("setpref", "<pref label=\"a\" seqid=\"1\" createdefault=\"true\" content=\"PABhAD4A\"/>"),
                    _ => ("bccontext", "<chanib uri=\"ma-chan://contoso.com/noise\"/><bcq><last cnt=\"25\"/></bcq>"),
                };
                let body = client.command_body(verb, data);
                client.info(&body).1
            }
        };
        text.into_bytes()
    }

    /// A range of `octets`, mostly short.
    fn range(octets: &[u8], random: &mut StdRng) -> std::ops::Range<usize> {
        let start = random.random_range(0..=octets.len());
        let longest = if random.random_bool(0.8) { 8 } else { 400 };
        let end = start + random.random_range(0..=longest);
        start..end.min(octets.len())
    }

    fn mutate(octets: &mut Vec<u8>, random: &mut StdRng) {
        let at = range(octets, random);
        match random.random_range(0..9) {
            0 => octets[at]
                .iter_mut()
                .for_each(|octet| *octet = random.random()),
            1 => {
                if let Some(octet) = octets.get_mut(at.start) {
                    *octet ^= 1 << random.random_range(0..8);
                }
            }
            2 => drop(octets.drain(at)),
            3 => {
                let again = octets[at.clone()].repeat(random.random_range(1..50));
                octets.splice(at.start..at.start, again);
            }
            4 | 5 => {
                let token = TOKENS[random.random_range(0..TOKENS.len())];
                let end = if random.random() { at.start } else { at.end };
                octets.splice(at.start..end, token.iter().copied());
            }
            6 => {
                let other = range(octets, random);
                let copied = octets[other].to_vec();
                octets.splice(at, copied);
            }
            7 => {
                // A whole line goes, or comes twice.
                let lines: Vec<Vec<u8>> = octets
                    .split_inclusive(|octet| *octet == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect();
                let chosen = random.random_range(0..lines.len().max(1));
                let times = random.random_range(0..3);
                *octets = lines
                    .iter()
                    .enumerate()
                    .flat_map(|(number, line)| {
                        line.repeat(if number == chosen { times } else { 1 })
                    })
                    .collect();
            }
            _ => octets.truncate(at.start),
        }
    }

    /// Whether a stream is still one of messages when it comes to the request with this Call-ID at its end.
    fn is_framed_to(stream: &[u8], last: &str) -> bool {
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(stream);
        loop {
            match decoder.decode() {
                Decoded::Message(Message::Request(request))
                    if request.headers().get(Name::CallId) == Some(last) =>
                {
                    return true;
                }
                Decoded::Fatal { .. } | Decoded::NeedMore { .. } => return false,
                _ => {}
            }
        }
    }

    /// Reads until the answer to the last request. `false`: the connection was closed before.
    async fn answered(client: &mut Client, last: &str) -> bool {
        let mut received = Vec::new();
        loop {
            let octets = client.receive_octets().await;
            if octets.is_empty() {
                return false;
            }
            received.extend(octets);
            if received
                .windows(last.len())
                .any(|window| window == last.as_bytes())
            {
                return true;
            }
        }
    }

    async fn attack(address: std::net::SocketAddr, name: String, count: usize, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut client: Option<Client> = None;
        let (mut framed_in_all, mut answered_in_all) = (0, 0);
        for number in 0..count {
            let attacker = match &mut client {
                Some(client) => client,
                None => {
                    let mut fresh = Client::tcp(address, &name).await;
                    fresh.sign_in().await;
                    client.insert(fresh)
                }
            };
            let mut stream = valid(attacker, &mut random);
            for _ in 0..random.random_range(1..=4) {
                mutate(&mut stream, &mut random);
            }
            let last = Dialog {
                call_id: format!("last-of-{name}-{number}-"),
                ..attacker.new_dialog(CHANNEL)
            };
            stream.extend_from_slice(attacker.request("OPTIONS", &last, "", "", "").as_bytes());
            let framed = is_framed_to(&stream, &last.call_id);
            // A connection that is closed early takes no more.
            let _cut = attacker.write(&stream).await;
            if !framed {
                // Nothing more comes: the gateway need not wait for the rest.
                attacker.half_close().await;
            }
            let answered = answered(attacker, &last.call_id).await;
            framed_in_all += usize::from(framed);
            answered_in_all += usize::from(framed && answered);
            // Now and then a connection is used up without a fault: by sign-outs, or by answers nobody gives.
            if !answered || !framed || random.random_bool(0.02) {
                client = None;
            }
        }
        // Refused sign-ins and unanswered INFOs end a connection too, but seldom.
        assert!(
            answered_in_all * 10 >= framed_in_all * 9,
            "{answered_in_all} of {framed_in_all} answered"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn any_mutation_is_answered_or_ends_its_connection() {
        static PANICS: AtomicUsize = AtomicUsize::new(0);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(panic);
        }));
        let seed = setting("HOLDOVER_SEED", rand::random::<u64>());
        let count: usize = setting("HOLDOVER_MUTATIONS", MUTATIONS);
        println!("HOLDOVER_SEED={seed} HOLDOVER_MUTATIONS={count}");

        let gateway = TestGateway::start("grace_secs = 1\n[limits]\nbody_bytes = 1048576\n").await;
        let pair = Pair::start(&gateway).await;
        let memory = resident("/proc/self/statm");
        let mut attackers = tokio::task::JoinSet::new();
        for number in 0..ATTACKERS {
            let seed = seed.wrapping_add(number as u64);
            attackers.spawn(attack(
                gateway.tcp,
                format!("mallory{number}"),
                count / ATTACKERS,
                seed,
            ));
        }
        while let Some(attacked) = attackers.join_next().await {
            attacked.unwrap();
            let now = resident("/proc/self/statm");
            assert!(now < memory + MEMORY, "memory went from {memory} to {now}");
        }
        let said = pair.finish().await;
        gateway.stop().await;
        assert_eq!(PANICS.load(Ordering::Relaxed), 0);
        println!("{said} exchanges of the pair meanwhile");
    }
}
