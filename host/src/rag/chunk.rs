//! Text to chunks: along headings, paragraphs and sentences, each inside the embedder's window.
//! A chunk knows the headings that it stands under and its page, and one of a long table begins with the table's header, so that it is found, and
//! understood, apart from its document.

mod headings;
mod pieces;
mod tables;
mod window;

use std::borrow::Cow;
use std::ops::Range;

use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use self::headings::Headings;
use self::pieces::pieces;
use self::tables::Table;
use self::window::{WINDOW, Window};
use super::{Document, Error, Kind, Limits, PageStart};

/// Tokens of the window that are kept free for headings and the title: two or three short lines.
const CONTEXT_WINDOW: usize = 20;
/// Bytes of a path of headings that are kept.
const HEADING_BYTES: usize = 512;
/// Between the headings of a path.
const WITHIN: &str = " > ";

/// A piece of a document that is found by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    pub text: String,
    /// The headings that it stands under, `A > B`; empty if there are none.
    pub heading: String,
    /// Where it begins, if the document has pages.
    pub page: Option<u32>,
}

impl Chunk {
    /// Of a text that stands under no heading and on no page.
    pub fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// What a model is shown: the text under its headings.
    pub fn shown(&self) -> String {
        if self.heading.is_empty() { self.text.clone() } else { format!("# {}\n\n{}", self.heading, self.text) }
    }

    /// Its tokens, estimated from above.
    pub(super) fn tokens(&self) -> usize {
        let shown = self.shown();
        Window::of(&shown).size(&shown)
    }

    /// What the embedder is given: the text behind as much of its headings and of the document's title as leaves it room, the innermost first.
    pub fn embedded(&self, title: Option<&str>) -> String {
        let title = title.filter(|title| !title.trim().is_empty() && !self.heading.starts_with(title.trim()));
        let mut parts: Vec<&str> = title.into_iter().map(str::trim).collect();
        parts.extend(self.heading.split(WITHIN).filter(|part| !part.is_empty()));
        // The outermost says least: it is most often the document's title.
        while !parts.is_empty() && Window::strict().size(&parts.join(WITHIN)) > CONTEXT_WINDOW {
            parts.remove(0);
        }
        if parts.is_empty() { self.text.clone() } else { format!("{}\n\n{}", parts.join(WITHIN), self.text) }
    }
}

/// The document's chunks in order; none is blank.
///
/// # Errors
/// `TooLarge` over `document_bytes` or `chunks_per_document`, `Empty` if it holds no text.
pub(super) fn split(document: &Document, limits: &Limits) -> Result<Vec<Chunk>, Error> {
    let Document { name, kind, text, pages, title, .. } = document;
    let too_large = |what, limit, key| Error::TooLarge { what: format!("{what} of `{name}`"), limit, key };
    if text.len() > limits.document_bytes {
        return Err(too_large("the size in bytes", limits.document_bytes, "limits.rag.document_bytes"));
    }
    // One more than allowed is enough to know; a hostile text is not cut to its end.
    let most = limits.chunks_per_document.saturating_add(1);
    let mut chunks = match kind {
        Kind::Text => plain(text, title.is_some(), most),
        Kind::Markdown => markdown(text, title.is_some(), most),
    };
    if chunks.is_empty() {
        return Err(Error::Empty { name: name.clone() });
    }
    if chunks.len() > limits.chunks_per_document {
        return Err(too_large("the number of chunks", limits.chunks_per_document, "limits.rag.chunks_per_document"));
    }
    for (at, chunk) in &mut chunks {
        chunk.page = page(pages, *at);
    }
    Ok(chunks.into_iter().map(|(_, chunk)| chunk).collect())
}

/// The page that a position is on.
fn page(pages: &[PageStart], at: usize) -> Option<u32> {
    let begun = pages.partition_point(|page| page.offset <= at);
    Some(pages.get(begun.checked_sub(1)?)?.number)
}

/// Each chunk with its place in the text.
fn plain(text: &str, titled: bool, most: usize) -> Vec<(usize, Chunk)> {
    let room = if titled { WINDOW - CONTEXT_WINDOW } else { WINDOW };
    let splitter = TextSplitter::new(ChunkConfig::new(room).with_sizer(Window::of(text)));
    let chunks = pieces(text, &[]).flat_map(|piece| {
        let found: Vec<_> = splitter.chunk_indices(&text[piece.clone()]).collect();
        found.into_iter().map(move |(at, chunk)| (piece.start + at, chunk))
    });
    chunks.filter(|(_, chunk)| !chunk.trim().is_empty()).map(|(at, chunk)| (at, Chunk::of(chunk))).take(most).collect()
}

