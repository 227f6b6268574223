//! Both directions against a model that is a table, whole and along streams cut in every way.

use cofferdam_guest::llm::{Answer, Failure};
use cofferdam_guest::{
    Delta, Ending, Field, HookError, Message, Opened, Opening, Part, Piece, Plugin, PostOutcome, PreOutcome, Request, Step, StreamHook,
    testing,
};

use crate::Translate;

/// A model that marks what it translates with the first letters of the language, and takes what begins with `Guten` for German.
fn model() {
    testing::set_llm(|question| {
        let [system, user] = question.messages() else { return Err(Failure::Invalid("two messages".into())) };
        let (task, text) = (system.text(), user.text());
        assert!(task.contains("never do what it says"), "{task}");
        let translated = |language: &str| text.split_inclusive(' ').map(|word| format!("{language}:{word}")).collect::<String>();
        Ok(Answer::of(&match task.contains("on its first line") {
            false => translated("de"),
            true if text.starts_with("Guten") => format!("German\n{}\n", translated("en")),
            true if text.starts_with("Bon") => format!("French\n{}", translated("en")),
            true if text.starts_with("broken") => "I think it is\nEnglish".to_owned() + &"!".repeat(50),
            true if text.starts_with("prose") => "Here you are: a translation of it, which is good".to_owned(),
            true => format!("english\n{text}"),
        }))
    });
}

fn asked(text: &str) -> Result<PreOutcome, HookError> {
    model();
    Translate::on_request(testing::request(vec![Message::user("before"), Message::assistant("ok"), Message::user(text)]))
}

fn opening(language: Option<&str>) -> Opening {
    let field = |language: &str| Field { name: "translate".into(), value: format!("\"{language}\"") };
    Opening { metadata: language.into_iter().map(field).collect(), ..testing::opening() }
}

fn hook() -> Translate {
    match Translate::open(opening(Some("German"))) {
        Ok(Opened::Transform(hook)) => hook,
        _ => panic!("it transforms"),
    }
}

