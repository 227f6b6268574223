//! A filter with settings of every kind, which does with a request and with a reply what the user's last words say.

use cofferdam_guest::{Changes, HookError, Message, Plugin, PostOutcome, PreOutcome, Rejection, Reply, Request, config};

struct Valved;

impl Plugin for Valved {
    const NAME: Option<&'static str> = Some("valved");
    const CONFIG_SCHEMA: Option<&'static str> = Some(
        r##"{"type": "object", "additionalProperties": false, "$defs": {"Mode": {"enum": ["soft", "hard"], "default": "soft"}}, "properties": {
            "prefix": {"type": "string", "default": "in: "},
            "max_turns": {"type": "integer", "minimum": 1, "default": 10, "title": "Turns", "description": "At most."},
            "ratio": {"type": "number", "default": 0.5},
            "strict": {"type": "boolean", "default": false},
            "words": {"type": "array", "items": {"type": "string"}},
            "mode": {"$ref": "#/$defs/Mode"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "token": {"type": "string", "minLength": 8, "writeOnly": true}
        }}"##,
    );

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let Some((index, message)) = request.last_user() else { return Ok(PreOutcome::unchanged()) };
        let said = |text: String| PreOutcome::from(Changes::new().replace(index, Message::user(text)));
        let known = |name: &str| request.metadata_json(name).unwrap_or("none").to_owned();
        Ok(match message.text().as_str() {
            "refuse" => Rejection::new(429, "too_fast", "Slow down, please.").retry_after(7).into(),
            "answer" => Message::assistant("I answer myself.").into(),
            "fail" => return Err("it was told to fail".into()),
            "settings" => said(config::all()),
            "who" => {
                said(["user", "chat_id", "message_id", "session_id", "task"].map(|name| known(&format!("openwebui.{name}"))).join(" "))
            }
            "nothing" => PreOutcome::unchanged(),
            "params" => Changes::new().param("temperature", 0.25).remove_param("features").model("other").into(),
            text => {
                let prefix = config::get("prefix").unwrap_or_default();
                let prefix = prefix.trim_matches('"');
                said(format!("{prefix}{text}"))
            }
        })
    }

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        let refused = reply.choices.iter().any(|choice| choice.message.text() == "refuse");
        if refused {
            return Ok(Rejection::new(422, "bad_words", "Not like that.").into());
        }
        let changed = reply.map_messages(|message| {
            let text = message.text();
            let changes = text != "nothing";
            if changes {
                message.set_text(format!("{text} (out)"));
            }
            changes
        });
        Ok(changed.into())
    }
}

cofferdam_guest::export!(Valved: pre_hook, post_hook);
