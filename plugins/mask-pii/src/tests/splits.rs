//! A hundred thousand replies, each cut at random: whatever a model makes of a placeholder, and wherever the pieces end, the value stands in the
//! reply; and of no value a letter goes to the model.

use std::collections::BTreeMap;

use super::*;

/// The same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const VALUES: [&str; 16] = [
    "Jane Doe",
    "王小明",
    "Project Orca",
    "jane.doe@example.org",
    "\"odd \\name\"@example.org",
    "jörg@müller.example",
    "+49 30 1234567",
    "(555) 123-4567",
    "4111 1111 1111 1111",
    "5555555555554444",
    "DE89 3704 0044 0532 0130 00",
    "203.0.113.7",
    "2001:db8::7",
    "12 Main Street, Springfield, IL 62701",
    "1600 Pennsylvania Avenue\nWashington, DC 20500",
    "Hauptstr. 5, 10115 Berlin",
];

/// What a model may make of a placeholder.
fn habit(random: &mut Random, placeholder: &str) -> String {
    let inner = placeholder.trim_matches(['[', ']']);
    match random.below(12) {
        0 => placeholder.to_lowercase(),
        1 => placeholder.replace('_', " "),
        2 => placeholder.replace('_', "\\_"),
        3 => format!("\\[{}\\]", inner.replace('_', "\\_")),
        4 => inner.to_owned(),
        5 => format!("[ {inner} ]"),
        6 => format!("【{inner}】"),
        7 => placeholder.replace('_', "-"),
        _ => placeholder.to_owned(),
    }
}

/// Words between which values stand; some begin as a placeholder does.
const AROUND: [&str; 12] =
    ["write to ", ", and [", " masked ", " [MASKED_", "\\", " mas", "**", " (", ") ", "é🦀 ", ". [MASKED_NAME_77] ", "\n"];

/// A reply and what the client shall get of it. `escape` writes a text as it stands in the reply.
fn reply(random: &mut Random, placeholders: &BTreeMap<&str, String>, escape: impl Fn(&str) -> String) -> (String, String) {
    let (mut said, mut expected) = (String::new(), String::new());
    for _ in 0..1 + random.below(4) {
        let around = random.one(&AROUND);
        // A value stands apart from letters, and from what would be a part of its brackets.
        let around = if around.ends_with(['\\', '[', '_']) || around.ends_with(char::is_alphanumeric) {
            format!("{around}; ")
        } else {
            around.to_owned()
        };
        let value = random.one(&VALUES);
        said += &escape(&around);
        said += &escape(&habit(random, &placeholders[value]));
        said += &escape("; ");
        expected += &escape(&around);
        expected += &escape(value);
        expected += &escape("; ");
    }
    (said, expected)
}

fn cut(random: &mut Random, text: &str) -> Vec<String> {
    let most = 1 + random.below(30);
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let size = 1 + random.below(most);
        let (piece, more) = rest.split_at(rest.ceil_char_boundary(size.min(rest.len())));
        pieces.push(piece.to_owned());
        rest = more;
    }
    pieces
}

/// What stands in each text of a reply.
fn texts(deltas: &[Delta]) -> BTreeMap<(u32, &'static str), String> {
    let mut texts = BTreeMap::<_, String>::new();
    for Delta { choice, piece } in deltas {
        let (name, text) = match piece {
            Piece::Text(text) => ("text", text),
            Piece::Reasoning(text) => ("reasoning", text),
            Piece::ToolCall(call) => ("arguments", &call.arguments),
            Piece::Finish(reason) => ("finish", reason),
            other => panic!("{other:?}"),
        };
        texts.entry((*choice, name)).or_default().push_str(text);
    }
    texts
}

fn in_json(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap();
    json[1..json.len() - 1].to_owned()
}

#[test]
fn no_value_goes_to_the_model_and_each_comes_back_however_a_reply_is_cut() {
    let mut random = Random(7);
    let conversation = VALUES.map(|value| Message::user(format!("Take this: {value}; that is all.")));
    let masked = masked(CONFIG, testing::request(conversation.to_vec()));
    let placeholders: BTreeMap<&str, String> = VALUES
        .iter()
        .zip(&masked.messages)
        .map(|(value, message)| {
            let text = message.text();
            let placeholder = text.strip_prefix("Take this: ").and_then(|text| text.strip_suffix("; that is all.")).unwrap();
            assert!(placeholder.starts_with("[MASKED_") && placeholder.ends_with(']'), "{value} went out as {text}");
            (*value, placeholder.to_owned())
        })
        .collect();
    for round in 0..25_000 {
        let mut streams = Vec::new();
        let mut expected = BTreeMap::new();
        for choice in 0..2 {
            let (said, wanted) = reply(&mut random, &placeholders, str::to_owned);
            let channel: (&'static str, fn(String) -> Piece) =
                if round % 2 == 0 { ("text", Piece::Text) } else { ("reasoning", Piece::Reasoning) };
            streams.push(cut(&mut random, &said).into_iter().map(|text| Delta { choice, piece: channel.1(text) }).collect::<Vec<_>>());
            expected.insert((choice, channel.0), wanted);

            let (said, wanted) = reply(&mut random, &placeholders, in_json);
            let arguments = |text: &str| format!("{{\"text\":\"{text}\"}}");
            assert!(serde_json::from_str::<Value>(&arguments(&wanted)).is_ok());
            let call = |arguments| Piece::ToolCall(ToolCallPiece { index: 0, id: None, name: None, arguments });
            streams.push(cut(&mut random, &arguments(&said)).into_iter().map(|text| Delta { choice, piece: call(text) }).collect());
            expected.insert((choice, "arguments"), arguments(&wanted));
        }
        // The four texts come interleaved, in pushes of some deltas each.
        let mut pushes: Vec<Vec<Delta>> = vec![Vec::new()];
        while !streams.is_empty() {
            let stream = random.below(streams.len());
            let delta = streams[stream].remove(0);
            if streams[stream].is_empty() {
                streams.remove(stream);
            }
            if random.below(3) == 0 {
                pushes.push(Vec::new());
            }
            pushes.last_mut().unwrap().push(delta);
        }
        let out = streamed(&masked.metadata, pushes.clone());
        assert_eq!(texts(&out), expected, "round {round}: {pushes:?}");
    }
}
