//! The gateway against a bare hyper reverse proxy in front of the same mock upstream under the same load, by CPU time per request.
//! The measured process has core 0 to itself, mock and load share core 1; rounds alternate, so that a busy moment hits both.
//! Prints ratios, added latency, the time to the first streamed byte, what each adapter adds, what a slow stream holds, idle memory and the
//! binary's size. `COFFERDAM_BENCH_BINARY=PATH` measures another build of the gateway; the arguments `streams`, `hooks` and `crowd` measure a
//! part, `beside` what others notice of hostile guests, `fair` what a plugin notices of one that takes all it may, `busy` hook calls on a machine without an idle processor, `knowledge` questions beside documents.

mod beside;
mod busy;
#[path = "../../../tests/support/components.rs"]
#[allow(dead_code, reason = "the benchmark needs two components of the many")]
mod components;
mod crowd;
mod dialects;
mod fair;
mod knowledge;
mod load;
mod mock;
mod peers;
mod process;

use std::time::Duration;

use load::{Latency, Question, Shape};
use process::Process;

/// Requests in a round of whole replies, and streams in a round of streams.
const REQUESTS: usize = 6_000;
const STREAMS: usize = 1_200;
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
/// Requests one after the other, for latency.
const SINGLE: usize = 3_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("mock") => mock::mock(),
        Some("proxy") => peers::proxy(&arguments.next().expect("an upstream")),
        Some("hammer") => {
            let address = arguments.next().expect("an address");
            beside::hammer(&address, arguments.next().and_then(|calls| calls.parse().ok()).expect("a number"));
        }
        Some("beside") => beside(),
        Some("busy") => busy(),
        Some("spin") => busy::spin(),
        Some("knowledge") => {
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(knowledge::measure())
        }
        Some("crowd") => crowd(),
        Some("streams") => streams(),
        Some("hooks") => hooks(),
        Some("fair") => fair(),
        _ => bench(),
    }
}

/// What others notice of hostile guests.
fn beside() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mock = Process::peer("mock", &[], "0,1");
    runtime.block_on(beside::measure(&mock));
}

/// Hook calls beside programs that take all they can get.
fn busy() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mock = Process::peer("mock", &[], "0,1");
    runtime.block_on(busy::measure(&mock));
}

