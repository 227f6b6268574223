//! The one decoder of `chat.completion.chunk` objects: an event's bytes in, deltas out. It is lenient: a known field of an odd form is one that it
//! does not model. Every such field is in some delta as its JSON, so that nothing can hide in it; text in parts becomes one string, and the
//! same reasoning under both of its names is said once.
//! Source: OpenAI API reference, "Chat completion chunk".

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::codec::{parse_fields, raw_json};
use super::{Delta, Fields, Json, Piece, StreamError, sse};

/// What one server-sent event says; nothing if it is a comment.
///
/// # Errors
/// If it is an error of the provider's, or no JSON object.
pub fn event(raw: &[u8]) -> Result<Vec<Delta>, StreamError> {
    match sse::split_event(raw).and_then(|(event, _)| event.data) {
        Some(data) => chunk(&data),
        None => Ok(Vec::new()),
    }
}

/// What one chunk says.
///
/// # Errors
/// If it is an error of the provider's, or no JSON object.
pub fn chunk(data: &[u8]) -> Result<Vec<Delta>, StreamError> {
    let mut fields = parse_fields(data)
        .map_err(|_| StreamError { message: "the provider sent an event that cannot be read".into(), code: "upstream_garbled" })?;
    // Some servers have the field in every chunk.
    let none = |json: &Json| matches!(json.get(), "null" | "false" | "\"\"" | "{}" | "[]");
    if let Some(error) = take(&mut fields, "error").filter(|json| !none(json)) {
        return Err(reported(error.get()));
    }
    let mut deltas = Vec::with_capacity(4);
    let (id, model) = (take_text(&mut fields, "id"), take_text(&mut fields, "model"));
    let created = take_as(&mut fields, "created");
    if id.is_some() || model.is_some() || created.is_some() {
        deltas.push(Delta::Head { id, model, created });
    }
    fields.retain(|(name, json)| {
        name != "object" || !matches!(json.get(), "null" | "\"chat.completion.chunk\"" | "\"chat.completion\"" | "\"\"")
    });
    let usage = take(&mut fields, "usage").filter(|json| json.get() != "null");
    let choices = take_as::<Vec<Json>>(&mut fields, "choices").unwrap_or_default();
    let mut pieces = Vec::with_capacity(4);
    for json in choices {
        // What is no choice is left for who wants to know of it.
        if let Some(odd) = choice(json, &mut pieces) {
            fields.push(("choices".to_owned(), odd));
        }
    }
    if !fields.is_empty() {
        deltas.push(Delta::Fields(fields));
    }
    deltas.append(&mut pieces);
    deltas.extend(usage.map(Delta::UsageJson));
    Ok(deltas)
}

/// Adds what an entry of `choices` says; gives it back if it is none.
fn choice(json: Json, deltas: &mut Vec<Delta>) -> Option<Json> {
    let Ok(mut entry) = parse_fields(json.get().as_bytes()) else { return Some(json) };
    let index = take_as(&mut entry, "index").unwrap_or(0);
    let mut delta = Fields::new();
    if let Some(json) = take(&mut entry, "delta").filter(|json| json.get() != "null") {
        match parse_fields(json.get().as_bytes()) {
            Ok(fields) => delta = fields,
            Err(_) => entry.push(("delta".to_owned(), json)),
        }
    }
    let reason = take_text(&mut entry, "finish_reason");
    entry.retain(|(name, value)| name != "logprobs" || value.get() != "null");
    let mut add = |piece| deltas.push(Delta::Piece { choice: index, piece });
    if !entry.is_empty() {
        add(Piece::Beside(entry));
    }
    match take(&mut delta, "role") {
        Some(role) if role.get() == "\"assistant\"" => add(Piece::Begin),
        Some(role) if role.get() != "null" => delta.insert(0, ("role".to_owned(), role)),
        _ => {}
    }
    // Servers that write both names write the same under both. If not, these are two texts: pieces of both in turn would be one text that nobody
    // said, and that whoever looks for something in it would not recognise.
    let reasoning = take_text(&mut delta, "reasoning_content");
    let thought = take_text(&mut delta, "reasoning").filter(|text| reasoning.as_ref() != Some(text));
    let (text, refusal) = (take_text(&mut delta, "content"), take_text(&mut delta, "refusal"));
    let texts = [reasoning.map(Piece::Reasoning), thought.map(Piece::Thought), text.map(Piece::Text), refusal.map(Piece::Refusal)];
    texts.into_iter().flatten().for_each(&mut add);
    if let Some(calls) = take(&mut delta, "tool_calls").filter(|json| json.get() != "null") {
        match read::<Vec<Json>>(&calls) {
            Some(list) => {
                let rest: Vec<Json> = list.into_iter().filter_map(|json| call(json, &mut add)).collect();
                if !rest.is_empty() {
                    delta.push(("tool_calls".to_owned(), raw_json(&rest)));
                }
            }
            None => delta.push(("tool_calls".to_owned(), calls)),
        }
    }
    if !delta.is_empty() {
        add(Piece::Fields(delta));
    }
    if let Some(reason) = reason {
        add(Piece::Finish(reason));
    }
    None
}

