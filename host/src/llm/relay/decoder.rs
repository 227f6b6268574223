//! From a provider's events to the client's: forwarded as they came where the dialect is OpenAI's own and nothing is wrong, written anew where
//! it is not. Bytes in, framed events out. Must not know sockets or time.

use bytes::{Bytes, BytesMut};

use crate::chat::codec::in_one_line;
use crate::chat::{ChunkWriter, Delta, Piece};
use crate::llm::adapter::{DecodeError, ReplyDecoder};
use crate::llm::meter::Tally;
use crate::llm::providers::openai::{OpenAiNormalizer, Passed};
use crate::llm::sse::frames;

/// What ends a stream that ended well.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// How one stream is read.
pub(in crate::llm) enum StreamDecoder {
    OpenAiNormalizer(Box<OpenAiNormalizer>),
    Translated { reader: Box<dyn ReplyDecoder>, writer: ChunkWriter, says_something: bool },
}

impl StreamDecoder {
    pub(in crate::llm) fn translated(reader: Box<dyn ReplyDecoder>, writer: ChunkWriter) -> Self {
        Self::Translated { reader, writer, says_something: false }
    }

    /// Whether something of the answer has been heard.
    pub(in crate::llm) fn says_something(&self) -> bool {
        match self {
            Self::OpenAiNormalizer(shaped) => shaped.says_something(),
            Self::Translated { says_something, .. } => *says_something,
        }
    }

    /// Appends to `out` what the whole events in `block` say.
    ///
    /// # Errors
    /// An event that ends the stream; what was appended before it still counts.
    pub(in crate::llm) fn hear(&mut self, block: Bytes, out: &mut Out, tally: &mut Tally) -> Result<(), DecodeError> {
        match self {
            Self::OpenAiNormalizer(shaped) => forward(shaped, block, out, tally),
            Self::Translated { reader, writer, says_something } => {
                let mut deltas = Vec::new();
                let mut heard = Ok(());
                for frame in frames(&block) {
                    match frame.data.as_deref().map(<[u8]>::trim_ascii) {
                        None | Some(b"") => {}
                        // `[DONE]` too: where nothing else ends a stream, its reader waits for it.
                        Some(data) => heard = reader.event(data, &mut deltas),
                    }
                    if heard.is_err() {
                        break;
                    }
                }
                *says_something |= write(writer, deltas, out, tally);
                heard
            }
        }
    }

    /// No event follows; `marked` if the provider said so with `[DONE]`. Appends what was held back and the end mark; false if the stream was
    /// not complete.
    pub(in crate::llm) fn end(&mut self, marked: bool, out: &mut Out, tally: &mut Tally) -> bool {
        match self {
            Self::OpenAiNormalizer(shaped) => {
                // Some servers forget the mark; a finish reason for every choice says as much.
                if !marked && !shaped.finished() {
                    return false;
                }
                while let Some(chunk) = shaped.end() {
                    out.event(&chunk);
                }
                shaped.tell(tally);
            }
            Self::Translated { reader, writer, says_something } => {
                let mut deltas = Vec::new();
                let complete = reader.end(&mut deltas);
                *says_something |= write(writer, deltas, out, tally);
                if !complete {
                    return false;
                }
                writer.end(&mut |json| out.event(json.as_bytes()));
            }
        }
        out.raw(DONE);
        tally.complete();
        true
    }
}

/// Forwards a block as it is if every event of it may pass so; otherwise event by event.
fn forward(shaped: &mut OpenAiNormalizer, block: Bytes, out: &mut Out, tally: &mut Tally) -> Result<(), DecodeError> {
    // Everything before `clean` may pass and has not been copied yet.
    let (mut clean, mut at) = (0, 0);
    for frame in frames(&block) {
        let begin = at;
        at += frame.raw.len();
        let passed = match frame.data.as_deref().map(<[u8]>::trim_ascii) {
            // Comments, and fields without data. Clients that read text fail at what is none.
            None if std::str::from_utf8(frame.raw).is_err() => Ok(Passed::Dropped),
            None => continue,
            // The end mark is written when the stream has ended well.
            Some(b"[DONE]") => Ok(Passed::Dropped),
            Some(data) => {
                tally.said(data.len() / EVENT_BYTES_PER_TEXT_BYTE);
                match shaped.event(data) {
                    // The data is text, and a field beside it is none.
                    Ok(Passed::AsIs) if std::str::from_utf8(frame.raw).is_err() => Ok(Passed::Rewritten(data.to_vec())),
                    passed => passed,
                }
            }
        };
        if matches!(passed, Ok(Passed::AsIs)) {
            continue;
        }
        out.slice(&block, clean..begin);
        clean = at;
        match passed {
            Ok(Passed::Rewritten(json)) => out.event(&json),
            Ok(_) => {}
            Err(bad) => return Err(bad),
        }
    }
    shaped.tell(tally);
    out.slice(&block, clean..at);
    Ok(())
}

/// A chunk of OpenAI's has some 250 bytes for a token's four.
const EVENT_BYTES_PER_TEXT_BYTE: usize = 64;

fn write(writer: &mut ChunkWriter, deltas: Vec<Delta>, out: &mut Out, tally: &mut Tally) -> bool {
    let mut says_something = false;
    for delta in deltas {
        says_something |= delta.says_something();
        match &delta {
            Delta::Usage(usage) => tally.told(*usage),
            Delta::Head { model: Some(model), .. } => tally.named(model),
            Delta::Piece { piece: Piece::Finish(why), .. } => tally.finished(why),
            Delta::Piece { piece: Piece::Text(text) | Piece::Reasoning(text) | Piece::Arguments { text, .. }, .. } => {
                tally.said(text.len())
            }
            Delta::Piece { .. } | Delta::Head { .. } => {}
        }
        writer.write(delta, &mut |json| out.event(json.as_bytes()));
    }
    says_something
}

/// Framed events on their way out; a block that passes whole is not copied.
#[derive(Default)]
pub(in crate::llm) struct Out {
    whole: Option<Bytes>,
    copied: BytesMut,
}

impl Out {
    /// All that was appended, if anything.
    pub(in crate::llm) fn take(&mut self) -> Option<Bytes> {
        self.whole.take().or_else(|| (!self.copied.is_empty()).then(|| self.copied.split().freeze()))
    }

    /// Bytes that were appended and not taken.
    pub(in crate::llm) fn len(&self) -> usize {
        self.whole.as_ref().map_or(0, Bytes::len) + self.copied.len()
    }

    fn event(&mut self, json: &[u8]) {
        self.settle();
        self.copied.reserve(json.len() + 8);
        self.copied.extend_from_slice(b"data: ");
        let begin = self.copied.len();
        self.copied.extend_from_slice(json);
        // An event's data may have come in several lines.
        in_one_line(&mut self.copied[begin..]);
        self.copied.extend_from_slice(b"\n\n");
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.settle();
        self.copied.extend_from_slice(bytes);
    }

    fn slice(&mut self, block: &Bytes, range: std::ops::Range<usize>) {
        if range.is_empty() {
            return;
        }
        if self.whole.is_none() && self.copied.is_empty() {
            self.whole = Some(block.slice(range));
        } else {
            self.raw(&block[range]);
        }
    }

    fn settle(&mut self) {
        if let Some(whole) = self.whole.take() {
            self.copied.extend_from_slice(&whole);
        }
    }
}
