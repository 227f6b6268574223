//! Traces at a collector: one chat is one trace, whatever the log's filter; a collector that is dead or silent costs spans and nothing else.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Upstream};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const KEYS: [(&str, &str); 3] =
    [("KEY_A", "sk-of-a-0123456789"), ("KEY_B", "sk-of-b-0123456789"), ("OTLP_HEADERS", "authorization=Bearer%20of-the-collector")];

/// A server that asks `a`, then `b`, and sends its traces to `endpoint`.
fn server(a: &Upstream, b: &Upstream, endpoint: &str, more: &str) -> Server {
    let config = format!(
        r#"
        [telemetry]
        otlp_endpoint = "{endpoint}"
        service_name = "gateway-1"
        {more}
        [limits.providers]
        retries = 0
        circuit_failures = 0
        [providers.a]
        kind = "openai"
        base_url = "{}"
        [providers.b]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{
            primary = {{ provider = "a", model = "model-a", secret_key_name = "KEY_A" }},
            fallbacks = [ {{ provider = "b", model = "model-b", secret_key_name = "KEY_B" }} ],
        }} }} ]
        "#,
        a.url(),
        b.url()
    );
    let server = Server::with(&config).env("COFFERDAM_LOG", "warn");
    KEYS.into_iter().fold(server, |server, (name, value)| server.env(name, value)).start_loading()
}

fn endpoint(collector: &Upstream) -> String {
    collector.url().trim_end_matches("/v1").to_owned()
}

fn attribute(span: &Value, key: &str) -> Value {
    let all = span["attributes"].as_array().expect("attributes");
    let value = all.iter().find(|attribute| attribute["key"] == key).map(|attribute| attribute["value"].as_object().expect("a value"));
    value.and_then(|value| value.values().next()).cloned().unwrap_or_default()
}

/// The spans of every batch so far.
fn spans(collector: &Upstream) -> Vec<Value> {
    let spans = |request: &crate::upstream::Request| {
        assert_eq!((request.path.as_str(), request.header("content-type")), ("/v1/traces", Some("application/json")));
        let json = request.json();
        assert_eq!(attribute(&json["resourceSpans"][0]["resource"], "service.name"), "gateway-1");
        json["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("spans").clone()
    };
    collector.requests().iter().flat_map(spans).collect()
}

/// The last spans are sent when the server stops, so that nobody has to wait for `otlp_delay`.
#[tokio::test(flavor = "multi_thread")]
async fn a_chat_with_a_fallback_is_one_trace_without_content_or_keys() {
    let (a, b, collector) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    a.always(Script::json(503, &json!({"error": {"message": "the words of a provider"}})));
    b.always(Script::says("what the model said"));
    collector.always(Script::json(200, &json!({})));
    let mut server = server(&a, &b, &endpoint(&collector), "otlp_delay = \"1m\"\notlp_headers_secret = \"OTLP_HEADERS\"");
    let client = Client::of(server.address).header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    client.chat("p", "what the client said", json!({})).await.ok();
    server.terminate();
    assert!(server.wait().success());

    let spans = spans(&collector);
    let [first, second, request] = &spans[..] else { panic!("three spans: {spans:#?}") };
    assert!(spans.iter().all(|span| span["traceId"] == TRACE), "{spans:#?}");
    assert_eq!(
        (&request["parentSpanId"], &request["name"], &request["kind"]),
        (&json!(PARENT), &json!("POST chat_completions"), &json!(2))
    );
    assert_eq!(attribute(request, "http.request.method"), "POST");
    assert_eq!(attribute(request, "http.response.status_code"), "200");
    assert_eq!(attribute(request, "cofferdam.pipeline"), "p");
    for (span, provider, attempt, upstream) in [(first, "a", "1", &a), (second, "b", "2", &b)] {
        assert_eq!(
            (&span["parentSpanId"], &span["kind"], &span["name"]),
            (&request["spanId"], &json!(3), &json!(format!("chat model-{provider}")))
        );
        for (key, value) in [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", &format!("model-{provider}")),
            ("cofferdam.provider", provider),
            ("cofferdam.attempt", attempt),
            ("server.address", "127.0.0.1"),
            ("server.port", upstream.url().rsplit([':', '/']).nth(1).expect("a port")),
        ] {
            assert_eq!(attribute(span, key), value, "{key}");
        }
    }
    assert_eq!((attribute(first, "error.type"), &first["status"]["code"]), (json!("503"), &json!(2)));
    assert_eq!((attribute(second, "error.type"), second.get("status")), (Value::Null, None));

    assert_eq!((attribute(first, "gen_ai.response.model"), attribute(second, "gen_ai.response.model")), (Value::Null, json!("fake")));
    assert!(attribute(second, "gen_ai.response.finish_reasons").to_string().contains("\"stop\""), "{second:#?}");

    assert!(collector.requests().iter().all(|request| request.header("authorization") == Some("Bearer of-the-collector")));
    assert!(!server.output().contains("of-the-collector"));
    let sent = String::from_utf8(collector.requests().iter().flat_map(|request| request.body.clone()).collect()).expect("UTF-8");
    for private in ["what the client said", "what the model said", "the words of a provider", KEYS[0].1, KEYS[1].1, "of-the-collector"] {
        assert!(!sent.contains(private), "{private} is in {sent}");
    }
    for request in a.requests().iter().chain(&b.requests()) {
        assert_eq!(request.header("traceparent"), None, "a provider is not told of the client's trace");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_or_silent_collector_costs_spans_and_nothing_else() {
    let (a, b, silent) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    a.always(Script::says("fine"));
    silent.always(Script::default().hang());
    // Bound, so that no other test gets the port.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let dead = format!("http://{}", socket.local_addr().expect("bound"));
    for endpoint in [dead, endpoint(&silent)] {
        let mut server = server(&a, &b, &endpoint, "otlp_delay = \"0s\"\notlp_timeout = \"50ms\"\notlp_queue = 1");
        let client = Client::of(server.address);
        let dropped = async {
            while !client.get("/metrics").await.ok().text().contains("cofferdam_otlp_spans_total{outcome=\"dropped\"}") {
                client.chat("p", "hi", json!({})).await.ok();
            }
        };
        tokio::time::timeout(PATIENCE, dropped).await.expect("drops are counted");
        server.terminate();
        assert!(server.wait().success());
        assert_eq!(server.output().matches("spans are dropped until").count(), 1, "it is said once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_have_the_names_of_the_convention() {
    let (a, b, collector) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    a.always(Script::reply(503, &[], ""));
    b.next(Script::says("fine")).next(Script::streams(&["fine"]));
    collector.always(Script::json(200, &json!({})));
    let server = server(&a, &b, &endpoint(&collector), "");
    let client = Client::of(server.address);
    client.chat("p", "hi", json!({})).await.ok();
    let metrics = client.get("/metrics").await.ok().text();
    let count = |model: &str, error: &str| {
        format!(
            "gen_ai_client_operation_duration_seconds_count{{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"openai\",\
             gen_ai_request_model=\"{model}\",error_type=\"{error}\"}} 1"
        )
    };
    client.chat_stream("p", "hi", json!({})).await.all().await.expect("a whole stream");
    let metrics = metrics + &client.get("/metrics").await.ok().text();
    let first = "gen_ai_client_operation_time_to_first_chunk_seconds_count{gen_ai_operation_name=\"chat\",\
                 gen_ai_provider_name=\"openai\",gen_ai_request_model=\"model-b\"} 1";
    for line in [count("model-b", ""), count("other", "status"), first.to_owned()] {
        assert!(metrics.lines().any(|l| l == line), "no {line} in\n{metrics}");
    }
}