/// What a plugin notices of one that takes all it may.
fn fair() {
    process::pin_self(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mock = Process::peer("mock", &[], "1");
    runtime.block_on(fair::measure(&mock));
}

/// The row of whole replies with two hooks alone.
fn hooks() {
    process::pin_self(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mock = Process::peer("mock", &[], "1");
    let bare = Process::peer("proxy", &[&mock.address.to_string()], "0");
    let hooked = Process::gateway(&mock, &["noop_pre", "noop_post"]);
    runtime.block_on(compare_hooks(&bare, &hooked));
}

/// The slow streams alone.
fn crowd() {
    process::pin_self(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mock = Process::peer("mock", &[], "1");
    let plain = Process::gateway(&mock, &[]);
    let along = Process::gateway(&mock, &["noop_stream"]);
    runtime.block_on(async {
        crowd::measure("no hooks", 40, &plain, &mock).await;
        crowd::measure("one Rust stream hook", 120, &along, &mock).await;
    });
}

/// The rows of streams alone, and that of whole replies without hooks.
fn streams() {
    process::pin_self(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mock = Process::peer("mock", &[], "1");
    let bare = Process::peer("proxy", &[&mock.address.to_string()], "0");
    let plain = Process::gateway(&mock, &[]);
    runtime.block_on(async {
        compare("whole replies, no hooks", 2.0, &bare, &plain, &Question::short("openai", Shape::Whole), REQUESTS).await;
        compare_streams(&bare, &plain).await;
    });
}

fn bench() {
    process::pin_self(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mock = Process::peer("mock", &[], "1");
    let bare = Process::peer("proxy", &[&mock.address.to_string()], "0");
    let plain = Process::gateway(&mock, &[]);
    let idle_mb = plain.resident_bytes() as f64 / 1e6;
    let hooked = Process::gateway(&mock, &["noop_pre", "noop_post"]);
    println!(
        "gateway: {} bytes binary, {idle_mb:.1} MB resident when idle without plugins, {:.1} MB with two (limit 40 MB)",
        process::binary_bytes(),
        hooked.resident_bytes() as f64 / 1e6
    );
    runtime.block_on(async {
        let whole = Question::short("openai", Shape::Whole);
        compare("whole replies, no hooks", 2.0, &bare, &plain, &whole, REQUESTS).await;
        compare_hooks(&bare, &hooked).await;
        compare_streams(&bare, &plain).await;
        let along = Process::gateway(&mock, &["noop_stream"]);
        let paced = Question::short("openai", Shape::Stream);
        compare("streams of 60 events, one Rust stream hook", 2.0, &bare, &along, &paced, STREAMS).await;
        compare("streams of 60 events in one read, one Rust stream hook", 3.0, &bare, &along, &paced.burst(), STREAMS * 3).await;
        let through = |process| load::one_by_one(process, &whole, SINGLE);
        added("whole reply at one connection", through(&bare).await, through(&plain).await, through(&hooked).await);
        let stream = Question::short("openai", Shape::Stream);
        let first = |process| load::one_by_one(process, &stream, SINGLE / 5);
        added("first streamed byte at one connection", first(&bare).await, first(&plain).await, first(&hooked).await);
        dialects::measure(&plain).await;
        crowd::measure("no hooks", 40, &plain, &mock).await;
        crowd::measure("one Rust stream hook", 120, &along, &mock).await;
    });
}

async fn compare_hooks(bare: &Process, hooked: &Process) {
    let whole = Question::short("openai", Shape::Whole);
    compare("whole replies, one Rust pre-hook and one Rust post-hook", 3.0, bare, hooked, &whole, REQUESTS).await;
}

/// Streams whose events come one by one, and streams whose events all come in one read.
async fn compare_streams(bare: &Process, plain: &Process) {
    let paced = Question::short("openai", Shape::Stream);
    compare("streams of 60 events, no hooks", 1.3, bare, plain, &paced, STREAMS).await;
    compare("streams of 60 events in one read, no hooks", 2.0, bare, plain, &paced.burst(), STREAMS * 3).await;
}

/// The best round of each: what the code costs when nothing else disturbs it. The pieces in which the bodies came say how many events a read
/// brought: a process that falls behind reads several at once and so pays less for each, whichever of the two it is.
async fn compare(what: &str, limit: f64, bare: &Process, ours: &Process, question: &Question, requests: usize) {
    let mut best = [Duration::MAX; 2];
    let mut pieces = [0; 2];
    // A round first that does not count: connections, caches, branch predictors.
    for round in 0..=ROUNDS {
        for (process, (best, pieces)) in [bare, ours].into_iter().zip(best.iter_mut().zip(&mut pieces)) {
            let before = process.cpu_time();
            let found = load::many(process, question, CONNECTIONS, requests).await;
            let spent = process.cpu_time_since(&before) / u32::try_from(requests).expect("a small number");
            if round > 0 && spent < *best {
                (*best, *pieces) = (spent, found);
            }
        }
    }
    let [bare_best, ours_best] = best;
    let [bare_pieces, our_pieces] = pieces.map(|pieces| pieces as f64 / requests as f64);
    let ratio = ours_best.as_secs_f64() / bare_best.as_secs_f64();
    println!(
        "gateway: {what}: CPU per request {:.1} us in {our_pieces:.1} pieces, bare proxy {:.1} us in {bare_pieces:.1}, ratio {ratio:.2} (limit {limit})",
        us(ours_best),
        us(bare_best)
    );
}

fn added(what: &str, bare: Latency, plain: Latency, hooked: Latency) {
    let over = |ours: Duration, bare: Duration| us(ours) - us(bare);
    println!(
        "gateway: {what}: bare proxy p50 {:.0} us p99 {:.0} us; added without hooks p50 {:+.0} p99 {:+.0}; with hooks p50 {:+.0} p99 {:+.0}",
        us(bare.p50),
        us(bare.p99),
        over(plain.p50, bare.p50),
        over(plain.p99, bare.p99),
        over(hooked.p50, bare.p50),
        over(hooked.p99, bare.p99)
    );
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
