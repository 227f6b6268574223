//! The words, what they cover, and which outcome needs which.

use super::*;
use crate::sandbox::FaultKind;

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn reads(list: &[&str]) -> Data {
    Data::of(Side::Reads, &words(list)).expect("known words")
}

#[track_caller]
fn scope(declared: Option<&[&str]>, narrowed: Option<&[&str]>) -> Result<Scope, String> {
    let own = PluginConfig { writes: narrowed.map(words), ..PluginConfig::default() };
    Scope::new("p", Declared { reads: None, writes: declared.map(words) }, &own)
}

#[test]
fn nothing_declared_is_everything_and_an_empty_list_is_nothing() {
    assert_eq!(scope(None, None).expect("valid").writes, Data::everything());
    assert_eq!(scope(Some(&[]), None).expect("valid").writes, Data::default());
    assert_eq!(scope(None, Some(&[])).expect("valid").writes, Data::default());
}

#[test]
fn a_word_that_is_none_is_refused_with_those_that_are() {
    for word in ["", "message", "messages.", "messages.texts", "params.", "metadata.", "usage.x", "respond", "target", "Messages", "text"] {
        let why = check_words(Side::Reads, &words(&[word])).expect_err(word);
        assert!(why.starts_with(&format!("`{word}` is none of `messages`, `last-user-message`, `reply`")), "{why}");
    }
    assert!(check_words(Side::Writes, &words(&["usage"])).is_err(), "usage is the provider's");
    let all = ["messages", "last-user-message.text", "reply.tool-calls", "params.top_p", "params", "metadata.a.b", "metadata"];
    for (side, more) in [(Side::Reads, &["usage"][..]), (Side::Writes, &["model", "target", "respond", "reject"])] {
        assert_eq!(check_words(side, &words(&[&all[..], more].concat())), Ok(()));
    }
    let many = |count: usize| vec!["metadata".to_owned(); count];
    assert!(check_words(Side::Reads, &many(WORDS_MAX)).is_ok() && check_words(Side::Reads, &many(WORDS_MAX + 1)).is_err());
    let long = |bytes: usize| vec![format!("params.{}", "x".repeat(bytes - 7))];
    assert!(check_words(Side::Reads, &long(WORD_BYTES_MAX)).is_ok() && check_words(Side::Reads, &long(WORD_BYTES_MAX + 1)).is_err());
}

#[test]
fn the_operator_may_take_away_and_not_add() {
    for (declared, narrowed) in [
        (&["messages"][..], &["messages.text", "last-user-message"][..]),
        (&["last-user-message"], &["last-user-message.other"]),
        (&["params", "metadata"], &["params.n", "metadata.k"]),
        (&["params.n", "params.m"], &["params.m"]),
        (&["reply", "reject"], &[]),
    ] {
        scope(Some(declared), Some(narrowed)).expect("less");
        scope(None, Some(narrowed)).expect("less than everything");
    }
    for (declared, narrowed) in [
        (&["last-user-message"][..], &["messages"][..]),
        (&["messages.text"], &["last-user-message"]),
        (&["messages.text"], &["messages.other"]),
        (&["params.n"], &["params"]),
        (&["params.n"], &["params.m"]),
        (&["metadata.k"], &["metadata"]),
        (&["reply.text"], &["reply.refusal"]),
        (&[], &["reject"]),
    ] {
        let why = scope(Some(declared), Some(narrowed)).expect_err("more");
        let word = narrowed[0];
        assert!(
            why.starts_with(&format!("`writes` of `[plugins.p]` have `{word}`, which the plugin does not declare to write; leave it out")),
            "{why}"
        );
    }
}

fn conversation() -> Vec<Message> {
    ["system", "user", "assistant", "user", "assistant"].map(|role| Message::text(role, role)).into()
}

#[test]
fn the_window_is_all_messages_or_the_newest_one_of_the_user_or_none() {
    let all = conversation();
    let window = |list: &[&str], messages: &[Message]| reads(list).window(messages).0;
    assert_eq!(window(&["messages"], &all), 0..5);
    assert_eq!(window(&["messages.refusal"], &all), 0..5);
    assert_eq!(window(&["last-user-message"], &all), 3..4);
    assert_eq!(window(&["metadata"], &all), 0..0);
    assert_eq!(window(&["last-user-message"], &all[..1]), 1..1, "the user has said nothing");
    let both = reads(&["messages.text", "last-user-message.other"]);
    let (window, last) = both.window(&all);
    assert_eq!((window, last), (0..5, Some(3)));
    assert_eq!(both.of_message(2, last), Channels::TEXT);
    assert_eq!(both.of_message(3, last), Channels::TEXT.with(Channels::OTHER));
}

