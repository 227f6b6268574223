//! What plugins reach of the other rooms, plugged into the sandbox's ports: the documents, and the models of the operator's list.
//! Those of the configuration in force are asked, also by a plugin of the one before. It holds no room alive, for they hold the plugins.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::BoxFuture;

use crate::chat::codec::parse_completion;
use crate::chat::{Client, Deadline, Embed, Exchange, Hit, Inputs, Kept, Reply, ReplyStream, RequestId, Tries, Whole, stream};
use crate::llm::{self, Asker, Llm, Mode, PluginTrouble, Rerank, Target};
use crate::pipeline::{self, Catalog, Runner};
use crate::rag::{self, AskRelevance, AskVectors, Filter, Knowledge, MMR, Namespace, Query, RemoteModel, RerankModel};
use crate::sandbox::knowledge::{SearchDocuments, SearchFailed, Wanted};
use crate::sandbox::llm::{AskFailed, AskModels, ModelTarget};
use crate::sandbox::{DoneQueue, Registry};
use crate::telemetry::{self, Metrics, Seldom};

/// What a plugin is told before the rooms are there, and after they are gone.
const AWAY: &str = "the server is starting or stopping";

/// The rooms in force.
#[derive(Clone, Default)]
pub(super) struct Rooms {
    pub(super) knowledge: Weak<Knowledge>,
    pub(super) llm: Weak<Llm>,
    pub(super) catalog: Weak<Catalog>,
    pub(super) registry: Weak<Registry>,
    pub(super) done: Weak<DoneQueue>,
}

/// Shared by all plugins.
pub(super) struct Behind {
    rooms: Mutex<Rooms>,
    metrics: Arc<Metrics>,
    told: Seldom,
}

impl Behind {
    /// Nothing can be reached until `take_effect`.
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { rooms: Mutex::default(), metrics, told: Seldom::default() })
    }

    /// These are in force from now on.
    pub(super) fn take_effect(&self, rooms: Rooms) {
        *self.rooms.lock().unwrap_or_else(PoisonError::into_inner) = rooms;
    }

    fn rooms(&self) -> Rooms {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a plugin is told of a failure of the documents, or of the embedder that searches them.
    fn unsearched(&self, error: &rag::Error) -> String {
        if matches!(error, rag::Error::Busy) {
            return error.to_string();
        }
        // Its words may name files of the server's.
        if let Some(calls) = self.told.due("documents", 1) {
            tracing::error!(calls, error = telemetry::chain(error), "documents could not be searched for a plugin");
        }
        "the embedder or the documents cannot be asked now; the server's log says why".into()
    }
}

impl SearchDocuments for Behind {
    fn search(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Hit>, SearchFailed>> {
        let knowledge = self.rooms().knowledge.upgrade();
        Box::pin(async move {
            let Some(knowledge) = knowledge else { return Err(SearchFailed(AWAY.into())) };
            let Wanted { pipeline, namespace, text, limit, min_score, client } = wanted;
            let namespace = Namespace { api: pipeline, name: namespace };
            let (mode, filter, earlier, rerank) = (rag::Mode::default(), Filter::default(), Vec::new(), None);
            let query = Query { text, earlier, mode, top_k: limit, score_threshold: min_score, mmr: MMR, filter, rerank, client };
            let found = knowledge.search(&namespace, query).await;
            found.map(|found| found.hits).map_err(|error| SearchFailed(self.unsearched(&error)))
        })
    }
}

impl AskVectors for Behind {
    fn vectors<'a>(&'a self, model: &'a RemoteModel, texts: Vec<String>) -> BoxFuture<'a, Result<Vec<Vec<f32>>, String>> {
        let llm = self.rooms().llm.upgrade();
        Box::pin(async move {
            let Some(llm) = llm else { return Err(AWAY.into()) };
            let RemoteModel { provider, model: name, secret_key_name, time, .. } = model.clone();
            let target = Target { provider, model: name.clone(), secret_key_name, on_status: None };
            let (client, tries, kept) = (Client::Host, Tries::default(), Kept::default());
            // Nobody's request: documents go on while those who sent them may be gone.
            let (id, deadline) = (RequestId::from("embedder"), Deadline::after(time));
            let asker =
                Asker { id: &id, model: &name, caller: None, end_user: None, client: &client, deadline, tries: &tries, kept: &kept };
            let embed = Embed { inputs: Inputs::Texts(texts), dimensions: None, user: None };
            llm.embed(&target, &embed, &asker).await.map(|embedded| embedded.vectors).map_err(|error| telemetry::chain(&error))
        })
    }
}

impl AskRelevance for Behind {
    fn relevance<'a>(&'a self, model: &'a RerankModel, question: &'a str, texts: Vec<String>) -> BoxFuture<'a, Result<Vec<f32>, String>> {
        let llm = self.rooms().llm.upgrade();
        Box::pin(async move {
            let Some(llm) = llm else { return Err(AWAY.into()) };
            let RerankModel { provider, model: name, secret_key_name, time, .. } = model.clone();
            let target = Target { provider, model: name.clone(), secret_key_name, on_status: None };
            let (client, tries, kept) = (Client::Host, Tries::default(), Kept::default());
            let (id, deadline) = (RequestId::from("reranker"), Deadline::after(time));
            let asker =
                Asker { id: &id, model: &name, caller: None, end_user: None, client: &client, deadline, tries: &tries, kept: &kept };
            let rerank = Rerank { question, documents: &texts };
            llm.rerank(&target, rerank, &asker).await.map(|reranked| reranked.scores).map_err(|error| telemetry::chain(&error))
        })
    }
}

