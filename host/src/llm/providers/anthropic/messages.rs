//! The conversation as Anthropic takes it: a system prompt, then turns of user and assistant in strict alternation.
//! The results of tools open the user's turn after the calls, each call has exactly one, and no text is blank.
//! Sources: Anthropic's "Handle tool calls", "Extended thinking" (replay). Must not know tools' definitions or the reply.

use std::collections::HashMap;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::content::{Block, blocks, given, unfit};
use super::names::{Fresh, Names};
use crate::chat::codec::{json, raw_json};
use crate::chat::{Content, FunctionCall, Json, Message, Part, ToolCall};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};

/// What a turn says that would otherwise be empty: the API takes no turn without text.
const NOTHING: &str = ".";

/// Goes before an instruction that comes in the middle. Moving it to the system prompt would change what is cached of the whole history.
const NOTE: &str = "Instruction from the operator of this conversation, not from the user:";

/// Bytes of a call's id: far above any vendor's own.
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
    pub(super) calls: bool,
    /// Some turn replays thought.
    pub(super) thought: bool,
}

/// Reads the conversation of `ask`.
pub(super) fn conversation(request: &CompletionRequest<'_>, names: &mut Names) -> Result<Conversation, UnsupportedField> {
    let leading = request.messages.iter().take_while(|message| is_system(message)).count();
    let mut out = Conversation::default();
    for (at, message) in request.messages[..leading].iter().enumerate() {
        out.system.extend(system(message, at)?);
    }
    let mut writer = Writer { request, names, out, open: HashMap::new(), ids: Fresh::default() };
    for (at, message) in request.messages.iter().enumerate().skip(leading) {
        writer.message(message, at)?;
    }
    writer.settled()?;
    Ok(writer.finish())
}

fn is_system(message: &Message) -> bool {
    matches!(message.role.as_str(), "system" | "developer")
}

/// The text of a system message; anything else has no place there.
fn system(message: &Message, at: usize) -> Result<Vec<Block>, UnsupportedField> {
    let path = format!("messages[{at}].content");
    if let Content::Parts(parts) = &message.content
        && let Some(place) = parts.iter().position(|part| matches!(part, Part::Other(_)))
    {
        return Err(unfit(format!("{path}[{place}]"), "is no text, which is all that a system message can hold"));
    }
    let mut blocks = match &message.content {
        Content::Null => Vec::new(),
        Content::Text(text) if text.trim().is_empty() => Vec::new(),
        Content::Text(text) => vec![Block::text(text)],
        Content::Parts(parts) => parts.iter().filter_map(text_block).collect(),
    };
    mark_last(&mut blocks, message);
    Ok(blocks)
}

fn text_block(part: &Part) -> Option<Block> {
    let Part::Text { text, extra } = part else { return None };
    let cache_control = given(extra, "cache_control").cloned();
    (!text.trim().is_empty()).then(|| Block::Text { text: text.clone(), cache_control })
}

/// A mark on the message counts for its last block.
fn mark_last(blocks: &mut [Block], message: &Message) {
    if let (Some(block), Some(mark)) = (blocks.last_mut(), given(&message.extra, "cache_control")) {
        block.cache(mark.clone());
    }
}

struct Writer<'a, 'b> {
    request: &'a CompletionRequest<'b>,
    names: &'a mut Names,
    out: Conversation,
    /// The calls of the assistant's turn that stands last or before the last, by the client's ids.
    open: HashMap<String, Call>,
    /// Every id that is on the wire.
    ids: Fresh,
}

struct Call {
    wire: String,
    /// Where the client made it.
    path: String,
    answered: bool,
}

impl Writer<'_, '_> {
    fn message(&mut self, message: &Message, at: usize) -> Result<(), UnsupportedField> {
        match message.role.as_str() {
            "system" | "developer" => {
                let mut blocks = system(message, at)?;
                if let Some(Block::Text { text, .. }) = blocks.first_mut() {
                    *text = format!("{NOTE}\n{text}");
                }
                // No placeholder: where it says nothing, there is no turn to keep.
                if !blocks.is_empty() {
                    self.turn(Role::User).content.extend(blocks);
                }
                Ok(())
            }
            "user" => self.user(message, at),
            "assistant" => self.assistant(message, at),
            "tool" => self.result(message, at),
            "function" => Err(unfit(format!("messages[{at}].role"), "is `function`, an old form; send `tool` with a tool_call_id")),
            role => {
                Err(unfit(format!("messages[{at}].role"), format!("is `{role}`; it must be system, developer, user, assistant or tool")))
            }
        }
    }

    /// `name`, which tells several users apart, has no place in the API; the clients that send it mostly send it always, so it is left out.
    fn user(&mut self, message: &Message, at: usize) -> Result<(), UnsupportedField> {
        let mut blocks = blocks(self.request, &message.content, &format!("messages[{at}].content"))?;
        mark_last(&mut blocks, message);
        let turn = self.turn(Role::User);
        turn.content.extend(blocks);
        if turn.content.is_empty() {
            turn.content.push(Block::text(NOTHING));
        }
        Ok(())
    }

