//! Tables of a Markdown text that are larger than a chunk. Each chunk of one begins with the table's header, without which a row says little, and
//! holds whole rows.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag};
use text_splitter::ChunkSizer as _;

use super::window::Window;

/// A table's place in its text.
pub(super) struct Table {
    pub(super) range: Range<usize>,
    /// The names of its columns and the line below them.
    header: Range<usize>,
}

impl Table {
    /// The tables of a text that do not fit into a chunk of `room` tokens, in their order.
    pub(super) fn large(text: &str, room: usize, window: Window) -> Vec<Self> {
        if !text.contains('|') {
            return Vec::new();
        }
        let tables = Parser::new_ext(text, Options::all()).into_offset_iter().filter_map(|(event, range)| match event {
            Event::Start(Tag::Table(_)) => Some(range),
            _ => None,
        });
        tables.filter(|range| window.size(&text[range.clone()]) > room).filter_map(|range| Self::at(text, range)).collect()
    }

    fn at(text: &str, range: Range<usize>) -> Option<Self> {
        let mut lines = text[range.clone()].split_inclusive('\n');
        let header = range.start..range.start + lines.next()?.len() + lines.next()?.len();
        Some(Self { range, header })
    }

    /// Chunks of at most `room` tokens, each with the byte offset of its first row. A header that would take half of the room stays with the
    /// first row alone; a row that does not fit beside its header is given by itself, for the caller to cut.
    pub(super) fn chunks<'a>(&self, text: &'a str, room: usize, window: Window) -> Vec<(usize, Rows<'a>)> {
        let header = text[self.header.clone()].trim_end();
        let cost = window.size(header);
        let (header, cost) = if cost * 2 > room { ("", 0) } else { (header, cost) };
        let mut chunks: Vec<(usize, Rows<'a>)> = Vec::new();
        let mut at = if header.is_empty() { self.range.start } else { self.header.end };
        let mut used = usize::MAX;
        for row in text[at..self.range.end].split_inclusive('\n') {
            let size = window.size(row);
            match chunks.last_mut() {
                Some((start, rows)) if used.saturating_add(size) <= room => {
                    rows.rows = &text[*start..at + row.len()];
                    used += size;
                }
                _ => {
                    chunks.push((at, Rows { header, rows: row }));
                    used = cost + size;
                }
            }
            at += row.len();
        }
        chunks
    }
}

/// Rows under their header.
pub(super) struct Rows<'a> {
    header: &'a str,
    pub(super) rows: &'a str,
}

impl Rows<'_> {
    /// Both as a table of their own.
    pub(super) fn text(&self) -> String {
        let rows = self.rows.trim_end();
        if self.header.is_empty() { rows.to_owned() } else { format!("{}\n{rows}", self.header) }
    }

    /// The rows with the header, or without it if only that fits.
    pub(super) fn fits(&self, room: usize, window: Window) -> bool {
        window.size(&self.text()) <= room
    }
}
