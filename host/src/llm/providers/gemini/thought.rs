//! Thought signatures: what Gemini wants back with a function call, and where OpenAI's clients carry it. They drop fields that they do not
//! know, so it travels in the call's id, `ID__thought__SIGNATURE`, and beside it as Google's own OpenAI surface has it.
//! Must not know messages. Source: Gemini API docs, "Thought signatures", <https://ai.google.dev/gemini-api/docs/thought-signatures>.

use serde::Deserialize;

use crate::chat::Fields;
use crate::chat::codec::{json, json_string};

const SEPARATOR: &str = "__thought__";

/// Base64 of `skip_thought_signature_validator`: Google's stand-in for calls that another model made. Gemini 3 refuses a call of the
/// current turn that has neither this nor a signature.
pub(super) const PLACEHOLDER: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

/// The id that the client gets.
pub(super) fn join(id: &str, signature: Option<&str>) -> String {
    signature.map_or_else(|| id.to_owned(), |signature| format!("{id}{SEPARATOR}{signature}"))
}

/// The call's own id and the signature that it carries. One that is no base64 was never Gemini's.
pub(super) fn split(id: &str) -> (&str, Option<&str>) {
    match id.split_once(SEPARATOR) {
        Some((own, signature)) => (own, Some(signature).filter(|signature| is_base64(signature))),
        None => (id, None),
    }
}

/// The signature beside a call: `extra_content.google.thought_signature`.
pub(super) fn beside(call: &Fields) -> Option<String> {
    #[derive(Deserialize)]
    struct ExtraContent {
        google: Option<Google>,
    }
    #[derive(Deserialize)]
    struct Google {
        thought_signature: Option<String>,
    }
    let (_, extra) = call.iter().find(|(name, _)| name == "extra_content")?;
    let extra: ExtraContent = serde_json::from_str(extra.get()).ok()?;
    extra.google?.thought_signature.filter(|signature| is_base64(signature))
}

/// The field that goes beside a call.
pub(super) fn fields(signature: Option<&str>) -> Fields {
    let field = |signature: &str| {
        let text = format!("{{\"google\":{{\"thought_signature\":{}}}}}", json_string(signature));
        ("extra_content".to_owned(), json(text).expect("an object around a JSON string is JSON"))
    };
    signature.map(field).into_iter().collect()
}

/// Plain or URL-safe, which Google's JSON reads alike.
pub(super) fn is_base64(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c19_an_id_with_base64_in_it_comes_back_as_it_was() {
        for (id, signature) in [("call_1", Some("CiQB/+9=")), ("call_/+=", Some("a__b")), ("call_/+=", None)] {
            let joined = join(id, signature);
            assert_eq!(split(&joined), (id, signature), "{joined}");
        }
    }

    #[test]
    fn an_id_is_split_at_the_first_separator_and_keeps_no_false_signature() {
        assert_eq!(split("a__thought__b__thought__c"), ("a", Some("b__thought__c")));
        assert_eq!(split("a__thought__"), ("a", None));
        assert_eq!(split("a__thought__not base64"), ("a", None));
    }

    #[test]
    fn the_field_beside_a_call_reads_back() {
        assert_eq!(beside(&fields(Some("CiQB/+9="))).as_deref(), Some("CiQB/+9="));
        assert_eq!(beside(&fields(None)), None);
        let odd = vec![("extra_content".to_owned(), json(r#"{"google":7}"#.into()).expect("JSON"))];
        assert_eq!(beside(&odd), None);
    }
}
