//! Vectors from a provider or from a plugin, with the same retries and the same circuits as chat replies. There are no fallbacks, because the vectors of two
//! models do not lie in one space.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::endpoint::within;
use super::{Call, Provider};
use crate::chat::codec::{self, Form};
use crate::chat::{Client, Deadline, Embed, Embedded, Exchange, Inputs, Kept, RequestId, Sizes, Tries, Usage};
use crate::llm::adapter::EmbeddingsRequest;
use crate::llm::attempt::{Attempt, Failure, Request};
use crate::llm::budget::Ask;
use crate::llm::error::{Error, Phase};
use crate::llm::limits::Limits;
use crate::llm::meter::{self, Meter, Who};
use crate::llm::plugin::{self, PluginVendor};
use crate::llm::secrets::Secret;

/// Values of a reply for one vector, its numbers not counted: an object, a list, and fields of which vendors have two or three.
const VALUES_OF_VECTOR: usize = 8;

/// Some clients cut texts into OpenAI's tokens unasked, so the remedy names the best-known one.
pub const TEXTS_ONLY: &str = "must be text: to this model, whose tokens are its own, these numbers mean other words; send texts \
    (with LangChain's OpenAIEmbeddings, check_embedding_ctx_length=False)";

/// Who wants vectors, and by when.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub id: &'a RequestId,
    /// The name that the client gave.
    pub model: &'a str,
    pub caller: Option<&'a str>,
    pub end_user: Option<&'a Arc<str>>,
    /// Whose share of the server it uses.
    pub client: &'a Client,
    pub deadline: Deadline,
    /// Counts the tries.
    pub tries: &'a Tries,
    /// What lasts as long as the request.
    pub kept: &'a Kept,
}

/// Texts or tokens, whose vectors are asked for.
pub(in crate::llm) struct Embeddings<'a> {
    pub(in crate::llm) embed: &'a Embed,
    pub(in crate::llm) asker: &'a Asker<'a>,
}

impl Request for Embeddings<'_> {
    type Reply = Embedded;

    const OPERATION: &'static str = "embeddings";
}

impl Call for Embeddings<'_> {
    fn builtin(attempt: &Attempt<'_, Self>) -> Result<Embedded, Failure> {
        Err(Error::NoEmbeddings { provider: attempt.target.provider.clone() }.into())
    }

    async fn plugin(vendor: &PluginVendor, attempt: &Attempt<'_, Self>) -> Result<Embedded, Failure> {
        // Boxed: nearly all tries are at providers, and their futures should not be larger for it.
        Box::pin(by_plugin(vendor, attempt)).await
    }

    /// Within the total limit and what is left of the exchange's time.
    async fn post(provider: &Provider, attempt: &Attempt<'_, Self>, key: Option<&Secret>) -> Result<Embedded, Failure> {
        let (endpoint, &Embeddings { embed, asker }) = (&provider.endpoint, attempt.request);
        let (inputs, tokens) = match &embed.inputs {
            Inputs::Texts(texts) => (texts.as_slice(), None),
            Inputs::Tokens { json, .. } => (&[][..], Some(&**json)),
        };
        let ask = EmbeddingsRequest { model: attempt.model, inputs, tokens, dimensions: embed.dimensions, user: embed.user.as_deref() };
        let none = || Error::NoEmbeddings { provider: endpoint.name.to_string() };
        let embeddings = endpoint.dialect.embeddings().ok_or_else(none)?;
        let wire = embeddings.encode_embeddings(&ask).map_err(|field| endpoint.unsupported_field(field))?;
        let (Asker { caller, end_user, tries, .. }, model) = (*asker, attempt.model);
        let prompt = expected_tokens(&embed.inputs);
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
            let sizes = Sizes { values: Sizes::REPLY.values + VALUES_OF_VECTOR * embed.inputs.count(), ..Sizes::REPLY };
            let counted = codec::count(&bytes, Form::Vectors, &sizes);
            counted.map_err(|_| endpoint.invalid_reply("a reply with too much in it to be vectors"))?;
            let decoded = embeddings.decode_embeddings(embed.inputs.count(), &bytes);
            decoded.map_err(|error| {
                meter.judge(&error);
                endpoint.failure(key, error)
            })
        };
        let (time, phase) = time(attempt.deadline, &endpoint.limits);
        let embedded = within(Instant::now() + time, post, || endpoint.timeout(phase, time)).await?;
        // Some vendors report no count; then the tokens are estimated.
        if embedded.prompt_tokens > 0 {
            meter.tally.reported(Usage { prompt: embedded.prompt_tokens, ..Usage::default() });
        }
        meter.tally.complete();
        meter.begun = true;
        Ok(embedded)
    }
}

