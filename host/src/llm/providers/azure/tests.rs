//! Requests to Azure, and its streams with their habits.

use serde_json::{Value, json};

use super::*;
use crate::chat::Name;
use crate::chat::codec::{ChatRequest, parse_request};
use crate::llm::adapter::Unsupported;

fn options(api_version: &str) -> AzureOptions {
    AzureOptions { api_version: Some(api_version.into()), ..AzureOptions::default() }
}

fn at(options: &AzureOptions) -> Azure {
    Azure::at("https://r.openai.azure.com/openai/v1", options)
}

fn azure() -> Azure {
    at(&options("2024-10-21"))
}

/// The path and the body that `azure` is posted.
fn posted(azure: &Azure, ask: &Value) -> (String, Value) {
    let ChatRequest { model, messages, params, stream, .. } = parse_request(ask.to_string().as_bytes()).expect("a request");
    let name = Name { id: "chatcmpl-ours".into(), model: model.clone(), created: 7 };
    let completion =
        CompletionRequest { model: &model, messages: &messages, params: &params, stream, unsupported: Unsupported::Refuse, name };
    let (wire, _) = azure.encode_chat(&completion).expect("it fits");
    assert!(wire.headers.is_empty());
    (wire.path, serde_json::from_slice(&wire.body).expect("JSON"))
}

fn asked(field: &str, value: Value) -> Value {
    json!({"model": "my gpt/5?", "messages": [{"role": "user", "content": "Hi"}], field: value})
}

#[test]
fn golden() {
    crate::llm::golden::check(&azure(), "azure");
}

#[test]
fn c50_the_dated_api_names_the_deployment_in_its_path_and_v1_in_its_body() {
    let ask = asked("seed", json!(1));
    let (path, _) = posted(&azure(), &ask);
    assert_eq!(path, "/openai/deployments/my%20gpt%2F5%3F/chat/completions?api-version=2024-10-21");
    let v1 = at(&AzureOptions::default());
    let (path, body) = posted(&v1, &ask);
    assert_eq!((path.as_str(), &body["model"]), ("/chat/completions", &json!("my gpt/5?")));
    let preview = at(&options("preview"));
    assert_eq!(posted(&preview, &ask).0, "/chat/completions?api-version=preview");
    let inputs = ["a".to_owned()];
    let ask = EmbeddingsRequest { model: "ada", inputs: &inputs, tokens: None, dimensions: None, user: None };
    let path = |azure: &Azure| azure.encode_embeddings(&ask).expect("a name").path;
    assert_eq!(path(&azure()), "/openai/deployments/ada/embeddings?api-version=2024-10-21");
    assert_eq!(path(&v1), "/embeddings");
}

#[test]
fn a_base_url_may_say_more_or_less_of_the_path() {
    let ask = asked("seed", json!(1));
    for (path, version, expected) in [
        ("", None, "/openai/v1/chat/completions"),
        ("/openai", None, "/v1/chat/completions"),
        ("/openai/v1", None, "/chat/completions"),
        ("/proxy", None, "/chat/completions"),
        ("", Some("2024-10-21"), "/openai/deployments/my%20gpt%2F5%3F/chat/completions?api-version=2024-10-21"),
        ("/openai", Some("2024-10-21"), "/deployments/my%20gpt%2F5%3F/chat/completions?api-version=2024-10-21"),
        ("/proxy/openai/", Some("2024-10-21"), "/deployments/my%20gpt%2F5%3F/chat/completions?api-version=2024-10-21"),
        ("", Some("preview"), "/openai/v1/chat/completions?api-version=preview"),
    ] {
        let options = AzureOptions { api_version: version.map(str::to_owned), ..AzureOptions::default() };
        let azure = Azure::at(&format!("https://r.openai.azure.com{path}"), &options);
        assert_eq!(posted(&azure, &ask).0, expected, "{path} {version:?}");
    }
}