/// Adds what an entry of `tool_calls` says; gives it back if it is none that is modelled.
fn call(json: Json, add: &mut impl FnMut(Piece)) -> Option<Json> {
    let modelled = || {
        let mut entry = parse_fields(json.get().as_bytes()).ok()?;
        let index: u32 = read(&take(&mut entry, "index")?)?;
        let kind = take(&mut entry, "type");
        let function = take(&mut entry, "function").filter(|json| json.get() != "null");
        let mut function = function.map_or(Ok(Fields::new()), |json| parse_fields(json.get().as_bytes())).ok()?;
        let (id, name) = (take_text(&mut entry, "id"), take_text(&mut function, "name"));
        let arguments = take(&mut function, "arguments").map(|json| text_of(&json)).unwrap_or_default();
        let known = kind.is_none_or(|kind| matches!(kind.get(), "null" | "\"function\""));
        let begins = id.is_some() || name.is_some();
        let all = known && function.is_empty() && (begins || entry.is_empty());
        all.then(|| (begins.then(|| (id.unwrap_or_default(), name.unwrap_or_default(), entry)), index, arguments))
    };
    let Some((begins, index, arguments)) = modelled() else { return Some(json) };
    if let Some((id, name, extra)) = begins {
        add(Piece::Call { index, id, name, extra });
    }
    if !arguments.is_empty() {
        add(Piece::Arguments { index, text: arguments });
    }
    None
}

/// Arguments are a text that should be JSON once it is whole; some servers send the JSON itself.
fn text_of(json: &RawValue) -> String {
    match json.get() {
        "null" => String::new(),
        // A text that cannot be read, as half a character that is escaped, is kept as it came.
        text => Some(text).filter(|text| text.starts_with('"')).and_then(|_| read(json)).unwrap_or_else(|| text.to_owned()),
    }
}

fn reported(json: &str) -> StreamError {
    #[derive(Deserialize)]
    struct Reported {
        message: String,
    }
    let message = serde_json::from_str(json).map_or_else(|_| "the provider reported an error".into(), |Reported { message }| message);
    StreamError { message, code: "upstream_error" }
}

fn read<T: DeserializeOwned>(json: &RawValue) -> Option<T> {
    serde_json::from_str(json.get()).ok()
}

/// Takes a field out, if it has that form; `null` is taken out too.
fn take_as<T: DeserializeOwned>(fields: &mut Fields, name: &str) -> Option<T> {
    let at = fields.iter().position(|(field, _)| field == name)?;
    let value = read::<Option<T>>(&fields[at].1)?;
    fields.remove(at);
    value
}

/// Takes a field out.
fn take(fields: &mut Fields, name: &str) -> Option<Json> {
    let at = fields.iter().position(|(field, _)| field == name)?;
    Some(fields.remove(at).1)
}

