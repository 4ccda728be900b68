//! Users of one connection chat; each switch does what it says.

use std::time::Instant;

use crate::client::{Client, User, command, rooms};
use crate::server::Server;

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn two_users_of_one_connection_chat() {
    let mut server = Server::with_switches("");
    assert_eq!(server.ready()["uri"], "sip:GC-1@contoso.com");
    assert_eq!(server.ready()["listeners"][0]["transport"], "tcp");
    let mut client = Client::connect(server.address());
    let (mut ann, mut bob) = (User::new("ann"), User::new("bob"));
    client.invite(&mut ann);
    client.invite(&mut bob);

    assert_eq!(client.command(&mut ann, "requri", ""), 200);
    holds(
        &client.hear(&ann),
        &["rpl:requri", "sip:server-1@contoso.com"],
    );
    let both = rooms(&["deals", "300"]);
    assert_eq!(client.command(&mut ann, "bjoin", &both), 200);
    let joined = client.hear(&ann);
    holds(
        &joined,
        &[
            "rpl:bjoin",
            "ma-chan://contoso.com/deals",
            "ma-chan://contoso.com/300",
            "key=\"11668\"",
            "key=\"3472\"",
        ],
    );
    assert_eq!(client.command(&mut bob, "join", &rooms(&["deals"])), 200);
    holds(&client.hear(&bob), &["rpl:join", "sip:ann@contoso.com"]);
    holds(&client.hear(&ann), &["ntc:join", "sip:bob@contoso.com"]);

    assert_eq!(client.post(&mut ann, "deals", "Good morning"), 200);
    for user in [&ann, &bob] {
        holds(&client.hear(user), &["<grpchat", "Good morning"]);
    }
    assert_eq!(client.post(&mut bob, "none", "Is this on?"), 404);

    let room = "<chanib uri=\"ma-chan://contoso.com/deals\"/>";
    assert_eq!(client.command(&mut bob, "part", room), 200);
    holds(&client.hear(&bob), &["rpl:part"]);
    holds(&client.hear(&ann), &["ntc:part", "sip:bob@contoso.com"]);
    let last = format!("{room}<bcq><last cnt=\"2\"/></bcq>");
    assert_eq!(client.command(&mut bob, "bccontext", &last), 200);
    holds(&client.hear(&bob), &["The newer one", "Good morning"]);

    // A dialog that ends takes its user out of the rooms.
    assert_eq!(client.command(&mut bob, "join", &rooms(&["300"])), 200);
    holds(&client.hear(&bob), &["rpl:join"]);
    holds(&client.hear(&ann), &["ntc:join"]);
    assert_eq!(client.request(&mut bob, "BYE", "").status().code(), 200);
    holds(&client.hear(&ann), &["ntc:part", "sip:bob@contoso.com"]);
    let late = command(&mut bob, "getinv", "");
    assert_eq!(client.request(&mut bob, "INFO", &late).status().code(), 481);

    server.interrupt();
    assert_eq!(client.hear(&ann), "BYE");
    client.finish();
    assert!(client.heard_everything());
    assert_eq!(server.wait().code(), Some(0));
    let log = server.log();
    for event in ["dialog.opened", "dialog.closed", "process.stopped"] {
        assert!(log.contains(event), "{event}");
    }
    assert!(!log.contains("Good morning"), "text stays out of the log");
}

#[test]
fn a_lost_connection_takes_its_users_out_of_the_rooms() {
    let server = Server::with_switches("");
    let mut stays = Client::connect(server.address());
    let mut goes = Client::connect(server.address());
    let (mut ann, mut bob) = (User::new("ann"), User::new("bob"));
    stays.invite(&mut ann);
    goes.invite(&mut bob);
    stays.command(&mut ann, "join", &rooms(&["deals"]));
    holds(&stays.hear(&ann), &["rpl:join"]);
    goes.command(&mut bob, "join", &rooms(&["deals"]));
    holds(&stays.hear(&ann), &["ntc:join"]);
    drop(goes);
    holds(&stays.hear(&ann), &["ntc:part", "sip:bob@contoso.com"]);
}

