//! `input`: a text, or a list of items, as the messages of a chat. What a model sent as several items is one message again: its text, its
//! reasoning and its calls.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;

use super::content::content;
use super::field::{is_null, need, read};
use super::kept::EXTRA_CONTENT;
use super::names::Names;
use super::reasoning::Reasoning;
use super::tools::ADDITIONAL;
use crate::chat::codec::raw_json;
use crate::chat::{Content, Fields, FunctionCall, Json, Message, Part, ToolCall};
use crate::http::error::Refusal;

/// What tools of OpenAI's servers did or found. Such a tool is never offered here, and a conversation that began elsewhere may still hold them.
const OF_HOSTED_TOOLS: [&str; 10] = [
    "code_interpreter_call",
    "file_search_call",
    "image_generation_call",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
];

/// Read first, so that an item of a kind that is not taken is told so, whatever else it holds.
#[derive(Deserialize)]
struct Head {
    r#type: Option<String>,
    role: Option<IgnoredAny>,
    id: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Said<'a> {
    role: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// A call of a function, of a custom tool or of the client's shell.
#[derive(Deserialize)]
struct Call<'a> {
    call_id: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    input: Option<String>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    extra_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Output<'a> {
    call_id: Option<String>,
    /// The call's id, as the first clients with a shell sent it.
    id: Option<String>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

/// The messages that the input stands for.
pub(super) fn messages(input: &Json, names: &mut Names) -> Result<Vec<Message>, Refusal> {
    if input.get().starts_with('"') {
        return Ok(vec![Message::text("user", read::<String>("input", input)?)]);
    }
    let items: Vec<&RawValue> = read("input", input).map_err(|_| Refusal::field("input", "must be a string or a list of items"))?;
    let mut talk = Talk { names, messages: Vec::new(), led: Reasoning::default(), reasoning: Reasoning::default() };
    for (index, json) in items.iter().enumerate() {
        talk.item(&format!("input[{index}]"), json)?;
    }
    talk.said_last();
    talk.attach();
    Ok(talk.messages)
}

struct Talk<'a> {
    names: &'a mut Names,
    messages: Vec<Message>,
    /// They led to the last message, which may still grow.
    led: Reasoning,
    /// They belong to the next thing that the model says.
    reasoning: Reasoning,
}

