//! Lets users write in their own language and asks the model in another: the user's last message is translated before, and the reply back
//! after, a stream sentence by sentence. The translating is done by a model that the operator grants. What is translated is never followed.

mod ask;
mod sentences;

use std::collections::BTreeMap;

use ask::Config;
use cofferdam_guest::{
    Changes, Delta, Ending, Farewell, HookError, Opened, Opening, Piece, Plugin, PostOutcome, PreOutcome, Reply, Request, Step, StreamHook,
    Tail, config, export,
};

/// Where the pre-hook leaves the user's language for the hooks after it.
const KEY: &str = "translate";

/// Along a stream: the user's language, and the text of each choice that is no whole sentence yet.
struct Translate {
    config: Config,
    language: String,
    texts: BTreeMap<u32, Tail>,
}

impl Plugin for Translate {
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("config.schema.json"));

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let config = config::read::<Config>()?;
        let Some((at, message)) = request.last_user() else { return Ok(PreOutcome::unchanged()) };
        let Some((language, text)) = config.to_target(&message.text())? else { return Ok(PreOutcome::unchanged()) };
        let mut message = message.clone();
        message.set_text(text);
        Ok(Changes::new().replace(at, message).metadata(KEY, language).into())
    }

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        let Some(language) = language(reply.metadata_json(KEY)) else { return Ok(PostOutcome::keep()) };
        let config = config::read::<Config>()?;
        let mut failed = None;
        let replaced = reply.map_text(|text| match config.back(text, &language) {
            // Half a translation is none, so nothing more is paid for.
            _ if failed.is_some() => None,
            Ok(text) => Some(text),
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        failed.map_or(Ok(replaced.into()), Err)
    }
}

impl StreamHook for Translate {
    fn open(opening: Opening) -> Result<Opened<Self>, HookError> {
        let left = opening.metadata.iter().find(|field| field.name == KEY);
        let Some(language) = language(left.map(|field| field.value.as_str())) else { return Ok(Opened::Skip) };
        Ok(Opened::Transform(Self { config: config::read::<Config>()?, language, texts: BTreeMap::new() }))
    }

    fn push(&mut self, deltas: Vec<Delta>) -> Result<Step, HookError> {
        let mut out = Vec::new();
        // All of a choice's text first: what came together is translated together.
        for Delta { choice, piece } in deltas {
            match piece {
                Piece::Text(text) => self.texts.entry(choice).or_default().push(&text),
                piece @ (Piece::Finish(_) | Piece::ToolCall(_)) => {
                    self.let_go(choice, true, &mut out)?;
                    out.push(Delta { choice, piece });
                }
                piece => out.push(Delta { choice, piece }),
            }
        }
        for choice in self.texts.keys().copied().collect::<Vec<_>>() {
            self.let_go(choice, false, &mut out)?;
        }
        Ok(out.into())
    }

    fn close(&mut self, _: Ending) -> Result<Farewell, HookError> {
        let mut out = Vec::new();
        for choice in self.texts.keys().copied().collect::<Vec<_>>() {
            self.let_go(choice, true, &mut out)?;
        }
        Ok(out.into())
    }
}

impl Translate {
    /// Translates the whole sentences of a choice, or at its end all that is left.
    fn let_go(&mut self, choice: u32, last: bool, out: &mut Vec<Delta>) -> Result<(), HookError> {
        let Some(tail) = self.texts.get_mut(&choice) else { return Ok(()) };
        let text = if last { tail.take() } else { tail.take_to(sentences::whole(tail.as_str(), self.config.batch)) };
        if !text.is_empty() {
            out.push(Delta { choice, piece: Piece::Text(self.config.back(&text, &self.language)?) });
        }
        Ok(())
    }
}

/// The text of a JSON string that the pre-hook left.
fn language(json: Option<&str>) -> Option<String> {
    serde_json::from_str(json?).ok()
}

export!(Translate: pre_hook, post_hook, stream_hook);

#[cfg(test)]
mod tests;
