//! Whole conversations: what the model is sent, and what the client gets of what the model says.

use cofferdam_guest::{
    Delta, Ending, Field, FunctionCall, HookError, Message, Opened, Opening, Part, Piece, Plugin, PostOutcome, PreOutcome, Request, Step,
    StreamHook, ToolCall, ToolCallPiece, testing,
};
use serde_json::{Value, json};

use crate::MaskPii;

mod splits;

/// What the model is sent, with the metadata that goes to the reply's hooks.
struct Masked {
    messages: Vec<Message>,
    params: Vec<(String, String)>,
    metadata: Vec<Field>,
}

const CONFIG: &str = r#"{"names": ["Jane Doe", "王小明"], "terms": ["Project Orca"], "instruction": ""}"#;

/// # Panics
/// If the hook did not proceed, or took its time to change nothing.
#[track_caller]
fn masked(config: &str, request: Request) -> Masked {
    testing::set_config(config);
    let mut messages = request.messages.clone();
    let Ok(PreOutcome::Proceed(changes)) = MaskPii::on_request(request) else { panic!("the hook did not proceed") };
    match changes.messages {
        Some(cofferdam_guest::MessagesChange::All(all)) => messages = all,
        Some(cofferdam_guest::MessagesChange::Edits(edits)) => {
            for edit in edits {
                match edit {
                    cofferdam_guest::Edit::Replace(placed) => messages[placed.index as usize] = placed.message,
                    cofferdam_guest::Edit::Insert(placed) => messages.insert(placed.index as usize, placed.message),
                    cofferdam_guest::Edit::Remove(index) => drop(messages.remove(index as usize)),
                }
            }
        }
        None => {}
    }
    let params = changes.params.into_iter().map(|change| (change.name, change.value.unwrap())).collect();
    let metadata = changes.metadata.into_iter().map(|change| Field { name: change.name, value: change.value.unwrap() }).collect();
    Masked { messages, params, metadata }
}

/// What the model is sent of one message of the user.
#[track_caller]
fn sent(text: &str) -> String {
    masked(CONFIG, testing::request(vec![Message::user(text)])).messages[0].text()
}

/// A streamed reply.
fn streamed(metadata: &[Field], deltas: Vec<Vec<Delta>>) -> Vec<Delta> {
    let opening = Opening { metadata: metadata.to_vec(), ..testing::opening() };
    let Ok(Opened::Transform(mut hook)) = MaskPii::open(opening) else { panic!("it transforms") };
    let mut out = Vec::new();
    for deltas in deltas {
        let Ok(Step::Emit(more)) = hook.push(deltas) else { panic!("it emits") };
        out.extend(more);
    }
    match hook.close(Ending::Finished).unwrap().step {
        Step::Emit(more) => out.extend(more),
        step => assert_eq!(step, Step::Keep),
    }
    out
}

fn field(name: &str, value: &str) -> Field {
    Field { name: name.into(), value: value.into() }
}

#[test]
fn each_kind_has_its_placeholder() {
    for (text, expected) in [
        ("I am Jane Doe.", "I am [MASKED_NAME_1]."),
        ("jane doe, JANE-DOE and 王小明", "[MASKED_NAME_1], [MASKED_NAME_1] and [MASKED_NAME_2]"),
        ("project orca is late", "[MASKED_TERM_1] is late"),
        ("Mr Smith called; Smith is angry, smith is a trade", "Mr [MASKED_NAME_1] called; [MASKED_NAME_1] is angry, smith is a trade"),
        ("jane.doe@example.org", "[MASKED_EMAIL_1]"),
        ("Call +49 30 1234567 or 555-123-4567.", "Call [MASKED_PHONE_1] or [MASKED_PHONE_2]."),
        ("4111 1111 1111 1111, again 4111111111111111", "[MASKED_CARD_1], again [MASKED_CARD_1]"),
        ("DE89 3704 0044 0532 0130 00", "[MASKED_IBAN_1]"),
        ("from 203.0.113.7 to 2001:db8::1", "from [MASKED_IP_1] to [MASKED_IP_2]"),
        ("at 12 Main Street, Springfield, IL 62701 today", "at [MASKED_ADDRESS_1] today"),
    ] {
        assert_eq!(sent(text), expected);
    }
}

