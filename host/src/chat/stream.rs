//! A whole completion as the frames of a stream, for a client that asked for one. They go through the same encoder as every other stream;
//! nothing of the completion is lost on the way, and what is kept unparsed is written as it came.

use futures_util::stream;

use super::codec::{json_string, object, parse_fields, raw_json};
use super::{
    Choice, Completion, Content, Delta, Exchange, Fields, Frame, Frames, FunctionCall, HEAD_BYTES_MAX, Name, Part, Piece, Reply,
    ReplyStream, ToolCall,
};

/// Bytes of text in one delta: about a handful of tokens, so that a buffered answer still reads as it grows.
const PIECE_BYTES: usize = 24;
/// Pieces of one text: a long one is cut more coarsely, for every chunk repeats the reply's head.
const PIECES_MAX: usize = 2_000;

/// `completion` as the stream that the client of `exchange` asked for.
pub fn streamed(completion: Completion, exchange: &Exchange) -> Reply {
    let name = name_of(&completion);
    // One by one, so that no more is encoded than the client takes.
    let mut frames: Vec<Frames> = frames(completion).map(|frame| Frames::from_iter([frame])).collect();
    match frames.last_mut() {
        Some(last) => last.end = true,
        None => frames.push(Frames::default().ending()),
    }
    Reply::Stream(ReplyStream::new(stream::iter(frames.into_iter().map(Ok)), name, wants_usage(exchange)))
}

/// Whether the client asked for usage: `stream_options.include_usage`.
pub fn wants_usage(exchange: &Exchange) -> bool {
    #[derive(serde::Deserialize)]
    struct Options {
        include_usage: Option<bool>,
    }
    let options = exchange.param("stream_options").and_then(|json| serde_json::from_str::<Options>(json.get()).ok());
    options.is_some_and(|options| options.include_usage == Some(true))
}

/// Its names as every chunk repeats them.
pub fn name_of(completion: &Completion) -> Name {
    let short = |name: &str| name[..name.floor_char_boundary(HEAD_BYTES_MAX)].to_owned();
    Name { id: short(&completion.id), model: short(&completion.model), created: completion.created }
}

/// The frames of `completion`, without their end. The first has the fields of the reply that are not modelled, the last its usage.
pub fn frames(completion: Completion) -> impl Iterator<Item = Frame> {
    let Completion { choices, usage, extra, .. } = completion;
    let mut deltas: Vec<Vec<Delta>> =
        choices.into_iter().flat_map(of_choice).chain(usage.map(|usage| vec![Delta::UsageJson(usage)])).collect();
    if let Some(first) = deltas.first_mut() {
        first.insert(0, Delta::Fields(extra));
    }
    deltas.into_iter().map(Frame::of)
}

/// The deltas of each frame of one choice. The last has the finish reason, and the fields of the choice that are not modelled.
fn of_choice(choice: Choice) -> Vec<Vec<Delta>> {
    let Choice { index, message, finish_reason, mut extra } = choice;
    let frame = |pieces: Vec<Piece>| pieces.into_iter().map(|piece| Delta::Piece { choice: index, piece }).collect();
    let opening = match message.role.as_str() {
        "assistant" => Piece::Begin,
        role => Piece::Fields(vec![("role".to_owned(), json_string(role)), ("content".to_owned(), json_string(""))]),
    };
    let mut out = vec![frame(vec![opening])];
    out.extend(beside(message.extra).into_iter().map(|piece| frame(vec![piece])));
    let text = match message.content {
        Content::Null => String::new(),
        Content::Text(text) => text,
        Content::Parts(parts) => parts.iter().map(part_text).collect(),
    };
    out.extend(pieces(&text).into_iter().map(|piece| frame(vec![Piece::Text(piece.to_owned())])));
    out.extend((0..).zip(message.tool_calls).map(|(index, call)| frame(call_pieces(index, call))));
    // A whole reply's choice has no `delta` of its own; one that claims to must not stand in for ours.
    extra.retain(|(name, _)| name != "delta");
    let reason = Piece::Finish(finish_reason.unwrap_or_else(|| "stop".to_owned()));
    out.push(frame(if extra.is_empty() { vec![reason] } else { vec![Piece::Beside(extra), reason] }));
    out
}

