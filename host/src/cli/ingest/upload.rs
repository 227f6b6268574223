//! One file to the server's upload route. A server that is busy is asked again, because what it was sent is stored whole or not at all, and a
//! document that comes twice replaces itself.

use std::time::Duration;

use serde::Deserialize;

use super::walk::Found;
use crate::llm::{Error, Limits, Post, Secret};

/// How long one upload may take: the server's own limits end it before.
const TIME: Duration = Duration::from_secs(3_600);
/// Seconds of waiting before a busy server is asked again.
const AGAIN: [u64; 6] = [1, 2, 4, 8, 16, 32];

/// Uploads to one API.
pub(super) struct Uploads {
    post: Post,
    namespace: Option<String>,
}

/// What became of a file.
pub(super) enum Outcome {
    Stored {
        replaced: bool,
        chunks: u64,
    },
    /// The server has it already.
    Unchanged,
    /// This file is not taken.
    Refused(String),
    /// None would be.
    Hopeless(String),
}

#[derive(Deserialize)]
struct Stored {
    data: Vec<Document>,
}

#[derive(Deserialize)]
struct Document {
    replaced: bool,
    #[serde(default)]
    unchanged: bool,
    chunks: u64,
}

#[derive(Deserialize)]
struct Envelope {
    error: Detail,
}

#[derive(Deserialize)]
struct Detail {
    message: String,
}

impl Uploads {
    /// # Errors
    /// What is wrong with the server's URL.
    pub(super) fn to(url: &str, api: &str, namespace: Option<String>, key: Option<&Secret>) -> Result<Self, String> {
        let api: String = form_urlencoded::byte_serialize(api.as_bytes()).collect::<String>().replace('+', "%20");
        let url = format!("{}/api/v1/gateway/apis/{api}/knowledge/upload?wait=true", url.trim_end_matches('/'));
        let mut post = Post::new("the server", &url, &Limits::default()).map_err(|error| why(&error))?;
        if let Some(key) = key {
            post = post.with_bearer(key).map_err(|why| format!("the key {why}"))?;
        }
        Ok(Self { post, namespace })
    }

    pub(super) async fn send(&self, Found { path, name }: &Found) -> Outcome {
        let bytes = match tokio::fs::read(path).await {
            Ok(bytes) => bytes,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let boundary = format!("cofferdam-{}", uuid::Uuid::now_v7().simple());
        let (body, content_type) =
            (form(&boundary, name, self.namespace.as_deref(), bytes), format!("multipart/form-data; boundary={boundary}"));
        let mut waits = AGAIN.into_iter();
        loop {
            let (status, answer) = match self.post.send(&content_type, body.clone(), TIME).await {
                Ok(answer) => answer,
                Err(error) => return Outcome::Hopeless(why(&error)),
            };
            if let (429 | 503, Some(seconds)) = (status, waits.next()) {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                continue;
            }
            return judged(status, &answer);
        }
    }
}

fn judged(status: u16, answer: &[u8]) -> Outcome {
    if let (200, Ok(Stored { data })) = (status, serde_json::from_slice(answer)) {
        if data.iter().all(|document| document.unchanged) {
            return Outcome::Unchanged;
        }
        let replaced = data.iter().any(|document| document.replaced);
        return Outcome::Stored { replaced, chunks: data.iter().map(|document| document.chunks).sum() };
    }
    let told = serde_json::from_slice::<Envelope>(answer).map(|envelope| envelope.error.message);
    let message = told.unwrap_or_else(|_| format!("the server answered {status}"));
    match status {
        // The key or the API is wrong, or nothing of ours listens there.
        200..=399 | 401 | 403 | 404 | 405 => Outcome::Hopeless(message),
        _ => Outcome::Refused(message),
    }
}

fn why(error: &Error) -> String {
    match error {
        Error::Unreachable { cause, .. } => format!("the server cannot be reached: {cause}"),
        other => other.to_string(),
    }
}

/// The multipart form. What a file is called cannot end its field: only the field `name` says it, whose bytes are as they are.
fn form(boundary: &str, name: &str, namespace: Option<&str>, file: Vec<u8>) -> bytes::Bytes {
    let field = |name: &str, value: &str| format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let ending = name.rsplit_once('.').map(|(_, ending)| ending).filter(|ending| ending.chars().all(|c| c.is_ascii_alphanumeric()));
    let file_name = ending.map_or_else(|| "file".to_owned(), |ending| format!("file.{ending}"));
    let mut body = field("name", name);
    body += &namespace.map(|namespace| field("namespace", namespace)).unwrap_or_default();
    body += &format!("--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{file_name}\"\r\n\r\n");
    let mut body = body.into_bytes();
    body.extend(file);
    body.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    body.into()
}
