//! Three providers of different kinds fail by every means, ten thousand requests at the real server: every client sees one correct reply or
//! one well-formed error and never a mixture, the books add up, and all is well when the providers are.
//! Another run: `COFFERDAM_CHAOS_SEED=7 cargo test --test it chaos::`. Must assert nothing that depends on how fast the machine is.

mod books;
mod dialects;
mod fates;
mod witness;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::task::JoinSet;

use crate::client::Client;
use crate::server::{PATIENCE, Server};
use crate::upstream::Upstream;
use books::{Account, Figures};
use dialects::{Dialect, Question};
use fates::{Fates, WEIGHTS};
use witness::{Asked, Replied, Seen};

const REQUESTS: u32 = 10_000;
const AT_ONCE: usize = 32;
/// Every provider's.
const KEY: &str = "sk-chaos-0123456789";

/// Failures, hints and rests come by the thousand, so all waits are short; those that a slow machine might meet are not.
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

/// Three scripted providers behind one server.
struct House {
    /// Nothing fails any more.
    well: Arc<AtomicBool>,
    upstreams: Vec<(Dialect, Arc<Fates>, Upstream)>,
    server: Server,
    client: Client,
    next: AtomicU32,
}

async fn house() -> House {
    let seed = std::env::var("COFFERDAM_CHAOS_SEED").map_or(1, |seed| seed.parse().expect("a seed is a number"));
    eprintln!("seed {seed}");
    let (well, mut upstreams, mut config) = (Arc::new(AtomicBool::new(false)), Vec::new(), LIMITS.to_owned());
    for dialect in Dialect::ALL {
        let (fates, upstream) = (Arc::new(Fates::new(seed, dialect, Arc::clone(&well))), Upstream::start().await);
        let answering = Arc::clone(&fates);
        upstream.answer_with(move |request| answering.answer(request));
        config += &dialect.config(&upstream);
        upstreams.push((dialect, fates, upstream));
    }
    config.extend(
        pipelines()
            .map(|(id, chain)| format!("[[pipelines]]\nid = \"{id}\"\npipeline = [ {{ stage = \"llm\", config = {{ {chain} }} }} ]\n")),
    );
    let server = Server::with(&config).env("KEY", KEY).env("COFFERDAM_LOG", "warn").start();
    let client = Client::of(server.address);
    House { well, upstreams, server, client, next: AtomicU32::new(0) }
}

/// Each provider alone, each before the two others, and all three as equals.
fn pipelines() -> impl Iterator<Item = (String, String)> {
    let target = |dialect: Dialect| {
        let (name, model) = (dialect.name(), dialect.model());
        format!("{{ provider = \"{name}\", model = \"{model}\", secret_key_name = \"KEY\" }}")
    };
    let [a, b, c] = Dialect::ALL;
    let first = move |first: Dialect, [second, third]: [Dialect; 2], then: &str| {
        format!("primary = {}, {then} = [ {}, {} ]", target(first), target(second), target(third))
    };
    let alone = Dialect::ALL.map(|dialect| (alone(dialect), format!("primary = {}", target(dialect))));
    let chains = [(a, [b, c]), (b, [c, a]), (c, [a, b])].map(|(one, others)| (one.name().to_owned(), first(one, others, "fallbacks")));
    let equals = ("equals".to_owned(), first(a, [b, c], "equals"));
    alone.into_iter().chain(chains).chain([equals])
}

fn alone(dialect: Dialect) -> String {
    format!("{}-alone", dialect.name())
}

impl House {
    /// A question with a nonce that nobody had before.
    fn question(&self, pipeline: impl FnOnce(u32) -> String) -> Asked {
        let nonce = self.next.fetch_add(1, Ordering::Relaxed);
        Asked { nonce, pipeline: pipeline(nonce), stream: nonce.is_multiple_of(2), usage: nonce.is_multiple_of(4) }
    }

