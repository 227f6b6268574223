//! What a provider's model says of how much each of some documents has to do with a question. One target is asked, with the same retries and the
//! same circuits as chat replies.

use std::sync::Arc;

use tokio::time::Instant;

use super::embeddings::{Asker, time};
use super::endpoint::within;
use super::{Call, Provider};
use crate::chat::Usage;
use crate::llm::adapter::UnsupportedField;
use crate::llm::attempt::{Attempt, Failure, Request};
use crate::llm::budget::Ask;
use crate::llm::error::Error;
use crate::llm::meter::{self, Meter, Who};
use crate::llm::plugin::PluginVendor;
use crate::llm::ranking::{Rerank, Reranked};
use crate::llm::secrets::Secret;

/// A question with its documents, and who asks.
pub(in crate::llm) struct Relevance<'a> {
    pub(in crate::llm) rerank: Rerank<'a>,
    pub(in crate::llm) asker: &'a Asker<'a>,
}

impl Request for Relevance<'_> {
    type Reply = Reranked;

    const OPERATION: &'static str = "rerank";
}

impl Call for Relevance<'_> {
    fn builtin(attempt: &Attempt<'_, Self>) -> Result<Reranked, Failure> {
        Err(none(&attempt.target.provider).into())
    }

    async fn plugin(vendor: &PluginVendor, _: &Attempt<'_, Self>) -> Result<Reranked, Failure> {
        Err(none(&vendor.name).into())
    }

    async fn post(provider: &Provider, attempt: &Attempt<'_, Self>, key: Option<&Secret>) -> Result<Reranked, Failure> {
        let (endpoint, &Relevance { rerank, asker }, model) = (&provider.endpoint, attempt.request, attempt.model);
        let reranking = endpoint.dialect.reranking().ok_or_else(|| none(&endpoint.name))?;
        let wire = reranking.encode_rerank(model, &rerank);
        let Asker { caller, end_user, tries, .. } = *asker;
        let prompt = meter::tokens(wire.body.len() as u64);
        let ask = Ask { caller, end_user, provider: &endpoint.name, model, prompt, completion: Some(0), choices: 1 };
        let hold = provider.observer.reserve(&ask).await?;
        let (operation, system) = (Self::OPERATION, endpoint.system);
        let who = Who { pipeline: asker.model, caller, provider: &endpoint.name, operation, system, tries };
        let mut meter = Meter::new(Arc::clone(&provider.observer), &who, model, prompt, hold);
        let post = async {
            let request = endpoint.request(wire, key)?;
            let connection = endpoint.transport.connection().await?;
            let (_, body) = endpoint.send(key, connection, request, &mut meter.sent).await?;
            let mut received = endpoint.memory.reply(asker.client);
            let bytes = endpoint.read(body, &mut received).await?;
            let decoded = reranking.decode_rerank(rerank.documents.len(), &bytes);
            decoded.map_err(|error| {
                meter.judge(&error);
                endpoint.failure(key, error)
            })
        };
        let (time, phase) = time(attempt.deadline, &endpoint.limits);
        let reranked = within(Instant::now() + time, post, || endpoint.timeout(phase, time)).await?;
        if reranked.prompt_tokens > 0 {
            meter.tally.reported(Usage { prompt: reranked.prompt_tokens, ..Usage::default() });
        }
        meter.tally.complete();
        meter.begun = true;
        Ok(reranked)
    }
}

/// The error of a provider whose kind has no such models. The configuration names none of them.
fn none(provider: &str) -> Error {
    let UnsupportedField { param, message } = UnsupportedField::new("model", "providers of this kind rank no documents");
    Error::UnsupportedField { provider: provider.to_owned(), param, message }
}
