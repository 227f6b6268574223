//! DOCX, PPTX and XLSX: archives of XML. How much there is in an archive is looked at before any of it is unpacked.

use std::collections::HashMap;
use std::io::Cursor;

use undoc::render::{RenderOptions, render_section_to_string};
use undoc::{Error, ErrorKind, FormatType};

use super::extracted::Extracted;
use super::reply::{Refused, one_line};
use crate::rag::{Kind, PageStart};

/// What an archive may unpack to, however small it is: what an empty document of an Office program unpacks to, many times over.
const UNPACKED_LEAST: usize = 4 << 20;

/// The bytes at which a compound file begins, in which older programs keep documents and all of them those with a password.
const COMPOUND: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0];

pub(super) fn read(bytes: Vec<u8>, pages_max: usize, text_max: usize, expansion: usize) -> Result<Extracted, Refused> {
    if !bytes.starts_with(COMPOUND) {
        look(&bytes, expansion)?;
    }
    let document = undoc::parse_bytes(&bytes).map_err(|error| refused(&error))?;
    drop(bytes);
    let slides = document.format == FormatType::Pptx;
    if slides && document.sections.len() > pages_max {
        return Err(Refused::Pages);
    }
    let options = RenderOptions { include_images: false, ..RenderOptions::default() };
    let (mut text, mut pages) = (String::new(), Vec::new());
    for (section, number) in document.sections.iter().zip(1..) {
        if slides {
            pages.push(PageStart { offset: text.len(), number });
        }
        // As the first one: those behind it would begin with a line across the page.
        let section = render_section_to_string(section, 0, document.format, &options, &HashMap::new());
        let section = section.trim();
        if !section.is_empty() {
            text.push_str(section);
            text.push_str("\n\n");
        }
        if text.len() > text_max {
            return Err(Refused::TextBytes);
        }
    }
    let title = document.metadata.title.as_deref().and_then(one_line);
    Ok(Extracted { title, kind: Kind::Markdown, markdown: text, pages })
}

/// Refuses an archive that is none of an Office program's, or that says that it unpacks to too much. One that lies about that is found out by
/// whoever unpacks it, and by the limit of memory.
fn look(bytes: &[u8], expansion: usize) -> Result<(), Refused> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(Refused::damaged)?;
    let mut unpacked = 0_u64;
    for index in 0..archive.len() {
        unpacked = unpacked.saturating_add(archive.by_index_raw(index).map_err(Refused::damaged)?.size());
    }
    if unpacked > unpacked_max(bytes.len(), expansion) {
        return Err(Refused::Expansion);
    }
    let has = |name: &str| archive.index_for_name(name).is_some();
    if has("[Content_Types].xml") || has("EncryptedPackage") {
        return Ok(());
    }
    Err(Refused::Kind(if has("mimetype") { "an OpenDocument or EPUB file" } else { "a ZIP archive" }.into()))
}

fn unpacked_max(bytes: usize, expansion: usize) -> u64 {
    bytes.saturating_mul(expansion).max(UNPACKED_LEAST) as u64
}

fn refused(error: &Error) -> Refused {
    match error.kind() {
        ErrorKind::Encrypted => Refused::Encrypted,
        ErrorKind::UnknownFormat | ErrorKind::UnsupportedFormat => Refused::Kind("an Office file of an older or another kind".into()),
        _ => Refused::damaged(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_archive_may_unpack_to_is_a_multiple_of_its_size_or_some_megabytes() {
        assert_eq!(unpacked_max(10, 100), UNPACKED_LEAST as u64);
        assert_eq!(unpacked_max(1 << 20, 100), 100 << 20);
        assert_eq!(unpacked_max(usize::MAX, 100), usize::MAX as u64);
    }
}
