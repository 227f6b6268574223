//! The conversation as Anthropic takes it: a system prompt, then turns of user and assistant in strict alternation.
//! The results of tools open the user's turn after the calls, each call has exactly one result, and no text is blank.
//! Sources: Anthropic's "Handle tool calls", "Extended thinking" (replay).

use std::collections::HashMap;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::content::{Block, blocks, non_null, text_block};
use crate::chat::codec::{json, raw_json};
use crate::chat::{Content, FunctionCall, Json, Message, Part, ToolCall};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::tool_names::ToolNames;
use crate::llm::unique_names::UniqueNames;

/// The text of a turn that would otherwise be empty, which the API refuses.
const FILLER: &str = ".";

/// Stands before a system message in the middle of a conversation. Moved to the system prompt, it would spoil the cache of the whole history.
const OPERATOR_NOTE: &str = "Instruction from the operator of this conversation, not from the user:";

/// Bytes of a call's id: far more than any vendor's own ids have.
const ID_BYTES: usize = 256;

/// One turn.
#[derive(Debug, Serialize)]
pub(super) struct Turn {
    pub(super) role: Role,
    pub(super) content: Vec<Block>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Assistant,
}

/// A whole conversation.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) system: Vec<Block>,
    pub(super) turns: Vec<Turn>,
    /// Some turn calls a tool.
    pub(super) has_calls: bool,
    /// Some turn replays thought.
    pub(super) has_thoughts: bool,
}

/// The conversation of the request.
///
/// # Errors
/// `UnsupportedField` names the message and what in it the API cannot take.
pub(super) fn conversation(request: &CompletionRequest<'_>, names: &mut ToolNames) -> Result<Conversation, UnsupportedField> {
    let leading = request.messages.iter().take_while(|message| is_system(message)).count();
    let mut out = Conversation::default();
    for (at, message) in request.messages[..leading].iter().enumerate() {
        out.system.extend(system(message, at)?);
    }
    let mut builder = ConversationBuilder { request, names, out, open_calls: HashMap::new(), ids: UniqueNames::default() };
    for (at, message) in request.messages.iter().enumerate().skip(leading) {
        builder.message(message, at)?;
    }
    builder.check_results()?;
    Ok(builder.finish())
}

fn is_system(message: &Message) -> bool {
    matches!(message.role.as_str(), "system" | "developer")
}

/// The text of a system message, which can hold nothing else.
fn system(message: &Message, at: usize) -> Result<Vec<Block>, UnsupportedField> {
    let path = format!("messages[{at}].content");
    if let Content::Parts(parts) = &message.content
        && let Some(place) = parts.iter().position(|part| matches!(part, Part::Other(_)))
    {
        return Err(UnsupportedField::new(format!("{path}[{place}]"), "is no text, which is all that a system message can hold"));
    }
    let mut blocks = match &message.content {
        Content::Null => Vec::new(),
        Content::Text(text) => text_block(text, None).into_iter().collect(),
        Content::Parts(parts) => parts.iter().filter_map(text_part).collect(),
    };
    mark_last(&mut blocks, message);
    Ok(blocks)
}

fn text_part(part: &Part) -> Option<Block> {
    let Part::Text { text, extra } = part else { return None };
    text_block(text, non_null(extra, "cache_control"))
}

/// A cache mark on the message counts for its last block.
fn mark_last(blocks: &mut [Block], message: &Message) {
    if let (Some(block), Some(mark)) = (blocks.last_mut(), non_null(&message.extra, "cache_control")) {
        block.cache(mark.clone());
    }
}

struct ConversationBuilder<'a, 'b> {
    request: &'a CompletionRequest<'b>,
    names: &'a mut ToolNames,
    out: Conversation,
    /// The calls of the newest turn of the assistant, by the client's ids.
    open_calls: HashMap<String, OpenCall>,
    /// The ids as they are sent.
    ids: UniqueNames,
}

struct OpenCall {
    wire_id: String,
    /// Where the call stands in the client's body.
    path: String,
    answered: bool,
}

