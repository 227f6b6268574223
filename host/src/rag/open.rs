//! The embedders that are open, each with threads, a queue and a cache of its own, so that one that is slow holds up nobody who needs another;
//! and which of them a namespace is embedded by: the one that made its vectors, and of one without documents, the one that the operator wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::choice::{BUILTIN, Embedders};
use super::embed::{Priority, Workers};
use super::spaces::{Recorded, VectorSpace};
use super::{Embedder, Error, Limits, Namespace};
use crate::chat::Client;
use crate::fair::Share;

/// An embedder, and the threads that ask it.
pub(super) struct OpenEmbedder {
    /// In the operator's file.
    pub(super) name: String,
    pub(super) workers: Workers,
    embedder: Arc<dyn Embedder>,
    space: OnceCell<VectorSpace>,
}

impl OpenEmbedder {
    /// The space of its vectors. One that does not know it asks whoever computes them.
    ///
    /// # Errors
    /// `Embed`: it cannot be asked now.
    pub(super) async fn space(&self) -> Result<VectorSpace, Error> {
        let find_out = async || {
            let embedder = Arc::clone(&self.embedder);
            let found = tokio::task::spawn_blocking(move || embedder.find_out().map(|()| space_of(&*embedder))).await;
            found.unwrap_or_else(|error| Err(format!("it ended early: {error}"))).map_err(Error::Embed)
        };
        self.space.get_or_try_init(find_out).await.cloned()
    }

    /// What is recorded of a namespace that it is to embed; the space has no name yet if it is not known.
    pub(super) fn planned(&self) -> Recorded {
        self.recorded(space_of(&*self.embedder))
    }

    /// Whether it is what `planned` gave, or could have given now.
    pub(super) fn plans(&self, recorded: &Recorded) -> bool {
        self.makes(&recorded.space) || (recorded.space.model.is_empty() && recorded.embedder == self.name)
    }

    /// What is recorded of a namespace that it embeds.
    pub(super) fn recorded(&self, space: VectorSpace) -> Recorded {
        Recorded { embedder: self.name.clone(), space }
    }

    /// Whether its vectors lie in that space. Nobody is asked for this.
    pub(super) fn makes(&self, space: &VectorSpace) -> bool {
        self.embedder.makes(space)
    }

    /// A document's place in its queue; one that need not be had at once is waited for.
    ///
    /// # Errors
    /// `Busy`: there is none now.
    pub(super) async fn place(&self, client: &Client, waits: bool) -> Result<Share, Error> {
        if waits { Ok(self.workers.turn(Priority::Document, client).await) } else { self.workers.permit(Priority::Document, client) }
    }

    /// The length of its vectors, if that is known.
    pub(super) fn dimensions(&self) -> usize {
        self.embedder.dimensions()
    }
}

fn space_of(embedder: &dyn Embedder) -> VectorSpace {
    VectorSpace { model: embedder.model().into(), dimensions: embedder.dimensions() }
}

/// All that the operator's file describes, and the one inside the program.
pub struct OpenEmbedders {
    by_name: BTreeMap<String, Arc<OpenEmbedder>>,
    chosen: Embedders,
}

impl OpenEmbedders {
    /// Starts the threads of each. There is one for every name in `chosen`, and `builtin`.
    ///
    /// # Errors
    /// `Embed` if the system gives no thread.
    pub fn start(embedders: BTreeMap<String, Arc<dyn Embedder>>, chosen: Embedders, limits: &Limits) -> Result<Self, Error> {
        let open = |(name, embedder): (String, Arc<dyn Embedder>)| {
            let workers = Workers::start(Arc::clone(&embedder), limits)?;
            let open = OpenEmbedder { name: name.clone(), workers, embedder, space: OnceCell::new() };
            Ok((name, Arc::new(open)))
        };
        Ok(Self { by_name: embedders.into_iter().map(open).collect::<Result<_, Error>>()?, chosen })
    }

    /// The one inside the program.
    pub(super) fn builtin(&self) -> &Arc<OpenEmbedder> {
        &self.by_name[BUILTIN]
    }

    /// The one that the operator wants for the namespace.
    pub(super) fn wanted(&self, namespace: &Namespace) -> &Arc<OpenEmbedder> {
        &self.by_name[self.chosen.of(namespace)]
    }

    /// One that makes vectors of the recorded space, whatever it is called now.
    pub(super) fn of(&self, recorded: &Recorded) -> Option<&Arc<OpenEmbedder>> {
        let by_its_name = self.by_name.get(&recorded.embedder);
        by_its_name.into_iter().chain(self.by_name.values()).find(|open| open.makes(&recorded.space))
    }

    /// So many may wait for each, from now on.
    pub(super) fn resize(&self, limits: &Limits) {
        self.by_name.values().for_each(|open| open.workers.resize(limits));
    }

    /// Permits of all that are held.
    pub(super) fn held(&self) -> usize {
        self.by_name.values().map(|open| open.workers.held()).sum()
    }

    /// Questions to all whose vector was remembered, and those whose was computed.
    pub(super) fn asked(&self) -> (u64, u64) {
        let counts = self.by_name.values().map(|open| open.workers.asked());
        counts.fold((0, 0), |(remembered, computed), (r, c)| (remembered + r, computed + c))
    }
}
