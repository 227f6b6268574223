//! Server-sent events, the only framing code: where events end, what their data is, and how one is written. Linear in the bytes, whatever the
//! reads look like. An event ends at an empty line; lines end in LF, CRLF or CR. Source: HTML Living Standard, "Parsing an event stream".
//! `[DONE]` is the last event of a chat stream; nothing comes out of a [`Framer`] after it.

use std::borrow::Cow;

use bytes::{Buf as _, Bytes, BytesMut};

/// The event that ends a chat stream which is whole.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// U+FEFF, which may stand before the first line and belongs to none.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Cuts what is read from a provider behind its last whole event.
pub struct Framer {
    /// The bytes of the event that has not ended yet.
    held: BytesMut,
    scan: Scan,
    event_bytes: usize,
    end: Option<End>,
    /// The first bytes have been looked at: a byte order mark may stand there.
    begun: bool,
}

/// Why no more events will come out of a [`Framer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// An event's data was `[DONE]`.
    Done,
    /// An event was larger than allowed.
    TooLarge,
}

impl Framer {
    /// `event_bytes`: the most bytes of one event, its line ends included.
    pub fn new(event_bytes: usize) -> Self {
        Self { held: BytesMut::new(), scan: Scan::default(), event_bytes, end: None, begun: false }
    }

    /// The whole events that `read` completes, if any; forwarded without a copy if no event was open before.
    pub fn push(&mut self, mut read: Bytes) -> Option<Bytes> {
        if self.end.is_some() {
            return None;
        }
        if !self.begun {
            read = self.without_mark(read)?;
        }
        let whole = if self.held.is_empty() {
            let (until, end) = self.scan.run(&read, self.event_bytes);
            self.end = end;
            let whole = read.split_to(until);
            self.held.extend_from_slice(&read);
            whole
        } else {
            self.held.extend_from_slice(&read);
            let (until, end) = self.scan.run(&self.held, self.event_bytes);
            self.end = end;
            self.held.split_to(until).freeze()
        };
        self.scan.shift(whole.len());
        (!whole.is_empty()).then_some(whole)
    }

    /// The input is over: what is left counts as a last event, for some servers forget its blank line.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.begun = true;
        let blank: &'static [u8] = match self.held.last() {
            None => return None,
            // One line end is there already.
            Some(b'\n') => b"\n",
            Some(_) => b"\n\n",
        };
        self.push(Bytes::from_static(blank))
    }

    /// The first bytes without a byte order mark; none while it may be one that is not complete.
    fn without_mark(&mut self, read: Bytes) -> Option<Bytes> {
        let mut first = std::mem::take(&mut self.held);
        first.extend_from_slice(&read);
        if first.len() < MARK.len() && MARK.starts_with(&first) {
            self.held = first;
            return None;
        }
        self.begun = true;
        let mut first = if first.len() == read.len() { read } else { first.freeze() };
        if first.starts_with(MARK) {
            first.advance(MARK.len());
        }
        Some(first)
    }

    /// Bytes of the event that has not ended yet.
    pub fn bytes(&self) -> usize {
        self.held.len()
    }

    /// Set once nothing more will come; what was completed before it has been given out.
    pub fn end(&self) -> Option<End> {
        self.end
    }
}

/// Positions in the bytes that start with the open event.
#[derive(Default)]
struct Scan {
    /// Everything before was looked at.
    at: usize,
    /// Start of the open line.
    line: usize,
    /// Start of the open event; 1 if an LF that belongs to the CR before it comes first.
    event: usize,
    /// The last byte looked at was a CR, so that an LF now is its second half.
    after_cr: bool,
    data: Data,
}

/// What the data of the open event is so far.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Data {
    #[default]
    None,
    Done,
    Other,
}

