//! Hands the host what is hard to hold or to read, by what the user's message says.

use cofferdam_guest::{
    Changes, Field, FieldChange, HookError, Message, Part, Plugin, PostOutcome, PreOutcome, Replacement, Reply, Request, ToolCall,
};

struct Bomber;

fn deep(text: &str) -> String {
    let depth = text.parse().unwrap_or(0);
    "[".repeat(depth) + &"]".repeat(depth)
}

fn field(value: String) -> Field {
    Field { name: "bomb".into(), value }
}

fn change(value: String) -> FieldChange {
    FieldChange { name: "bomb".into(), value: Some(value) }
}

/// A message that holds that; none if the words name no message.
fn message(what: &str, number: &str) -> Option<Message> {
    let many = number.parse().unwrap_or(0);
    let mut message = Message::assistant("boom");
    let nested = || format!("{{\"bomb\":{}}}", deep(number));
    match what {
        "extra" => message.extra.push(field(deep(number))),
        "part" => message.content.push(Part::Other(nested())),
        "call" => message.tool_calls.push(ToolCall::Other(nested())),
        "parts" => message.content = (0..many).map(|_| Part::Other("{}".into())).collect(),
        "role" => message.role = "system".into(),
        "nobody" => message.role = String::new(),
        _ => return None,
    }
    Some(message)
}

impl Plugin for Bomber {
    const NAME: Option<&'static str> = Some("bomber");

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let said = request.last_user().map(|(_, message)| message.text()).unwrap_or_default();
        let (what, number) = said.split_once(' ').unwrap_or((&said, "0"));
        let many = number.parse::<usize>().unwrap_or(0);
        if let Some(message) = message(what, number) {
            return Ok(message.into());
        }
        let mut changes = Changes::new();
        match what {
            "metadata" => changes.metadata.push(change(deep(number))),
            "params" => changes.params.push(change(deep(number))),
            "wide" => changes.metadata.push(change(format!("\"{}\"", "x".repeat(many)))),
            "name" => changes.metadata.push(FieldChange { name: "n".repeat(many), value: Some("1".into()) }),
            "number" => changes.params.push(change("7".repeat(many))),
            "escapes" => changes.params.push(change(format!("\"{}\"", "\\u0000".repeat(many)))),
            "keys" => changes.params.push(change(format!("{{{}\"k\":0}}", "\"k\":0,".repeat(many)))),
            "panic" => panic!("{}", "\x1b[2J\nINFO forged: it is well".repeat(many)),
            "error" => return Err(HookError::Other("\x1b[2J\nINFO forged: it is well".repeat(many))),
            _ => {}
        }
        Ok(changes.into())
    }

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        let said = reply.choices.first().map(|choice| choice.message.text()).unwrap_or_default();
        let (what, number) = said.split_once(' ').unwrap_or((&said, "0"));
        let many = number.parse().unwrap_or(0);
        Ok(match (what, message(what, number)) {
            (_, Some(message)) => Replacement::new().message(0, message).into(),
            ("choice", None) => Replacement::new().message(many, Message::assistant("boom")).into(),
            ("metadata", None) => PostOutcome::Keep(vec![change(deep(number))]),
            ("wide", None) => PostOutcome::Keep(vec![change(format!("\"{}\"", "x".repeat(many as usize)))]),
            _ => PostOutcome::keep(),
        })
    }
}

cofferdam_guest::export!(Bomber: pre_hook, post_hook);