impl ConversationBuilder<'_, '_> {
    fn message(&mut self, message: &Message, at: usize) -> Result<(), UnsupportedField> {
        match message.role.as_str() {
            "system" | "developer" => {
                let mut blocks = system(message, at)?;
                if let Some(Block::Text { text, .. }) = blocks.first_mut() {
                    *text = format!("{OPERATOR_NOTE}\n{text}");
                }
                // An empty one needs no filler, because no turn depends on it.
                if !blocks.is_empty() {
                    self.turn(Role::User).content.extend(blocks);
                }
                Ok(())
            }
            "user" => self.user(message, at),
            "assistant" => self.assistant(message, at),
            "tool" => self.result(message, at),
            "function" => {
                Err(UnsupportedField::new(format!("messages[{at}].role"), "is `function`, an old form; send `tool` with a tool_call_id"))
            }
            role => Err(UnsupportedField::new(
                format!("messages[{at}].role"),
                format!("is `{role}`; it must be system, developer, user, assistant or tool"),
            )),
        }
    }

    /// `name`, which tells several users apart, has no counterpart in the API. It is left out without an error, because clients that send it send
    /// it with every message.
    fn user(&mut self, message: &Message, at: usize) -> Result<(), UnsupportedField> {
        let mut blocks = blocks(self.request, &message.content, &format!("messages[{at}].content"))?;
        mark_last(&mut blocks, message);
        let turn = self.turn(Role::User);
        turn.content.extend(blocks);
        if turn.content.is_empty() {
            turn.content.push(Block::text(FILLER));
        }
        Ok(())
    }

    fn assistant(&mut self, message: &Message, at: usize) -> Result<(), UnsupportedField> {
        if non_null(&message.extra, "function_call").is_some() {
            return Err(UnsupportedField::new(format!("messages[{at}].function_call"), "is an old form; send `tool_calls`"));
        }
        if non_null(&message.extra, "audio").is_some() {
            self.request
                .refuse_or_drop(format!("messages[{at}].audio"), "names audio, which Anthropic has not; send its transcript as content")?;
        }
        self.begin_assistant()?;
        let thoughts = thoughts(message, at)?;
        self.out.has_thoughts |= !thoughts.is_empty();
        let mut content = thoughts;
        let blocks = blocks(self.request, &message.content, &format!("messages[{at}].content"))?;
        let refusal = non_null(&message.extra, "refusal").and_then(|json| serde_json::from_str::<String>(json.get()).ok());
        match refusal.filter(|text| blocks.is_empty() && !text.trim().is_empty()) {
            Some(refusal) => content.push(Block::text(refusal)),
            None => content.extend(blocks),
        }
        for (place, call) in message.tool_calls.iter().enumerate() {
            content.push(self.call(call, format!("messages[{at}].tool_calls[{place}]"))?);
        }
        mark_last(&mut content, message);
        if !content.is_empty() {
            self.turn(Role::Assistant).content.extend(content);
        }
        Ok(())
    }

    /// Every call must have its result before the assistant's next message.
    fn begin_assistant(&mut self) -> Result<(), UnsupportedField> {
        self.check_results()?;
        self.open_calls.clear();
        Ok(())
    }

    fn check_results(&self) -> Result<(), UnsupportedField> {
        let unanswered = self.open_calls.values().filter(|call| !call.answered).map(|call| call.path.as_str()).min();
        match unanswered {
            None => Ok(()),
            Some(path) => Err(UnsupportedField::new(
                path,
                "has no result; a message of the role `tool` with its id must follow before the assistant's next",
            )),
        }
    }

    fn call(&mut self, call: &ToolCall, path: String) -> Result<Block, UnsupportedField> {
        let ToolCall::Function(FunctionCall { id, name, arguments, extra }) = call else {
            return Err(UnsupportedField::new(path, "must have an id, the type `function` and a function with a name and arguments"));
        };
        let input = object(arguments)
            .ok_or_else(|| UnsupportedField::new(format!("{path}.function.arguments"), "must be a JSON object in a string"))?;
        let wire_id = self.ids.unique_identifier(id, ID_BYTES);
        self.out.has_calls = true;
        let open_call = OpenCall { wire_id: wire_id.clone(), path: path.clone(), answered: false };
        if self.open_calls.insert(id.clone(), open_call).is_some() {
            return Err(UnsupportedField::new(format!("{path}.id"), "is the id of another call of the same message"));
        }
        let cache_control = non_null(extra, "cache_control").cloned();
        Ok(Block::ToolUse { id: wire_id, name: self.names.wire_name(name), input, cache_control })
    }

