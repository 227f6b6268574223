//! What a provider can keep of a prompt from one turn to the next: a conversation of twenty turns, in each of which other excerpts are found, with a
//! hook before and a hook behind the model, in every dialect. Also the other place, which the operator may choose.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Request, Script, Upstream};

const KINDS: [&str; 5] = ["openai", "anthropic", "gemini", "azure-openai", "workers-ai"];

const TOPICS: [(&str, &str); 8] = [
    ("gate", "The gate opens at six and closes at nine."),
    ("pump", "The pump is oiled every spring with two drops."),
    ("badge", "A lost badge is reported to security at once."),
    ("ladder", "The ladder carries one hundred and fifty kilograms."),
    ("garden", "The garden is watered before sunrise in July."),
    ("invoice", "An invoice is paid within thirty days of its receipt."),
    ("holiday", "Every employee has twenty-eight days of holiday."),
    ("kitchen", "The kitchen is cleaned on Friday by the last to leave."),
];

const TURNS: usize = 20;

/// A model of each kind's name, and those with `-start`, whose excerpts stand at the start.
async fn server(upstream: &Upstream) -> (Server, Client) {
    let mut config = String::new();
    for kind in KINDS {
        let api = if kind == "azure-openai" { "api_version = \"2024-10-21\"\n" } else { "" };
        config += &format!("[providers.{kind}]\nkind = \"{kind}\"\nbase_url = \"{}\"\n{api}", upstream.url());
        for (id, inject) in [(kind.to_owned(), ""), (format!("{kind}-start"), ", inject = \"system\"")] {
            config += &format!(
                "[[pipelines]]\nid = \"{id}\"\npipeline = [\n\
                 {{ stage = \"rag\", config = {{ top_k = 1, score_threshold = 0.0{inject} }} }},\n\
                 {{ stage = \"pre_hook\", config = {{ function_id = \"detect-language\" }} }},\n\
                 {{ stage = \"llm\", config = {{ primary = {{ provider = \"{kind}\", model = \"m\" }} }} }},\n\
                 {{ stage = \"post_hook\", config = {{ function_id = \"redact-pii\" }} }},\n]\n"
            );
        }
    }
    let server = Server::with(&config).plugin("detect-language").plugin("redact-pii").start();
    let client = Client::of(server.address);
    (server, client)
}

/// A whole reply of each kind that says `text`.
fn says(kind: &str, text: &str) -> Script {
    let reply = match kind {
        "anthropic" => json!({"type": "message", "id": "a-1", "model": "claude-x", "role": "assistant", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 5, "output_tokens": 2}}),
        "gemini" => json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP"}]}),
        _ => json!({"id": "o-1", "object": "chat.completion", "created": 5, "model": "m-x",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}),
    };
    Script::json(200, &reply)
}

/// The body as it was sent, without the object that holds the excerpts, and these.
fn apart(request: &Request) -> (String, String) {
    let body = String::from_utf8(request.body.clone()).expect("UTF-8");
    let text = body.find("Excerpts from the knowledge base").expect("excerpts");
    let begin = body[..text].rfind('{').expect("an object");
    let end = text + body[text..].rfind(" END>>").expect("their end");
    let end = end + body[end..].find('}').expect("the object's end") + 1;
    let behind = body[end..].strip_prefix(',').expect("the question stands behind them");
    (format!("{}{behind}", &body[..begin]), body[begin..end].to_owned())
}

fn shared(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
}

#[tokio::test]
async fn of_each_turn_s_prompt_nearly_all_is_the_beginning_of_the_next_in_every_dialect() {
    let upstream = Upstream::start().await;
    let (_server, client) = server(&upstream).await;
    for kind in KINDS {
        for (name, text) in TOPICS {
            client.upload(kind, &format!("{name}.md"), text.as_bytes()).await.ok();
        }
        let system = "You answer for the house. ".repeat(20);
        let mut messages = vec![json!({"role": "system", "content": system})];
        let before = upstream.requests().len();
        for turn in 0..TURNS {
            let (topic, _) = TOPICS[turn * 3 % TOPICS.len()];
            messages.push(json!({"role": "user", "content": format!("Question {turn}: what do the rules say of the {topic}?")}));
            let answer = format!("That is answer {turn}, in a sentence or two about the {topic}.");
            upstream.next(says(kind, &answer));
            let given = client.post("/v1/chat/completions", &json!({"model": kind, "messages": messages})).await.ok().content();
            assert_eq!(given, answer, "{kind}");
            messages.push(json!({"role": "assistant", "content": answer}));
        }
        let sent: Vec<(String, String)> = upstream.requests()[before..].iter().map(apart).collect();
        assert_eq!(sent.len(), TURNS);
        let mut least = 1.0_f64;
        for (turn, pair) in sent.windows(2).enumerate() {
            let [(one, excerpts), (next, others)] = pair else { panic!("two") };
            assert_ne!(excerpts, others, "other excerpts in each turn");
            let (topic, text) = TOPICS[turn * 3 % TOPICS.len()];
            assert!(excerpts.contains(text), "{kind}: the {topic} was found: {excerpts}");
            least = least.min(shared(one, next) as f64 / one.len() as f64);
        }
        println!("{kind}: at least {:.1} % of a prompt begin the next", least * 100.0);
        assert!(least >= 0.95, "{kind}: {least}");
    }
}

