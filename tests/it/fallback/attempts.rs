//! Retries, circuits, equals and hedges behind the real server: headers, metrics and what the client receives.

use serde_json::json;

use super::{Gateway, KEY_A, gateway, refusal};
use crate::client::text_of;
use crate::upstream::{Script, Upstream};

const QUICK: &str = "[limits.providers]\nretries = 2\nretry_backoff = \"1ms\"\ncircuit_time = \"1h\"\ncircuit_time_max = \"1h\"";

#[tokio::test]
async fn every_try_is_counted_in_the_header_and_in_the_figures() {
    let Gateway { a, b, client, server: _server } = gateway(QUICK).await;
    a.next(Script::reply(503, &[], "")).next(Script::default().cut()).next(Script::says("at last"));
    let answer = client.chat("p", "hi", json!({})).await.ok();
    assert_eq!((answer.content().as_str(), answer.header("x-cofferdam-attempts")), ("at last", Some("3")));
    assert!(b.requests().is_empty());
    let metrics = client.get("/metrics").await.ok().text();
    for outcome in ["status", "unreachable", "ok"] {
        let line = format!(r#"cofferdam_llm_attempts_total{{provider="a",outcome="{outcome}"}} 1"#);
        assert!(metrics.contains(&line), "{line} is missing in {metrics}");
    }
}

#[tokio::test]
async fn a_key_whose_quota_is_used_up_is_left_in_peace_and_its_client_is_told_when_to_come_back() {
    let Gateway { a, b, client, server } = gateway(QUICK).await;
    a.always(Script::json(429, &json!({"error": {"message": "quota", "code": "insufficient_quota"}})));
    b.always(Script::streams(&["from b"]));
    assert_eq!(client.chat("alone", "hi", json!({})).await.refused(429), "insufficient_quota");
    let left_alone = client.chat("alone", "hi", json!({})).await;
    assert_eq!((left_alone.refused(429).as_str(), left_alone.header("retry-after")), ("rate_limit_exceeded", Some("3600")));
    let stream = client.chat_stream("p", "hi", json!({})).await;
    assert_eq!(stream.headers["x-cofferdam-attempts"], "1");
    assert_eq!(text_of(&stream.all().await.expect("a whole stream")), "from b");
    assert_eq!(a.requests().len(), 1);
    let metrics = client.get("/metrics").await.ok().text();
    assert!(metrics.contains(r#"cofferdam_llm_circuit_open{provider="a"} 1"#), "{metrics}");
    server.wait_for_log("is left in peace");
    let log = server.log();
    assert!(log.contains("KEY_A") && !log.contains(KEY_A), "{log}");
}

#[tokio::test]
async fn a_key_that_is_refused_again_and_again_sends_requests_to_the_fallback_at_once() {
    let Gateway { a, b, client, server: _server } = gateway(QUICK).await;
    a.always(Script::json(401, &refusal("wrong key")));
    b.always(Script::says("from b"));
    for _ in 0..5 {
        assert_eq!(client.chat("alone", "hi", json!({})).await.refused(502), "provider_auth");
    }
    let answer = client.chat("p", "hi", json!({})).await.ok();
    assert_eq!((answer.content().as_str(), answer.header("x-cofferdam-attempts")), ("from b", Some("1")));
    assert_eq!(client.chat("alone", "hi", json!({})).await.refused(502), "provider_auth", "which says what is wrong");
}

#[tokio::test]
async fn a_provider_that_named_a_time_is_a_503_while_it_is_left_in_peace() {
    let Gateway { a, client, server: _server, .. } = gateway(QUICK).await;
    a.always(Script::reply(503, &[("retry-after", "3600")], ""));
    assert_eq!(client.chat("alone", "hi", json!({})).await.refused(503), "provider_failed");
    let left_alone = client.chat_stream("alone", "hi", json!({})).await.answer().await;
    assert_eq!((left_alone.refused(503).as_str(), left_alone.header("retry-after")), ("provider_benched", Some("3600")));
    assert_eq!(a.requests().len(), 1);
}

#[tokio::test]
async fn what_a_provider_answers_to_one_callers_words_keeps_no_other_caller_out() {
    // Each key is its name.
    let key = |name: &str| {
        use sha2::Digest;
        let hash: String = sha2::Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{ name = \"{name}\", sha256 = \"{hash}\" }}")
    };
    let keys = format!("{QUICK}\n[keys]\nclient = [ {}, {} ]", key("poisoner"), key("neighbour"));
    let Gateway { a, b, client, server } = gateway(&keys).await;
    let refused = [
        Script::json(401, &refusal("this key may not use logprobs")),
        Script::json(402, &refusal("fewer max_tokens, please")),
        Script::json(403, &refusal("that file is not yours")),
        Script::reply(500, &[], "choked"),
        Script::reply(429, &[("retry-after", "3600")], ""),
        Script::json(429, &json!({"error": {"message": "quota of that model", "code": "insufficient_quota"}})),
        Script::default().cut(),
        Script::reply(200, &[("content-type", "application/json")], "{"),
    ];
    let of = |key: &str| client.clone().header("authorization", &format!("Bearer {key}"));
    let (poisoner, neighbour) = (of("poisoner"), of("neighbour"));
    for (at, script) in refused.into_iter().enumerate() {
        let poison = format!("poison {at}");
        let says = poison.clone();
        a.when(move |request| String::from_utf8_lossy(&request.body).contains(&says), script);
        for _ in 0..6 {
            poisoner.chat("alone", &poison, json!({})).await;
        }
    }
    a.always(Script::says("from a"));
    b.always(Script::says("from b"));
    // The poisoner's own circuit is open: it goes to the fallback, or is told to come back. Everyone else is answered by the primary.
    assert_eq!(poisoner.chat("p", "hi", json!({})).await.ok().content(), "from b");
    let answer = neighbour.chat("p", "hi", json!({})).await.ok();
    assert_eq!((answer.content().as_str(), answer.header("x-cofferdam-attempts")), ("from a", Some("1")));
    assert_eq!(neighbour.chat("alone", "hi", json!({})).await.ok().content(), "from a");
    server.wait_for_log("by poisoner");
}

#[tokio::test]
async fn equals_and_hedges_are_read_from_a_pipeline() {
    let c = Upstream::start().await;
    let pipeline = format!(
        r#"{QUICK}
        [providers.c]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "q"
        pipeline = [ {{ stage = "llm", config = {{
            primary = {{ provider = "a", model = "model-a", weight = 0 }},
            equals = [ {{ provider = "b", model = "model-b", weight = 7 }} ],
            fallbacks = [ {{ provider = "c", model = "model-c" }} ],
            hedge_after = "1ms",
        }} }} ]"#,
        c.url()
    );
    let Gateway { a, b, client, server: _server } = gateway(&pipeline).await;
    b.next(Script::default().hang());
    a.next(Script::says("from a"));
    let answer = client.chat("q", "hi", json!({})).await.ok();
    assert_eq!(answer.content(), "from a");
    let named = ["x-cofferdam-provider", "x-cofferdam-model", "x-cofferdam-attempts"].map(|name| answer.header(name));
    assert_eq!(named, [Some("a"), Some("model-a"), Some("2")]);
    b.hung_up().await;
    assert!(c.requests().is_empty());
}

#[tokio::test]
async fn an_equal_of_an_unknown_provider_is_refused_by_its_path() {
    let Gateway { client, server: _server, .. } = gateway("").await;
    let target = |provider: &str| json!({"provider": provider, "model": "m"});
    let config = json!({"primary": target("a"), "equals": [target("b"), target("nobody")]});
    let answer = client.put("/api/v1/gateway/apis/x/pipeline", &json!([{"stage": "llm", "config": config}])).await;
    assert_eq!(answer.refused(400), "invalid_pipeline");
    assert_eq!(answer.json()["error"]["param"], "pipeline.llm.config.equals[1].provider");
}