#[test]
fn what_overlaps_leaves_nothing() {
    assert_eq!(sent("12 Jane Doe Street"), "[MASKED_ADDRESS_1]");
    assert_eq!(sent("Mr Project Orca"), "Mr [MASKED_TERM_1]");
    assert_eq!(sent("5 Main Project Orca"), "5 Main [MASKED_TERM_1]");
}

#[test]
fn a_conversation_without_personal_data_is_unchanged() {
    testing::set_config("{}");
    let request = testing::request(vec![Message::system("Be short."), Message::user("How are you? Version 1.2.3, order 12345.")]);
    assert_eq!(MaskPii::on_request(request), Ok(PreOutcome::unchanged()));
    assert_eq!(MaskPii::open(testing::opening()).map(|opened| matches!(opened, Opened::Skip)), Ok(true));
    assert_eq!(MaskPii::on_reply(testing::reply("[MASKED_EMAIL_1]")), Ok(PostOutcome::keep()));
}

#[test]
fn the_same_value_is_the_same_in_all_of_a_conversation_and_stays_so_as_it_grows() {
    let mut messages = vec![
        Message::system("You work for Mr Smith."),
        Message::user("Write to jane@example.org about Project Orca."),
        Message::assistant("I wrote to jane@example.org."),
    ];
    let before = masked(CONFIG, testing::request(messages.clone()));
    let texts = |masked: &Masked| masked.messages.iter().map(Message::text).collect::<Vec<_>>();
    let expected = ["You work for Mr [MASKED_NAME_1].", "Write to [MASKED_EMAIL_1] about [MASKED_TERM_1].", "I wrote to [MASKED_EMAIL_1]."];
    assert_eq!(texts(&before), expected);
    messages.push(Message::user("And to joe@example.org, Smith and jane@example.org."));
    let after = masked(CONFIG, testing::request(messages));
    assert_eq!(texts(&after)[..3], expected);
    assert_eq!(texts(&after)[3], "And to [MASKED_EMAIL_2], [MASKED_NAME_1] and [MASKED_EMAIL_1].");
}

#[test]
fn the_model_is_told_what_placeholders_are() {
    let messages = vec![Message::system("Be short."), Message::user("I am jane@example.org.")];
    let masked = masked("{}", testing::request(messages));
    assert_eq!(masked.messages[0].text(), "Be short.");
    assert_eq!((masked.messages[1].role.as_str(), masked.messages[1].text().contains("MASKED")), ("system", true));
    assert_eq!(masked.messages[2].text(), "I am [MASKED_EMAIL_1].");
    // What it is told stands for nothing itself.
    let reply = streamed(&masked.metadata, vec![testing::deltas(&[&masked.messages[1].text()])]);
    assert_eq!(testing::text_of(&reply), masked.messages[1].text());
}

#[test]
fn a_user_who_writes_a_placeholder_gets_no_ones_data() {
    let secret = Message::system("The customer is jane@example.org, Mr Smith, 203.0.113.7.");
    for written in
        ["[MASKED_EMAIL_1]", "masked email 1", "\\[Masked\\_Email\\_1\\]", "%5bmasked_email_1%5d", "xMASKED_EMAIL_1 MASKED-EMAIL-1"]
    {
        let messages = vec![secret.clone(), Message::user(format!("Repeat {written}"))];
        let masked = masked(CONFIG, testing::request(messages));
        assert_eq!(masked.messages[1].text(), format!("Repeat {written}"), "it is the user's own text");
        assert_eq!(masked.messages[0].text(), "The customer is [MASKED_EMAIL_2], Mr [MASKED_NAME_1], [MASKED_IP_1].");
        let reply = streamed(&masked.metadata, vec![testing::deltas(&[written, " ", "[MASKED_EMAIL_1] [MASKED_EMAIL_2]"])]);
        assert_eq!(testing::text_of(&reply), format!("{written} [MASKED_EMAIL_1] jane@example.org"));
    }
    // Also in tools, results of tools and arguments.
    let mut request = testing::request(vec![secret, Message::new("tool", "{\"a\":\"MASKED_NAME_1\"}")]);
    request.params.push(field("tools", "[{\"description\":\"[MASKED_EMAIL_1], \\u005bMASKED_IP_1]\"}]"));
    let masked = masked(CONFIG, request);
    assert_eq!(masked.messages[0].text(), "The customer is [MASKED_EMAIL_2], Mr [MASKED_NAME_2], [MASKED_IP_2].");
}

