//! Never comes back from saying which models it has.

use cofferdam_guest::{AnswerError, HookError, ModelInfo, Plugin, Question};

struct EndlessLoopInModels;

impl Plugin for EndlessLoopInModels {
    const NAME: Option<&'static str> = Some("endless-loop-in-models");

    fn models() -> Result<Vec<ModelInfo>, HookError> {
        loop {
            std::hint::spin_loop();
        }
    }

    fn answer(_question: Question) -> Result<(), AnswerError> {
        Ok(())
    }
}

cofferdam_guest::export!(EndlessLoopInModels: model);
