//! A stream hook on a reply that is whole: one push of all that it reads of it and the close, and a completion again of what the hook lets out.
//! A reply of which nothing was changed stays as its provider wrote it, and so does what the hook does not read.

use std::sync::Arc;

use super::{Ending, Mode, Step};
use crate::chat::codec::{json_string, object, parse_fields, raw_json};
use crate::chat::stream::beside;
use crate::chat::{
    Channel, Choice, Completion, Content, Delta, Exchange, Fields, FunctionCall, Json, Message, Part, Piece, Said, ToolCall,
};
use crate::sandbox::call::Callee;
use crate::sandbox::merge::{channel_of, filled};
use crate::sandbox::plugin::Plugin;
use crate::sandbox::portion::channel;
use crate::sandbox::scope::Channels;
use crate::sandbox::{Fault, PostOutcome};

/// Fields of a message that say what a stream says in pieces of their own. Most providers have one of the last two, or the same in both.
const REFUSAL: &str = "refusal";
const REASONING: [&str; 2] = ["reasoning_content", "reasoning"];

impl Plugin {
    /// Runs the stream hook on the whole completion and applies what it decided. Both come back; after a fault they are unchanged. With them comes
    /// what the hook was handed and has answered to.
    pub async fn stream_hook_on_whole(
        self: &Arc<Self>,
        mut exchange: Exchange,
        mut completion: Completion,
    ) -> ((Exchange, Completion), Result<PostOutcome, Fault>, Said) {
        let mut shown = Said::default();
        let outcome = self.stream_whole(&mut exchange, &mut completion, &mut shown).await;
        ((exchange, completion), outcome, shown)
    }

    async fn stream_whole(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        completion: &mut Completion,
        shown: &mut Said,
    ) -> Result<PostOutcome, Fault> {
        // It is over as soon as a post-hook would be, so it takes a place of those.
        let Callee { permits: own, shared, .. } = &self.callee;
        let place = self.place(exchange, [own, &shared.permits], &shared.memory).await?;
        let Some(mut hook) = self.open_stream(place, exchange, &completion.model).await? else { return Ok(PostOutcome::Keep) };
        let (mut deltas, mut amount) = (Vec::new(), Said::default());
        let reads = self.scope.reads.reply;
        // What an observer gives back is not used.
        let observes = hook.mode() == Mode::Observe;
        completion.choices.iter().for_each(|choice| of_choice(choice, reads, &mut deltas, &mut amount));
        let (mut out, mut changed) = (deltas, false);
        if hook.portion().concerns(&out) {
            let pushed = hook.push(out).await;
            if pushed.step.is_ok() {
                *shown = amount;
            }
            (out, changed) = match pushed.step? {
                Step::Emit(list) if !observes => (list, true),
                Step::Keep | Step::Emit(_) => (pushed.deltas, false),
                Step::Cut(rejection) => return Ok(PostOutcome::Reject(rejection)),
            };
        }
        let (last, metadata) = hook.close(Ending::Finished).await?;
        exchange.metadata = metadata;
        match last {
            Step::Emit(list) if !observes => {
                changed |= !list.is_empty();
                out.extend(list);
            }
            Step::Keep | Step::Emit(_) => {}
            Step::Cut(rejection) => return Ok(PostOutcome::Reject(rejection)),
        }
        if !changed {
            return Ok(PostOutcome::Keep);
        }
        rebuild(completion, out, reads);
        Ok(PostOutcome::Replaced)
    }
}

