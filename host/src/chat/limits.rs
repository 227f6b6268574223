//! Limits of a reply that hold whoever wrote it.

/// Choices of one reply: what OpenAI allows for `n`.
pub const CHOICES_MAX: usize = 128;

/// Bytes of a reply's id and of its model's name: every chunk of a stream repeats them.
pub const HEAD_BYTES_MAX: usize = 1 << 10;
