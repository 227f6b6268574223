//! The vendors that can be asked, a folder each: pure conversions between the canonical form and the vendor's dialect.
//! No vendor's folder knows another's, but for those that speak OpenAI's dialect with differences.

pub(super) mod anthropic;
pub(super) mod azure;
pub(super) mod builtin;
pub(super) mod gemini;
pub(super) mod openai;
pub(super) mod workers;
