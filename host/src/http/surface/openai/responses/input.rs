//! `input`: a text, or a list of items, as the messages of a chat. What a model sent as several items is one message again: its text, its
//! reasoning and its calls.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::content::content;
use super::field::{is_null, need, read};
use super::reasoning::Reasoning;
use crate::chat::{Content, FunctionCall, Json, Message, Part, ToolCall};
use crate::http::error::Refusal;

#[derive(Deserialize)]
struct Item<'a> {
    r#type: Option<String>,
    role: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    id: Option<IgnoredAny>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

/// The messages that the input stands for.
pub(super) fn messages(input: &Json) -> Result<Vec<Message>, Refusal> {
    if input.get().starts_with('"') {
        return Ok(vec![Message::text("user", read::<String>("input", input)?)]);
    }
    let items: Vec<&RawValue> = read("input", input).map_err(|_| Refusal::field("input", "must be a string or a list of items"))?;
    let mut talk = Talk::default();
    for (index, json) in items.iter().enumerate() {
        talk.item(&format!("input[{index}]"), json)?;
    }
    talk.attach();
    Ok(talk.messages)
}

#[derive(Default)]
struct Talk {
    messages: Vec<Message>,
    /// They led to the last message, which may still grow.
    led: Reasoning,
    /// They belong to the next thing that the model says.
    reasoning: Reasoning,
}

impl Talk {
    fn item(&mut self, at: &str, json: &RawValue) -> Result<(), Refusal> {
        let item: Item<'_> = read(at, json)?;
        match item.r#type.as_deref() {
            Some("message") => self.message(at, item),
            None if item.role.is_some() => self.message(at, item),
            Some("function_call") => self.call(at, item),
            Some("function_call_output") => self.output(at, item),
            Some("reasoning") => self.reasoning.add(at, json),
            Some("item_reference") => Err(reference(at)),
            None if item.id.is_some() => Err(reference(at)),
            None => Err(Refusal::field(format!("{at}.type"), "is missing; a message may do without it, but needs `role` and `content`")),
            Some(other) => {
                let message = format!(
                    "`{other}` is not taken; items are message, function_call, function_call_output and reasoning, for this server has no tools of its own"
                );
                Err(Refusal::field(format!("{at}.type"), message))
            }
        }
    }

    fn message(&mut self, at: &str, item: Item<'_>) -> Result<(), Refusal> {
        let role = need(at, "role", item.role)?;
        if !["user", "assistant", "system", "developer"].contains(&role.as_str()) {
            let message = format!("`{role}` is not a role; roles are user, assistant, system and developer");
            return Err(Refusal::field(format!("{at}.role"), message));
        }
        let content = content(&format!("{at}.content"), need(at, "content", item.content.filter(|json| !is_null(json)))?)?;
        if role != "assistant" {
            // Reasoning that led to nothing.
            self.reasoning = Reasoning::default();
            self.push(Message { role, content, ..Message::default() });
            return Ok(());
        }
        match self.messages.last_mut().filter(|last| last.role == "assistant" && !last.tool_calls.is_empty()) {
            // The calls' outputs must follow the message that holds the calls, so text that came after the calls joins it.
            Some(last) => join(&mut last.content, content),
            None => self.push(Message { role, content, ..Message::default() }),
        }
        self.led.append(&mut self.reasoning);
        Ok(())
    }

    fn call(&mut self, at: &str, item: Item<'_>) -> Result<(), Refusal> {
        let call = FunctionCall {
            id: need(at, "call_id", item.call_id)?,
            name: need(at, "name", item.name)?,
            arguments: need(at, "arguments", item.arguments)?,
            extra: Vec::new(),
        };
        if self.messages.last().is_none_or(|last| last.role != "assistant") {
            self.push(Message { role: "assistant".into(), ..Message::default() });
        }
        self.led.append(&mut self.reasoning);
        let last = self.messages.last_mut().expect("there is one now");
        last.tool_calls.push(ToolCall::Function(call));
        Ok(())
    }

    fn output(&mut self, at: &str, item: Item<'_>) -> Result<(), Refusal> {
        let tool_call_id = Some(need(at, "call_id", item.call_id)?);
        let content = content(&format!("{at}.output"), need(at, "output", item.output.filter(|json| !is_null(json)))?)?;
        self.reasoning = Reasoning::default();
        self.push(Message { role: "tool".into(), content, tool_call_id, ..Message::default() });
        Ok(())
    }

    fn push(&mut self, message: Message) {
        self.attach();
        self.messages.push(message);
    }

    /// The last message grows no more. Once for each message, so that many items cost no more than their bytes.
    fn attach(&mut self) {
        if let Some(last) = self.messages.last_mut() {
            self.led.attach(&mut last.extra);
        }
    }
}

fn reference(at: &str) -> Refusal {
    Refusal::field(at, "is a reference to an item, and this server keeps none; send the item itself")
}