    /// One client after the other, until all questions are asked.
    async fn ask_many(self: Arc<Self>) -> Vec<Seen> {
        let ids: Vec<String> = pipelines().map(|(id, _)| id).collect();
        let mut seen = Vec::new();
        loop {
            let asked = self.question(|nonce| ids[nonce as usize / 2 % ids.len()].clone());
            if asked.nonce >= REQUESTS {
                return seen;
            }
            seen.push(asked.ask(&self.client).await);
        }
    }

    /// Asks until every provider answers again, the first try each time, and no circuit is open. Everything that was seen counts.
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

    /// Each client's header says how many requests the providers got for it, all together, but for `spare` of which nobody knows.
    fn attempts_of_replies(&self, replies: &[&Replied], spare: u64) {
        let mut received: HashMap<u32, u64> = HashMap::new();
        for (_, _, upstream) in &self.upstreams {
            for request in upstream.requests() {
                *received.entry(Question::of(&request).nonce).or_default() += 1;
            }
        }
        let missing = replies.iter().map(|reply| {
            let (told, nonce) = (reply.attempts, reply.nonce);
            told.checked_sub(received[&nonce]).unwrap_or_else(|| panic!("nonce {nonce}: {told} tries, {} requests", received[&nonce]))
        });
        let missing: u64 = missing.sum();
        assert!(missing <= spare, "{missing} tries of replies reached nobody");
    }

    /// Every row of the table had its turn.
    fn all_means_were_used(&self) {
        for (_, fate) in WEIGHTS {
            let served = self.upstreams.iter().any(|(_, fates, _)| fates.served().fates.contains_key(fate));
            assert!(served, "{fate:?} was never drawn");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_sees_one_reply_or_one_error_and_the_books_add_up() {
    let house = Arc::new(house().await);
    let mut clients: JoinSet<Vec<Seen>> = (0..AT_ONCE).map(|_| Arc::clone(&house).ask_many()).collect();
    let mut seen = Vec::new();
    while let Some(some) = clients.join_next().await {
        seen.extend(some.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic())));
    }
    assert_eq!(seen.len(), REQUESTS as usize);
    house.all_means_were_used();
    seen.extend(tokio::time::timeout(PATIENCE, house.recovers()).await.expect("all is well again"));
    let replies: Vec<&Replied> = seen.iter().filter_map(|seen| if let Seen::Reply(reply) = seen { Some(reply) } else { None }).collect();
    let broken = replies.iter().filter(|reply| reply.broken.is_some()).count();
    let statuses =
        [400, 404, 429, 502, 503].map(|status| seen.iter().filter(|seen| matches!(seen, Seen::Refused(s) if *s == status)).count());
    eprintln!("{} replies, {broken} of them broken; 400, 404, 429, 502, 503: {statuses:?}", replies.len());
    assert!(broken > 0 && statuses.iter().all(|count| *count > 0));
    let (figures, rows) = (Figures::of(&house.client).await, house.client.get("/api/v1/usage?group=provider").await.ok().json());
    let booked: BTreeSet<&str> = rows["data"].as_array().expect("rows").iter().filter_map(|row| row["provider"].as_str()).collect();
    assert_eq!(booked, Dialect::ALL.map(Dialect::name).into(), "nobody else is in the books");
    let mut spare = 0;
    for (dialect, fates, upstream) in &house.upstreams {
        let replies = replies.iter().filter(|reply| reply.by == *dialect).copied().collect();
        let account = Account { dialect: *dialect, served: fates.served(), requests: upstream.requests(), replies };
        spare += account.attempts(&figures);
        account.tokens(&figures, &rows);
    }
    eprintln!("{spare} tries met a time limit unforeseen");
    house.attempts_of_replies(&replies, spare);
    let log = house.server.log();
    assert!(log.contains("is left in peace"), "circuits opened");
    assert!(!log.contains("panicked") && !log.contains(KEY), "{log}");
}
