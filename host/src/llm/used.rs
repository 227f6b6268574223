//! What a reply used, as it is told to whoever keeps the books. Must not know prices, limits or where the books are.

/// One reply that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used<'a> {
    /// The API id that the client asked for.
    pub pipeline: &'a str,
    /// The name of the client's key; none where no keys are configured.
    pub caller: Option<&'a str>,
    pub provider: &'a str,
    /// The convention's words for what was asked, `chat` or `embeddings`, and for the provider's kind.
    pub operation: &'static str,
    pub system: &'static str,
    pub model: &'a str,
    pub usage: crate::chat::Usage,
    /// No count was told by the provider: the tokens are a guess from the bytes.
    pub estimated: bool,
}
