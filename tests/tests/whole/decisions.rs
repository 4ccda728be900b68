//! What was decided in a running gateway: told, explained, and made into tests of the rules.

use holdover_tests::binary::run;
use holdover_tests::client::Client;
use holdover_tests::gateway::{Installation, TestGateway};
use serde_json::Value;

use crate::reload::admin;

const RULE: &str = "[[rule]]\nname = \"freeze\"\n\
                    when = { room = \"ma-chan://contoso.com/deals\", command = \"post\" }\n\
                    then = { refuse = \"Frozen until Monday.\" }\n";

/// A command that is well in the end, and what it printed.
async fn holdover(gateway: &TestGateway, line: &str) -> String {
    let folder = gateway.installation.dir().to_owned();
    let line = line.to_owned();
    let run = move || {
        let arguments: Vec<&str> = line.split(' ').collect();
        run(&folder, &arguments, "")
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_told_explained_and_made_into_tests() {
    let installation = Installation::new("\"open\"", RULE);
    let gateway = TestGateway::serve(installation).await;
    let mut ann = Client::tcp(gateway.tcp, "ann").await;
    ann.sign_in().await;
    ann.join("deals").await;
    assert_ne!(ann.post("deals", "swordfish").await, 200);

    let (_, told) = admin(&gateway, "GET /v1/decisions?user=ann@contoso.com").await;
    assert!(!told.to_string().contains("swordfish"), "{told}");
    let decisions = told["decisions"].as_array().unwrap();
    let acts: Vec<&str> = decisions
        .iter()
        .map(|decision| decision["act"].as_str().unwrap())
        .collect();
    assert_eq!(acts, ["post", "read", "sign-in"], "{told}");
    let (post, read) = (&decisions[0], &decisions[1]);
    assert_eq!(post["reason"], "rule");
    assert_eq!(post["rule"]["name"], "freeze");
    assert_eq!(read["migrated"], "ma-chan://contoso.com/m-deals");

    // Asked again in the same words, the answer is the same.
    for decision in [post, read] {
        let given = ["user", "room", "act", "client", "from_ip", "listener", "at"]
            .into_iter()
            .filter_map(|key| Some(format!("{key}={}", decision[key].as_str()?)));
        let query = given.collect::<Vec<_>>().join("&").replace(' ', "%20");
        let (status, explained) = admin(&gateway, &format!("GET /v1/explain?{query}")).await;
        assert_eq!(status, 200, "{explained}");
        for key in [
            "allowed",
            "pool",
            "migrated",
            "reason",
            "text",
            "generation",
        ] {
            assert_eq!(explained[key], decision[key], "{key} of {explained}");
        }
        let source = |from: &Value| from["rule"]["source"].clone();
        assert!(source(&explained) == source(decision) || decision["rule"].is_null());
    }

    let record = format!(
        "rules record --config holdover.toml --admin {}",
        gateway.admin
    );
    let tests = holdover(&gateway, &record).await;
    assert_eq!(tests.matches("[[test]]").count(), 3, "{tests}");
    std::fs::create_dir(gateway.installation.path("rules.d")).unwrap();
    gateway.installation.write("rules.d/90-tests.toml", &tests);
    let passed = holdover(
        &gateway,
        "rules test --config holdover.toml --fail-under 100",
    )
    .await;
    assert!(
        passed.starts_with("3 test(s) passed, 0 failed\n"),
        "{passed}"
    );
    gateway.stop().await;
}
