//! Domain values to and from OpenAI's JSON, which is the canonical form: the chat endpoint reads it, the OpenAI adapter writes it.
//! Single pass, unknown fields kept as bytes. Source: OpenAI API reference, "Chat completions".
//! A text that fails is read again to name the field that is wrong.

mod de;
mod invalid;
mod place;
mod request;
mod scan;
mod ser;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;

use super::{Completion, Fields, Json, Message, Sizes};
use de::AllFields;

pub use de::borrowed_fields;
pub use invalid::Invalid;
pub use place::Form;
pub(crate) use place::{alike, misspelt};
pub use request::ChatRequest;

/// A text that may be read, and how many values are in it.
#[derive(Debug)]
pub struct Checked {
    pub text: Bytes,
    pub values: usize,
}

/// Counts what a parser would make of a text, and leaves it as it is.
///
/// # Errors
/// As `check`.
pub fn count(text: &[u8], form: Form, sizes: &Sizes) -> Result<usize, Invalid> {
    scan::scan(text, form, sizes).map(|found| found.values)
}

/// Looks at a text before it is read: its structure is counted, and known fields in another spelling are refused. It is not changed, but that
/// halves of surrogate pairs become the replacement character, so that every reader of a string takes it, ours and a provider's.
///
/// # Errors
/// Names the place that is too large, too deep or misspelled. A text that is no JSON passes.
pub fn check(text: Bytes, form: Form, sizes: &Sizes) -> Result<Checked, Invalid> {
    let found = scan::scan(&text, form, sizes)?;
    if !found.halves {
        return Ok(Checked { text, values: found.values });
    }
    let mut mended = text.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    scan::mend(&mut mended);
    Ok(Checked { text: mended.freeze(), values: found.values })
}

/// Reads a request's body.
///
/// # Errors
/// Names the first field that is not as the API says.
pub fn parse_request(body: &[u8]) -> Result<ChatRequest, Invalid> {
    let request: ChatRequest = parse(body)?;
    let blank = |param: &str, message: &str| Err(Invalid { param: Some(param.into()), message: message.into() });
    if request.model.is_empty() {
        return blank("model", "model is empty; GET /v1/models lists the ids");
    }
    if request.messages.is_empty() {
        return blank("messages", "messages must hold at least one message");
    }
    Ok(request)
}

/// Reads a provider's whole reply.
///
/// # Errors
/// Names the first field that is not as the API says.
pub fn parse_completion(body: &[u8]) -> Result<Completion, Invalid> {
    parse(body)
}

/// Reads an object of which nothing is known: its fields in their order, each as it came; of fields with one name the last counts.
///
/// # Errors
/// If the text is no JSON object.
pub fn parse_fields(body: &[u8]) -> Result<Fields, Invalid> {
    parse::<AllFields>(body).map(|AllFields(fields)| fields)
}

/// `value` as its JSON text.
pub fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> Bytes {
    let mut text = Vec::with_capacity(512);
    serde_json::to_writer(&mut text, value).expect("domain values have string keys and write to memory");
    text.into()
}

/// The body to send to a provider that speaks OpenAI's form.
pub fn request_json(model: &str, messages: &[Message], params: &Fields, stream: bool) -> Bytes {
    to_json(&ser::ProviderRequest { model, messages, params, stream })
}

/// `value` as JSON that is kept as its bytes.
pub fn raw_json<T: serde::Serialize + ?Sized>(value: &T) -> Json {
    serde_json::value::to_raw_value(value).expect("domain values have string keys and write to memory")
}

/// An object of these fields, in their order.
pub fn object(fields: &Fields) -> Json {
    raw_json(&ser::Object(fields))
}

/// Text as a JSON string value.
pub fn json_string(text: &str) -> Json {
    serde_json::value::to_raw_value(text).expect("a string is JSON")
}

/// A JSON text as a value, if it is one.
///
/// # Errors
/// The parser's complaint.
pub fn json(text: String) -> Result<Json, serde_json::Error> {
    serde_json::value::RawValue::from_string(text)
}

/// The quick parse first; only a text that fails is read again with its path watched.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Invalid> {
    let plain = match serde_json::from_slice::<T>(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if !plain.is_data() {
        return Err(Invalid { param: None, message: format!("the body is not valid JSON: {plain}") });
    }
    let reader = &mut serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, T>(reader) {
        Ok(_) => Err(invalid(None, &plain)),
        Err(found) => Err(invalid(Some(found.path().to_string()), found.inner())),
    }
}

fn invalid(path: Option<String>, error: &serde_json::Error) -> Invalid {
    let text = error.to_string();
    let cause = text.split(" at line ").next().unwrap_or(&text);
    let missing = cause.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    let param = match (path.filter(|p| p != "."), missing) {
        (Some(path), Some(field)) => Some(format!("{path}.{field}")),
        (None, Some(field)) => Some(field.to_owned()),
        (path, None) => path,
    };
    Invalid {
        message: match &param {
            Some(param) => format!("{param}: {cause}"),
            None => cause.to_owned(),
        },
        param,
    }
}

#[cfg(test)]
mod tests;
