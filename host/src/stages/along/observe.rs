//! A stream hook that observes: every frame goes on as it came and at once, and the hook is handed a copy while the client reads. What comes while
//! too much waits for it is not shown to it, which is counted. A cut takes effect when it is known.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{Stream, StreamExt};

use super::stage::Stage;
use crate::chat::{Delta, FrameStream, Frames, StreamError};
use crate::sandbox::{Ending, Portion, Pushed, Step, StreamHook};
use crate::stages::seen::Seen;

struct Observe {
    /// None once the provider is hung up on.
    from: Option<FrameStream>,
    seat: Seat,
    stage: Arc<Stage>,
    /// None once the hook's work goes on without the reply.
    seen: Option<Seen>,
    /// What waits for the hook.
    waiting: Waiting,
    /// The last item is out.
    over: bool,
}

/// Where the hook is.
enum Seat {
    Resting(StreamHook),
    Pushing(Pin<Box<dyn Future<Output = (StreamHook, Pushed)> + Send>>),
    Gone,
}

struct Waiting {
    deltas: Vec<Delta>,
    bytes: usize,
    most: usize,
    of: Portion,
}

pub(super) fn stream(frames: FrameStream, hook: StreamHook, stage: Arc<Stage>, seen: Seen) -> FrameStream {
    let waiting = Waiting { deltas: Vec::new(), bytes: 0, most: hook.buffer(), of: hook.portion() };
    Box::pin(Observe { from: Some(frames), seat: Seat::Resting(hook), stage, seen: Some(seen), waiting, over: false })
}

/// A reply that its hook does not see, which is counted.
pub(super) fn unseen(frames: FrameStream, mut seen: Seen) -> FrameStream {
    Box::pin(frames.map(move |item| item.map(|frames| seen.passes(frames, |_| {}))))
}

impl Observe {
    /// Lets the hook go on; gives an error if it ends the reply.
    fn poll_hook(&mut self, cx: &mut Context<'_>) -> Option<StreamError> {
        loop {
            match std::mem::replace(&mut self.seat, Seat::Gone) {
                Seat::Gone => return None,
                Seat::Resting(hook) if self.waiting.deltas.is_empty() => {
                    self.seat = Seat::Resting(hook);
                    return None;
                }
                Seat::Resting(hook) => self.seat = Seat::Pushing(Box::pin(push(hook, self.waiting.take()))),
                Seat::Pushing(mut pushing) => match pushing.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.seat = Seat::Pushing(pushing);
                        return None;
                    }
                    Poll::Ready((hook, pushed)) => {
                        self.seen.iter_mut().for_each(|seen| seen.shown(pushed.shown));
                        match pushed.step {
                            Ok(Step::Cut(rejection)) => return Some(self.stage.cut(hook.plugin(), rejection)),
                            Ok(Step::Keep | Step::Emit(_)) => self.seat = Seat::Resting(hook),
                            Err(fault) => return self.stage.settle(fault),
                        }
                    }
                },
            }
        }
    }

    /// The client has its last frame and waits for nothing more, so the hook sees the rest and its end apart from the reply.
    fn farewell(&mut self, ending: Ending) {
        let seat = std::mem::replace(&mut self.seat, Seat::Gone);
        let (rest, stage) = (self.waiting.take(), self.stage.clone());
        let Some(mut seen) = self.seen.take() else { return };
        seen.tell();
        let rest = async move {
            let mut hook = match seat {
                Seat::Gone => return,
                Seat::Resting(hook) => hook,
                Seat::Pushing(pushing) => {
                    let (hook, pushed) = pushing.await;
                    seen.shown(pushed.shown);
                    match pushed.step {
                        Ok(Step::Keep | Step::Emit(_)) => hook,
                        step => return late(&stage, &hook, step),
                    }
                }
            };
            if !rest.is_empty() {
                let pushed = hook.push(rest).await;
                seen.shown(pushed.shown);
                match pushed.step {
                    Ok(Step::Keep | Step::Emit(_)) => {}
                    step => return late(&stage, &hook, step),
                }
            }
            // Nothing more is shown to it.
            drop(seen);
            match hook.close(ending).await {
                Ok((_, metadata)) => stage.left(metadata),
                Err(fault) => drop(stage.settle(fault)),
            }
        };
        self.stage.behind(rest);
    }
}

/// What comes too late to change anything is told to the operator.
fn late(stage: &Stage, hook: &StreamHook, step: Result<Step, crate::sandbox::Fault>) {
    match step {
        Ok(Step::Cut(rejection)) => drop(stage.cut(hook.plugin(), rejection)),
        Ok(Step::Keep | Step::Emit(_)) => {}
        Err(fault) => drop(stage.settle(fault)),
    }
}

async fn push(mut hook: StreamHook, deltas: Vec<Delta>) -> (StreamHook, Pushed) {
    let pushed = hook.push(deltas).await;
    (hook, pushed)
}

impl Waiting {
    fn take(&mut self) -> Vec<Delta> {
        self.bytes = 0;
        std::mem::take(&mut self.deltas)
    }

    /// Copies what is said, as far as there is room.
    fn note(&mut self, delta: &Delta) {
        let bytes = delta.bytes();
        if self.bytes + bytes <= self.most && self.of.concerns(std::slice::from_ref(delta)) {
            self.bytes += bytes;
            self.deltas.push(delta.clone());
        }
    }
}

impl Stream for Observe {
    type Item = Result<Frames, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if !this.over
            && let Some(error) = this.poll_hook(cx)
        {
            // Hung up on.
            (this.from, this.over) = (None, true);
            return Poll::Ready(Some(Err(error)));
        }
        let Some(from) = &mut this.from else { return Poll::Ready(None) };
        match ready!(from.as_mut().poll_next(cx)) {
            Some(Ok(frames)) => {
                let frames = match &mut this.seen {
                    Some(seen) => seen.passes(frames, |delta| this.waiting.note(delta)),
                    None => frames,
                };
                if frames.end {
                    this.over = true;
                    this.farewell(Ending::Finished);
                }
                Poll::Ready(Some(Ok(frames)))
            }
            Some(Err(error)) => {
                this.over = true;
                this.farewell(Ending::Broken);
                Poll::Ready(Some(Err(error)))
            }
            None => Poll::Ready(None),
        }
    }
}
