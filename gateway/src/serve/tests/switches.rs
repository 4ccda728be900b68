//! The switches that misbehave in SIP.

use super::*;

#[test]
fn busy_every_refuses_every_nth_info_of_a_dialog_without_effect() {
    let mut bench = Bench::new(CoreSettings {
        busy_every: 3,
        ..settings()
    });
    let (mut ann, mut bob) = (bench.open("ann"), bench.open("bob"));
    bench.receive(&bob.request("INFO", "", "<b/>"));
    let mut refused = Vec::new();
    for number in 1..=6 {
        bench.receive(&ann.request("INFO", "", "<a/>"));
        if let Some(Message::Response(response)) = bench.sent.pop() {
            assert_eq!(response.status().code(), 503);
            let diagnostics = response.headers().get(Name::MsDiagnostics).unwrap();
            assert!(diagnostics.starts_with("20000;"), "{diagnostics}");
            refused.push(number);
        }
    }
    assert_eq!(refused, [3, 6]);
    assert_eq!(bench.delivered.len(), 5);
}

#[test]
fn mute_receipts_every_carries_out_and_never_answers() {
    let mut bench = Bench::new(CoreSettings {
        mute_every: 2,
        ..settings()
    });
    let mut ann = bench.open("ann");
    for id in 0..4 {
        bench.receive(&ann.request("INFO", "", "<a/>"));
        bench.receipt(ann.dialog, id, Receipt::Accepted);
    }
    assert_eq!(bench.delivered.len(), 4);
    let answered: Vec<_> = bench
        .sent
        .iter()
        .map(|message| message.headers().cseq().unwrap().number)
        .collect();
    assert_eq!(answered, [2, 4], "the INFOs have the numbers 2 to 5");
}

#[test]
fn bye_on_first_command_is_all_that_a_user_without_the_right_gets() {
    let mut bench = Bench::new(CoreSettings {
        bye_on_first_command: true,
        ..settings()
    });
    let mut ann = bench.open("ann");
    bench.receive(&ann.request("INFO", "", "<a/>"));
    let Message::Response(taken) = bench.sent.remove(0) else {
        panic!("the INFO is taken");
    };
    assert_eq!(taken.status().code(), 200);
    bench.request(&Method::Bye);
    assert!(bench.delivered.is_empty());
    assert_eq!(bench.closed, [(ann.dialog, DialogEnd::Switch)]);
    // Nobody keeps a post, so nobody acknowledges it.
    let mut bob = bench.open("bob");
    let post = "<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\"><grpchat id=\"grpchat\" seqid=\"1\" \
                chanUri=\"ma-chan://contoso.com/x\"><chat>hello</chat></grpchat></xccos>";
    bench.receive(&bob.request("INFO", "", post));
    let Message::Response(refused) = bench.sent.remove(0) else {
        panic!("the post is answered");
    };
    assert_eq!(refused.status().code(), 403);
    bench.request(&Method::Bye);
}

#[test]
fn delay_makes_everything_late_and_keeps_the_order() {
    let mut bench = Bench::new(CoreSettings {
        delay: Duration::from_millis(200),
        ..settings()
    });
    let mut ann = bench.open("ann");
    bench.receive(&ann.request("INFO", "", "<a/>"));
    bench.receipt(ann.dialog, 0, Receipt::Accepted);
    bench.pass(Duration::from_millis(100));
    bench.document(ann.dialog, "<one/>");
    bench.pass(Duration::from_millis(99));
    assert!(bench.sent.is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.status(), 200);
    bench.pass(Duration::from_millis(99));
    assert!(bench.sent.is_empty());
    bench.pass(Duration::from_millis(1));
    bench.request(&Method::Info);
}

#[test]
fn merge_replies_joins_those_that_wait() {
    let reply = |verb: &str| {
        format!(
            "<xccos ver=\"1\" envid=\"1\" xmlns=\"urn:parlano:xml:ns:xccos\">\
             <rpl id=\"rpl:{verb}\" seqid=\"1\"/></xccos>"
        )
    };
    let mut bench = Bench::new(CoreSettings {
        merge_replies: true,
        ..settings()
    });
    let ann = bench.open("ann");
    for verb in ["getinv", "getpref", "chansrch"] {
        bench.document(ann.dialog, &reply(verb));
    }
    let first = bench.request(&Method::Info);
    assert_eq!(body(&first), reply("getinv"));
    bench.receive(&answer_to(&first, 200));
    let second = bench.request(&Method::Info);
    assert_eq!(
        body(&second),
        reply("getpref").replace("</xccos>", "<rpl id=\"rpl:chansrch\" seqid=\"2\"/></xccos>")
    );
    bench.receive(&answer_to(&second, 200));
    assert!(bench.sent.is_empty());
}
