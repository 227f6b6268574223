//! OpenAI's dialect, and what other vendors' dialects share with it: the normalizer of OpenAI-shaped replies, tool calls, errors, embeddings.
//! This file only names the parts.

mod dialect;
mod embeddings;
mod errors;
mod normalizer;
mod parts;
mod rerank;
mod shape;
mod splice;
mod state;
mod whole;

pub(in crate::llm) use dialect::Object;
pub use dialect::{CustomTools, KeyHeader, OpenAiOptions};
pub(in crate::llm) use dialect::{INFO, OpenAi};
pub(in crate::llm) use dialect::{params, wants_usage};
pub(in crate::llm) use embeddings::{decode_embeddings, embeddings_body, vectors};
pub(in crate::llm) use errors::{in_band, kind, provider_error, reported, status};
pub(in crate::llm) use normalizer::Events;
pub(in crate::llm) use normalizer::OpenAiNormalizer;
#[cfg(test)]
pub(in crate::llm) use normalizer::Verdict;
pub(in crate::llm) use parts::text_and_thought;
pub(in crate::llm) use shape::{Call, Raw as RawField, calls, present, says as holds_something};
pub(in crate::llm) use state::{CALLS_MAX, Calls, is_finalisation};
