//! Finds in a reply what a client fetches without being asked: images of markdown and tags of HTML. In a stream only the beginning of one is held
//! back, until its URL is known; one that is too long to be known is taken for the worst.

use std::collections::BTreeSet;

use cofferdam_guest::Tail;

use crate::url::carries_data;

/// Longer ones are cut off as they are: no image needs it, and data does.
const LONGEST: usize = 4_096;
/// Labels of references that are remembered.
const MOST_LABELS: usize = 256;

/// What is known of one reply.
#[derive(Debug, Default)]
pub(crate) struct Images {
    pub(crate) hosts: Vec<String>,
    /// The URL that would carry data away, once one was found.
    pub(crate) found: Option<String>,
    /// Labels by which images are shown, and those whose URL would carry data away.
    shown: BTreeSet<String>,
    laden: BTreeSet<String>,
}

/// What begins at some place.
enum At {
    /// Something else; so many bytes are decided.
    Else(usize),
    /// More must come to know.
    Open,
    Image {
        urls: Vec<String>,
        end: usize,
    },
    /// An image whose URL stands elsewhere.
    Shown {
        label: String,
        end: usize,
    },
    /// Where the URL of a label stands.
    Label {
        label: String,
        url: String,
        end: usize,
    },
}

impl Images {
    pub(crate) fn new(hosts: Vec<String>) -> Self {
        Self { hosts: hosts.into_iter().map(|host| host.to_lowercase()).collect(), ..Self::default() }
    }

    /// What goes on of the tail; after a finding nothing does.
    pub(crate) fn decided(&mut self, tail: &mut Tail, last: bool) -> String {
        let (text, from) = tail.with_context();
        let end = self.end(text, from, last);
        if self.found.is_some() {
            let _ = tail.take();
            return String::new();
        }
        tail.take_to(end - from)
    }

    /// Where the text from `from` on is no longer decided.
    fn end(&mut self, text: &str, from: usize, last: bool) -> usize {
        let mut at = from;
        while let Some(start) = text[at..].find(['!', '<', '[']).map(|offset| at + offset) {
            at = match look(text, start, last) {
                At::Open => return start,
                At::Else(end) => end,
                At::Image { urls, end } => {
                    self.found = urls.into_iter().find(|url| carries_data(url, &self.hosts));
                    end
                }
                At::Shown { label, end } => {
                    if self.laden.contains(&label) {
                        self.found = Some(label);
                    } else if self.shown.len() < MOST_LABELS {
                        self.shown.insert(label);
                    }
                    end
                }
                At::Label { label, url, end } => {
                    if carries_data(&url, &self.hosts) {
                        if self.shown.contains(&label) || self.laden.len() >= MOST_LABELS {
                            self.found = Some(url);
                        } else {
                            self.laden.insert(label);
                        }
                    }
                    end
                }
            };
            if self.found.is_some() {
                break;
            }
        }
        text.len()
    }
}

fn look(text: &str, start: usize, last: bool) -> At {
    let rest = &text[start..text.floor_char_boundary(text.len().min(start + LONGEST))];
    let over = last || rest.len() < text.len() - start;
    match rest.as_bytes()[0] {
        b'!' => match rest.as_bytes().get(1) {
            None if !last => At::Open,
            Some(b'[') => image(rest, start, over),
            _ => At::Else(start + 1),
        },
        b'<' => tag(rest, start, over),
        _ => label(rest, &text[..start], over),
    }
}

