//! `tool_choice` of the type `allowed_tools`, which offers some of the tools for one request, as a shorter list of tools.
//! Source: OpenAI API reference, "Create chat completion", `tool_choice`.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::Value;

use super::param::param;
use crate::chat::codec::{json_string, raw_json};
use crate::chat::{Fields, Json};

/// Leaves the allowed tools in the list, and of the choice its mode.
pub(super) fn as_list(params: &mut Cow<'_, Fields>) {
    let choice = param(params, "tool_choice").filter(|choice| choice.contains("\"allowed_tools\""));
    let Some(choice) = choice.and_then(|choice| serde_json::from_str::<Value>(choice).ok()) else { return };
    let (Some(mode), Some(allowed)) = (choice["allowed_tools"]["mode"].as_str(), choice["allowed_tools"]["tools"].as_array()) else {
        return;
    };
    let name = |tool: &Value| tool["function"]["name"].as_str().map(str::to_owned);
    let allowed: HashSet<String> = allowed.iter().filter_map(name).collect();
    let tools = param(params, "tools").and_then(|tools| serde_json::from_str::<Vec<Json>>(tools).ok()).unwrap_or_default();
    let is_allowed =
        |tool: &Json| serde_json::from_str(tool.get()).ok().and_then(|tool| name(&tool)).is_some_and(|name| allowed.contains(&name));
    let kept: Vec<Json> = tools.into_iter().filter(is_allowed).collect();
    let mode = json_string(mode);
    for (name, value) in params.to_mut() {
        match name.as_str() {
            "tools" => *value = raw_json(&kept),
            "tool_choice" => value.clone_from(&mode),
            _ => {}
        }
    }
}
