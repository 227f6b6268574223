//! Text to chunks: along headings, paragraphs and sentences, each inside the embedder's window.
//! A Markdown chunk begins with the headings it stands under, so that it is found, and understood, apart from its document.

mod headings;
mod pieces;
mod window;

use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use self::headings::Headings;
use self::pieces::pieces;
use self::window::{WINDOW, Window};
use super::{Document, Error, Kind, Limits};

/// Tokens of the window that are kept free for headings: two or three short lines.
const HEADINGS_WINDOW: usize = 20;

/// The document's chunks in order; none is blank.
///
/// # Errors
/// `TooLarge` over `document_bytes` or `chunks_per_document`, `Empty` if it holds no text.
pub(super) fn split(document: &Document, limits: &Limits) -> Result<Vec<String>, Error> {
    let Document { name, kind, text } = document;
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
    let splitter = MarkdownSplitter::new(ChunkConfig::new(room).with_sizer(window));
    let mut chunks: Vec<String> = Vec::new();
    let mut bare: Option<String> = None;
    let starts = headings.starts();
    let split = pieces(text, &starts)
        .flat_map(|piece| splitter.chunk_indices(&text[piece.clone()]).map(move |(at, chunk)| (piece.start + at, chunk)));
    for (at, chunk) in split.filter(|(_, chunk)| !chunk.trim().is_empty()) {
        let mut above = headings.above(at);
        while window.size(&above.join("\n")) > HEADINGS_WINDOW {
            // The outermost says least: it is most often the document's title.
            above.remove(0);
        }
        // A heading alone would be found before what it stands over, and says nothing that this chunk does not.
        if bare.is_some_and(|line| above.contains(&line.as_str())) {
            chunks.pop();
        }
        chunks.push(if above.is_empty() { chunk.to_owned() } else { format!("{}\n\n{chunk}", above.join("\n")) });
        bare = headings.alone(at..at + chunk.len()).map(str::to_owned);
        if chunks.len() > most {
            break;
        }
    }
    chunks
}

#[cfg(test)]
mod tests;
