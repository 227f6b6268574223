//! One request on its way through the pipeline, and what travels with it.
//! A stage takes it by value and gives it back, so that nobody looks at a stale copy.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Account, Client, Coverage, Fields, Json, Message, Tries};

/// Names the request in every reply, log line and plugin call.
pub type RequestId = Arc<str>;

/// What pre-hooks leave for the hooks after them: key to JSON value.
pub type Metadata = BTreeMap<String, Json>;

/// One request on its way.
#[derive(Debug)]
pub struct Exchange {
    pub id: RequestId,
    /// The name of the client key that was used; none if no keys are configured.
    pub caller: Option<Arc<str>>,
    /// Whose share of the server it uses.
    pub client: Client,
    /// For whom the caller asks, if the operator tells end users apart: no name, but what the ledger knows the end user by.
    pub end_user: Option<Arc<str>>,
    /// The API id that the client sent as `model`.
    pub pipeline: Arc<str>,
    pub deadline: Deadline,
    /// The client wants server-sent events.
    pub stream: bool,
    /// A pre-hook's choice of provider among the pipeline's targets.
    pub target: Option<String>,
    /// A pre-hook's choice of model, in place of the pipeline's.
    pub model: Option<String>,
    pub messages: Vec<Message>,
    /// Every other field of the request's body, in the order it came.
    pub params: Fields,
    pub metadata: Metadata,
    /// What retrieval found and injected; empty when it did not run.
    pub hits: Vec<Hit>,
    /// The code that marks the message with what was found, if it stands before the newest user message: every provider is to get it there.
    pub fence: Option<String>,
    /// Plugins whose fault was passed over under `on_failure = "skip"`.
    pub skipped: Skipped,
    /// What hooks were shown of the reply.
    pub coverage: Coverage,
    /// Tries at providers so far.
    pub tries: Tries,
    /// What is kept for those who are told of the exchange when it is over.
    pub account: Account,
    /// What lasts as long as the exchange.
    pub kept: Kept,
}

/// A retrieved chunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hit {
    /// The document's id.
    pub document: String,
    /// The document's name.
    pub source: String,
    /// Where the document is to be read, if its name or its metadata says so.
    pub url: Option<String>,
    /// Position of the chunk in its document, from 0.
    pub ordinal: u32,
    /// The headings that it stands under, `A > B`; empty if there are none.
    pub heading: String,
    /// Where it begins, if the document has pages.
    pub page: Option<u32>,
    pub text: String,
    /// How well it fits the question, 0 to 1, whichever model embedded it; of a store's own, the cosine similarity.
    pub score: f32,
    /// Cosine similarity, -1 to 1, if it is known.
    pub cosine: Option<f32>,
}

impl Hit {
    /// What begins the address by which a document that has none is cited; its id follows.
    pub const BY_ID: &str = "urn:uuid:";
}

impl Exchange {
    /// One that asks nothing yet.
    pub fn new(id: RequestId, client: Client, pipeline: Arc<str>, deadline: Deadline) -> Self {
        Self {
            id,
            caller: None,
            client,
            end_user: None,
            pipeline,
            deadline,
            stream: false,
            target: None,
            model: None,
            messages: Vec::new(),
            params: Fields::new(),
            metadata: Metadata::new(),
            hits: Vec::new(),
            fence: None,
            skipped: Skipped::default(),
            coverage: Coverage::default(),
            tries: Tries::default(),
            account: Account::default(),
            kept: Kept::default(),
        }
    }

    /// The text of the newest user message: what retrieval looks for.
    pub fn question(&self) -> Option<String> {
        self.questions().next()
    }

    /// What the user asked, the newest first; nothing if that has no text. Older messages without text are passed over.
    pub fn questions(&self) -> impl Iterator<Item = String> {
        let texts = self.messages.iter().rev().filter(|m| m.role == "user").map(Message::joined_text);
        let texts = texts.enumerate().map(|(at, text)| (at, Some(text).filter(|text| !text.trim().is_empty())));
        texts.take_while(|(at, text)| *at > 0 || text.is_some()).filter_map(|(_, text)| text)
    }

    /// The unmodelled request field of that name.
    pub fn param(&self, name: &str) -> Option<&Json> {
        self.params.iter().find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// Plugins whose fault was passed over, in order. Clones are one list, so that whoever keeps one knows them if the exchange fails.
#[derive(Clone, Debug, Default)]
pub struct Skipped(Arc<Mutex<Vec<Arc<str>>>>);

impl Skipped {
    pub fn add(&self, plugin: Arc<str>) {
        self.lock().push(plugin);
    }

    pub fn all(&self) -> Vec<Arc<str>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        // A panic elsewhere leaves a list that is right as far as it goes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is kept until the exchange is over, such as the share of memory that its reply takes. What it is, only those know who count it:
/// their rooms are above this one. Clones keep the same things, for what is asked on behalf of the same exchange.
#[derive(Clone, Default)]
pub struct Kept {
    things: Arc<Mutex<Vec<Box<dyn Any + Send>>>>,
    /// The plugin that asks on behalf of the exchange; none if the client does.
    asked_by: Option<Arc<str>>,
}

impl Kept {
    pub fn add(&self, what: impl Any + Send) {
        // A panic elsewhere leaves a list of what is kept, which is as good as before.
        self.things.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(what));
    }

    /// The first `T` that was added.
    pub fn find<T: Any + Clone>(&self) -> Option<T> {
        let kept = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find_map(|kept| kept.downcast_ref::<T>()).cloned()
    }

    /// The same for a question that the plugin of that name asks on behalf of the exchange.
    #[must_use]
    pub fn inner(&self, plugin: &Arc<str>) -> Self {
        Self { asked_by: Some(plugin.clone()), ..self.clone() }
    }

    /// The plugin that asks; none if the client does.
    pub fn asked_by(&self) -> Option<&str> {
        self.asked_by.as_deref()
    }

    /// Whether a plugin asks, and no client.
    pub fn is_inner(&self) -> bool {
        self.asked_by.is_some()
    }

    /// The exchange's one `T`, made when somebody first asks for it.
    pub fn one<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut kept = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = kept.iter().find_map(|kept| kept.downcast_ref::<Arc<T>>()) {
            return one.clone();
        }
        let one = Arc::<T>::default();
        kept.push(Box::new(one.clone()));
        one
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

/// The moment by which the whole exchange must be over; made once, passed down.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    pub fn instant(self) -> Instant {
        self.0
    }

    /// What is left; zero when it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
