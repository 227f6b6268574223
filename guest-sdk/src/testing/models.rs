//! What stands for the operator's documents in tests.

use std::cell::RefCell;

use crate::knowledge::{Passage, Query};

/// What stands for all documents.
type Documents = Box<dyn Fn(&Query) -> Vec<Passage>>;

thread_local! {
    static DOCUMENTS: RefCell<Option<Documents>> = const { RefCell::new(None) };
}

/// Lets `documents` be found by plugins called from this thread.
pub fn set_knowledge(documents: impl Fn(&Query) -> Vec<Passage> + 'static) {
    DOCUMENTS.replace(Some(Box::new(documents)));
}

pub(crate) fn passages(query: &Query) -> Vec<Passage> {
    DOCUMENTS.with_borrow(|documents| documents.as_ref().map_or_else(Vec::new, |documents| documents(query)))
}
