//! What a provider is sent and how connections are used.

use cofferdam::chat::codec;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::upstream::{Script, Signal, delta};

#[tokio::test]
async fn the_request_is_openais_with_unknown_fields_and_only_our_headers() {
    let upstream = Upstream::start().await;
    upstream.next(Script::says("hi"));
    let mut exchange = exchange();
    exchange.params.push(("seed".into(), codec::json("12345678901234567890".into()).expect("JSON")));
    let a = Target { secret_key_name: Some("KEY_A".into()), ..target("a") };
    let answer = llm(&[&upstream]).answer(&[a], &exchange, Mode::Whole).await.expect("an answer");
    assert_eq!((text_of(&answer), &*answer.provider, &*answer.model, answer.attempts), ("hi".into(), "a", "model-a", 1));
    let request = upstream.requests().remove(0);
    assert_eq!((&*request.method, &*request.path), ("POST", "/v1/chat/completions"));
    let expected = r#"{"model":"model-a","messages":[{"role":"user","content":"hello"}],"stream":false,"seed":12345678901234567890}"#;
    assert_eq!(String::from_utf8_lossy(&request.body), expected);
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent"]);
    assert_eq!(request.header("authorization"), Some(&*format!("Bearer {KEY}")));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert!(upstream.url().contains(request.header("host").expect("a host")));
}

#[tokio::test]
async fn a_stream_is_asked_for_with_its_options_and_without_a_secret_there_is_no_authorization() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["hi"]));
    let mut exchange = exchange();
    exchange.params.push(("stream_options".into(), codec::json(r#"{"include_usage":true}"#.into()).expect("JSON")));
    llm(&[&upstream]).answer(&[target("a")], &exchange, Mode::Stream).await.expect("an answer");
    let request = upstream.requests().remove(0);
    assert_eq!((&request.json()["stream"], &request.json()["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
    assert_eq!(request.header("authorization"), None);
}

#[tokio::test]
async fn a_pre_hooks_model_replaces_the_primarys_and_no_fallbacks() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.next(Script::reply(503, &[], ""));
    b.next(Script::says("hi"));
    let exchange = Exchange { model: Some("chosen".into()), ..exchange() };
    let answer = llm(&[&a, &b]).answer(&[target("a"), target("b")], &exchange, Mode::Whole).await.expect("an answer");
    assert_eq!((&*answer.provider, &*answer.model), ("b", "model-b"));
    assert_eq!((a.requests()[0].json()["model"].clone(), b.requests()[0].json()["model"].clone()), (json!("chosen"), json!("model-b")));
}

#[tokio::test]
async fn a_whole_reply_in_many_reads_is_put_together() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    let reply = Script::chunked(200, &[("content-type", "application/json; charset=utf-8")]);
    upstream.next(reply.piece(r#"{"choices":[{"mess"#).wait(&signal).piece(r#"age":{"content":"caf"#).piece("é\"}}").piece("]}").end());
    let llm = llm(&[&upstream]);
    let (chain, exchange) = ([target("a")], exchange());
    let (answer, ()) = tokio::join!(llm.answer(&chain, &exchange, Mode::Whole), async {
        upstream.received().await;
        signal.fire();
    });
    assert_eq!(text_of(&answer.expect("an answer")), "café");
}

#[tokio::test]
async fn one_connection_serves_replies_streams_and_errors_in_turn() {
    let upstream = Upstream::start().await;
    upstream.next(Script::says("one")).next(Script::streams(&["two", "three"])).next(Script::reply(500, &[], "four"));
    // Ends its stream a moment after `[DONE]`.
    let signal = Signal::default();
    upstream.next(Script::stream().event(&delta("five")).event("[DONE]").wait(&signal).end()).next(Script::says("six"));
    let llm = llm(&[&upstream]);
    llm.answer(&[target("a")], &exchange(), Mode::Whole).await.expect("one");
    drain(streamed(&llm).await).await;
    assert!(matches!(failure(&llm, Mode::Whole).await, Error::Status { status: 500, .. }));
    let five = streamed(&llm).await;
    signal.fire();
    drain(five).await;
    llm.answer(&[target("a")], &exchange(), Mode::Whole).await.expect("six");
    assert_eq!((upstream.connections(), upstream.requests().len()), (1, 5));
}

#[tokio::test]
async fn a_connection_that_its_provider_closes_is_not_used_again() {
    let upstream = Upstream::start().await;
    let body = r#"{"choices":[{"message":{"role":"assistant","content":"bye"},"finish_reason":"stop"}]}"#;
    upstream.next(Script::reply(200, &[("connection", "close")], body).cut()).next(Script::says("hi"));
    let llm = llm(&[&upstream]);
    for expected in ["bye", "hi"] {
        let answer = llm.answer(&[target("a")], &exchange(), Mode::Whole).await.expect("an answer");
        assert_eq!(text_of(&answer), expected);
    }
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_provider_that_does_not_speak_tls_cannot_be_reached_over_https() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base_url = format!("https://{}/v1", listener.local_addr().expect("bound"));
    let mut config = Config { limits: once(), ..Config::default() };
    config.providers.insert("a".into(), ProviderConfig::new(Kind::OpenAi, base_url));
    let llm = Llm::new(config, Arc::new(|_| Err(cofferdam::llm::MissingSecret::NotSet)), Arc::new(())).expect("a URL");
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("room in the buffer");
        stream
    });
    let error = failure(&llm, Mode::Whole).await;
    plain.abort();
    // The second on a machine that trusts nobody.
    let causes = ["corrupt message", "no valid native root"];
    assert!(matches!(&error, Error::Unreachable { cause, .. } if causes.iter().any(|part| cause.contains(part))), "{error}");
}

#[test]
fn a_base_url_that_is_none_is_refused_at_once_and_a_fine_one_loads_nothing() {
    for base_url in ["", "ftp://x/v1", "localhost:8000", "/v1", "http://"] {
        let entry = ProviderConfig::new(Kind::OpenAi, base_url);
        let config = Config { providers: [("odd".to_owned(), entry)].into(), ..Config::default() };
        let Err(error) = Llm::new(config, Arc::new(|_| Err(cofferdam::llm::MissingSecret::NotSet)), Arc::new(())) else {
            panic!("{base_url} must be refused")
        };
        assert!(error.to_string().contains("`odd`") && error.to_string().contains("base_url"), "{error}");
    }
    // Without a runtime: nothing is connected, read or spawned.
    let llm =
        Llm::new(Config::default(), Arc::new(|_| Err(cofferdam::llm::MissingSecret::NotSet)), Arc::new(())).expect("the defaults are fine");
    assert_eq!(llm.names(), ["anthropic", "builtin", "gemini", "openai", "plugin"]);
    assert!(llm.knows("openai") && !llm.knows("other"));
}

#[tokio::test]
async fn the_built_in_answerer_needs_no_provider() {
    let answer = llm(&[]).answer(&[target("builtin")], &exchange(), Mode::Whole).await.expect("an answer");
    let Reply::Whole(Whole::Parsed(completion)) = answer.reply else { panic!("must be parsed") };
    assert!(completion.choices[0].message.joined_text().contains("no language model"));
}
