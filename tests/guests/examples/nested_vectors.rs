//! A model and an embedder in one, both of which ask for vectors of others.

use cofferdam_guest::{AnswerError, Context, HookError, Message, Plugin, Question, answer, llm};

struct NestedVectors;

impl Plugin for NestedVectors {
    const NAME: Option<&'static str> = Some("nested-vectors");

    fn answer(question: Question) -> Result<(), AnswerError> {
        let asked = question.last_user().map(Message::text).unwrap_or_default();
        match llm::embed(&[asked]) {
            Ok(vectors) => answer::text(&format!("{vectors:?}")),
            Err(failure) => answer::text(&format!("{failure:?}")),
        }
        Ok(())
    }

    fn embed(_context: &Context, _model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, HookError> {
        Ok(llm::embed(texts)?)
    }
}

cofferdam_guest::export!(NestedVectors: model, embedder);
