//! Stage llm: the primary, then its fallbacks. It cannot be switched off.
//! Must not know providers.

use super::{Error, LlmStage};
use crate::chat::{Exchange, Reply};
use crate::llm::{Answered, Llm, Mode};

/// Asks the model.
///
/// # Errors
/// The last attempt's error when none answered.
pub async fn run(stage: &LlmStage, llm: &Llm, mode: Mode, exchange: Exchange) -> Result<(Exchange, Answered<Reply>), Error> {
    let answer = llm.answer(stage.chain(), &exchange, mode).await?;
    Ok((exchange, answer))
}
