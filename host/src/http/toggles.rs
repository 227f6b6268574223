//! What a client switches for one request: the body's field `pipeline`, e.g. `{"rag": false}`, and the header
//! `x-cofferdam-stages: rag=off, post_hook=on`. If both name a stage the header wins, because a proxy can set it without
//! touching the body. Whether the operator locked a stage is for the pipeline to say.

use hyper::HeaderMap;
use serde_json::{Map, Value};

use super::error::Refusal;
use crate::chat::Json;
use crate::pipeline::Toggles;

const HEADER: &str = "x-cofferdam-stages";

/// Both sources together.
pub(super) fn read(body: Option<&Json>, headers: &HeaderMap) -> Result<Toggles, Refusal> {
    let mut toggles = Toggles::default();
    if let Some(json) = body {
        from_body(json.get(), &mut toggles)?;
    }
    for value in headers.get_all(HEADER) {
        let text = value.to_str().map_err(|_| Refusal::field(HEADER, "holds characters that are not ASCII"))?;
        from_header(text, &mut toggles)?;
    }
    Ok(toggles)
}

fn from_body(json: &str, toggles: &mut Toggles) -> Result<(), Refusal> {
    let map = match serde_json::from_str::<Option<Map<String, Value>>>(json) {
        Ok(map) => map.unwrap_or_default(),
        Err(_) => return Err(Refusal::field("pipeline", "must be an object such as {\"rag\": false}")),
    };
    for (stage, value) in &map {
        let param = || format!("pipeline.{stage}");
        let on = value.as_bool().ok_or_else(|| Refusal::field(param(), "must be true or false"))?;
        set(toggles, stage, on).map_err(|message| Refusal::field(param(), message))?;
    }
    Ok(())
}

fn from_header(text: &str, toggles: &mut Toggles) -> Result<(), Refusal> {
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (stage, on) = match item.split_once('=').map(|(stage, value)| (stage.trim(), value.trim())) {
            Some((stage, "on")) => (stage, true),
            Some((stage, "off")) => (stage, false),
            _ => return Err(Refusal::field(HEADER, format!("`{item}` is not of the form `rag=off` or `rag=on`"))),
        };
        set(toggles, stage, on).map_err(|message| Refusal::field(HEADER, format!("`{stage}` {message}")))?;
    }
    Ok(())
}

fn set(toggles: &mut Toggles, stage: &str, on: bool) -> Result<(), &'static str> {
    match stage {
        "rag" => toggles.rag = Some(on),
        "pre_hook" => toggles.pre_hook = Some(on),
        "post_hook" => toggles.post_hook = Some(on),
        "llm" if on => {}
        "llm" => return Err("cannot be switched off; the llm stage always runs"),
        _ => return Err("is not a stage; stages are rag, pre_hook, llm and post_hook"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: Option<&str>, headers: &[&str]) -> Result<Toggles, String> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(HEADER, header.parse().expect("a header value"));
        }
        let json = body.map(|text| crate::chat::codec::json(text.into()).expect("JSON"));
        read(json.as_ref(), &map).map_err(|refusal| match refusal {
            Refusal::Field { param, .. } => param,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn body_and_header_switch_stages_and_the_header_wins() {
        let off = Toggles { rag: Some(false), ..Toggles::default() };
        assert_eq!(ask(None, &[]), Ok(Toggles::default()));
        assert_eq!(ask(Some("null"), &["", " , "]), Ok(Toggles::default()));
        assert_eq!(ask(Some(r#"{"rag":false,"llm":true}"#), &[]), Ok(off));
        assert_eq!(ask(None, &["rag = off"]), Ok(off));
        assert_eq!(ask(Some(r#"{"rag":true}"#), &["rag=off, llm=on"]), Ok(off));
        let all = Toggles { rag: Some(false), pre_hook: Some(true), post_hook: Some(false) };
        assert_eq!(ask(Some(r#"{"rag":false}"#), &["pre_hook=on", "post_hook=off"]), Ok(all));
    }

    #[test]
    fn a_mistake_in_the_body_names_its_field() {
        let cases = [(r#"{"rog":false}"#, "pipeline.rog"), (r#"{"rag":"off"}"#, "pipeline.rag"), (r#"{"rag":null}"#, "pipeline.rag")];
        for (body, param) in cases.into_iter().chain([(r#"{"llm":false}"#, "pipeline.llm"), ("[]", "pipeline"), ("false", "pipeline")]) {
            assert_eq!(ask(Some(body), &[]), Err(param.into()), "{body}");
        }
    }

    #[test]
    fn a_mistake_in_the_header_names_the_header() {
        for header in ["rag", "rag=no", "rog=off", "llm=off", "rag=off;post_hook=off", "=off", "rag=OFF"] {
            assert_eq!(ask(None, &[header]), Err(HEADER.into()), "{header}");
        }
    }
}
