//! Peers that misbehave. Each costs itself something and nobody else anything: a pair of others chats on meanwhile.

use holdover_protocol::sip::Name;
use holdover_tests::binary::resident;
use holdover_tests::client::{CHANNEL, Client, LOOKUP};
use holdover_tests::gateway::TestGateway;
use holdover_tests::pair::{Pair, ROOM};

/// Limits small enough to be reached in no time.
const SMALL: &str = "[limits]\nhead_bytes = 4096\nbody_bytes = 16384\nqueue_bytes = 65536\nheaders = 64\nqueue_messages = 16\n";

/// What this process may gain while a client floods the gateway. Other tests run beside.
const FLOOD_MEMORY: u64 = 192 << 20;

async fn joined(gateway: &TestGateway, name: &str) -> Client {
    let mut client = Client::tcp(gateway.tcp, name).await;
    client.sign_in().await;
    client.join("noise").await;
    client
}

/// What all of these share: the pair talks before, during and after.
async fn beside_a_pair<T>(config: &str, misbehave: impl AsyncFnOnce(&TestGateway) -> T) -> T {
    let gateway = TestGateway::start(config).await;
    let pair = Pair::start(&gateway).await;
    let outcome = misbehave(&gateway).await;
    pair.finish().await;
    gateway.stop().await;
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn one_octet_at_a_time_is_as_good_as_any() {
    beside_a_pair("", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        let body = client.post_body("noise", "slowly");
        let (dialog, request) = client.info(&body);
        client.trickle(request.as_bytes()).await.unwrap();
        let receipt = client.response(&dialog.call_id, dialog.cseq).await.unwrap();
        assert_eq!(receipt.status().code(), 200);
        assert_eq!(client.message().await, "slowly");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_message_holds_up_only_its_sender() {
    beside_a_pair("[limits]\nsign_in_timeout_secs = 1\n", async |gateway| {
        let mut stalled = Client::tcp(gateway.tcp, "mallory").await;
        let (_, request) = stalled.register_request("");
        stalled
            .write(&request.as_bytes()[..request.len() / 2])
            .await
            .unwrap();
        // Who never signs in is put out.
        stalled.closed().await;
        let mut silent = Client::tcp(gateway.tcp, "mallory").await;
        silent.closed().await;
        let mut keeping_alive = Client::tcp(gateway.tcp, "mallory").await;
        keeping_alive.write(b"\r\n\r\n").await.unwrap();
        assert_eq!(keeping_alive.receive_octets().await, b"\r\n");
        keeping_alive.closed().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_sending_is_let_go() {
    beside_a_pair("", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        client.half_close().await;
        client.closed().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_cost_a_session_nothing_but_its_connection() {
    beside_a_pair("", async |gateway| {
        for _ in 0..5 {
            let mut client = joined(gateway, "mallory").await;
            client.send_post("noise", "last words").await;
            client.reset();
        }
        gateway
            .metric_reaches("holdover_connections", |open| open == 2)
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keep_alives_are_answered_in_any_number() {
    beside_a_pair("", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        client.write(&b"\r\n\r\n".repeat(2000)).await.unwrap();
        let mut pongs = 0;
        while pongs < 4000 {
            pongs += client.receive_octets().await.len();
        }
        assert_eq!(client.post("noise", "alive").await, 200);
    })
    .await;
}

/// What cannot be framed any more: the answer, if it can have one, and then the end of the connection.
async fn framing_lost(gateway: &TestGateway, octets: &[u8]) -> Option<u16> {
    let mut client = joined(gateway, "mallory").await;
    // What is refused early may not be read to its end.
    let _cut = client.write(octets).await;
    client.closed().await;
    let statuses: Vec<u16> = client
        .responses
        .iter()
        .map(|response| response.status().code())
        .collect();
    assert!(statuses.len() <= 1, "{statuses:?}");
    statuses.first().copied()
}

fn info_with_length(length: &str, body: &str) -> String {
    format!(
        "INFO {CHANNEL} SIP/2.0\r\nVia: SIP/2.0/tcp h\r\nFrom: <sip:mallory@contoso.com>;tag=1\r\n\
         To: <{CHANNEL}>;tag=2\r\nCall-ID: wrong-length\r\nCSeq: 9 INFO\r\nMax-Forwards: 70\r\n\
         Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_cannot_be_trusted_ends_the_connection() {
    beside_a_pair(SMALL, async |gateway| {
        for (length, status) in [
            ("-1", Some(400)),
            ("99999999999999999999999", Some(413)),
            ("16385", Some(413)),
            ("12 13", Some(400)),
            ("0x10", Some(400)),
            ("", Some(400)),
        ] {
            let got = framing_lost(gateway, info_with_length(length, "<xccos/>").as_bytes()).await;
            assert!(
                got == status || got == Some(400),
                "Content-Length: {length} got {got:?}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_too_short_ends_the_connection_at_the_rest() {
    beside_a_pair(SMALL, async |gateway| {
        let body = "<xccos><<<";
        let got = framing_lost(gateway, info_with_length("7", body).as_bytes()).await;
        assert_eq!(got, Some(481), "the first part was a message");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_beyond_the_limits_end_the_connection() {
    beside_a_pair(SMALL, async |gateway| {
        let long = format!("INFO {CHANNEL} SIP/2.0\r\nX: {}\r\n", "a".repeat(5000));
        framing_lost(gateway, long.as_bytes()).await;
        let many = format!("INFO {CHANNEL} SIP/2.0\r\n{}", "X: a\r\n".repeat(70));
        framing_lost(gateway, many.as_bytes()).await;
        let endless = "a".repeat(200_000);
        framing_lost(gateway, endless.as_bytes()).await;
        let garbage: Vec<u8> = (0..=255).rev().collect();
        framing_lost(gateway, &garbage).await;
        framing_lost(gateway, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_instead_of_a_tls_handshake_is_hung_up_on() {
    beside_a_pair("", async |gateway| {
        let mut client = Client::tcp(gateway.tls, "mallory").await;
        client
            .write(b"REGISTER sip:contoso.com SIP/2.0\r\n\r\n")
            .await
            .unwrap();
        while !client.receive_octets().await.is_empty() {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_pipelines_gets_every_answer() {
    const BURST: usize = 500;
    beside_a_pair("[limits]\nqueue_messages = 4096\n", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        let mut octets = String::new();
        let mut asked = Vec::new();
        for _ in 0..BURST {
            let body = client.command_body(
                "chansrch",
                "<qib qtype=\"BYNAME\" criteria=\"\" extended=\"false\"/>",
            );
            let (dialog, request) = client.info(&body);
            octets.push_str(&request);
            asked.push(dialog);
        }
        client.write(octets.as_bytes()).await.unwrap();
        let mut accepted = 0;
        for dialog in &asked {
            let answer = client.response(&dialog.call_id, dialog.cseq).await;
            let answer = answer.expect("the connection stays").status().code();
            assert!(answer == 200 || answer == 503, "{answer}");
            accepted += usize::from(answer == 200);
        }
        assert!(accepted > 0);
        for _ in 0..accepted {
            client.reply("chansrch").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_posts_are_kept_once_or_refused() {
    const BURST: usize = 500;
    let gateway = TestGateway::start("[limits]\nqueue_messages = 4096\n").await;
    let pair = Pair::start(&gateway).await;
    let mut client = joined(&gateway, "mallory").await;
    let mut octets = String::new();
    let mut sent = Vec::new();
    for number in 0..BURST {
        let body = client.post_body("noise", &format!("post {number}"));
        let (dialog, request) = client.info(&body);
        octets.push_str(&request);
        sent.push((dialog, format!("post {number}")));
    }
    client.write(octets.as_bytes()).await.unwrap();
    let mut accepted = Vec::new();
    for (dialog, text) in sent {
        let answer = client.response(&dialog.call_id, dialog.cseq).await;
        let answer = answer.expect("the connection stays").status().code();
        assert!(answer == 200 || answer == 503, "{text}: {answer}");
        if answer == 200 {
            accepted.push(text);
        }
    }
    assert!(!accepted.is_empty());
    let mut delivered = Vec::new();
    for _ in 0..accepted.len() {
        delivered.push(client.message().await);
    }
    assert_eq!(delivered, accepted);
    pair.finish().await;
    let installation = gateway.stop().await;
    assert_eq!(installation.messages("m-noise"), accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_answers_is_put_out_and_its_neighbours_are_not() {
    beside_a_pair("[limits]\ninfo_timeout_secs = 1\n", async |gateway| {
        let mut silent = joined(gateway, "mallory").await;
        silent.answers = None;
        assert_eq!(silent.post("noise", "heard nothing").await, 200);
        silent.closed().await;
        assert_eq!(gateway.metric("holdover_info_timeouts_total"), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_loses_only_its_own_dialog() {
    beside_a_pair(SMALL, async |gateway| {
        let slow = joined(gateway, "slow").await;
        let mut loud = joined(gateway, "loud").await;
        // It holds its connection open and reads nothing: at some time its queue is full.
        let mut posts = 0;
        let text = "x".repeat(2000);
        while gateway.metric("holdover_slow_clients_closed_total") == 0 {
            assert_eq!(loud.post("noise", &text).await, 200);
            assert_eq!(loud.message().await, text);
            posts += 1;
        }
        assert!(posts >= 16, "the queue was not used: {posts} posts");
        // The one that kept up is still there, and so are its messages.
        assert_eq!(loud.post("noise", "still here").await, 200);
        assert_eq!(loud.message().await, "still here");
        drop(slow);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_whose_answers_nobody_reads_stays_bounded() {
    // As fast as it can.
    let limits = "[limits]\nrequests_per_second = 10_000_000\nrequests_per_second_per_address = 10_000_000\n";
    beside_a_pair(limits, async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        let dialog = client.new_dialog("sip:mallory@contoso.com");
        let request = client.request("OPTIONS", &dialog, "", "", "");
        let burst = request.repeat(2000);
        let before = resident("/proc/self/statm");
        // It stops reading what it cannot answer, and after a time it hangs up.
        while client.write(burst.as_bytes()).await.is_ok() {
            let now = resident("/proc/self/statm");
            assert!(now < before + FLOOD_MEMORY, "from {before} to {now}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn infos_that_are_refused_for_good_are_not_sent_again() {
    beside_a_pair("", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        let mut witness = joined(gateway, "carol").await;
        client.document(|body| body.contains("ntc:join")).await;
        client.answers = Some(413);
        assert_eq!(witness.post("noise", "first").await, 200);
        assert_eq!(client.message().await, "first");
        client.answers = Some(200);
        assert_eq!(witness.post("noise", "second").await, 200);
        assert_eq!(client.message().await, "second");
        assert!(client.inbox.iter().all(|body| !body.contains("first")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_481_the_rooms_come_back_with_the_next_dialog() {
    for status in [481, 487] {
        beside_a_pair("", async |gateway| {
            let mut client = joined(gateway, "mallory").await;
            let mut witness = joined(gateway, "carol").await;
            // It has heard that the other came in.
            client.document(|body| body.contains("ntc:join")).await;
            client.answers = Some(status);
            assert_eq!(witness.post("noise", "lost").await, 200);
            assert_eq!(client.message().await, "lost");
            client.answers = Some(200);
            gateway
                .metric_reaches("holdover_sessions_detached_total", |count| count == 1)
                .await;
            // The real client goes on from the lookup, and asks for none of its rooms.
            client.open_group_chat().await;
            // What it would not take in the old dialog it gets in the new one.
            assert_eq!(client.message().await, "lost");
            assert_eq!(witness.post("noise", "back").await, 200);
            assert_eq!(client.message().await, "back");
            assert_eq!(client.post("noise", "me too").await, 200);
            assert_eq!(
                witness
                    .document(|body| body.contains("me too"))
                    .await
                    .matches("<chat>")
                    .count(),
                1
            );
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_share_call_ids_and_tags_do_not_meet() {
    beside_a_pair("", async |gateway| {
        let mut first = Client::tcp(gateway.tcp, "dan").await;
        let mut second = Client::tcp(gateway.tcp, "eve").await;
        for client in [&mut first, &mut second] {
            client.seed = "same".to_owned();
            client.epid = "0123456789ab".to_owned();
            client.sign_in().await;
            client.join("noise").await;
        }
        assert_eq!(
            first.channel.as_ref().unwrap().call_id,
            second.channel.as_ref().unwrap().call_id
        );
        assert_eq!(first.post("noise", "from dan").await, 200);
        assert_eq!(second.message().await, "from dan");
        assert_eq!(second.post("noise", "from eve").await, 200);
        assert_eq!(first.message().await, "from dan");
        assert_eq!(first.message().await, "from eve");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dialogs_of_others_are_nobodys() {
    beside_a_pair("", async |gateway| {
        let victim = joined(gateway, "dan").await;
        let mut client = joined(gateway, "mallory").await;
        let stolen = victim.channel.clone().unwrap();
        let body = client.post_body("noise", "as dan");
        // With one's own name in somebody else's dialog: it does not exist.
        let request = client.request("INFO", &stolen, "", "text/plain", &body);
        let mut dialog = stolen.clone();
        dialog.cseq = stolen.cseq;
        let refused = client.ask(&dialog, &request).await;
        assert_eq!(refused.status().code(), 481);
        // In somebody else's name: the connection is not theirs.
        let user = std::mem::replace(&mut client.user, victim.user.clone());
        let epid = std::mem::replace(&mut client.epid, victim.epid.clone());
        let mut dialog = stolen.clone();
        dialog.cseq += 1;
        let request = client.request("INFO", &dialog, "", "text/plain", &body);
        let refused = client.ask(&dialog, &request).await;
        assert_eq!(refused.status().code(), 403);
        let (refused, _) = client.invite(LOOKUP).await;
        assert_eq!(refused.status().code(), 403);
        client.user = user;
        client.epid = epid;
        assert_eq!(client.post("noise", "as myself").await, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_at_unknown_addresses() {
    beside_a_pair("", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        for uri in [
            "sip:nobody@contoso.com",
            "sip:channel@fabrikam.com",
            "sip:contoso.com",
        ] {
            let (refused, _) = client.invite(uri).await;
            assert_eq!(refused.status().code(), 404, "{uri}");
            assert!(refused.headers().get(Name::MsDiagnostics).is_some());
        }
        let mut dialog = client.new_dialog("sip:channel@contoso.com");
        for (method, status) in [
            ("MESSAGE", 501),
            ("PUBLISH", 501),
            ("REFER", 501),
            ("BYE", 481),
            ("INFO", 481),
        ] {
            dialog.cseq += 1;
            let request = client.request(method, &dialog, "", "", "");
            let answer = client.ask(&dialog, &request).await.status().code();
            assert!(answer == status || answer == 405, "{method}: {answer}");
        }
        assert_eq!(client.post("noise", "and on").await, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_channel_dialog_on_a_connection_has_a_session_of_its_own() {
    beside_a_pair("", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        let first = client.channel.clone();
        client.open_channel().await;
        client.join("lunch").await;
        let second = std::mem::replace(&mut client.channel, first);
        assert_eq!(client.post("noise", "in the first").await, 200);
        assert_eq!(client.message().await, "in the first");
        client.channel = second;
        assert_eq!(client.post("lunch", "in the second").await, 200);
        assert_eq!(client.message().await, "in the second");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_dialogs_are_opened_few_are_kept() {
    beside_a_pair("", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        let mut refused = 0;
        for _ in 0..100 {
            let (answer, dialog) = client.invite(CHANNEL).await;
            if dialog.is_none() {
                assert_eq!(answer.status().code(), 503);
                refused += 1;
            }
        }
        assert!(refused >= 90, "{refused} of 100 refused");
        // The pair's two, and those of the client.
        assert!(gateway.metric("holdover_sessions") <= 2 + 8);
        assert_eq!(client.post("noise", "in the first").await, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bye_and_invite_without_end_keep_one_session() {
    beside_a_pair("", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        for round in 0..50 {
            let mut channel = client.channel.take().unwrap();
            channel.cseq += 1;
            let bye = client.request("BYE", &channel, "", "", "");
            assert_eq!(client.ask(&channel, &bye).await.status().code(), 200);
            client.open_channel().await;
            let text = format!("round {round}");
            assert_eq!(client.post("noise", &text).await, 200);
            assert_eq!(client.message().await, text);
        }
        assert_eq!(gateway.metric("holdover_sessions"), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_none_are_refused_one_by_one() {
    beside_a_pair(SMALL, async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        let deep = format!("{}{}", "<a>".repeat(1000), "</a>".repeat(1000));
        let two = client.post_body("noise", "a").replace("</xccos>", "<grpchat/></xccos>");
        let bodies = [
            String::new(),
            "no xml".to_owned(),
            "<xccos".to_owned(),
            "<!DOCTYPE xccos [<!ENTITY a \"aaaa\">]><xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\"/>".to_owned(),
            client.envelope(""),
            client.envelope(&deep),
            client.envelope(&"<a/>".repeat(3000)),
            client.envelope("<grpchat id=\"grpchat\" seqid=\"1\" chanUri=\"http://contoso.com/\"><chat>a</chat></grpchat>"),
            two,
        ];
        for body in bodies {
            let (dialog, request) = client.info(&body);
            let status = client.ask(&dialog, &request).await.status().code();
            assert_eq!(status, 400, "{body}");
        }
        // What real clients send and XML 1.0 forbids is understood.
        assert_eq!(client.post("noise", "a&#x1;b").await, 200);
        assert_eq!(client.message().await, "a\u{fffd}b");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_to_rooms_that_are_not_to_be_had_are_refused_with_the_reason() {
    beside_a_pair("", async |gateway| {
        let mut client = joined(gateway, "mallory").await;
        for value in ["falcon", "legal", "nowhere"] {
            let dialog = client.send_post(value, "hello?").await;
            let refused = client.response(&dialog.call_id, dialog.cseq).await.unwrap();
            assert_eq!(refused.status().code(), 403, "{value}");
            let reply = client.join(value).await;
            assert!(!reply.contains("code=\"200\""), "{value}: {reply}");
        }
        let refused = client.join("falcon").await;
        assert!(
            refused.contains("Ask the archive about Falcon."),
            "{refused}"
        );
        // A room that was not joined takes no posts either.
        let status = client.post(ROOM, "uninvited").await;
        assert!(
            (400..600).contains(&status) && ![401, 407, 481].contains(&status),
            "{status}"
        );
    })
    .await;
}
