//! A line that a model lets its client show while it works, and how it stands in a stream: as a comment, which every client of server-sent events
//! passes over. A second line in the comment tells it from the comments of others and says whether what it speaks of is over.

use bytes::Bytes;

const GOES_ON: &[u8] = b": status";
const DONE: &[u8] = b": status done";

/// The client shows statuses: one that comes before all words is worth to be sent at once. It is among what an exchange keeps.
#[derive(Clone, Copy, Debug)]
pub struct ShowsStatus;

/// The event of a status. The text holds no control characters.
pub fn event(text: &str, done: bool) -> Bytes {
    let end = if done { DONE } else { GOES_ON };
    [&b": "[..], text.as_bytes(), b"\n", end, b"\n\n"].concat().into()
}

/// The status that an event is, and whether it is done; none if it is another event.
pub fn read(event: &[u8]) -> Option<(&str, bool)> {
    let mut lines = event.split(|byte| *byte == b'\n');
    let (text, end, rest) = (lines.next()?.strip_prefix(b": ")?, lines.next()?, lines.next()?);
    let ends = rest.is_empty() && (end == GOES_ON || end == DONE);
    ends.then(|| std::str::from_utf8(text).ok()).flatten().map(|text| (text, end == DONE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_back_and_no_other_comment_is_one() {
        for (text, done) in [("counting \u{e9}", false), ("", true), (": x", false)] {
            assert_eq!(read(&event(text, done)), Some((text, done)));
        }
        for other in [": ping\n\n", ": a\n: b\n\n", "data: {}\n: status\n\n", ": a\n: status done\ndata: x\n\n", "", ": a"] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
    }
}
