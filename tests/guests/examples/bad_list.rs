//! A model that says of itself what no model may be called.

use cofferdam_guest::{AnswerError, HookError, ModelInfo, Plugin, Question, answer};

struct BadList;

impl Plugin for BadList {
    const NAME: Option<&'static str> = Some("bad-list");

    fn models() -> Result<Vec<ModelInfo>, HookError> {
        Ok(vec![ModelInfo::new("../etc/passwd")])
    }

    fn answer(_question: Question) -> Result<(), AnswerError> {
        answer::text("never");
        Ok(())
    }
}

cofferdam_guest::export!(BadList: model);