/// Adds the pieces of a choice that are read, and counts what each was made of.
fn of_choice(choice: &Choice, reads: Channels, deltas: &mut Vec<Delta>, amount: &mut Said) {
    let Choice { index, message, finish_reason, .. } = choice;
    let mut add = |piece| deltas.push(Delta::Piece { choice: *index, piece });
    // Fields that are `null` are of the reply's form and say nothing.
    let is_read = |(name, value): &&(String, Json)| value.get() != "null" && reads.has(channel_of(name));
    let fields: Fields = message.extra.iter().filter(is_read).cloned().collect();
    fields.iter().for_each(|(name, value)| amount.message_field(name, value.get()));
    beside(fields).into_iter().for_each(&mut add);
    match &message.content {
        Content::Null => {}
        Content::Text(text) => {
            if reads.has(Channels::TEXT) {
                add(Piece::Text(text.clone()));
                amount.add(Channel::Text, text.len());
            }
        }
        Content::Parts(parts) => {
            for part in parts {
                match part {
                    Part::Text { .. } if !reads.has(Channels::TEXT) => {}
                    Part::Other(_) if !reads.has(Channels::OTHER) => {}
                    Part::Text { text, .. } => {
                        add(Piece::Text(text.clone()));
                        amount.add(Channel::Text, text.len());
                    }
                    Part::Other(json) => {
                        add(Piece::Fields(vec![("content_part".to_owned(), json.clone())]));
                        amount.part(part);
                    }
                }
            }
        }
    }
    for (at, call) in (0..).zip(&message.tool_calls).filter(|_| reads.has(Channels::TOOL_CALLS)) {
        match call {
            ToolCall::Function(FunctionCall { id, name, arguments, extra }) => {
                add(Piece::Call { index: at, id: id.clone(), name: name.clone(), extra: extra.clone() });
                add(Piece::Arguments { index: at, text: arguments.clone() });
            }
            ToolCall::Other(raw) => {
                let mut fields = parse_fields(raw.get().as_bytes()).unwrap_or_default();
                fields.retain(|(name, _)| name != "index");
                fields.insert(0, ("index".to_owned(), raw_json(&at)));
                add(Piece::Fields(vec![("tool_calls".to_owned(), raw_json(&[object(&fields)]))]));
            }
        }
        amount.call(call);
    }
    add(Piece::Finish(finish_reason.clone().unwrap_or_else(|| "stop".to_owned())));
    amount.add(Channel::Other, finish_reason.as_ref().map_or(0, String::len));
}

/// Puts what went out in the place of what was read of each choice's message.
fn rebuild(completion: &mut Completion, deltas: Vec<Delta>, reads: Channels) {
    for choice in &mut completion.choices {
        let mut built = Built::default();
        for delta in &deltas {
            if let Delta::Piece { choice: of, piece } = delta
                && *of == choice.index
                && channel(piece).is_some_and(|channel| reads.has(channel))
            {
                built.add(piece);
            }
        }
        let reason = built.finish.take();
        choice.message = built.message(&choice.message, reads);
        choice.finish_reason = reason.or_else(|| choice.finish_reason.take());
        // They spell out the text that was there before.
        choice.extra.retain(|(name, _)| name != "logprobs");
    }
}

#[derive(Default)]
struct Built {
    text: String,
    refusal: String,
    reasoning: String,
    thought: String,
    parts: Vec<Part>,
    calls: Vec<(u32, ToolCall)>,
    extra: Fields,
    finish: Option<String>,
}

impl Built {
    fn add(&mut self, piece: &Piece) {
        match piece {
            Piece::Text(text) => self.text.push_str(text),
            Piece::Refusal(text) => self.refusal.push_str(text),
            Piece::Reasoning(text) => self.reasoning.push_str(text),
            Piece::Thought(text) => self.thought.push_str(text),
            Piece::Call { index, id, name, extra } => {
                let call = self.function(*index);
                (call.id, call.name) = (id.clone(), name.clone());
                call.extra.extend(extra.iter().cloned());
            }
            Piece::Arguments { index, text } => self.function(*index).arguments.push_str(text),
            Piece::Fields(fields) => fields.iter().for_each(|(name, value)| self.field(name, value)),
            Piece::Finish(reason) => self.finish = Some(reason.clone()),
            Piece::Begin | Piece::Beside(_) => {}
        }
    }

    fn function(&mut self, index: u32) -> &mut FunctionCall {
        let known = self.calls.iter().position(|(at, call)| *at == index && matches!(call, ToolCall::Function(_)));
        let at = known.unwrap_or_else(|| {
            let empty = FunctionCall { id: String::new(), name: String::new(), arguments: String::new(), extra: Fields::new() };
            self.calls.push((index, ToolCall::Function(empty)));
            self.calls.len() - 1
        });
        match &mut self.calls[at].1 {
            ToolCall::Function(call) => call,
            ToolCall::Other(_) => unreachable!("it was looked for, or made"),
        }
    }

