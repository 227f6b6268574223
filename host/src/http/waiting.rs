//! A client that waits for a stream which hooks hold back: after a time of silence it gets the head of its answer and comments, so that no proxy
//! takes the connection for idle. Up to the first comment a refusal has its status; after it the stream ends as a cut one does.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::error::Failure;
use super::respond;
use crate::chat::held::Held;
use crate::chat::{Delta, Frame, FrameStream, Frames, Name, Piece, Reply, ReplyStream, StreamError};
use crate::pipeline::Outcome;
use crate::stages::along::CUT;

/// What a client gets of a reply that is held back.
const COMMENT: &[u8] = b": waiting\n\n";

/// An exchange under way.
type Run = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

/// The stream that a client asked for.
pub(super) struct Asked {
    /// The request's id, for a reply of which the name is not known.
    pub(super) name: Name,
    pub(super) include_usage: bool,
    /// How many choices.
    pub(super) choices: u32,
}

/// Where the stream is.
enum Stage {
    Waiting(Run),
    Streaming(ReplyStream),
    /// The refusal is still to be told.
    Refused(StreamError),
    Over,
}

/// Runs the exchange to its reply, or for `every` since hooks began to hold the reply back. After that what comes is a stream that waits for the
/// rest, with a comment now and after `every` again.
pub(super) async fn run(mut run: Run, held: Arc<Held>, every: Duration, asked: Asked) -> Result<Outcome, Failure> {
    let silence = async {
        held.begins().await;
        tokio::time::sleep(every).await;
    };
    tokio::select! {
        biased;
        outcome = &mut run => outcome,
        () = silence => {
            let Asked { name, include_usage, choices } = asked;
            let reply = ReplyStream::new(waiting(run, every, choices), name, include_usage);
            Ok(Outcome { reply: Reply::Stream(reply), answered_by: None, attempts: 0, skipped: Vec::new() })
        }
    }
}

fn waiting(run: Run, every: Duration, choices: u32) -> FrameStream {
    let first = stream::once(async { Ok(Frames::raw(Bytes::from_static(COMMENT))) });
    let rest = stream::unfold(Stage::Waiting(run), move |stage| next(stage, every, choices));
    Box::pin(first.chain(rest))
}

async fn next(stage: Stage, every: Duration, choices: u32) -> Option<(Result<Frames, StreamError>, Stage)> {
    match stage {
        Stage::Waiting(mut run) => match timeout(every, &mut run).await {
            Err(_) => Some((Ok(Frames::raw(Bytes::from_static(COMMENT))), Stage::Waiting(run))),
            Ok(Ok(Outcome { reply: Reply::Stream(mut reply), .. })) => {
                let first = reply.next().await?.map(|frames| named(frames, &reply));
                Some((first, Stage::Streaming(reply)))
            }
            Ok(Ok(_)) => unreachable!("a reply has the form that was asked for"),
            Ok(Err(failure)) => {
                let error = respond::late(&failure);
                if error.code != CUT {
                    return Some((Err(error), Stage::Over));
                }
                let end = |choice| Delta::Piece { choice, piece: Piece::Finish(CUT.to_owned()) };
                Some((Ok(Frames::from_iter([Frame::of((0..choices).map(end).collect())])), Stage::Refused(error)))
            }
        },
        Stage::Streaming(mut reply) => reply.next().await.map(|item| (item, Stage::Streaming(reply))),
        Stage::Refused(error) => Some((Err(error), Stage::Over)),
        Stage::Over => None,
    }
}

