//! `functions`, `function_call` and messages of the role `function`, which OpenAI's API had before tools and still has, as tools. A reply then
//! says `function_call` as well, because the clients that speak so look for nothing else.
//! Source: OpenAI API reference, "Create chat completion", deprecated fields.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};

use super::param::param;
use crate::chat::codec::raw_json;
use crate::chat::{Fields, FunctionCall, Json, Message, ToolCall};

/// Rewrites all three. Gives true if the client offers functions, so that its reply must be told in the old form.
pub(super) fn as_tools(messages: &mut Cow<'_, [Message]>, params: &mut Cow<'_, Fields>) -> bool {
    history(messages);
    let old = param(params, "functions").is_some();
    // Both forms in one request are OpenAI's to refuse, and every adapter's.
    if param(params, "tools").is_some() || param(params, "tool_choice").is_some() {
        return false;
    }
    let Some(functions) = param(params, "functions").map_or(Some(Vec::new()), |json| serde_json::from_str::<Vec<Json>>(json).ok()) else {
        return false;
    };
    let tools: Vec<Value> = functions.iter().map(|function| json!({"type": "function", "function": function})).collect();
    let choice = param(params, "function_call").map(|json| match serde_json::from_str::<Value>(json) {
        Ok(Value::Object(named)) => json!({"type": "function", "function": named}),
        Ok(word) => word,
        Err(_) => Value::Null,
    });
    if !old && choice.is_none() {
        return false;
    }
    let params = params.to_mut();
    params.retain(|(name, _)| name != "functions" && name != "function_call");
    if !tools.is_empty() {
        params.push(("tools".to_owned(), raw_json(&tools)));
        params.extend(choice.map(|choice| ("tool_choice".to_owned(), raw_json(&choice))));
    }
    old
}

/// Calls of functions and their results as those of tools. The old form has no ids, so a result belongs to the last call of its name.
fn history(messages: &mut Cow<'_, [Message]>) {
    let calls = |message: &Message| message.role == "assistant" && message.tool_calls.is_empty() && call(message).is_some();
    if !messages.iter().any(|message| message.role == "function" || calls(message)) {
        return;
    }
    let mut open: Vec<(String, String)> = Vec::new();
    for (at, message) in messages.to_mut().iter_mut().enumerate() {
        if calls(message)
            && let Some(Called { name, arguments }) = call(message)
        {
            let id = format!("call_function_{at}");
            open.push((name.clone(), id.clone()));
            message.extra.retain(|(field, _)| field != "function_call");
            message.tool_calls = vec![ToolCall::Function(FunctionCall { id, name, arguments, extra: Fields::new() })];
        } else if message.role == "function"
            && let Some(place) = open.iter().rposition(|(name, _)| message.name.as_ref() == Some(name))
        {
            message.role = "tool".to_owned();
            message.tool_call_id = Some(open.remove(place).1);
        }
    }
}

#[derive(Deserialize)]
struct Called {
    name: String,
    #[serde(default)]
    arguments: String,
}

fn call(message: &Message) -> Option<Called> {
    let json = param(&message.extra, "function_call")?;
    serde_json::from_str(json).ok()
}