/// Takes a text out, if it is one and holds something. What says nothing goes too; what has another form stays.
fn take_text(fields: &mut Fields, name: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        #[serde(rename = "type")]
        _type: Option<String>,
        text: String,
    }
    let at = fields.iter().position(|(field, _)| field == name)?;
    let json = &fields[at].1;
    let text = match json.get() {
        "null" => String::new(),
        // Parts of text are put together; a list with other parts stays as it is.
        list if list.starts_with('[') => read::<Vec<Part>>(json)?.into_iter().map(|part| part.text).collect(),
        _ => read(json)?,
    };
    fields.remove(at);
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(data: &str) -> String {
        format!("{:?}", chunk(data.as_bytes()).expect("JSON"))
    }

    #[test]
    fn what_has_an_odd_form_is_kept_as_what_is_not_modelled() {
        for data in ["{}", r#"{"choices":null}"#, r#"{"choices":[]}"#, r#"{"usage":null}"#, r#"{"object":"chat.completion.chunk"}"#] {
            assert_eq!(said(data), "[]", "{data}");
        }
        for data in [
            r#"{"choices":"here"}"#,
            r#"{"choices":["here"]}"#,
            r#"{"object":"here"}"#,
            r#"{"created":"here"}"#,
            r#"{"id":["here"]}"#,
            r#"{"choices":[{"delta":"here"}]}"#,
            r#"{"choices":[{"index":"here"}]}"#,
            r#"{"choices":[{"delta":{"content":"a","content":"here"}}]}"#,
            r#"{"choices":[{"delta":{"content":{"a":"here"}}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\ud800 here"}}]}}]}"#,
            r#"{"choices":[{"delta":{"tool_calls":["here"]}}]}"#,
            r#"{"choices":[{"finish_reason":["here"]}]}"#,
        ] {
            assert!(said(data).contains("here"), "{data}: {}", said(data));
        }
        assert!(!chunk(br#"{"choices":["here"]}"#).expect("JSON").iter().any(Delta::says_something), "nobody takes it for an answer");
    }

    #[test]
    fn text_may_come_in_parts_and_arguments_as_json() {
        let data = r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],
            "tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":{"x":1}}}]}}]}"#;
        let deltas = chunk(data.as_bytes()).expect("JSON");
        let [
            Delta::Piece { piece: Piece::Text(text), .. },
            Delta::Piece { .. },
            Delta::Piece { piece: Piece::Arguments { text: arguments, .. }, .. },
        ] = &deltas[..]
        else {
            panic!("{deltas:?}")
        };
        assert_eq!((&**text, &**arguments), ("ab", "{\"x\":1}"));
    }

    #[test]
    fn reasoning_under_both_of_its_names_is_said_once_unless_it_differs() {
        for (other, said) in [("a", vec!["a"]), ("b", vec!["a", "b as reasoning"])] {
            let data = format!(r#"{{"choices":[{{"delta":{{"reasoning":"{other}","reasoning_content":"a"}}}}]}}"#);
            let deltas = chunk(data.as_bytes()).expect("JSON");
            let texts: Vec<String> = deltas
                .iter()
                .map(|delta| match delta {
                    Delta::Piece { piece: Piece::Reasoning(text), .. } => text.clone(),
                    Delta::Piece { piece: Piece::Thought(text), .. } => format!("{text} as reasoning"),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(texts, said);
        }
    }

    #[test]
    fn an_error_and_what_is_no_json_end_the_stream() {
        let code = |data: &str| chunk(data.as_bytes()).expect_err("broken").code;
        assert_eq!((code("{\"error\":{\"message\":\"m\"}}"), code("{\"error\":1}")), ("upstream_error", "upstream_error"));
        assert_eq!((code("no"), code("[]")), ("upstream_garbled", "upstream_garbled"));
        for none in ["null", "false", "\"\"", "{}", "[]"] {
            assert!(chunk(format!("{{\"error\":{none}}}").as_bytes()).is_ok(), "{none}");
        }
    }

    #[test]
    fn comments_say_nothing() {
        assert!(event(b": ping\n\n").is_ok_and(|deltas| deltas.is_empty()));
        assert!(event(b"").is_ok_and(|deltas| deltas.is_empty()));
    }
}