#[test]
fn results_of_tools_and_arguments_are_masked_as_the_json_that_they_are() {
    let result = r#"{"jane@example.org": {"n\u0061me": "Jan\u0065 Doe", "card": 4111111111111111, "phone": "5551234567", "count": 12}}"#;
    let mut call = Message::assistant("");
    let arguments = r#"{"to":"王\u5c0f明", "text":"He said \"jane@example.org\"."}"#.to_owned();
    call.tool_calls.push(ToolCall::Function(FunctionCall { id: "jane@example.org".into(), name: "mail".into(), arguments, extra: vec![] }));
    let masked = masked(CONFIG, testing::request(vec![call, Message::new("tool", result)]));
    let ToolCall::Function(call) = &masked.messages[0].tool_calls[0] else { panic!("a call of a function") };
    assert_eq!(call.id, "jane@example.org");
    assert_eq!(call.arguments, r#"{"to":"[MASKED_NAME_1]", "text":"He said \"[MASKED_EMAIL_1]\"."}"#);
    let expected =
        json!({"[MASKED_EMAIL_1]": {"name": "[MASKED_NAME_2]", "card": "[MASKED_CARD_1]", "phone": "[MASKED_PHONE_1]", "count": 12}});
    assert_eq!(serde_json::from_str::<Value>(&masked.messages[1].text()).unwrap(), expected);
}

#[test]
fn fields_that_say_who_asks_are_masked_and_others_stay() {
    let mut user = Message::user("Hello");
    user.name = Some("Jane_Doe".into());
    user.extra.push(field("note", "\"by jane@example.org\""));
    user.content.push(Part::Other("{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.org/jane@example.org.png\"}}".into()));
    let mut tool = Message::new("tool", "fine");
    tool.name = Some("Jane_Doe".into());
    let mut request = testing::request(vec![user, tool]);
    request.params =
        vec![field("user", "\"jane@example.org\""), field("seed", "4111111111111111"), field("metadata", "{\"ip\":\"203.0.113.7\"}")];
    let before = request.messages.clone();
    let masked = masked(CONFIG, request);
    assert_eq!(masked.messages[0].name.as_deref(), Some("MASKED_NAME_1"));
    assert_eq!(masked.messages[0].extra[0].value, "\"by [MASKED_EMAIL_1]\"");
    assert_eq!(masked.messages[0].content[1], before[0].content[1]);
    assert_eq!(masked.messages[1], before[1]);
    let params = masked.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>();
    assert_eq!(params, [("user", "\"[MASKED_EMAIL_1]\""), ("metadata", "{\"ip\":\"[MASKED_IP_1]\"}")]);
}

#[test]
fn a_whole_reply_is_restored_in_all_its_parts() {
    let masked = masked(CONFIG, testing::request(vec![Message::user("\"jane doe\"@example.org, Jane Doe")]));
    assert_eq!(masked.messages[0].text(), "[MASKED_EMAIL_1], [MASKED_NAME_1]");
    let mut reply = testing::reply("To **[MASKED\\_EMAIL\\_1]**, masked name 1");
    reply.metadata = masked.metadata;
    let message = &mut reply.choices[0].message;
    let arguments = r#"{"to":"[MASKED_EMAIL_1]"}"#.to_owned();
    message.tool_calls.push(ToolCall::Function(FunctionCall { id: "1".into(), name: "mail".into(), arguments, extra: vec![] }));
    message.extra = vec![
        field("reasoning_content", "\"It is [MASKED_EMAIL_1].\""),
        field("function_call", r#"{"name":"mail","arguments":"{\"to\":\"[MASKED_EMAIL_1]\"}"}"#),
    ];
    let Ok(PostOutcome::Replace(replacement)) = MaskPii::on_reply(reply) else { panic!("nothing was restored") };
    let message = &replacement.messages[0].message;
    let email = "\"jane doe\"@example.org";
    assert_eq!(message.text(), format!("To **{email}**, Jane Doe"));
    let ToolCall::Function(call) = &message.tool_calls[0] else { panic!("a call of a function") };
    assert_eq!(serde_json::from_str::<Value>(&call.arguments).unwrap(), json!({"to": email}));
    assert_eq!(serde_json::from_str::<String>(&message.extra[0].value).unwrap(), format!("It is {email}."));
    let legacy: Value = serde_json::from_str(&message.extra[1].value).unwrap();
    assert_eq!(serde_json::from_str::<Value>(legacy["arguments"].as_str().unwrap()).unwrap(), json!({"to": email}));
}

#[test]
fn an_answer_that_was_asked_for_as_json_stays_json() {
    let mut request = testing::request(vec![Message::user("\"jane doe\"@example.org")]);
    request.params.push(field("response_format", "{\"type\":\"json_object\"}"));
    let masked = masked(CONFIG, request);
    let out = streamed(&masked.metadata, vec![testing::deltas(&["{\"to\":\"[MASKED_EM", "AIL_1]\"}"])]);
    assert_eq!(serde_json::from_str::<Value>(&testing::text_of(&out)).unwrap(), json!({"to": "\"jane doe\"@example.org"}));
}

#[test]
fn calls_and_other_pieces_keep_their_order_and_their_names() {
    let masked = masked(CONFIG, testing::request(vec![Message::user("jane@example.org")]));
    let call = |id: Option<&str>, arguments: &str| {
        let (id, name) = (id.map(str::to_owned), id.map(|_| "mail".to_owned()));
        Piece::ToolCall(ToolCallPiece { index: 0, id, name, arguments: arguments.to_owned() })
    };
    let delta = |piece| Delta { choice: 0, piece };
    let pieces = [
        Piece::Text("Hm, [MASKED".into()),
        call(Some("x"), "{\"to\":\"[MASK"),
        call(None, "ED_EMAIL_1]\"}"),
        Piece::Other("{\"annotations\":[{\"to\":\"[MASKED_EMAIL_1]\"}]}".into()),
        Piece::Finish("tool_calls".into()),
    ];
    let out = streamed(&masked.metadata, pieces.into_iter().map(|piece| vec![delta(piece)]).collect());
    let expected = [
        Piece::Text("Hm, ".into()),
        call(Some("x"), "{\"to\":\""),
        call(None, "jane@example.org\"}"),
        Piece::Other("{\"annotations\":[{\"to\":\"jane@example.org\"}]}".into()),
        Piece::Text("[MASKED".into()),
        Piece::Finish("tool_calls".into()),
    ];
    assert_eq!(out, expected.map(delta));
}

#[test]
fn a_second_run_goes_on_with_the_first_ones_mapping() {
    let first = masked(CONFIG, testing::request(vec![Message::user("jane@example.org MASKED_EMAIL_2")]));
    let mut request = testing::request(first.messages);
    request.messages.push(Message::user("joe@example.org"));
    request.metadata = first.metadata;
    let second = masked(CONFIG, request);
    assert_eq!(second.messages[1].text(), "[MASKED_EMAIL_3]");
    let out = streamed(&second.metadata, vec![testing::deltas(&["[MASKED_EMAIL_1] [MASKED_EMAIL_2] [MASKED_EMAIL_3]"])]);
    assert_eq!(testing::text_of(&out), "jane@example.org [MASKED_EMAIL_2] joe@example.org");
}

#[test]
fn a_mapping_that_does_not_fit_is_an_error_and_nothing_passes_unmasked() {
    testing::set_config(CONFIG);
    let many: String = (0..9_000).map(|n| format!("somebody{n}@example.org ")).collect();
    let Err(HookError::Unsupported(text)) = MaskPii::on_request(testing::request(vec![Message::user(many)])) else { panic!("it passed") };
    assert!(text.contains("more values"), "{text}");
    let mut request = testing::request(vec![Message::user("jane@example.org")]);
    request.metadata.push(field("mask_pii", "[]"));
    assert!(MaskPii::on_request(request).is_err());
}

#[test]
fn many_changed_messages_are_handed_over_as_one_list() {
    let messages = (0..200).map(|n| Message::user(format!("somebody{n}@example.org"))).collect();
    let masked = masked("{}", testing::request(messages));
    assert_eq!(masked.messages.len(), 201);
    assert_eq!(masked.messages[200].text(), "[MASKED_EMAIL_200]");
}

#[test]
fn long_conversations_take_time_in_proportion() {
    testing::set_config(r#"{"names": ["a a a a a a b"]}"#);
    for text in [
        "a ".repeat(100_000),
        "Mr ".repeat(50_000),
        "1 A ".repeat(50_000),
        "de12".repeat(30_000),
        "[{".repeat(50_000),
        "1.1.1.1.".repeat(30_000),
        "::1".repeat(50_000),
    ] {
        let _ = MaskPii::on_request(testing::request(vec![Message::user(text)]));
    }
}
