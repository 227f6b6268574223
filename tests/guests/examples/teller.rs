//! Tells the log what it was told of an exchange, in one line. `teller_1.rs` and `teller_2.rs` are its versions.

use cofferdam_guest::{Exchange, HookError, Message, Plugin, Usage, log};

/// The end of the crate's name: `1` of `teller_1`.
const TELLER_VERSION: &str = env!("CARGO_CRATE_NAME").split_at("teller_".len()).1;

struct Teller;

impl Plugin for Teller {
    const NAME: Option<&'static str> = Some("teller");
    const VERSION: Option<&'static str> = Some(TELLER_VERSION);

    fn on_done(exchange: Exchange) -> Result<(), HookError> {
        let texts = |messages: &[Message]| messages.iter().map(Message::text).collect::<Vec<_>>().join("+");
        let (request, replies) = (texts(&exchange.request), texts(&exchange.replies));
        let Exchange { context, target, model, usage, status, error, timing, metadata, .. } = &exchange;
        let used = usage.as_ref().map_or(0, |Usage { prompt_tokens, completion_tokens, .. }| prompt_tokens + completion_tokens);
        let calls: Vec<String> = exchange.replies.iter().flat_map(|message| &message.tool_calls).map(|call| format!("{call:?}")).collect();
        let left: Vec<&str> = metadata.iter().map(|field| field.name.as_str()).collect();
        let sound = timing.first_byte_ms <= timing.total_ms && timing.started_at_ms > 1e12 && context.deadline_ms > 0;
        log::info(format!(
            "told by {TELLER_VERSION}: request={request} replies={replies} status={status} error={} caller={} streamed={} attempts={} target={} \
             model={model} used={used} truncated={} calls={} metadata={} sound={sound} pipeline={}",
            error.as_deref().unwrap_or("none"),
            exchange.caller(),
            context.streamed,
            context.attempt,
            target.as_deref().unwrap_or("none"),
            exchange.is_truncated(),
            calls.join("+"),
            left.join("+"),
            context.pipeline,
        ));
        Ok(())
    }
}

cofferdam_guest::export!(Teller: done_hook);
