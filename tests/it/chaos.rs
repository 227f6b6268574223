//! Three providers of different kinds fail by every means, ten thousand requests at the real server: every client sees one correct reply or
//! one well-formed error and never a mixture, the books add up, and all is well when the providers are.
//! Another run: `COFFERDAM_CHAOS_SEED=7 cargo test --test it chaos::`. Must assert nothing that depends on how fast the machine is.

mod books;
mod dialects;
mod fates;
mod house;
mod witness;

use std::collections::{BTreeSet, HashMap};

use books::{Account, Figures};
use dialects::{Dialect, Question};
use fates::WEIGHTS;
use house::{House, KEY, target};
use witness::{Replied, Seen};

/// Each provider before the two others, with `settings` beside them.
fn chains(settings: &str) -> Vec<(String, String)> {
    let [a, b, c] = Dialect::ALL;
    let orders = [[a, b, c], [b, c, a], [c, a, b]];
    let chain = |[first, second, third]: [Dialect; 3]| {
        let (primary, fallbacks) = (target(first), [second, third].map(target).join(", "));
        (first.name().to_owned(), format!("primary = {primary}, fallbacks = [ {fallbacks} ]{settings}"))
    };
    orders.map(chain).into()
}

/// All three, in an order that is drawn for each request.
fn equals() -> (String, String) {
    let [a, b, c] = Dialect::ALL.map(target);
    ("equals".to_owned(), format!("primary = {a}, equals = [ {b}, {c} ]"))
}

/// The figures, the report, the clients and the providers tell the same. Returns the figures.
async fn the_books_add_up(house: &House, seen: &[Seen]) -> Figures {
    let replies: Vec<&Replied> = seen.iter().filter_map(|seen| if let Seen::Reply(reply) = seen { Some(reply) } else { None }).collect();
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
    eprintln!("{} replies to {} questions, {spare} tries ended unforeseen", replies.len(), seen.len());
    attempts_of_replies(house, &replies, spare);
    let log = house.server.log();
    assert!(!log.contains("panicked") && !log.contains(KEY), "{log}");
    figures
}

/// Each client's header says how many requests the providers got for it, all together, but for `spare` of which nobody knows.
fn attempts_of_replies(house: &House, replies: &[&Replied], spare: u64) {
    let mut received: HashMap<u32, u64> = HashMap::new();
    for request in house.upstreams.iter().flat_map(|(_, _, upstream)| upstream.requests()) {
        *received.entry(Question::of(&request).nonce).or_default() += 1;
    }
    let missing = replies.iter().map(|reply| {
        let (told, nonce) = (reply.attempts, reply.nonce);
        told.checked_sub(received[&nonce]).unwrap_or_else(|| panic!("nonce {nonce}: {told} tries, {} requests", received[&nonce]))
    });
    let missing: u64 = missing.sum();
    assert!(missing <= spare, "{missing} tries of replies reached nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_sees_one_reply_or_one_error_and_the_books_add_up() {
    let house = House::build(chains("").into_iter().chain([equals()]).collect()).await;
    let seen = house.run(10_000).await;
    let figures = the_books_add_up(&house, &seen).await;
    assert_eq!(figures.sum("cofferdam_llm_attempts_total", &[("outcome", "cancelled")]), 0, "nobody hung up");
    for (_, fate) in WEIGHTS {
        let served = house.upstreams.iter().any(|(_, fates, _)| fates.served().fates.contains_key(fate));
        assert!(served, "{fate:?} was never drawn");
    }
    let refused = |status: u16| seen.iter().filter(|seen| matches!(seen, Seen::Refused(found) if *found == status)).count();
    let broken = seen.iter().filter(|seen| matches!(seen, Seen::Reply(Replied { broken: Some(_), .. }))).count();
    let counts = [broken, refused(400), refused(404), refused(429), refused(502), refused(503)];
    assert!(counts.iter().all(|count| *count > 0), "broken, 400, 404, 429, 502, 503: {counts:?}");
    assert!(house.server.log().contains("is left in peace"), "circuits opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_of_two_providers_gives_one_reply_and_one_entry_in_the_books() {
    let house = House::build(chains(", hedge_after = \"2ms\"")).await;
    let seen = house.run(1_500).await;
    let figures = the_books_add_up(&house, &seen).await;
    assert!(figures.sum("cofferdam_llm_attempts_total", &[("outcome", "cancelled")]) > 0, "somebody lost a race");
}
