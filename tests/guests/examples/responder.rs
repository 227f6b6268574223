//! Answers in place of the model.

use cofferdam_guest::{HookError, Message, Plugin, PreOutcome, Request};

struct Responder;

impl Plugin for Responder {
    const NAME: Option<&'static str> = Some("responder");

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let question = request.last_user().map(|(_, message)| message.text()).unwrap_or_default();
        Ok(Message::assistant(format!("No model was asked: {question}")).into())
    }
}

cofferdam_guest::export!(Responder: pre_hook);
