//! Bodies that a client compressed: gzip and zstd, as OpenAI takes them.
//! Invariant: no more is decoded than a body may be large, however little of it came over the wire, and it is reserved before it is kept.

use std::io::{ErrorKind, Read};

use bytes::Bytes;
use hyper::{HeaderMap, header};

use super::error::Refusal;
use super::request_body::shown;

/// Bytes that are decoded between two looks at the limit.
const STEP_BYTES: usize = 64 << 10;

/// The largest window of a frame of zstd, as RFC 9659 has it for bodies. A decoder holds back as much as a window before it gives anything
/// out, and frames may name windows of terabytes.
const WINDOW_BYTES: u64 = 8 << 20;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Encoding {
    /// What the headers say.
    ///
    /// # Errors
    /// `ContentEncoding` for another one, and for several.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(Self::Plain) };
        let refused = |value| Err(Refusal::ContentEncoding(shown(value)));
        if let Some(second) = values.next() {
            return refused(second);
        }
        match value.as_bytes().to_ascii_lowercase().as_slice() {
            b"identity" => Ok(Self::Plain),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            b"zstd" => Ok(Self::Zstd),
            _ => refused(value),
        }
    }

    /// The body as it was before, at most `limit` bytes. `reserve` is asked for each piece before it is kept.
    ///
    /// # Errors
    /// `BodyTooLarge` if it is larger, `Field` if it is not what its header says, and what `reserve` refuses.
    pub(super) fn decoded(
        self,
        body: Bytes,
        limit: usize,
        key: &'static str,
        reserve: impl FnMut(usize) -> Result<(), Refusal>,
    ) -> Result<Bytes, Refusal> {
        let too_large = Refusal::BodyTooLarge { limit, key };
        match self {
            Self::Plain => Ok(body),
            Self::Gzip => read(flate2::read::MultiGzDecoder::new(&body[..]), "gzip", limit, too_large, reserve),
            Self::Zstd => {
                let frames = Frames { rest: &body, decoder: None };
                read(frames, "zstd", limit, too_large, reserve)
            }
        }
    }
}

fn read(
    mut decoder: impl Read,
    name: &str,
    limit: usize,
    too_large: Refusal,
    mut reserve: impl FnMut(usize) -> Result<(), Refusal>,
) -> Result<Bytes, Refusal> {
    let mut whole = Vec::new();
    let mut step = vec![0; STEP_BYTES];
    loop {
        let broken = |error: std::io::Error| {
            Refusal::field(
                "body",
                match error.kind() {
                    ErrorKind::Unsupported => format!("is {name} data with a window of more than 8 MiB, which no body may have (RFC 9659)"),
                    _ => format!("is no whole {name} data, which its `content-encoding` says it is"),
                },
            )
        };
        let bytes = decoder.read(&mut step).map_err(broken)?;
        if bytes == 0 {
            return Ok(whole.into());
        }
        if bytes > limit - whole.len() {
            return Err(too_large);
        }
        reserve(bytes)?;
        whole.extend_from_slice(&step[..bytes]);
    }
}

/// The frames of a zstd body, one after the other.
struct Frames<'a> {
    rest: &'a [u8],
    decoder: Option<ruzstd::decoding::StreamingDecoder<&'a [u8], ruzstd::decoding::FrameDecoder>>,
}

impl Read for Frames<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let decoder = match &mut self.decoder {
                Some(decoder) => decoder,
                None if self.rest.is_empty() => return Ok(0),
                None if window(self.rest).is_some_and(|bytes| bytes > WINDOW_BYTES) => return Err(ErrorKind::Unsupported.into()),
                None => {
                    let begun = ruzstd::decoding::StreamingDecoder::new(self.rest).map_err(std::io::Error::other)?;
                    self.decoder.insert(begun)
                }
            };
            let bytes = decoder.read(into)?;
            if bytes > 0 {
                return Ok(bytes);
            }
            if let Some(decoder) = self.decoder.take() {
                self.rest = decoder.into_inner();
            }
        }
    }
}

