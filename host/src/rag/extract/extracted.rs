//! What comes of reading a file.

use crate::rag::{Kind, PageStart};

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted {
    pub title: Option<String>,
    /// How `markdown` is read: as the Markdown that it is, or as plain text, in which nothing is markup.
    pub kind: Kind,
    pub markdown: String,
    /// By offset; empty if the format has no pages.
    pub pages: Vec<PageStart>,
}