impl AskModels for Behind {
    fn ask<'a>(&'a self, target: &'a ModelTarget, exchange: &'a Exchange) -> BoxFuture<'a, Result<ReplyStream, AskFailed>> {
        let llm = self.rooms().llm.upgrade();
        Box::pin(async move {
            let Some(llm) = llm else { return Err(AskFailed::Unavailable(AWAY.into())) };
            let ModelTarget { provider, model, secret_key_name } = target.clone();
            let target = Target { provider, model, secret_key_name, on_status: None };
            let answered = llm.answer(std::slice::from_ref(&target), exchange, Mode::Stream).await.map_err(|error| failed(&error))?;
            let whole = match answered.reply {
                Reply::Stream(stream) => return Ok(stream),
                Reply::Whole(Whole::Parsed(completion)) => completion,
                Reply::Whole(Whole::Raw(body)) => parse_completion(&body)
                    .map_err(|invalid| AskFailed::Unavailable(format!("the reply cannot be used: {}", invalid.message)))?,
            };
            match stream::streamed(whole, exchange) {
                Reply::Stream(stream) => Ok(stream),
                Reply::Whole(_) => Err(AskFailed::Unavailable("the reply cannot be read piece by piece".into())),
            }
        })
    }

    fn embed<'a>(
        &'a self,
        model: &'a str,
        texts: Vec<String>,
        exchange: &'a Exchange,
    ) -> BoxFuture<'a, Result<(Vec<Vec<f32>>, u64), AskFailed>> {
        let Rooms { knowledge, llm, catalog, registry, done } = self.rooms();
        Box::pin(async move {
            let (Some(knowledge), Some(llm), Some(catalog), Some(registry), Some(done)) =
                (knowledge.upgrade(), llm.upgrade(), catalog.upgrade(), registry.upgrade(), done.upgrade())
            else {
                return Err(AskFailed::Unavailable(AWAY.into()));
            };
            let unknown = || AskFailed::Unavailable(format!("the operator's list of `[[embeddings]]` has no `{model}`"));
            let target = catalog.embedding(model).ok_or_else(unknown)?;
            let runner = Runner { registry, knowledge, llm, metrics: self.metrics.clone(), done };
            let Exchange { id, caller, end_user, client, deadline, tries, kept, .. } = exchange;
            let (caller, end_user, deadline) = (caller.as_deref(), end_user.as_ref(), *deadline);
            let asker = Asker { id, model, caller, end_user, client, deadline, tries, kept };
            let embed = Embed { inputs: Inputs::Texts(texts), dimensions: None, user: None };
            let embedded = runner.embed(&target, embed, &asker).await.map_err(|error| match error {
                pipeline::Error::Llm(error) => failed(&error),
                pipeline::Error::Rag(error) => AskFailed::Unavailable(self.unsearched(&error)),
                pipeline::Error::Deadline => AskFailed::Timeout(error.to_string()),
                error => AskFailed::Unavailable(error.to_string()),
            })?;
            Ok((embedded.vectors, embedded.prompt_tokens))
        })
    }
}

/// What a plugin is told of a failure: it acts on the kind, and its author reads the sentence.
fn failed(error: &llm::Error) -> AskFailed {
    let why = error.to_string();
    match error {
        llm::Error::OverBudget { .. } | llm::Error::CircuitOpen { limited: true, .. } | llm::Error::Status { exhausted: true, .. } => {
            AskFailed::Exhausted(why)
        }
        llm::Error::Timeout { .. } | llm::Error::Plugin { trouble: PluginTrouble::Slow, .. } => AskFailed::Timeout(why),
        llm::Error::Status { status: 400 | 404 | 413 | 422, .. }
        | llm::Error::UnsupportedField { .. }
        | llm::Error::NoEmbeddings { .. }
        | llm::Error::Refused { .. } => AskFailed::Invalid(why),
        llm::Error::Plugin { trouble: PluginTrouble::Host, .. } => {
            AskFailed::Unavailable("the host failed; the server's log says why".into())
        }
        llm::Error::Status { .. }
        | llm::Error::Unreachable { .. }
        | llm::Error::InvalidReply { .. }
        | llm::Error::Overloaded { .. }
        | llm::Error::SecretMissing { .. }
        | llm::Error::UnknownProvider { .. }
        | llm::Error::CircuitOpen { limited: false, .. }
        | llm::Error::Plugin { .. } => AskFailed::Unavailable(why),
    }
}