/// The window of the frame that begins here: the descriptor's, or of a frame that has none its whole content. None if no head is there.
fn window(frame: &[u8]) -> Option<u64> {
    let (descriptor, rest) = frame.get(4..)?.split_first()?;
    if descriptor & 0x20 == 0 {
        let window = *rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let (bytes, more) = [(1, 0), (2, 256), (4, 0), (8, 0)][usize::from(descriptor >> 6)];
    let size = rest.get(dictionary..dictionary + bytes)?;
    let size = size.iter().rev().fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    Some(size.saturating_add(more))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn decoded(encoding: Encoding, body: Vec<u8>, limit: usize) -> Result<Bytes, Refusal> {
        encoding.decoded(body.into(), limit, "limits.http.body_bytes", |_| Ok(()))
    }

    #[test]
    fn a_body_of_either_kind_is_read_in_one_or_several_members_up_to_its_limit_and_not_beyond() {
        let text = b"{\"model\":\"p\"}".repeat(9000);
        for (encoding, encode) in [(Encoding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Encoding::Zstd, zstd)] {
            let two = [encode(&text[..70_000]), encode(&text[70_000..])].concat();
            for body in [encode(&text), two] {
                assert_eq!(decoded(encoding, body.clone(), text.len()).expect("at the edge"), text, "{encoding:?}");
                let refused = decoded(encoding, body, text.len() - 1);
                assert!(matches!(refused, Err(Refusal::BodyTooLarge { .. })), "{encoding:?}");
            }
            let mut held = 0;
            let full = encoding.decoded(encode(&text).into(), text.len(), "key", |bytes| {
                held += bytes;
                if held > 70_000 { Err(Refusal::BodySlow) } else { Ok(()) }
            });
            assert_eq!((full, held <= 70_000 + STEP_BYTES), (Err(Refusal::BodySlow), true), "what is kept is asked for");
        }
    }

    #[test]
    fn what_is_broken_or_something_else_is_told_so() {
        for (encoding, whole) in [(Encoding::Gzip, gzip(b"{\"a\":1}")), (Encoding::Zstd, zstd(b"{\"a\":1}"))] {
            let cut = whole[..whole.len() - 3].to_vec();
            for body in [b"{\"a\":1}".to_vec(), cut] {
                let refused = decoded(encoding, body, 1 << 20);
                assert!(matches!(&refused, Err(Refusal::Field { param, .. }) if param == "body"), "{encoding:?} {refused:?}");
            }
        }
        assert_eq!(decoded(Encoding::Gzip, Vec::new(), 9).map_err(|_| ()), Err(()));
        assert_eq!(decoded(Encoding::Zstd, Vec::new(), 9), Ok(Bytes::new()));
    }

    /// A frame of blocks which each repeat one byte 128 KiB long. The head is what stands between the magic number and the blocks.
    fn repeating(head: &[u8], blocks: usize) -> Vec<u8> {
        let block = |last: u32| [&(last | 1 << 1 | (128 << 10) << 3).to_le_bytes()[..3], b" "].concat();
        [&[0x28, 0xb5, 0x2f, 0xfd], head, &block(0).repeat(blocks - 1), &block(1)].concat()
    }

    #[test]
    fn a_window_that_a_decoder_would_fill_before_it_gives_anything_out_is_refused_unread() {
        let limit = 16 << 20;
        let whole = |head: &[u8], blocks: usize| decoded(Encoding::Zstd, repeating(head, blocks), limit);
        let eight = 13 << 3;
        assert_eq!(whole(&[0, eight], 128).map(|body| body.len()), Ok(limit), "at the edge of both");
        assert!(matches!(whole(&[0, eight], 129), Err(Refusal::BodyTooLarge { .. })));
        assert_eq!(whole(&[0xa0, 0, 0, 128, 0], 64).map(|body| body.len()), Ok(8 << 20), "one segment is its own window");
        let terabyte = 30 << 3;
        let alone = [0xe0, 0, 0, 0, 0, 0, 1, 0, 0];
        for head in
            [&[0, eight + 1][..], &[0, terabyte], &[0, 255], &[0xa0, 1, 0, 128, 0], &alone, &[0xe3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]
        {
            // Four gigabytes, if they were made.
            let refused = whole(head, 32 << 10);
            assert!(matches!(&refused, Err(Refusal::Field { message, .. }) if message.contains("8 MiB")), "{head:?} {refused:?}");
        }
        let second = [zstd(b"{}"), repeating(&[0, terabyte], 9)].concat();
        assert!(matches!(decoded(Encoding::Zstd, second, limit), Err(Refusal::Field { message, .. }) if message.contains("8 MiB")));
    }

    #[test]
    fn headers_name_one_known_encoding() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_ENCODING, value.parse().expect("a value"));
            }
            Encoding::of(&headers)
        };
        let known =
            [(&["identity"][..], Encoding::Plain), (&[], Encoding::Plain), (&["GZip"], Encoding::Gzip), (&["zstd"], Encoding::Zstd)];
        for (values, encoding) in known {
            assert_eq!(of(values), Ok(encoding), "{values:?}");
        }
        for (values, named) in [(&["br"][..], "br"), (&["gzip, zstd"], "gzip, zstd"), (&["identity", "gzip"], "gzip"), (&[""], "")] {
            assert_eq!(of(values), Err(Refusal::ContentEncoding(named.into())), "{values:?}");
        }
    }
}
