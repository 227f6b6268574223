//! Stage rag: searches for what the newest user message asks about and gives the model what it found.
//! The client's own messages stay as they are, and so does their order up to the newest user message, which what was found stands before, or up
//! to the end of the system messages at the start, if the operator wants it there.

mod fence;

use tokio::time::Instant;

use super::{Error, Inject, RagStage};
use crate::chat::{Exchange, Hit, Message};
use crate::rag::{Excerpt, Found, Knowledge, Namespace, Query};
use crate::telemetry::Metrics;

pub use fence::Injection;

/// Adds the hits, if there are any, as one system message directly before the newest user message.
///
/// # Errors
/// Retrieval failed. The request then fails too, because an answer without its sources would be worse and nobody would know.
pub async fn run(stage: &RagStage, knowledge: &Knowledge, mut exchange: Exchange, metrics: &Metrics) -> Result<Exchange, Error> {
    let questions: Vec<String> = exchange.questions().take(stage.turns).collect();
    let mut questions = questions.into_iter();
    let Some(question) = questions.next() else { return Ok(exchange) };
    let earlier = questions.collect();
    let namespace = Namespace { api: exchange.pipeline.to_string(), name: stage.namespace.clone() };
    let RagStage { mode, top_k, score_threshold, mmr, .. } = *stage;
    let (filter, rerank, client) = (stage.filter.clone(), stage.rerank.clone(), exchange.client.clone());
    let query = Query { text: question, earlier, mode, top_k, score_threshold, mmr, filter, rerank, client };
    let begun = Instant::now();
    let Found { hits, reranking, .. } = knowledge.search(&namespace, query).await?;
    if let Some(reranking) = reranking {
        metrics.rag_rerank(reranking.word());
    }
    let excerpts = knowledge.excerpts(&hits, stage.spread).await?;
    metrics.rag_search(begun.elapsed().as_secs_f64(), hits.len());
    let excerpts = named(excerpts);
    if let Some(Injection { code, text }) = injection(&excerpts) {
        let at = match stage.inject {
            Inject::Question => before_the_question(&exchange.messages),
            Inject::System => behind_the_system(&exchange.messages),
        };
        exchange.messages.insert(at, Message::text("system", text));
        exchange.fence = (stage.inject == Inject::Question).then_some(code);
    }
    exchange.hits = excerpts;
    Ok(exchange)
}

/// The excerpts as the model is told of them: whoever names a source later names it as the model was told it.
pub fn named(excerpts: Vec<Excerpt>) -> Vec<Hit> {
    let named = |Excerpt { hit, .. }| Hit {
        url: url(&hit),
        source: fence::clean_name(&hit.source),
        heading: fence::clean_name(&hit.heading),
        ..hit
    };
    excerpts.into_iter().map(named).collect()
}

/// The message that tells the model of the excerpts; none if there are none.
pub fn injection(excerpts: &[Hit]) -> Option<Injection> {
    (!excerpts.is_empty()).then(|| fence::injection(excerpts, fence::random))
}

/// Where the document is to be read: what its metadata says, or else its name, if that is an address of the web.
fn url(hit: &Hit) -> Option<String> {
    let of_the_web = |text: &&str| url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    [hit.url.as_deref(), Some(&hit.source)].into_iter().flatten().find(of_the_web).map(str::to_owned)
}

/// The index of the newest user message. What stands before it stays byte for byte what it was in the request before, so that a provider's cache
/// of the prompt holds.
fn before_the_question(messages: &[Message]) -> usize {
    messages.iter().rposition(|message| message.role == "user").unwrap_or(messages.len())
}

/// The index behind the system messages at the start.
fn behind_the_system(messages: &[Message]) -> usize {
    messages.iter().take_while(|message| matches!(message.role.as_str(), "system" | "developer")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_to_be_read_where_its_metadata_or_its_name_says() {
        let of =
            |url: Option<&str>, source: &str| super::url(&Hit { url: url.map(str::to_owned), source: source.into(), ..Hit::default() });
        let web = "https://example.org/a?b='c'";
        assert_eq!(of(Some(web), "a.md").as_deref(), Some(web));
        assert_eq!(of(Some("javascript:alert(1)"), web).as_deref(), Some(web));
        assert_eq!(of(None, "https://e.example/x"), Some("https://e.example/x".into()));
        for (url, source) in [(None, "a.md"), (Some("see page 3"), "a.md"), (Some("file:///etc/passwd"), "c:a.md")] {
            assert_eq!(of(url, source), None, "{url:?} {source}");
        }
    }

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

    #[test]
    fn the_other_place_is_behind_the_system_messages_at_the_start() {
        let at = |roles: &str| {
            let messages: Vec<Message> = roles.split(' ').map(|role| Message::text(role, "x")).collect();
            behind_the_system(&messages)
        };
        assert_eq!((at("user"), at("system developer user system user"), at("system")), (0, 2, 1));
    }
}
