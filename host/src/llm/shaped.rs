//! Stand-in while the real one is being merged.
//! Nothing to see.
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::adapter::*;
use super::refusal;
use crate::chat::{Name, Usage, Whole, codec};

pub(super) enum Passed {
    AsIs,
    Rewritten(Vec<u8>),
    Dropped,
}
pub(super) struct Shaped {
    says: bool,
    usage: Option<Usage>,
    finished: bool,
}
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    choices: Option<IgnoredAny>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
}
impl Shaped {
    pub(super) fn new(_name: Name, _include_usage: bool) -> Self {
        Self { says: false, usage: None, finished: false }
    }
    pub(super) fn event(&mut self, data: &[u8]) -> Result<Passed, Bad> {
        let shape = shape(data)?;
        if shape.choices.is_some() || shape.kind.is_none_or(|kind| kind.get() != "\"ping\"") {
            self.says = true;
            self.finished = true;
        }
        Ok(Passed::AsIs)
    }
    pub(super) fn says_something(&self) -> bool {
        self.says
    }
    pub(super) fn finished(&self) -> bool {
        self.finished
    }
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        None
    }
    pub(super) fn whole(&mut self, body: &Bytes) -> Result<Whole, Bad> {
        match shape(body)?.choices {
            Some(_) => Ok(Whole::Raw(body.clone())),
            None => Err(Bad::Garbled("it has no `choices`".into())),
        }
    }
}
fn shape(json: &[u8]) -> Result<Shape<'_>, Bad> {
    let shape: Shape<'_> = serde_json::from_slice(json).map_err(|error| Bad::Garbled(format!("no JSON object: {error}")))?;
    if shape.error.is_some() {
        let json = serde_json::from_slice(json).map_err(|error| Bad::Garbled(error.to_string()))?;
        let (status, words) = refusal::in_band(&json);
        return Err(Bad::Error(status, words));
    }
    Ok(shape)
}
pub(super) struct OpenAi;
impl Dialect for OpenAi {
    fn request(&self, ask: &Ask<'_>) -> Result<(Wire, Reading), Unfit> {
        let body = codec::request_json(ask.model, ask.messages, ask.params, ask.stream);
        Ok((
            Wire { path: "/chat/completions".into(), headers: vec![], body },
            Reading::Shaped(Box::new(Shaped::new(ask.name.clone(), false))),
        ))
    }
    fn embeddings(&self, _: &AskEmbeddings<'_>) -> Option<Result<Wire, Unfit>> {
        None
    }
    fn embedded(&self, _: usize, _: &[u8]) -> Result<Embedded, Bad> {
        Err(Bad::Garbled(String::new()))
    }
    fn credentials(&self, key: &str) -> (http::HeaderName, String) {
        (http::header::AUTHORIZATION, format!("Bearer {key}"))
    }
    fn words(&self, _: http::StatusCode, json: &serde_json::Value) -> Words {
        refusal::words(json)
    }
}
