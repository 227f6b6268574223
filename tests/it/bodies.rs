//! What a body may cost: memory, whatever its shape; a share of what all bodies may hold; and the spelling of its fields.
//! Bodies are hostile on purpose. What must be refused is shown not to have reached the provider.

use std::fmt::Write as _;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Answer, Client};
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Upstream};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const EMBEDDINGS: &str = "/v1/embeddings";
const UPLOAD: &str = "/api/v1/gateway/apis/p/knowledge/upload";
const PIPELINE: &str = "/api/v1/gateway/apis/p2/pipeline";

async fn house(limits: &str) -> (Upstream, Server, Client) {
    let upstream = Upstream::start().await;
    let reply = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]});
    upstream.always(Script::json(200, &reply));
    let config = format!(
        r#"
        [limits.http]
        {limits}
        [providers.up]
        kind = "openai"
        base_url = "{}"
        models = ["m"]
        [[embeddings]]
        id = "e"
        provider = "up"
        model = "e"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }} ]
        "#,
        upstream.url()
    );
    // The C library's allocator gives back at once what is large, and keeps one heap.
    let server = Server::with(&config).env("MALLOC_MMAP_THRESHOLD_", "65536").env("MALLOC_TRIM_THRESHOLD_", "65536");
    let server = server.env("MALLOC_ARENA_MAX", "1").start();
    let client = Client::of(server.address);
    (upstream, server, client)
}

async fn post(client: &Client, path: &str, body: impl Into<Bytes>) -> Answer {
    // Without the type for which the client of the tests holds what it sends against the schema: these bodies are wrong on purpose.
    client.send(Method::POST, path, Some("text/json"), body.into()).await
}

/// `begin`, then `element` until there are that many bytes, then `end`.
fn filled(begin: &str, element: &str, end: &str, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + element.len());
    text.push_str(begin);
    while text.len() + element.len() + end.len() <= bytes {
        text.push_str(element);
        text.push(',');
    }
    text.pop();
    text + end
}

fn keys(begin: &str, end: &str, bytes: usize) -> String {
    let mut text = begin.to_owned();
    for n in 0.. {
        if text.len() + end.len() + 16 > bytes {
            break;
        }
        write!(text, "\"{n:x}\":1,").expect("memory");
    }
    text.pop();
    text + end
}

