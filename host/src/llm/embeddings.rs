//! Asking a provider for vectors, with the same tries again and the same circuits as for replies. No fallbacks: the vectors of two models do
//! not lie in one space. Must not know how a provider is asked.

use tracing::Span;

use super::attempt::{Ask, Failure, Walk};
use super::meter::tokens;
use super::{Error, Llm, Target, Used, Vendor};
use crate::chat::{Deadline, Embed, Embedded, Tries, Usage};
use crate::telemetry::{Operation, llm_used};

/// The convention's word.
const OPERATION: &str = "embeddings";

/// Who wants vectors, and by when.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The name that the client gave.
    pub model: &'a str,
    pub caller: Option<&'a str>,
    pub deadline: Deadline,
    /// Where the tries are counted.
    pub tries: &'a Tries,
}

/// One embeddings request, as it is asked of its provider.
struct Vectors<'a> {
    llm: &'a Llm,
    embed: &'a Embed,
    deadline: Deadline,
}

impl Llm {
    /// Asks `target` for vectors, and tells the observer what that used.
    ///
    /// # Errors
    /// As for a reply; `NoEmbeddings` where the provider computes none.
    pub async fn embed(&self, target: &Target, embed: &Embed, asker: &Asker<'_>) -> Result<Embedded, Error> {
        let vectors = Vectors { llm: self, embed, deadline: asker.deadline };
        let chain = std::slice::from_ref(target);
        let embedded = Walk::new(&vectors, &self.attempts, chain.into(), asker.deadline, asker.tries.clone()).run().await?.reply;
        let (prompt, estimated) = prompt_tokens(embed, &embedded);
        let usage = Usage { prompt, ..Usage::default() };
        let Target { provider, model, .. } = target;
        let (operation, system) = (OPERATION, self.system(provider));
        let used = Used { pipeline: asker.model, caller: asker.caller, provider, operation, system, model, usage, estimated };
        self.attempts.observer().used(&used);
        Ok(embedded)
    }
}

/// What the inputs count as, and whether that is a guess: some vendors tell no count.
fn prompt_tokens(embed: &Embed, embedded: &Embedded) -> (u64, bool) {
    match embedded.prompt_tokens {
        0 => (tokens(embed.inputs.bytes() as u64), true),
        told => (told, false),
    }
}

impl Ask for Vectors<'_> {
    type Reply = Embedded;

    async fn ask(&self, target: &Target, model: &str, _others: u32) -> Result<Embedded, Failure> {
        match self.llm.providers.get(&target.provider) {
            None => Err(Error::UnknownProvider { provider: target.provider.clone() }.into()),
            Some(Vendor::Builtin) => Err(Error::NoEmbeddings { provider: target.provider.clone() }.into()),
            Some(Vendor::Http(remote)) => {
                let embedded = remote.embed(&self.llm.secrets, target, model, self.embed, self.deadline).await?;
                if embedded.prompt_tokens > 0 {
                    llm_used(&Span::current(), embedded.prompt_tokens, 0);
                }
                Ok(embedded)
            }
        }
    }

    fn operation<'m>(&self, provider: &str, model: &'m str) -> Operation<'m> {
        Operation { name: OPERATION, system: self.llm.system(provider), model }
    }

    fn key_name<'t>(&'t self, target: &'t Target) -> Option<&'t str> {
        self.llm.key_name(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Inputs;

    #[test]
    fn texts_without_a_count_are_guessed_from_their_bytes() {
        let embed = Embed { inputs: Inputs::Texts(vec!["four".into(), "eleven more".into()]), dimensions: None, user: None };
        let embedded = |prompt_tokens| Embedded { vectors: Vec::new(), prompt_tokens };
        assert_eq!(prompt_tokens(&embed, &embedded(7)), (7, false));
        assert_eq!(prompt_tokens(&embed, &embedded(0)), (4, true));
    }
}
