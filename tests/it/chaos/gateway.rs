//! The server, its three failing providers and the clients that ask it, first in the chaos and then until all is well.
//! What a reply should look like is `observed`'s to judge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::task::JoinSet;

use super::accounting::Figures;
use super::behaviors::Behaviors;
use super::dialects::Dialect;
use super::observed::{Asked, Seen};
use crate::client::Client;
use crate::server::{Builder, PATIENCE, Server};
use crate::upstream::Upstream;

const AT_ONCE: usize = 32;
/// The key of every provider.
pub(super) const KEY: &str = "sk-chaos-0123456789";

/// There are thousands of failures, retries and open circuits, so all waits are short, except those that a slow machine might meet.
const LIMITS: &str = r#"
[limits.http]
request_time = "60s"
[limits.providers]
first_byte = "1s"
idle = "1s"
total = "3s"
retries = 1
retry_backoff = "2ms"
retry_budget = "20ms"
circuit_failures = 3
circuit_time = "5ms"
circuit_time_max = "40ms"
"#;

pub(super) struct Gateway {
    /// Once true, nothing fails any more.
    well: Arc<AtomicBool>,
    pub(super) upstreams: Vec<(Dialect, Arc<Behaviors>, Upstream)>,
    pub(super) server: Server,
    pub(super) client: Client,
    /// The pipelines that are asked while providers fail, in turn.
    asked: Vec<String>,
    next: AtomicU32,
}

impl Gateway {
    /// `asked` are the ids of pipelines and the `config` of their stage `llm`. Beside them there is one pipeline for each provider alone.
    pub(super) async fn build(asked: Vec<(String, String)>) -> Arc<Self> {
        Self::build_with(asked, "", |server| server).await
    }

    /// The same, whose pipelines have other stages behind the model.
    pub(super) async fn build_with(asked: Vec<(String, String)>, stages: &str, build: impl FnOnce(Builder) -> Builder) -> Arc<Self> {
        let seed = std::env::var("COFFERDAM_CHAOS_SEED").map_or(1, |seed| seed.parse().expect("a seed is a number"));
        eprintln!("seed {seed}");
        let (well, mut upstreams, mut config) = (Arc::new(AtomicBool::new(false)), Vec::new(), LIMITS.to_owned());
        for dialect in Dialect::ALL {
            let (behaviors, upstream) = (Arc::new(Behaviors::new(seed, dialect, Arc::clone(&well))), Upstream::start().await);
            let answering = Arc::clone(&behaviors);
            upstream.answer_with(move |request| answering.answer(request));
            config += &dialect.config(&upstream);
            upstreams.push((dialect, behaviors, upstream));
        }
        let alone = Dialect::ALL.map(|dialect| (alone(dialect), format!("primary = {}", target(dialect))));
        config.extend(alone.iter().chain(&asked).map(|(id, chain)| {
            format!("[[pipelines]]\nid = \"{id}\"\npipeline = [ {{ stage = \"llm\", config = {{ {chain} }} }}{stages} ]\n")
        }));
        let server = build(Server::with(&config).env("KEY", KEY).env("COFFERDAM_LOG", "warn")).start();
        let client = Client::of(server.address);
        let asked = alone.into_iter().chain(asked).map(|(id, _)| id).collect();
        Arc::new(Self { well, upstreams, server, client, asked, next: AtomicU32::new(0) })
    }

    /// Asks so many questions, many at one time, while providers fail, and then until all have recovered. Returns what clients saw.
    pub(super) async fn run(self: &Arc<Self>, questions: u32) -> Vec<Seen> {
        let mut clients: JoinSet<Vec<Seen>> = (0..AT_ONCE).map(|_| Arc::clone(self).ask_many(questions)).collect();
        let mut seen = Vec::new();
        while let Some(some) = clients.join_next().await {
            seen.extend(some.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic())));
        }
        assert_eq!(seen.len(), questions as usize);
        seen.extend(tokio::time::timeout(PATIENCE, self.recovers()).await.expect("all is well again"));
        seen
    }

    /// A question with a new nonce.
    fn question(&self, pipeline: impl FnOnce(u32) -> String) -> Asked {
        let nonce = self.next.fetch_add(1, Ordering::Relaxed);
        Asked { nonce, pipeline: pipeline(nonce), stream: nonce.is_multiple_of(2), usage: nonce.is_multiple_of(4) }
    }

    /// One client, which asks one question after the other until all are asked.
    async fn ask_many(self: Arc<Self>, questions: u32) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            // Each pipeline in turn is asked for a stream and for a whole reply.
            let asked = self.question(|nonce| self.asked[nonce as usize / 2 % self.asked.len()].clone());
            if asked.nonce >= questions {
                return seen;
            }
            seen.push(asked.ask(&self.client).await);
        }
    }

    /// Asks until every provider answers again at the first try, whole and streamed, and no circuit is open.
    async fn recovers(&self) -> Vec<Seen> {
        self.well.store(true, Ordering::SeqCst);
        let mut seen = Vec::new();
        loop {
            let mut at_once = true;
            for dialect in Dialect::ALL {
                for _ in 0..2 {
                    let one = self.question(|_| alone(dialect)).ask(&self.client).await;
                    at_once &= matches!(&one, Seen::Reply(reply) if reply.by == dialect && reply.attempts == 1 && reply.broken.is_none());
                    seen.push(one);
                }
            }
            let figures = Figures::of(&self.client).await;
            let rest = ["cofferdam_llm_circuit_open", "cofferdam_http_requests_in_flight"].map(|name| figures.sum(name, &[]));
            if at_once && rest == [0, 0] {
                return seen;
            }
        }
    }
}

pub(super) fn target(dialect: Dialect) -> String {
    let (name, model) = (dialect.name(), dialect.model());
    format!("{{ provider = \"{name}\", model = \"{model}\", secret_key_name = \"KEY\" }}")
}

fn alone(dialect: Dialect) -> String {
    format!("{}-alone", dialect.name())
}
