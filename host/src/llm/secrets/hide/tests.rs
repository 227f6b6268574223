//! A key in every disguise in which providers were seen to give it back.

use bytes::Bytes;

use super::*;
use crate::chat::Broken;

const KEY: &str = "sk-proj-Zq81xW0nT5vB27LmKc93";

fn without(text: &str) -> String {
    Words::of(KEY).left_out_of(text)
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
        (format!("basic {}", base64(KEY.as_bytes())), "basic [hidden]"),
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
    assert_eq!(Words::of("é").left_out_of("café au lait"), "[hidden] au lait", "a short key is hidden as a whole");
}

#[test]
fn base64_is_that_of_the_standard() {
    for (plain, coded) in
        [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE"), ("foobar", "Zm9vYmFy")]
    {
        assert_eq!(base64(plain.as_bytes()), coded);
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
        },
        Error::Unreachable { provider: "a".into(), cause: format!("bad {KEY}") },
        Error::Garbled { provider: "a".into(), cause: format!("bad {KEY}") },
    ] {
        let error = key.kept_out_of_error(error);
        assert!(!format!("{error:?} {error}").contains("sk-proj"), "{error:?}");
    }
}

#[tokio::test]
async fn stars_stand_in_a_reply_where_the_key_stood() {
    let key = Secret::new(KEY).unwrap();
    let text = format!("{{\"a\":\"{KEY}{KEY}\",\"b\":\"sk-proj-other\"}}");
    let expected = text.replace(KEY, &"*".repeat(KEY.len()));
    let Ok(Reply::Whole(Whole::Raw(whole))) = key.kept_out_of(Ok(Reply::Whole(Whole::Raw(text.clone().into())))) else { panic!("whole") };
    assert_eq!(whole, expected);
    let broken = || Broken { message: "cut".into(), code: "upstream_cut" };
    let pieces = futures_util::stream::iter([Ok(Bytes::from(text)), Ok(Bytes::from_static(b"data: 1\n\n")), Err(broken())]);
    let Ok(Reply::PassThrough(pieces)) = key.kept_out_of(Ok(Reply::PassThrough(Box::pin(pieces)))) else { panic!("a stream") };
    let pieces: Vec<_> = pieces.collect().await;
    assert_eq!((pieces[0].as_ref().unwrap(), pieces[1].as_ref().unwrap()), (&Bytes::from(expected), &Bytes::from_static(b"data: 1\n\n")));
    assert!(pieces[2].is_err());
}
