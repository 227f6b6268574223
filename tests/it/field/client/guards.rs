//! Cases that were right when they came in, and stay so.

use hyper::Method;
use serde_json::{Value, json};

use super::{House, house, last_sent, of_anthropic, of_gemini, reply, said};
use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Script, Upstream};

/// The hash of the key `k`.
const KEY: &str = "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a";

/// Case 20: `tools: []` is sent always, and strict providers refuse it.
#[tokio::test]
async fn an_empty_list_of_tools_reaches_no_vendor_of_another_dialect() {
    let House { op, an, ge, client, _server } = house().await;
    op.answer_with(|request| reply(request, &said("ok"), "stop"));
    an.answer_with(|request| of_anthropic(request, &[json!({"type": "text", "text": "ok"})], "end_turn"));
    ge.answer_with(|request| of_gemini(request, &[json!({"text": "ok"})]));
    for extra in [
        json!({"tools": []}),
        json!({"tools": [], "tool_choice": "auto"}),
        json!({"tools": null, "tool_choice": null}),
        json!({"tool_choice": "none"}),
        json!({"tools": [], "parallel_tool_calls": false}),
    ] {
        for (model, upstream) in [("an/claude-sonnet-4-5", &an), ("ge/gemini-2.5-flash", &ge)] {
            client.chat(model, "hi", extra.clone()).await.ok();
            let sent = last_sent(upstream);
            assert!(["tools", "tool_choice", "toolConfig"].iter().all(|name| sent.get(name).is_none()), "{extra} {sent}");
        }
    }
    let body = json!({"model": "op/m", "input": "hi", "tools": [], "tool_choice": "auto", "parallel_tool_calls": true});
    client.post("/v1/responses", &body).await.ok();
    let sent = last_sent(&op);
    assert!(["tools", "tool_choice", "parallel_tool_calls"].iter().all(|name| sent.get(name).is_none()), "{sent}");
}

/// Case 38, but that the operator names the page: see decision 038.
#[tokio::test]
async fn a_page_of_a_named_origin_gets_past_the_preflight_with_the_headers_of_the_official_client() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("ok"));
    let config = format!(
        "[http]\ncors_origins = [\"https://app.example\"]\n[keys]\nclient = [{{ name = \"web\", sha256 = \"{KEY}\" }}]\n\
         [providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\nmodels = [\"*\"]\n",
        upstream.url()
    );
    let server = Server::with(&config).start();
    let page = || Client::of(server.address).header("origin", "https://app.example");
    let asks = page().header("access-control-request-method", "POST");
    let asks = asks.header("access-control-request-headers", "authorization,content-type,x-stainless-os,x-stainless-retry-count");
    let preflight = asks.send(Method::OPTIONS, "/v1/chat/completions", None, bytes::Bytes::new()).await;
    let allowed = preflight.header("access-control-allow-headers").unwrap_or_default();
    assert!(preflight.status.is_success() && (allowed.contains("x-stainless-os") || allowed == "*"), "{preflight:?}");
    let answer = page().header("authorization", "Bearer k").chat("up/m", "hi", json!({})).await.ok();
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
}

/// Case 57: many at once, and failed ones, count against a key's requests.
#[tokio::test]
async fn requests_at_once_and_failed_ones_count_against_the_limit_of_a_key() {
    let upstream = Upstream::start().await;
    upstream.always(Script::json(400, &json!({"error": {"message": "no", "type": "invalid_request_error"}})));
    let config = format!(
        "[keys]\nclient = [{{ name = \"a\", sha256 = \"{KEY}\", limits = {{ requests_per_minute = 2 }} }}]\n\
         [providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\nmodels = [\"*\"]\n",
        upstream.url()
    );
    let server = Server::with(&config).start();
    let address = server.address;
    let one = async move || Client::of(address).header("authorization", "Bearer k").chat("up/m", "hi", json!({})).await;
    let answers = futures_util::future::join_all((0..12).map(|_| one())).await;
    let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    // One more may come in while the minute goes on.
    assert!((2..=3).contains(&of(400)) && of(400) + of(429) == 12, "{} came in", of(400));
    let late = answers.iter().find(|answer| answer.status == 429).expect("one that was refused");
    assert_eq!((late.refused(429).as_str(), late.header("retry-after").is_some()), ("rate_limit_exceeded", true));
}

