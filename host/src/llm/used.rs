//! What a reply used, as it is reported to the ledger and the metrics: counts and names, no content.

/// One reply that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used<'a> {
    /// The API id that the client asked for.
    pub pipeline: &'a str,
    /// The name of the client's key; none if no keys are configured.
    pub caller: Option<&'a str>,
    pub provider: &'a str,
    /// OpenTelemetry's names for what was asked, `chat`, `embeddings` or `rerank`, and for the provider's kind.
    pub operation: &'static str,
    pub system: &'static str,
    pub model: &'a str,
    pub usage: crate::chat::Usage,
    /// The provider reported no count: the tokens are estimated from the bytes.
    pub estimated: bool,
}
