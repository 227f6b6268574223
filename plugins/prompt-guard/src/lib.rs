//! Screens for attempts to take a model over. The pre-hook reads what users and tools say and scores it by a list of rules; the stream hook reads the
//! reply for images whose URL carries data away, which a client would fetch unasked. Rejects, or tells it in `metadata`. A screen is no
//! proof: what passes is not thereby harmless.

mod covert;
mod images;
mod normal;
mod pattern;
mod rules;
mod screen;
mod settings;
mod url;

use cofferdam_guest::{
    Changes, Delta, Ending, Farewell, HookError, Opened, Opening, Plugin, PreOutcome, Rejection, Request, Step, StreamHook, Texts, config,
    export, log,
};
use images::Images;
use screen::{Screen, Verdict};
use settings::{Action, Settings, wrong};

/// Along a stream.
struct PromptGuard {
    images: Images,
    texts: Texts,
    action: Action,
}

/// Where the hooks tell what they found.
const FINDING: &str = "prompt_guard";
const REPLY_FINDING: &str = "prompt_guard_reply";

impl Plugin for PromptGuard {
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("settings.schema.json"));
    /// It looks at words alone, and changes none.
    const READS: Option<&'static [&'static str]> = Some(&["messages.text", "reply.text", "reply.refusal", "reply.reasoning"]);
    const WRITES: Option<&'static [&'static str]> = Some(&["reject", "metadata.prompt_guard", "metadata.prompt_guard_reply"]);

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let settings = Settings::read()?;
        let screen = Screen::new(&settings.off, &settings.rules).map_err(|reason| wrong(&reason))?;
        let said = request.messages.iter().filter_map(|message| match message.role.as_str() {
            "user" => Some((message.text(), false)),
            "tool" | "function" => Some((message.text(), true)),
            _ => None,
        });
        let worst = said.map(|(text, tool)| screen.judge(&text, tool)).max_by_key(|verdict| verdict.score).unwrap_or_default();
        let Verdict { score, rules } = &worst;
        if *score < settings.threshold {
            return Ok(PreOutcome::unchanged());
        }
        let rules = rules.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        log::warn(format_args!("a message scores {score} of {} by {rules}", settings.threshold));
        match settings.action {
            Action::Reject => {
                let message = format!("The message looks like an attempt to change what the model was told to do ({rules}).");
                Ok(Rejection::new(400, "prompt_injection", message).into())
            }
            Action::Tag => {
                let finding = serde_json::json!({"score": score, "rules": worst.rules});
                Ok(Changes::new().metadata(FINDING, finding).into())
            }
        }
    }
}

impl StreamHook for PromptGuard {
    fn open(_: Opening) -> Result<Opened<Self>, HookError> {
        let Settings { action, reply, image_hosts, .. } = config::read()?;
        if !reply {
            return Ok(Opened::Skip);
        }
        let hook = Self { images: Images::new(image_hosts), texts: Texts::default(), action };
        Ok(if action == Action::Tag { Opened::Observe(hook) } else { Opened::Transform(hook) })
    }

    fn push(&mut self, deltas: Vec<Delta>) -> Result<Step, HookError> {
        let out = self.texts.push(deltas, |tail, last| self.images.decided(tail, last));
        Ok(self.cut().map_or_else(|| if self.action == Action::Tag { Step::Keep } else { out.into() }, Step::Cut))
    }

    fn close(&mut self, _: Ending) -> Result<Farewell, HookError> {
        let out = self.texts.close(|tail, last| self.images.decided(tail, last));
        Ok(match (self.cut(), self.action, &self.images.found) {
            (Some(rejection), ..) => rejection.into(),
            (None, Action::Tag, Some(_)) => Farewell::default().metadata(REPLY_FINDING, "image_carries_data"),
            (None, Action::Tag, None) => Farewell::default(),
            (None, Action::Reject, _) => out.into(),
        })
    }
}

impl PromptGuard {
    /// The end of the reply, if something was found that ends it.
    fn cut(&self) -> Option<Rejection> {
        let url = self.images.found.as_ref().filter(|_| self.action == Action::Reject)?;
        log::warn(format_args!("a reply was cut at an image from {}", url::host(url).as_deref().unwrap_or("a host that is no name")));
        let message = "The reply was cut at an image whose address would have carried data to another host.";
        Some(Rejection::new(403, "image_carries_data", message))
    }
}

export!(PromptGuard: pre_hook, stream_hook);

#[cfg(test)]
mod tests;