/// What a message says beside its content and its calls, in the pieces in which a stream says it: a hook that looks at reasoning and refusals
/// finds them there. The same text under both names of reasoning is said once. What is `null` of these says nothing.
pub fn beside(extra: Fields) -> Vec<Piece> {
    let (mut reasoning, mut thought, mut refusal, mut rest) = (Vec::<String>::new(), Vec::new(), Vec::new(), Fields::new());
    for (name, value) in extra {
        let text = match name.as_str() {
            "refusal" | "reasoning_content" | "reasoning" => serde_json::from_str::<Option<String>>(value.get()).ok(),
            _ => None,
        };
        match text {
            None => rest.push((name, value)),
            Some(text) => match text.filter(|text| !text.is_empty()) {
                Some(text) if name == "refusal" => refusal.push(text),
                Some(text) if name == "reasoning" => thought.push(text),
                Some(text) => reasoning.push(text),
                None => {}
            },
        }
    }
    thought.retain(|text| !reasoning.contains(text));
    let cut = |texts: &[String], piece: fn(String) -> Piece| -> Vec<Piece> {
        texts.iter().flat_map(|text| pieces(text)).map(|text| piece(text.to_owned())).collect()
    };
    let rest = (!rest.is_empty()).then_some(Piece::Fields(rest));
    let reasoning = cut(&reasoning, Piece::Reasoning).into_iter().chain(cut(&thought, Piece::Thought));
    reasoning.chain(rest).chain(cut(&refusal, Piece::Refusal)).collect()
}

fn call_pieces(index: u32, call: ToolCall) -> Vec<Piece> {
    match call {
        ToolCall::Function(FunctionCall { id, name, arguments, extra }) => {
            vec![Piece::Call { index, id, name, extra }, Piece::Arguments { index, text: arguments }]
        }
        ToolCall::Other(raw) => {
            let mut fields = parse_fields(raw.get().as_bytes()).unwrap_or_default();
            fields.retain(|(name, _)| name != "index");
            fields.insert(0, ("index".to_owned(), raw_json(&index)));
            vec![Piece::Fields(vec![("tool_calls".to_owned(), raw_json(&[object(&fields)]))])]
        }
    }
}

fn part_text(part: &Part) -> &str {
    match part {
        Part::Text { text, .. } => text,
        Part::Other(_) => "",
    }
}

