//! What users write and how they prove who they are appears in no log, metric, answer of the admin server or error.

use holdover_protocol::sip::Name;
use holdover_protocol::sip::digest::{Challenge, Ha1};
use holdover_tests::binary::{Process, get, run};
use holdover_tests::client::{CHANNEL, Client};
use holdover_tests::gateway::{DOMAIN, Installation};

/// Part of everything that must not be told. The rest of each says where it was hidden.
const CANARY: &str = "kanarienvogel";

/// `CANARY` and some more, as UTF-8 in base64: what preference blobs look like.
const CANARY_BLOB: &str = "a2FuYXJpZW52b2dlbA==";

async fn sign_in(client: &mut Client, password: &str) -> (u16, String) {
    let (dialog, request) = client.register_request("");
    let challenged = client.ask(&dialog, &request).await;
    let challenge = challenged.headers().get(Name::ProxyAuthenticate).unwrap();
    let challenge = Challenge::parse(challenge).unwrap();
    let ha1 = Ha1::new(&client.user, challenge.realm(), password);
    let credentials = challenge.answer(&client.user, &ha1, "REGISTER", "(null)", "0a4f113b", 1);
    let (_, response) = credentials.split_once("response=\"").unwrap();
    let response = response.split_once('"').unwrap().0.to_owned();
    let header = format!("Proxy-Authorization: {credentials}\r\nContent-Length:");
    let again = request.replace("Content-Length:", &header);
    client.write(again.as_bytes()).await.unwrap();
    let answer = client.response(&dialog.call_id, dialog.cseq).await.unwrap();
    (answer.status().code(), response)
}

/// Sends an INFO, whatever becomes of it.
async fn try_info(client: &mut Client, body: &str) {
    let (dialog, request) = client.info(body);
    client.ask(&dialog, &request).await;
}

