//! `POST /rerank`, which OpenAI does not have and many servers of its form do, in the one form that all of them took from Cohere.
//! Sources: Cohere API reference v2 "Rerank"; Jina's "Reranker API"; vLLM, "Re-rank API".

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::dialect::OpenAi;
use super::errors::in_band;
use crate::chat::codec::to_json;
use crate::llm::adapter::{DecodeError, HttpRequest, Reranking};
use crate::llm::error_body::tree;
use crate::llm::ranking::{Rerank, Reranked};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    query: &'a str,
    documents: &'a [String],
    top_n: usize,
}

#[derive(Deserialize)]
struct Reply<'a> {
    results: Option<Vec<Entry>>,
    usage: Option<Usage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// The document itself, which some servers repeat, is passed over.
#[derive(Deserialize)]
struct Entry {
    index: usize,
    relevance_score: f32,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    total_tokens: Option<u64>,
}

impl Reranking for OpenAi {
    fn encode_rerank(&self, model: &str, rerank: &Rerank<'_>) -> HttpRequest {
        let Rerank { question, documents } = *rerank;
        let body = Body { model, query: question, documents, top_n: documents.len() };
        HttpRequest { path: "/rerank".into(), headers: Vec::new(), body: to_json(&body) }
    }

    fn decode_rerank(&self, documents: usize, body: &[u8]) -> Result<Reranked, DecodeError> {
        let malformed = |error: serde_json::Error| DecodeError::Malformed(format!("no ranking: {error}"));
        let reply: Reply<'_> = serde_json::from_slice(body).map_err(malformed)?;
        if reply.error.is_some() {
            let (status, error) = in_band(&tree(body).map_err(malformed)?);
            return Err(DecodeError::Error(status, error));
        }
        let results = reply.results.ok_or_else(|| DecodeError::Malformed("it has no `results`".into()))?;
        let mut scores: Vec<Option<f32>> = vec![None; documents];
        for Entry { index, relevance_score } in results {
            match scores.get_mut(index) {
                Some(place @ None) if relevance_score.is_finite() => *place = Some(relevance_score),
                _ => {
                    return Err(DecodeError::Malformed(format!(
                        "a score of document {index}, which was not asked for or has one, or no number"
                    )));
                }
            }
        }
        let missing = || DecodeError::Malformed(format!("fewer scores than the {documents} documents"));
        let scores = scores.into_iter().collect::<Option<_>>().ok_or_else(missing)?;
        let used = reply.usage.and_then(|usage| usage.prompt_tokens.or(usage.total_tokens));
        Ok(Reranked { scores, prompt_tokens: used.unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::providers::openai::OpenAiOptions;

    fn server() -> OpenAi {
        OpenAi::at("http://127.0.0.1/v1", &OpenAiOptions::default())
    }

    fn decoded(body: &str) -> Result<Reranked, String> {
        server().decode_rerank(2, body.as_bytes()).map_err(|error| match error {
            DecodeError::Malformed(why) => why,
            DecodeError::Error(status, error) => format!("{status:?} {error:?}"),
        })
    }

    #[test]
    fn a_question_is_posted_with_its_documents_and_every_score_is_wanted() {
        let documents = ["a".to_owned(), "b \"c\"".to_owned()];
        let sent = server().encode_rerank("m", &Rerank { question: "q?", documents: &documents });
        assert_eq!(sent.path, "/rerank");
        assert_eq!(&sent.body[..], br#"{"model":"m","query":"q?","documents":["a","b \"c\""],"top_n":2}"#);
    }

    #[test]
    fn scores_come_in_the_order_of_the_documents_whatever_else_is_told() {
        let jina = r#"{"model":"j","usage":{"total_tokens":9},"results":[{"index":1,"document":{"text":"b"},"relevance_score":0.9},{"index":0,"relevance_score":-1e-3}]}"#;
        assert_eq!(decoded(jina), Ok(Reranked { scores: vec![-1e-3, 0.9], prompt_tokens: 9 }));
        let cohere = r#"{"id":"x","results":[{"index":0,"relevance_score":1},{"index":1,"relevance_score":0}],"meta":{"billed_units":{"search_units":1}}}"#;
        assert_eq!(decoded(cohere), Ok(Reranked { scores: vec![1.0, 0.0], prompt_tokens: 0 }));
    }

    #[test]
    fn a_reply_that_does_not_score_every_document_once_is_none() {
        for (body, why) in [
            ("[]", "no ranking"),
            ("{}", "no `results`"),
            (r#"{"results":[]}"#, "fewer scores"),
            (r#"{"results":[{"index":0,"relevance_score":1}]}"#, "fewer scores"),
            (r#"{"results":[{"index":0,"relevance_score":1},{"index":0,"relevance_score":1}]}"#, "has one"),
            (r#"{"results":[{"index":2,"relevance_score":1},{"index":0,"relevance_score":1}]}"#, "not asked for"),
            (r#"{"results":[{"index":-1,"relevance_score":1}]}"#, "no ranking"),
            (r#"{"results":[{"index":0,"relevance_score":1e99},{"index":1,"relevance_score":1}]}"#, "no "),
            (r#"{"results":[{"index":0,"relevance_score":null}]}"#, "no ranking"),
            (r#"{"error":{"message":"out of credit","code":402}}"#, "out of credit"),
        ] {
            let said = decoded(body).unwrap_err();
            assert!(said.contains(why), "{body}: {said}");
        }
    }
}