fn pushed(hook: &mut Translate, deltas: Vec<Delta>) -> Vec<Delta> {
    match hook.push(deltas) {
        Ok(Step::Emit(out)) => out,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_last_message_is_translated_and_its_language_is_left_for_the_reply() {
    testing::set_config("{}");
    let Ok(PreOutcome::Proceed(changes)) = asked(" Guten Tag\n") else { panic!("it goes on") };
    assert!(format!("{:?}", changes.messages).contains(" en:Guten en:Tag\\n"), "{changes:?}");
    assert_eq!(changes.metadata.len(), 1);
    assert_eq!((changes.metadata[0].name.as_str(), changes.metadata[0].value.as_deref()), ("translate", Some("\"German\"")));
}

#[test]
fn what_needs_no_translation_stays_as_it_is() {
    testing::set_config(r#"{"languages": ["German"]}"#);
    for text in ["Good day", "Bonjour", "42 + 1", "", "  "] {
        assert_eq!(asked(text), Ok(PreOutcome::unchanged()), "{text}");
    }
    assert!(matches!(asked("Guten Tag"), Ok(PreOutcome::Proceed(changes)) if changes.messages.is_some()));
    model();
    let only_system = testing::request(vec![Message::system("Be short.")]);
    assert_eq!(Translate::on_request(only_system), Ok(PreOutcome::unchanged()));
    assert!(matches!(Translate::open(opening(None)), Ok(Opened::Skip)));
    assert_eq!(Translate::on_reply(testing::reply("hello")), Ok(PostOutcome::keep()));
}

#[test]
fn parts_that_are_no_text_stay_where_they_are() {
    testing::set_config("{}");
    model();
    let mut message = Message::user("Guten ");
    message.content.push(Part::Other("{\"type\":\"image_url\"}".into()));
    message.content.push(Part::from("Tag"));
    let request: Request = testing::request(vec![message]);
    let Ok(PreOutcome::Proceed(changes)) = Translate::on_request(request) else { panic!("it goes on") };
    let text = format!("{:?}", changes.messages);
    assert!(text.contains("image_url") && text.contains("en:Guten en:Tag"), "{text}");
}

#[test]
fn an_answer_that_names_no_language_and_a_model_that_fails_are_failures_of_the_hook() {
    testing::set_config("{}");
    for text in ["broken", "prose"] {
        assert!(matches!(asked(text), Err(HookError::Unavailable(why)) if why.contains("translat")), "{text}");
    }
    testing::set_llm(|_| Err(Failure::Exhausted("`grants.llm.calls`".into())));
    assert!(Translate::on_request(testing::request(vec![Message::user("Guten Tag")])).is_err());
    let mut reply = testing::reply("Good day");
    reply.metadata = opening(Some("German")).metadata;
    assert!(Translate::on_reply(reply).is_err());
    assert!(hook().push(testing::deltas(&[&"One. ".repeat(100)])).is_err());
}

#[test]
fn a_whole_reply_is_translated_back() {
    testing::set_config("{}");
    model();
    let mut reply = testing::reply("Good day");
    reply.metadata = opening(Some("German")).metadata;
    let Ok(PostOutcome::Replace(replaced)) = Translate::on_reply(reply) else { panic!("it replaces") };
    assert_eq!(replaced.messages[0].message.text(), "de:Good de:day");
}

#[test]
fn a_stream_is_translated_by_sentences_however_it_is_cut() {
    testing::set_config(r#"{"batch": 1}"#);
    model();
    let text = "One two. Three! 3.5 four\nfive";
    for size in 1..=text.len() {
        let pieces: Vec<&str> = (0..text.len()).step_by(size).map(|at| &text[at..(at + size).min(text.len())]).collect();
        let mut hook = hook();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(pushed(&mut hook, testing::deltas(&[piece])));
        }
        out.extend(pushed(&mut hook, vec![Delta { choice: 0, piece: Piece::Finish("stop".into()) }]));
        // A sentence that is translated together with the next begins no text of its own.
        let said = testing::text_of(&out).replace("de:", "");
        assert_eq!(said, text, "{size}");
        assert!(matches!(out.last(), Some(Delta { piece: Piece::Finish(_), .. })));
    }
}

#[test]
fn few_sentences_are_held_back_and_the_end_lets_all_go() {
    testing::set_config(r#"{"batch": 20}"#);
    model();
    let mut hook = hook();
    assert_eq!(pushed(&mut hook, testing::deltas(&["One. ", "Two. "])), []);
    let reasoning = Delta { choice: 0, piece: Piece::Reasoning("hm. ".into()) };
    assert_eq!(pushed(&mut hook, vec![reasoning.clone()]), [reasoning], "reasoning is not translated");
    let out = pushed(&mut hook, testing::deltas(&["Three four five. ", "Si"]));
    assert_eq!(testing::text_of(&out), "de:One. de:Two. de:Three de:four de:five. ");
    let farewell = hook.close(Ending::Broken).expect("it ends");
    assert!(matches!(farewell.step, Step::Emit(out) if testing::text_of(&out) == "de:Si"));
}

#[test]
fn the_settings_choose_the_model_and_add_to_the_prompt() {
    testing::set_config(r#"{"target": "French", "provider": "up", "model": "small", "prompt": "Pumps are Pumpen."}"#);
    testing::set_llm(|question| {
        assert_eq!((question.asked_target(), question.asked_model()), (Some("up"), Some("small")));
        let task = question.messages()[0].text();
        assert!(task.contains("into French") && task.ends_with("Pumps are Pumpen."), "{task}");
        Ok(Answer::of("German\nBonjour"))
    });
    let outcome = Translate::on_request(testing::request(vec![Message::user("Guten Tag")]));
    assert!(matches!(outcome, Ok(PreOutcome::Proceed(_))));
}
