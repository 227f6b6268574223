//! `search` of the contract, for one plugin. A guest waits on the clock of waiting; dropping its call gives up its place in the embedder's queue.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::terms::KnowledgeTerms;
use crate::chat::{Client, Hit};
use crate::sandbox::bindings::knowledge::{Passage, Query};
use crate::sandbox::bindings::types::{Failure, Field};
use crate::sandbox::capability::outcome;
use crate::sandbox::capability::uses::Uses;
use crate::sandbox::env::CallEnv;
use crate::sandbox::grant::Granted;

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/knowledge@0.2.0";

/// Passages that a guest may ask for; the contract states it.
const LIMIT_MAX: u32 = 100;

/// The operator's documents.
pub trait SearchDocuments: Send + Sync {
    /// The passages that are most like the text, the best first.
    fn search(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Hit>, SearchFailed>>;
}

/// What is looked for, and for whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The id of the pipeline whose documents they are.
    pub pipeline: String,
    pub namespace: String,
    pub text: String,
    /// At most so many.
    pub limit: usize,
    /// Only those that are at least so much like the text.
    pub min_score: f32,
    pub client: Client,
}

/// Why nothing was looked for. The sentence is for the plugin's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchFailed(pub String);

/// One plugin's searches for one exchange.
#[derive(Default)]
struct Searches(Uses);

/// Adds its function, for a plugin that was granted it.
pub(in crate::sandbox) fn link<T: Send + 'static>(
    linker: &mut Linker<T>,
    terms: Granted<KnowledgeTerms>,
    documents: Arc<dyn SearchDocuments>,
    env: fn(&T) -> &Arc<CallEnv>,
) -> wasmtime::Result<()> {
    let way = Arc::new((terms, documents));
    linker.instance(INTERFACE)?.func_wrap_async("search", move |store: StoreContextMut<'_, T>, (query,): (Query,)| {
        let (way, env) = (way.clone(), env(store.data()).clone());
        Box::new(async move {
            let (terms, documents) = &*way;
            let found = env.clocks.waiting(search(terms, &**documents, &env, query)).await;
            env.figures.host_call("knowledge", outcome::word(&found));
            Ok((found,))
        })
    })
}

async fn search(
    terms: &KnowledgeTerms,
    documents: &dyn SearchDocuments,
    env: &CallEnv,
    Query { namespace, text, limit, min_score }: Query,
) -> Result<Vec<Passage>, Failure> {
    let Some(behalf) = &env.behalf else {
        return Err(Failure::Unavailable("documents are searched on behalf of a request that is under way, and this call has none".into()));
    };
    let Some((pipeline, name)) = terms.namespace(&namespace, &behalf.pipeline) else {
        return Err(Failure::Denied("`grants.knowledge.namespaces` does not name this namespace".into()));
    };
    if limit > LIMIT_MAX {
        return Err(Failure::Invalid(format!("a search gives at most {LIMIT_MAX} passages")));
    }
    let min_score = min_score.unwrap_or(-1.0);
    if min_score.is_nan() {
        return Err(Failure::Invalid("`min-score` is no number".into()));
    }
    if !behalf.used::<Searches>(&env.plugin).0.count(terms.calls) {
        let most = terms.calls;
        return Err(Failure::Exhausted(format!("{most} searches were made for this request, and `grants.knowledge.calls` allows no more")));
    }
    let (pipeline, namespace, limit, client) = (pipeline.to_owned(), name.to_owned(), limit as usize, env.client.clone());
    let hits = documents.search(Wanted { pipeline, namespace, text, limit, min_score, client }).await;
    Ok(hits.map_err(|SearchFailed(why)| Failure::Unavailable(why))?.into_iter().map(passage).collect())
}

fn passage(Hit { document, source, ordinal, heading, page, text, score, cosine, .. }: Hit) -> Passage {
    let known = [
        Some(("ordinal", ordinal.to_string())),
        Some(("id", document)),
        Some(("heading", heading)).filter(|(_, heading)| !heading.is_empty()),
        page.map(|page| ("page", page.to_string())),
        cosine.map(|cosine| ("cosine", cosine.to_string())),
    ];
    let metadata = known.into_iter().flatten().map(|(name, value)| Field { name: name.into(), value }).collect();
    // A namespace knows its documents by their names.
    Passage { text, score, title: Some(source.clone()), document: source, metadata }
}
