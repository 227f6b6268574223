//! Limits of what is read: of a request's body, which the operator sets, and of a reply, whoever wrote it.
//! Invariant: whatever a text can have many of has a number here.

/// Choices of one reply: what OpenAI allows for `n`.
pub const CHOICES_MAX: usize = 128;

/// Bytes of a reply's id and of its model's name: every chunk of a stream repeats them.
pub const HEAD_BYTES_MAX: usize = 1 << 10;

/// How much structure a JSON text may have. It is counted before a value is made of it, because three bytes of text can become a hundred of
/// memory. Lists are counted over the whole text, so that many short ones are as good as a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Objects and lists inside each other.
    pub depth: usize,
    /// Objects, lists, texts, numbers and words, wherever they stand.
    pub values: usize,
    /// Fields that are kept one by one because they are not known, where others are.
    pub fields: usize,
    /// Messages, or items of a response's input.
    pub messages: usize,
    pub parts: usize,
    pub tool_calls: usize,
    pub tools: usize,
    /// Texts or lists of tokens to turn into vectors.
    pub inputs: usize,
}

impl Sizes {
    /// Of a provider's whole reply. Probabilities of tokens are not counted: there are very many, and nothing is made of them. The longest
    /// replies have some thousand values; calls of tools are the most common.
    pub const REPLY: Self = Self {
        depth: 128,
        values: 100_000,
        fields: usize::MAX,
        messages: usize::MAX,
        parts: 20_000,
        tool_calls: 10_000,
        tools: usize::MAX,
        inputs: usize::MAX,
    };
}