/// `![text](url "title")`, `![text][label]` or `![label]`
fn image(rest: &str, start: usize, over: bool) -> At {
    // The text may hold brackets itself: what counts is the first `](` or `][` of the paragraph.
    let paragraph = rest.find("\n\n");
    let inside = &rest[..paragraph.unwrap_or(rest.len())];
    let open = !over && paragraph.is_none();
    let Some(at) = ["](", "]["].iter().filter_map(|mark| inside.find(mark)).min() else {
        return match inside.find(']') {
            _ if open => At::Open,
            Some(close) => At::Shown { label: inside[2..close].trim().to_lowercase(), end: start + close + 1 },
            None => At::Else(start + 2),
        };
    };
    let behind = &rest[at + 2..];
    if rest[at..].starts_with("](") {
        return match destination(behind) {
            Some((url, length)) => At::Image { urls: vec![url], end: start + at + 2 + length },
            None if over => At::Image { urls: vec![behind.to_owned()], end: start + rest.len() },
            None => At::Open,
        };
    }
    match behind.find(']') {
        Some(length) => {
            let label = if length == 0 { &rest[2..at] } else { &behind[..length] };
            At::Shown { label: label.trim().to_lowercase(), end: start + at + 3 + length }
        }
        None if over => At::Else(start + 2),
        None => At::Open,
    }
}

/// The URL that the text begins with, and where it ends; none if it has not ended.
fn destination(text: &str) -> Option<(String, usize)> {
    let white = text.len() - text.trim_start().len();
    let url = &text[white..];
    if let Some(inside) = url.strip_prefix('<') {
        return inside.find(['>', '\n']).map(|end| (inside[..end].to_owned(), white + 1 + end));
    }
    let (mut depth, mut escaped) = (0, false);
    for (at, c) in url.char_indices() {
        match c {
            _ if std::mem::take(&mut escaped) => {}
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            c if c == ')' || c.is_whitespace() => return Some((url[..at].to_owned(), white + at)),
            _ => {}
        }
    }
    None
}

/// Tags that make a browser fetch something.
const TAGS: [&str; 13] =
    ["img", "image", "video", "audio", "source", "iframe", "embed", "object", "link", "script", "picture", "input", "svg"];

fn tag(rest: &str, start: usize, over: bool) -> At {
    let length = rest[1..].find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len() - 1);
    let name = rest[1..=length].to_ascii_lowercase();
    let goes_on = length + 1 == rest.len() && !over;
    if goes_on && TAGS.iter().any(|tag| tag.starts_with(name.as_str())) {
        return At::Open;
    }
    if !TAGS.contains(&name.as_str()) {
        return At::Else(start + 1);
    }
    match tag_end(rest) {
        Some(end) => At::Image { urls: addresses(&rest[..end]), end: start + end + 1 },
        None if over => At::Image { urls: addresses(rest), end: start + rest.len() },
        None => At::Open,
    }
}

/// The `>` that is in no quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            (None, b'>') => return Some(at),
            _ => {}
        }
    }
    None
}

/// All that may be an address in a tag: values with and without quotes, and the several of a `srcset`.
fn addresses(tag: &str) -> Vec<String> {
    let values = tag.split(['"', '\'']);
    let words = values.clone().flat_map(str::split_whitespace);
    let behind = words.clone().filter_map(|word| word.split_once('=').map(|(_, value)| value));
    values.chain(words).chain(behind).filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

/// `[label]: url` at the beginning of a line.
fn label(rest: &str, before: &str, over: bool) -> At {
    let start = before.len();
    let indent = before.trim_end_matches([' ', '\t', '>']);
    if !(indent.is_empty() || indent.ends_with('\n')) {
        return At::Else(start + 1);
    }
    let open = !over && !rest.contains('\n');
    let Some(close) = rest.find(']') else { return if open { At::Open } else { At::Else(start + 1) } };
    let behind = &rest[close + 1..];
    if behind.is_empty() && !over {
        return At::Open;
    }
    let Some(url) = behind.strip_prefix(':') else { return At::Else(start + 1) };
    let label = rest[1..close].trim().to_lowercase();
    match destination(url) {
        Some((url, length)) => At::Label { label, url, end: start + close + 2 + length },
        None if over => At::Label { label, url: url.to_owned(), end: start + rest.len() },
        None => At::Open,
    }
}
