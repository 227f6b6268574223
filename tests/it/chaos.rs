//! Ten thousand requests through the real server, whose three providers of different kinds fail in every way. Every client gets one correct
//! reply or one well-formed error and never a mixture, the ledger is exact, and once the providers recover, every request succeeds.
//! `COFFERDAM_CHAOS_SEED=7 cargo test --test it chaos::` is another run. No assertion depends on how fast the machine is.

mod accounting;
mod behaviors;
mod dialects;
mod gateway;
mod observed;

use std::collections::{BTreeSet, HashMap};

use accounting::{Account, Figures};
use behaviors::WEIGHTS;
use dialects::{Dialect, Question};
use gateway::{Gateway, KEY, target};
use observed::{Replied, Seen};

/// Three pipelines, each with another provider first; `settings` goes into their stage `llm`.
fn chains(settings: &str) -> Vec<(String, String)> {
    let [a, b, c] = Dialect::ALL;
    let orders = [[a, b, c], [b, c, a], [c, a, b]];
    let chain = |[first, second, third]: [Dialect; 3]| {
        let (primary, fallbacks) = (target(first), [second, third].map(target).join(", "));
        (first.name().to_owned(), format!("primary = {primary}, fallbacks = [ {fallbacks} ]{settings}"))
    };
    orders.map(chain).into()
}

/// One pipeline with all three as equals, so that their order is drawn for each request.
fn equals() -> (String, String) {
    let [a, b, c] = Dialect::ALL.map(target);
    ("equals".to_owned(), format!("primary = {a}, equals = [ {b}, {c} ]"))
}

/// Checks that metrics, usage report, clients and providers agree. Returns the metrics.
async fn the_accounts_add_up(gateway: &Gateway, seen: &[Seen]) -> Figures {
    let replies: Vec<&Replied> = seen.iter().filter_map(|seen| if let Seen::Reply(reply) = seen { Some(reply) } else { None }).collect();
    let (figures, rows) = (Figures::of(&gateway.client).await, gateway.client.get("/api/v1/usage?group=provider").await.ok().json());
    let counted: BTreeSet<&str> = rows["data"].as_array().expect("rows").iter().filter_map(|row| row["provider"].as_str()).collect();
    assert_eq!(counted, Dialect::ALL.map(Dialect::name).into(), "the ledger has nobody else");
    let mut spare = 0;
    for (dialect, behaviors, upstream) in &gateway.upstreams {
        let replies = replies.iter().filter(|reply| reply.by == *dialect).copied().collect();
        let account = Account { dialect: *dialect, served: behaviors.served(), requests: upstream.requests(), replies };
        spare += account.attempts(&figures);
        account.tokens(&figures, &rows);
    }
    eprintln!("{} replies to {} questions, {spare} tries ended unforeseen", replies.len(), seen.len());
    attempts_of_replies(gateway, &replies, spare);
    let log = gateway.server.log();
    assert!(!log.contains("panicked") && !log.contains(KEY), "{log}");
    figures
}

/// Checks that each client's header gives the number of requests that the providers received for it. In total, `spare` may be missing.
fn attempts_of_replies(gateway: &Gateway, replies: &[&Replied], spare: u64) {
    let mut received: HashMap<u32, u64> = HashMap::new();
    for request in gateway.upstreams.iter().flat_map(|(_, _, upstream)| upstream.requests()) {
        *received.entry(Question::of(&request).nonce).or_default() += 1;
    }
    let missing = replies.iter().map(|reply| {
        let (attempts, nonce) = (reply.attempts, reply.nonce);
        attempts.checked_sub(received[&nonce]).unwrap_or_else(|| panic!("nonce {nonce}: {attempts} tries, {} requests", received[&nonce]))
    });
    let missing: u64 = missing.sum();
    assert!(missing <= spare, "{missing} tries of replies reached nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_sees_one_reply_or_one_error_and_the_ledger_is_exact() {
    let gateway = Gateway::build(chains("").into_iter().chain([equals()]).collect()).await;
    let seen = gateway.run(10_000).await;
    let figures = the_accounts_add_up(&gateway, &seen).await;
    assert_eq!(figures.sum("cofferdam_llm_attempts_total", &[("outcome", "cancelled")]), 0, "nobody hung up");
    for (_, behavior) in WEIGHTS {
        let served = gateway.upstreams.iter().any(|(_, behaviors, _)| behaviors.served().behaviors.contains_key(behavior));
        assert!(served, "{behavior:?} was never drawn");
    }
    let refused = |status: u16| seen.iter().filter(|seen| matches!(seen, Seen::Refused(found) if *found == status)).count();
    let broken = seen.iter().filter(|seen| matches!(seen, Seen::Reply(Replied { broken: Some(_), .. }))).count();
    let counts = [broken, refused(400), refused(404), refused(429), refused(502), refused(503)];
    assert!(counts.iter().all(|count| *count > 0), "broken, 400, 404, 429, 502, 503: {counts:?}");
    assert!(gateway.server.log().contains("is left in peace"), "circuits opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_of_two_providers_gives_one_reply_and_one_entry_in_the_ledger() {
    let gateway = Gateway::build(chains(", hedge_after = \"2ms\"")).await;
    let seen = gateway.run(1_500).await;
    let figures = the_accounts_add_up(&gateway, &seen).await;
    assert!(figures.sum("cofferdam_llm_attempts_total", &[("outcome", "cancelled")]) > 0, "somebody lost a race");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_hook_on_every_reply_changes_no_account() {
    let stages = ", { stage = \"post_hook\", config = { function_id = \"noop-stream\" } }";
    let gateway = Gateway::build_with(chains(""), stages, |server| server.plugin("noop_stream")).await;
    let seen = gateway.run(1_500).await;
    let figures = the_accounts_add_up(&gateway, &seen).await;
    assert_eq!(figures.sum("cofferdam_llm_attempts_total", &[("outcome", "cancelled")]), 0, "nobody hung up");
    let broken = seen.iter().filter(|seen| matches!(seen, Seen::Reply(Replied { broken: Some(_), .. }))).count();
    let pushed = figures.sum("cofferdam_plugin_calls_total", &[("plugin", "noop-stream"), ("outcome", "ok")]);
    assert!(broken > 0 && pushed > seen.len() as u64, "{broken} broken, {pushed} calls of the hook");
}
