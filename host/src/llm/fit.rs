//! A request in forms that the vendor's dialect has, for what OpenAI's API has in several: custom tools, the functions that were before tools,
//! pictures in the results of tools, whole numbers, one call at a time. The reply comes back in the form that the client used.
//! Invariant: a request without any of these, and its reply, pass untouched and uncopied.

mod allowed;
mod back;
mod custom;
mod excerpts;
mod functions;
mod input;
mod numbers;
mod param;
mod results;

use std::borrow::Cow;

use super::adapter::Takes;
use crate::chat::{Fields, Message};

use param::param;

pub(super) use back::Back;
pub(super) use results::hoisted;

/// A request as the dialect takes it.
pub(super) struct Fitted<'a> {
    pub(super) messages: Cow<'a, [Message]>,
    pub(super) params: Cow<'a, Fields>,
    /// Undoes it in the reply.
    pub(super) back: Back,
}

/// The request for a dialect that takes no more than `takes`.
pub(super) fn fitted<'a>(messages: &'a [Message], params: &'a Fields, takes: Takes) -> Fitted<'a> {
    let mut fitted = Fitted { messages: messages.into(), params: Cow::Borrowed(params), back: Back::default() };
    if !takes.functions {
        fitted.back.old = functions::as_tools(&mut fitted.messages, &mut fitted.params);
    }
    if !takes.custom_tools {
        fitted.back.custom = custom::as_functions(&mut fitted.messages, &mut fitted.params);
    }
    if !takes.allowed_tools {
        allowed::as_list(&mut fitted.params);
    }
    if !takes.one_call && param(&fitted.params, "parallel_tool_calls") == Some("false") {
        fitted.params.to_mut().retain(|(name, _)| name != "parallel_tool_calls");
        fitted.back.one_call = true;
    }
    if !takes.any_numbers {
        numbers::as_whole(&mut fitted.params);
    }
    if !takes.media_in_results
        && let Some(messages) = hoisted(&fitted.messages)
    {
        fitted.messages = messages.into();
    }
    fitted
}

impl Fitted<'_> {
    /// Keeps what retrieval found, which `code` marks, directly before the question, and a cache of the prompt before both.
    pub(super) fn keep_excerpts(&mut self, code: Option<&str>, takes: Takes) {
        let Some(at) = code.and_then(|code| excerpts::place(&self.messages, code)) else { return };
        if !takes.system_anywhere {
            excerpts::as_user(&mut self.messages, at);
        }
        excerpts::move_marks(&mut self.messages, &mut self.params, at);
    }
}

#[cfg(test)]
mod tests;
