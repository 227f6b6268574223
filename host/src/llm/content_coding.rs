//! Replies that come compressed though nobody asked for it: `accept-encoding: identity` goes with every request, and some servers and the proxies
//! in front of them do not care. What is decoded grows by a bounded step, so a small reply that unpacks to a huge one meets the limits of replies
//! and events like every other.

use std::io::Write as _;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, header};

/// Bytes that are decoded in one step, which become at most about a thousand times as many.
const STEP: usize = 2 << 10;

/// Decodes a body as it is read.
pub(super) struct Decoder {
    coding: Coding,
    /// What has come and is not decoded yet.
    rest: Bytes,
}

enum Coding {
    Gzip(Box<flate2::write::MultiGzDecoder<Vec<u8>>>),
    Zlib(Box<flate2::write::ZlibDecoder<Vec<u8>>>),
    /// `deflate` without the frame that it should have.
    Deflate(Box<flate2::write::DeflateDecoder<Vec<u8>>>),
    /// `deflate`, before the first byte has told which.
    Either,
    Brotli(Box<brotli_decompressor::DecompressorWriter<Vec<u8>>>),
}

impl Decoder {
    /// The decoder for a reply with this head; none if it came as it was asked for.
    ///
    /// # Errors
    /// Names a coding that is not known.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let named = headers.get_all(header::CONTENT_ENCODING).iter();
        let mut names = named.flat_map(|value| value.to_str().unwrap_or("?").split(',')).map(str::trim);
        let plain = |name: &&str| !name.is_empty() && !name.eq_ignore_ascii_case("identity");
        let Some(name) = names.find(plain) else { return Ok(None) };
        let coding = match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Coding::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Vec::new()))),
            "deflate" => Coding::Either,
            "br" => Coding::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(Vec::new(), STEP))),
            _ => return Err(format!("a reply in the coding `{}`, which nobody asked for", name.chars().take(40).collect::<String>())),
        };
        match names.find(plain) {
            None => Ok(Some(Self { coding, rest: Bytes::new() })),
            Some(_) => Err("a reply in several codings, which nobody asked for".to_owned()),
        }
    }

    /// Takes what was read. [`Self::next`] must have given all of what was read before.
    pub(super) fn push(&mut self, read: Bytes) {
        debug_assert!(self.rest.is_empty(), "all that was read before is decoded");
        self.rest = read;
    }

    /// More decoded bytes; none if more has to be read.
    ///
    /// # Errors
    /// What is wrong with the compressed bytes.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, std::io::Error> {
        while let Some(first) = self.rest.first().copied() {
            if matches!(self.coding, Coding::Either) {
                // A frame of zlib names its method in the low bits of its first byte, and a bare block in practice never looks like it.
                self.coding = match first & 0x0f {
                    8 => Coding::Zlib(Box::new(flate2::write::ZlibDecoder::new(Vec::new()))),
                    _ => Coding::Deflate(Box::new(flate2::write::DeflateDecoder::new(Vec::new()))),
                };
            }
            let step = &self.rest[..self.rest.len().min(STEP)];
            let decoded = self.coding.decode(step)?;
            self.rest.advance(step.len());
            if !decoded.is_empty() {
                return Ok(Some(decoded.into()));
            }
        }
        Ok(None)
    }
}

