//! What stands for the operator's models and documents in tests.

use std::cell::RefCell;

use crate::knowledge::{Passage, Query};
use crate::llm::{Answer, Failure, Question};
use crate::{Delta, Piece};

/// What stands for all models.
type Models = Box<dyn Fn(&Question) -> Result<Answer, Failure>>;
/// What stands for all documents.
type Documents = Box<dyn Fn(&Query) -> Vec<Passage>>;

thread_local! {
    static MODELS: RefCell<Option<Models>> = const { RefCell::new(None) };
    static DOCUMENTS: RefCell<Option<Documents>> = const { RefCell::new(None) };
    /// Replies that are read, each a number from 1.
    static REPLIES: RefCell<Vec<Vec<Delta>>> = const { RefCell::new(Vec::new()) };
}

/// Lets `models` answer what plugins called from this thread ask.
pub fn set_llm(models: impl Fn(&Question) -> Result<Answer, Failure> + 'static) {
    MODELS.replace(Some(Box::new(models)));
}

/// Lets `documents` be found by plugins called from this thread.
pub fn set_knowledge(documents: impl Fn(&Query) -> Vec<Passage> + 'static) {
    DOCUMENTS.replace(Some(Box::new(documents)));
}

pub(crate) fn answer_llm(question: &Question) -> Result<Answer, Failure> {
    let nobody = || Err(Failure::Unavailable("the test has set no model".to_owned()));
    MODELS.with_borrow(|models| models.as_ref().map_or_else(nobody, |models| models(question)))
}

pub(crate) fn passages(query: &Query) -> Vec<Passage> {
    DOCUMENTS.with_borrow(|documents| documents.as_ref().map_or_else(Vec::new, |documents| documents(query)))
}

pub(crate) fn open_reply(answer: Answer) -> u32 {
    let piece = |piece| Delta { choice: 0, piece };
    let text = piece(Piece::Text(answer.text()));
    let finish = answer.finish_reason.map(|reason| piece(Piece::Finish(reason)));
    REPLIES.with_borrow_mut(|replies| {
        replies.push([text].into_iter().chain(finish).collect());
        u32::try_from(replies.len()).expect("a test reads few replies")
    })
}

pub(crate) fn next_of_reply(number: u32) -> Vec<Delta> {
    REPLIES.with_borrow_mut(|replies| replies.get_mut(number as usize - 1).map(std::mem::take).unwrap_or_default())
}
