//! The memory of replies that are coming in: what is counted and for how long, and what a client gets for whose reply there is none.

use cofferdam::chat::{Embed, Inputs, Kept, Tries, Usage};
use cofferdam::llm::{Ask, Asker, Hold, Used};
use futures_util::future::BoxFuture;

use super::*;
use crate::upstream::{Script, Signal, delta, finish};

/// What is not counted of each reply, and the unit of what is.
const STEP: usize = 64 << 10;

/// A reply of this size takes two units.
const LARGE: usize = 100_000;

/// Three units, so that there is room for one large reply and not for two.
fn three_steps() -> Limits {
    Limits { replies_bytes: 3 * STEP, ..Limits::default() }
}

fn from(client: &str) -> Exchange {
    Exchange { client: Client::Key(client.into()), ..exchange() }
}

/// What the tries were charged and what was reserved for them, in the order in which they were over.
type Charged = Arc<Mutex<Vec<(Usage, Usage)>>>;

/// Reserves for every try what its prompt has, and 70 tokens of completion.
#[derive(Default)]
struct Reserving(Charged);

struct Reserved {
    charged: Charged,
    prompt: u64,
}

impl Observer for Reserving {
    fn attempt(&self, _: &str, _: &str, _: &'static str, _: f64) {}

    fn reserve<'a>(&'a self, ask: &'a Ask<'a>) -> BoxFuture<'a, Result<Option<Box<dyn Hold>>, Error>> {
        let hold: Box<dyn Hold> = Box::new(Reserved { charged: Arc::clone(&self.0), prompt: ask.prompt });
        Box::pin(std::future::ready(Ok(Some(hold))))
    }
}

impl Hold for Reserved {
    fn expected(&self) -> Usage {
        Usage { prompt: self.prompt, completion: 70, ..Usage::default() }
    }

    fn extend(&mut self, _: u64) -> bool {
        true
    }

    fn settle(self: Box<Self>, used: &Used<'_>) {
        self.charged.lock().expect("no panic").push((used.usage, self.expected()));
    }