/// Cuts text behind spaces, in pieces of about `PIECE_BYTES`; joined they are the text again.
fn pieces(text: &str) -> Vec<&str> {
    let least = PIECE_BYTES.max(text.len().div_ceil(PIECES_MAX - 1));
    let mut out = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if (c.is_whitespace() && end - start >= least) || end - start >= 4 * least {
            out.push(&text[start..end]);
            start = end;
        }
    }
    if start < text.len() {
        out.push(&text[start..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::ChunkWriter;
    use crate::chat::codec::parse_completion;

    /// The chunks that a client gets.
    fn chunks(completion: &Completion, include_usage: bool) -> Vec<String> {
        let mut chunks = Vec::new();
        let mut writer = ChunkWriter::new(name_of(completion), include_usage);
        let mut sink = |json: &str| chunks.push(json.to_owned());
        for frame in frames(completion.clone()) {
            writer.frame(&frame.into_parts().1, &mut sink);
        }
        writer.end(&mut sink);
        chunks
    }

    #[test]
    fn a_long_text_makes_no_more_chunks_than_its_limit() {
        for text in ["x ".repeat(4 << 20), "x".repeat(8 << 20)] {
            assert!(pieces(&text).len() <= PIECES_MAX, "{}", pieces(&text).len());
        }
    }

    #[test]
    fn a_name_that_every_chunk_repeats_is_cut() {
        let message = crate::chat::Message::text("assistant", "hi");
        let choice = Choice { index: 0, message, finish_reason: None, extra: Vec::new() };
        for (bytes, kept) in [(HEAD_BYTES_MAX, HEAD_BYTES_MAX), (HEAD_BYTES_MAX + 1, HEAD_BYTES_MAX)] {
            let long = "x".repeat(bytes);
            let choices = vec![choice.clone()];
            let completion = Completion { id: long.clone(), created: 7, model: long, choices, usage: None, extra: Vec::new() };
            for chunk in chunks(&completion, true) {
                let chunk: Value = serde_json::from_str(&chunk).expect("JSON");
                assert_eq!(["id", "model"].map(|name| chunk[name].as_str().map(str::len)), [Some(kept); 2]);
            }
        }
    }

    #[test]
    fn kept_json_that_no_parser_takes_is_passed_on_and_harms_nothing() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let body = format!(
            r#"{{"id":"c","model":"m","choices":[{{"message":{{"role":"assistant","content":"hi","odd":"\\ud800","big":1e999}}}}],"deep":{deep}}}"#
        );
        let completion = parse_completion(body.as_bytes()).expect("kept unread");
        let chunks = chunks(&completion, true);
        assert!(chunks[0].contains(&deep) && chunks[1].contains("1e999"), "{chunks:?}");
    }

    #[test]
    fn chunks_of_a_completion_say_the_same_as_the_completion() {
        let body = r#"{"id":"c","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"one two three four five six seven eight nine ten","refusal":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"total_tokens":3}}"#;
        let completion = parse_completion(body.as_bytes()).expect("valid");
        let chunks: Vec<Value> = chunks(&completion, true).iter().map(|c| serde_json::from_str(c).expect("JSON")).collect();
        assert!(chunks.iter().all(|c| c["id"] == "c" && c["created"] == 7 && c["model"] == "m"));
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let text: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, "one two three four five six seven eight nine ten");
        let reasons: Vec<_> = chunks.iter().filter_map(|c| c["choices"][0]["finish_reason"].as_str()).collect();
        assert_eq!(reasons, ["tool_calls"]);
        let last = chunks.last().expect("usage chunk");
        assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(3)));
        assert!(chunks[0]["usage"].is_null());
    }

    #[test]
    fn reasoning_and_a_refusal_are_pieces_of_their_own_and_a_choice_begins_once() {
        let extra = |body: &str| parse_completion(body.as_bytes()).expect("valid");
        let body = |message: &str| format!(r#"{{"choices":[{{"message":{{"role":"assistant","content":"a",{message}}}}}]}}"#);
        let long = "why and why not ".repeat(9);
        for (message, expected) in [
            (r#""reasoning":"r","refusal":"no","annotations":[1]"#, ["+r", "no", "annotations"]),
            (r#""refusal":"no","audio":null,"reasoning_content":"r","reasoning":"r""#, ["r", "no", "audio"]),
            (r#""reasoning_content":"r","reasoning":"s","refusal":["odd"]"#, ["r+s", "", "refusal"]),
            (&format!(r#""reasoning_content":"{long}","refusal":null,"reasoning":null"#), [long.as_str(), "", ""]),
        ] {
            let deltas: Vec<Delta> = frames(extra(&body(message))).flat_map(|frame| frame.into_parts().1).collect();
            let (mut said, mut begun) = ([const { String::new() }; 3], 0);
            for delta in &deltas {
                let Delta::Piece { piece, .. } = delta else { continue };
                match piece {
                    Piece::Begin => begun += 1,
                    Piece::Reasoning(text) => said[0].push_str(text),
                    Piece::Thought(text) => said[0] += &format!("+{text}"),
                    Piece::Refusal(text) => said[1].push_str(text),
                    Piece::Fields(fields) => fields.iter().for_each(|(name, _)| said[2].push_str(name)),
                    _ => {}
                }
            }
            assert_eq!((said.each_ref().map(String::as_str), begun), (expected, 1), "{message}");
        }
    }

    #[test]
    fn what_else_was_said_of_a_choice_is_in_its_last_chunk() {
        let body = r#"{"id":"c","created":7,"model":"m","choices":[
            {"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop","logprobs":{"content":[]},"stop_reason":128009,"delta":1},
            {"index":1,"message":{"role":"assistant","content":"b"},"finish_reason":null,"content_filter_results":{"hate":false}}]}"#;
        let completion = parse_completion(body.as_bytes()).expect("valid");
        let chunks: Vec<Value> = chunks(&completion, false).iter().map(|c| serde_json::from_str(c).expect("JSON")).collect();
        let choices: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]).collect();
        let [open, text, first, _, _, second] = choices[..] else { panic!("six chunks: {chunks:?}") };
        assert_eq!(open, &json!({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null, "logprobs": null}));
        assert_eq!(text, &json!({"index": 0, "delta": {"content": "a"}, "finish_reason": null, "logprobs": null}));
        let last = json!({"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": {"content": []}, "stop_reason": 128_009});
        assert_eq!(first, &last);
        let last = json!({"index": 1, "delta": {}, "finish_reason": "stop", "logprobs": null, "content_filter_results": {"hate": false}});
        assert_eq!(second, &last);
    }

    #[test]
    fn pieces_join_to_the_text_at_any_length() {
        for text in ["", "a", "é".repeat(300).as_str(), "word ".repeat(50).as_str()] {
            assert_eq!(pieces(text).concat(), text);
        }
    }
}
