//! Where the pages of a document begin in its text, for citations.

use serde::{Deserialize, Serialize};

/// The first byte of a page, or of a slide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageStart {
    /// In the document's text.
    pub offset: usize,
    /// As the file counts them, from 1.
    pub number: u32,
}
