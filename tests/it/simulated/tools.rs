//! Tools: two calls at once, whole and in pieces, and their results on the way back.

use serde_json::{Value, json};

use super::{asking, chunks, each, fixture};
use crate::simulator::KEY;

const QUESTION: &str = "How warm are Paris and Rome?";

fn with_tool(messages: Value) -> Value {
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string"}, "unit": {"type": "string"}}, "required": ["city"]});
    let function = json!({"name": "temperature", "description": "How warm it is in a city.", "parameters": parameters});
    json!({"messages": messages, "tools": [{"type": "function", "function": function}], "tool_choice": "auto"})
}

/// Checks that the calls are those of the fixture: names and arguments, each with an id of its own.
#[track_caller]
fn are_the_calls(calls: &[Value]) {
    let fixture = fixture(QUESTION)["toolCalls"].as_array().expect("calls").clone();
    assert_eq!(calls.len(), fixture.len(), "{calls:?}");
    for (call, fixture) in calls.iter().zip(&fixture) {
        assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &fixture["name"]), "{calls:?}");
        assert_eq!(parsed(&call["function"]["arguments"]), parsed(&fixture["arguments"]), "{calls:?}");
        assert!(call["id"].as_str().is_some_and(|id| !id.is_empty()), "{calls:?}");
    }
    assert_ne!(calls[0]["id"], calls[1]["id"], "{calls:?}");
}

/// The value that a string of JSON holds.
#[track_caller]
fn parsed(text: &Value) -> Value {
    serde_json::from_str(text.as_str().unwrap_or_else(|| panic!("{text} is no string"))).expect("JSON")
}

#[tokio::test]
async fn calls_of_a_tool_and_its_results_go_round() {
    each("calls of a tool and its results go round", async |turn| {
        let question = json!({"role": "user", "content": QUESTION});
        let answer = turn.chat(with_tool(json!([question]))).await.ok().json();
        let message = &answer["choices"][0]["message"];
        assert_eq!((&answer["choices"][0]["finish_reason"], &message["content"]), (&json!("tool_calls"), &Value::Null), "{answer}");
        let calls = message["tool_calls"].as_array().expect("calls");
        are_the_calls(calls);

        let [paris, rome] = [(&calls[0], 21), (&calls[1], 28)]
            .map(|(call, celsius)| json!({"role": "tool", "tool_call_id": call["id"], "content": json!({"celsius": celsius}).to_string()}));
        let answer = turn.chat(with_tool(json!([question, message, paris, rome]))).await.ok();
        assert_eq!(answer.content(), "Paris has 21 degrees, Rome 28.");

        let asked = turn.asked();
        let [first, second] = asked.as_slice() else { panic!("two requests, not {asked:?}") };
        assert_eq!(first.understood["tools"][0]["function"]["name"], "temperature", "{first:?}");
        turn.is_ours(second, turn.row.path, KEY);
        let messages = second.understood["messages"].as_array().expect("messages");
        let roles: Vec<&str> = messages.iter().filter_map(|message| message["role"].as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool"], "{second:?}");
        let calls = messages[1]["tool_calls"].as_array().expect("calls");
        are_the_calls(calls);
        for (call, (result, celsius)) in calls.iter().zip(messages[2..].iter().zip([21, 28])) {
            assert_eq!(result["tool_call_id"], call["id"], "a result belongs to its call: {second:?}");
            assert_eq!(parsed(&result["content"]), json!({"celsius": celsius}), "{second:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn calls_of_a_tool_are_streamed_in_pieces_that_fit_together() {
    each("calls of a tool are streamed in pieces that fit together", async |turn| {
        let body = with_tool(asking(QUESTION, json!({}))["messages"].take());
        let events = turn.stream(body).await.all().await.expect("a whole stream");
        let chunks = chunks(&events);
        let mut calls: Vec<Value> = Vec::new();
        for delta in chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].as_array()).flatten() {
            let index = usize::try_from(delta["index"].as_u64().expect("an index")).expect("a small index");
            let piece = delta["function"]["arguments"].as_str().unwrap_or_default();
            if let Some(call) = calls.get_mut(index) {
                assert!(delta["id"].is_null() && delta["function"]["name"].is_null(), "only the first piece has a head: {events:?}");
                let arguments = format!("{}{piece}", call["function"]["arguments"].as_str().expect("a text"));
                call["function"]["arguments"] = arguments.into();
            } else {
                assert_eq!(index, calls.len(), "indexes count up: {events:?}");
                calls.push(
                    json!({"id": delta["id"], "type": delta["type"], "function": {"name": delta["function"]["name"], "arguments": piece}}),
                );
            }
        }
        are_the_calls(&calls);
        let reasons = chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).filter(|reason| !reason.is_null());
        assert_eq!(reasons.collect::<Vec<_>>(), [&json!("tool_calls")], "{events:?}");
        turn.understood(true);
    })
    .await;
}
