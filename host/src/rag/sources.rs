//! Documents that the operator's file names by URL: fetched at the start and again every so often, and added as an upload would be.
//! Invariant: whatever fails, the document that is there stays as it is. Who fetches, and what may be fetched, is the port's to know.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::{Mutex, RwLock};
use url::{Host, Url};

use super::{Document, Error, Extracted, Extractor, Knowledge, Metadata, Namespace};
use crate::chat::Client;

/// The field of a document's metadata that citations lead to.
const URL: &str = "url";
/// Bytes of a URL: what metadata holds.
const URL_BYTES: usize = 512;

/// Some URLs whose documents belong into one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub namespace: Namespace,
    /// All different.
    pub urls: Vec<String>,
    /// From one look to the next.
    pub refresh: Duration,
    /// Whether `http://` is allowed beside `https://`.
    pub plain: bool,
    /// Whether addresses of this machine and of private networks are allowed.
    pub private: bool,
}

/// Fetches what a source names.
pub trait FetchDocuments: Send + Sync + 'static {
    /// The file behind one of the source's URLs; none if it is still the one that `known` says.
    ///
    /// # Errors
    /// Says why there is none.
    fn fetch<'a>(&'a self, source: &'a Source, url: &'a str, known: &'a Validators) -> BoxFuture<'a, Result<Option<Fetched>, String>>;
}

/// By which a server tells whether a file has changed (RFC 9110, 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// A file that was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub bytes: Bytes,
    /// The type that the server gave it.
    pub declared: Option<String>,
    pub validators: Validators,
}

/// The rooms that documents go through, as the configuration in force has them.
pub type Rooms = Arc<RwLock<(Arc<Knowledge>, Arc<Extractor>)>>;

/// Keeps the documents of sources fresh.
pub struct Refresher {
    pub fetch: Arc<dyn FetchDocuments>,
    pub rooms: Rooms,
    /// Told what became of each look at a URL: `added`, `unchanged` or `failed`.
    pub looked: Arc<dyn Fn(&'static str) + Send + Sync>,
    /// One file at a time, so that sources leave room for uploads.
    pub turn: Mutex<()>,
}

impl Source {
    /// Host and port of a URL that a source may name.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn server(url: &str, plain: bool) -> Result<(String, u16), String> {
        if url.len() > URL_BYTES {
            return Err(format!("a URL has at most {URL_BYTES} bytes"));
        }
        let read = Url::parse(url).map_err(|error| format!("it is no URL: {error}"))?;
        match read.scheme() {
            "https" => {}
            "http" if plain => {}
            "http" => return Err("`http://` needs `plain = true`".into()),
            _ => return Err("it must begin with `https://`".into()),
        }
        if !read.username().is_empty() || read.password().is_some() {
            return Err("it must not hold a user or a password".into());
        }
        let host = read.host().map(|host: Host<&str>| host.to_string()).ok_or("it has no host")?;
        Ok((host, read.port_or_known_default().ok_or("it has no port")?))
    }
}

impl Refresher {
    /// Goes on for as long as there are sources.
    pub async fn keep_fresh(self, sources: Vec<Source>) {
        join_all(sources.iter().map(|source| self.follow(source))).await;
    }

    async fn follow(&self, source: &Source) {
        let mut known: HashMap<&str, Validators> = HashMap::new();
        loop {
            for url in &source.urls {
                let _turn = self.turn.lock().await;
                let validators = known.entry(url.as_str()).or_default();
                let outcome = match self.look(source, url, validators).await {
                    Ok(outcome) => outcome,
                    Err(why) => {
                        tracing::warn!(url, api = %source.namespace.api, "a document of `rag.sources` is not fetched, and stays as it is: {why}");
                        "failed"
                    }
                };
                (self.looked)(outcome);
            }
            tokio::time::sleep(source.refresh).await;
        }
    }

    async fn look(&self, source: &Source, url: &str, known: &mut Validators) -> Result<&'static str, String> {
        let Some(Fetched { bytes, declared, validators }) = self.fetch.fetch(source, url, known).await? else { return Ok("unchanged") };
        let (knowledge, extractor) = self.rooms.read().await.clone();
        let told = |error: Error| error.to_string();
        let extracted = extractor.extract(url, declared.as_deref(), bytes, &Client::Host).await.map_err(told)?;
        let Extracted { title, kind, markdown, pages } = extracted;
        let metadata = Metadata::of(serde_json::json!({ URL: url }))?;
        let document = Document { title, pages, metadata, ..Document::new(url, kind, markdown) };
        let receipt = knowledge.add_in_turn(&source.namespace, document, &Client::Host).await.map_err(told)?;
        // Only now: what failed is fetched again.
        *known = validators;
        Ok(if receipt.unchanged { "unchanged" } else { "added" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_names_servers_by_https_or_as_it_says() {
        assert_eq!(Source::server("https://a.example/b.pdf", false), Ok(("a.example".into(), 443)));
        assert_eq!(Source::server("http://127.0.0.1:8080/b.pdf?c=d", true), Ok(("127.0.0.1".into(), 8080)));
        let edge = format!("https://a.example/{}", "b".repeat(URL_BYTES - 18));
        assert!(Source::server(&edge, false).is_ok() && Source::server(&format!("{edge}b"), false).is_err(), "{}", edge.len());
        for (url, why) in [
            ("http://a.example/", "plain"),
            ("ftp://a.example/", "https"),
            ("file:///etc/passwd", "https"),
            ("a.example", "no URL"),
            ("https://u:p@a.example/", "password"),
        ] {
            assert!(Source::server(url, false).is_err_and(|said| said.contains(why)), "{url}");
        }
    }
}
