//! Pipes in completions, tasks, and filters that the gateway runs.

use serde_json::{Value, json};

use super::{client, house, inlet, with};
use crate::client::text_of;

fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}], "user": {"id": "u1", "name": "Ada", "email": "a@b", "role": "user"}})
}

#[tokio::test]
async fn a_pipe_answers_streamed_by_default_and_whole_for_a_task() {
    let server = house("", "").plugin("manifold").start();
    for (path, model) in [("/chat/completions", "manifold.echo"), ("/chat/completions", "owui.manifold.echo")] {
        let body = chat(model, "one two three").to_string();
        let stream = client(&server).open(hyper::Method::POST, path, Some("application/json"), body.into()).await.expect("an answer");
        assert_eq!(stream.headers["content-type"], "text/event-stream");
        let events = stream.all().await.expect("a stream");
        assert_eq!(text_of(&events), "one two three");
        assert!(events[0].contains("\"role\":\"assistant\""), "{events:?}");
    }
    for (path, model) in [("/chat/completions", "manifold.count"), ("/v1/chat/completions", "manifold.count")] {
        let mut task = chat(model, "one two three");
        task["stream"] = json!(false);
        // As clients of OpenAI's send a turn with calls.
        task["messages"].as_array_mut().expect("a list").insert(0, json!({"role": "assistant", "content": null, "tool_calls": []}));
        let whole = client(&server).post(path, &task).await.ok();
        assert_eq!((whole.content().as_str(), &whole.json()["usage"]["total_tokens"]), ("3", &json!(42)));
    }
    // Any client of OpenAI's may ask.
    assert_eq!(with(&server, "anna").chat("manifold.echo", "hi", json!({})).await.ok().content(), "hi");
    let refused = client(&server).post("/chat/completions", &chat("manifold.echo", "refuse")).await;
    assert_eq!((super::refused(&refused, 451).as_str(), refused.header("retry-after")), ("Nobody answers that.", Some("7")));
    for model in ["manifold.none", "manifold", "nobody"] {
        super::refused(&client(&server).post("/chat/completions", &chat(model, "hi")).await, 404);
    }
}

/// Told before any word of the answer, to whoever Open WebUI asks for.
#[tokio::test]
async fn a_status_is_an_event_for_open_webui_and_a_comment_for_others() {
    let server = house("", "").plugin("manifold").start();
    for path in ["/chat/completions", "/v1/chat/completions"] {
        let mut body = chat("manifold.count", "one two three");
        body["stream"] = json!(true);
        let stream = client(&server).open(hyper::Method::POST, path, Some("application/json"), body.to_string().into()).await;
        let events = stream.expect("an answer").all().await.expect("a stream");
        let status = json!({"event": {"type": "status", "data": {"description": "counting", "done": false}}});
        assert_eq!(serde_json::from_str::<Value>(&events[0]).expect("JSON"), status, "{events:?}");
        assert_eq!(text_of(&events[1..]), "3");
    }
    let others = client(&server).chat_stream("manifold.count", "one two three", json!({})).await.all().await.expect("a stream");
    assert_eq!(text_of(&others), "3");
}

#[tokio::test]
async fn a_model_behind_a_pipeline_s_guards_is_not_asked_past_them() {
    let pipeline = r#"
        [[pipelines]]
        id = "guarded"
        pipeline = [
            { stage = "pre_hook", locked = true, config = { function_id = "rejecter" } },
            { stage = "llm", config = { primary = { provider = "plugin", model = "manifold/echo" } } },
        ]
    "#;
    let server = house("", pipeline).plugin("manifold").plugin("rejecter").start();
    assert_eq!(client(&server).chat("guarded", "hi", json!({})).await.refused(451), "rejected_by_test");
    assert_eq!(client(&server).chat("manifold.echo", "hi", json!({})).await.refused(404), "model_not_found");
    let models = client(&server).get("/models").await.ok().text();
    assert!(!models.contains("manifold"), "{models}");
}

#[tokio::test]
async fn the_gateway_runs_filters_for_every_client_if_it_is_told_to_and_open_webui_does_not() {
    let pipeline = r#"
        [[pipelines]]
        id = "echo"
        pipeline = [ { stage = "llm", config = { primary = { provider = "plugin", model = "manifold/echo" } } } ]
    "#;
    let server = house("run_filters = \"gateway\"", pipeline).plugin("manifold").plugin("valved").start();
    let say = async |model: &str| with(&server, "anna").chat(model, "hi", json!({})).await.ok().content();
    assert_eq!(say("echo").await, "in: hi (out)");
    let events = with(&server, "anna").chat_stream("echo", "hi", json!({})).await.all().await.expect("a stream");
    assert_eq!(text_of(&events), "in: hi (out)");
    // A client does not switch them off.
    let off = with(&server, "anna").chat("echo", "hi", json!({"pipeline": {"pre_hook": false}})).await;
    assert_eq!(off.refused(403), "stage_locked");
    assert_eq!(with(&server, "anna").chat("echo", "refuse", json!({})).await.refused(429), "too_fast");
    // What Open WebUI sends to filters passes as it is.
    let passed = client(&server).post("/valved/filter/inlet", &inlet("hi")).await.ok().json();
    assert_eq!(passed, inlet("hi")["body"]);
    let valves = json!({"pipelines": ["other"]});
    client(&server).post("/valved/valves/update", &valves).await.ok();
    assert_eq!(say("echo").await, "hi");
}
