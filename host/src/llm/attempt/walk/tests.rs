//! The walk with scripted providers on a paused clock: which provider is asked when, and what comes of it.

mod callers;
mod chaos;
mod circuits;
mod hedges;
mod retries;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::*;
use crate::llm::Whose;
use crate::llm::error::Phase;

const SECOND: Duration = Duration::from_secs(1);
const HEDGE: Duration = Duration::from_millis(800);

/// What a provider does with one request.
#[derive(Clone)]
enum Act {
    Reply,
    Fail(Failure),
    /// Waits first.
    Slow(Duration, Box<Act>),
    Hang,
}

/// Providers by name, and what happened, each with its time in milliseconds.
struct World {
    acts: Mutex<BTreeMap<String, VecDeque<Act>>>,
    begun: Instant,
    /// `PROVIDER/MODEL at MS`
    asked: Mutex<Vec<String>>,
    attempts: Attempts,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Observer for Seen {
    fn attempt(&self, provider: &str, _: &str, outcome: &'static str, _: f64) {
        self.0.lock().unwrap().push(format!("{provider} {outcome}"));
    }
}

/// A request of which only its path along the chain matters.
struct Ping;

impl Request for Ping {
    type Reply = ();

    const OPERATION: &'static str = "chat";
}

impl Backend<Ping> for World {
    fn system(&self, _: &str) -> &'static str {
        "openai"
    }

    /// The provider `own` has a secret of its own, and `plugin` as many circuits as models.
    fn key_name<'t>(&'t self, target: &'t Target, model: &'t str) -> Option<&'t str> {
        if target.provider == "plugin" {
            return Some(model);
        }
        target.secret_key_name.as_deref().or((target.provider == "own").then_some("OWN"))
    }

    async fn attempt(&self, attempt: Attempt<'_, Ping>) -> Result<(), Failure> {
        let Attempt { target, model, .. } = attempt;
        self.asked.lock().unwrap().push(format!("{}/{model} at {}", target.provider, self.begun.elapsed().as_millis()));
        // A provider without a script replies.
        let mut act = self.acts.lock().unwrap().get_mut(&target.provider).and_then(VecDeque::pop_front).unwrap_or(Act::Reply);
        loop {
            match act {
                Act::Reply => return Ok(()),
                Act::Fail(failure) => return Err(failure),
                Act::Slow(time, then) => {
                    sleep(time).await;
                    act = *then;
                }
                Act::Hang => std::future::pending().await,
            }
        }
    }
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let seen = Arc::new(Seen::default());
        let attempts = Attempts::new(limits, Arc::clone(&seen) as Arc<dyn Observer>, std::iter::empty()).seeded(7);
        Self { acts: Mutex::default(), begun: Instant::now(), asked: Mutex::default(), attempts, seen }
    }

    fn acts(self, provider: &str, acts: impl IntoIterator<Item = Act>) -> Self {
        self.then(provider, acts);
        self
    }

    fn then(&self, provider: &str, acts: impl IntoIterator<Item = Act>) {
        self.acts.lock().unwrap().entry(provider.into()).or_default().extend(acts);
    }

    async fn answers<'a>(&'a self, chain: impl Into<Chain<'a>>) -> Result<Answered<()>, Error> {
        self.answers_within(60 * 60 * SECOND, chain).await
    }

    async fn answers_within<'a>(&'a self, time: Duration, chain: impl Into<Chain<'a>>) -> Result<Answered<()>, Error> {
        let of = Of { caller: None, deadline: Deadline::after(time), tries: &Tries::default(), target: None, chosen: None };
        Walk::new(self, &self.attempts, &Ping, chain.into(), of).run().await
    }

    /// Who was asked since the last look, in order.
    fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.iter().map(|line| line.split('/').next().unwrap_or_default().to_owned()).collect()
    }

    /// When each was asked, from the beginning of the test.
    fn times(&self) -> Vec<Duration> {
        let asked = self.asked.lock().unwrap();
        let ms = asked.iter().map(|line| line.rsplit(' ').next().unwrap_or_default().parse().expect("milliseconds"));
        ms.map(Duration::from_millis).collect()
    }

    fn outcomes(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.0.lock().unwrap())
    }
}

fn target(provider: &str) -> Target {
    Target { provider: provider.into(), model: format!("model-{provider}"), secret_key_name: None, on_status: None }
}

fn keyed(provider: &str, key: &str) -> Target {
    Target { secret_key_name: Some(key.into()), ..target(provider) }
}

fn status(status: u16) -> Act {
    refusal(status, None, false)
}

