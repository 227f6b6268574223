//! The whole of it through the real server: a plugin, its grant and its secrets in the operator's file, a server on this machine.

use serde_json::json;

use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Script, Upstream};

const TOKEN: &str = "canary-Hd6JfPc5Gs1-Rt9Jc6Zs";

/// `p` is the webhook's and `q` the asker's, whose grants lead to `port` of this machine.
fn config(port: &str, more: &str) -> String {
    let grant = format!(
        r#"{{ hosts = ["127.0.0.1", "localhost"], ports = [{port}], plain = true, secrets = {{ WEBHOOK_TOKEN = ["127.0.0.1"] }}, plain_secrets = true{more} }}"#
    );
    let pipeline = |id: &str, plugin: &str| {
        format!(
            r#"
            [[pipelines]]
            id = "{id}"
            pipeline = [
                {{ stage = "pre_hook", config = {{ function_id = "{plugin}" }} }},
                {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }},
            ]
            "#
        )
    };
    format!(
        r#"
        [plugins.webhook]
        config = {{ url = "http://127.0.0.1:{port}/ask", authorization = "Bearer {{{{secret:WEBHOOK_TOKEN}}}}" }}
        grants = {{ http = {grant} }}
        [plugins.http-asker]
        grants = {{ http = {grant} }}
        {}{}
        "#,
        pipeline("p", "webhook"),
        pipeline("q", "http-asker"),
    )
}

fn port(upstream: &Upstream) -> String {
    let url = upstream.url();
    url.trim_end_matches("/v1").rsplit_once(':').expect("a port").1.to_owned()
}

fn server(config: &str) -> Server {
    Server::with(config).plugin("webhook").plugin("http-asker").env("WEBHOOK_TOKEN", TOKEN).start()
}

#[tokio::test]
async fn a_webhook_lets_pass_and_refuses_and_its_token_is_in_nothing_that_anybody_reads() {
    let upstream = Upstream::start().await;
    let mut server = server(&config(&port(&upstream), ", private = true"));
    let client = Client::of(server.address);
    upstream.next(Script::json(200, &json!({"metadata": {"plan": "gold"}})));
    client.chat("p", "hello", json!({})).await.ok();
    let asked = &upstream.requests()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/ask"));
    assert_eq!(asked.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!((&asked.json()["message"], &asked.json()["pipeline"]), (&json!("hello"), &json!("p")));

    upstream.next(Script::json(402, &json!({"error": format!("No credit for {TOKEN}."), "code": "no_credit"})));
    let refused = client.chat("p", "hello", json!({})).await;
    assert!(refused.text().contains("No credit for [hidden]."), "{}", refused.text());
    assert_eq!(refused.refused(402), "no_credit");
    upstream.next(Script::reply(500, &[("x-key", TOKEN)], TOKEN));
    assert_eq!(client.chat("p", "{{secret:WEBHOOK_TOKEN}}", json!({})).await.refused(502), "plugin_reported_error");
    assert!(!upstream.requests()[2].json().to_string().contains(TOKEN), "a user's text fills in nothing");

    upstream.next(Script::reply(200, &[("x-key", TOKEN)], format!("{{\"key\": \"{TOKEN}\"}}")));
    let ask = format!("GET http://127.0.0.1:{}/\nx-key: {{{{secret:WEBHOOK_TOKEN}}}}", port(&upstream));
    let got = client.chat("q", &ask, json!({})).await.ok().content();
    assert!(got.contains("x-key: [hidden]") && got.contains("{\"key\": \"[hidden]\"}"), "{got}");
    let denied = client.chat("q", &ask.replace("127.0.0.1", "localhost"), json!({})).await.ok().content();
    assert!(denied.contains("Denied(") && denied.contains("grants.http.secrets.WEBHOOK_TOKEN"), "{denied}");
    server.wait_for_log("a request was not sent: the secret `WEBHOOK_TOKEN` is not for `localhost`");
    let metrics = client.get("/metrics").await.text();
    assert!(metrics.contains("cofferdam_plugin_call_wait_seconds_count{plugin=\"webhook\""));
    for (plugin, outcome, count) in [("webhook", "ok", 3), ("http-asker", "ok", 1), ("http-asker", "denied", 1)] {
        let line = format!("cofferdam_plugin_host_calls_total{{plugin=\"{plugin}\",capability=\"http\",outcome=\"{outcome}\"}} {count}");
        assert!(metrics.contains(&line), "no line {line} in {metrics}");
    }
    server.terminate();
    assert!(!server.output().contains(TOKEN), "the token is in what the server wrote");
}

#[tokio::test]
async fn this_machine_is_reached_only_with_the_operators_word() {
    let upstream = Upstream::start().await;
    let port = port(&upstream);
    let server = server(&config(&port, ""));
    let client = Client::of(server.address);
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let got = client.chat("q", &format!("GET http://{host}:{port}/"), json!({})).await.ok().content();
        assert!(got.contains("Denied("), "{host}: {got}");
    }
    assert_eq!(client.chat("p", "hello", json!({})).await.refused(502), "plugin_reported_error");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn what_is_denied_again_and_again_is_told_once_and_what_is_denied_for_another_reason_too() {
    let upstream = Upstream::start().await;
    let mut server = server(&config(&port(&upstream), ""));
    let client = Client::of(server.address);
    const TIMES: usize = 8;
    for host in ["evil.example.com", "other.example.com"] {
        for _ in 0..TIMES {
            let denied = client.chat("q", &format!("GET https://{host}/"), json!({})).await.ok().content();
            assert!(denied.contains("Denied("), "{denied}");
        }
        server.wait_for_log(&format!("a request was not sent: the host `{host}` is not granted"));
    }
    server.terminate();
    let output = server.output();
    // More than one only if the machine took more than a minute for it.
    assert!((2..TIMES).contains(&output.matches("a request was not sent").count()), "{output}");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_request_that_a_plugin_waits_for() {
    let upstream = Upstream::start().await;
    upstream.always(Script::default().hang());
    let server = server(&config(&port(&upstream), ", private = true"));
    let client = Client::of(server.address);
    tokio::select! {
        _ = client.chat("p", "hello", json!({})) => panic!("nobody answers"),
        () = upstream.received() => {}
    }
    upstream.hung_up().await;
}
