//! What is detected, what is refused, what passes.

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, testing};

use crate::language::Language;
use crate::{DetectLanguage, prose};

#[track_caller]
fn run(config: &str, messages: Vec<Message>) -> Result<PreOutcome, HookError> {
    testing::set_config(config);
    DetectLanguage::on_request(testing::request(messages))
}

/// The language that the hook writes to the metadata; the outcome must change nothing else.
#[track_caller]
fn language(config: &str, messages: Vec<Message>) -> String {
    let Ok(PreOutcome::Proceed(changes)) = run(config, messages) else { panic!("the hook did not proceed") };
    assert_eq!((changes.messages, changes.model, changes.params), (None, None, Vec::new()));
    let [language, confidence] = &changes.metadata[..] else { panic!("two keys of metadata") };
    assert_eq!((language.name.as_str(), confidence.name.as_str()), ("language", "language_confidence"));
    assert!((0.0..=1.0).contains(&confidence.value.as_ref().unwrap().parse::<f64>().unwrap()));
    serde_json::from_str(language.value.as_ref().unwrap()).unwrap()
}

const GERMAN: &str = "Kannst du mir bitte erklären, wie man Reis kocht?";
const ENGLISH: &str = "Please summarise the attached report and list the three most important risks.";
const FRENCH: &str = "Pouvez-vous m'expliquer comment préparer le riz pour ce soir ?";

#[test]
fn the_language_of_the_last_user_message_is_written_as_its_short_code() {
    for (text, code) in [(GERMAN, "de"), (ENGLISH, "en"), (FRENCH, "fr"), ("今天天气怎么样?", "zh"), ("東京の天気はどうですか?", "ja")]
    {
        let messages = vec![Message::system(ENGLISH), Message::user(FRENCH), Message::user(text), Message::assistant(FRENCH)];
        assert_eq!(language("{}", messages), code, "for {text}");
    }
}

#[test]
fn what_cannot_be_told_is_undetermined_and_passes() {
    for text in ["", "ok", "42", "Δ", "?!", "hm", "`let x = 1;`", "https://example.org/how-to-cook"] {
        assert_eq!(language(r#"{"allowed": ["de"]}"#, vec![Message::user(text)]), "und", "for {text:?}");
    }
    assert_eq!(language("{}", vec![Message::system(GERMAN)]), "und");
}

#[test]
fn what_the_user_said_before_the_last_message_does_not_count() {
    let messages = vec![Message::user(GERMAN), Message::assistant(FRENCH), Message::user("ok!")];
    assert_eq!(language("{}", messages), "und");
}

#[test]
fn code_and_links_do_not_count() {
    let fenced = format!("{GERMAN}\n```\nthe code that is here should not be read as the language of this message\n```\nDanke dir sehr.");
    assert_eq!(language("{}", vec![Message::user(fenced)]), "de");
    assert_eq!(prose::of("see `the code` at https://example.org now, jane@example.org"), "see at now, ");
    assert_eq!(prose::of("one ` backtick"), "one backtick ");
}

#[test]
fn prose_ends_where_detection_has_enough() {
    assert!(prose::of(&"word ".repeat(100_000)).len() <= 4_005);
    assert!(prose::of(&"x".repeat(100_000)).len() <= 4_001);
}

#[test]
fn languages_outside_the_list_are_refused_by_name() {
    let outcome = run(r#"{"allowed": ["EN-gb", "deu"]}"#, vec![Message::user(FRENCH)]);
    let Ok(PreOutcome::Reject(rejection)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((rejection.status, rejection.code.as_str(), rejection.retry_after), (400, "language_not_allowed", None));
    assert_eq!(rejection.message, "The message is written in French (fr); this service takes English (en), German (de).");
}

#[test]
fn languages_in_the_list_pass() {
    let config = r#"{"allowed": ["en", "de"]}"#;
    assert_eq!(language(config, vec![Message::user(GERMAN)]), "de");
    assert_eq!(language(config, vec![Message::user(ENGLISH)]), "en");
}

#[test]
fn the_least_confidence_can_be_set() {
    // The detector is unsure of these four words.
    let unsure = vec![Message::user("Wie spät ist es?")];
    assert_eq!(language("{}", unsure.clone()), "und");
    assert_eq!(language(r#"{"min_confidence": 0.1}"#, unsure), "de");
}

#[test]
fn a_configuration_that_makes_no_sense_is_an_error_that_says_why() {
    for (config, word) in [
        (r#"{"allowed": ["english"]}"#, "`english`"),
        (r#"{"allowed": []}"#, "empty"),
        (r#"{"allow": ["en"]}"#, "`allow`"),
        (r#"{"min_confidence": "high"}"#, "high"),
    ] {
        let outcome = run(config, vec![Message::user(GERMAN)]);
        assert!(matches!(&outcome, Err(HookError::Unavailable(text)) if text.contains(word)), "{outcome:?}");
    }
}

#[test]
fn every_language_has_a_code_of_its_own_that_reads_back() {
    for lang in whatlang::Lang::all() {
        let language = Language::from_code(lang.code()).unwrap();
        assert_eq!(language.code().len(), 2, "{lang}");
        assert_eq!(Language::from_code(language.code()), Some(language));
    }
}

#[test]
fn the_schema_is_json() {
    let schema: serde_json::Value = serde_json::from_str(DetectLanguage::CONFIG_SCHEMA.unwrap()).unwrap();
    assert_eq!(schema["properties"]["min_confidence"]["default"], crate::Config::default().min_confidence);
}
