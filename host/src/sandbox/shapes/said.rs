//! How much of a reply a post-hook is handed, counted on what it is handed. Invariant: what a scope leaves out is not counted as shown.

use serde_json::value::RawValue;

use super::{Call, ContentPart, Field, Message, Reply};
use crate::chat::{Channel, Said};

impl Reply<'_> {
    /// `usage` is the JSON of what it has of that.
    pub(in crate::sandbox) fn said(&self, usage: Option<&RawValue>) -> Said {
        let mut said = Said::default();
        let usage = usage.filter(|_| self.usage.is_some()).map_or(0, |json| json.get().len());
        said.add(Channel::Other, self.model.len() + usage);
        for choice in &self.choices {
            message(&choice.message, &mut said);
            said.add(Channel::Other, choice.finish_reason.map_or(0, str::len));
        }
        said
    }
}

fn message(message: &Message<'_>, said: &mut Said) {
    let Message { role, content, tool_calls, tool_call_id, name, extra } = message;
    let names = [tool_call_id, name].into_iter().flatten().map(|name| name.len()).sum::<usize>();
    said.add(Channel::Other, names + if *role == "assistant" { 0 } else { role.len() });
    for part in content {
        match part {
            ContentPart::Text(part) => {
                said.add(Channel::Text, part.text.len());
                fields(&part.extra, said);
            }
            ContentPart::Other(json) => said.add(Channel::Media, json.len()),
        }
    }
    for call in tool_calls {
        match call {
            Call::Function(call) => {
                said.add(Channel::ToolName, call.id.len() + call.name.len());
                said.add(Channel::ToolArguments, call.arguments.len());
                fields(&call.extra, said);
            }
            Call::Other(json) => said.add(Channel::ToolArguments, json.len()),
        }
    }
    extra.iter().for_each(|field| said.message_field(field.name, field.value));
}

fn fields(list: &[Field<'_>], said: &mut Said) {
    list.iter().for_each(|field| said.field(field.name, field.value));
}
