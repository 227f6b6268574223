//! What an adapter is: pure conversions between the canonical form and one vendor's dialect. Every adapter is a `Dialect`; the request makes a
//! `Decoding`, which remembers what the reply's conversion needs of it. Must not know sockets, time, retries or other vendors: bytes in, values out.

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use serde_json::value::RawValue;

pub(super) use super::decode_error::{DecodeError, ProviderError};
use super::providers::openai::OpenAiNormalizer;
pub(super) use crate::chat::Embedded;
use crate::chat::{Completion, Delta, Fields, Message, Name};

/// One vendor's way to speak.
pub(super) trait Dialect: Send + Sync {
    /// A chat request in the vendor's words.
    ///
    /// # Errors
    /// `UnsupportedField` names a field that the vendor cannot take.
    fn encode_chat(&self, request: &CompletionRequest<'_>) -> Result<(HttpRequest, Decoding), UnsupportedField>;

    /// An embeddings request in the vendor's words; none where the vendor has no embeddings.
    ///
    /// # Errors
    /// `UnsupportedField` names a field that the vendor cannot take.
    fn embeddings(&self, request: &EmbeddingsRequest<'_>) -> Option<Result<HttpRequest, UnsupportedField>>;

    /// What the vendor answered to an embeddings request of this many inputs.
    ///
    /// # Errors
    /// As for a chat reply.
    fn embedded(&self, inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError>;

    /// The header that carries a key: its name, and its value from the key's.
    fn credentials(&self, key: &str) -> (HeaderName, String);

    /// What an error body that is JSON says.
    fn provider_error(&self, status: StatusCode, json: &serde_json::Value) -> ProviderError;
}

/// A chat request in canonical words.
pub(super) struct CompletionRequest<'a> {
    pub(super) model: &'a str,
    pub(super) messages: &'a [Message],
    /// Every field of the client's body but model, messages and stream.
    pub(super) params: &'a Fields,
    pub(super) stream: bool,
    pub(super) unsupported: Unsupported,
    /// What the reply is called where the vendor gives no name.
    pub(super) name: Name,
}

/// An embeddings request in canonical words.
pub(super) struct EmbeddingsRequest<'a> {
    pub(super) model: &'a str,
    /// Empty where the client sent tokens.
    pub(super) inputs: &'a [String],
    /// Lists of token ids as their JSON, which only the model's own vendor understands.
    pub(super) tokens: Option<&'a RawValue>,
    pub(super) dimensions: Option<u32>,
    /// OpenAI's `user`.
    pub(super) user: Option<&'a str>,
}

/// What becomes of a field that a vendor cannot take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsupported {
    /// The request fails with a 400 that names the field.
    #[default]
    Refuse,
    /// The field is left out.
    Drop,
}

/// A request as it is posted.
#[derive(Debug)]
pub(super) struct HttpRequest {
    /// Below the provider's `base_url`; begins with `/`, may have a query.
    pub(super) path: String,
    /// Beside content-type, credentials and the like.
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Bytes,
}

/// How the reply to one request is read.
pub(super) enum Decoding {
    /// It is OpenAI-shaped: forwarded where it is right, mended where it is not.
    OpenAi(Box<OpenAiNormalizer>),
    /// It is in the vendor's own shape.
    Translated(Box<dyn ReplyDecoder>),
}

/// Reads the reply to one request. Of its functions either `whole` is called, or `event` for each event and `end`.
pub(super) trait ReplyDecoder: Send {
    /// A reply in one piece.
    ///
    /// # Errors
    /// See [`DecodeError`].
    fn whole(&mut self, body: &[u8]) -> Result<Completion, DecodeError>;

    /// The data of one event; appends what it says to `deltas`.
    ///
    /// # Errors
    /// See [`DecodeError`]; what was appended before still counts.
    fn event(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), DecodeError>;

    /// No event will follow. True if the stream was complete; appends what was held back.
    fn end(&mut self, deltas: &mut Vec<Delta>) -> bool;
}

/// A field that a vendor cannot take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnsupportedField {
    /// The field's path in the client's body, e.g. `messages[2].content[0].image_url`.
    pub(super) param: String,
    /// Goes after the field's name: what is wrong and what would be right.
    pub(super) message: String,
}

impl EmbeddingsRequest<'_> {
    /// # Errors
    /// Where the client sent token ids: they are of another vendor's tokeniser.
    pub(super) fn texts_only(&self) -> Result<(), UnsupportedField> {
        match self.tokens {
            Some(_) => Err(UnsupportedField { param: "input".into(), message: "must be text: this model has tokens of its own".into() }),
            None => Ok(()),
        }
    }
}

impl CompletionRequest<'_> {
    /// Notes a field that the vendor cannot take: refused, or left out with a line in the log, as the operator chose.
    ///
    /// # Errors
    /// Where the operator did not choose to leave such fields out.
    pub(super) fn refuse_or_drop(&self, param: impl Into<String>, message: impl Into<String>) -> Result<(), UnsupportedField> {
        let (param, message) = (param.into(), message.into());
        match self.unsupported {
            Unsupported::Refuse => Err(UnsupportedField { param, message }),
            Unsupported::Drop => {
                tracing::debug!(param, "a field that the provider cannot take is left out: {message}");
                Ok(())
            }
        }
    }
}