/// The total limit, or what is left of the request's time if that is less.
pub(super) fn time(deadline: Deadline, limits: &Limits) -> (Duration, Phase) {
    match deadline.remaining() {
        left if left <= limits.total => (left, Phase::Deadline),
        _ => (limits.total, Phase::Total),
    }
}

/// What a plugin computes, held against the same limits as a provider's reply.
async fn by_plugin(vendor: &PluginVendor, attempt: &Attempt<'_, Embeddings<'_>>) -> Result<Embedded, Failure> {
    let PluginVendor { name, plugins, observer, memory, limits } = vendor;
    let (&Embeddings { embed, asker }, model, provider) = (attempt.request, attempt.model, name.to_string());
    let unfit = |param: &str, message| Error::UnsupportedField { provider: provider.clone(), param: param.into(), message };
    let Inputs::Texts(texts) = &embed.inputs else { return Err(unfit("input", TEXTS_ONLY.into()).into()) };
    let (Asker { caller, end_user, tries, .. }, prompt) = (*asker, expected_tokens(&embed.inputs));
    let hold = observer.reserve(&Ask { caller, end_user, provider: name, model, prompt, completion: Some(0), choices: 1 }).await?;
    let operation = <Embeddings<'_> as Request>::OPERATION;
    let who = Who { pipeline: asker.model, caller, provider: name, operation, system: plugin::INFO.system, tries };
    let mut meter = Meter::new(Arc::clone(observer), &who, model, prompt, hold);
    meter.sent = true;
    // Dropping the vectors ends the plugin here, as an answer of it would end.
    meter.fail();
    let mut received = memory.reply(asker.client);
    let gathered = async {
        let (mut vectors, mut bytes) = (Vec::with_capacity(texts.len()), 0);
        let mut computed = plugins.embed(model, texts.clone(), asker.exchange());
        while let Some(more) = computed.next().await {
            let more = more?;
            bytes += more.iter().map(|vector| size_of_val(vector.as_slice())).sum::<usize>();
            if bytes > limits.reply_bytes {
                let cause = format!("more than {} bytes (`limits.providers.reply_bytes`)", limits.reply_bytes);
                return Err(Error::InvalidReply { provider: provider.clone(), cause });
            }
            if !received.hold(bytes) {
                return Err(Error::Overloaded { provider: provider.clone() });
            }
            vectors.extend(more);
        }
        Ok(vectors)
    };
    let (limit, phase) = time(attempt.deadline, limits);
    let late = || Error::Timeout { provider: provider.clone(), phase, limit };
    let vectors = within(Instant::now() + limit, gathered, late).await?;
    let length = vectors.first().map_or(0, Vec::len);
    if embed.dimensions.is_some_and(|wanted| usize::try_from(wanted).ok() != Some(length)) {
        return Err(unfit("dimensions", format!("this model's vectors have {length} numbers")).into());
    }
    meter.tally.complete();
    meter.begun = true;
    Ok(Embedded { vectors, prompt_tokens: 0 })
}

impl Asker<'_> {
    /// What a plugin is told of the request, which has no conversation.
    fn exchange(&self) -> Exchange {
        Exchange {
            caller: self.caller.map(Arc::from),
            end_user: self.end_user.cloned(),
            tries: self.tries.clone(),
            kept: self.kept.clone(),
            ..Exchange::new(self.id.clone(), self.client.clone(), self.model.into(), self.deadline)
        }
    }
}

/// Texts are estimated from their bytes; tokens are counted, for each of a list but the first stands behind a comma.
fn expected_tokens(inputs: &Inputs) -> u64 {
    match inputs {
        Inputs::Texts(_) => meter::tokens(inputs.bytes() as u64),
        Inputs::Tokens { json, .. } => json.get().bytes().filter(|byte| *byte == b',').count() as u64 + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec;

    #[test]
    fn texts_are_guessed_from_their_bytes_and_tokens_are_counted() {
        let texts = Inputs::Texts(vec!["four".into(), "eleven more".into()]);
        assert_eq!(expected_tokens(&texts), 4);
        let tokens = Inputs::Tokens { json: codec::json("[[1,2],[3]]".into()).expect("JSON"), count: 2 };
        assert_eq!(expected_tokens(&tokens), 3);
    }
}
