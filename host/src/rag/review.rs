//! Namespaces whose embedder is not the one that the operator wants: what the start makes of them, and how one is embedded anew. Nothing is, unless
//! somebody asks for it, or nobody could bring the old embedder back.

use super::reindex::mends_itself;
use super::{Error, Knowledge, Namespace};

/// Namespaces that are named in the log; of the others there is the number.
const NAMED: usize = 20;

/// What came of the wish to embed a namespace anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReindexStart {
    Begun,
    /// Its vectors are of the wanted embedder already.
    NothingToDo,
}

impl Knowledge {
    /// Goes on with what the process before this one did not bring to its end, begins what needs no asking, and tells of what does. To be called once.
    pub async fn review(&self) {
        let found = match self.store().all_spaces().await {
            Ok(found) => found,
            Err(error) => return tracing::error!(%error, "it cannot be read which embedders the namespaces have"),
        };
        let (mut differing, mut gone) = (Vec::new(), Vec::new());
        for (namespace, spaces) in found {
            let wanted = self.embedders().wanted(&namespace);
            let (made_by, serves) = (self.embedders().of(&spaces.serves), &spaces.serves);
            let is_as_wanted = wanted.makes(&serves.space);
            let goes_on = spaces.next.as_ref().is_some_and(|next| wanted.plans(next));
            if goes_on && !is_as_wanted || made_by.is_none() && mends_itself(serves, wanted) {
                self.reindexes().begin_in_turn(&namespace, wanted);
                continue;
            }
            let Namespace { api, name } = &namespace;
            let sentence = |what: &str| format!("`{api}/{name}` {what} `{}`, wanted is `{}`", serves.embedder, wanted.name);
            match made_by {
                None => gone.push(sentence("has vectors of")),
                Some(_) if !is_as_wanted => differing.push(sentence("is embedded by")),
                Some(_) => {}
            }
            // So that its name is known when it is no longer there.
            let named = if is_as_wanted { Some(wanted) } else { made_by };
            let tidied = async {
                if let Some(maker) = named.filter(|maker| maker.name != serves.embedder) {
                    self.store().record(&namespace, &maker.recorded(serves.space.clone())).await?;
                }
                self.tidy(&namespace, spaces.next.is_some()).await
            };
            if let Err(error) = tidied.await {
                tracing::warn!(%error, api, namespace = name, "what an earlier reindex left takes room until the next start");
            }
        }
        if let Some(list) = listed(&differing) {
            tracing::warn!("namespaces are not embedded by the embedder that is wanted for them, which a reindex changes: {list}");
        }
        if let Some(list) = listed(&gone) {
            tracing::error!(
                "namespaces cannot be searched by vectors, because no embedder of `[rag.embedders]` makes such as they have; put it back or reindex them: \
                 {list}"
            );
        }
    }

    /// Ends what is left of a reindex that is not gone on with, or that has had its swap.
    async fn tidy(&self, namespace: &Namespace, is_being_filled: bool) -> Result<(), Error> {
        if is_being_filled {
            self.store().give_up(namespace).await?;
        }
        while self.store().settle(namespace).await? {}
        Ok(())
    }

    /// Begins to embed a namespace anew, by the embedder that the operator wants for it. None if it holds no document.
    ///
    /// # Errors
    /// `ReindexRuns`, `TooManyReindexes`, `Store`.
    pub async fn reindex(&self, namespace: &Namespace) -> Result<Option<ReindexStart>, Error> {
        let Some(spaces) = self.store().spaces(namespace).await? else { return Ok(None) };
        let wanted = self.embedders().wanted(namespace);
        if wanted.makes(&spaces.serves.space) && self.reindexes().progress(namespace).is_none() {
            self.tidy(namespace, spaces.next.is_some()).await?;
            return Ok(Some(ReindexStart::NothingToDo));
        }
        self.reindexes().begin(namespace, wanted).await?;
        Ok(Some(ReindexStart::Begun))
    }

    /// Ends what changes the database without anybody waiting for it.
    pub async fn hand_over(&self) {
        self.reindexes().stop().await;
    }
}

/// The first of them, and how many more there are.
fn listed(sentences: &[String]) -> Option<String> {
    let more = sentences.len().saturating_sub(NAMED);
    let mut list = sentences.get(..sentences.len().min(NAMED))?.join("; ");
    if more > 0 {
        list.push_str(&format!("; and {more} more"));
    }
    (!sentences.is_empty()).then_some(list)
}
