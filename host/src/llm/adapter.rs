//! What an adapter is: pure conversions between the canonical form and one vendor's dialect, bytes in and values out, without IO or a clock.
//! Encoding a request also returns what decodes its reply, because a reply's meaning may depend on what was asked.

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use serde_json::value::RawValue;

pub(super) use super::provider_error::{DecodeError, ProviderError, UnsupportedField};
use super::providers::openai::OpenAiNormalizer;
use super::ranking::{Rerank, Reranked};
use crate::chat::{Completion, Delta, Embedded, Fields, Message, Name};

/// How one vendor is spoken to.
pub(super) trait Dialect: Send + Sync {
    /// A chat request in the vendor's form, and the decoder of its reply.
    ///
    /// # Errors
    /// `UnsupportedField` names a field that the vendor cannot take.
    fn encode_chat(&self, request: &CompletionRequest<'_>) -> Result<(HttpRequest, Decoding), UnsupportedField>;

    /// What of OpenAI's own form the vendor takes as it is; the rest is said in another way before `encode_chat`.
    fn takes(&self) -> Takes {
        Takes::default()
    }

    /// The vendor's embeddings, if it has any.
    fn embeddings(&self) -> Option<&dyn Embeddings> {
        None
    }

    /// The vendor's ranking of documents, if it has any.
    fn reranking(&self) -> Option<&dyn Reranking> {
        None
    }

    /// The header that carries a key: its name, and its value made from the key.
    fn credentials(&self, key: &str) -> (HeaderName, String);

    /// What the JSON body of an error status says.
    fn provider_error(&self, status: StatusCode, json: &serde_json::Value) -> ProviderError;
}

/// The embeddings of a vendor that computes them.
pub(super) trait Embeddings: Send + Sync {
    /// # Errors
    /// `UnsupportedField` names a field that the vendor cannot take.
    fn encode_embeddings(&self, request: &EmbeddingsRequest<'_>) -> Result<HttpRequest, UnsupportedField>;

    /// The reply to a request of this many inputs: one vector for each, in the order of the inputs.
    ///
    /// # Errors
    /// See [`DecodeError`].
    fn decode_embeddings(&self, inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError>;
}

/// How documents are ranked at a vendor that has models for it.
pub(super) trait Reranking: Send + Sync {
    fn encode_rerank(&self, model: &str, rerank: &Rerank<'_>) -> HttpRequest;

    /// The reply to a request of this many documents: one score for each, in their order.
    ///
    /// # Errors
    /// See [`DecodeError`].
    fn decode_rerank(&self, documents: usize, body: &[u8]) -> Result<Reranked, DecodeError>;
}

/// What of OpenAI's form, where it has several for one thing, a vendor takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Takes {
    /// Tools of the type `custom`.
    pub(super) custom_tools: bool,
    /// `functions` and `function_call`, which were before tools.
    pub(super) functions: bool,
    /// Pictures and files in the results of tools.
    pub(super) media_in_results: bool,
    /// A `tool_choice` of the type `allowed_tools`.
    pub(super) allowed_tools: bool,
    /// `parallel_tool_calls`: it can be told to make one call at a time.
    pub(super) one_call: bool,
    /// A system message in the middle of a conversation, in its place.
    pub(super) system_anywhere: bool,
    /// Whole numbers as clients write them, such as `40.0`: the vendor's own reader judges them.
    pub(super) any_numbers: bool,
}

impl Takes {
    /// OpenAI's form as it is.
    pub(super) const ALL: Self = Self {
        custom_tools: true,
        functions: true,
        media_in_results: true,
        allowed_tools: true,
        one_call: true,
        system_anywhere: true,
        any_numbers: true,
    };
}

/// A chat request in canonical form.
pub(super) struct CompletionRequest<'a> {
    pub(super) model: &'a str,
    pub(super) messages: &'a [Message],
    /// Every field of the client's body but model, messages and stream.
    pub(super) params: &'a Fields,
    pub(super) stream: bool,
    pub(super) unsupported: Unsupported,
    /// The id, model and time of the reply if the vendor gives none.
    pub(super) name: Name,
}

/// An embeddings request in canonical form.
pub(super) struct EmbeddingsRequest<'a> {
    pub(super) model: &'a str,
    /// Empty if the client sent tokens.
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
    /// Those that every request has (content type, credentials) are not among them.
    pub(super) headers: Vec<(HeaderName, String)>,
    /// JSON.
    pub(super) body: Bytes,
}

/// How the reply to one request is decoded.
pub(super) enum Decoding {
    /// It is OpenAI-shaped: forwarded as it is if nothing is wrong with it, otherwise mended.
    OpenAi(Box<OpenAiNormalizer>),
    /// It is in the vendor's own shape.
    Translated(Box<dyn ReplyDecoder>),
}

/// Decodes the reply to one request. The caller calls either `whole` once, or `event` for each event and then `end`.
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

    /// No event will follow. Appends what was held back and returns whether the stream was complete.
    fn end(&mut self, deltas: &mut Vec<Delta>) -> bool;
}

impl CompletionRequest<'_> {
    /// Reports a field that the vendor cannot take: it is refused, or left out with a line in the log, as the operator chose.
    ///
    /// # Errors
    /// If the operator did not choose to leave such fields out.
    pub(super) fn refuse_or_drop(&self, param: impl Into<String>, message: impl Into<String>) -> Result<(), UnsupportedField> {
        let UnsupportedField { param, message } = UnsupportedField::new(param, message);
        match self.unsupported {
            Unsupported::Refuse => Err(UnsupportedField { param, message }),
            Unsupported::Drop => {
                tracing::debug!(param, "a field that the provider cannot take is left out: {message}");
                Ok(())
            }
        }
    }
}

impl EmbeddingsRequest<'_> {
    /// # Errors
    /// If the client sent token ids, which are those of another vendor's tokeniser.
    pub(super) fn texts_only(&self) -> Result<(), UnsupportedField> {
        match self.tokens {
            Some(_) => Err(UnsupportedField::new(
                "input",
                "must be text: this model has tokens of its own; with LangChain's OpenAIEmbeddings, send check_embedding_ctx_length=False",
            )),
            None => Ok(()),
        }
    }
}