fn wait(status: u16, after: Duration) -> Act {
    refusal(status, Some(after), false)
}

fn refusal(status: u16, retry_after: Option<Duration>, exhausted: bool) -> Act {
    let (kind, code, param) = (None, None, None);
    Act::Fail(Error::Status { provider: "a".into(), status, message: "no".into(), kind, code, param, retry_after, exhausted }.into())
}

fn unreachable() -> Act {
    Act::Fail(Error::Unreachable { provider: "a".into(), cause: "refused".into() }.into())
}

fn timeout(phase: Phase) -> Act {
    Act::Fail(Error::Timeout { provider: "a".into(), phase, limit: SECOND }.into())
}

#[track_caller]
fn is_from(answer: &Result<Answered<()>, Error>, provider: &str, attempts: u32) {
    match answer {
        Ok(answered) => assert_eq!((&*answered.provider, answered.attempts), (provider, attempts)),
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn is_status(answer: Result<Answered<()>, Error>, expected: u16) {
    match answer {
        Err(Error::Status { status, .. }) => assert_eq!(status, expected),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("must fail"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_chain_has_no_provider() {
    let error = World::new().answers(&[]).await.err().expect("must fail");
    assert!(matches!(error, Error::UnknownProvider { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn equals_are_chosen_by_weight_and_the_fallback_is_last() {
    let world = World::new();
    let targets = [target("a"), target("b"), target("c"), target("d")];
    let chain = Chain { targets: &targets, weights: &[3, 1, 0], hedge_after: None };
    for _ in 0..400 {
        world.answers(chain).await.expect("an answer");
    }
    let asked = world.asked();
    let count = |provider: &str| asked.iter().filter(|asked| *asked == provider).count();
    assert!((270..330).contains(&count("a")) && (70..130).contains(&count("b")), "{} {}", count("a"), count("b"));
    assert_eq!((count("c"), count("d")), (0, 0));
    // All equals are tried before a fallback is.
    for provider in ["a", "b", "c"] {
        world.then(provider, [status(404)]);
    }
    is_from(&world.answers(chain).await, "d", 4);
    let mut asked = world.asked();
    assert_eq!(asked[2..], ["c", "d"]);
    asked.sort_unstable();
    assert_eq!(asked, ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_a_hook_chose_is_asked_in_the_primarys_place_with_its_model_and_the_fallbacks_follow() {
    let targets = ["a", "b", "c", "d"].map(target);
    let chain = Chain { targets: &targets, weights: &[1, 1], hedge_after: None };
    let asked = |provider: &'static str, model: Option<&'static str>| {
        let targets = chain;
        async move {
            let world = World::with(Limits { retries: 0, ..Limits::default() });
            ["a", "b", "c", "d"].into_iter().for_each(|name| world.then(name, [status(500)]));
            let of =
                Of { caller: None, deadline: Deadline::after(SECOND), tries: &Tries::default(), target: Some(provider), chosen: model };
            let error = Walk::new(&world, &world.attempts, &Ping, targets, of).run().await.err().expect("they fail");
            (std::mem::take(&mut *world.asked.lock().unwrap()), error)
        }
    };
    assert_eq!(asked("d", Some("chosen")).await.0, ["d/chosen at 0", "c/model-c at 0"], "a fallback");
    assert_eq!(asked("b", None).await.0, ["b/model-b at 0", "c/model-c at 0", "d/model-d at 0"], "an equal");
    let (nobody, error) = asked("e", Some("chosen")).await;
    assert!(nobody.is_empty() && matches!(&error, Error::UnknownProvider { provider } if provider == "e"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_a_hook_chose_is_asked_of_the_equal_that_is_tried_first_and_of_nobody_else() {
    let targets = [target("a"), target("b"), target("c")];
    let chain = Chain { targets: &targets, weights: &[0, 1], hedge_after: None };
    let world = World::with(Limits { retries: 1, retry_backoff: Duration::ZERO, ..Limits::default() });
    world.then("b", [status(500), status(404)]);
    world.then("a", [status(404)]);
    let tries = Tries::default();
    let of = Of { caller: None, deadline: Deadline::after(SECOND), tries: &tries, target: None, chosen: Some("chosen") };
    let walk = Walk::new(&world, &world.attempts, &Ping, chain, of);
    is_from(&walk.run().await, "c", 4);
    assert_eq!(*world.asked.lock().unwrap(), ["b/chosen at 0", "b/chosen at 0", "a/model-a at 0", "c/model-c at 0"]);
}