fn join(content: &mut Content, more: Content) {
    let parts = |content| match content {
        Content::Null => Vec::new(),
        Content::Text(text) if text.is_empty() => Vec::new(),
        Content::Text(text) => vec![Part::Text { text, extra: Vec::new() }],
        Content::Parts(parts) => parts,
    };
    match content {
        Content::Null => *content = more,
        Content::Text(_) => {
            let mut all = parts(std::mem::take(content));
            all.extend(parts(more));
            *content = Content::Parts(all);
        }
        Content::Parts(all) => all.extend(parts(more)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::codec::{json as raw, to_json};

    fn mapped(input: &Value) -> Result<Value, String> {
        match messages(&raw(input.to_string()).expect("JSON")) {
            Ok(messages) => Ok(serde_json::from_slice(&to_json(&messages)).expect("JSON")),
            Err(Refusal::Field { param, .. }) => Err(param),
            Err(other) => panic!("{other}"),
        }
    }

    fn call(id: &str) -> Value {
        json!({"type": "function_call", "id": "fc_1", "call_id": id, "name": "f", "arguments": "{}", "status": "completed"})
    }

    fn sent(id: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}})
    }

    #[test]
    fn a_text_and_messages_of_either_form_are_messages() {
        assert_eq!(mapped(&json!("hi")), Ok(json!([{"role": "user", "content": "hi"}])));
        let input = json!([
            {"role": "developer", "content": "be brief"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "phase": null,
                "content": [{"type": "output_text", "text": "yes?", "annotations": []}]},
            {"role": "assistant", "content": "hello?"},
        ]);
        let expected = json!([
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "yes?"},
            {"role": "assistant", "content": "hello?"},
        ]);
        assert_eq!(mapped(&input), Ok(expected));
    }

    #[test]
    fn what_a_model_said_in_several_items_is_one_message() {
        let text = |text: &str| json!({"role": "assistant", "content": text});
        let output = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "done"});
        let thought = json!({"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]});
        let tool = |id: &str| json!({"role": "tool", "content": "done", "tool_call_id": id});
        let said = |content: Value, calls: Vec<Value>| json!({"role": "assistant", "content": content, "tool_calls": calls});
        let part = |text: &str| json!({"type": "text", "text": text});
        let thinking = |mut message: Value| {
            message["reasoning_content"] = "hm".into();
            message
        };
        let cases = [
            (
                vec![call("a"), call("b"), output("a"), output("b")],
                vec![said(Value::Null, vec![sent("a"), sent("b")]), tool("a"), tool("b")],
            ),
            (vec![text("wait"), call("a"), output("a")], vec![said(json!("wait"), vec![sent("a")]), tool("a")]),
            (vec![call("a"), text("after"), output("a")], vec![said(json!("after"), vec![sent("a")]), tool("a")]),
            (
                vec![text("1"), call("a"), text("2"), call("b"), output("a"), output("b")],
                vec![said(json!([part("1"), part("2")]), vec![sent("a"), sent("b")]), tool("a"), tool("b")],
            ),
            (
                vec![call("a"), output("a"), call("b"), output("b")],
                vec![said(Value::Null, vec![sent("a")]), tool("a"), said(Value::Null, vec![sent("b")]), tool("b")],
            ),
            (
                vec![thought.clone(), call("a"), output("a"), text("end")],
                vec![thinking(said(Value::Null, vec![sent("a")])), tool("a"), text("end")],
            ),
            (vec![thought.clone(), text("end")], vec![thinking(text("end"))]),
            (
                vec![thought, json!({"role": "user", "content": "hi"}), text("end")],
                vec![json!({"role": "user", "content": "hi"}), text("end")],
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(mapped(&Value::from(input.clone())), Ok(expected.into()), "{input:?}");
        }
    }

    #[test]
    fn very_many_items_of_one_message_cost_no_more_than_their_bytes() {
        let thought = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]});
        let turn = [thought, call("a"), json!({"role": "assistant", "content": "so"})];
        let input: Vec<&Value> = turn.iter().cycle().take(60_000).collect();
        let messages = messages(&raw(serde_json::to_string(&input).expect("JSON")).expect("JSON")).expect("taken");
        let [message] = &messages[..] else { panic!("{} messages", messages.len()) };
        assert_eq!((message.tool_calls.len(), message.extra.len()), (20_000, 1));
        assert!(matches!(&message.content, Content::Parts(parts) if parts.len() == 20_000));
    }

    #[test]
    fn an_output_may_be_parts() {
        let output = json!([{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "data:x"}]);
        let expected = json!([{"role": "tool", "tool_call_id": "a",
            "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:x"}}]}]);
        assert_eq!(mapped(&json!([{"type": "function_call_output", "call_id": "a", "output": output}])), Ok(expected));
    }

    #[test]
    fn an_item_that_cannot_be_taken_is_named() {
        let cases = [
            (json!(7), "input"),
            (json!({"role": "user"}), "input"),
            (json!(["hi"]), "input[0]"),
            (json!([{"role": "user"}]), "input[0].content"),
            (json!([{"role": "user", "content": null}]), "input[0].content"),
            (json!([{"role": "tool", "content": "x"}]), "input[0].role"),
            (json!([{"type": "message", "content": "x"}]), "input[0].role"),
            (json!([{"content": "x"}]), "input[0].type"),
            (json!([{"type": "item_reference", "id": "msg_1"}]), "input[0]"),
            (json!([{"id": "msg_1"}]), "input[0]"),
            (json!([{"type": "web_search_call", "id": "ws_1"}]), "input[0].type"),
            (json!([{"type": "function_call", "name": "f", "arguments": "{}"}]), "input[0].call_id"),
            (json!([{"type": "function_call", "call_id": "a", "arguments": "{}"}]), "input[0].name"),
            (json!([{"type": "function_call", "call_id": "a", "name": "f", "arguments": {}}]), "input[0].arguments"),
            (json!([{"type": "function_call_output", "output": "x"}]), "input[0].call_id"),
            (json!([{"type": "function_call_output", "call_id": "a"}]), "input[0].output"),
            (json!([{"type": "reasoning", "summary": [{"type": "summary_text"}]}]), "input[0].summary[0].text"),
        ];
        for (input, param) in cases {
            assert_eq!(mapped(&input), Err(param.into()), "{input}");
        }
    }
}
