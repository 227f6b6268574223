//! The parts of a message's content, of which each has another name in the chat endpoint. A text alone becomes a plain string, which every
//! provider takes.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::field::{need, read};
use crate::chat::codec::{borrowed_fields, raw_json};
use crate::chat::{Content, Fields, Part};
use crate::http::error::Refusal;

/// Of a text part: what is a reply's and no provider wants back.
const OF_REPLIES: [&str; 4] = ["type", "text", "annotations", "logprobs"];

#[derive(Deserialize)]
struct Any<'a> {
    r#type: String,
    text: Option<String>,
    refusal: Option<String>,
    image_url: Option<String>,
    detail: Option<String>,
    file_id: Option<String>,
    filename: Option<String>,
    file_data: Option<String>,
    file_url: Option<String>,
    #[serde(borrow)]
    input_audio: Option<&'a RawValue>,
}

/// A string or a list of parts, which stands at the path `at`.
pub(super) fn content(at: &str, json: &RawValue) -> Result<Content, Refusal> {
    if json.get().starts_with('"') {
        return Ok(Content::Text(read(at, json)?));
    }
    let list: Vec<&RawValue> = read(at, json).map_err(|_| Refusal::field(at, "must be a string or a list of content parts"))?;
    let mut parts = Vec::with_capacity(list.len());
    for (index, json) in list.iter().enumerate() {
        parts.push(part(&format!("{at}[{index}]"), json)?);
    }
    Ok(plain(parts))
}

fn plain(mut parts: Vec<Part>) -> Content {
    match &mut parts[..] {
        [] => Content::Text(String::new()),
        [Part::Text { text, extra }] if extra.is_empty() => Content::Text(std::mem::take(text)),
        _ => Content::Parts(parts),
    }
}

fn part(at: &str, json: &RawValue) -> Result<Part, Refusal> {
    let any: Any<'_> = read(at, json)?;
    Ok(match any.r#type.as_str() {
        "input_text" | "output_text" | "text" => Part::Text { text: need(at, "text", any.text)?, extra: extra(json) },
        "refusal" => Part::Other(raw_json(&json!({"type": "refusal", "refusal": need(at, "refusal", any.refusal)?}))),
        "input_image" => image(at, any)?,
        "input_file" => file(at, any)?,
        "input_audio" => {
            #[derive(serde::Serialize)]
            struct Audio<'a> {
                r#type: &'static str,
                input_audio: &'a RawValue,
            }
            Part::Other(raw_json(&Audio { r#type: "input_audio", input_audio: need(at, "input_audio", any.input_audio)? }))
        }
        other => {
            let message =
                format!("`{other}` is not a part; parts are input_text, output_text, refusal, input_image, input_file and input_audio");
            return Err(Refusal::field(format!("{at}.type"), message));
        }
    })
}

/// Such as a mark for the provider's cache.
fn extra(json: &RawValue) -> Fields {
    let fields = borrowed_fields(json).unwrap_or_default().into_iter();
    fields.filter(|(name, _)| !OF_REPLIES.contains(&name.as_str())).map(|(name, value)| (name, value.to_owned())).collect()
}

fn image(at: &str, any: Any<'_>) -> Result<Part, Refusal> {
    if any.file_id.is_some() {
        return Err(Refusal::field(
            format!("{at}.file_id"),
            "is not taken: this server keeps no files; send `image_url`, which may be a data URL",
        ));
    }
    let mut image = json!({"url": need(at, "image_url", any.image_url)?});
    if let Some(detail) = any.detail {
        image["detail"] = detail.into();
    }
    Ok(Part::Other(raw_json(&json!({"type": "image_url", "image_url": image}))))
}

/// An id is passed on: the provider may have the file.
fn file(at: &str, any: Any<'_>) -> Result<Part, Refusal> {
    if any.file_url.is_some() {
        return Err(Refusal::field(format!("{at}.file_url"), "is not taken: this server fetches no files; send `file_data`"));
    }
    let fields = [("file_id", any.file_id), ("filename", any.filename), ("file_data", any.file_data)];
    let file: serde_json::Map<_, _> = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect();
    if !file.contains_key("file_id") && !file.contains_key("file_data") {
        return Err(Refusal::field(format!("{at}.file_data"), "is missing"));
    }
    Ok(Part::Other(raw_json(&json!({"type": "file", "file": file}))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::{json as raw, to_json};
    use serde_json::Value;

    fn mapped(text: &str) -> Result<Value, String> {
        match content("input[0].content", &raw(text.into()).expect("JSON")) {
            Ok(content) => Ok(serde_json::from_slice(&to_json(&content)).expect("JSON")),
            Err(Refusal::Field { param, .. }) => Err(param),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn every_part_has_its_name_in_the_chat_endpoint() {
        let two = r#"{"type":"input_text","text":"a"},"#;
        let cases = [
            (r#""plain""#.to_owned(), json!("plain")),
            (r#"[{"type":"input_text","text":"a"}]"#.into(), json!("a")),
            (r#"[{"type":"output_text","text":"a","annotations":[],"logprobs":[]}]"#.into(), json!("a")),
            ("[]".into(), json!("")),
            (
                r#"[{"type":"input_text","text":"a","cache_control":{"type":"ephemeral"}}]"#.into(),
                json!([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]),
            ),
            (
                format!(r#"[{two}{{"type":"input_image","image_url":"data:x","detail":"low","file_id":null}}]"#),
                json!([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}]),
            ),
            (
                r#"[{"type":"input_file","filename":"a.pdf","file_data":"data:y"}]"#.into(),
                json!([{"type": "file", "file": {"filename": "a.pdf", "file_data": "data:y"}}]),
            ),
            (r#"[{"type":"input_file","file_id":"file-1"}]"#.into(), json!([{"type": "file", "file": {"file_id": "file-1"}}])),
            (
                r#"[{"type":"input_audio","input_audio":{"data":"x","format":"wav"}}]"#.into(),
                json!([{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}]),
            ),
            (r#"[{"type":"refusal","refusal":"no"}]"#.into(), json!([{"type": "refusal", "refusal": "no"}])),
        ];
        for (text, expected) in cases {
            assert_eq!(mapped(&text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_part_that_cannot_be_taken_is_named() {
        let cases = [
            ("7", "input[0].content"),
            ("{}", "input[0].content"),
            (r#"[{"text":"a"}]"#, "input[0].content[0].type"),
            (r#"[{"type":"input_text"}]"#, "input[0].content[0].text"),
            (r#"[{"type":"input_text","text":1}]"#, "input[0].content[0].text"),
            (r#"[{"type":"input_video"}]"#, "input[0].content[0].type"),
            (r#"[{"type":"input_image","file_id":"f"}]"#, "input[0].content[0].file_id"),
            (r#"[{"type":"input_image"}]"#, "input[0].content[0].image_url"),
            (r#"[{"type":"input_file","file_url":"http://x"}]"#, "input[0].content[0].file_url"),
            (r#"[{"type":"input_file","filename":"a"}]"#, "input[0].content[0].file_data"),
            (r#"[{"type":"input_audio"}]"#, "input[0].content[0].input_audio"),
        ];
        for (text, param) in cases {
            assert_eq!(mapped(text), Err(param.into()), "{text}");
        }
    }
}
