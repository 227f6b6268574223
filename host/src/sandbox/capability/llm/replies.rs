//! Replies on their way to a guest: read as the guest asks for more, so that one which does not slows the provider down, and hung up on when
//! the call ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::{FutureExt as _, StreamExt as _};

use super::budget::Charge;
use crate::chat::{Delta, Frames, ReplyStream, StreamError, Usage};
use crate::sandbox::bindings::types::Failure;
use crate::sandbox::deltas::Book;
use crate::sandbox::portion::shows;

/// Replies that one call may read at the same time.
const OPEN_MAX: usize = 8;
/// About the bytes that one `next` gives back.
const NEXT_BYTES: usize = 64 << 10;

/// The replies that one call reads, by their numbers.
#[derive(Default)]
pub(in crate::sandbox) struct Replies(Mutex<Open>);

#[derive(Default)]
struct Open {
    last: u32,
    replies: BTreeMap<u32, Reading>,
}

/// One reply.
pub(super) struct Reading {
    stream: ReplyStream,
    charge: Charge,
    /// Of its choices, by which the guest is shown them.
    pub(super) book: Book,
    /// How it ended, once it has.
    ended: Option<Result<(), Failure>>,
}

impl Replies {
    /// # Errors
    /// The guest reads as many already as it may.
    pub(super) fn has_room(&self) -> Result<(), Failure> {
        match self.open().replies.len() < OPEN_MAX {
            true => Ok(()),
            false => Err(Failure::Exhausted(format!("it reads {OPEN_MAX} replies already; read one to its end, or stop it"))),
        }
    }

    /// Its number.
    pub(super) fn add(&self, reading: Reading) -> u32 {
        let mut open = self.open();
        open.last += 1;
        let number = open.last;
        open.replies.insert(number, reading);
        number
    }

    /// The reply of that number, which whoever reads it puts back.
    pub(super) fn take(&self, number: u32) -> Option<Reading> {
        self.open().replies.remove(&number)
    }

    pub(super) fn put_back(&self, number: u32, reading: Reading) {
        self.open().replies.insert(number, reading);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // A panic elsewhere leaves a map that is right as far as it goes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    pub(super) fn new(stream: ReplyStream, charge: Charge) -> Self {
        Self { stream, charge, book: Book::default(), ended: None }
    }

    /// The model that answers, if no delta says it.
    pub(super) fn model(&self) -> &str {
        self.stream.model()
    }

    /// All that has arrived since the last time, and if that is nothing what comes next. Nothing at all at the end.
    ///
    /// # Errors
    /// The reply broke off, or the budget is used up.
    pub(super) async fn next(&mut self) -> Result<Vec<Delta>, Failure> {
        let (mut deltas, mut bytes) = (Vec::new(), 0);
        while self.ended.is_none() {
            let says = deltas.iter().any(shows);
            if bytes >= NEXT_BYTES {
                if says {
                    break;
                }
                // A provider that says nothing, over and over, must not fill the memory.
                (deltas, bytes) = (Vec::new(), 0);
            }
            let frames = if !says {
                self.stream.next().await
            } else {
                let Some(frames) = self.stream.next().now_or_never() else { break };
                frames
            };
            match frames {
                // What was whole has said so: a stream that breaks off ends in an error.
                None => self.ended = Some(Ok(())),
                Some(Err(error)) => self.ended = Some(Err(broken(error))),
                Some(Ok(frames)) => {
                    if let Err(failure) = self.read(frames, &mut deltas, &mut bytes) {
                        self.ended = Some(Err(failure));
                    }
                }
            }
        }
        match &self.ended {
            Some(Err(failure)) if !deltas.iter().any(shows) => Err(failure.clone()),
            _ => Ok(deltas),
        }
    }

    fn read(&mut self, frames: Frames, deltas: &mut Vec<Delta>, bytes: &mut usize) -> Result<(), Failure> {
        for mut frame in frames {
            frame.deltas().map_err(broken)?;
            for delta in frame.into_parts().1 {
                let size = delta.bytes();
                *bytes += size;
                match &delta {
                    Delta::Usage(usage) => self.charge.reported(usage),
                    Delta::UsageJson(json) => Usage::read(json).iter().for_each(|usage| self.charge.reported(usage)),
                    Delta::Piece { .. } => self.charge.more(size - size_of::<Delta>())?,
                    Delta::Head { .. } | Delta::Fields(_) => {}
                }
                deltas.push(delta);
            }
        }
        Ok(())
    }
}

