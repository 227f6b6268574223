//! OpenAI's own dialect, which is the canonical form, and that of every server that speaks it.
//! Must not know how such servers err; the normaliser does. Source: OpenAI API reference, "Create chat completion".

use http::{HeaderName, StatusCode, header};

use super::words::{in_band, words};
use super::{Shaped, embeddings, request};
use crate::chat::codec::request_json;
use crate::llm::adapter::{Ask, AskEmbeddings, Bad, Dialect, Embedded, Reading, Unfit, Wire, Words};

/// OpenAI, and every server that speaks as it does.
pub(in crate::llm) struct OpenAi {
    /// Usage is asked for with every stream; some old servers refuse the question.
    pub(in crate::llm) stream_usage: bool,
}

impl Dialect for OpenAi {
    fn request(&self, ask: &Ask<'_>) -> Result<(Wire, Reading), Unfit> {
        let body = request_json(ask.model, ask.messages, &request::params(ask, self.stream_usage), ask.stream);
        let shaped = Shaped::new(ask.name.clone(), request::wants_usage(ask.params));
        Ok((Wire { path: "/chat/completions".into(), headers: Vec::new(), body }, Reading::Shaped(Box::new(shaped))))
    }

    fn embeddings(&self, ask: &AskEmbeddings<'_>) -> Option<Result<Wire, Unfit>> {
        Some(Ok(Wire { path: "/embeddings".into(), headers: Vec::new(), body: request::embeddings_body(ask) }))
    }

    fn embedded(&self, inputs: usize, body: &[u8]) -> Result<Embedded, Bad> {
        embeddings::embedded(inputs, body, in_band)
    }

    fn credentials(&self, key: &str) -> (HeaderName, String) {
        (header::AUTHORIZATION, format!("Bearer {key}"))
    }

    fn words(&self, _: StatusCode, json: &serde_json::Value) -> Words {
        words(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        crate::llm::golden::check(&OpenAi { stream_usage: true }, "shaped");
    }

    #[test]
    fn a_key_is_a_bearer_token() {
        assert_eq!(OpenAi { stream_usage: true }.credentials("k"), (header::AUTHORIZATION, "Bearer k".to_owned()));
    }
}
