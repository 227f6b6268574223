//! Goes along with a stream and gives every delta back.

use cofferdam_guest::{Delta, HookError, Opened, Opening, Plugin, Step, StreamHook};

struct NoopStream;

impl Plugin for NoopStream {
    const NAME: Option<&'static str> = Some("noop-stream");
}

impl StreamHook for NoopStream {
    fn open(_: Opening) -> Result<Opened<Self>, HookError> {
        Ok(Opened::Transform(Self))
    }

    fn push(&mut self, deltas: Vec<Delta>) -> Result<Step, HookError> {
        Ok(deltas.into())
    }
}

cofferdam_guest::export!(NoopStream: stream_hook);