/// Why a reply broke off, as a guest tells failures apart.
fn broken(StreamError { message, code }: StreamError) -> Failure {
    match code {
        "insufficient_quota" => Failure::Exhausted(message),
        "deadline" | "upstream_idle" => Failure::Timeout(message),
        _ => Failure::Unavailable(message),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::stream;

    use super::super::budget::Spent;
    use super::super::terms::LlmTerms;
    use super::*;
    use crate::chat::{Frame, Name, Piece};

    fn frames(deltas: Vec<Delta>) -> Result<Frames, StreamError> {
        Ok(Frames::from_iter([Frame::of(deltas)]))
    }

    fn text(text: &str) -> Delta {
        Delta::Piece { choice: 0, piece: Piece::Text(text.into()) }
    }

    fn breaks_off() -> Result<Frames, StreamError> {
        Err(StreamError { message: "it broke off".into(), code: "upstream_error" })
    }

    fn reading(items: impl stream::Stream<Item = Result<Frames, StreamError>> + Send + 'static, tokens: u64) -> Reading {
        let terms = LlmTerms { targets: Vec::new(), embeddings: Vec::new(), calls: 1, tokens };
        let charge = Charge::begin(Arc::new(Spent::default()), &terms, 0).expect("a call");
        let name = Name { id: String::new(), model: "m".into(), created: 0 };
        Reading::new(ReplyStream::new(items, name, true), charge)
    }

    /// How many deltas came at a time, and why no more came.
    async fn all(mut reading: Reading) -> (Vec<usize>, Option<String>) {
        let mut counts = Vec::new();
        loop {
            match reading.next().await {
                Ok(deltas) if deltas.is_empty() => return (counts, None),
                Ok(deltas) => counts.push(deltas.iter().filter(|delta| shows(delta)).count()),
                Err(failure) => return (counts, Some(format!("{failure:?}"))),
            }
        }
    }

    #[tokio::test]
    async fn what_has_arrived_comes_together_and_what_says_nothing_is_not_waited_with() {
        let head = Delta::Head { id: None, model: Some("m".into()), created: None };
        let (later, rest) = tokio::sync::oneshot::channel::<()>();
        let first = stream::iter([frames(vec![head]), frames(vec![text("a"), text("b")]), frames(vec![text("c")])]);
        let second = stream::once(async move {
            let _ = rest.await;
            frames(vec![text("d")])
        });
        let mut reading = reading(first.chain(second), 1_000);
        assert_eq!(reading.next().await.map(|deltas| deltas.len()).ok(), Some(4));
        later.send(()).expect("it is read");
        assert_eq!(all(reading).await, (vec![1], None));
    }

    #[tokio::test]
    async fn one_read_is_bounded_also_if_everything_is_there() {
        let long = "x".repeat(NEXT_BYTES / 4);
        let endless = stream::repeat_with(move || frames(vec![text(&long)]));
        let mut reading = reading(endless, u64::MAX);
        for _ in 0..3 {
            assert_eq!(reading.next().await.map(|deltas| deltas.len()).ok(), Some(4));
        }
    }

    #[tokio::test]
    async fn what_says_nothing_is_passed_over_however_much_of_it_there_is() {
        let silent = stream::repeat_with(|| frames(vec![text("")])).take(10_000);
        let mut reading = reading(silent.chain(stream::iter([frames(vec![text("a")])])), 1_000);
        let deltas = reading.next().await.expect("it goes on");
        assert!(deltas.iter().filter(|delta| shows(delta)).count() == 1 && deltas.len() < 2_000, "{}", deltas.len());
        assert_eq!(all(reading).await, (vec![], None));
    }

    #[tokio::test]
    async fn what_came_before_a_reply_broke_off_is_given_first() {
        let failure = format!("{:?}", Failure::Unavailable("it broke off".into()));
        assert_eq!(all(reading(stream::iter([frames(vec![text("a")]), breaks_off()]), 9)).await, (vec![1], Some(failure.clone())));
        assert_eq!(all(reading(stream::iter([breaks_off()]), 9)).await, (vec![], Some(failure)));
        assert_eq!(all(reading(stream::iter([]), 9)).await, (vec![], None));
    }

    #[tokio::test]
    async fn a_reply_ends_at_the_last_token_of_the_budget() {
        let words = stream::repeat_with(|| frames(vec![text("word")]));
        let (counts, failure) = all(reading(words, 3)).await;
        assert_eq!(counts, [3]);
        assert!(failure.is_some_and(|why| why.contains("Exhausted") && why.contains("grants.llm.tokens")));
    }

    #[test]
    fn a_call_reads_a_few_replies_and_each_by_its_number() {
        let replies = Replies::default();
        for number in 1..=8 {
            replies.has_room().expect("there is room");
            assert_eq!(replies.add(reading(stream::iter([]), 9)), number);
        }
        assert!(matches!(replies.has_room(), Err(Failure::Exhausted(why)) if why.contains("8 replies")));
        assert!(replies.take(3).is_some() && replies.take(3).is_none() && replies.take(9).is_none());
        replies.has_room().expect("there is room again");
        assert_eq!(replies.add(reading(stream::iter([]), 9)), 9, "no number is used again");
    }
}