impl Coding {
    fn decode(&mut self, step: &[u8]) -> Result<Vec<u8>, std::io::Error> {
        match self {
            Self::Gzip(decoder) => decoder.write_all(step).and_then(|()| decoder.flush()).map(|()| std::mem::take(decoder.get_mut())),
            Self::Zlib(decoder) => decoder.write_all(step).and_then(|()| decoder.flush()).map(|()| std::mem::take(decoder.get_mut())),
            Self::Deflate(decoder) => decoder.write_all(step).and_then(|()| decoder.flush()).map(|()| std::mem::take(decoder.get_mut())),
            Self::Brotli(decoder) => decoder.write_all(step).and_then(|()| decoder.flush()).map(|()| std::mem::take(decoder.get_mut())),
            Self::Either => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;

    use super::*;

    fn head(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_ENCODING, http::HeaderValue::from_static(value))])
    }

    /// What comes of these bytes, read in pieces of this length; and the largest piece that was given.
    fn decoded(coding: &'static str, bytes: &[u8], cut: usize) -> Result<(Vec<u8>, usize), std::io::Error> {
        let mut decoder = Decoder::of(&head(coding)).expect("known").expect("a coding");
        let (mut out, mut largest) = (Vec::new(), 0);
        for read in bytes.chunks(cut) {
            decoder.push(Bytes::copy_from_slice(read));
            while let Some(more) = decoder.next()? {
                largest = largest.max(more.len());
                out.extend_from_slice(&more);
            }
        }
        Ok((out, largest))
    }

    fn written<W: std::io::Write>(mut writer: W, text: &[u8], finish: fn(W) -> std::io::Result<Vec<u8>>) -> Vec<u8> {
        writer.write_all(text).expect("memory");
        finish(writer).expect("memory")
    }

    #[test]
    fn every_coding_is_decoded_however_it_is_cut() {
        let text: Vec<u8> = (0..5_000).flat_map(|at| format!("data: {{\"at\":{at}}}\n\n").into_bytes()).collect();
        let best = Compression::best();
        let gzip = written(flate2::write::GzEncoder::new(Vec::new(), best), &text, flate2::write::GzEncoder::finish);
        let zlib = written(flate2::write::ZlibEncoder::new(Vec::new(), best), &text, flate2::write::ZlibEncoder::finish);
        let deflate = written(flate2::write::DeflateEncoder::new(Vec::new(), best), &text, flate2::write::DeflateEncoder::finish);
        for (coding, bytes) in [("gzip", &gzip), ("X-GZip", &gzip), ("identity, gzip", &gzip), ("deflate", &zlib), ("deflate", &deflate)] {
            for cut in [1, 7, 4096, usize::MAX] {
                assert_eq!(decoded(coding, bytes, cut).expect("whole").0, text, "{coding} {cut}");
            }
        }
        // "hello world\n", as the reference encoder writes it without compression.
        let brotli = b"\x8b\x05\x80hello world\n\x03";
        for cut in [1, usize::MAX] {
            assert_eq!(decoded("br", brotli, cut).expect("whole").0, b"hello world\n");
        }
    }

    #[test]
    fn an_event_that_was_flushed_comes_before_the_next_is_there() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"data: 1\n\n").and_then(|()| encoder.flush()).expect("memory");
        assert_eq!(decoded("gzip", encoder.get_ref(), usize::MAX).expect("so far").0, b"data: 1\n\n");
    }

    #[test]
    fn a_bomb_comes_in_bounded_steps_and_rubbish_is_an_error() {
        let bomb =
            written(flate2::write::GzEncoder::new(Vec::new(), Compression::best()), &vec![0; 64 << 20], flate2::write::GzEncoder::finish);
        let (out, largest) = decoded("gzip", &bomb, usize::MAX).expect("whole");
        assert_eq!(out.len(), 64 << 20);
        assert!(largest <= STEP * 1100, "{largest}");
        assert!(decoded("gzip", b"no gzip at all, and long enough", 9).is_err());
        assert!(decoded("deflate", b"\x78\xff no zlib", 9).is_err());
    }

    #[test]
    fn what_is_plain_needs_no_decoder_and_what_is_unknown_is_named() {
        for plain in ["", "identity"] {
            assert!(Decoder::of(&head(plain)).is_ok_and(|decoder| decoder.is_none()));
        }
        assert!(Decoder::of(&HeaderMap::new()).is_ok_and(|decoder| decoder.is_none()));
        assert!(Decoder::of(&head("zstd")).is_err_and(|cause| cause.contains("`zstd`")));
        assert!(Decoder::of(&head("gzip, br")).is_err_and(|cause| cause.contains("several")));
    }
}
