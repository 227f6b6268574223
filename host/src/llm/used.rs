//! What a reply used, told to whoever keeps the books.
//! Must not know prices, limits or where use is written down.

use crate::chat::Usage;

/// The use of one reply that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used<'a> {
    pub pipeline: &'a str,
    pub caller: Option<&'a str>,
    pub provider: &'a str,
    pub model: &'a str,
    pub usage: Usage,
    /// The provider told no count: the tokens are a guess from the bytes.
    pub estimated: bool,
}
