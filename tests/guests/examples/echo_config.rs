//! Answers with its configuration: all of it, and on a second line what the key that the user names holds.

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, Request, config};

struct EchoConfig;

impl Plugin for EchoConfig {
    const NAME: Option<&'static str> = Some("echo-config");
    const CONFIG_SCHEMA: Option<&'static str> = Some(r#"{"type":"object"}"#);

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let key = request.last_user().map(|(_, message)| message.text()).unwrap_or_default();
        let value = config::get(&key).unwrap_or_else(|| "none".to_owned());
        Ok(Message::assistant(format!("{}\n{value}", config::all())).into())
    }
}

cofferdam_guest::export!(EchoConfig: pre_hook);
