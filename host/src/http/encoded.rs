//! Bodies that a client compressed: gzip and zstd, as OpenAI takes them.
//! Invariant: no more is decoded than a body may be large, however little of it came over the wire, and it is reserved before it is kept.

use std::io::Read;

use bytes::Bytes;
use hyper::{HeaderMap, header};

use super::error::Refusal;
use super::request_body::shown;

/// Bytes that are decoded between two looks at the limit.
const STEP_BYTES: usize = 64 << 10;

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
        let broken = |_| Refusal::field("body", format!("is no whole {name} data, which its `content-encoding` says it is"));
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
