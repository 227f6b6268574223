//! Write a plugin for Cofferdam in Rust: implement [`Plugin`], name its hooks in [`export!`], build for `wasm32-wasip2`.
//!
//! ```no_run
//! use cofferdam_guest::{Changes, HookError, Message, Plugin, PreOutcome, Rejection, Request};
//!
//! /// Greets whoever says nothing, keeps shouting out, and tells the model to be short.
//! struct Manners;
//!
//! impl Plugin for Manners {
//!     fn on_request(request: Request) -> Result<PreOutcome, HookError> {
//!         let Some((_, message)) = request.last_user() else {
//!             return Ok(Message::assistant("Hello! What can I do for you?").into());
//!         };
//!         if message.text().ends_with("!!!") {
//!             return Ok(Rejection::new(400, "shouting", "Please say that again, in a lower voice.").into());
//!         }
//!         Ok(Changes::new().insert(0, Message::system("Be short.")).metadata("manners", true).into())
//!     }
//! }
//!
//! cofferdam_guest::export!(Manners: pre_hook);
//! ```
//!
//! The plugin's name, version and summary come from its `Cargo.toml`. Every call runs in a fresh instance: statics start anew each
//! time, and what a post-hook shall know travels in `metadata`. The types are those of `wit/`, whose comments are the manual.
//!
//! A `done_hook` is told of each exchange when it is over, whole or not:
//!
//! ```
//! use cofferdam_guest::{Exchange, HookError, Message, Plugin, log};
//!
//! /// Notes who got no answer, and how long answers take.
//! struct Watch;
//!
//! impl Plugin for Watch {
//!     fn on_done(exchange: Exchange) -> Result<(), HookError> {
//!         match &exchange.error {
//!             Some(code) => log::warn(format!("{} got {}: {code}", exchange.caller(), exchange.status)),
//!             None => log::info(format!("{} bytes in {} ms", exchange.text().len(), exchange.timing.total_ms)),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! cofferdam_guest::export!(Watch: done_hook);
//! # use cofferdam_guest::testing;
//! # assert_eq!(Watch::on_done(testing::exchange(vec![Message::user("hi")], "hello")), Ok(()));
//! ```
//!
//! On a native target nothing is exported, [`log`] writes to standard error, [`config`] reads what [`testing::set_config`] left, and [`http`],
//! [`llm`] and [`knowledge`] answer what [`testing::set_http`], [`testing::set_llm`] and [`testing::set_knowledge`] say:
//! `cargo test` can call a plugin's hooks as the functions that they are.

pub mod answer;
#[doc(hidden)]
pub mod bindings;
mod changes;
pub mod config;
mod done;
mod error;
mod export;
pub mod http;
mod json;
pub mod knowledge;
pub mod kv;
pub mod llm;
pub mod log;
mod message;
pub mod metrics;
mod plugin;
mod reply;
mod request;
mod stream;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[doc(hidden)]
pub use plugin::describe;

pub use bindings::answers::exports::cofferdam::hooks::model::{AnswerError, Info as ModelInfo, Question};
pub use bindings::done::exports::cofferdam::hooks::done_hook::{Exchange, Timing};
pub use bindings::imports::cofferdam::hooks::shapes::{
    Context, Data, Delta, Failure, Field, FieldChange, FunctionCall, HookError, Message, Part, Piece, Rejection, TextPart, ToolCall,
    ToolCallPiece, Usage,
};
pub use bindings::post::exports::cofferdam::hooks::post_hook::{Choice, Outcome as PostOutcome, Replaced, Replacement, Reply};
pub use bindings::pre::exports::cofferdam::hooks::pre_hook::{Changes, Edit, MessagesChange, Outcome as PreOutcome, Placed, Request};
pub use bindings::stream::exports::cofferdam::hooks::stream_hook::{Ending, Farewell, Opening, Step};
pub use json::Json;
pub use plugin::{Package, Plugin};
pub use stream::{Opened, StreamHook, Tail, Texts};
