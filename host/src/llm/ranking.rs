//! A question with documents that are to be ranked by how much they have to do with it, and what a model says of them.

/// Documents whose relevance to a question is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Rerank<'a> {
    pub question: &'a str,
    pub documents: &'a [String],
}

/// What was said of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reranked {
    /// One for each document, in their order; the larger, the more relevant. Models differ in what their numbers mean.
    pub scores: Vec<f32>,
    /// 0 if the provider does not say.
    pub prompt_tokens: u64,
}
