//! Vectors for clients, computed by a provider or by the embedder inside this program.
//! No stage and no hook sees an embeddings request.

use super::Error;
use super::run::Runner;
use crate::chat::{Client, Embed, Embedded, Inputs};
use crate::llm::{self, Asker, TEXTS_ONLY, Target};

impl Runner {
    /// The vectors of `embed`'s inputs. The embedder inside this program is shared between clients.
    ///
    /// # Errors
    /// The provider's or the embedder's; `Deadline` when the time is over.
    pub async fn embed(&self, target: &Target, embed: Embed, asker: &Asker<'_>) -> Result<Embedded, Error> {
        let work = async {
            if self.llm.is_builtin(&target.provider) {
                let embedded = self.embed_here(&target.provider, embed, asker.client).await;
                asker.tries.ended(&target.provider, &target.model, embedded.is_ok());
                return embedded;
            }
            Ok(self.llm.embed(target, &embed, asker).await?)
        };
        tokio::time::timeout_at(asker.deadline.instant(), work).await.unwrap_or(Err(Error::Deadline))
    }

    /// By the embedder that also searches the knowledge base. It counts no tokens.
    async fn embed_here(&self, provider: &str, embed: Embed, client: &Client) -> Result<Embedded, Error> {
        let unsupported =
            |param: &str, message: String| llm::Error::UnsupportedField { provider: provider.to_owned(), param: param.into(), message };
        let dimensions = self.knowledge.dimensions();
        if embed.dimensions.is_some_and(|wanted| usize::try_from(wanted).ok() != Some(dimensions)) {
            return Err(unsupported("dimensions", format!("this model's vectors have {dimensions} numbers")).into());
        }
        match embed.inputs {
            Inputs::Tokens { .. } => Err(unsupported("input", TEXTS_ONLY.into()).into()),
            Inputs::Texts(texts) => Ok(Embedded { vectors: self.knowledge.embed(texts, client).await?, prompt_tokens: 0 }),
        }
    }
}