fn proceed(change: impl FnOnce(&mut pre::Changes)) -> pre::Outcome {
    let mut changes = pre::Changes { messages: None, metadata: Vec::new(), target: None, model: None, params: Vec::new() };
    change(&mut changes);
    pre::Outcome::Proceed(changes)
}

fn key(name: &str) -> Vec<wit::FieldChange> {
    vec![wit::FieldChange { name: name.into(), value: None }]
}

fn said(role: &str) -> wit::Message {
    wit::Message { role: role.into(), content: Vec::new(), tool_calls: Vec::new(), tool_call_id: None, name: None, extra: Vec::new() }
}

fn no() -> wit::Rejection {
    wit::Rejection { status: 400, code: "c".into(), message: "m".into(), retry_after: None }
}

#[test]
fn each_outcome_of_a_pre_hook_needs_its_word() {
    let outcomes = [
        ("respond", pre::Outcome::Respond(said("assistant"))),
        ("reject", pre::Outcome::Reject(no())),
        ("target", proceed(|changes| changes.target = Some("x".into()))),
        ("model", proceed(|changes| changes.model = Some("x".into()))),
        ("params.n", proceed(|changes| changes.params = key("n"))),
        ("metadata.k", proceed(|changes| changes.metadata = key("k"))),
        ("messages", proceed(|changes| changes.messages = Some(pre::MessagesChange::Edits(Vec::new())))),
    ];
    let all: Vec<&str> = outcomes.iter().map(|(word, _)| *word).collect();
    for (word, outcome) in &outcomes {
        let with = scope(Some(&[word]), None).expect("valid");
        assert_eq!(with.check_pre(outcome), Ok(()), "{word}");
        let others: Vec<&str> = all.iter().filter(|other| *other != word).copied().collect();
        let undeclared = scope(Some(&others), None).expect("valid").check_pre(outcome);
        let Err(FaultKind::Invalid(why)) = undeclared else { panic!("{word} was allowed") };
        assert!(why.ends_with(&format!("does not declare: `{word}` would have to stand in `writes` of its describe()")), "{why}");
        let narrowed = scope(None, Some(&others)).expect("valid").check_pre(outcome);
        let Err(FaultKind::Invalid(why)) = narrowed else { panic!("{word} was allowed") };
        assert!(
            why.ends_with(&format!("which the operator's `plugins.NAME.writes` leaves out: `{word}` would have to stand there")),
            "{why}"
        );
    }
    assert_eq!(scope(Some(&[]), None).expect("valid").check_pre(&proceed(|_| ())), Ok(()), "nothing at all is always allowed");
}

#[test]
fn each_outcome_of_a_post_hook_needs_its_word() {
    let replaced = |messages, metadata| post::Outcome::Replace(post::Replacement { messages, metadata });
    let message = || vec![post::Replaced { choice: 0, message: said("assistant") }];
    let outcomes = [
        ("reject", post::Outcome::Reject(no())),
        ("metadata.k", post::Outcome::Keep(key("k"))),
        ("metadata.k", replaced(Vec::new(), key("k"))),
        ("reply", replaced(message(), Vec::new())),
    ];
    for (word, outcome) in outcomes {
        assert_eq!(scope(Some(&[word]), None).expect("valid").check_post(&outcome), Ok(()), "{word}");
        let others: Vec<&str> =
            ["reject", "metadata.j", "messages", "respond", "reply"].into_iter().filter(|other| *other != word).collect();
        assert!(scope(Some(&others), None).expect("valid").check_post(&outcome).is_err(), "{word}");
    }
    let nothing = scope(Some(&[]), None).expect("valid");
    assert_eq!(nothing.check_post(&post::Outcome::Keep(Vec::new())), Ok(()));
    assert_eq!(nothing.check_post(&replaced(Vec::new(), Vec::new())), Ok(()));
}
