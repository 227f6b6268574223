//! Nothing of a reply is neither seen nor reported: something is planted in every channel of it, in every form in which it can come, and the
//! hook is either shown it or the host says that bytes of that channel went past the hook.

use serde_json::{Value, json};

use super::*;
use crate::plugin_kv::key;

const PLANTED: &str = "canary8472";
const TEXTS: [&str; 7] = ["text", "refusal", "reasoning", "tool_name", "tool_arguments", "media", "annotations"];
/// Where it can stand beside these. No hook along a stream is shown the last five.
const BESIDE: [&str; 6] = ["other", "logprobs", "reply", "id", "model", "usage"];

/// Which hook looks at the reply.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Looks {
    Transform,
    Observe,
    /// A post-hook.
    Post,
    /// A stream hook that does not want the reply.
    Skip,
}

fn looking(upstream: &Upstream, looks: Looks) -> Server {
    let mode = match looks {
        Looks::Observe => "observe",
        Looks::Skip => "skip",
        Looks::Transform | Looks::Post => "transform",
    };
    let tells = "[plugins.streamer-2]\nconfig = { mode = \"transform\", act = \"tell\" }";
    let plugins: &[&str] = if looks == Looks::Post { &["streamer-2", "noop-post"] } else { &["streamer"] };
    server(upstream, plugins, mode, "tell", tells).args(&["--log", "json"]).start()
}

/// What a choice says with something planted in a channel: the fields of its delta or message, and those beside it.
fn planted(channel: &str, whole: bool) -> (Value, Value) {
    let call = |name: &str, arguments: &str| json!({"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": name, "arguments": arguments}}]});
    let said = match channel {
        "text" => json!({"content": format!("fine {PLANTED}")}),
        "refusal" => json!({"refusal": PLANTED}),
        "reasoning" => json!({"reasoning_content": PLANTED}),
        "tool_name" => call(PLANTED, "{}"),
        "tool_arguments" => call("f", &format!("{{\"a\":\"{PLANTED}\"}}")),
        "media" => json!({"audio": {"id": "a", "data": PLANTED, "transcript": "t", "expires_at": 9}}),
        "annotations" => {
            let cited = json!({"start_index": 0, "end_index": 1, "title": "t", "url": format!("https://example.org/{PLANTED}")});
            json!({"annotations": [{"type": "url_citation", "url_citation": cited}]})
        }
        "other" => json!({"x_other": PLANTED}),
        _ => json!({"content": "fine"}),
    };
    let logprobs = json!({"content": [{"token": PLANTED, "logprob": -1.0, "bytes": null, "top_logprobs": []}], "refusal": null});
    let beside = if channel == "logprobs" { json!({"logprobs": logprobs}) } else { json!({}) };
    match (said, whole) {
        (Value::Object(mut said), true) => {
            for (name, value) in [("role", json!("assistant")), ("content", Value::Null), ("refusal", Value::Null)] {
                said.entry(name).or_insert(value);
            }
            if let Some(call) = said.get_mut("tool_calls") {
                call[0].as_object_mut().expect("a call").remove("index");
            }
            (said.into(), beside)
        }
        (said, _) => (said, beside),
    }
}

/// The names and fields of the reply.
fn reply(channel: &str, object: &str, choices: Value) -> Value {
    let mut reply = json!({"id": "c-1", "object": object, "created": 7, "model": "m-1", "choices": choices});
    match channel {
        "id" | "model" => reply[channel] = PLANTED.into(),
        "reply" => reply["x_reply"] = PLANTED.into(),
        "usage" => reply["usage"] = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "x_usage": PLANTED}),
        _ => {}
    }
    reply
}

