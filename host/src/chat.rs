//! The domain: what a conversation, an exchange and a reply are. Pure values in OpenAI's shape, which is the canonical form here.
//! Must not know: HTTP, WebAssembly, SQL, any provider; no IO and no third-party types but `bytes`, `futures` streams and `serde_json`.

pub mod codec;
pub mod delta;
pub mod embedding;
pub mod exchange;
mod limits;
pub mod message;
pub mod reply;
pub mod stream;
pub mod usage;

pub use delta::{ChunkWriter, Delta, Name, Piece};
pub use embedding::{Embed, Embedded, Inputs};
pub use exchange::{Deadline, Exchange, Hit, Metadata, RequestId, Tries};
pub use limits::{CHOICES_MAX, HEAD_BYTES_MAX};
pub use message::{Content, Fields, FunctionCall, Json, Message, Part, ToolCall};
pub use reply::{Choice, Completion, Pieces, Reply, StreamError, Whole};
pub use usage::Usage;