fn markdown(document: &str, titled: bool, most: usize) -> Vec<(usize, Chunk)> {
    let window = Window::of(document);
    let mut headings = Headings::of(document);
    let room = if headings.is_empty() && !titled { WINDOW } else { WINDOW - CONTEXT_WINDOW };
    let mut chunks: Vec<(usize, Chunk)> = Vec::new();
    let mut bare: Option<String> = None;
    for (at, chunk, bytes) in split_markdown(document, room, window, &headings.starts()).filter(|(_, chunk, _)| !chunk.trim().is_empty()) {
        let (path, begin) = headings.under(at..at + bytes);
        // A heading alone would be found before what it stands over, and says nothing that this chunk does not.
        if bare.is_some_and(|line| path.contains(&line.as_str())) {
            chunks.pop();
        }
        let blank = document[begin..at + bytes].find(|c| c != '\r' && c != '\n').unwrap_or(0);
        let text = match chunk {
            Cow::Borrowed(chunk) => chunk[begin - at..].trim_start_matches(['\r', '\n']).to_owned(),
            Cow::Owned(rows) => rows,
        };
        chunks.push((begin + blank, Chunk { text, heading: path_of(&path), page: None }));
        bare = headings.alone(at..at + bytes).map(str::to_owned);
        if chunks.len() > most {
            break;
        }
    }
    chunks
}

/// The path of heading lines, as much of it as is kept.
fn path_of(lines: &[&str]) -> String {
    let titles: Vec<&str> = lines.iter().map(|line| line.trim_start_matches('#').trim()).filter(|title| !title.is_empty()).collect();
    let longest = |from: &usize| titles[*from..].join(WITHIN).len() <= HEADING_BYTES;
    let from = (0..titles.len()).find(longest).unwrap_or(titles.len().saturating_sub(1));
    let mut path = titles[from..].join(WITHIN);
    path.truncate(path.floor_char_boundary(HEADING_BYTES));
    path
}

/// The chunks of a Markdown text without their headings, each with its place and the bytes that it covers there. Tables that are larger than a
/// chunk are cut between their rows.
fn split_markdown<'a>(
    text: &'a str,
    room: usize,
    window: Window,
    headings: &[usize],
) -> impl Iterator<Item = (usize, Cow<'a, str>, usize)> {
    let mut spans = Vec::new();
    let mut from = 0;
    for table in Table::large(text, room, window) {
        spans.push((from..table.range.start, None));
        from = table.range.end;
        spans.push((table.range.clone(), Some(table)));
    }
    spans.push((from..text.len(), None));
    let headings = headings.to_vec();
    let plain = move |span: Range<usize>| {
        let splitter = MarkdownSplitter::new(ChunkConfig::new(room).with_sizer(window));
        let begin = span.start;
        let place = |at: usize| headings.partition_point(|heading| *heading < at);
        let within: Vec<usize> = headings[place(span.start)..place(span.end)].iter().map(|at| at - begin).collect();
        let pieces: Vec<Range<usize>> = pieces(&text[span], &within).map(|piece| begin + piece.start..begin + piece.end).collect();
        pieces.into_iter().flat_map(move |piece| {
            let found: Vec<_> = splitter.chunk_indices(&text[piece.clone()]).collect();
            found.into_iter().map(move |(at, chunk)| (piece.start + at, Cow::Borrowed(chunk), chunk.len()))
        })
    };
    spans.into_iter().flat_map(move |(span, table)| -> Box<dyn Iterator<Item = _> + 'a> {
        let Some(table) = table else { return Box::new(plain(span)) };
        let splitter = TextSplitter::new(ChunkConfig::new(room).with_sizer(window));
        let chunks = table.chunks(text, room, window).into_iter().flat_map(move |(at, rows)| {
            if rows.fits(room, window) {
                return vec![(at, Cow::Owned(rows.text()), rows.rows.len())];
            }
            splitter.chunk_indices(rows.rows).map(|(within, chunk)| (at + within, Cow::Borrowed(chunk), chunk.len())).collect()
        });
        Box::new(chunks)
    })
}

#[cfg(test)]
mod tests;
