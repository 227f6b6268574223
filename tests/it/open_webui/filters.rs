//! Inlets and outlets: what a filter sees, what goes back, and how it refuses.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Barrier;

use super::{KEY, client, house, inlet, raw, refused};

/// What Open WebUI sends, with all that only it knows, spelled as nobody would write it.
const BODY: &str = r#"{"model":"m" , "stream":true,"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
    {"content":"nothing","role":"user","files":[{"x":1.0}]}],"user":{"id":"u","name":"\u004e"},"metadata":{"z":1e0,"task_body":null},"features":{"web_search":false},"tool_ids":["a"]}"#;

async fn filter(server: &crate::server::Server, path: &str, body: &Value) -> Value {
    client(server).post(path, body).await.ok().json()
}

#[tokio::test]
async fn what_a_hook_leaves_alone_goes_back_byte_for_byte() {
    let server = house("", "").plugin("valved").plugin("noop_pre").plugin("manifold").start();
    let sent = Bytes::from(format!(r#"{{"user":null,"extra":[],"body":{BODY}}}"#));
    for path in [
        "/valved/filter/inlet",
        "/v1/valved/filter/inlet",
        "/noop-pre/filter/inlet",
        "/noop-pre/filter/outlet",
        "/manifold.echo/filter/inlet",
    ] {
        let answer = client(&server).send(Method::POST, path, Some("application/json"), sent.clone()).await.ok();
        assert_eq!((answer.text().as_str(), answer.header("content-type")), (BODY, Some("application/json")), "{path}");
    }
    let changed = Bytes::from(format!(r#"{{"body":{}}}"#, BODY.replace("nothing", "hello")));
    let answer = client(&server).send(Method::POST, "/valved/filter/inlet", Some("application/json"), changed).await.ok().text();
    let (before, after) = answer.split_once(r#"{"role":"user","content":"in: hello"}"#).unwrap_or_else(|| panic!("{answer}"));
    assert!(before.ends_with(r#""function":{"name":"f","arguments":"{}"}}]},"#), "{before}");
    let kept =
        r#"],"user":{"id":"u","name":"\u004e"},"metadata":{"z":1e0,"task_body":null},"features":{"web_search":false},"tool_ids":["a"]}"#;
    assert_eq!(after, kept);
    let params = filter(&server, "/valved/filter/inlet", &inlet("params")).await;
    assert_eq!((&params["temperature"], &params["model"], params.get("features")), (&json!(0.25), &json!("other"), None));
    assert_eq!(params["metadata"], inlet("")["body"]["metadata"]);
}

#[tokio::test]
async fn a_filter_knows_who_asks_in_which_chat_and_for_what() {
    let server = house("", "").plugin("valved").start();
    let who = |answer: Value| answer["messages"][0]["content"].as_str().expect("a text").to_owned();
    let chat = who(filter(&server, "/valved/filter/inlet", &inlet("who")).await);
    assert_eq!(chat, r#"{"id":"u1","email":"ada@example.com","name":"Ada","role":"user"} "c1" "m1" "s1" none"#);
    let task = json!({"user": null, "body": {"model": "m", "messages": [{"role": "user", "content": "who"}], "stream": false,
        "metadata": {"task": "title_generation", "task_body": {"x": 1}, "chat_id": "c1"}}});
    assert_eq!(who(filter(&server, "/valved/filter/inlet", &task).await), r#"none "c1" none none "title_generation""#);
}

#[tokio::test]
async fn an_outlet_changes_the_newest_reply_and_what_is_drawn_of_it() {
    let server = house("", "").plugin("valved").start();
    let message = |id: &str, role: &str, text: &str| json!({"id": id, "role": role, "content": text, "timestamp": 7, "info": {"a": 1.0}});
    let mut reply = message("4", "assistant", "second");
    reply["output"] = json!([
        {"type": "reasoning", "content": [{"type": "output_text", "text": "why"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "second"}]},
    ]);
    reply["usage"] = json!({"total_tokens": 3});
    let messages = json!([message("1", "user", "a"), message("2", "assistant", "first"), message("3", "user", "b"), reply]);
    let body = json!({"model": "m", "messages": messages, "filter_ids": [], "chat_id": "c", "session_id": "s", "id": "4"});
    let mut expected = body.clone();
    expected["messages"][3]["content"] = json!("second (out)");
    expected["messages"][3]["output"][1]["content"][0]["text"] = json!("second (out)");
    for base in ["", "/v1"] {
        assert_eq!(filter(&server, &format!("{base}/valved/filter/outlet"), &json!({"user": null, "body": body})).await, expected);
    }
    let refusal = json!({"body": {"model": "m", "messages": [message("1", "user", "a"), message("2", "assistant", "refuse")]}});
    assert_eq!(refused(&client(&server).post("/valved/filter/outlet", &refusal).await, 422), "Not like that.");
    let nothing = json!({"body": {"model": "m", "messages": [message("1", "user", "a")]}});
    assert_eq!(filter(&server, "/valved/filter/outlet", &nothing).await, nothing["body"]);
}

#[tokio::test]
async fn a_refusal_has_the_plugin_s_status_and_its_text_is_the_reason_phrase_too() {
    let server = house("", "").plugin("valved").start();
    let body = inlet("refuse").to_string();
    let head = format!("POST /valved/filter/inlet HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n");
    let request = format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let answer = raw(&server, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 429 Slow down, please.\r\n"), "{answer}");
    assert!(answer.contains("\r\nretry-after: 7\r\n") && answer.ends_with(r#"{"detail":"Slow down, please."}"#), "{answer}");
    // There is no place for an answer before the model is asked.
    assert_eq!(refused(&client(&server).post("/valved/filter/inlet", &inlet("answer")).await, 403), "I answer myself.");
    let failed = refused(&client(&server).post("/valved/filter/inlet", &inlet("fail")).await, 502);
    assert!(failed.contains("valved"), "{failed}");
    for (sent, param) in [(json!({}), "body"), (json!({"body": 1}), "body"), (json!({"body": {"model": "m"}}), "body.messages")] {
        let told = refused(&client(&server).post("/valved/filter/inlet", &sent).await, 400);
        assert!(told.contains(param), "{told}");
    }
    refused(&client(&server).post("/nobody/filter/inlet", &inlet("hi")).await, 404);
    client(&server).post("/owui.valved/filter/inlet", &inlet("hi")).await.ok();
}

#[tokio::test]
async fn a_fault_that_the_operator_passes_over_leaves_the_body_as_it_was() {
    let server = house("", "[plugins.valved]\non_failure = \"skip\"\n").plugin("valved").start();
    assert_eq!(filter(&server, "/valved/filter/inlet", &inlet("fail")).await, inlet("fail")["body"]);
}

/// The other server answers nobody before all have asked, so that a filter that runs one call after the other never ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_inlets_of_a_plugin_that_waits_wait_together() {
    const CALLS: usize = 100;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let barrier = Arc::new(Barrier::new(CALLS));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let barrier = barrier.clone();
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                barrier.wait().await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
            });
        }
    });
    let grant = format!(
        "[plugins.http-asker]\nlimits = {{ wait = \"1m\", time = \"1m\" }}\n[plugins.http-asker.grants.http]\nhosts = [\"127.0.0.1\"]\nports = [{port}]\nplain = true\nprivate = true\nconnections = 200\ntime = \"1m\"\n"
    );
    // All of one client, which gets three quarters of a plugin's places.
    let config = super::tests_config("") + "calls_per_plugin = 200\n" + &grant;
    let server = crate::server::Server::with(&config).plugin("http_asker").start();
    let body = inlet(&format!("GET http://127.0.0.1:{port}/\n\n"));
    let client = client(&server);
    let all = join_all((0..CALLS).map(|_| client.post("/http-asker/filter/inlet", &body))).await;
    for answer in all {
        let told = refused(&answer, 403);
        assert!(told.starts_with("200"), "{told}");
    }
}