#[tokio::test]
async fn the_excerpts_stand_directly_before_the_question_in_the_form_of_each_dialect() {
    let upstream = Upstream::start().await;
    let (_server, client) = server(&upstream).await;
    let question = "When does the gate open?";
    for kind in KINDS {
        client.upload(kind, "gate.md", TOPICS[0].1.as_bytes()).await.ok();
        client.upload(&format!("{kind}-start"), "gate.md", TOPICS[0].1.as_bytes()).await.ok();
        // A conversation that begins, one that goes on, and the other place.
        let begins = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]);
        let goes_on = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": question}]);
        for (id, messages) in [(kind.to_owned(), &begins), (kind.to_owned(), &goes_on), (format!("{kind}-start"), &goes_on)] {
            upstream.next(says(kind, "At six."));
            client.post("/v1/chat/completions", &json!({"model": id, "messages": messages})).await.ok();
            let sent = upstream.requests().last().expect("one").json();
            let (system, turns) = match kind {
                "gemini" => (sent["systemInstruction"]["parts"].clone(), sent["contents"].clone()),
                "anthropic" => (sent["system"].clone(), sent["messages"].clone()),
                _ => (Value::Null, sent["messages"].clone()),
            };
            let held = |value: &Value| value.to_string().contains("Excerpts from the knowledge base");
            let turns = turns.as_array().expect("turns").clone();
            let last = turns.last().expect("the question");
            match (kind, id.ends_with("-start")) {
                ("gemini" | "anthropic", true) => assert!(held(&system) && !turns.iter().any(held), "{sent}"),
                (_, true) => assert!(held(&turns[1]) && turns[0]["content"] == "Be brief.", "{sent}"),
                ("gemini" | "anthropic", false) => {
                    assert!(!held(&system) && last["role"] == "user", "{sent}");
                    let parts = last["parts"].as_array().or(last["content"].as_array()).expect("parts");
                    let [excerpts, asked] = &parts[..] else { panic!("two parts: {sent}") };
                    let text = excerpts["text"].as_str().expect("a text");
                    assert!(text.starts_with("Excerpts") && text.ends_with(" END>>") && asked["text"] == question, "{sent}");
                }
                (_, false) => {
                    assert_eq!((&last["role"], &last["content"]), (&json!("user"), &json!(question)));
                    let excerpts = &turns[turns.len() - 2];
                    assert!(excerpts["role"] == "system" && held(excerpts), "{sent}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_client_marks_to_be_cached_is_what_the_next_turn_has_too() {
    let upstream = Upstream::start().await;
    let (_server, client) = server(&upstream).await;
    client.upload("anthropic", "gate.md", TOPICS[0].1.as_bytes()).await.ok();
    let mark = json!({"type": "ephemeral"});
    let messages = |question: Value| {
        json!([{"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": mark}]}, {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hello!"}, question])
    };
    let asked = "When does the gate open?";
    let marked = messages(json!({"role": "user", "content": [{"type": "text", "text": asked, "cache_control": mark}]}));
    let plain = messages(json!({"role": "user", "content": asked}));
    for body in [json!({"model": "anthropic", "messages": marked}), json!({"model": "anthropic", "messages": plain, "cache_control": mark})]
    {
        upstream.next(says("anthropic", "At six."));
        client.post("/v1/chat/completions", &body).await.ok();
        let sent = upstream.requests().last().expect("one").json();
        assert_eq!(sent["system"], json!([{"type": "text", "text": "Be brief.", "cache_control": mark}]));
        assert_eq!(sent["messages"][1]["content"], json!([{"type": "text", "text": "Hello!", "cache_control": mark}]));
        assert!(sent.get("cache_control").is_none() && !sent["messages"][2].to_string().contains("cache_control"), "{sent}");
    }
}