/// The first frames of a reply, with its names if they have none: those were not known when the stream began.
fn named(frames: Frames, reply: &ReplyStream) -> Frames {
    let mut known = false;
    frames.each_delta(|delta| known |= matches!(delta, Delta::Head { id: Some(_), .. }));
    if known {
        return frames;
    }
    let end = frames.end;
    let mut all: Frames = std::iter::once(Frame::of(vec![reply.head()])).chain(frames).collect();
    all.end = end;
    all
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;
    use crate::pipeline;
    use crate::sandbox::Rejection;

    const EVERY: Duration = Duration::from_secs(15);

    fn rejected() -> Failure {
        let rejection = Rejection { status: 451, code: "too_much".into(), message: "no".into(), retry_after: None };
        pipeline::Error::Rejected { plugin: "p".into(), rejection }.into()
    }

    fn answered() -> Outcome {
        let text = Delta::Piece { choice: 0, piece: Piece::Text("hi".into()) };
        let name = Name { id: "theirs".into(), model: "m".into(), created: 7 };
        let frames = stream::iter([Ok(Frames::from_iter([Frame::of(vec![text])]).ending())]);
        Outcome { reply: Reply::Stream(ReplyStream::new(frames, name, false)), answered_by: None, attempts: 1, skipped: Vec::new() }
    }

    /// After so many seconds.
    fn after(seconds: u64, outcome: Result<Outcome, Failure>) -> Run {
        Box::pin(async move {
            tokio::time::sleep_until(Instant::now() + Duration::from_secs(seconds)).await;
            outcome
        })
    }

    async fn begun(run_: Run, held: bool) -> Result<Outcome, Failure> {
        let is = Arc::new(Held::default());
        if held {
            is.begin();
        }
        let name = Name { id: "ours".into(), model: "p".into(), created: 1 };
        run(run_, is, EVERY, Asked { name, include_usage: false, choices: 2 }).await
    }

    /// All that the client gets, and the code of what ended it.
    async fn told(outcome: Outcome) -> (String, Option<&'static str>) {
        let Reply::Stream(mut reply) = outcome.reply else { panic!("a stream") };
        let (mut writer, mut out) = (reply.chunk_writer(), String::new());
        while let Some(item) = reply.next().await {
            match item {
                Ok(frames) => out += &String::from_utf8_lossy(&writer.encode(frames)),
                Err(error) => return (out, Some(error.code)),
            }
        }
        (out, None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_before_the_first_comment_has_its_status() {
        let refused = |outcome: Result<Outcome, Failure>| matches!(outcome, Err(Failure::Pipeline(error)) if matches!(*error, pipeline::Error::Rejected { .. }));
        assert!(refused(begun(after(14, Err(rejected())), true).await));
        assert!(refused(begun(Box::pin(ready(Err(rejected()))), true).await));
        assert!(refused(begun(after(600, Err(rejected())), false).await), "no hook holds it back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_after_it_ends_the_stream_as_a_cut_does() {
        let (text, code) = told(begun(after(46, Err(rejected())), true).await.expect("a head")).await;
        assert_eq!(text.matches(": waiting\n\n").count(), 3, "after 15, 30 and 45 seconds: {text}");
        assert_eq!((text.matches("\"finish_reason\":\"content_filter\"").count(), code), (2, Some(CUT)), "{text}");
        assert!(!text.contains("[DONE]"));
        let failed = pipeline::Error::Deadline.into();
        let (text, code) = told(begun(after(20, Err(failed)), true).await.expect("a head")).await;
        assert_eq!((text.as_str(), code), (": waiting\n\n", Some("deadline_exceeded")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_reply_comes_behind_the_comments_under_its_own_names() {
        let (text, code) = told(begun(after(15 + 31, Ok(answered())), true).await.expect("a head")).await;
        assert_eq!((text.matches(": waiting\n\n").count(), code), (3, None));
        assert!(text.contains("\"id\":\"theirs\"") && text.contains("\"content\":\"hi\"") && text.ends_with("data: [DONE]\n\n"), "{text}");
        let (text, _) = told(begun(after(5, Ok(answered())), true).await.expect("a reply")).await;
        assert!(!text.contains("waiting"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_counts_from_the_moment_at_which_hooks_hold_the_reply_back() {
        let held = Arc::new(Held::default());
        let began = Instant::now();
        let begins = held.clone();
        let work: Run = Box::pin(async move {
            tokio::time::sleep_until(began + Duration::from_secs(100)).await;
            begins.begin();
            pending().await
        });
        let name = Name { id: String::new(), model: String::new(), created: 0 };
        run(work, held, EVERY, Asked { name, include_usage: false, choices: 1 }).await.expect("a head");
        assert_eq!(began.elapsed(), Duration::from_secs(115));
    }
}
