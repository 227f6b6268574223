//! Makes every change that a pre-hook can make; the last user message says which.

use cofferdam_guest::{Changes, HookError, Message, Plugin, PreOutcome, Request};

struct Edits;

impl Plugin for Edits {
    const NAME: Option<&'static str> = Some("edits");

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let Some((index, message)) = request.last_user() else {
            return Err("the user says nothing".into());
        };
        let changes = Changes::new();
        let length = u32::try_from(request.messages.len()).map_err(|error| error.to_string())?;
        let changes = match message.text().as_str() {
            "replace" => changes.replace(index, Message::user("replaced")),
            "insert" => changes.insert(0, Message::system("inserted")),
            "append" => changes.insert(length, Message::user("appended")),
            "remove" => changes.remove(0),
            // The second edit sees the list as the first one left it.
            "chain" => changes.insert(0, Message::system("first")).replace(index + 1, Message::user("second")).remove(0),
            "all" => changes.messages(vec![Message::system("all"), Message::user("new")]),
            "none" => changes.messages(Vec::new()),
            "replace beyond" => changes.replace(length, Message::user("beyond")),
            "insert beyond" => changes.insert(length + 1, Message::user("beyond")),
            "remove beyond" => changes.remove(u32::MAX),
            "model" => changes.model("other-model"),
            "params" => changes.param("temperature", 0.25).remove_param("top_p"),
            "metadata" => changes.metadata("seen", "a \"quoted\" word").metadata("count", 3).remove_metadata("old"),
            "image" => changes.replace(index, Message::user("looked at")),
            "answer" => return Ok(Message::assistant("answered").into()),
            target if target.starts_with("target ") => changes.target(&target["target ".len()..]),
            other => return Err(format!("no such edit: {other}").into()),
        };
        Ok(changes.into())
    }
}

cofferdam_guest::export!(Edits: pre_hook);
