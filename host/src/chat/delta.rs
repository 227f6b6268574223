//! One piece of a streamed reply, whichever provider it came from. Deltas model what hooks and surfaces look at and keep everything else as its
//! JSON, so that a chunk which is decoded and encoded again loses nothing.

use super::{Fields, Json, Usage};

/// A piece of what one event of a stream says.
#[derive(Clone, Debug)]
pub enum Delta {
    /// The provider's names for the reply; `created` is in seconds since 1970. The first of each counts, an empty one does not.
    Head { id: Option<String>, model: Option<String>, created: Option<u64> },
    /// More of one choice.
    Piece { choice: u32, piece: Piece },
    /// Tokens used so far; the last usage of a reply counts.
    Usage(Usage),
    /// The same in OpenAI's JSON, which may count more than [`Usage`] does.
    UsageJson(Json),
    /// Fields of the chunk that are not modelled, such as `service_tier`.
    Fields(Fields),
}

/// More of one choice.
#[derive(Clone, Debug)]
pub enum Piece {
    /// The choice begins: the assistant's role, and no content yet.
    Begin,
    Text(String),
    /// The model's reasoning in words, as `reasoning_content`.
    Reasoning(String),
    /// The same as `reasoning`, the name that other servers have for it. Where both names have texts that differ, each is a text of its own.
    Thought(String),
    Refusal(String),
    /// A tool call begins. `index` counts the calls of this choice from 0.
    Call {
        index: u32,
        id: String,
        name: String,
        extra: Fields,
    },
    /// More of that call's arguments, which together are a JSON text.
    Arguments {
        index: u32,
        text: String,
    },
    /// Fields of the `delta` object that are not modelled, such as `annotations`.
    Fields(Fields),
    /// Fields beside the `delta` object that are not modelled, such as `logprobs`; they belong to the pieces of the same frame.
    Beside(Fields),
    /// The last piece of the choice, with OpenAI's word for the reason.
    Finish(String),
}

impl Delta {
    /// Bytes that it holds, roughly: its own, and those of its texts and fields.
    pub fn bytes(&self) -> usize {
        let fields = |fields: &Fields| fields.iter().map(|(name, value)| name.len() + value.get().len()).sum();
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let held = match self {
            Self::Head { id, model, .. } => text(id) + text(model),
            Self::Usage(_) => 0,
            Self::UsageJson(json) => json.get().len(),
            Self::Fields(extra) => fields(extra),
            Self::Piece { piece, .. } => match piece {
                Piece::Begin => 0,
                Piece::Text(text) | Piece::Reasoning(text) | Piece::Thought(text) | Piece::Refusal(text) | Piece::Finish(text) => {
                    text.len()
                }
                Piece::Call { id, name, extra, .. } => id.len() + name.len() + fields(extra),
                Piece::Arguments { text, .. } => text.len(),
                Piece::Fields(extra) | Piece::Beside(extra) => fields(extra),
            },
        };
        size_of::<Self>() + held
    }

    /// Whether a client that sees it has seen something of the answer. Until then another provider can take over.
    pub fn says_something(&self) -> bool {
        match self {
            Self::Head { .. } | Self::Usage(_) | Self::UsageJson(_) | Self::Fields(_) => false,
            Self::Piece { piece, .. } => match piece {
                Piece::Begin | Piece::Beside(_) => false,
                Piece::Text(text) | Piece::Reasoning(text) | Piece::Thought(text) | Piece::Refusal(text) => !text.is_empty(),
                Piece::Call { .. } | Piece::Arguments { .. } | Piece::Fields(_) | Piece::Finish(_) => true,
            },
        }
    }
}
