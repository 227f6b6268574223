//! What a sandbox without the server around it reaches of the host: stores in a folder of the test's, and no way out. A test that wants one puts
//! names and servers of its own in the place of `outside`; with this one no packet leaves, whatever a guest asks for. There are
//! no documents and no models either.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use cofferdam::chat::{Exchange, Hit, ReplyStream};
use cofferdam::outbound::{Connect, Peer, Resolve, Stream};
use cofferdam::sandbox::knowledge::{SearchDocuments, SearchFailed, Wanted};
use cofferdam::sandbox::llm::{AskFailed, AskModels, ModelTarget};
use cofferdam::sandbox::settings::Book;
use cofferdam::sandbox::{Outside, Ports};
use cofferdam::storage::{Stores, sqlite};
use futures_util::future::{BoxFuture, ready};

/// Where plugins keep what they keep.
pub(crate) fn stores(folder: &Path) -> Stores {
    sqlite::open(&folder.join("cofferdam.db")).expect("the database opens")
}

pub(crate) async fn ports(stores: &Stores) -> Ports {
    let settings = Book::open(stores.plugins.clone()).await.expect("settings can be read");
    let outside = Outside::new(Arc::new(NoNetwork), Arc::new(NoNetwork), Arc::new(|_| Err("is not set".into())));
    Ports { kv: stores.kv.clone(), settings: Arc::new(settings), outside, knowledge: Arc::new(Nobody), models: Arc::new(Nobody) }
}

/// Neither documents nor models.
struct Nobody;

impl SearchDocuments for Nobody {
    fn search(&self, _: Wanted) -> BoxFuture<'_, Result<Vec<Hit>, SearchFailed>> {
        Box::pin(ready(Ok(Vec::new())))
    }
}

impl AskModels for Nobody {
    fn ask<'a>(&'a self, _: &'a ModelTarget, _: &'a Exchange) -> BoxFuture<'a, Result<ReplyStream, AskFailed>> {
        Box::pin(ready(Err(AskFailed::Unavailable("there are no models".into()))))
    }

    fn embed<'a>(&'a self, _: &'a str, _: Vec<String>, _: &'a Exchange) -> BoxFuture<'a, Result<(Vec<Vec<f32>>, u64), AskFailed>> {
        Box::pin(ready(Err(AskFailed::Unavailable("there are no models".into()))))
    }
}

struct NoNetwork;

impl Resolve for NoNetwork {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(ready(Err(io::Error::other(format!("a test that has no network looks `{name}` up")))))
    }
}

impl Connect for NoNetwork {
    fn connect<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(ready(Err(io::Error::other(format!("a test that has no network connects to {}", peer.address)))))
    }
}
