//! What a provider wants back with the next turn, and what a text may hold, is not lost between the two APIs.

use serde_json::{Value, json};

use super::{house, reply, said};

/// Case 33: OpenRouter's `reasoning_details`, Google's signature of a call, and its signature of a message.
#[tokio::test]
async fn what_a_provider_wants_back_comes_back_through_either_api() {
    let house = house().await;
    house.op.answer_with(|request| {
        let body = request.json();
        let messages = body["messages"].as_array().expect("a list");
        if messages.iter().any(|message| message["role"] == "tool") {
            let assistant = messages.iter().find(|message| message["role"] == "assistant").expect("the calls").to_string();
            let whole = ["AY89sig==", "CiQB4+sig==", "of-the-message"].iter().all(|sign| assistant.contains(sign));
            return reply(request, &said(if whole { "fine" } else { "LOST" }), "stop");
        }
        let call = json!({"id": "tool_1", "type": "function", "function": {"name": "ls", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "CiQB4+sig=="}}});
        let details = json!([{"type": "reasoning.encrypted", "data": "AY89sig==", "id": "tool_1", "index": 0}]);
        let message = json!({"role": "assistant", "content": null, "reasoning_details": details, "tool_calls": [call],
            "extra_content": {"google": {"thought_signature": "of-the-message"}}});
        reply(request, &message, "tool_calls")
    });
    let tools = json!([{"type": "function", "name": "ls", "parameters": {"type": "object", "properties": {}}}]);
    let user = json!({"role": "user", "content": "hi"});
    for model in ["op/m", "redacted"] {
        let message = house.client.chat(model, "hi", json!({})).await.ok().json()["choices"][0]["message"].clone();
        let tool = json!({"role": "tool", "tool_call_id": "tool_1", "content": "x"});
        let next = json!({"model": model, "messages": [user, message, tool]});
        assert_eq!(house.client.post("/v1/chat/completions", &next).await.ok().content(), "fine", "{model}");
        for (stream, bare) in [(false, false), (true, false), (false, true), (true, true)] {
            let body = json!({"model": model, "input": [user], "tools": tools, "include": ["reasoning.encrypted_content"]});
            let response = house.respond(body, stream).await;
            let mut input = vec![user.clone()];
            input.extend(response["output"].as_array().expect("a list").iter().cloned());
            if bare {
                // Codex sends no field that it does not know.
                input.iter_mut().for_each(|item| drop(item.as_object_mut().and_then(|fields| fields.remove("extra_content"))));
            }
            input.push(json!({"type": "function_call_output", "call_id": "tool_1", "output": "x"}));
            let next = house.respond(json!({"model": model, "input": input, "tools": tools}), stream).await;
            let texts: Vec<&Value> = next["output"].as_array().expect("a list").iter().map(|item| &item["content"][0]["text"]).collect();
            assert_eq!(texts, [&json!("fine")], "{model}, stream {stream}, sent {input:?}");
        }
    }
}
