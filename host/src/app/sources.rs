//! Plugs the guard of outgoing requests into the rag room's port for documents that are fetched by URL: what a source may reach are the servers
//! that its URLs name, and nothing behind them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, RwLock};
use tokio::task::JoinHandle;

use crate::chat::Client;
use crate::config::Config;
use crate::outbound::{Calls, Guard, HostPattern, LookUp, Names, Network, Request, Response, Rules};
use crate::rag::{self, Extractor, FetchDocuments, Fetched, Knowledge, Refresher, Source, Validators};
use crate::telemetry::Metrics;

/// Redirects that are followed.
const REDIRECTS: u32 = 5;

/// The task that keeps the documents of sources fresh, and the rooms that it puts them into.
pub(super) struct Sources {
    rooms: rag::Rooms,
    task: JoinHandle<()>,
}

/// Fetches over the network, under these limits.
struct Fetcher {
    bytes: usize,
    time: Duration,
}

impl Sources {
    pub(super) fn start(config: &Config, knowledge: &Arc<Knowledge>, extractor: &Arc<Extractor>, metrics: &Arc<Metrics>) -> Self {
        let rooms: rag::Rooms = Arc::new(RwLock::new((knowledge.clone(), extractor.clone())));
        let fetcher = Fetcher { bytes: config.rag.source_bytes, time: config.rag.source_time };
        let metrics = metrics.clone();
        let looked = Arc::new(move |outcome| metrics.rag_source(outcome));
        let refresher = Refresher { fetch: Arc::new(fetcher), rooms: rooms.clone(), looked, turn: Mutex::default() };
        Self { rooms, task: tokio::spawn(refresher.keep_fresh(config.sources.clone())) }
    }

    /// What is fetched from now on goes there.
    pub(super) async fn take_effect(&self, knowledge: &Arc<Knowledge>, extractor: &Arc<Extractor>) {
        *self.rooms.write().await = (knowledge.clone(), extractor.clone());
    }

    /// Ends it. What is being fetched is not stored.
    pub(super) async fn stop(self) {
        self.task.abort();
        // It ends as cancelled, or it had ended.
        let _ = self.task.await;
    }
}

impl Fetcher {
    fn guard(&self, source: &Source) -> Result<Guard, String> {
        let servers: Vec<(String, u16)> = source.urls.iter().map(|url| Source::server(url, source.plain)).collect::<Result<_, _>>()?;
        let rules = Rules {
            hosts: servers.iter().map(|(host, _)| HostPattern::parse(host)).collect::<Result<_, _>>()?,
            ports: servers.iter().map(|(_, port)| *port).collect(),
            plain: source.plain,
            private: source.private,
            time: self.time,
            response_bytes: self.bytes,
            exchange_bytes: u64::MAX,
            calls: REDIRECTS + 1,
            redirects: REDIRECTS,
            connections: 1,
            idle_connections: 0,
            ..Rules::default()
        };
        let no_secrets: LookUp = Arc::new(|_| Err("sources have no secrets".into()));
        Ok(Guard::new(rules, Arc::new(Names), Arc::new(Network::default()), no_secrets))
    }
}

impl FetchDocuments for Fetcher {
    fn fetch<'a>(&'a self, source: &'a Source, url: &'a str, known: &'a Validators) -> BoxFuture<'a, Result<Option<Fetched>, String>> {
        Box::pin(async move {
            let asked = [("if-none-match", &known.etag), ("if-modified-since", &known.last_modified)];
            let asked = asked.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
            let user_agent = ("user-agent".to_owned(), concat!("cofferdam/", env!("CARGO_PKG_VERSION")).to_owned());
            let request = Request {
                method: "GET".into(),
                url: url.into(),
                headers: asked.chain([user_agent]).collect(),
                body: Vec::new(),
                time: None,
                settings: Arc::new(()),
            };
            let guard = self.guard(source)?;
            let calls = Calls::of(Client::Host);
            let answer =
                guard.send(&calls, guard.place(&Client::Host), request).await.map_err(|error| in_words_of_sources(&error.to_string()))?;
            let Response { status, headers, body, .. } = answer;
            let header = |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.clone());
            match status {
                200 => {
                    let validators = Validators { etag: header("etag"), last_modified: header("last-modified") };
                    Ok(Some(Fetched { bytes: body.into(), declared: header("content-type"), validators }))
                }
                304 => Ok(None),
                status => Err(format!("the server answered {status}")),
            }
        })
    }
}

/// The guard names the keys of a plugin's grant.
fn in_words_of_sources(why: &str) -> String {
    let keys = [
        ("grants.http.response_bytes", "limits.rag.source_bytes"),
        ("grants.http.time", "limits.rag.source_time"),
        ("grants.http", "rag.sources"),
    ];
    keys.iter().fold(why.to_owned(), |text, (of_plugins, of_sources)| text.replace(of_plugins, of_sources))
}
