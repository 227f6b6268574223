//! `cofferdam ingest PATH…`: uploads files and folders to a running server, a few at a time, and says what became of each.
//! One file that is refused stops nothing; a server that takes none at all does.

mod upload;
mod walk;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::upload::{Outcome, Uploads};
use self::walk::{Found, Walk};
use super::exit::failed;
use super::output::answer;
use crate::llm::Secret;

/// Where the key stands if it is not on the command line, which other users of the machine can read.
const KEY: &str = "COFFERDAM_KEY";

#[derive(Args)]
pub(super) struct Ingest {
    /// Files and folders. Hidden files and links in folders are left out.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The server, where its `/api` is.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The API whose knowledge it becomes.
    #[arg(long, default_value = "default")]
    api: String,
    /// The namespace; that of the API's pipeline by default.
    #[arg(long)]
    namespace: Option<String>,
    /// An admin key; the variable `COFFERDAM_KEY` by default.
    #[arg(long)]
    key: Option<String>,
    /// Uploads at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,
}

/// What became of all files.
#[derive(Default)]
struct Sums {
    stored: usize,
    replaced: usize,
    unchanged: usize,
    chunks: u64,
    refused: Vec<String>,
}

impl Ingest {
    pub(super) fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return failed(&error),
        };
        runtime.block_on(self.upload())
    }

    async fn upload(self) -> ExitCode {
        let key = self.key.or_else(|| std::env::var(KEY).ok()).and_then(|key| Secret::new(&key).ok());
        let uploads = match Uploads::to(&self.url, &self.api, self.namespace, key.as_ref()) {
            Ok(uploads) => uploads,
            Err(why) => return failed(&why),
        };
        let Walk { files, left_out, unreadable } = walk::files(&self.paths);
        let bar = bar(files.len());
        let mut sums = Sums { refused: unreadable, ..Sums::default() };
        let all = futures_util::stream::iter(files).map(|file| async { (uploads.send(&file).await, file) });
        let mut all = all.buffer_unordered(usize::from(self.jobs));
        while let Some((outcome, Found { name, .. })) = all.next().await {
            match outcome {
                Outcome::Stored { replaced, chunks } => {
                    sums.stored += 1;
                    sums.replaced += usize::from(replaced);
                    sums.chunks += chunks;
                }
                Outcome::Unchanged => sums.unchanged += 1,
                Outcome::Refused(why) => sums.refused.push(format!("{}: {why}", shown(&name))),
                Outcome::Hopeless(why) => {
                    bar.finish_and_clear();
                    let stored = sums.stored + sums.unchanged;
                    return failed(&format!("{}: {why}; no more is uploaded, {stored} files are stored", shown(&name)));
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        sums.tell(left_out)
    }
}

impl Sums {
    fn tell(mut self, left_out: usize) -> ExitCode {
        self.refused.sort();
        let Self { stored, replaced, unchanged, chunks, refused } = self;
        let mut text: String = refused.iter().map(|line| format!("refused: {line}\n")).collect();
        let count = refused.len();
        text += &format!(
            "{stored} files stored in {chunks} chunks, {replaced} of them in place of earlier ones; {unchanged} unchanged, {count} refused, \
             {left_out} left out\n"
        );
        let told = answer(&text);
        if count > 0 && told == ExitCode::SUCCESS { ExitCode::FAILURE } else { told }
    }
}

/// Drawn on standard error if that is a terminal.
fn bar(files: usize) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(files as u64), target);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {eta} left").expect("the template is right");
    bar.with_style(style)
}

/// A name as a terminal may show it: nothing in it moves the cursor or breaks the line.
fn shown(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') { '\u{fffd}' } else { c })
        .collect()
}