    fn assistant(&mut self, message: &Message, at: usize) -> Result<(), UnsupportedField> {
        if given(&message.extra, "function_call").is_some() {
            return Err(unfit(format!("messages[{at}].function_call"), "is an old form; send `tool_calls`"));
        }
        if given(&message.extra, "audio").is_some() {
            self.request
                .refuse_or_drop(format!("messages[{at}].audio"), "names audio, which Anthropic has not; send its transcript as content")?;
        }
        self.begin_assistant()?;
        let thoughts = thoughts(message, at)?;
        self.out.thought |= !thoughts.is_empty();
        let mut content = thoughts;
        let said = blocks(self.request, &message.content, &format!("messages[{at}].content"))?;
        let refusal = given(&message.extra, "refusal").and_then(|json| serde_json::from_str::<String>(json.get()).ok());
        match refusal.filter(|text| said.is_empty() && !text.trim().is_empty()) {
            Some(refusal) => content.push(Block::text(refusal)),
            None => content.extend(said),
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

    /// Calls are answered before the assistant speaks again; an assistant's next message without calls between goes into the same turn.
    fn begin_assistant(&mut self) -> Result<(), UnsupportedField> {
        self.settled()?;
        self.open.clear();
        Ok(())
    }

    fn settled(&self) -> Result<(), UnsupportedField> {
        let unanswered = self.open.values().filter(|call| !call.answered).map(|call| call.path.as_str()).min();
        match unanswered {
            None => Ok(()),
            Some(path) => {
                Err(unfit(path, "has no result; a message of the role `tool` with its id must follow before the assistant's next"))
            }
        }
    }

    fn call(&mut self, call: &ToolCall, path: String) -> Result<Block, UnsupportedField> {
        let ToolCall::Function(FunctionCall { id, name, arguments, .. }) = call else {
            return Err(unfit(path, "must have an id, the type `function` and a function with a name and arguments"));
        };
        let input = object(arguments).ok_or_else(|| unfit(format!("{path}.function.arguments"), "must be a JSON object in a string"))?;
        let wire = self.ids.plain(id, ID_BYTES);
        self.out.calls = true;
        let open = Call { wire: wire.clone(), path: path.clone(), answered: false };
        if self.open.insert(id.clone(), open).is_some() {
            return Err(unfit(format!("{path}.id"), "is the id of another call of the same message"));
        }
        Ok(Block::ToolUse { id: wire, name: self.names.wire(name), input, cache_control: None })
    }

    /// A result joins the user's turn, see [`Self::finish`] for its place there.
    fn result(&mut self, message: &Message, at: usize) -> Result<(), UnsupportedField> {
        let path = format!("messages[{at}].tool_call_id");
        let id = message.tool_call_id.as_deref().ok_or_else(|| unfit(&path, "is missing; it names the call that this is the result of"))?;
        let call = self.open.get_mut(id).ok_or_else(|| unfit(&path, "names no call of the assistant's message before it"))?;
        if std::mem::replace(&mut call.answered, true) {
            return Err(unfit(path, "names a call that has its result already"));
        }
        let tool_use_id = call.wire.clone();
        let content = blocks(self.request, &message.content, &format!("messages[{at}].content"))?;
        let is_error = given(&message.extra, "is_error").is_some_and(|json| json.get() == "true");
        let cache_control = given(&message.extra, "cache_control").cloned();
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

    /// The API wants the user's turn first, results before all else that a turn says, and no white space at the end of an assistant's last one.
    fn finish(mut self) -> Conversation {
        // Once for all results: putting each into its place would take as many steps as there are blocks behind it.
        for turn in &mut self.out.turns {
            turn.content.sort_by_key(|block| turn.role == Role::User && !matches!(block, Block::ToolResult { .. }));
        }
        if self.out.turns.first().is_none_or(|turn| turn.role == Role::Assistant) {
            self.out.turns.insert(0, Turn { role: Role::User, content: vec![Block::text(NOTHING)] });
        }
        if let Some(Turn { role: Role::Assistant, content }) = self.out.turns.last_mut()
            && let Some(Block::Text { text, .. }) = content.last_mut()
        {
            text.truncate(text.trim_end().len());
        }
        self.out
    }
}

/// The thought of an assistant's message, from the field in which we gave it. What has no signature is not Anthropic's, which would refuse it.
fn thoughts(message: &Message, at: usize) -> Result<Vec<Block>, UnsupportedField> {
    let Some(given) = given(&message.extra, "thinking_blocks") else { return Ok(Vec::new()) };
    let bad = || unfit(format!("messages[{at}].thinking_blocks"), "must be the list that came with the reply, unchanged");
    let list: Vec<Json> = serde_json::from_str(given.get()).map_err(|_| bad())?;
    let mut blocks = Vec::new();
    for json in list {
        let mut block: Value = serde_json::from_str(json.get()).map_err(|_| bad())?;
        // Blocks of a stream were numbered for the client, which the API does not know.
        let numbered = block.as_object_mut().is_some_and(|fields| fields.remove("index").is_some());
        let json = if numbered { raw_json(&block) } else { json };
        let signed = block["signature"].as_str().is_some_and(|signature| !signature.is_empty());
        match block["type"].as_str() {
            Some("thinking") if signed => blocks.push(Block::Thought(json)),
            Some("thinking") => {}
            Some("redacted_thinking") => blocks.push(Block::Thought(json)),
            _ => return Err(bad()),
        }
    }
    Ok(blocks)
}

/// A call's arguments as the object that they must be. Nothing, which some clients keep of a call without arguments, counts as `{}`.
fn object(arguments: &str) -> Option<Json> {
    let text = arguments.trim();
    let text = if text.is_empty() || text == "null" { "{}" } else { text };
    serde_json::from_str::<HashMap<String, IgnoredAny>>(text).ok()?;
    json(text.to_owned()).ok()
}