#[test]
fn readings_of_the_protocol_can_be_chosen() {
    let server = Server::with_switches(
        "push_history_after_bjoin = 1\ngetservinfo_spelling = \"getservinfo\"\nmasks = \"legacy\"\n\
         fib_rooms = [\"300\"]\nmerge_replies = true\n",
    );
    let mut client = Client::connect(server.address());
    let (mut ann, mut bob) = (User::new("ann"), User::new("bob"));
    client.invite(&mut ann);
    client.invite(&mut bob);
    let query = "<sib domain=\"contoso.com\" infoType=\"123\"/>";
    client.command(&mut ann, "getserverinfo", query);
    holds(&client.hear(&ann), &["rpl:getservinfo", "<sib "]);

    client.command(&mut ann, "bjoin", &rooms(&["deals", "300"]));
    let joined = client.hear(&ann);
    holds(
        &joined,
        &["rpl:bjoin", "key=\"12276\"", "<fib ", "value=\"300\""],
    );
    assert!(!joined.contains("ma-chan://contoso.com/300"), "{joined}");
    let pushed = client.hear(&ann);
    holds(&pushed, &["rpl:bccontext", "The newer one"]);
    assert!(!pushed.contains("The older one") && !pushed.contains("commandid"));
    // Only bjoin fails for that room.
    client.command(&mut bob, "join", &rooms(&["300"]));
    holds(&client.hear(&bob), &["rpl:join", "key=\"3984\""]);
    client.command(&mut bob, "bjoin", &rooms(&["deals"]));
    holds(&client.hear(&ann), &["ntc:bjoin", "key=\"3984\""]);
    holds(&client.hear(&bob), &["rpl:bjoin"]);
    holds(&client.hear(&bob), &["rpl:bccontext"]);

    client.answering = false;
    for verb in ["getassociations", "requri", "getinv"] {
        let data = if verb == "getinv" {
            "<inv inviteId=\"0\" domain=\"contoso.com\"/>"
        } else {
            ""
        };
        assert_eq!(client.command(&mut ann, verb, data), 200);
    }
    holds(&client.hear(&ann), &["rpl:getassociations"]);
    // The pool answers one after the other: once it has answered him, her answers are there.
    client.command(&mut bob, "getserverinfo", query);
    holds(&client.hear(&bob), &["rpl:getservinfo"]);
    client.answer_all();
    holds(
        &client.hear(&ann),
        &["rpl:requri", "rpl:getinv", "seqid=\"2\""],
    );
}

#[test]
fn a_crowded_room_has_no_roster_and_no_notices() {
    let server = Server::with_switches("roster_limit = 1\n");
    let mut client = Client::connect(server.address());
    let (mut ann, mut bob) = (User::new("ann"), User::new("bob"));
    client.invite(&mut ann);
    client.invite(&mut bob);
    client.command(&mut ann, "join", &rooms(&["deals"]));
    holds(&client.hear(&ann), &["rpl:join", "sip:ann@contoso.com"]);
    client.command(&mut bob, "join", &rooms(&["deals"]));
    let joined = client.hear(&bob);
    holds(&joined, &["rpl:join"]);
    assert!(
        !joined.contains("<uib") && !joined.contains("<aib"),
        "{joined}"
    );
    client.post(&mut bob, "deals", "Anyone here?");
    holds(&client.hear(&ann), &["<grpchat"]);
}

#[test]
fn misbehaviour_can_be_chosen() {
    let server =
        Server::with_switches("busy_every = 2\nsession_expires_secs = 7\ndelay_ms = 300\n");
    let mut client = Client::connect(server.address());
    let mut ann = User::new("ann");
    let accepted = client.invite(&mut ann);
    let expires = accepted.headers().session_expires().unwrap().unwrap();
    assert_eq!(expires.seconds, 7);
    let begun = Instant::now();
    assert_eq!(client.command(&mut ann, "requri", ""), 200);
    assert!(begun.elapsed().as_millis() >= 300);
    assert_eq!(client.command(&mut ann, "requri", ""), 503);
    assert_eq!(client.command(&mut ann, "requri", ""), 200);

    let server = Server::with_switches("bye_on_first_command = true\n");
    let mut client = Client::connect(server.address());
    let mut bob = User::new("bob");
    client.invite(&mut bob);
    assert_eq!(client.command(&mut bob, "requri", ""), 200);
    assert_eq!(client.hear(&bob), "BYE");

    let server = Server::with_switches("mute_receipts_every = 1\n");
    let mut client = Client::connect(server.address());
    let mut carol = User::new("carol");
    client.invite(&mut carol);
    let body = command(&mut carol, "requri", "");
    client.send(&mut carol, "INFO", &body);
    holds(&client.hear(&carol), &["rpl:requri"]);
    // The INFO would have been answered before this.
    assert_eq!(
        client.request(&mut carol, "OPTIONS", "").status().code(),
        200
    );
    assert_eq!(client.strays, 0);
}
