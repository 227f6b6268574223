//! Masks personal data before the model sees it and restores it in the reply. The pre-hook puts placeholders in the place of what it finds and leaves
//! the mapping in the metadata, which never leaves the gateway; the stream hook and the post-hook read it there. A placeholder that a user wrote
//! himself stands for nothing.

mod conversation;
mod find;
mod json;
mod machine;
mod mapping;
mod mask;
mod placeholder;
mod reply;
mod restore;
mod settings;
mod street;
mod titled;
mod words;

use cofferdam_guest::{
    Delta, Ending, Farewell, HookError, Opened, Opening, Plugin, PostOutcome, PreOutcome, Reply, Request, Step, StreamHook, export,
};
use reply::Restorer;
use settings::Settings;

/// Along a stream.
struct MaskPii(Restorer);

impl Plugin for MaskPii {
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("settings.schema.json"));
    /// All that the model is told and says, for personal data is in any of it.
    const READS: Option<&'static [&'static str]> = Some(&["messages", "params", "reply", "metadata.mask_pii", "metadata.mask_pii_json"]);
    const WRITES: Option<&'static [&'static str]> = Some(&[
        "messages",
        "params.user",
        "params.safety_identifier",
        "params.metadata",
        "params.prediction",
        "reply",
        "metadata.mask_pii",
        "metadata.mask_pii_json",
    ]);

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        mask::masked(request, &Settings::read()?)
    }

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        let Some(restorer) = Restorer::new(&reply.metadata)? else { return Ok(PostOutcome::keep()) };
        Ok(reply.map_messages(|message| restorer.message(message)).into())
    }
}

impl StreamHook for MaskPii {
    fn open(opening: Opening) -> Result<Opened<Self>, HookError> {
        Ok(Restorer::new(&opening.metadata)?.map_or(Opened::Skip, |restorer| Opened::Transform(Self(restorer))))
    }

    fn push(&mut self, deltas: Vec<Delta>) -> Result<Step, HookError> {
        Ok(self.0.push(deltas).into())
    }

    fn close(&mut self, _: Ending) -> Result<Farewell, HookError> {
        Ok(self.0.close().into())
    }
}

export!(MaskPii: pre_hook, post_hook, stream_hook);

#[cfg(test)]
mod tests;
