//! What clients do until the server is gone, and what must be there afterwards. Each has names of its own, so that it knows what became of each.
//! Invariant: whoever got no answer knows of one operation alone that it may have happened or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Method;
use serde_json::json;
use tokio::sync::Semaphore;

use super::words::{Shape, Version};
use crate::client::{Answer, Client};

pub const KNOWLEDGE: &str = "/api/v1/gateway/apis/kb/knowledge";
/// Numbers of versions that each client has.
const NUMBERS: u32 = 200_000;
/// Documents that a client has in a namespace of its own, and in the one of all.
const OWN: u8 = 5;
const SHARED: u8 = 1;
/// Words that are gone, and looked for once more.
const GONE: usize = 8;
/// More chunks than there must be for an index to be saved.
pub const BULK: Shape = Shape { sections: 1_100, markdown: false };

/// Namespace and name.
pub type Key = (String, String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub version: Version,
    /// Not known if nobody acknowledged it.
    pub id: Option<String>,
}

pub type Documents = BTreeMap<Key, Held>;

/// What was asked for and not answered.
#[derive(Clone, Debug)]
pub enum Open {
    Put(Key, Version),
    Delete(Key),
    Clear(String),
}

/// One client.
pub struct Work {
    pub name: String,
    rng: fastrand::Rng,
    next: u32,
    pub documents: Documents,
    /// The numbers of versions that are gone.
    pub gone: Vec<u32>,
    pub open: Option<Open>,
    /// What was changed since the last kill.
    pub changed: Vec<Key>,
    /// Every version that was sent since somebody asked.
    pub sent: Vec<Version>,
    pub acknowledged: usize,
}

impl Work {
    pub fn new(number: u32, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed ^ (u64::from(number) << 32));
        let (documents, gone, changed, sent) = Default::default();
        Self { name: format!("w{number}"), rng, next: number * NUMBERS, documents, gone, open: None, changed, sent, acknowledged: 0 }
    }

    pub fn version(&mut self, shape: Shape) -> Version {
        self.next += 1;
        Version { number: self.next, shape }
    }

    /// Does one thing after the other, and tells `done` of each that was acknowledged. Ends when the server is gone.
    pub async fn go(mut self, client: Client, done: Arc<Semaphore>) -> Self {
        loop {
            let open = self.choose();
            match self.carry_out(&client, &open).await {
                Ok(true) => {
                    self.acknowledged += 1;
                    done.add_permits(1);
                }
                // Refused: nothing has happened.
                Ok(false) => {}
                Err(_) => {
                    self.open = Some(open);
                    return self;
                }
            }
        }
    }

    fn choose(&mut self) -> Open {
        let held: Vec<Key> = self.documents.keys().cloned().collect();
        match self.rng.u8(..100) {
            0..20 if !held.is_empty() => Open::Delete(held[self.rng.usize(..held.len())].clone()),
            20..24 => Open::Clear(self.name.clone()),
            24..26 => {
                let version = self.version(BULK);
                Open::Put((format!("{}-bulk", self.name), format!("{}-bulk.txt", self.name)), version)
            }
            // The same once more, whether or not it is there.
            26..32 if !held.is_empty() => {
                let key = held[self.rng.usize(..held.len())].clone();
                let version = self.documents[&key].version;
                Open::Put(key, version)
            }
            _ => {
                let own = self.rng.u8(..OWN + SHARED);
                let namespace = if own < OWN { self.name.clone() } else { "shared".into() };
                let markdown = self.rng.bool();
                let sections = self.rng.u32(1..=4);
                let version = self.version(Shape { sections, markdown });
                // One name for both kinds would make the kind change with the version.
                Open::Put((namespace, format!("{}-{own}.{}", self.name, if markdown { "md" } else { "txt" })), version)
            }
        }
    }

    /// Gives whether it was done; an error if nobody answered.
    async fn carry_out(&mut self, client: &Client, open: &Open) -> Result<bool, String> {
        match open {
            Open::Put((namespace, name), version) => {
                self.sent.push(*version);
                let answer = upload(client, namespace, name, *version).await?;
                if !taken(&answer) {
                    return Ok(false);
                }
                let id = answer.json()["data"][0]["id"].as_str().expect("an id").to_owned();
                self.holds((namespace.clone(), name.clone()), *version, Some(id));
            }
            Open::Delete(key) => {
                let id = self.documents[key].id.clone().expect("it is known after each restart");
                let answer = client.try_send(Method::DELETE, &format!("{KNOWLEDGE}/documents/{id}"), None, bytes::Bytes::new()).await?;
                if !taken(&answer) {
                    return Ok(false);
                }
                self.lost(key);
            }
            Open::Clear(namespace) => {
                let path = format!("{KNOWLEDGE}?namespace={namespace}");
                let answer = client.try_send(Method::DELETE, &path, None, bytes::Bytes::new()).await?;
                let there: Vec<Key> = self.documents.keys().filter(|key| key.0 == *namespace).cloned().collect();
                if answer.status == 404 {
                    assert!(there.is_empty(), "{there:?}");
                    return Ok(false);
                }
                if !taken(&answer) {
                    return Ok(false);
                }
                assert_eq!(answer.json()["documents"], there.len(), "{there:?}");
                there.iter().for_each(|key| self.lost(key));
            }
        }
        Ok(true)
    }

    pub fn holds(&mut self, key: Key, version: Version, id: Option<String>) {
        let before = self.documents.insert(key.clone(), Held { version, id });
        self.gone_is(before.filter(|before| before.version != version));
        self.changed.push(key);
    }

    fn lost(&mut self, key: &Key) {
        let before = self.documents.remove(key);
        self.gone_is(before);
        self.changed.push(key.clone());
    }

    fn gone_is(&mut self, held: Option<Held>) {
        self.gone.extend(held.map(|held| held.version.number));
        self.gone.drain(..self.gone.len().saturating_sub(GONE));
    }

    /// What is there if what was not answered has happened.
    pub fn had_it_happened(&self) -> Documents {
        let mut documents = self.documents.clone();
        match &self.open {
            // The same content once more leaves the document as it is.
            Some(Open::Put(key, version)) if documents.get(key).is_none_or(|held| held.version != *version) => {
                documents.insert(key.clone(), Held { version: *version, id: None });
            }
            Some(Open::Delete(key)) => drop(documents.remove(key)),
            Some(Open::Clear(namespace)) => documents.retain(|key, _| key.0 != *namespace),
            Some(Open::Put(..)) | None => {}
        }
        documents
    }

    /// What was found after a restart is what there is from now on.
    pub fn found(&mut self, documents: Documents) {
        let before = std::mem::take(&mut self.documents);
        for (key, held) in &before {
            if documents.get(key).is_none_or(|now| now.version != held.version) {
                self.gone_is(Some(held.clone()));
            }
        }
        if let Some(Open::Put(key, version)) = self.open.take() {
            if documents.get(&key).is_none_or(|held| held.version != version) && !before.values().any(|held| held.version == version) {
                self.gone.push(version.number);
            }
            self.changed.push(key);
        }
        self.documents = documents;
    }
}

