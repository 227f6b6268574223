//! A stream hook that transforms: nothing of the reply goes on but what the hook gives back, and it is handed all that has arrived since its
//! last call. Every frame is written anew from what it was understood to say, so that no byte passes which the hook could not see.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt, stream};

use super::stage::{Stage, ping, stopped};
use crate::chat::{Delta, Frame, FrameStream, Frames, Piece, StreamError};
use crate::sandbox::{Ending, Pushed, Step, StreamHook};
use crate::stages::seen::Seen;

/// One hook between two streams.
struct Transform {
    /// None once the provider is hung up on.
    from: Option<FrameStream>,
    /// None once the hook was skipped.
    hook: Option<StreamHook>,
    stage: Arc<Stage>,
    seen: Seen,
    /// The names of the reply.
    head: Option<Delta>,
    /// Choices whose beginning has come.
    begun: HashSet<u32>,
    /// Ends of choices that came and that the hook has not let out: they go out if it is skipped.
    due: BTreeMap<u32, String>,
    /// What is the host's and waits for something to go with.
    held: Vec<Delta>,
    out: VecDeque<Result<Frames, StreamError>>,
    over: bool,
}

/// What has arrived.
struct Arrived {
    deltas: Vec<Delta>,
    end: Option<Result<(), StreamError>>,
}

pub(super) fn stream(frames: FrameStream, hook: StreamHook, stage: Arc<Stage>, seen: Seen) -> FrameStream {
    let transform = Transform {
        from: Some(frames),
        hook: Some(hook),
        stage,
        seen,
        head: None,
        begun: HashSet::new(),
        due: BTreeMap::new(),
        held: Vec::new(),
        out: VecDeque::new(),
        over: false,
    };
    Box::pin(stream::unfold(transform, |mut transform| async move { Some((transform.next().await?, transform)) }))
}

impl Transform {
    async fn next(&mut self) -> Option<Result<Frames, StreamError>> {
        loop {
            if let Some(item) = self.out.pop_front() {
                return Some(item);
            }
            if self.over {
                // What is behind the reply may finish.
                if let Some(mut from) = self.from.take() {
                    while from.next().await.is_some() {}
                }
                return None;
            }
            let Some(hook) = self.hook.take() else { return self.pass().await };
            let arrived = self.arrived(hook.buffer()).await;
            self.hook = self.push(hook, arrived).await;
        }
    }

    /// Without a hook.
    async fn pass(&mut self) -> Option<Result<Frames, StreamError>> {
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            return Some(Ok(Frames::from_iter([Frame::of(self.head.iter().cloned().chain(held).collect())])));
        }
        let item = self.from.as_mut()?.next().await?;
        Some(item.map(|frames| self.seen.passes(frames, |_| {})))
    }

    /// Waits for something, and takes along whatever else is there, up to a bound.
    async fn arrived(&mut self, most: usize) -> Arrived {
        let mut arrived = Arrived { deltas: Vec::new(), end: None };
        let mut bytes = 0;
        while arrived.end.is_none() {
            let Some(from) = &mut self.from else { break };
            let item = if bytes == 0 {
                from.next().await
            } else if bytes < most
                && let Some(item) = from.next().now_or_never()
            {
                item
            } else {
                break;
            };
            match item {
                Some(Ok(frames)) => {
                    bytes += frames.bytes().max(1);
                    let end = frames.end;
                    arrived.end = self.read(frames, &mut arrived.deltas).map_or_else(|error| Some(Err(error)), |()| end.then_some(Ok(())));
                }
                Some(Err(error)) => arrived.end = Some(Err(error)),
                None => arrived.end = Some(Err(stopped())),
            }
        }
        arrived
    }

    /// What the frames say; the reply's names and beginnings once.
    fn read(&mut self, frames: Frames, deltas: &mut Vec<Delta>) -> Result<(), StreamError> {
        for mut frame in frames {
            frame.deltas()?;
            for delta in frame.into_parts().1 {
                self.seen.came(&delta);
                match &delta {
                    Delta::Head { .. } => {
                        self.head.get_or_insert(delta);
                        continue;
                    }
                    Delta::Piece { choice, piece: Piece::Begin } if !self.begun.insert(*choice) => continue,
                    _ => deltas.push(delta),
                }
            }
        }
        Ok(())
    }

    /// The hook, if it goes on.
    async fn push(&mut self, mut hook: StreamHook, arrived: Arrived) -> Option<StreamHook> {
        let Arrived { deltas, end } = arrived;
        if deltas.is_empty() && end.is_none() {
            self.out.push_back(Ok(ping()));
            return Some(hook);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend(deltas);
        let mut goes_on = true;
        if hook.portion().concerns(&all) {
            let Pushed { deltas, step, shown } = hook.push(all).await;
            self.seen.shown(shown);
            all = match step {
                Ok(Step::Keep) => deltas,
                Ok(Step::Emit(list)) => {
                    self.due.extend(ends(&deltas));
                    ends(&list).for_each(|(choice, _)| drop(self.due.remove(&choice)));
                    hosts(deltas).chain(list).collect()
                }
                Ok(Step::Cut(rejection)) => {
                    let error = self.stage.cut(hook.plugin(), rejection);
                    self.break_off(error);
                    return None;
                }
                Err(fault) => match self.stage.settle(fault) {
                    Some(error) => {
                        self.break_off(error);
                        return None;
                    }
                    None => {
                        goes_on = false;
                        self.overdue().chain(deltas).collect()
                    }
                },
            };
        } else {
            hook.pass(&mut all);
        }
        match end {
            None => self.send(all, false),
            Some(end) if goes_on => {
                self.close(hook, all, end).await;
                return None;
            }
            Some(end) => self.finish(all, end),
        }
        goes_on.then_some(hook)
    }
}

