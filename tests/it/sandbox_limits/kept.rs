//! What plugins keep, from the sandbox's side: waiting for the store is the plugin's own waiting, and a store that fails is told without its
//! causes.

use std::future::pending;
use std::sync::Arc;

use cofferdam::sandbox::kv::{Bucket, Entry, KvError, KvStore, Write};
use cofferdam::sandbox::{Exhausted, FaultKind, Grants, Limits, PluginConfig, PreOutcome};
use futures_util::future::{BoxFuture, ready};
use serde_json::json;

use super::{Duration, Sandbox, ask, sandbox};

/// A store that never answers, or fails.
#[derive(Clone, Copy)]
enum Broken {
    Silent,
    Failing,
}

impl Broken {
    fn answer<'a, T: Send + 'a>(self) -> BoxFuture<'a, Result<T, KvError>> {
        match self {
            Self::Silent => Box::pin(pending()),
            Self::Failing => Box::pin(ready(Err(KvError::Store("the disk /secret is full".into())))),
        }
    }
}

impl KvStore for Broken {
    fn get<'a>(&'a self, _: &'a Bucket, _: &'a str) -> BoxFuture<'a, Result<Option<Entry>, KvError>> {
        self.answer()
    }

    fn set<'a>(&'a self, _: &'a Bucket, _: &'a str, _: Vec<u8>, _: Write) -> BoxFuture<'a, Result<(), KvError>> {
        self.answer()
    }

    fn swap<'a>(&'a self, _: &'a Bucket, _: &'a str, _: Option<&'a str>, _: Vec<u8>, _: Write) -> BoxFuture<'a, Result<bool, KvError>> {
        self.answer()
    }

    fn increment<'a>(&'a self, _: &'a Bucket, _: &'a str, _: i64, _: Write) -> BoxFuture<'a, Result<i64, KvError>> {
        self.answer()
    }

    fn delete<'a>(&'a self, _: &'a Bucket, _: &'a str) -> BoxFuture<'a, Result<bool, KvError>> {
        self.answer()
    }

    fn keys<'a>(&'a self, _: &'a Bucket, _: &'a str, _: Option<&'a str>, _: usize) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        self.answer()
    }

    fn hand_over(&self) -> BoxFuture<'_, Result<(), KvError>> {
        self.answer()
    }
}

/// A sandbox with the plugin `keeper`, which was granted its keys, over that store.
fn keeper(store: Broken, limits: Limits) -> Sandbox {
    let mut sandbox = sandbox(&["keeper"]);
    let mut grants = Grants::default();
    grants.insert("kv".into(), json!({}));
    sandbox.setup.plugins.insert("keeper".into(), PluginConfig { limits, grants, ..PluginConfig::default() });
    sandbox.stores.kv = Arc::new(store);
    sandbox
}

#[tokio::test]
async fn waiting_for_the_store_is_bounded_as_waiting_and_takes_none_of_the_time() {
    let limits = Limits { wait: Duration::from_millis(50), ..Limits::default() };
    let (registry, _watcher) = keeper(Broken::Silent, limits).open().await;
    for said in ["get plugin k", "set plugin k v", "add caller k 1", "keys plugin k 1", "delete caller k", "swap plugin k"] {
        let fault = ask(&registry, "keeper", said).await.err();
        assert_eq!(fault, Some(FaultKind::Exhausted(Exhausted::Wait(limits.wait))), "{said}");
    }
}

#[tokio::test]
async fn a_store_that_fails_is_told_without_its_causes() {
    let (registry, _watcher) = keeper(Broken::Failing, Limits::default()).open().await;
    let answer = ask(&registry, "keeper", "get plugin k").await.expect("a failure is an answer");
    let PreOutcome::Respond(message) = answer else { panic!("it answers") };
    let text = format!("{message:?}");
    assert!(text.contains("Unavailable") && text.contains("the server's log says why") && !text.contains("secret"), "{text}");
}
