//! Plays bytes to a decoder as the relay does, in any reads, and writes down what a client gets. Nothing is judged here (`judge.rs`).

use bytes::Bytes;

use crate::chat::sse::{End, Framer};
use crate::chat::{ChunkWriter, Frames, Name};
use crate::llm::adapter::Decoding;
use crate::llm::decoder::StreamDecoder;
use crate::llm::meter::Tally;
use crate::llm::provider_error::DecodeError;

/// Bytes of one event: more than any recorded one has, and few enough that a fuzzer meets the limit.
pub(super) const EVENT_BYTES: usize = 64 << 10;

/// Places where an input is cut at most, beside the cut at every byte.
const CUTS_MAX: u64 = 12;

/// What a client got.
pub(super) struct Decoded {
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
pub(super) fn decoded(decoding: Decoding, name: Name, include_usage: bool, input: &[u8], cuts: &[usize]) -> Decoded {
    let (mut decoder, mut writer) = (StreamDecoder::new(decoding), ChunkWriter::new(name, include_usage));
    let (mut frames, mut out) = (Frames::default(), Vec::new());
    let ended = played(&mut decoder, &mut frames, &mut |frames| out.extend_from_slice(&writer.encode(frames)), reads(input, cuts));
    out.extend_from_slice(&writer.encode(frames));
    Decoded { out, ended }
}

fn played(decoder: &mut StreamDecoder, frames: &mut Frames, sink: &mut impl FnMut(Frames), reads: impl Iterator<Item = Bytes>) -> Ended {
    let (mut framer, mut tally) = (Framer::new(EVENT_BYTES), Tally::default());
    for read in reads {
        let block = framer.push(read);
        if let Some(ended) = stepped(decoder, frames, &mut tally, block, framer.end()) {
            return ended;
        }
        sink(std::mem::take(frames));
    }
    let block = framer.finish();
    match stepped(decoder, frames, &mut tally, block, framer.end()) {
        Some(ended) => ended,
        None => finished(decoder, frames, &mut tally, false),
    }
}

fn stepped(decoder: &mut StreamDecoder, frames: &mut Frames, tally: &mut Tally, block: Option<Bytes>, end: Option<End>) -> Option<Ended> {
    if let Some(Err(error)) = block.map(|block| decoder.decode(block, frames, tally)) {
        return Some(Ended::DecodeError(error));
    }
    match end? {
        End::TooLarge => Some(Ended::TooLarge),
        End::Done => Some(finished(decoder, frames, tally, true)),
    }
}

fn finished(decoder: &mut StreamDecoder, frames: &mut Frames, tally: &mut Tally, marked: bool) -> Ended {
    if decoder.end(marked, frames, tally) { Ended::Well } else { Ended::Cut }
}