#[test]
fn a_deployment_that_would_lead_elsewhere_is_refused() {
    let inputs = ["a".to_owned()];
    let ask = EmbeddingsRequest { model: "..", inputs: &inputs, tokens: None, dimensions: None, user: None };
    assert_eq!(azure().encode_embeddings(&ask).expect_err("no name").param, "model");
}

#[test]
fn c49_max_tokens_becomes_max_completion_tokens_unless_told_otherwise() {
    let (_, body) = posted(&azure(), &asked("max_tokens", json!(5)));
    assert_eq!((body.get("max_tokens"), &body["max_completion_tokens"]), (None, &json!(5)));
    let older = at(&AzureOptions { max_tokens_field: MaxTokensField::MaxTokens, ..options("2024-10-21") });
    for field in ["max_tokens", "max_completion_tokens"] {
        let (_, body) = posted(&older, &asked(field, json!(5)));
        assert_eq!((&body["max_tokens"], body.get("max_completion_tokens")), (&json!(5), None));
    }
    let mut both = asked("max_tokens", json!(5));
    both["max_completion_tokens"] = json!(9);
    let (_, body) = posted(&azure(), &both);
    assert_eq!((body.get("max_tokens"), &body["max_completion_tokens"]), (None, &json!(9)));
    both["max_completion_tokens"] = json!(null);
    assert_eq!(posted(&azure(), &both).1["max_completion_tokens"], 5);
}

#[test]
fn an_old_version_of_the_api_is_not_sent_what_it_does_not_know() {
    let mut ask = asked("max_tokens", json!(5));
    ask["stream"] = json!(true);
    for (version, knows) in [("2024-06-01", false), ("2024-08-01-preview", false), ("2024-09-01-preview", true), ("preview", true)] {
        let (_, body) = posted(&at(&options(version)), &ask);
        let found = (body.get("stream_options").is_some(), body.get("max_completion_tokens").is_some(), body.get("max_tokens").is_some());
        assert_eq!(found, (knows, knows, !knows), "{version}");
    }
}

#[test]
fn usage_is_asked_for_unless_the_api_is_too_old() {
    let ask = asked("stream", json!(true));
    assert_eq!(posted(&azure(), &ask).1["stream_options"], json!({"include_usage": true}));
    assert_eq!(posted(&at(&AzureOptions { stream_usage: false, ..options("2024-10-21") }), &ask).1.get("stream_options"), None);
}

#[test]
fn a_key_goes_into_one_header_only() {
    assert_eq!(azure().credentials("k"), (HeaderName::from_static("api-key"), "k".to_owned()));
    assert_eq!(
        at(&AzureOptions { bearer: true, ..options("2024-10-21") }).credentials("t"),
        (header::AUTHORIZATION, "Bearer t".to_owned())
    );
}

#[test]
fn images_in_tool_answers_follow_the_run_of_them_in_a_user_message() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "shot", "arguments": "{}"}});
    let messages = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "here"}, image]},
        {"role": "tool", "tool_call_id": "b", "content": [image]},
        {"role": "user", "content": "What is it?"},
    ]);
    let expected = json!([
        messages[0],
        messages[1],
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "here"}]},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "The result is in the next user message."}]},
        {"role": "user", "content": [
            {"type": "text", "text": "The result of tool call \"a\":"}, image,
            {"type": "text", "text": "The result of tool call \"b\":"}, image,
        ]},
        messages[4],
    ]);
    let (_, body) = posted(&azure(), &json!({"model": "m", "messages": messages}));
    assert_eq!(body["messages"], expected);
}

#[test]
fn what_other_providers_left_in_the_history_is_taken_out() {
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}], "reasoning_content": "hm", "thinking_blocks": [],
         "refusal": null, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {}}]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]);
    let expected = json!([
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": null, "refusal": null,
         "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]);
    let (_, body) = posted(&azure(), &json!({"model": "m", "messages": messages}));
    assert_eq!(body["messages"], expected);
}
