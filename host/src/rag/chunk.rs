//! Text to chunks: along headings, paragraphs and sentences, each inside the embedder's window.
//! A Markdown chunk begins with the headings it stands under, and one of a long table with the table's header, so that it is found, and
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
use super::{Document, Error, Kind, Limits};

/// Tokens of the window that are kept free for headings: two or three short lines.
const HEADINGS_WINDOW: usize = 20;

/// The document's chunks in order; none is blank.
///
/// # Errors
/// `TooLarge` over `document_bytes` or `chunks_per_document`, `Empty` if it holds no text.
pub(super) fn split(document: &Document, limits: &Limits) -> Result<Vec<String>, Error> {
    let Document { name, kind, text, .. } = document;
    let too_large = |what, limit, key| Error::TooLarge { what: format!("{what} of `{name}`"), limit, key };
    if text.len() > limits.document_bytes {
        return Err(too_large("the size in bytes", limits.document_bytes, "limits.rag.document_bytes"));
    }
    // One more than allowed is enough to know; a hostile text is not cut to its end.
    let most = limits.chunks_per_document.saturating_add(1);
    let chunks = match kind {
        Kind::Text => plain(text, most),
        Kind::Markdown => markdown(text, most),
    };
    if chunks.is_empty() {
        return Err(Error::Empty { name: name.clone() });
    }
    if chunks.len() > limits.chunks_per_document {
        return Err(too_large("the number of chunks", limits.chunks_per_document, "limits.rag.chunks_per_document"));
    }
    Ok(chunks)
}

fn plain(text: &str, most: usize) -> Vec<String> {
    let splitter = TextSplitter::new(ChunkConfig::new(WINDOW).with_sizer(Window::of(text)));
    let chunks = pieces(text, &[]).flat_map(|piece| splitter.chunks(&text[piece]));
    chunks.filter(|chunk| !chunk.trim().is_empty()).map(str::to_owned).take(most).collect()
}

fn markdown(text: &str, most: usize) -> Vec<String> {
    let window = Window::of(text);
    let mut headings = Headings::of(text);
    let room = if headings.is_empty() { WINDOW } else { WINDOW - HEADINGS_WINDOW };
    let mut chunks: Vec<String> = Vec::new();
    let mut bare: Option<String> = None;
    for (at, chunk, bytes) in split_markdown(text, room, window, &headings.starts()).filter(|(_, chunk, _)| !chunk.trim().is_empty()) {
        let mut above = headings.above(at);
        while window.size(&above.join("\n")) > HEADINGS_WINDOW {
            // The outermost says least: it is most often the document's title.
            above.remove(0);
        }
        // A heading alone would be found before what it stands over, and says nothing that this chunk does not.
        if bare.is_some_and(|line| above.contains(&line.as_str())) {
            chunks.pop();
        }
        chunks.push(if above.is_empty() { chunk.into_owned() } else { format!("{}\n\n{chunk}", above.join("\n")) });
        bare = headings.alone(at..at + bytes).map(str::to_owned);
        if chunks.len() > most {
            break;
        }
    }
    chunks
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
