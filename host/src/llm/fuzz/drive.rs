//! Plays bytes to a reading as the relay does, in any reads, and writes down what a client gets. Must not judge it.

use bytes::Bytes;

use crate::chat::{ChunkWriter, Name};
use crate::llm::adapter::{DecodeError, Decoding};
use crate::llm::meter::Tally;
use crate::llm::relay::{Out, StreamDecoder};
use crate::llm::sse::{End, Framer};

/// Places where an input is cut at most, beside the cut at every byte.
const CUTS_MAX: u64 = 12;

/// What a client got.
pub(super) struct Heard {
    pub(super) out: Vec<u8>,
    pub(super) ended: Ended,
}

/// How it ended.
#[derive(Debug, PartialEq)]
pub(super) enum Ended {
    Well,
    Cut,
    TooLarge,
    DecodeError(DecodeError),
}

/// `input` in pieces that end at `cuts`, which ascend.
pub(super) fn reads<'a>(input: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = Bytes> + 'a {
    let begins = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([input.len()]);
    begins.zip(ends).map(|(begin, end)| Bytes::copy_from_slice(&input[begin..end]))
}

/// A few places in `input` that follow from its bytes (FNV-1a, then a multiplicative generator).
pub(super) fn cuts(input: &[u8]) -> Vec<usize> {
    let mut state = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)) | 1;
    let mut next = |below: u64| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) % below
    };
    let count = next(CUTS_MAX);
    let mut cuts: Vec<usize> = (0..count).map(|_| usize::try_from(next(input.len() as u64 + 1)).unwrap_or(0)).collect();
    cuts.sort_unstable();
    cuts
}

/// What a client gets of `input` that is read in pieces.
pub(super) fn heard(reading: Decoding, name: Name, include_usage: bool, input: &[u8], cuts: &[usize]) -> Heard {
    let mut voice = match reading {
        Decoding::OpenAi(shaped) => StreamDecoder::OpenAiNormalizer(shaped),
        Decoding::Translated(reader) => StreamDecoder::translated(reader, ChunkWriter::new(name, include_usage)),
    };
    let (mut out, mut written) = (Out::default(), Vec::new());
    let ended = played(&mut voice, &mut out, &mut written, reads(input, cuts));
    written.extend(out.take().unwrap_or_default());
    Heard { out: written, ended }
}

fn played(voice: &mut StreamDecoder, out: &mut Out, written: &mut Vec<u8>, reads: impl Iterator<Item = Bytes>) -> Ended {
    let (mut framer, mut tally) = (Framer::new(super::EVENT_BYTES), Tally::default());
    for read in reads {
        let block = framer.push(read);
        if let Some(ended) = stepped(voice, out, &mut tally, block, framer.end()) {
            return ended;
        }
        written.extend(out.take().unwrap_or_default());
    }
    let block = framer.finish();
    match stepped(voice, out, &mut tally, block, framer.end()) {
        Some(ended) => ended,
        None => finished(voice, out, &mut tally, false),
    }
}

fn stepped(voice: &mut StreamDecoder, out: &mut Out, tally: &mut Tally, block: Option<Bytes>, end: Option<End>) -> Option<Ended> {
    if let Some(Err(bad)) = block.map(|block| voice.hear(block, out, tally)) {
        return Some(Ended::DecodeError(bad));
    }
    match end? {
        End::TooLarge => Some(Ended::TooLarge),
        End::Done => Some(finished(voice, out, tally, true)),
    }
}

fn finished(voice: &mut StreamDecoder, out: &mut Out, tally: &mut Tally, marked: bool) -> Ended {
    if voice.end(marked, out, tally) { Ended::Well } else { Ended::Cut }
}