/// A reply of so many choices, something planted in the last of them.
fn script(channel: &str, choices: u32, stream: bool) -> Script {
    let ends = if channel.starts_with("tool") { "tool_calls" } else { "stop" };
    if !stream {
        let choice = |index: u32| {
            let (message, beside) = planted(if index + 1 == choices { channel } else { "" }, true);
            let mut choice = json!({"index": index, "message": message, "finish_reason": ends, "logprobs": null});
            choice.as_object_mut().expect("an object").extend(beside.as_object().expect("an object").clone());
            choice
        };
        let mut reply = reply(channel, "chat.completion", (0..choices).map(choice).collect());
        if channel != "usage" {
            reply["usage"] = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
        }
        return Script::json(200, &reply);
    }
    // A provider has one name for a reply; every event after the first is given that one on its way.
    let names = if matches!(channel, "id" | "model") { channel } else { "" };
    let event = |channel: &str, choices: Value| {
        let channel = if channel.is_empty() { names } else { channel };
        reply(channel, "chat.completion.chunk", choices).to_string()
    };
    let mut script = Script::stream();
    for index in 0..choices {
        let planted_in = if index + 1 == choices { channel } else { "" };
        let (delta, beside) = planted(planted_in, false);
        let mut choice = json!({"index": index, "delta": delta, "finish_reason": null});
        choice.as_object_mut().expect("an object").extend(beside.as_object().expect("an object").clone());
        let begins = json!([{"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]);
        let last = json!([{"index": index, "delta": {}, "finish_reason": ends}]);
        let of_reply = if planted_in == "usage" { "" } else { planted_in };
        // The first event's names are those of the reply.
        let names = if matches!(channel, "id" | "model") { channel } else { "" };
        let of_reply = if names.is_empty() { of_reply } else { names };
        script = script.event(&event(names, begins)).event(&event(of_reply, json!([choice]))).event(&event(names, last));
    }
    if channel == "usage" {
        script = script.event(&event("usage", json!([])));
    }
    script.event("[DONE]").end()
}

/// The bytes of a field of the request's line, by channel. The field has several parts if several hooks looked.
fn bytes(line: &Value, field: &str, plugin: &str, channel: &str) -> u64 {
    let told = line[field].as_str().unwrap_or_else(|| panic!("a hook looked at it: {line}"));
    let of = if plugin.is_empty() {
        told
    } else {
        told.split("; ").find_map(|part| part.strip_prefix(&format!("{plugin}: "))).expect("the plugin")
    };
    of.split(", ").find_map(|part| part.strip_prefix(&format!("{channel} "))).map_or(0, |bytes| bytes.parse().expect("a number"))
}

/// What became of a question to a reply with something planted in it: whether the hook was shown it, and the request's line.
async fn asked_for(server: &Server, surface: &str, stream: bool) -> (String, Value) {
    let client = Client::of(server.address);
    let mut chat = json!({"model": "p", "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
    if stream {
        chat["stream_options"] = json!({"include_usage": true});
    }
    let (path, body) = match surface {
        "chat" => ("/v1/chat/completions", chat),
        _ => ("/v1/responses", json!({"model": "p", "stream": stream, "input": "hi"})),
    };
    let answer = client.open(hyper::Method::POST, path, Some("application/json"), body.to_string().into()).await.expect("an answer");
    let id = answer.headers["x-request-id"].to_str().expect("ASCII").to_owned();
    let got = if stream { answer.all().await.expect("a stream").concat() } else { answer.answer().await.ok().text() };
    let line = server.wait_for_line(|line| line.contains(&format!("\"{id}\"")) && line.contains("\"outcome\""));
    (got, serde_json::from_str(&line).expect("JSON"))
}

/// Whether the hook's own log tells of it. Each cell has a server's whole log so far, so what is planted is looked for behind `from`.
fn was_shown(server: &Server, from: usize) -> bool {
    server.log()[from..].lines().any(|line| line.contains("shown: ") && line.contains(PLANTED))
}

#[tokio::test]
async fn what_is_planted_in_any_channel_is_seen_by_the_hook_or_reported_as_unseen() {
    for looks in [Looks::Transform, Looks::Observe, Looks::Post, Looks::Skip] {
        let upstream = Upstream::start().await;
        let server = looking(&upstream, looks);
        let plugin = if looks == Looks::Post { "streamer-2" } else { "streamer" };
        for surface in ["chat", "responses"] {
            for stream in [false, true] {
                for channel in TEXTS.into_iter().chain(BESIDE) {
                    for choices in [1, 2] {
                        let cell = format!("{looks:?} {surface} {} {channel} n={choices}", if stream { "stream" } else { "whole" });
                        // Along a stream that a post-hook looks at, the model is asked for a whole reply.
                        upstream.next(script(channel, choices, stream && looks != Looks::Post));
                        let from = server.log().len();
                        let (got, line) = asked_for(&server, surface, stream).await;
                        let group = if TEXTS.contains(&channel) { channel } else { "other" };
                        if looks == Looks::Observe {
                            // Nobody waits for it, so it may end after the request's line is written.
                            server.wait_for_log_behind(from, "closed Ending::Finished");
                        }
                        let (shown, unseen) = (was_shown(&server, from), bytes(&line, "unseen", plugin, group));
                        // What stands beside the texts, such as usage that nobody asked for, may not reach the client at all.
                        let withheld = BESIDE.contains(&channel) && !got.contains(PLANTED);
                        assert!(shown || withheld || unseen >= PLANTED.len() as u64, "{cell}: neither: {line}\n{}", &server.log()[from..]);
                        if got.contains(PLANTED) {
                            assert!(bytes(&line, "sent", "", group) >= PLANTED.len() as u64, "{cell}: sent and not counted: {line}");
                        }
                        if looks == Looks::Skip {
                            assert!(!shown && (withheld || unseen >= PLANTED.len() as u64), "{cell}: {line}");
                        } else if TEXTS.contains(&channel) {
                            assert!(shown, "{cell}: every hook is shown that");
                            assert!(looks == Looks::Observe || unseen == 0, "{cell}: shown and called unseen: {line}");
                        } else if looks == Looks::Transform && stream && channel != "other" {
                            assert!(!shown && unseen >= PLANTED.len() as u64, "{cell}: {line}");
                        }
                    }
                }
            }
        }
    }
}

/// The word by which a hook reads a channel.
fn word(channel: &str) -> &str {
    match channel {
        "tool_name" | "tool_arguments" => "tool-calls",
        "media" | "annotations" | "other" => "other",
        texts => texts,
    }
}

#[tokio::test]
async fn a_hook_is_handed_the_channels_that_it_reads_and_the_others_are_unseen() {
    for mode in ["transform", "observe"] {
        for reads in ["text", "refusal", "reasoning", "tool-calls", "other"] {
            let upstream = Upstream::start().await;
            let more = format!("reads = [\"reply.{reads}\"]\nwrites = [\"metadata\"]");
            let server = server(&upstream, &["streamer"], mode, "tell", &more).args(&["--log", "json"]).start();
            for (surface, stream) in [("chat", true), ("chat", false), ("responses", true)] {
                for channel in TEXTS.into_iter().chain(["other"]) {
                    let cell = format!("{mode} {reads} {surface} {stream} {channel}");
                    upstream.next(script(channel, 2, stream));
                    let from = server.log().len();
                    let (got, line) = asked_for(&server, surface, stream).await;
                    server.wait_for_log_behind(from, "closed Ending::Finished");
                    let (shown, unseen) = (was_shown(&server, from), bytes(&line, "unseen", "streamer", channel));
                    assert_eq!(shown, word(channel) == reads, "{cell}: {}", &server.log()[from..]);
                    if !shown {
                        assert!(unseen >= PLANTED.len() as u64, "{cell}: {line}");
                    }
                    assert!(surface == "responses" || got.contains(PLANTED), "{cell}: it goes on: {got}");
                }
            }
        }
    }
}

#[tokio::test]
async fn two_texts_of_reasoning_are_two_that_are_counted() {
    for looks in [Looks::Transform, Looks::Observe, Looks::Skip] {
        let upstream = Upstream::start().await;
        let server = looking(&upstream, looks);
        let both = json!({"reasoning_content": "hm", "reasoning": PLANTED});
        let nothing_else = json!({"role": "assistant", "content": null, "refusal": null});
        for stream in [true, false] {
            let said = if stream { "delta" } else { "message" };
            let mut choice = json!({"index": 0, "finish_reason": "stop"});
            choice[said] = both.clone();
            if !stream {
                choice[said].as_object_mut().expect("an object").extend(nothing_else.as_object().expect("an object").clone());
            }
            let object = if stream { "chat.completion.chunk" } else { "chat.completion" };
            let reply = reply("", object, json!([choice]));
            let script = if stream { Script::stream().event(&reply.to_string()).event("[DONE]").end() } else { Script::json(200, &reply) };
            upstream.next(script);
            let from = server.log().len();
            let (got, line) = asked_for(&server, "chat", stream).await;
            if looks == Looks::Observe {
                server.wait_for_log_behind(from, "closed Ending::Finished");
            }
            assert!(got.contains(PLANTED) && got.contains("\"reasoning\":") && got.contains("\"reasoning_content\":"), "{got}");
            let counted = ["sent", "unseen"].map(|field| bytes(&line, field, if field == "sent" { "" } else { "streamer" }, "reasoning"));
            let all = 2 + PLANTED.len() as u64;
            assert_eq!((was_shown(&server, from), counted[0]), (looks != Looks::Skip, all), "{looks:?}: {line}");
            assert!(looks == Looks::Observe || counted[1] == if looks == Looks::Skip { all } else { 0 }, "{looks:?}: {line}");
        }
    }
}

#[tokio::test]
async fn what_a_hook_could_not_look_at_is_unseen_whatever_the_reason() {
    let upstream = Upstream::start().await;
    // It traps at the second push and is skipped.
    let more = "on_failure = \"skip\"\nlimits = { time = \"1s\" }";
    let failing = server(&upstream, &["streamer"], "transform", "trap", more).args(&["--log", "json"]).start();
    let go = Signal::default();
    upstream.next(
        Script::stream()
            .event(&delta("fine"))
            .wait(&go)
            .event(&delta("boom"))
            .event(&delta("behind"))
            .event(&finish())
            .event("[DONE]")
            .end(),
    );
    let mut stream = asked(&failing).await;
    let id = stream.headers["x-request-id"].to_str().expect("ASCII").to_owned();
    stream.next().await.expect("framed").expect("an event");
    go.fire();
    stream.all().await.expect("a stream");
    let line = failing.wait_for_line(|line| line.contains(&format!("\"{id}\"")) && line.contains("\"outcome\""));
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((bytes(&line, "unseen", "streamer", "text"), bytes(&line, "sent", "", "text")), (10, 14), "boom was not answered: {line}");
    let metrics = Client::of(failing.address).get("/metrics").await.text();
    let figure = |name: &str| {
        let series = format!("cofferdam_plugin_{name}_bytes_total{{plugin=\"streamer\",hook=\"stream_hook\",channel=\"text\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned)
    };
    assert_eq!((figure("shown").as_deref(), figure("unseen").as_deref()), (Some("4"), Some("10")), "{metrics}");
}

#[tokio::test]
async fn a_whole_reply_tells_the_operator_in_headers_what_hooks_did_not_see() {
    let upstream = Upstream::start().await;
    let keys = format!("reads = [\"reply.text\"]\n[keys]\nclient = [{}]\nadmin = [{}]", key("app"), key("boss"));
    let server = server(&upstream, &["streamer"], "transform", "star", &keys).start();
    let client = Client::of(server.address).header("authorization", "Bearer app");
    let body = json!({"model": "p", "messages": [{"role": "user", "content": "hi"}]});
    let told =
        |answer: &crate::client::Answer| ["x-cofferdam-sent", "x-cofferdam-unseen"].map(|name| answer.header(name).map(str::to_owned));
    let ask = |key: Option<&str>| {
        let client = key.map_or(client.clone(), |key| client.clone().header("x-cofferdam-admin", &format!("Bearer {key}")));
        let body = body.clone();
        async move { client.post("/v1/chat/completions", &body).await }
    };
    upstream.always(script("reasoning", 1, false));
    let answer = ask(Some("boss")).await.ok();
    let [sent, unseen] = told(&answer).map(|told| told.expect("a header"));
    assert!(sent.contains("reasoning 10, ") && unseen.starts_with("streamer: reasoning 10, other "), "{sent} {unseen}");
    assert_eq!(told(&ask(None).await.ok()), [None, None]);
    assert!(
        upstream
            .requests()
            .iter()
            .all(|request| request.header("x-cofferdam-admin").is_none() && !String::from_utf8_lossy(&request.body).contains("boss"))
    );
    let asked_so_far = upstream.requests().len();
    let refused = ask(Some("wrong")).await;
    assert_eq!((refused.refused(401).as_str(), told(&refused)), ("invalid_api_key", [None, None]));
    assert_eq!(ask(Some("app")).await.refused(403), "admin_key_required");
    assert_eq!(upstream.requests().len(), asked_so_far, "refused before anything is asked");
    let operator = client.clone().header("x-cofferdam-admin", "Bearer boss");
    upstream.always(script("reasoning", 1, true));
    let stream = operator.chat_stream("p", "hi", json!({})).await;
    assert!(
        !stream.headers.keys().any(|name| name.as_str().ends_with("seen") || name.as_str().ends_with("sent")),
        "of a stream nobody knows it yet"
    );
    stream.all().await.expect("a stream");
}

#[tokio::test]
async fn what_stands_beside_the_data_of_an_observed_reply_is_counted() {
    let upstream = Upstream::start().await;
    let server = looking(&upstream, Looks::Observe);
    let comment = format!(": {PLANTED}\n\n");
    upstream.next(Script::stream().event(&delta("fine")).piece(comment.as_bytes()).event(&finish()).event("[DONE]").end());
    let (_, with) = asked_for(&server, "chat", true).await;
    upstream.next(Script::stream().event(&delta("fine")).event(&finish()).event("[DONE]").end());
    let (_, without) = asked_for(&server, "chat", true).await;
    let other = |line: &Value| bytes(line, "unseen", "streamer", "other");
    // Names, and an end that the observer may not have seen yet, are in both.
    assert!(other(&with) + "stop".len() as u64 >= other(&without) + PLANTED.len() as u64, "{with} {without}");
}
