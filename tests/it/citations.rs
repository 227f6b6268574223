//! What an answer says of the documents that it names: in both APIs, whole and as a stream, before the hooks on the reply see it.

use hyper::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Script, Upstream};

/// A server whose model `p` cites, whose model `off` does not, and whose model `h` has a hook that sees the whole reply.
async fn server(upstream: &Upstream) -> (Server, Client) {
    let mut config = format!("[providers.a]\nkind = \"openai\"\nbase_url = \"{}\"\n", upstream.url());
    let llm = "{ stage = \"llm\", config = { primary = { provider = \"a\", model = \"m\" } } }";
    for (id, more, hook) in [
        ("p", "", ""),
        ("off", ", citations = false", ""),
        ("h", "", ", { stage = \"post_hook\", config = { function_ids = [\"redact-pii\", \"noop-post\"] } }"),
        ("s", "", ", { stage = \"post_hook\", config = { function_id = \"redact-pii\" } }"),
    ] {
        config += &format!(
            "[[pipelines]]\nid = \"{id}\"\npipeline = [ {{ stage = \"rag\", config = {{ top_k = 2, score_threshold = 0.0{more} }} }}, {llm}{hook} ]\n"
        );
    }
    let server = Server::with(&config).plugin("redact-pii").plugin("noop_post").start();
    let client = Client::of(server.address);
    for id in ["p", "off", "h", "s"] {
        client.upload(id, "hours.md", b"The gate opens at six in the morning.").await.ok();
    }
    (server, client)
}

const QUESTION: &str = "When does the gate open?";

fn cites_the_file(annotation: &Value, start: u64, end: u64) {
    assert_eq!((&annotation["type"], &annotation["url_citation"]["title"]), (&json!("url_citation"), &json!("hours.md")), "{annotation}");
    assert_eq!((&annotation["url_citation"]["start_index"], &annotation["url_citation"]["end_index"]), (&json!(start), &json!(end)));
    let url = annotation["url_citation"]["url"].as_str().expect("an address");
    assert!(url.strip_prefix("urn:uuid:").is_some_and(|id| id.len() == 36), "{annotation}");
}

#[tokio::test]
async fn a_whole_answer_and_a_stream_say_which_document_they_name() {
    let upstream = Upstream::start().await;
    let (_server, client) = server(&upstream).await;
    for id in ["p", "h", "s"] {
        upstream.next(Script::says("At six [1]."));
        let answer = client.chat(id, QUESTION, json!({})).await.ok().json();
        let message = &answer["choices"][0]["message"];
        assert_eq!(
            (&message["content"], message["annotations"].as_array().map(Vec::len)),
            (&json!("At six [1]."), Some(1)),
            "{id}: {answer}"
        );
        cites_the_file(&message["annotations"][0], 7, 10);
        // As a model that was asked whole or as a stream answers: the hook of `h` needs the whole.
        upstream.next(if id == "h" { Script::says("At six [1].") } else { Script::streams(&["At six [", "1]."]) });
        let events = client.chat_stream(id, QUESTION, json!({})).await.all().await.expect("a whole stream");
        let chunks: Vec<Value> =
            events.iter().filter(|event| *event != "[DONE]").map(|event| serde_json::from_str(event).expect("JSON")).collect();
        let cited: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"].get("annotations")).collect();
        assert_eq!(cited.len(), 1, "{id}: {events:?}");
        cites_the_file(&cited[0][0], 7, 10);
        let last = chunks.iter().rfind(|chunk| chunk["choices"][0]["finish_reason"].is_string()).expect("an end");
        assert!(last["choices"][0]["delta"].get("annotations").is_none(), "they come before the end: {last}");
    }
}

#[tokio::test]
async fn a_response_says_it_in_its_own_form() {
    let upstream = Upstream::start().await;
    let (_server, client) = server(&upstream).await;
    upstream.next(Script::says("At six [1]."));
    let response = client.post("/v1/responses", &json!({"model": "p", "input": QUESTION})).await.ok().json();
    let part = &response["output"][0]["content"][0];
    let id = part["annotations"][0]["file_id"].as_str().expect("the document's id").to_owned();
    let expected = json!([{"type": "file_citation", "file_id": id, "filename": "hours.md", "index": 10}]);
    assert_eq!(part["annotations"], expected, "{response}");
    upstream.next(Script::streams(&["At six [", "1]."]));
    let streamed = client.post("/v1/responses", &json!({"model": "p", "input": QUESTION, "stream": true})).await.ok().text();
    let events: Vec<Value> =
        streamed.lines().filter_map(|line| line.strip_prefix("data: ")).map(|data| serde_json::from_str(data).expect("JSON")).collect();
    let of_type = |name: &str| events.iter().find(|event| event["type"] == name).expect("such an event");
    assert_eq!(of_type("response.output_text.annotation.added")["annotation"], expected[0]);
    assert_eq!(of_type("response.completed")["response"]["output"][0]["content"][0]["annotations"], expected);
}

#[tokio::test]
async fn a_document_of_the_web_is_cited_by_its_address() {
    let upstream = Upstream::start().await;
    let (_server, client) = server(&upstream).await;
    let address = "https://example.org/hours?day='monday'.md";
    let form = format!(
        "--edge\r\ncontent-disposition: form-data; name=\"metadata\"\r\n\r\n{}\r\n\
         --edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"mondays.md\"\r\n\r\n\
         The gate opens at six in the morning, and at eight on Mondays.\r\n--edge--\r\n",
        json!({"url": address})
    );
    let path = "/api/v1/gateway/apis/p/knowledge/upload";
    client.send(Method::POST, path, Some("multipart/form-data; boundary=edge"), form.into()).await.ok();
    upstream.next(Script::says("See [1] and [2]."));
    let answer = client.chat("p", "When does the gate open on Mondays?", json!({})).await.ok().json();
    let cited = answer["choices"][0]["message"]["annotations"].as_array().expect("two").clone();
    let of_the_web: Vec<&Value> = cited.iter().filter(|annotation| annotation["url_citation"]["url"] == address).collect();
    assert!(of_the_web.len() == 1 && cited.len() == 2, "{answer}");
}

#[tokio::test]
async fn an_answer_is_left_alone_if_it_names_nothing_or_the_operator_wants_no_citations() {
    let upstream = Upstream::start().await;
    let (_server, client) = server(&upstream).await;
    for (id, text) in [("off", "At six [1]."), ("p", "At six."), ("p", "At six [7]."), ("p", "Use `list[1]`.")] {
        upstream.next(Script::says(text));
        let answer = client.chat(id, QUESTION, json!({})).await.ok().json();
        assert!(answer["choices"][0]["message"].get("annotations").is_none(), "{id}: {answer}");
    }
}