fn knowledge() -> (Server, Client) {
    let config = "[[pipelines]]\nid = \"p\"\npipeline = [ { stage = \"rag\", config = { top_k = 50, score_threshold = 0.0 } }, \
        { stage = \"llm\", config = { primary = { provider = \"builtin\", model = \"quote\" } } } ]\n";
    let server = Server::with(config).start();
    let client = Client::of(server.address);
    (server, client)
}

async fn found(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.post("/api/v1/gateway/apis/p/knowledge/test", &json!({"query": query, "top_k": 50})).await.ok().json();
    answer["data"].as_array().expect("a list").clone()
}

/// Case 50: files of Windows.
#[tokio::test]
async fn a_text_with_a_mark_is_taken_without_it_and_one_of_another_encoding_is_read_in_it() {
    let (_server, client) = knowledge();
    let text = "Die Größe der Pumpe beträgt zwölf Liter.\r\n";
    client.upload("p", "mark.txt", format!("\u{feff}{text}").as_bytes()).await.ok();
    let hits = found(&client, "Wie groß ist die Pumpe?").await;
    assert!(hits[0]["text"].as_str().is_some_and(|text| text.contains("Größe") && !text.contains('\u{feff}')), "{hits:?}");
    let utf16: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let windows_1252: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin")).collect();
    for bytes in [utf16, windows_1252] {
        client.upload("p", "mark.txt", &bytes).await.ok();
        let hits = found(&client, "Wie groß ist die Pumpe?").await;
        assert_eq!(hits[0]["text"], text.trim_end(), "{hits:?}");
    }
}

/// Case 51: one content under two names is two documents; one name at once many times is one.
#[tokio::test]
async fn the_same_content_may_have_two_names_and_one_name_has_its_chunks_once() {
    let (server, client) = knowledge();
    for name in ["a.txt", "b.txt"] {
        client.upload("p", name, b"The harbour opens at six.").await.ok();
    }
    assert_eq!(found(&client, "When does the harbour open?").await.len(), 2);
    let text = "The lighthouse is red and white. ".repeat(50);
    let uploads = (0..6).map(|_| async { Client::of(server.address).upload("p", "race.txt", text.as_bytes()).await.status.as_u16() });
    let statuses = futures_util::future::join_all(uploads).await;
    assert!(statuses.contains(&200) && statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    let places: Vec<Value> = found(&client, "What colour is the lighthouse?")
        .await
        .into_iter()
        .filter(|hit| hit["source"] == "race.txt")
        .map(|hit| hit["ordinal"].clone())
        .collect();
    let distinct: std::collections::HashSet<String> = places.iter().map(Value::to_string).collect();
    assert!(!places.is_empty() && distinct.len() == places.len(), "{places:?}");
}

/// Case 52: one empty file among many is named, and so is what was stored before it.
#[tokio::test]
async fn an_empty_file_among_others_is_named_with_what_was_stored() {
    let (_server, client) = knowledge();
    for empty in ["", " \r\n\t\n", "\u{feff}"] {
        let part = |name: &str, text: &str| {
            format!("--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let body = [part("one.txt", "One is here."), part("void.txt", empty), part("three.txt", "Three."), "--edge--\r\n".into()].concat();
        let path = "/api/v1/gateway/apis/p/knowledge/upload";
        let refused = client.send(Method::POST, path, Some("multipart/form-data; boundary=edge"), body.into()).await;
        let text = refused.text();
        assert!(refused.status.is_client_error() && text.contains("void.txt") && text.contains("one.txt"), "{empty:?} {text}");
    }
}

/// Case 55: a file of one line, in words or without a blank.
#[tokio::test]
async fn the_end_of_a_file_of_one_line_is_found() {
    let (_server, client) = knowledge();
    let words: String = (0..600).map(|n| format!("item{n} ")).collect();
    for (name, text, query, end) in [
        ("line.txt", words + "The treasure lies under the old oak.", "Where is the treasure?", "oak"),
        ("cjk.txt", "港口六点开门。".repeat(150) + "宝藏在老橡树下面。", "宝藏在哪里？", "老橡树"),
    ] {
        client.upload("p", name, text.as_bytes()).await.ok();
        assert!(found(&client, query).await.iter().any(|hit| hit["text"].as_str().is_some_and(|text| text.contains(end))), "{name}");
    }
}