/// Everything a client can say, with a canary in it. Returns further secrets that came up.
async fn say_everything(process: &Process) -> Vec<String> {
    let addresses = process.ready();
    let mut secrets = Vec::new();
    let mut client = Client::tcp(addresses.tcp, "ann").await;
    let (status, response) = sign_in(&mut client, &format!("{CANARY}-wrong")).await;
    assert_eq!(status, 403);
    secrets.push(response);
    let (status, response) = sign_in(&mut client, CANARY).await;
    assert_eq!(status, 200);
    secrets.push(response);
    secrets.push(Ha1::new("ann@contoso.com", DOMAIN, CANARY).to_hex());
    client.open_group_chat().await;
    client.join("deals").await;

    // Posts that go well, are refused, and are no posts at all.
    assert_eq!(client.post("deals", &format!("{CANARY} well")).await, 200);
    assert_eq!(client.message().await, format!("{CANARY} well"));
    client.post("falcon", &format!("{CANARY} retired")).await;
    client.post("lunch", &format!("{CANARY} not joined")).await;
    client
        .post("deals", &format!("{CANARY} {}", "x".repeat(70_000)))
        .await;
    client
        .post("deals", &format!("{CANARY} &nosuch; < >"))
        .await;
    client
        .post("deals", &format!("{CANARY} ma-chan://contoso.com/lunch"))
        .await;
    let history = "<chanib uri=\"ma-chan://contoso.com/deals\"/><bcq><last cnt=\"9\"/></bcq>";
    assert!(client.command("bccontext", history).await.contains(CANARY));
    for body in [
        CANARY.to_owned(),
        format!("<xccos ver=\"1\" {CANARY}"),
        format!("<!DOCTYPE {CANARY}><xccos/>"),
        format!("<{CANARY}/>"),
        client.envelope(&format!("<{CANARY}>{CANARY}</{CANARY}>")),
        client.envelope(&format!("<grpchat chanUri=\"x\"><chat>{CANARY}</grpchat>")),
        client.envelope(&format!(
            "<grpchat chanUri=\"\"><chat>{CANARY}</chat></grpchat>"
        )),
    ] {
        try_info(&mut client, &body).await;
    }

    // What else is the user's own: preferences, files, searches.
    for (verb, data) in [
        (
            "setpref",
            format!(
                "<pref label=\"layout\" seqid=\"1\" createdefault=\"true\" content=\"{CANARY_BLOB}\"/>"
            ),
        ),
        (
            "setpref",
            format!(
                "<pref label=\"layout\" seqid=\"2\" createdefault=\"true\" content=\"{CANARY}!\"/>"
            ),
        ),
        (
            "getpref",
            "<pref label=\"layout\" createdefault=\"true\"/>".to_owned(),
        ),
        (
            "getfutok",
            format!(
                "<ftdb name=\"{CANARY}.pdf\" url=\"ma-filelink://contoso.com/deals/{CANARY}\"/>"
            ),
        ),
        (
            "getfdtok",
            format!("<token token=\"{CANARY}\"/><ftdb name=\"{CANARY}.pdf\"/>"),
        ),
        (
            "chansrch",
            format!("<qib qtype=\"BYNAME\" criteria=\"{CANARY}\" extended=\"false\"/>"),
        ),
        (
            "chansrch",
            format!("<qib qtype=\"{CANARY}\" criteria=\"{CANARY}\" extended=\"maybe\"/>"),
        ),
    ] {
        let body = client.command_body(verb, &data);
        try_info(&mut client, &body).await;
    }

    // In dialogs that are none, in bodies that are too long, and where the framing slips.
    let elsewhere = client.new_dialog(CHANNEL);
    let request = client.request("INFO", &elsewhere, "", "text/plain", CANARY);
    client.ask(&elsewhere, &request).await;
    let message = client.new_dialog("sip:bob@contoso.com");
    let request = client.request("MESSAGE", &message, "", "text/plain", CANARY);
    client.ask(&message, &request).await;
    for start in [
        "",
        "\r\n",
        &format!("{CANARY} sip:x SIP/2.0\r\n"),
        &format!("INFO {CANARY}\r\n"),
        &format!("{CANARY}: {CANARY}\r\n"),
    ] {
        let mut slipping = Client::tcp(addresses.tcp, "ann").await;
        assert_eq!(sign_in(&mut slipping, CANARY).await.0, 200);
        slipping.open_group_chat().await;
        let body = slipping.post_body("deals", &format!("{CANARY} slipped"));
        let (_, request) = slipping.info(&body);
        // The length stops in the middle of the text: the rest is taken for a message.
        let at = request.find(CANARY).unwrap();
        let head = request.find("\r\n\r\n").unwrap() + 4;
        let (kept, rest) = request.split_at(at);
        let kept = kept.replace(
            &format!("Content-Length: {}", body.len()),
            &format!("Content-Length: {}", at - head),
        );
        let next =
            format!("{kept}{start}{rest}\r\nVia: SIP/2.0/tcp h\r\nContent-Length: 0\r\n\r\n");
        slipping.write(next.as_bytes()).await.unwrap();
        slipping.half_close().await;
        while !slipping.receive_octets().await.is_empty() {}
    }
    let mut long = Client::tcp(addresses.tcp, "ann").await;
    let (dialog, request) = long.register_request("");
    let request = request.replace(
        "Content-Length: 0\r\n\r\n",
        &format!("Content-Length: 99999999\r\n\r\n{CANARY}"),
    );
    long.write(request.as_bytes()).await.unwrap();
    long.response(&dialog.call_id, dialog.cseq).await;
    client.sign_out().await;
    secrets
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_metric_or_answer_tells_what_users_say() {
    for (format, level) in [
        ("text", "trace"),
        ("json", "trace"),
        ("text", "debug"),
        ("json", "info"),
    ] {
        let log = format!("[log]\nformat = \"{format}\"\nlevel = \"{level}\"\n");
        let installation = Installation::new("{ digest = { users = \"users.toml\" } }", &log);
        let added = run(
            installation.dir(),
            &["user", "add", "ann@contoso.com", "--users", "users.toml"],
            &format!("{CANARY}\n"),
        );
        assert!(added.status.success());
        let process = Process::start(&installation.config());
        let secrets = say_everything(&process).await;
        let admin = process.ready().admin;
        let mut told = vec![
            String::from_utf8(added.stdout).unwrap(),
            String::from_utf8(added.stderr).unwrap(),
        ];
        for path in [
            "/",
            "/metrics",
            "/readyz",
            "/v1/rooms?legacy=ma-chan://contoso.com/deals",
            "/v1/rooms?migrated=ma-chan://contoso.com/m-deals",
        ] {
            told.push(get(admin, path).unwrap());
        }
        let listed = run(
            installation.dir(),
            &["pool", "list", "--database", "rooms.db", "--json"],
            "",
        );
        told.push(String::from_utf8(listed.stdout).unwrap());
        process.signal("TERM");
        let (status, log) = process.ended();
        assert_eq!(status.code(), Some(0));
        // Something was told, or this test would see nothing at all.
        let expected = match level {
            "info" => ["process.ready", "protocol.fault"],
            _ => ["post.accepted", "post.refused"],
        };
        for event in expected {
            assert!(
                log.contains(event),
                "{format} {level}: no {event} in\n{log}"
            );
        }
        told.push(log);
        for text in told {
            for secret in secrets
                .iter()
                .map(String::as_str)
                .chain([CANARY, CANARY_BLOB])
            {
                if let Some(line) = text
                    .lines()
                    .find(|line| line.to_lowercase().contains(secret))
                {
                    panic!("{format} {level}: {secret} in\n{line}");
                }
            }
        }
        // And it was indeed said.
        assert!(
            installation
                .messages("m-deals")
                .iter()
                .any(|text| text.contains(CANARY))
        );
    }
}
