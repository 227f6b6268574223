//! PDF, page by page, so that a file of very many pages costs what one of them costs.
//! Invariant: a file of which nothing can be read is an error and never an empty text.

use std::ops::ControlFlow;

use unpdf::render::BlockRenderer;
use unpdf::{Block, Error, ErrorKind, Page, PageStreamOptions, ParseEvent, ParseOptions, PdfParser};

use super::extracted::Extracted;
use super::reply::{Refused, one_line};
use crate::rag::{Kind, PageStart};

pub(super) fn read(bytes: &[u8], pages_max: usize, text_max: usize) -> Result<Extracted, Refused> {
    let parser = PdfParser::from_bytes_with_options(bytes, ParseOptions::new().lenient()).map_err(|error| refused(&error))?;
    let pages = parser.page_count();
    if pages as usize > pages_max {
        return Err(Refused::Pages);
    }
    if pages == 0 {
        return Err(Refused::damaged("it has no pages"));
    }
    let mut reading = Reading { text_max, ..Reading::default() };
    // One thread: the child has one processor's time, and what limits its memory counts each thread's heap.
    let options = PageStreamOptions { parallel: false, ..PageStreamOptions::default() };
    parser.for_each_page(options, |event| reading.take(event)).map_err(|error| refused(&error))?;
    reading.done(pages)
}

#[derive(Default)]
struct Reading {
    text_max: usize,
    renderer: BlockRenderer,
    title: Option<String>,
    text: String,
    pages: Vec<PageStart>,
    /// Pages that show something although they have no text.
    pictures: u32,
    failed: Option<Refused>,
    too_long: bool,
}

impl Reading {
    fn take(&mut self, event: ParseEvent) -> ControlFlow<()> {
        match event {
            ParseEvent::DocumentStart { metadata, .. } => self.title = metadata.title.as_deref().and_then(title),
            ParseEvent::PageParsed(page) => self.page(&page),
            ParseEvent::PageFailed { error, .. } => {
                self.failed.get_or_insert_with(|| refused(&error));
            }
            ParseEvent::Progress { .. } | ParseEvent::DocumentEnd { .. } => {}
        }
        self.too_long = self.text.len() > self.text_max;
        if self.too_long { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn page(&mut self, page: &Page) {
        let start = self.text.len();
        self.pages.push(PageStart { offset: start, number: page.number });
        let mut previous = None;
        for block in page.elements.iter().filter(|block| !matches!(block, Block::Image { .. })) {
            self.text.push_str(&self.renderer.render_block_after(previous, block));
            previous = Some(block);
        }
        let blank = self.text[start..].trim().is_empty();
        if blank {
            self.text.truncate(start);
        } else if !self.text.ends_with("\n\n") {
            self.text.push_str("\n\n");
        }
        let shows = page.image_op_count > 0 || page.fill_op_count > 0 || page.ocr_text_suppressed || page.suppressed_text_runs > 0;
        self.pictures += u32::from(blank && shows);
        if page.undecodable_content_streams > 0 && blank {
            self.failed.get_or_insert_with(|| Refused::damaged("what its pages show cannot be decoded"));
        }
    }

    fn done(self, pages: u32) -> Result<Extracted, Refused> {
        let Self { title, text, pages: starts, pictures, failed, too_long, .. } = self;
        if too_long {
            return Err(Refused::TextBytes);
        }
        if !text.trim().is_empty() {
            return Ok(Extracted { title, kind: Kind::Markdown, markdown: text, pages: starts });
        }
        Err(match failed {
            Some(why) => why,
            None if pictures > 0 => Refused::Scanned(pages),
            None => Refused::Empty,
        })
    }
}

/// What a writer's program put there may be the name of a file, which is worth nothing beside the document's own.
fn title(given: &str) -> Option<String> {
    let title = one_line(given)?;
    let title = title.strip_prefix("Microsoft Word - ").unwrap_or(&title);
    (!title.eq_ignore_ascii_case("untitled")).then(|| title.to_owned())
}

fn refused(error: &Error) -> Refused {
    match error.kind() {
        ErrorKind::Encrypted | ErrorKind::InvalidPassword => Refused::Encrypted,
        _ => Refused::damaged(error),
    }
}
