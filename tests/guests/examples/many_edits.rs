//! Asks for more edits than anybody needs: applying each would shift all messages, on the host's time.

use cofferdam_guest::{Changes, HookError, Message, Plugin, PreOutcome, Request};

struct ManyEdits;

impl Plugin for ManyEdits {
    const NAME: Option<&'static str> = Some("many-edits");

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let text = request.last_user().map(|(_, message)| message.text()).unwrap_or_default();
        let (what, number) = text.split_once(' ').ok_or("say what and how many")?;
        let number: usize = number.parse().map_err(|_| "that is no number")?;
        let changes = (0..number).fold(Changes::new(), |changes, i| match what {
            "edits" => changes.insert(0, Message::user("again")),
            "params" => changes.param(&format!("p{i}"), i as u64),
            _ => changes.metadata(&format!("m{i}"), i as u64),
        });
        Ok(changes.into())
    }
}

cofferdam_guest::export!(ManyEdits: pre_hook);
