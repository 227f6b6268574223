//! If a client hangs up, the work behind it ends, wherever it is: at the provider or in a hook.

use serde_json::json;

use super::{Gateway, gateway, gateway_with};
use crate::client::Client;
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, delta};

/// Longer than any test waits, so only a hang-up can end what this limits.
const NEVER: &str = "600s";

async fn in_time(event: impl Future<Output = ()>) {
    tokio::time::timeout(PATIENCE, event).await.expect("it happens");
}

#[tokio::test]
async fn hanging_up_before_the_first_event_hangs_up_on_the_provider() {
    let Gateway { a, client, server: _server, .. } = gateway("").await;
    for (script, stream) in
        [(Script::default().hang(), true), (Script::stream().piece(": ping\n\n").hang(), true), (Script::default().hang(), false)]
    {
        a.next(script);
        let asking = async {
            if stream {
                client.chat_stream("p", "hi", json!({})).await;
            } else {
                client.chat("p", "hi", json!({})).await;
            }
        };
        tokio::select! {
            () = asking => panic!("nobody answered"),
            () = a.received() => {}
        }
        in_time(a.hung_up()).await;
    }
}

#[tokio::test]
async fn hanging_up_in_the_middle_of_a_stream_hangs_up_on_the_provider() {
    let Gateway { a, b, client, server: _server } = gateway("").await;
    a.next(Script::stream().event(&delta("one")).hang());
    let mut stream = client.chat_stream("p", "hi", json!({})).await;
    assert_eq!(stream.next().await, Ok(Some(delta("one"))));
    drop(stream);
    in_time(a.hung_up()).await;
    assert!(b.requests().is_empty(), "nobody is asked for a client that is gone");
    settled(&client, "client_gone").await;
}

/// Waits until no request is under way.
async fn settled(client: &Client, why: &str) {
    let idle = async {
        while !client.get("/metrics").await.ok().text().contains("cofferdam_http_requests_in_flight 0") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, idle).await.expect(why);
}

#[tokio::test]
async fn hanging_up_after_the_whole_stream_is_no_hang_up_for_the_log() {
    let Gateway { a, client, server, .. } = gateway("").await;
    a.next(Script::streams(&["one"]));
    client.chat_stream("p", "hi", json!({})).await.all().await.expect("a whole stream");
    settled(&client, "done").await;
    let log = server.log();
    assert!(!log.contains("client_gone"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_while_a_hook_runs_ends_the_hook_and_frees_its_place() {
    let config = format!(
        r#"
        [limits.plugins]
        calls = 1
        queue_time = "0s"
        [plugins.sleeper]
        limits = {{ time = "{NEVER}" }}
        [[pipelines]]
        id = "slow"
        pipeline = [ {{ stage = "pre_hook", config = {{ function_id = "sleeper" }} }}, {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }} ]
        [[pipelines]]
        id = "quick"
        pipeline = [ {{ stage = "pre_hook", config = {{ function_id = "noop-pre" }} }}, {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }} ]
        "#
    );
    let server = Server::with(&config).plugin("sleeper").plugin("noop_pre").start();
    let client = Client::of(server.address);
    client.chat("quick", "hi", json!({})).await.ok();
    let (slow, quick) = (client.clone(), client.clone());
    // It may find the only place taken by a quick one.
    let sleeping = tokio::spawn(async move { while slow.chat("slow", "hi", json!({})).await.status == 503 {} });
    // The hook runs while its permit is taken, and is over when the permit is free again.
    let until = async |status: u16| while quick.chat("quick", "hi", json!({})).await.status != status {};
    in_time(until(503)).await;
    sleeping.abort();
    in_time(until(200)).await;
    server.wait_for_log("answered 499");
}

#[tokio::test]
async fn the_provider_is_asked_again_over_a_kept_connection_only_when_a_stream_was_whole() {
    let Gateway { a, client, server: _server, .. } = gateway_with("", |server| server.env("KEY_A", "k").env("KEY_B", "k")).await;
    for _ in 0..3 {
        a.next(Script::streams(&["one"]));
        client.chat_stream("p", "hi", json!({})).await.all().await.expect("a whole stream");
    }
    assert_eq!(a.connections(), 1);
    a.next(Script::stream().event(&delta("one")).hang()).next(Script::says("fine"));
    let mut stream = client.chat_stream("p", "hi", json!({})).await;
    stream.next().await.expect("an event");
    drop(stream);
    in_time(a.hung_up()).await;
    client.chat("p", "hi", json!({})).await.ok();
    assert_eq!(a.connections(), 2);
}

#[tokio::test]
async fn a_client_that_is_gone_is_not_waited_for_by_the_drain() {
    let Gateway { a, client, mut server, .. } = gateway(&format!("[limits.http]\ndrain_time = \"{NEVER}\"")).await;
    a.next(Script::stream().event(&delta("one")).hang());
    let mut stream = client.chat_stream("p", "hi", json!({})).await;
    stream.next().await.expect("an event");
    server.terminate();
    drop(stream);
    in_time(a.hung_up()).await;
    assert!(server.wait().success());
}
