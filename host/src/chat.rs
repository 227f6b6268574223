//! The domain: what a conversation, an exchange and a reply are. Pure values in OpenAI's shape, which is the canonical form here.
//! There is no IO in it, and what it does not model survives as its JSON.

pub mod account;
pub mod channel;
pub mod chunk;
mod client;
pub mod codec;
pub mod collect;
pub mod completion;
pub mod coverage;
pub mod decode;
pub mod delta;
pub mod embedding;
pub mod error;
pub mod exchange;
pub mod frame;
pub mod gathered;
pub mod held;
mod limits;
pub mod message;
pub mod name;
pub mod reply;
pub mod sse;
pub mod status;
pub mod stream;
mod tries;
pub mod usage;

pub use account::Account;
pub use channel::{Channel, Said};
pub use chunk::{ChunkWriter, Name};
pub use client::Client;
pub use completion::{Choice, Completion};
pub use coverage::Coverage;
pub use delta::{Delta, Piece};
pub use embedding::{Embed, Embedded, Inputs};
pub use error::StreamError;
pub use exchange::{Deadline, Exchange, Hit, Kept, Metadata, RequestId, Skipped};
pub use frame::{Frame, Frames};
pub use limits::{CHOICES_MAX, HEAD_BYTES_MAX, Sizes};
pub use message::{Content, Fields, FunctionCall, Json, Message, Part, ToolCall};
pub use name::{NAME_RULE, is_hidden, is_name};
pub use reply::{FrameStream, Reply, ReplyStream, Whole};
pub use tries::Tries;
pub use usage::{Count, Usage};
