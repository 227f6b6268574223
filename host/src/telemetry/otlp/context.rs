//! A span's place in its trace: ids drawn at random, or read from a client's `traceparent`. No id is all zero.
//! Source: W3C Trace Context, level 1.

use data_encoding::HEXLOWER;

/// A span's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    /// False if the client that began the trace does not want it recorded.
    pub(super) sampled: bool,
}

impl Context {
    /// A child of `parent`, or the first span of a new trace.
    pub(super) fn below(parent: Option<&Self>) -> Self {
        let (trace, sampled) = parent.map_or_else(|| (random(), true), |parent| (parent.trace, parent.sampled));
        Self { trace, span: random(), sampled }
    }

    /// Reads `00-TRACE-SPAN-FLAGS`; a later version may have more behind another `-`. None for what the standard calls invalid.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let mut parts = header.splitn(5, '-');
        let [version] = hex(parts.next()?)?;
        let (trace, span, [flags]) = (hex(parts.next()?)?, hex(parts.next()?)?, hex(parts.next()?)?);
        let more = parts.next().is_some();
        if version == 0xff || (version == 0 && more) || trace == [0; 16] || span == [0; 8] {
            return None;
        }
        Some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// Lower-case digits only, as the standard demands.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Never all zero, which is no valid id.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes[0] |= u8::from(bytes == [0; N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_standard_says() {
        let parsed = Context::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!((parsed.trace[..2].to_vec(), parsed.span[6..].to_vec(), parsed.sampled), (vec![0x0a, 0xf7], vec![0x33, 0x31], true));
        assert!(!Context::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02").unwrap().sampled);
        assert!(Context::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes").is_some(), "a later version");
        for invalid in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-\u{e9}af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(Context::parse(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_child_keeps_trace_and_choice_and_has_an_id_of_its_own() {
        let root = Context::below(None);
        let child = Context::below(Some(&Context { sampled: false, ..root }));
        assert!(root.sampled && !child.sampled && root.trace == child.trace && root.span != child.span);
        assert_ne!(Context::below(None).trace, root.trace);
    }
}
