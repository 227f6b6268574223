//! What plugins reach of the other rooms, plugged into the sandbox's ports: the documents.
//! Those of the configuration in force are searched, also by a plugin of the one before. It holds no room alive, for they hold the plugins.

use std::sync::{Mutex, PoisonError, Weak};

use futures_util::future::BoxFuture;

use crate::chat::Hit;
use crate::rag::{self, Knowledge, Namespace, Query};
use crate::sandbox::knowledge::{SearchDocuments, SearchFailed, Wanted};
use crate::telemetry;

/// What a plugin is told before the rooms are there, and after they are gone.
const AWAY: &str = "the server is starting or stopping";

/// The rooms in force.
#[derive(Clone, Default)]
pub(super) struct Rooms {
    pub(super) knowledge: Weak<Knowledge>,
}

/// Shared by all plugins.
#[derive(Default)]
pub(super) struct Behind {
    rooms: Mutex<Rooms>,
}

impl Behind {
    /// These are in force from now on.
    pub(super) fn take_effect(&self, rooms: Rooms) {
        *self.rooms.lock().unwrap_or_else(PoisonError::into_inner) = rooms;
    }

    fn rooms(&self) -> Rooms {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl SearchDocuments for Behind {
    fn search(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Hit>, SearchFailed>> {
        let knowledge = self.rooms().knowledge.upgrade();
        Box::pin(async move {
            let Some(knowledge) = knowledge else { return Err(SearchFailed(AWAY.into())) };
            let Wanted { pipeline, namespace, text, limit, min_score, client } = wanted;
            let namespace = Namespace { api: pipeline, name: namespace };
            let found = knowledge.search(&namespace, Query { text, top_k: limit, score_threshold: min_score, client }).await;
            found.map(|found| found.hits).map_err(|error| match error {
                rag::Error::Busy => SearchFailed(error.to_string()),
                // Its words may name files of the server's.
                error => {
                    tracing::error!(error = telemetry::chain(&error), "documents could not be searched for a plugin");
                    SearchFailed("the documents cannot be searched now; the server's log says why".into())
                }
            })
        })
    }
}
