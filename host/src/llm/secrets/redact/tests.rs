//! A key in every disguise in which providers were seen to give it back.

use super::*;

const KEY: &str = "sk-proj-Zq81xW0nT5vB27LmKc93";

fn without(text: &str) -> String {
    KeyMatcher::new(KEY).redact(text)
}

#[test]
fn words_with_the_key_a_part_of_it_or_its_masked_ends_are_hidden() {
    for (text, expected) in [
        (format!("Incorrect API key provided: {KEY}. See docs"), "Incorrect API key provided: [hidden] See docs"),
        (format!("key=\"{KEY}\"\nretry"), "[hidden]\nretry"),
        (format!("<b>{}</b> end", KEY.to_uppercase()), "[hidden] end"),
        ("it begins with sk-proj-Zq and ends in 27LmKc93 .".into(), "it begins with [hidden] and ends in [hidden] ."),
        ("got sk-proj-********Kc93".into(), "got [hidden]"),
        ("got sk-p...Kc93, no".into(), "got [hidden] no"),
        ("got sk…93 now".into(), "got [hidden] now"),
        (format!("basic {}", BASE64_NOPAD.encode(KEY.as_bytes())), "basic [hidden]"),
        ("sk-proj-Zq81 xW0nT5vB 27LmKc93".into(), "[hidden] [hidden] [hidden]"),
    ] {
        assert_eq!(without(&text), expected, "{text}");
    }
}

#[test]
fn other_words_stay_as_they_are() {
    for text in ["", " two  spaces\t", "No such model: gpt-4o...", "wait 2… seconds", "a*b", "The key was refused; sk is short."] {
        assert_eq!(without(text), text);
    }
    assert_eq!(KeyMatcher::new("é").redact("café au lait"), "[hidden] au lait", "a short key is hidden as a whole");
}

#[test]
fn base64_is_that_of_the_standard() {
    for (plain, coded) in
        [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy")]
    {
        assert_eq!(BASE64_NOPAD.encode(plain.as_bytes()), coded);
    }
}

#[test]
fn every_text_of_an_error_is_searched() {
    let key = Secret::new(KEY).unwrap();
    let some = || Some(KEY.to_owned());
    for error in [
        Error::Status {
            provider: "a".into(),
            status: 401,
            message: KEY.into(),
            kind: some(),
            code: some(),
            param: some(),
            retry_after: None,
            exhausted: false,
        },
        Error::Unreachable { provider: "a".into(), cause: format!("bad {KEY}") },
        Error::InvalidReply { provider: "a".into(), cause: format!("bad {KEY}") },
    ] {
        let error = key.redact_error(error);
        assert!(!format!("{error:?} {error}").contains("sk-proj"), "{error:?}");
    }
}

#[test]
fn stars_stand_in_a_reply_where_the_key_stood() {
    let redactor = Redactor::new(Some(&Secret::new(KEY).unwrap()));
    let text = format!("{{\"a\":\"{KEY}{KEY}\",\"b\":\"sk-proj-other\"}}");
    let expected = text.replace(KEY, &"*".repeat(KEY.len()));
    assert_eq!(redactor.redact(Bytes::from(text)), expected);
    assert_eq!(redactor.redact(Bytes::from_static(b"data: 1\n\n")), "data: 1\n\n");
    assert_eq!(redactor.redact_text(format!("it sent sk-proj-Zq81 and {KEY}")), "it sent [hidden] and [hidden]");
    assert_eq!(Redactor::new(None).redact(Bytes::from(KEY)), KEY);
}

#[test]
fn a_key_as_short_as_a_word_does_not_tear_a_reply_apart() {
    for (key, expected) in [("token", "{\"prompt_tokens\":7}"), ("prompt_", "{\"prompt_tokens\":7}"), ("prompt_t", "{\"********okens\":7}")]
    {
        let redactor = Redactor::new(Some(&Secret::new(key).unwrap()));
        assert_eq!(redactor.redact(Bytes::from_static(b"{\"prompt_tokens\":7}")), expected, "{key}");
    }
}