fn user(content: &str) -> [String; 2] {
    let mut parts = content.split("HERE");
    let mut next = || parts.next().unwrap_or_default().to_owned();
    [format!(r#"{{"model":"p","messages":[{{"role":"user","content":"x"}},{}"#, next()), format!("{}]}}", next())]
}

/// Path, method, name and body of everything that was ever worth many times its bytes.
fn hostile(bytes: usize) -> Vec<(&'static str, Method, &'static str, String)> {
    let [begin, end] = user(r#"{"role":"assistant","tool_calls":[HERE]}"#);
    let calls = filled(&begin, "{}", &end, bytes);
    let whole = r#"{"id":"a","function":{"name":"f"}}"#;
    let whole_calls = filled(&begin, whole, &end, bytes);
    let [begin, end] = user(r#"{"role":"user","content":[HERE]}"#);
    let parts = filled(&begin, r#"{"type":""}"#, &end, bytes);
    let texts = filled(&begin, r#"{"type":"text","text":""}"#, &end, bytes);
    let one_part = format!(r#"{begin}{{"type":"text","text":"{}\n"}}{end}"#, "x".repeat(bytes - 200));
    let of_message = |more: &str, fill: &str| {
        let [begin, end] = user(more);
        format!("{begin}{}{end}", fill.repeat((bytes - begin.len() - end.len()) / fill.len()))
    };
    let plain = r#"{"model":"p","messages":[{"role":"user","content":"x"}]"#;
    let field = |name: &str, element: &str, end: &str| filled(&format!("{plain},{name}"), element, end, bytes);
    let raw = |fill: &str| format!("{plain},\"x\":{}", fill.repeat((bytes - 100) / fill.len()));
    let chat = |name, body| (CHAT, Method::POST, name, body);
    let response = |name, body| (RESPONSES, Method::POST, name, body);
    let vectors = |name, body| (EMBEDDINGS, Method::POST, name, body);
    let document = format!("{}\r\n--edge--\r\n", "some words ".repeat((bytes.min(9 << 20) - 200) / 11));
    vec![
        chat("empty tool calls", calls),
        chat("whole tool calls", whole_calls),
        chat("empty parts", parts),
        chat("empty text parts", texts),
        chat("one long part", one_part),
        chat("empty messages", filled("{\"model\":\"p\",\"messages\":[", "{}", "]}", bytes)),
        chat("short messages", filled("{\"model\":\"p\",\"messages\":[", "{\"role\":\"\"}", "]}", bytes)),
        chat("open lists", raw("[")),
        chat("open objects", raw("{\"a\":")),
        chat("escapes", of_message(r#"{"role":"user","content":"HERE"}"#, "\\u0041")),
        chat("halves of characters", of_message(r#"{"role":"user","content":"HERE"}"#, "\\ud800")),
        chat("escapes in a part", of_message(r#"{"role":"user","content":[{"type":"text","text":"HERE"}]}"#, "\\n")),
        chat("keys", keys(&format!("{plain},"), "}", bytes)),
        chat("keys of a message", keys("{\"model\":\"p\",\"messages\":[{\"role\":\"user\",", "}]}", bytes)),
        chat("stops", field("\"stop\":[", "\"\"", "]}")),
        chat("tools", field("\"tools\":[", "{}", "]}")),
        chat("metadata", keys(&format!("{plain},\"metadata\":{{"), "}}", bytes)),
        chat("biases", keys(&format!("{plain},\"logit_bias\":{{"), "}}", bytes)),
        chat("switches", keys(&format!("{plain},\"pipeline\":{{"), "}}", bytes)),
        chat("a list for a switch", field("\"pipeline\":[", "0", "]}")),
        vectors("texts", filled("{\"model\":\"e\",\"input\":[", "\"a\"", "]}", bytes)),
        vectors("tokens", filled("{\"model\":\"nobody\",\"input\":[", "1", "]}", bytes)),
        vectors("lists of tokens", filled("{\"model\":\"e\",\"input\":[", "[1]", "]}", bytes)),
        vectors("a long text", format!("{{\"model\":\"nobody\",\"input\":\"{}\"}}", "x".repeat(bytes - 100))),
        response("items", filled("{\"model\":\"p\",\"input\":[", "{}", "]}", bytes)),
        response("whole items", filled("{\"model\":\"p\",\"input\":[", "{\"role\":\"user\",\"content\":\"\"}", "]}", bytes)),
        response("parts", filled("{\"model\":\"p\",\"input\":[{\"role\":\"user\",\"content\":[", "{\"type\":\"\"}", "]}]}", bytes)),
        response("a long part", {
            let text = "x".repeat(bytes - 200);
            format!(
                "{{\"model\":\"nobody\",\"input\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"input_text\",\"text\":\"{text}\\n\"}}]}}]}}"
            )
        }),
        response("calls", {
            let call = "{\"type\":\"function_call\",\"call_id\":\"\",\"name\":\"\",\"arguments\":\"\"}";
            filled("{\"model\":\"p\",\"input\":[", call, "]}", bytes)
        }),
        response("tools", filled("{\"model\":\"p\",\"input\":\"x\",\"tools\":[", "{\"type\":\"function\",\"name\":\"\"}", "]}", bytes)),
        response("metadata", keys("{\"model\":\"p\",\"input\":\"x\",\"metadata\":{", "}}", bytes)),
        (PIPELINE, Method::PUT, "a pipeline of numbers", filled("{\"pipeline\":[", "0", "]}", bytes)),
        (PIPELINE, Method::PUT, "a pipeline of lists", filled("{\"pipeline\":[", "[]", "]}", bytes)),
        (PIPELINE, Method::PUT, "a pipeline of keys", keys("{", "}", bytes)),
        (
            UPLOAD,
            Method::POST,
            "a document",
            format!("--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.md\"\r\n\r\n{document}"),
        ),
    ]
}

/// Bodies with as much in them as is taken, and how many values that is.
fn at_the_edge() -> Vec<(&'static str, &'static str, String, usize)> {
    let list = |count: usize, element: &str| vec![element; count].join(",");
    let [begin, end] = user(r#"{"role":"assistant","tool_calls":[HERE]}"#);
    let calls = format!("{begin}{}{end}", list(10_000, r#"{"id":"","function":{"name":""}}"#));
    let [begin, end] = user(r#"{"role":"user","content":[HERE]}"#);
    let parts = format!("{begin}{}{end}", list(20_000, r#"{"type":"text","text":""}"#));
    let messages = format!(r#"{{"model":"p","messages":[{}]}}"#, list(10_000, r#"{"role":"","content":""}"#));
    let plain = r#"{"model":"p","messages":[{"role":"user","content":"x"}]"#;
    let fields: Vec<_> = (0..20_000).map(|n| format!("\"{n:x}\":1")).collect();
    let fields = format!("{plain},{}}}", fields.join(","));
    let stops = format!("{plain},\"stop\":[{}]}}", list(99_000, "\"\""));
    let items = format!(r#"{{"model":"p","input":[{}]}}"#, list(9_000, r#"{"role":"user","content":[{"type":"input_text","text":"x"}]}"#));
    vec![
        (CHAT, "calls", calls, 40_000),
        (CHAT, "parts", parts, 60_000),
        (CHAT, "messages", messages, 30_000),
        (CHAT, "fields", fields, 20_000),
        (CHAT, "stops", stops, 99_000),
        (RESPONSES, "items", items, 60_000),
    ]
}

/// Bytes of memory that the process has had at once since the last time that it was asked to forget, or since its start.
#[cfg(target_os = "linux")]
fn peak(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number") << 10
}

/// By how much the server's memory grows at most while it answers. It gives freed memory back at once in these tests, so that a later body
/// does not hide in an earlier one's.
#[cfg(target_os = "linux")]
async fn growth(server: &Server, client: &Client, method: Method, path: &str, body: String) -> (usize, Answer) {
    let media = if path == UPLOAD { "multipart/form-data; boundary=edge" } else { "text/json" };
    std::fs::write(format!("/proc/{}/clear_refs", server.id()), "5").expect("a process of ours");
    let before = peak(server);
    let answer = client.send(method, path, Some(media), body.into()).await;
    (peak(server).saturating_sub(before), answer)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_shape_of_a_body_takes_more_than_four_times_its_bytes() {
    const BYTES: usize = 15 << 20;
    let (_upstream, server, client) = house("").await;
    client.chat("p", "warm", json!({})).await.ok();
    for (path, method, name, body) in hostile(BYTES) {
        let length = body.len();
        let (grown, answer) = growth(&server, &client, method, path, body).await;
        println!("{path} {name}: {} KiB, {}", grown >> 10, answer.status);
        assert!(grown <= 4 * length, "{path} {name}: {} MiB of {} MiB, {}", grown >> 20, length >> 20, answer.status);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_taken_takes_no_more_than_four_times_what_it_reserved_and_never_much() {
    let (_upstream, server, client) = house("").await;
    client.chat("p", "warm", json!({})).await.ok();
    for (path, name, body, values) in at_the_edge() {
        let reserved = body.len() + 128 * values;
        let (grown, answer) = growth(&server, &client, Method::POST, path, body).await;
        println!("{path} {name}: {} KiB of {} KiB, {}", grown >> 10, reserved >> 10, answer.status);
        answer.ok();
        assert!(grown <= 16 << 20, "{path} {name}: {} KiB", grown >> 10);
        assert!(grown <= 4 * reserved, "{path} {name}: {} KiB of {} KiB", grown >> 10, reserved >> 10);
    }
}

#[tokio::test]
async fn a_body_over_a_count_is_refused_by_the_name_of_the_place_and_of_the_key() {
    let limits = "messages = 3\nparts = 4\ntool_calls = 3\ntools = 3\nbody_depth = 10\nbody_values = 100\nembedding_inputs = 3";
    let (upstream, _server, client) = house(limits).await;
    let list = |count: usize, element: &str| vec![element; count].join(",");
    let messages = |count| format!(r#"{{"model":"p","messages":[{}]}}"#, list(count, r#"{"role":"user","content":"x"}"#));
    let parts =
        |count| format!(r#"{{"model":"p","messages":[{{"role":"user","content":[{}]}}]}}"#, list(count, r#"{"type":"text","text":"x"}"#));
    let calls = |count| {
        let call = r#"{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}"#;
        format!(r#"{{"model":"p","messages":[{{"role":"assistant","tool_calls":[{}]}}]}}"#, list(count, call))
    };
    let plain = r#"{"model":"p","messages":[{"role":"user","content":"x"}]"#;
    let tools = |count| format!(r#"{plain},"tools":[{}]}}"#, list(count, r#"{"type":"function","function":{"name":"f"}}"#));
    let values = |count| format!(r#"{plain},"seen":[{}]}}"#, list(count, "1"));
    let deep = |count: usize| format!(r#"{plain},"deep":{}{}}}"#, "[".repeat(count), "]".repeat(count));
    let items = |count| format!(r#"{{"model":"p","input":[{}]}}"#, list(count, r#"{"role":"user","content":"x"}"#));
    type Body<'a> = &'a dyn Fn(usize) -> String;
    let cases: [(&str, Body<'_>, usize, &str, &str); 7] = [
        (CHAT, &messages, 3, "messages", "limits.http.messages"),
        (CHAT, &parts, 4, "messages", "limits.http.parts"),
        (CHAT, &calls, 3, "messages", "limits.http.tool_calls"),
        (CHAT, &tools, 3, "tools", "limits.http.tools"),
        (CHAT, &values, 93, "seen", "limits.http.body_values"),
        (CHAT, &deep, 9, "deep[0][0][0][0][0][0][0][0][0]", "limits.http.body_depth"),
        (RESPONSES, &items, 3, "input", "limits.http.messages"),
    ];
    for (path, body, most, param, key) in cases {
        post(&client, path, body(most)).await.ok();
        let asked = upstream.requests().len();
        let refused = post(&client, path, body(most + 1)).await;
        assert_eq!((refused.refused(400).as_str(), &refused.json()["error"]["param"]), ("invalid_value", &json!(param)));
        assert!(refused.text().contains(key), "{refused:?}");
        assert_eq!(upstream.requests().len(), asked, "what is refused reaches nobody");
    }
    let texts = |count| format!(r#"{{"model":"e","input":[{}]}}"#, list(count, "\"a\""));
    assert_eq!(post(&client, EMBEDDINGS, texts(4)).await.refused(400), "invalid_value");
    assert_ne!(post(&client, EMBEDDINGS, texts(3)).await.status, 400);
}

#[tokio::test]
async fn bodies_share_what_they_may_hold_and_what_is_given_back_is_free() {
    let (_upstream, server, client) = house("bodies_bytes = \"1MiB\"\nbody_time = \"10m\"").await;
    let open = |announced: usize| {
        let address = server.address;
        async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let head = format!(
                "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {announced}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("it reads");
            let mut read = [0; 12];
            tokio::time::timeout(PATIENCE, stream.read_exact(&mut read)).await.expect("in time").expect("a line");
            (stream, String::from_utf8_lossy(&read).into_owned())
        }
    };
    // Three quarters of a mebibyte are what a client that is alone may have; the leave to send comes after the bytes are reserved.
    let (first, leave) = open(700 << 10).await;
    assert_eq!(leave, "HTTP/1.1 100");
    let (_, refused) = open(100 << 10).await;
    assert_eq!(refused, "HTTP/1.1 503");
    let large = json!({"model": "p", "messages": [{"role": "user", "content": "x".repeat(200 << 10)}]}).to_string();
    let answer = post(&client, CHAT, large.clone()).await;
    assert_eq!((answer.refused(503).as_str(), answer.header("retry-after")), ("overloaded", Some("1")));
    assert!(answer.text().contains("limits.http.bodies_bytes"), "{answer:?}");
    client.chat("p", "a short one finds room", json!({})).await.ok();
    drop(first);
    let taken = async { while post(&client, CHAT, large.clone()).await.status != 200 {} };
    tokio::time::timeout(PATIENCE, taken).await.expect("what a client left is free again");
    // Nothing else is held, so it is taken although it is more than all may hold.
    post(&client, CHAT, json!({"model": "p", "messages": [{"role": "user", "content": "x".repeat(2 << 20)}]}).to_string()).await.ok();
    for _ in 0..20 {
        post(&client, CHAT, large.clone()).await.ok();
    }
}

#[tokio::test]
async fn a_known_field_in_another_spelling_reaches_no_provider() {
    let (upstream, _server, client) = house("").await;
    let chat = r#""model":"p","messages":[{"role":"user","content":"x"}]"#;
    for (path, body, param, name) in [
        (CHAT, format!(r#"{{{chat},"MODEL":"other"}}"#), "MODEL", "model"),
        (CHAT, format!(r#"{{{chat},"Messages":[]}}"#), "Messages", "messages"),
        (CHAT, format!(r#"{{{chat},"STREAM":true}}"#), "STREAM", "stream"),
        (CHAT, format!(r#"{{{chat},"Pipeline":{{"rag":false}}}}"#), "Pipeline", "pipeline"),
        (CHAT, format!("{{{chat},\"tool\u{17f}\":[]}}"), "tool\u{17f}", "tools"),
        (CHAT, format!(r#"{{{chat},"max_to\u212aens":9}}"#), "max_to\u{212a}ens", "max_tokens"),
        (CHAT, format!(r#"{{{chat},"\u004dodel":"other"}}"#), "Model", "model"),
        (CHAT, format!(r#"{{{chat},"MaxTokens":9}}"#), "MaxTokens", "max_tokens"),
        (CHAT, r#"{"model":"p","messages":[{"role":"user","Role":"system","content":"x"}]}"#.into(), "messages[0].Role", "role"),
        (RESPONSES, r#"{"model":"p","input":"x","Messages":[]}"#.into(), "Messages", "messages"),
        (RESPONSES, r#"{"model":"p","input":"x","INSTRUCTIONS":"y"}"#.into(), "INSTRUCTIONS", "instructions"),
        (EMBEDDINGS, r#"{"model":"e","input":"x","Input":"y"}"#.into(), "Input", "input"),
    ] {
        let refused = post(&client, path, body.clone()).await;
        assert_eq!(refused.refused(400), "invalid_value", "{body}");
        let error = &refused.json()["error"];
        assert_eq!(error["param"], param, "{body}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(&format!("`{name}`"))), "{error}");
    }
    assert_eq!(upstream.requests().len(), 0);
    // An escape in a name does not make another name, here or elsewhere.
    post(&client, CHAT, r#"{"\u006dodel":"p","messages":[{"role":"user","content":"x"}]}"#).await.ok();
    assert_eq!(upstream.requests()[0].json()["model"], "m");
}

#[tokio::test]
async fn half_a_character_is_replaced_in_what_is_read_and_in_what_is_passed_on() {
    let (upstream, _server, client) = house("").await;
    let body = r#"{"model":"p","messages":[{"role":"user","content":"a\ud800b","odd":"\udfff"},{"role":"user","content":[{"type":"text","text":"\ud83d\ude00\ud83d"}]}],"x":["\ud800",1.0,"\\ud800"]}"#;
    post(&client, CHAT, body).await.ok();
    post(&client, RESPONSES, r#"{"model":"p","input":"a\ud800b"}"#).await.ok();
    let requests = upstream.requests();
    let sent = requests[0].json();
    assert_eq!(sent["messages"][0]["content"], "a\u{fffd}b");
    assert_eq!(sent["messages"][0]["odd"], "\u{fffd}");
    assert_eq!(sent["messages"][1]["content"][0]["text"], "\u{1f600}\u{fffd}");
    assert_eq!(sent["x"], json!(["\u{fffd}", 1.0, "\\ud800"]));
    assert!(String::from_utf8_lossy(&requests[0].body).contains(r#"["\ufffd",1.0,"\\ud800"]"#), "the rest is as it was written");
    assert_eq!(requests[1].json()["messages"][0]["content"], "a\u{fffd}b");
}

#[tokio::test]
async fn a_large_body_leaves_as_a_small_one_does() {
    let (upstream, _server, client) = house("parses = 1").await;
    let content = "word ".repeat(200_000);
    let all = (0..4).map(|_| post(&client, CHAT, json!({"model": "p", "messages": [{"role": "user", "content": content}]}).to_string()));
    for answer in futures_util::future::join_all(all).await {
        answer.ok();
    }
    assert!(upstream.requests().iter().all(|request| request.json()["messages"][0]["content"] == content));
    let refused = post(&client, CHAT, json!({"model": "p", "messages": [{"role": 1, "content": content}]}).to_string()).await;
    assert_eq!((refused.refused(400).as_str(), &refused.json()["error"]["param"]), ("invalid_value", &json!("messages[0].role")));
}

#[tokio::test]
async fn a_provider_s_reply_of_very_many_things_is_garbled_and_one_of_many_probabilities_is_not() {
    let (upstream, _server, client) = house("").await;
    let reply = |calls: &str, logprobs: &str| {
        let text = format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":null,"tool_calls":[{calls}]}},"logprobs":{{"content":[{logprobs}]}},"finish_reason":"stop"}}]}}"#
        );
        Script::default().raw(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}", text.len()))
    };
    let many = |count: usize| vec!["{}"; count].join(",");
    upstream.next(reply(&many(10_000), &many(200_000)));
    let answer = asked_directly(&client, &upstream).await;
    answer.ok();
    for _ in 0..3 {
        upstream.next(reply(&many(10_001), ""));
    }
    assert_eq!(asked_directly(&client, &upstream).await.refused(502), "provider_garbled");
}

/// A question that gets the next script and no standing answer.
async fn asked_directly(client: &Client, upstream: &Upstream) -> Answer {
    upstream.forget_responders();
    let body: Value = json!({"model": "p", "messages": [{"role": "user", "content": "x"}]});
    post(client, CHAT, body.to_string()).await
}
