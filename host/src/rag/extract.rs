//! From the bytes of a file to structured text: what kind of file it is, by its content; how its text is encoded; and what a parser makes of it.
//! Invariant: no parser of a foreign format runs in this process. Small hostile files abort a process or take all of its memory, so a child of
//! our own program does the work under limits.

mod child;
mod csv;
mod decode;
mod extracted;
mod format;
mod html;
mod json;
mod judged;
mod markdown;
mod office;
mod pdf;
mod reply;

use std::path::PathBuf;

use bytes::Bytes;

use self::format::{Content, Format};
use self::reply::{Refused, Reply};
use super::{Error, Kind, Limits};
use crate::chat::Client;
use crate::fair::Shares;
use crate::subprocess::{self, Confinement, Inherited, Job};

pub use child::{ChildTask, child};
pub use extracted::Extracted;

/// A child may take so many times its CPU time by the clock: a busy machine gives a niced child a tenth of a processor.
const CLOCK: u32 = 10;
/// Bytes of what a child prints that are kept: more than the last words of a program that crashed.
const PRINTED_BYTES: usize = 4 << 10;
/// Bytes of an answer beside its text, and for each page.
const HEAD_BYTES: usize = 16 << 10;
const PAGE_BYTES: usize = 40;

/// Reads files. Cheap to share behind an `Arc`.
pub struct Extractor {
    /// This program, which is called with `extract-document` and calls [`child`].
    program: PathBuf,
    /// Children that may run at once.
    places: Shares,
    limits: Limits,
}

impl Extractor {
    pub fn new(program: PathBuf, limits: Limits) -> Self {
        Self { program, places: Shares::new(limits.extract_concurrency), limits }
    }

    /// Under other limits; the places are shared with the one before.
    #[must_use]
    pub fn renewed(&self, limits: Limits) -> Self {
        Self { program: self.program.clone(), places: self.places.clone(), limits }
    }

    /// Its limits are in force.
    pub fn take_effect(&self) {
        self.places.resize(self.limits.extract_concurrency);
    }

    /// The text of the file. Its name and the type that a client declared only decide between kinds of text that look alike. Clients take turns;
    /// dropping the future ends the work.
    ///
    /// # Errors
    /// `Unsupported`, `Unreadable`, `Encrypted`, `Scanned`, `Empty` and `TooLarge` by the file, `Extractor` by the moment.
    pub async fn extract(&self, name: &str, declared: Option<&str>, bytes: Bytes, client: &Client) -> Result<Extracted, Error> {
        let refused = |why: Refused| why.of(name, &self.limits);
        let content = self.recognise(name, declared, bytes).await?.map_err(refused)?;
        let extracted = match content {
            Content::Text(kind, text) => self.taken_as_it_is(kind, text).await?,
            Content::Parsed(format, bytes) => self.parsed(name, format, &bytes, client).await?,
        };
        if extracted.markdown.len() > self.limits.document_bytes {
            return Err(refused(Refused::TextBytes));
        }
        if extracted.markdown.trim().is_empty() {
            return Err(refused(Refused::Empty));
        }
        Ok(extracted)
    }

    /// Off the serving threads: some megabytes in an old encoding take a while.
    async fn recognise(&self, name: &str, declared: Option<&str>, bytes: Bytes) -> Result<Result<Content, Refused>, Error> {
        let (name, declared, most) = (name.to_owned(), declared.map(str::to_owned), self.limits.document_bytes);
        blocking(move || format::recognise(&name, declared.as_deref(), bytes, most)).await
    }

    async fn taken_as_it_is(&self, kind: Kind, text: String) -> Result<Extracted, Error> {
        blocking(move || {
            let title = (kind == Kind::Markdown).then(|| markdown::title(&text)).flatten();
            Extracted { title, kind, markdown: text, pages: Vec::new() }
        })
        .await
    }

    async fn parsed(&self, name: &str, format: Format, bytes: &[u8], client: &Client) -> Result<Extracted, Error> {
        let _place = self.places.wait(client, 1).await;
        let Limits { document_bytes, pages, expansion, extract_memory, extract_time, .. } = self.limits;
        let may = Confinement { memory_bytes: extract_memory as u64, cpu_seconds: extract_time.as_secs(), file_bytes: 0 };
        let numbers = [may.memory_bytes, may.cpu_seconds, document_bytes as u64, pages as u64, expansion as u64];
        let words = ["extract-document".to_owned(), format.word().to_owned()];
        let job = Job {
            program: &self.program,
            arguments: words.into_iter().chain(numbers.map(|number| number.to_string())).map(Into::into).collect(),
            input: bytes,
            output_max: document_bytes.saturating_add(HEAD_BYTES).saturating_add(pages.saturating_mul(PAGE_BYTES)),
            printed_max: PRINTED_BYTES,
            time: extract_time * CLOCK,
        };
        let ended = subprocess::run(job).await.map_err(|lost| judged::lost(name, &lost, &self.limits))?;
        if !ended.status.success() {
            return Err(judged::died(name, &ended, Inherited::from_here(may), &self.limits));
        }
        match Reply::read(&ended.output) {
            Some(Reply::Text(extracted)) => Ok(extracted),
            Some(Reply::Refused(why)) => Err(why.of(name, &self.limits)),
            None => Err(Error::Extractor(format!("what was read of `{name}` came back garbled"))),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Extractor(format!("a task ended early: {e}")))
}

#[cfg(test)]
mod tests;
