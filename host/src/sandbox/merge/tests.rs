//! What comes back of a message of which only a part was shown, and what is refused.

use super::*;
use crate::chat::codec::json;
use crate::sandbox::PluginConfig;
use crate::sandbox::scope::Declared;

fn raw(text: &str) -> Json {
    json(text.into()).expect("JSON")
}

/// A message with something in every channel.
fn full() -> Message {
    let extra = vec![("cache_control".to_owned(), raw("{}"))];
    Message {
        role: "assistant".into(),
        content: Content::Parts(vec![
            Part::Text { text: "one".into(), extra },
            Part::Other(raw(r#"{"type":"image_url"}"#)),
            Part::Text { text: "two".into(), extra: Vec::new() },
        ]),
        name: Some("ann".into()),
        tool_calls: vec![ToolCall::Other(raw(r#"{"id":"t"}"#))],
        tool_call_id: Some("c".into()),
        extra: vec![("refusal".into(), raw("\"no\"")), ("reasoning_content".into(), raw("\"hm\"")), ("audio".into(), raw("{}"))],
    }
}

fn says(texts: &[&str]) -> wit::Message {
    let part = |text: &&str| wit::Part::Text(wit::TextPart { text: (*text).to_owned(), extra: Vec::new() });
    let content = texts.iter().map(part).collect();
    wit::Message { role: "assistant".into(), content, tool_calls: Vec::new(), tool_call_id: None, name: None, extra: Vec::new() }
}

#[track_caller]
fn merge(now: &Message, returned: wit::Message, shown: Channels, may: Channels) -> Result<Message, String> {
    let own = PluginConfig { writes: Some(Vec::new()), ..PluginConfig::default() };
    let scope = Scope::new("p", Declared::default(), &own).expect("valid");
    merged(now, returned, (shown, may), "messages", &scope).map_err(|kind| kind.to_string())
}

/// The content as a line: texts with `*` for their fields, and `#` for other parts.
fn line(message: &Message) -> String {
    let part = |part: &Part| match part {
        Part::Text { text, extra } => text.clone() + if extra.is_empty() { "" } else { "*" },
        Part::Other(_) => "#".to_owned(),
    };
    match &message.content {
        Content::Null => "null".into(),
        Content::Text(text) => format!("\"{text}\""),
        Content::Parts(parts) => parts.iter().map(part).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn a_message_of_which_the_texts_were_shown_keeps_all_else_when_it_comes_back() {
    for (texts, becomes) in [
        (&["one", "two"][..], "one* # two"),
        (&["eins", "zwei"], "eins* # zwei"),
        (&["eins"], "eins* #"),
        (&[], "#"),
        (&["eins", "zwei", "drei"], "eins* # zwei drei"),
    ] {
        let merged = merge(&full(), says(texts), Channels::TEXT, Channels::TEXT).expect("allowed");
        assert_eq!(line(&merged), becomes);
        for channel in [Channels::REFUSAL, Channels::REASONING, Channels::TOOL_CALLS] {
            assert!(same(channel, &merged, &full()), "{channel:?}");
        }
        assert_eq!((merged.name.as_deref(), named(&merged.extra, Channels::OTHER)), (Some("ann"), vec![("audio", "{}")]));
    }
    for (now, becomes) in [(Content::Null, "\"new\""), (Content::Text("old".into()), "\"new\""), (Content::Parts(Vec::new()), "new")] {
        let now = Message { content: now, ..full() };
        assert_eq!(line(&merge(&now, says(&["new"]), Channels::TEXT, Channels::TEXT).expect("allowed")), becomes);
    }
}

#[test]
fn what_was_not_shown_cannot_be_written_and_what_may_not_be_written_cannot_be_changed() {
    let with = |change: fn(&mut wit::Message)| {
        let mut message = says(&["one", "two"]);
        change(&mut message);
        message
    };
    let field = |name: &str| wit::Field { name: name.into(), value: "\"x\"".into() };
    let cases: [(Channels, &str, wit::Message); 4] = [
        (Channels::REFUSAL, "refusal", wit::Message { extra: vec![field("refusal")], ..says(&["one", "two"]) }),
        (Channels::REASONING, "reasoning", wit::Message { extra: vec![field("reasoning")], ..says(&["one", "two"]) }),
        (Channels::TOOL_CALLS, "tool-calls", with(|message| message.tool_calls.push(wit::ToolCall::Other("{}".into())))),
        (Channels::OTHER, "other", with(|message| message.content.push(wit::Part::Other("{}".into())))),
    ];
    for (channel, name, returned) in cases {
        let why = merge(&full(), returned.clone(), Channels::TEXT, Channels::ALL).expect_err("it was not shown");
        assert!(why.contains(&format!("hands back `{name}` in a message of which it is shown none")), "{why}");
        let why = merge(&full(), returned, Channels::TEXT.with(channel), Channels::TEXT).expect_err("it may not be written");
        assert!(why.contains(&format!("changes `{name}` of a message")) && why.contains(&format!("`messages.{name}`")), "{why}");
    }
    let why = merge(&full(), says(&["one", "three"]), Channels::TEXT, Channels::NONE).expect_err("texts may not be written");
    assert!(why.contains("`messages.text`"), "{why}");
    assert_eq!(line(&merge(&full(), says(&["one", "two"]), Channels::TEXT, Channels::NONE).expect("unchanged")), "one* # two");
    let why = merge(&full(), with(|message| message.role = "system".into()), Channels::TEXT, Channels::TEXT).expect_err("another role");
    assert!(why.contains("changes the role"), "{why}");
}

#[test]
fn other_parts_that_were_shown_without_the_texts_are_written_in_their_places() {
    let image = || wit::Part::Other(r#"{"type":"file"}"#.into());
    let extra = vec![wit::Field { name: "audio".into(), value: "1".into() }];
    let returned = |content| wit::Message { content, name: None, extra: extra.clone(), ..says(&[]) };
    for (content, becomes) in [(vec![image()], "one* # two"), (Vec::new(), "one* two"), (vec![image(), image()], "one* # # two")] {
        let merged = merge(&full(), returned(content), Channels::OTHER, Channels::OTHER).expect("allowed");
        assert_eq!((line(&merged).as_str(), merged.name), (becomes, None));
        assert_eq!(named(&merged.extra, Channels::REFUSAL), [("refusal", "\"no\"")]);
        assert_eq!(named(&merged.extra, Channels::OTHER), [("audio", "1")]);
    }
}

#[test]
fn nothing_shown_and_nothing_written_leaves_the_message_as_it_is() {
    let merged = merge(&full(), says(&[]), Channels::NONE, Channels::NONE).expect("unchanged");
    assert_eq!(line(&merged), "one* # two");
    assert!(Channels::EACH.into_iter().all(|(_, channel)| same(channel, &merged, &full())));
}