impl Scan {
    /// The end of the last whole event in `bytes`, and whether the stream is over there.
    fn run(&mut self, bytes: &[u8], event_bytes: usize) -> (usize, Option<End>) {
        let mut whole = 0;
        if self.after_cr && bytes.get(self.at) == Some(&b'\n') {
            // A CR ends its event without waiting for the LF, so the LF may open the next read.
            self.event += usize::from(self.event == self.at);
            self.at += 1;
            self.line = self.at;
            self.after_cr = false;
        }
        for end in memchr::memchr2_iter(b'\n', b'\r', &bytes[self.at..]).map(|found| self.at + found) {
            if end < self.line {
                continue;
            }
            let crlf = bytes[end] == b'\r' && bytes.get(end + 1) == Some(&b'\n');
            let next = end + 1 + usize::from(crlf);
            if end > self.line {
                self.data = self.data.and(&bytes[self.line..end]);
            } else {
                if end + 1 - self.event > event_bytes {
                    return (whole, Some(End::TooLarge));
                }
                (whole, self.event) = (next, next);
                if std::mem::take(&mut self.data) == Data::Done {
                    return (whole, Some(End::Done));
                }
            }
            self.line = next;
        }
        if bytes.len() > self.at {
            self.after_cr = bytes.last() == Some(&b'\r');
        }
        self.at = bytes.len();
        let over = bytes.len().saturating_sub(self.event) > event_bytes;
        (whole, over.then_some(End::TooLarge))
    }

    /// The first `bytes` are gone.
    fn shift(&mut self, bytes: usize) {
        for position in [&mut self.at, &mut self.line, &mut self.event] {
            *position = position.saturating_sub(bytes);
        }
    }
}

impl Data {
    fn and(self, line: &[u8]) -> Self {
        match (self, data_of_line(line)) {
            (data, None) => data,
            // A blank line of data beside `[DONE]` changes nothing for clients, who trim.
            (data, Some(value)) if value.trim_ascii().is_empty() => data,
            (Self::None, Some(value)) if is_done(value) => Self::Done,
            _ => Self::Other,
        }
    }
}

/// One whole event: its bytes, blank line included, and its data.
pub struct Event<'a> {
    pub raw: &'a [u8],
    /// Several `data:` lines joined by LF; none if there was no such line (comments, lone `event:` or `id:` lines).
    pub data: Option<Cow<'a, [u8]>>,
}

/// The whole events in `bytes`, in order; joined, their raw bytes are `bytes` up to the last blank line.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = Event<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (event, behind) = split_event(rest)?;
        rest = behind;
        Some(event)
    })
}

/// The first whole event in `bytes` and the bytes behind it; none if no event ends there.
pub fn split_event(bytes: &[u8]) -> Option<(Event<'_>, &[u8])> {
    let mut rest = bytes;
    let mut data: Option<Cow<'_, [u8]>> = None;
    loop {
        let line = next_line(&mut rest)?;
        if line.is_empty() {
            return Some((Event { raw: &bytes[..bytes.len() - rest.len()], data }, rest));
        }
        let Some(value) = data_of_line(line) else { continue };
        match &mut data {
            None => data = Some(Cow::Borrowed(value)),
            Some(data) => {
                data.to_mut().push(b'\n');
                data.to_mut().extend_from_slice(value);
            }
        }
    }
}

/// The value of the first line of an event that has this field.
pub fn field<'a>(event: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = event;
    while let Some(line) = next_line(&mut rest) {
        if let Some([b':', value @ ..]) = line.strip_prefix(name) {
            return Some(value.trim_ascii());
        }
    }
    None
}

/// Whether an event with this data ends a chat stream. Clients trim, so this does too.
pub fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

/// Bytes of an event's lines that are not its data.
pub fn beside_data(event: &[u8]) -> usize {
    let lines = event.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.filter(|line| *line != b"data" && !line.starts_with(b"data:")).map(<[u8]>::len).sum()
}

/// Appends one event of one JSON text. JSON that was kept unparsed may have line breaks between its values; they become spaces, for an event's
/// data is one line here.
pub fn append(out: &mut Vec<u8>, json: &[u8]) {
    out.reserve(json.len() + 8);
    out.extend_from_slice(b"data: ");
    let begin = out.len();
    out.extend_from_slice(json);
    let mut from = begin;
    while let Some(found) = memchr::memchr2(b'\n', b'\r', &out[from..]) {
        out[from + found] = b' ';
        from += found + 1;
    }
    out.extend_from_slice(b"\n\n");
}

/// One event of one JSON text, with a name if there is one.
pub fn event(name: Option<&str>, json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() + name.map_or(0, |name| name.len() + 8) + 8);
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    append(&mut out, json);
    out.into()
}

/// Takes one ended line off `rest`, without its end.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr2(b'\n', b'\r', rest)?;
    let (line, after) = rest.split_at(end);
    *rest = if after.starts_with(b"\r\n") { &after[2..] } else { &after[1..] };
    Some(line)
}

/// The value of a `data` field; the space behind the colon is optional, and so is the colon.
fn data_of_line(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(b""),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