    fn field(&mut self, name: &str, value: &Json) {
        match name {
            "content_part" => self.parts.push(Part::Other(value.clone())),
            "tool_calls" => {
                let entries: Vec<Json> = serde_json::from_str(value.get()).unwrap_or_default();
                entries.iter().for_each(|entry| self.entry(entry));
            }
            _ => self.extra.push((name.to_owned(), value.clone())),
        }
    }

    /// What else is said of a call, or a call of a kind that is not modelled.
    fn entry(&mut self, entry: &Json) {
        let mut fields = parse_fields(entry.get().as_bytes()).unwrap_or_default();
        let at = fields.iter().position(|(name, _)| name == "index");
        let index = at.map(|at| fields.remove(at).1).and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or(u32::MAX);
        if fields.iter().any(|(name, _)| name == "type" || name == "function") {
            self.calls.push((index, ToolCall::Other(object(&fields))));
        } else {
            self.function(index).extra.extend(fields);
        }
    }

    fn message(mut self, was: &Message, reads: Channels) -> Message {
        let says = |name: &str, text: &str| (name.to_owned(), json_string(text));
        if !self.refusal.is_empty() {
            self.extra.push(says(REFUSAL, &self.refusal));
        }
        let had = REASONING.map(|name| was.extra.iter().find(|(known, _)| known == name).map(|(_, value)| value.get()));
        // What was the same under both names was one text, and is again.
        if self.thought.is_empty() && had[0].is_some() && had[0] == had[1] {
            self.thought.clone_from(&self.reasoning);
        }
        for (name, text) in REASONING.into_iter().zip([&self.reasoning, &self.thought]) {
            if !text.is_empty() {
                self.extra.push(says(name, text));
            }
        }
        self.extra.extend(was.extra.iter().filter(|(name, _)| !reads.has(channel_of(name))).cloned());
        // Fields that were `null` are of the reply's form and say nothing.
        for (name, value) in was.extra.iter().filter(|(_, value)| value.get() == "null") {
            if self.extra.iter().all(|(known, _)| known != name) {
                self.extra.push((name.clone(), value.clone()));
            }
        }
        let content = match (self.text, self.parts) {
            (text, parts) if !parts.is_empty() => {
                let text = (!text.is_empty()).then_some(Part::Text { text, extra: Fields::new() });
                Content::Parts(text.into_iter().chain(parts).collect())
            }
            (text, _) if text.is_empty() && matches!(was.content, Content::Null) => Content::Null,
            (text, _) => Content::Text(text),
        };
        let content = match (reads.has(Channels::TEXT), reads.has(Channels::OTHER)) {
            (true, true) => content,
            (text, other) => filled(&was.content, content, text, other),
        };
        let tool_calls = match reads.has(Channels::TOOL_CALLS) {
            true => self.calls.into_iter().map(|(_, call)| call).collect(),
            false => was.tool_calls.clone(),
        };
        Message { content, tool_calls, extra: self.extra, ..was.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::{parse_completion, to_json};

    #[test]
    fn a_completion_taken_apart_and_put_together_says_the_same() {
        let body = r#"{"id":"c","object":"chat.completion","created":7,"model":"m","choices":[
            {"index":0,"message":{"role":"assistant","content":"text","reasoning":"why","annotations":[1],"refusal":null,
             "tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"},"thought":"x"},{"id":"u","type":"custom","custom":{"name":"g"}}]},"finish_reason":"tool_calls","logprobs":{"content":[]}},
            {"index":4,"message":{"role":"assistant","content":null,"refusal":"no"},"finish_reason":"stop"}]}"#;
        let mut completion = parse_completion(body.as_bytes()).expect("valid");
        let value = |completion: &Completion| serde_json::from_slice::<serde_json::Value>(&to_json(completion)).expect("JSON");
        let mut before = value(&completion);
        let mut deltas = Vec::new();
        completion.choices.iter().for_each(|choice| of_choice(choice, Channels::ALL, &mut deltas, &mut Said::default()));
        rebuild(&mut completion, deltas, Channels::ALL);
        before["choices"][0].as_object_mut().expect("an object").remove("logprobs");
        let mut after = value(&completion);
        after["choices"][0].as_object_mut().expect("an object").remove("logprobs");
        assert_eq!(after, before);
    }
}
