//! Stage rag: searches for what the newest user message asks about and gives the model what it found.
//! The client's own messages stay as they are, and so does their order up to the newest user message, which what was found stands before.

mod fence;

use tokio::time::Instant;

use super::{Error, RagStage};
use crate::chat::{Exchange, Hit, Message};
use crate::rag::{Excerpt, Found, Knowledge, Namespace, Query};
use crate::telemetry::Metrics;

/// Adds the hits, if there are any, as one system message directly before the newest user message.
///
/// # Errors
/// Retrieval failed. The request then fails too, because an answer without its sources would be worse and nobody would know.
pub async fn run(stage: &RagStage, knowledge: &Knowledge, mut exchange: Exchange, metrics: &Metrics) -> Result<Exchange, Error> {
    let Some(question) = exchange.question() else { return Ok(exchange) };
    let namespace = Namespace { api: exchange.pipeline.to_string(), name: stage.namespace.clone() };
    let RagStage { mode, top_k, score_threshold, mmr, .. } = *stage;
    let query = Query { text: question, mode, top_k, score_threshold, mmr, filter: stage.filter.clone(), client: exchange.client.clone() };
    let begun = Instant::now();
    let Found { hits, .. } = knowledge.search(&namespace, query).await?;
    let excerpts = knowledge.excerpts(&hits, stage.spread).await?;
    metrics.rag_search(begun.elapsed().as_secs_f64(), hits.len());
    let excerpts = named(excerpts);
    if let Some(text) = injection(&excerpts) {
        exchange.messages.insert(before_the_question(&exchange.messages), Message::text("system", text));
    }
    exchange.hits = excerpts;
    Ok(exchange)
}

/// The excerpts as the model is told of them: whoever names a source later names it as the model was told it.
pub fn named(excerpts: Vec<Excerpt>) -> Vec<Hit> {
    let named = |Excerpt { hit, .. }| Hit { source: fence::clean_name(&hit.source), heading: fence::clean_name(&hit.heading), ..hit };
    excerpts.into_iter().map(named).collect()
}

/// The message that tells the model of the excerpts; none if there are none.
pub fn injection(excerpts: &[Hit]) -> Option<String> {
    (!excerpts.is_empty()).then(|| fence::excerpts(excerpts, fence::random))
}

/// The index of the newest user message. What stands before it stays byte for byte what it was in the request before, so that a provider's cache
/// of the prompt holds.
fn before_the_question(messages: &[Message]) -> usize {
    messages.iter().rposition(|message| message.role == "user").unwrap_or(messages.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_stands_directly_before_the_newest_user_message() {
        let at = |roles: &str| {
            let messages: Vec<Message> = roles.split(' ').map(|role| Message::text(role, "x")).collect();
            before_the_question(&messages)
        };
        assert_eq!(at("user"), 0);
        assert_eq!(at("system user"), 1);
        assert_eq!(at("system developer user assistant user"), 4);
        assert_eq!(at("system user assistant user assistant tool tool"), 3);
        assert_eq!(at("system user assistant tool user system"), 4);
    }
}