    /// A result joins the user's turn; [`Self::finish`] puts it into its place there.
    fn result(&mut self, message: &Message, at: usize) -> Result<(), UnsupportedField> {
        let path = format!("messages[{at}].tool_call_id");
        let id = message
            .tool_call_id
            .as_deref()
            .ok_or_else(|| UnsupportedField::new(&path, "is missing; it names the call that this is the result of"))?;
        let call = self
            .open_calls
            .get_mut(id)
            .ok_or_else(|| UnsupportedField::new(&path, "names no call of the assistant's message before it"))?;
        if std::mem::replace(&mut call.answered, true) {
            return Err(UnsupportedField::new(path, "names a call that has its result already"));
        }
        let tool_use_id = call.wire_id.clone();
        let content = blocks(self.request, &message.content, &format!("messages[{at}].content"))?;
        let is_error = non_null(&message.extra, "is_error").is_some_and(|json| json.get() == "true");
        let cache_control = non_null(&message.extra, "cache_control").cloned();
        self.turn(Role::User).content.push(Block::ToolResult { tool_use_id, content, is_error, cache_control });
        Ok(())
    }

    /// The last turn if it is of that role, or a new one.
    fn turn(&mut self, role: Role) -> &mut Turn {
        let turns = &mut self.out.turns;
        if turns.last().is_none_or(|turn| turn.role != role) {
            turns.push(Turn { role, content: Vec::new() });
        }
        turns.last_mut().expect("there is one now")
    }

    /// The API wants a turn of the user first, results before everything else in a turn, and no white space at the end of an assistant's last turn.
    fn finish(mut self) -> Conversation {
        // Sorted once, because moving each result by itself would take as many steps as there are blocks behind it.
        for turn in &mut self.out.turns {
            turn.content.sort_by_key(|block| turn.role == Role::User && !matches!(block, Block::ToolResult { .. }));
        }
        if self.out.turns.first().is_none_or(|turn| turn.role == Role::Assistant) {
            self.out.turns.insert(0, Turn { role: Role::User, content: vec![Block::text(FILLER)] });
        }
        if let Some(Turn { role: Role::Assistant, content }) = self.out.turns.last_mut()
            && let Some(Block::Text { text, .. }) = content.last_mut()
        {
            text.truncate(text.trim_end().len());
        }
        self.out
    }
}

/// The thoughts of an assistant's message, from the field in which the client got them. A thought without a signature is another vendor's, and
/// the API would refuse it.
fn thoughts(message: &Message, at: usize) -> Result<Vec<Block>, UnsupportedField> {
    let Some(thoughts) = non_null(&message.extra, "thinking_blocks") else { return Ok(Vec::new()) };
    let invalid =
        || UnsupportedField::new(format!("messages[{at}].thinking_blocks"), "must be the list that came with the reply, unchanged");
    let list: Vec<Json> = serde_json::from_str(thoughts.get()).map_err(|_| invalid())?;
    let mut blocks = Vec::new();
    for json in list {
        let mut block: Value = serde_json::from_str(json.get()).map_err(|_| invalid())?;
        // Blocks of a stream were numbered for the client. The API does not know the number.
        let numbered = block.as_object_mut().is_some_and(|fields| fields.remove("index").is_some());
        let json = if numbered { raw_json(&block) } else { json };
        let signed = block["signature"].as_str().is_some_and(|signature| !signature.is_empty());
        match block["type"].as_str() {
            Some("thinking") if signed => blocks.push(Block::Thought(json)),
            Some("thinking") => {}
            Some("redacted_thinking") => blocks.push(Block::Thought(json)),
            _ => return Err(invalid()),
        }
    }
    Ok(blocks)
}

/// A call's arguments as the object that they must be. An empty text and `null`, which some clients send for no arguments, count as `{}`.
fn object(arguments: &str) -> Option<Json> {
    let text = arguments.trim();
    let text = if text.is_empty() || text == "null" { "{}" } else { text };
    serde_json::from_str::<HashMap<String, IgnoredAny>>(text).ok()?;
    json(text.to_owned()).ok()
}
