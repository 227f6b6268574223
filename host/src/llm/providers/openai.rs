//! OpenAI's dialect, and what other vendors' dialects share with it: the normalizer of OpenAI-shaped replies, tool calls, errors, embeddings.
//! This file only names the parts.

mod calls;
mod dialect;
mod embeddings;
mod entry;
mod errors;
mod events;
mod head;
mod normalizer;
mod object;
mod request;
mod shape;
mod splice;
mod template;
mod whole;

pub(in crate::llm) use calls::{CALLS_MAX, Calls, is_finalisation};
pub use dialect::OpenAiOptions;
pub(in crate::llm) use dialect::{INFO, OpenAi};
pub(in crate::llm) use embeddings::{decode_embeddings, embeddings_body, vectors};
#[cfg(test)]
pub(in crate::llm) use errors::in_band;
pub(in crate::llm) use errors::{kind, provider_error, status};
pub(in crate::llm) use events::Events;
pub(in crate::llm) use normalizer::OpenAiNormalizer;
#[cfg(test)]
pub(in crate::llm) use normalizer::Verdict;
pub(in crate::llm) use object::Object;
pub(in crate::llm) use request::{params, wants_usage};
pub(in crate::llm) use shape::{Call, Raw as RawField, calls, present, says as holds_something};