impl Talk<'_> {
    fn item(&mut self, at: &str, json: &RawValue) -> Result<(), Refusal> {
        let Head { r#type, role, id } = read(at, json)?;
        match r#type.as_deref() {
            Some("message") => self.message(at, read(at, json)?),
            None if role.is_some() => self.message(at, read(at, json)?),
            Some(kind @ ("function_call" | "custom_tool_call" | "local_shell_call")) => self.call(at, kind, read(at, json)?),
            Some("function_call_output" | "custom_tool_call_output" | "local_shell_call_output") => self.output(at, read(at, json)?),
            Some("reasoning") => self.reasoning.add(at, json),
            Some("item_reference") => Err(reference(at)),
            None if id.is_some() => Err(reference(at)),
            None => Err(Refusal::field(format!("{at}.type"), "is missing; a message may do without it, but needs `role` and `content`")),
            // Read with the other tools, before the input.
            Some(ADDITIONAL) => Ok(()),
            Some(kind) if OF_HOSTED_TOOLS.contains(&kind) => Ok(()),
            Some(other) => {
                let message = format!(
                    "`{other}` is not taken; items are message, reasoning, and function_call, custom_tool_call and local_shell_call with their \
                     outputs, for this server has no tools of its own"
                );
                Err(Refusal::field(format!("{at}.type"), message))
            }
        }
    }

    fn message(&mut self, at: &str, said: Said<'_>) -> Result<(), Refusal> {
        let role = need(at, "role", said.role)?;
        if !["user", "assistant", "system", "developer"].contains(&role.as_str()) {
            let message = format!("`{role}` is not a role; roles are user, assistant, system and developer");
            return Err(Refusal::field(format!("{at}.role"), message));
        }
        let content = content(&format!("{at}.content"), need(at, "content", said.content.filter(|json| !is_null(json)))?)?;
        if role != "assistant" {
            self.said_last();
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

    fn call(&mut self, at: &str, kind: &str, call: Call<'_>) -> Result<(), Refusal> {
        let Call { call_id, namespace, name, arguments, input, action, extra_content } = call;
        let id = need(at, "call_id", call_id)?;
        let name = match kind {
            "local_shell_call" => self.names.local_shell(),
            _ => self.names.chat_name(namespace.as_deref(), &need(at, "name", name)?),
        };
        let arguments = match kind {
            "local_shell_call" => shell_arguments(&format!("{at}.action"), need(at, "action", action)?)?,
            "custom_tool_call" => need(at, "input", input)?,
            _ => need(at, "arguments", arguments)?,
        };
        if self.messages.last().is_none_or(|last| last.role != "assistant") {
            self.push(Message { role: "assistant".into(), ..Message::default() });
        }
        self.led.append(&mut self.reasoning);
        let extra_content =
            extra_content.filter(|json| !is_null(json)).map(ToOwned::to_owned).or_else(|| self.led.kept.of_call(&id).cloned());
        let extra: Fields = extra_content.into_iter().map(|json| (EXTRA_CONTENT.to_owned(), json)).collect();
        let last = self.messages.last_mut().expect("there is one now");
        last.tool_calls.push(match kind {
            "custom_tool_call" => {
                let mut call = json!({"id": id, "type": "custom", "custom": {"name": name, "input": arguments}});
                extra.iter().for_each(|(field, value)| call[field] = serde_json::from_str(value.get()).unwrap_or_default());
                ToolCall::Other(raw_json(&call))
            }
            _ => ToolCall::Function(FunctionCall { id, name, arguments, extra }),
        });
        Ok(())
    }

    fn output(&mut self, at: &str, output: Output<'_>) -> Result<(), Refusal> {
        let Output { call_id, id, output } = output;
        let tool_call_id = Some(need(at, "call_id", call_id.or(id))?);
        let content = content(&format!("{at}.output"), need(at, "output", output.filter(|json| !is_null(json)))?)?;
        self.said_last();
        self.push(Message { role: "tool".into(), content, tool_call_id, ..Message::default() });
        Ok(())
    }

    /// The model says no more for now. Words of reasoning that led to nothing are dropped. What its provider wants back belongs to what it said
    /// last, for some sign a message at its end.
    fn said_last(&mut self) {
        let mut reasoning = std::mem::take(&mut self.reasoning);
        if self.messages.last().is_some_and(|last| last.role == "assistant") {
            self.led.kept.append(&mut reasoning.kept);
        }
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

/// What the client's shell ran, as a model called for it.
fn shell_arguments(at: &str, action: &RawValue) -> Result<String, Refusal> {
    let mut action: serde_json::Map<String, serde_json::Value> = read(at, action)?;
    action.retain(|name, value| name != "type" && !value.is_null());
    Ok(serde_json::Value::Object(action).to_string())
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
        match messages(&raw(input.to_string()).expect("JSON"), &mut Names::default()) {
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
        let input = raw(serde_json::to_string(&input).expect("JSON")).expect("JSON");
        let messages = messages(&input, &mut Names::default()).expect("taken");
        let [message] = &messages[..] else { panic!("{} messages", messages.len()) };
        assert_eq!((message.tool_calls.len(), message.extra.len()), (20_000, 1));
        assert!(matches!(&message.content, Content::Parts(parts) if parts.len() == 20_000));
    }

    #[test]
    fn calls_of_every_tool_that_a_client_runs_have_a_form_and_what_hosted_tools_did_is_left_out() {
        let input = json!([
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
            {"type": "custom_tool_call", "call_id": "a", "name": "patch", "input": "+x", "extra_content": {"google": 1}},
            {"type": "function_call", "call_id": "b", "namespace": "mcp__x", "name": "run", "arguments": "{}"},
            {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"], "env": {}, "user": null}},
            {"type": "custom_tool_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "ok"}]},
            {"type": "function_call_output", "call_id": "b", "output": "ok"},
            {"type": "local_shell_call_output", "id": "c", "output": "ok"},
        ]);
        let function = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        let calls = json!([
            {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "+x"}, "extra_content": {"google": 1}},
            function("b", "mcp__x__run", "{}"),
            function("c", "local_shell", r#"{"command":["ls"],"env":{}}"#),
        ]);
        let tool = |id: &str| json!({"role": "tool", "content": "ok", "tool_call_id": id});
        assert_eq!(
            mapped(&input),
            Ok(json!([{"role": "assistant", "content": null, "tool_calls": calls}, tool("a"), tool("b"), tool("c")]))
        );
    }

    #[test]
    fn what_a_provider_wants_back_goes_to_the_call_or_to_what_was_said_last() {
        let reasoning = |sealed: &str| json!({"type": "reasoning", "summary": [], "encrypted_content": sealed});
        let of_call = reasoning(r#"{"calls":{"a":{"google":1}}}"#);
        let mut signed = sent("a");
        signed["extra_content"] = json!({"google": 1});
        let output = json!({"type": "function_call_output", "call_id": "a", "output": "done"});
        let tool = json!({"role": "tool", "content": "done", "tool_call_id": "a"});
        let said = json!({"role": "assistant", "content": null, "tool_calls": [signed]});
        assert_eq!(mapped(&json!([of_call, call("a"), output])), Ok(json!([said, tool])));
        let at_the_end = reasoning(r#"{"values":{"extra_content":{"google":2}}}"#);
        for next in [json!([]), json!([{"role": "user", "content": "hi"}])] {
            let mut input = vec![json!({"role": "assistant", "content": "so"}), at_the_end.clone()];
            let mut expected = vec![json!({"role": "assistant", "content": "so", "extra_content": {"google": 2}})];
            input.extend(next.as_array().expect("a list").clone());
            expected.extend(next.as_array().expect("a list").clone());
            assert_eq!(mapped(&input.into()), Ok(expected.into()));
        }
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
            (json!([{"type": "computer_call", "id": "cu_1", "arguments": {}, "call_id": 7}]), "input[0].type"),
            (json!([{"type": "custom_tool_call", "call_id": "a", "name": "f"}]), "input[0].input"),
            (json!([{"type": "local_shell_call", "call_id": "a"}]), "input[0].action"),
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