impl Transform {
    /// The hook's last words.
    async fn close(&mut self, hook: StreamHook, mut all: Vec<Delta>, end: Result<(), StreamError>) {
        let plugin = hook.plugin().clone();
        let ending = if end.is_ok() { Ending::Finished } else { Ending::Broken };
        match hook.close(ending).await {
            Ok((Step::Keep, metadata)) => self.stage.left(metadata),
            Ok((Step::Emit(list), metadata)) => {
                self.stage.left(metadata);
                all.extend(list);
            }
            Ok((Step::Cut(rejection), metadata)) => {
                self.stage.left(metadata);
                // What it let go before goes first.
                self.send(all, false);
                let error = self.stage.cut(&plugin, rejection);
                return self.break_off(error);
            }
            Err(fault) => {
                if let Some(error) = self.stage.settle(fault) {
                    self.send(all, false);
                    return self.break_off(error);
                }
                all.extend(self.overdue());
            }
        }
        self.finish(all, end);
    }

    /// The ends that a hook which is no longer there has kept.
    fn overdue(&mut self) -> impl Iterator<Item = Delta> + use<> {
        std::mem::take(&mut self.due).into_iter().map(|(choice, reason)| Delta::Piece { choice, piece: Piece::Finish(reason) })
    }

    fn finish(&mut self, all: Vec<Delta>, end: Result<(), StreamError>) {
        match end {
            Ok(()) => self.send(all, true),
            Err(error) => {
                self.send(all, false);
                self.out.push_back(Err(error));
            }
        }
        self.over = true;
    }

    /// The reply ends here: the provider is hung up on, and the error is the last item.
    fn break_off(&mut self, error: StreamError) {
        self.from = None;
        self.over = true;
        self.out.push_back(Err(error));
    }

    /// What says something goes out; what is the host's waits for it, so that a refusal may still have its status.
    fn send(&mut self, deltas: Vec<Delta>, end: bool) {
        if !end && !deltas.iter().any(Delta::says_something) {
            self.held = deltas;
            self.hold_little();
            return;
        }
        let head = self.head.iter().cloned();
        let mut frames = Frames::from_iter([Frame::of(head.chain(deltas).collect())]);
        frames.end = end;
        self.out.push_back(Ok(frames));
    }

    /// The last usage counts, and a field once; a provider cannot fill the memory with others while a hook holds its text back.
    fn hold_little(&mut self) {
        let mut usage = false;
        let mut fields = HashSet::new();
        let mut held: Vec<Delta> = std::mem::take(&mut self.held).into_iter().rev().collect();
        held.retain_mut(|delta| match delta {
            Delta::Usage(_) | Delta::UsageJson(_) => !std::mem::replace(&mut usage, true),
            Delta::Fields(of) => {
                of.retain(|(name, _)| fields.len() < FIELDS_MAX && fields.insert(name.clone()));
                !of.is_empty()
            }
            Delta::Piece { piece: Piece::Begin, .. } => true,
            _ => false,
        });
        held.reverse();
        self.held = held;
    }
}

/// Fields of a reply, as `service_tier`, that wait for something to go out with.
const FIELDS_MAX: usize = 16;

/// The choices that end with these, each with its reason.
fn ends(deltas: &[Delta]) -> impl Iterator<Item = (u32, String)> {
    deltas.iter().filter_map(|delta| match delta {
        Delta::Piece { choice, piece: Piece::Finish(reason) } => Some((*choice, reason.clone())),
        _ => None,
    })
}

/// Of what was pushed, what no hook is shown and none can take away: beginnings, usage and fields of the whole reply. What stands beside a
/// delta, such as `logprobs`, spells out its text and goes with it.
fn hosts(deltas: Vec<Delta>) -> impl Iterator<Item = Delta> {
    deltas.into_iter().filter(|delta| match delta {
        Delta::Piece { piece, .. } => matches!(piece, Piece::Begin),
        Delta::Head { .. } | Delta::Usage(_) | Delta::UsageJson(_) | Delta::Fields(_) => true,
    })
}
