//! What each adapter costs: the gateway's CPU time for the same conversation through every dialect, over OpenAI's own, which is forwarded.
//! Whole replies for translating both ways, streams for the cost of an event.

use std::time::Duration;

use super::load::{self, Question, Shape};
use super::process::{DIALECTS, Process};
use super::{CONNECTIONS, ROUNDS, us};
use crate::mock::EVENTS;

/// Requests in a round.
const SHORT: usize = 3_000;
const LONG: usize = 300;
const STREAMS: usize = 600;

pub(super) async fn measure(gateway: &Process) {
    let whole = |model: &str, bytes| Question::long(model, Shape::Whole, bytes);
    table("1 KB conversations, whole replies", gateway, |model| whole(model, 1 << 10), SHORT, 1).await;
    table("100 KB conversations, whole replies", gateway, |model| whole(model, 100 << 10), LONG, 1).await;
    let stream = |model: &str| Question::short(model, Shape::Stream);
    table("streamed events", gateway, stream, STREAMS, EVENTS).await;
}

/// One line of figures: the best round of each dialect, by unit.
async fn table(what: &str, gateway: &Process, question: impl Fn(&str) -> Question, requests: usize, units: usize) {
    let questions: Vec<Question> = DIALECTS.iter().map(|(kind, _)| question(kind)).collect();
    let mut best = vec![Duration::MAX; DIALECTS.len()];
    for round in 0..=ROUNDS {
        for (question, best) in questions.iter().zip(&mut best) {
            let before = gateway.cpu_time();
            load::many(gateway, question, CONNECTIONS, requests).await;
            let spent = gateway.cpu_time_since(&before) / u32::try_from(requests * units).expect("a small number");
            if round > 0 {
                *best = spent.min(*best);
            }
        }
    }
    let own = us(best[0]);
    let added = DIALECTS.iter().zip(&best).skip(1).map(|((kind, _), best)| format!("{kind} {:+.2}", us(*best) - own));
    println!("gateway: {what}: openai {own:.2} us of CPU; added: {}", added.collect::<Vec<_>>().join(", "));
}
