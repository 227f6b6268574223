//! What a provider receives: the client's request, to the byte, and nothing that is private to client and gateway.

use bytes::Bytes;
use hyper::Method;
use serde_json::json;

use super::{Gateway, KEY_A, gateway};
use crate::client::Client;
use crate::upstream::Script;

#[tokio::test]
async fn unknown_fields_reach_the_provider_byte_for_byte() {
    let Gateway { a, client, server: _server, .. } = gateway("").await;
    a.always(Script::says("fine"));
    let message = r#"{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral", "n":1.0}},{"type":"hologram","data":{"z":1,"a":[ 1e400 ]}}],"x_weight":0.10}"#;
    let call = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"},"extra":{}}]}"#;
    let fields = [
        r#""seed":12345678901234567890"#,
        r#""temperature":1.0"#,
        r#""vendor":{"b":{"z":[1, 2,  {"deep":-0.0}],"a":"\u00e9\/"},"a":null}"#,
        r#""stop":["\n"]"#,
    ];
    let body = format!(r#"{{"model":"alone","messages":[{message},{call}],{}}}"#, fields.join(","));
    client.send(Method::POST, "/v1/chat/completions", Some("application/json"), Bytes::from(body)).await.ok();
    let sent = String::from_utf8(a.requests().remove(0).body).expect("UTF-8");
    for part in fields.into_iter().chain([
        r#"{"type":"hologram","data":{"z":1,"a":[ 1e400 ]}}"#,
        r#""cache_control":{"type":"ephemeral", "n":1.0}"#,
        r#""x_weight":0.10"#,
        r#"{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"},"extra":{}}"#,
    ]) {
        assert!(sent.contains(part), "{part} is missing in {sent}");
    }
}

#[tokio::test]
async fn the_clients_headers_and_our_own_field_stay_here() {
    let Gateway { a, server, .. } = gateway("").await;
    a.next(Script::says("fine")).next(Script::streams(&["fine"]));
    let client = Client::of(server.address)
        .header("authorization", "Bearer client-secret")
        .header("cookie", "session=client-secret")
        .header("x-api-key", "client-secret")
        .header("proxy-authorization", "Basic client-secret")
        .header("x-forwarded-for", "10.0.0.1")
        .header("openai-organization", "client-secret")
        .header("x-cofferdam-stages", "rag=off");
    let extra = || json!({"pipeline": {"rag": false}});
    client.chat("alone", "hi", extra()).await.ok();
    client.chat_stream("alone", "hi", extra()).await.all().await.expect("a whole stream");
    let requests = a.requests();
    assert_eq!(requests.len(), 2);
    for (request, stream) in requests.iter().zip([false, true]) {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/chat/completions"));
        assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY_A}").as_str()));
        let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["cookie", "x-api-key", "proxy-authorization", "x-forwarded-for", "openai-organization", "x-cofferdam-stages"] {
            assert!(!names.contains(&name), "{name} reached the provider");
        }
        assert!(!format!("{request:?}").contains("client-secret"));
        let body = request.json();
        assert!(body.get("pipeline").is_none(), "{body}");
        assert_eq!((&body["model"], body["stream"].as_bool().unwrap_or(false)), (&json!("model-a"), stream), "{body}");
    }
    assert!(!server.log().contains("client-secret"));
}

#[tokio::test]
async fn a_reply_arrives_byte_for_byte() {
    let Gateway { a, client, server: _server, .. } = gateway("").await;
    let body = r#"{ "id":"x","object":"chat.completion","created":1,"model":"m", "choices":[{"index":0,"message":{"role":"assistant","content":"é","refusal":null,"vendor":[1.0]},"finish_reason":"stop","logprobs":null}],"big":12345678901234567890 }"#;
    a.next(Script::reply(200, &[("content-type", "application/json"), ("set-cookie", "theirs=1")], body));
    let answer = client.chat("alone", "hi", json!({})).await.ok();
    assert_eq!((answer.text().as_str(), answer.header("set-cookie")), (body, None));
}
