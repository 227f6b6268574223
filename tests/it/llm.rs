//! The room `llm` against scripted providers: what is sent, who takes over, how streams end, what limits do.
//! Only tests of tiny limits against a silent provider wait for time to pass.

mod attempts;
mod cancel;
mod fallback;
mod limits;
mod oauth;
mod received;
mod requests;
mod streams;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use cofferdam::chat::{Client, Deadline, Exchange, Message, Reply, StreamError, Whole};
use cofferdam::llm::{
    Answered, Chain, CircuitPhase, Config, Error, Kind, Limits, Llm, MissingSecret, Mode, Observer, Phase, ProviderConfig, Secret, Target,
};
use futures_util::{Stream, StreamExt};
use serde_json::Value;

use crate::upstream::Upstream;

/// The key behind `KEY_A`; every other secret but `KEY_B` is missing.
const KEY: &str = "sk-of-a";

/// Providers `a`, `b`, … that are these upstreams, and the built-in ones.
fn llm(upstreams: &[&Upstream]) -> Llm {
    with_limits(upstreams, once())
}

/// One try at each target and no circuits, as most tests want it; `attempts` has the others.
fn once() -> Limits {
    Limits { retries: 0, circuit_failures: 0, ..Limits::default() }
}

fn with_limits(upstreams: &[&Upstream], limits: Limits) -> Llm {
    watched(upstreams, limits, Arc::new(()))
}

fn watched(upstreams: &[&Upstream], limits: Limits, observer: Arc<dyn Observer>) -> Llm {
    let mut config = Config { limits, ..Config::default() };
    for (name, upstream) in ["a", "b", "c"].iter().zip(upstreams) {
        config.providers.insert((*name).into(), ProviderConfig::new(Kind::OpenAi, upstream.url()));
    }
    let secrets = |name: &str| match name {
        "KEY_A" => Secret::new(&format!("{KEY}\n")),
        "KEY_B" => Secret::new("sk-of-b"),
        "BLANK" => Secret::new(" "),
        _ => Err(MissingSecret::NotSet),
    };
    Llm::new(config, Arc::new(secrets), observer).expect("the upstreams' URLs are fine")
}

fn target(provider: &str) -> Target {
    Target { provider: provider.into(), model: format!("model-{provider}"), secret_key_name: None, on_status: None }
}

fn exchange() -> Exchange {
    Exchange {
        messages: vec![Message::text("user", "hello")],
        ..Exchange::new("request-1".into(), Client::Host, "support".into(), Deadline::after(Duration::from_secs(60)))
    }
}

/// The error of asking provider `a` alone.
async fn failure(llm: &Llm, mode: Mode) -> Error {
    match llm.answer(&[target("a")], &exchange(), mode).await {
        Ok(_) => panic!("must fail"),
        Err(error) => error,
    }
}

/// The answer of provider `a` alone, as a stream.
async fn streamed(llm: &Llm) -> Answered<Reply> {
    llm.answer(&[target("a")], &exchange(), Mode::Stream).await.expect("a stream")
}

/// The bytes that a chat client gets of a streamed reply, item by item.
fn pieces(answer: Answered<Reply>) -> Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>>>> {
    let Reply::Stream(reply) = answer.reply else { panic!("must be a stream") };
    let mut writer = reply.chunk_writer();
    let bytes = reply.map(move |frames| frames.map(|frames| writer.encode(frames)));
    Box::pin(bytes.filter(|bytes| std::future::ready(!bytes.as_ref().is_ok_and(Bytes::is_empty))))
}

/// All bytes of a streamed reply and what broke it.
async fn drain(answer: Answered<Reply>) -> (String, Option<StreamError>) {
    let mut pieces = pieces(answer);
    let mut text = Vec::new();
    while let Some(item) = pieces.next().await {
        match item {
            Ok(bytes) => {
                assert!(bytes.ends_with(b"\n\n"), "{bytes:?} must end at an event's end");
                text.extend_from_slice(&bytes);
            }
            Err(broken) => {
                assert!(pieces.next().await.is_none(), "nothing may follow an error");
                return (String::from_utf8(text).expect("UTF-8"), Some(broken));
            }
        }
    }
    (String::from_utf8(text).expect("UTF-8"), None)
}

/// The text of a whole reply's first choice.
fn text_of(answer: &Answered<Reply>) -> String {
    let json: Value = match &answer.reply {
        Reply::Whole(Whole::Raw(bytes)) => serde_json::from_slice(bytes).expect("JSON"),
        Reply::Whole(Whole::Parsed(completion)) => serde_json::to_value(completion).expect("JSON"),
        _ => panic!("must be whole"),
    };
    json["choices"][0]["message"]["content"].as_str().expect("a text").to_owned()
}

/// Every attempt as `provider/model outcome`.
#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Observer for Seen {
    fn attempt(&self, provider: &str, model: &str, outcome: &'static str, seconds: f64) {
        assert!(seconds >= 0.0);
        self.0.lock().expect("no panic").push(format!("{provider}/{model} {outcome}"));
    }
}