/// Whether it was done. What is refused must be refused for want of room, or because the server stops.
fn taken(answer: &Answer) -> bool {
    if answer.status.is_success() {
        return true;
    }
    let code = answer.refused(503);
    assert!(["knowledge_busy", "overloaded", "stopping"].contains(&code.as_str()), "{answer:?}");
    false
}

pub async fn upload(client: &Client, namespace: &str, name: &str, version: Version) -> Result<Answer, String> {
    let part = |head: &str, value: &str| format!("--e\r\ncontent-disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let file = format!("name=\"file\"; filename=\"{name}\"");
    let body = part("name=\"namespace\"", namespace) + &part(&file, &version.text()) + "--e--\r\n";
    client.try_send(Method::POST, &format!("{KNOWLEDGE}/upload"), Some("multipart/form-data; boundary=e"), body.into()).await
}

/// What a question finds, hits and what is below the threshold, as (document's id, ordinal, text).
pub async fn find(client: &Client, namespace: &str, mode: &str, query: &str) -> Vec<(String, u64, String)> {
    let question = json!({"query": query, "namespace": namespace, "mode": mode, "top_k": 50, "score_threshold": 0.0, "mmr": 1.0});
    let found = client.post(&format!("{KNOWLEDGE}/test"), &question).await.ok().json();
    let hit = |hit: &serde_json::Value| {
        (
            hit["document"].as_str().expect("an id").to_owned(),
            hit["ordinal"].as_u64().expect("a number"),
            hit["text"].as_str().expect("text").to_owned(),
        )
    };
    let [data, below] = ["data", "below"].map(|key| found[key].as_array().expect("a list").clone());
    data.iter().chain(&below).map(hit).collect()
}
