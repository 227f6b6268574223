//! Vectors from a provider, with the same retries and the same circuits as chat replies. There are no fallbacks, because the vectors of two
//! models do not lie in one space.

use tokio::time::Instant;
use tracing::Span;

use super::endpoint::within;
use super::{Call, Provider};
use crate::chat::{Client, Deadline, Embed, Embedded, Inputs, Tries};
use crate::llm::adapter::EmbeddingsRequest;
use crate::llm::attempt::{Attempt, Failure, Request};
use crate::llm::error::{Error, Phase};
use crate::llm::meter;
use crate::llm::secrets::Secret;
use crate::telemetry::llm_used;

/// Who wants vectors, and by when.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The name that the client gave.
    pub model: &'a str,
    pub caller: Option<&'a str>,
    /// Whose share of the server it uses.
    pub client: &'a Client,
    pub deadline: Deadline,
    /// Counts the tries.
    pub tries: &'a Tries,
}

/// Texts or tokens, whose vectors are asked for.
pub(in crate::llm) struct Embeddings<'a> {
    pub(in crate::llm) embed: &'a Embed,
    pub(in crate::llm) client: &'a Client,
}

impl Request for Embeddings<'_> {
    type Reply = Embedded;

    const OPERATION: &'static str = "embeddings";
}

impl Call for Embeddings<'_> {
    fn builtin(attempt: &Attempt<'_, Self>) -> Result<Embedded, Failure> {
        Err(Error::NoEmbeddings { provider: attempt.target.provider.clone() }.into())
    }

    /// Within the total limit and what is left of the exchange's time.
    async fn post(provider: &Provider, attempt: &Attempt<'_, Self>, key: Option<&Secret>) -> Result<Embedded, Failure> {
        let (endpoint, &Embeddings { embed, client }) = (&provider.endpoint, attempt.request);
        let (inputs, tokens) = match &embed.inputs {
            Inputs::Texts(texts) => (texts.as_slice(), None),
            Inputs::Tokens { json, .. } => (&[][..], Some(&**json)),
        };
        let ask = EmbeddingsRequest { model: attempt.model, inputs, tokens, dimensions: embed.dimensions, user: embed.user.as_deref() };
        let none = || Error::NoEmbeddings { provider: endpoint.name.to_string() };
        let embeddings = endpoint.dialect.embeddings().ok_or_else(none)?;
        let wire = embeddings.encode_embeddings(&ask).map_err(|field| endpoint.unsupported_field(field))?;
        let post = async {
            let request = endpoint.request(wire, key)?;
            let connection = endpoint.transport.connection().await?;
            let (_, body) = endpoint.send(key, connection, request).await?;
            let mut received = endpoint.memory.reply(client);
            let bytes = endpoint.read(body, &mut received).await?;
            embeddings.decode_embeddings(embed.inputs.count(), &bytes).map_err(|error| endpoint.failure(key, error))
        };
        let (left, total) = (attempt.deadline.remaining(), endpoint.limits.total);
        let (time, phase) = if left <= total { (left, Phase::Deadline) } else { (total, Phase::Total) };
        let embedded = within(Instant::now() + time, post, || endpoint.timeout(phase, time)).await?;
        if embedded.prompt_tokens > 0 {
            llm_used(&Span::current(), embedded.prompt_tokens, 0);
        }
        Ok(embedded)
    }
}

/// How many tokens the inputs count as, and whether that is an estimate: some vendors report no count.
pub(in crate::llm) fn prompt_tokens(embed: &Embed, embedded: &Embedded) -> (u64, bool) {
    match embedded.prompt_tokens {
        0 => (meter::tokens(embed.inputs.bytes() as u64), true),
        reported => (reported, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_without_a_count_are_guessed_from_their_bytes() {
        let embed = Embed { inputs: Inputs::Texts(vec!["four".into(), "eleven more".into()]), dimensions: None, user: None };
        let embedded = |prompt_tokens| Embedded { vectors: Vec::new(), prompt_tokens };
        assert_eq!(prompt_tokens(&embed, &embedded(7)), (7, false));
        assert_eq!(prompt_tokens(&embed, &embedded(0)), (4, true));
    }
}