    fn release(self: Box<Self>) {
        self.charged.lock().expect("no panic").push((Usage::default(), self.expected()));
    }
}

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A completion of exactly so many bytes.
fn completion(bytes: usize) -> String {
    let around = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#;
    around.replace(r#""content":"""#, &format!(r#""content":"{}""#, "x".repeat(bytes - around.len())))
}

/// It with its length announced, and in pieces without.
fn both(bytes: usize) -> [Script; 2] {
    let body = completion(bytes);
    let (one, two) = body.split_at(bytes / 2);
    [Script::reply(200, &JSON, &body), Script::chunked(200, &JSON).piece(one).piece(two).end()]
}

fn large() -> Script {
    Script::reply(200, &JSON, completion(LARGE))
}

async fn asks(llm: &Llm, exchange: &Exchange, mode: Mode) -> Result<Answered<Reply>, Error> {
    llm.answer(&[target("a")], exchange, mode).await
}

#[track_caller]
fn is_overloaded<T>(result: Result<T, Error>) {
    let error = result.err().expect("there is no room");
    assert!(matches!(&error, Error::Overloaded { provider } if provider == "a"), "{error}");
    assert!(error.to_string().contains("`limits.providers.replies_bytes`"), "{error}");
}

#[tokio::test]
async fn a_whole_reply_is_counted_until_its_exchange_is_over() {
    for script in both(LARGE) {
        for mode in [Mode::Whole, Mode::Stream] {
            let upstream = Upstream::start().await;
            upstream.always(script.clone());
            let llm = with_limits(&[&upstream], three_steps());
            let (first, second) = (from("a"), from("b"));
            let answered = asks(&llm, &first, mode).await.expect("there is room");
            is_overloaded(asks(&llm, &second, mode).await);
            drop(answered);
            is_overloaded(asks(&llm, &second, mode).await);
            drop(first);
            asks(&llm, &second, mode).await.expect("there is room again");
        }
    }
}

#[tokio::test]
async fn a_reply_of_64_kib_passes_uncounted_and_one_byte_more_is_refused() {
    let upstream = Upstream::start().await;
    let llm = with_limits(&[&upstream], three_steps());
    upstream.next(large());
    let first = from("a");
    asks(&llm, &first, Mode::Whole).await.expect("there is room");
    for (passes, too_large) in both(STEP).into_iter().zip(both(STEP + 1)) {
        upstream.next(passes).next(too_large);
        asks(&llm, &from("b"), Mode::Whole).await.expect("is not counted");
        is_overloaded(asks(&llm, &from("b"), Mode::Whole).await);
    }
}

#[tokio::test]
async fn one_client_leaves_room_for_another() {
    let upstream = Upstream::start().await;
    upstream.always(large());
    let llm = with_limits(&[&upstream], Limits { replies_bytes: 8 * STEP, ..three_steps() });
    let greedy = [from("a"), from("a"), from("a")];
    for exchange in &greedy {
        asks(&llm, exchange, Mode::Whole).await.expect("within three quarters");
    }
    is_overloaded(asks(&llm, &from("a"), Mode::Whole).await);
    asks(&llm, &from("b"), Mode::Whole).await.expect("the last quarter");
}

#[tokio::test]
async fn a_lack_of_room_is_not_held_against_the_provider_and_asks_no_other() {
    let (a, b, seen) = (Upstream::start().await, Upstream::start().await, Arc::new(Seen::default()));
    a.always(large());
    b.always(Script::says("from b"));
    let llm = watched(&[&a, &b], three_steps(), seen.clone());
    let first = from("a");
    asks(&llm, &first, Mode::Whole).await.expect("there is room");
    let any = Target { on_status: Some(vec![500, 503]), ..target("b") };
    for _ in 0..10 {
        is_overloaded(llm.answer(&[target("a"), any.clone()], &from("b"), Mode::Whole).await);
    }
    let mut expected = vec!["a/model-a overloaded"; 11];
    expected[0] = "a/model-a ok";
    assert_eq!(*seen.0.lock().expect("no panic"), expected);
    assert!(llm.circuits().is_empty() && b.requests().is_empty());
}

#[tokio::test]
async fn a_reply_that_is_lost_for_lack_of_room_is_charged_what_was_reserved() {
    let (upstream, ledger) = (Upstream::start().await, Arc::new(Reserving::default()));
    let llm = watched(&[&upstream], three_steps(), ledger.clone());
    upstream.next(large());
    let first = from("a");
    asks(&llm, &first, Mode::Whole).await.expect("there is room");
    ledger.0.lock().expect("no panic").clear();
    let event = Script::stream().event(&delta(&"x".repeat(LARGE))).hang();
    for (script, mode) in [(large(), Mode::Whole), (large(), Mode::Stream), (event, Mode::Stream)] {
        upstream.next(script);
        is_overloaded(asks(&llm, &from("b"), mode).await);
    }
    let charged = ledger.0.lock().expect("no panic").clone();
    assert_eq!(charged.len(), 3);
    assert!(charged.iter().all(|(charged, reserved)| charged == reserved), "{charged:?}");
}

#[tokio::test]
async fn a_stream_whose_event_finds_no_room_ends() {
    let upstream = Upstream::start().await;
    let llm = with_limits(&[&upstream], three_steps());
    upstream.next(large());
    let first = from("a");
    asks(&llm, &first, Mode::Whole).await.expect("there is room");
    let open = "data: ".to_owned() + &"x".repeat(LARGE);
    for begins in [open.clone(), ": ping\n\n".repeat(LARGE / 8), format!("data: {}\n\n", delta(&"x".repeat(LARGE)))] {
        upstream.next(Script::stream().piece(begins).hang());
        is_overloaded(asks(&llm, &from("b"), Mode::Stream).await);
        upstream.hung_up().await;
    }
    for event in [open, format!("data: {}\n\n", delta(&"x".repeat(LARGE)))] {
        upstream.next(Script::stream().event(&delta("one")).piece(event).hang());
        let (text, broken) = drain(asks(&llm, &from("b"), Mode::Stream).await.expect("small so far")).await;
        assert_eq!((text, broken.expect("must break").code), (format!("data: {}\n\n", delta("one")), "overloaded"));
        upstream.hung_up().await;
    }
}

#[tokio::test]
async fn an_event_is_counted_until_the_next_one_is_asked_for() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    let llm = with_limits(&[&upstream], three_steps());
    let event = delta(&"x".repeat(LARGE));
    upstream.next(Script::stream().event(&delta("one")).event(&event).wait(&signal).event(&delta("two")).hang());
    let mut stream = pieces(asks(&llm, &from("a"), Mode::Stream).await.expect("a stream"));
    let mut bytes = 0;
    while bytes < LARGE {
        bytes += stream.next().await.expect("goes on").expect("whole").len();
    }
    upstream.next(large());
    is_overloaded(asks(&llm, &from("b"), Mode::Whole).await);
    signal.fire();
    stream.next().await.expect("goes on").expect("whole");
    upstream.next(large());
    asks(&llm, &from("b"), Mode::Whole).await.expect("there is room again");
}

#[tokio::test]
async fn vectors_find_room_or_are_refused_and_hold_nothing_once_they_are_read() {
    let upstream = Upstream::start().await;
    let llm = with_limits(&[&upstream], three_steps());
    let vectors = r#"{"data":[{"index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":1,"total_tokens":1}}"#;
    let vectors = Script::reply(200, &JSON, vectors.to_owned() + &" ".repeat(LARGE));
    let embed = Embed { inputs: Inputs::Texts(vec!["hi".into()]), dimensions: None, user: None };
    let (client, tries, deadline) = (Client::Key("b".into()), Tries::default(), Deadline::after(Duration::from_secs(60)));
    let (id, kept) = ("test".into(), Kept::default());
    let asker = Asker { id: &id, model: "m", caller: None, end_user: None, client: &client, deadline, tries: &tries, kept: &kept };
    let target = target("a");
    let first = from("a");
    upstream.next(vectors.clone()).next(vectors.clone()).next(large()).next(vectors);
    for _ in 0..2 {
        assert_eq!(llm.embed(&target, &embed, &asker).await.expect("there is room").vectors, [[0.5]]);
    }
    asks(&llm, &first, Mode::Whole).await.expect("there is room");
    is_overloaded(llm.embed(&target, &embed, &asker).await);
}

#[tokio::test]
async fn what_is_larger_than_all_room_is_received_by_a_client_that_is_alone() {
    let upstream = Upstream::start().await;
    let llm = with_limits(&[&upstream], Limits { replies_bytes: STEP, ..three_steps() });
    let event = delta(&"x".repeat(20 * STEP));
    upstream.next(Script::stream().event(&event).event(&event).event(&finish()).event("[DONE]").end()).next(both(20 * STEP)[1].clone());
    let (text, broken) = drain(asks(&llm, &from("a"), Mode::Stream).await.expect("a stream")).await;
    assert!(broken.is_none() && text.len() > 40 * STEP);
    asks(&llm, &from("a"), Mode::Whole).await.expect("alone");
}
