//! What a plugin's quick calls notice of another plugin that burns its whole budget on every call, over what they would notice if the processor
//! were divided into two equal shares. The latter is measured too: the gateway alone, beside one program that never sleeps on the same core.
//! The gateway has core 0; the mock and those who ask have core 1.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;

use super::load::{self, Question, Shape};
use super::process::Process;

/// Whose calls end when their time is used up.
const GUEST: &str = "endless_loop";
/// Calls of it at once: the default of `calls_per_plugin`.
const CALLS: usize = 128;
/// Quick calls that are timed in each round.
const SAMPLES: usize = 400;
const ROUNDS: usize = 5;

/// Prints p99 of the quick calls alone, beside an equal share, and beside the plugin.
pub(super) async fn measure(mock: &Process) {
    let gateway = Process::beside_on("0", mock, GUEST);
    // It earns its place, and what is loaded once is loaded.
    p99(&gateway).await;
    let mut rounds: [Vec<Duration>; 3] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(p99(&gateway).await);
        let spinner = Process::peer("spin", &[], "0");
        rounds[1].push(p99(&gateway).await);
        drop(spinner);
        let hammer = Process::hammer(&gateway, CALLS);
        rounds[2].push(p99(&gateway).await);
        drop(hammer);
    }
    let [alone, share, beside] = rounds.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e3
    });
    println!(
        "gateway: another plugin's quick call beside {CALLS} calls of {GUEST}, median p99 of {ROUNDS} rounds: alone {alone:.2} ms, beside a program with an equal share of its core {share:.2} ms, beside the plugin {beside:.2} ms; {:.2} times the rise of the equal share (limit 2)",
        (beside - alone).max(0.0) / (share - alone).max(f64::EPSILON)
    );
}

async fn p99(gateway: &Process) -> Duration {
    let question = Question::short("quick", Shape::Whole);
    let mut sender = load::connect(gateway).await;
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = Instant::now();
        load::send(&mut sender, &question).await.collect().await.expect("a whole answer");
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[SAMPLES * 99 / 100]
}
