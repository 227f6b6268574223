//! Ports behind which nothing is kept, nobody is reached and everything fails, for tests that are about something else.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use crate::chat::{Exchange, Hit, ReplyStream};
use crate::outbound::{Connect, Peer, Resolve, Stream};
use crate::sandbox::knowledge::{SearchDocuments, SearchFailed, Wanted};
use crate::sandbox::kv::{Bucket, Entry, KvError, KvStore, Write};
use crate::sandbox::llm::{AskFailed, AskModels, ModelTarget};
use crate::sandbox::settings::{Book, Expected, Kept, PluginStore, Put, StoreError};
use crate::sandbox::{Outside, Ports};

pub(super) fn nothing() -> Ports {
    let settings = Book::open(Arc::new(Nothing)).now_or_never().expect("it waits for nothing").expect("nothing is kept");
    let outside = Outside::new(Arc::new(Nothing), Arc::new(Nothing), Arc::new(|_| Err("is not set".into())));
    Ports { kv: Arc::new(Nothing), settings: Arc::new(settings), outside, knowledge: Arc::new(Nothing), models: Arc::new(Nothing) }
}

struct Nothing;

type Answer<'a, T> = BoxFuture<'a, Result<T, KvError>>;

fn failed<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(ready(Err(KvError::Store("there is no store".into()))))
}

impl Resolve for Nothing {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(ready(Err(io::Error::other(format!("a test that has no network looks `{name}` up")))))
    }
}

impl Connect for Nothing {
    fn connect<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(ready(Err(io::Error::other(format!("a test that has no network connects to {}", peer.address)))))
    }
}

impl KvStore for Nothing {
    fn get<'a>(&'a self, _: &'a Bucket, _: &'a str) -> Answer<'a, Option<Entry>> {
        failed()
    }

    fn set<'a>(&'a self, _: &'a Bucket, _: &'a str, _: Vec<u8>, _: Write) -> Answer<'a, ()> {
        failed()
    }

    fn swap<'a>(&'a self, _: &'a Bucket, _: &'a str, _: Option<&'a str>, _: Vec<u8>, _: Write) -> Answer<'a, bool> {
        failed()
    }

    fn increment<'a>(&'a self, _: &'a Bucket, _: &'a str, _: i64, _: Write) -> Answer<'a, i64> {
        failed()
    }

    fn delete<'a>(&'a self, _: &'a Bucket, _: &'a str) -> Answer<'a, bool> {
        failed()
    }

    fn keys<'a>(&'a self, _: &'a Bucket, _: &'a str, _: Option<&'a str>, _: usize) -> Answer<'a, Vec<String>> {
        failed()
    }

    fn hand_over(&self) -> BoxFuture<'_, Result<(), KvError>> {
        failed()
    }
}

impl SearchDocuments for Nothing {
    fn search(&self, _: Wanted) -> BoxFuture<'_, Result<Vec<Hit>, SearchFailed>> {
        Box::pin(ready(Err(SearchFailed("there are no documents".into()))))
    }
}

impl AskModels for Nothing {
    fn ask<'a>(&'a self, _: &'a ModelTarget, _: &'a Exchange) -> BoxFuture<'a, Result<ReplyStream, AskFailed>> {
        Box::pin(ready(Err(AskFailed::Unavailable("there are no models".into()))))
    }

    fn embed<'a>(&'a self, _: &'a str, _: Vec<String>, _: &'a Exchange) -> BoxFuture<'a, Result<(Vec<Vec<f32>>, u64), AskFailed>> {
        Box::pin(ready(Err(AskFailed::Unavailable("there are no models".into()))))
    }
}

impl PluginStore for Nothing {
    fn all(&self) -> BoxFuture<'_, Result<Vec<(String, Kept)>, StoreError>> {
        Box::pin(ready(Ok(Vec::new())))
    }

    fn get<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Kept>, StoreError>> {
        Box::pin(ready(Ok(None)))
    }

    fn put<'a>(&'a self, _: &'a str, _: &'a str, _: Expected) -> BoxFuture<'a, Result<Put, StoreError>> {
        Box::pin(ready(Err(StoreError("there is no store".into()))))
    }

    fn delete<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(ready(Ok(false)))
    }
}
