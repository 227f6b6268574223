//! What every OpenAI-shaped request has in common: usage is asked for with every stream, so that what a reply used is known.
//! Source: OpenAI API reference, "Create chat completion".

use serde_json::value::{RawValue, to_raw_value};

use super::object::Object;
use crate::chat::{Fields, Json};
use crate::llm::adapter::CompletionRequest;

/// The client's fields as they are sent. `stream_usage`: the provider can be asked for the usage of a stream. One that cannot often refuses
/// `stream_options`, so they are left out.
pub(in crate::llm) fn params(request: &CompletionRequest<'_>, stream_usage: bool) -> Fields {
    let mut params = request.params.clone();
    let at = params.iter().position(|(name, _)| name == "stream_options");
    match (request.stream && stream_usage, at) {
        (false, Some(at)) => drop(params.remove(at)),
        (false, None) => {}
        (true, Some(at)) => {
            if let Some(options) = with_usage(&params[at].1) {
                params[at].1 = options;
            }
        }
        (true, None) => params.extend(with_usage(RawValue::NULL).map(|options| ("stream_options".to_owned(), options))),
    }
    params
}

/// Whether the client asked for the usage of a stream.
pub(in crate::llm) fn wants_usage(params: &Fields) -> bool {
    #[derive(serde::Deserialize)]
    struct Asked {
        include_usage: Option<bool>,
    }
    let options = params.iter().find(|(name, _)| name == "stream_options");
    let asked: Option<Asked> = options.and_then(|(_, options)| serde_json::from_str(options.get()).ok());
    asked.is_some_and(|asked| asked.include_usage == Some(true))
}

/// `stream_options` with usage asked for; none if they are no object, which is left for the provider to refuse.
fn with_usage(options: &RawValue) -> Option<Json> {
    let mut options = if options.get() == "null" { Object::default() } else { Object::read(options)? };
    options.set("include_usage", to_raw_value(&true).expect("true is JSON"));
    Some(options.json())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Name;
    use crate::chat::codec::{json, parse_request};
    use crate::llm::adapter::Unsupported;

    fn options(given: Option<&str>, stream: bool, stream_usage: bool) -> Option<String> {
        let mut fields: Fields = vec![("seed".into(), json("1".into()).expect("JSON"))];
        fields.extend(given.map(|given| ("stream_options".to_owned(), json(given.into()).expect("JSON"))));
        let name = Name { id: "i".into(), model: "m".into(), created: 1 };
        let request = CompletionRequest { model: "m", messages: &[], params: &fields, stream, unsupported: Unsupported::Refuse, name };
        let params = params(&request, stream_usage);
        assert_eq!(params[0].1.get(), "1");
        params.iter().find(|(name, _)| name == "stream_options").map(|(_, options)| options.get().to_owned())
    }

    #[test]
    fn usage_is_asked_for_with_every_stream() {
        let asked = Some(r#"{"include_usage":true}"#.to_owned());
        for given in [None, Some("null"), Some("{}"), Some(r#"{"include_usage":false}"#), Some(r#"{"include_usage":null}"#)] {
            assert_eq!(options(given, true, true), asked, "{given:?}");
        }
        let kept = options(Some(r#"{"include_obfuscation":false,"include_usage":false,"x":1.0}"#), true, true);
        assert_eq!(kept.as_deref(), Some(r#"{"include_obfuscation":false,"include_usage":true,"x":1.0}"#));
        assert_eq!(options(Some("5"), true, true).as_deref(), Some("5"));
    }

    #[test]
    fn stream_options_are_left_out_where_they_have_no_place() {
        for given in [None, Some(r#"{"include_usage":true}"#)] {
            assert_eq!(options(given, false, true), None);
            assert_eq!(options(given, true, false), None);
        }
    }

    #[test]
    fn a_client_asks_for_usage_with_true_alone() {
        for (given, expected) in
            [("{\"include_usage\":true}", true), ("{\"include_usage\":false}", false), ("{}", false), ("null", false), ("7", false)]
        {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user"}}],"stream_options":{given}}}"#);
            assert_eq!(wants_usage(&parse_request(body.as_bytes()).expect("a request").params), expected, "{given}");
        }
    }
}
