//! Cuts, headings, limits, and that nothing reaches over the embedder's window: seen from outside, since its tokenizer is private.

use cofferdam_encoder::{Encoder, Purpose};

use super::super::Error;
use super::*;

const PROSE: &str = "A cofferdam keeps the water out while people work below the waterline. It is pumped dry before anybody climbs in, and \
    its walls are inspected twice each day. When the river rises, the foreman stops the work; nobody argues about it. The piles are driven \
    first, deep enough that the current cannot undermine them, and the sheets between them are caulked with whatever is at hand. ";

fn document(kind: Kind, text: impl Into<String>) -> Document {
    Document::new("a document", kind, text)
}

/// What the embedder is given.
fn chunks(kind: Kind, text: impl Into<String>) -> Vec<String> {
    embedded(&split(&document(kind, text), &Limits::default()).expect("within the limits"))
}

fn embedded(chunks: &[Chunk]) -> Vec<String> {
    chunks.iter().map(|chunk| chunk.embedded(None)).collect()
}

/// The chunks of each text that embedders' windows are blown by.
fn hostile_texts() -> Vec<(&'static str, Vec<String>)> {
    let german = "Die Donaudampfschifffahrtsgesellschaft prüft Rechtsschutzversicherungsverträge, Grundstücksverkehrsgenehmigungszuständigkeiten, \
        Krankenversicherungsbeitragssätze und die Straßenverkehrszulassungsordnung für Kraftfahrzeughaftpflichtversicherungen jährlich. ";
    let cjk = "防水圍堰在施工期間將水擋在外面，每天檢查兩次。水門の壁は毎日二回点検され、川が増水すると作業は中止されます。\
        가물막이는 공사 중에 물을 막아 주며 매일 두 번 점검합니다. 鑿齾龘靐飝驫麤。";
    let urls: String = (0..40)
        .map(|n| format!("https://docs.example.com/v{n}/guides/getting-started?utm_source=mail&id={}#section-{n}\n", n * 7_919_993))
        .collect();
    let digits: String = (1_u64..200).map(|n| format!("{} {:.6} ", n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n as f64 / 7.0)).collect();
    let hashes: String =
        (1_u64..60).map(|n| format!("{:032x}\n", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))).collect();
    let text = |text: &str| chunks(Kind::Text, text.repeat(6));
    vec![
        ("English prose", text(PROSE)),
        ("code", chunks(Kind::Text, include_str!("../embed.rs"))),
        (
            "Markdown with code",
            chunks(Kind::Markdown, format!("# Guide\n\n## Sources\n\n```rust\n{}\n```\n", include_str!("../knowledge.rs"))),
        ),
        ("URLs", text(&urls)),
        ("German compounds", text(german)),
        ("Chinese, Japanese, Korean", text(cjk)),
        ("digits", text(&digits)),
        ("hashes", text(&hashes)),
    ]
}

#[test]
fn no_chunk_is_cut_by_the_embedder() {
    let encoder = Encoder::builtin().unwrap();
    for (name, chunks) in hostile_texts() {
        assert!(chunks.len() > 3, "{name} is longer than a window");
        // First, middle and last: texts repeat themselves, and an embedding takes its time.
        for chunk in [&chunks[0], &chunks[chunks.len() / 2], &chunks[chunks.len() - 2]] {
            let longer = format!("{chunk} zebra");
            let vectors = encoder.embed(&[chunk, &longer], Purpose::Document).unwrap();
            let change = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(change > 1e-4, "{name}: a word after the chunk is not seen, so its own end was not either: {chunk}");
        }
    }
}

#[test]
fn prose_fills_the_window_and_ends_with_sentences() {
    let chunks = chunks(Kind::Text, PROSE.repeat(10));
    let mean = PROSE.len() * 10 / chunks.len();
    assert!(mean > 250, "{mean} bytes");
    assert!(chunks.iter().all(|chunk| chunk.ends_with(['.', ';'])), "{chunks:#?}");
}

#[test]
fn every_word_is_in_a_chunk_once_and_in_order() {
    let words: Vec<String> = (0..3000).map(|n| if n % 11 == 0 { format!("w{n}.\n") } else { format!("w{n}") }).collect();
    let text = words.join(" ");
    let joined = chunks(Kind::Text, text.as_str()).join(" ");
    assert_eq!(joined.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn a_markdown_chunk_begins_with_the_headings_it_stands_under() {
    let text = format!("# Manual\n\nShort.\n\n## Pumps\n\n{}\n\n## Walls\n\nCaulk them.\n", PROSE.repeat(3));
    let chunks = chunks(Kind::Markdown, text);
    let under = |heading: &str| chunks.iter().filter(|chunk| chunk.contains(heading)).count();
    assert_eq!(under("Walls"), 1);
    let pumps: Vec<_> = chunks.iter().filter(|chunk| chunk.contains("Pumps")).collect();
    assert!(pumps.len() > 2 && pumps.iter().all(|chunk| chunk.starts_with("Manual > Pumps\n\n")), "{chunks:#?}");
    assert!(chunks.last().unwrap().ends_with("Caulk them."));
}

#[test]
fn headings_too_long_for_their_room_give_way_from_the_outside() {
    let title = "An unusually long title that nobody would ever read to its end because it goes on and on about everything";
    let chunks = chunks(Kind::Markdown, format!("# {title}\n\n## Pumps\n\n{}", PROSE.repeat(2)));
    assert!(chunks.len() > 1 && chunks[1..].iter().all(|chunk| chunk.starts_with("Pumps\n\n")), "{chunks:#?}");
    let window = Window::of(PROSE);
    assert!(chunks.iter().all(|chunk| window.size(chunk) <= WINDOW));
}

#[test]
fn a_heading_alone_is_a_chunk_only_where_no_other_carries_it() {
    assert_eq!(
        chunks(Kind::Markdown, format!("## Pumps\n\n{}", PROSE.repeat(2)))
            .iter()
            .filter(|chunk| chunk.trim_end() == "## Pumps" || *chunk == "Pumps")
            .count(),
        0
    );
    assert_eq!(chunks(Kind::Markdown, "# Empty\n"), ["# Empty"]);
}

fn table(rows: usize, note: &str) -> String {
    let rows: String = (0..rows).map(|n| format!("| P-{n:03} | {} bar | {note} {n} | {} |\n", n % 17, 1000 + n)).collect();
    format!("| part | pressure | note | price |\n| --- | --- | --- | --- |\n{rows}")
}

#[test]
fn every_chunk_of_a_long_table_has_its_header_and_whole_rows() {
    let text = format!("# Parts\n\nBefore.\n\n{}\nAfter.\n", table(120, "valve of a long series with some words"));
    let chunks = chunks(Kind::Markdown, text);
    let window = Window::of("plain English");
    for n in 0..120 {
        let row = format!("| P-{n:03} |");
        let [chunk] = chunks.iter().filter(|chunk| chunk.contains(&row)).collect::<Vec<_>>()[..] else { panic!("{row} is in one chunk") };
        assert!(chunk.starts_with("Parts\n\n| part | pressure | note | price |\n| --- |"), "{chunk}");
        assert!(window.size(chunk) <= WINDOW && chunk.lines().skip(2).all(|line| line.ends_with('|')), "{chunk}");
    }
    assert!(chunks.first().unwrap().contains("Before.") && chunks.last().unwrap().contains("After."));
}

#[test]
fn a_table_that_fits_stays_with_the_words_around_it() {
    let text = format!("# Parts\n\nThe valves:\n\n{}\nAll of them.\n", table(2, "valve"));
    assert_eq!(chunks(Kind::Markdown, text.as_str()), [text.trim_start_matches("# ").trim_end()]);
}

#[test]
fn a_header_or_a_row_too_wide_for_a_chunk_is_cut_like_any_other_text() {
    let wide = |cell: &str| format!("| {} |\n", [cell; 90].join(" | "));
    for text in [
        wide("column") + &wide("---") + &wide("cell").repeat(20),
        format!("| a | b |\n| - | - |\n| {} | y |\n| z | {} |\n", "word ".repeat(300), "word ".repeat(300)),
        format!("| a |\n| - |{}", "\n| x |".repeat(3000)),
    ] {
        let chunks = chunks(Kind::Markdown, text.as_str());
        let window = Window::of(&text);
        assert!(chunks.len() > 5 && chunks.iter().all(|chunk| window.size(chunk) <= WINDOW), "{chunks:#?}");
        for word in ["cell", "column", "word", "| z |", "| x |"].into_iter().filter(|word| text.contains(word)) {
            assert!(chunks.iter().any(|chunk| chunk.contains(word)), "{word}");
        }
    }
}

#[test]
fn a_text_without_words_is_empty() {
    for (kind, text) in [(Kind::Text, ""), (Kind::Text, " \n\t\n "), (Kind::Markdown, "\n\n")] {
        assert!(matches!(split(&document(kind, text), &Limits::default()), Err(Error::Empty { .. })), "{text:?}");
    }
}

#[test]
fn a_document_of_just_the_allowed_bytes_passes_and_one_more_does_not() {
    let limits = Limits { document_bytes: PROSE.len(), ..Limits::default() };
    assert!(split(&document(Kind::Text, PROSE), &limits).is_ok());
    let error = split(&document(Kind::Text, format!("{PROSE}.")), &limits).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit, key: "limits.rag.document_bytes", .. } if limit == PROSE.len()), "{error}");
}

#[test]
fn a_document_of_just_the_allowed_chunks_passes_and_one_more_does_not() {
    for kind in [Kind::Text, Kind::Markdown] {
        let text = PROSE.repeat(5);
        let count = chunks(kind, text.as_str()).len();
        let allowed = |chunks_per_document| split(&document(kind, text.as_str()), &Limits { chunks_per_document, ..Limits::default() });
        assert_eq!(allowed(count).unwrap().len(), count);
        let error = allowed(count - 1).unwrap_err();
        assert!(matches!(error, Error::TooLarge { key: "limits.rag.chunks_per_document", .. }), "{error}");
    }
}

#[test]
fn hostile_markdown_is_cut_like_any_other() {
    let deep = "> ".repeat(2000) + "end";
    let list: String = (0..300).map(|n| format!("{}- item\n", " ".repeat(n))).collect();
    for text in
        [deep, list, "```\nnever closed ".repeat(50), "# ".repeat(500), "[".repeat(5000), "\u{feff}\r\n# A\r\n\r\ntext\0text".into()]
    {
        let limits = Limits::default();
        let window = Window::of(&text);
        let chunks = embedded(&split(&document(Kind::Markdown, text), &limits).unwrap_or_default());
        assert!(chunks.iter().all(|chunk| !chunk.trim().is_empty() && window.size(chunk) <= WINDOW));
    }
}

#[test]
fn a_chunk_knows_its_headings_and_its_page() {
    let text = format!("# Manual\n\nShort.\n\n## Pumps\n\n{}\n\n## Walls\n\nCaulk them.\n", PROSE.repeat(3));
    let starts = [("# Manual", 3), ("## Pumps", 4), ("Caulk", 9)];
    let pages = starts.map(|(what, number)| PageStart { offset: text.find(what).expect("it is there"), number }).to_vec();
    let found = split(&Document { pages, ..document(Kind::Markdown, text) }, &Limits::default()).expect("within the limits");
    let shown = |chunk: &Chunk| (chunk.heading.clone(), chunk.page);
    assert_eq!((found[0].text.as_str(), shown(&found[0])), ("Short.", ("Manual".into(), Some(3))));
    assert!(found[1..found.len() - 1].iter().all(|chunk| shown(chunk) == ("Manual > Pumps".into(), Some(4))), "{found:#?}");
    let last = found.last().expect("more than one");
    assert_eq!((last.text.as_str(), shown(last)), ("Caulk them.", ("Manual > Walls".into(), Some(9))));
    assert_eq!((page(&[], 5), page(&[PageStart { offset: 6, number: 1 }], 5)), (None, None));
}

#[test]
fn the_title_is_embedded_as_far_as_it_fits_and_not_twice() {
    let chunk = |heading: &str| Chunk { heading: heading.into(), ..Chunk::of("text") };
    assert_eq!(chunk("").embedded(Some("Handbook")), "Handbook\n\ntext");
    assert_eq!(chunk("Pumps").embedded(Some("Handbook")), "Handbook > Pumps\n\ntext");
    assert_eq!(chunk("Handbook > Pumps").embedded(Some("Handbook")), "Handbook > Pumps\n\ntext");
    assert_eq!(chunk("Pumps").embedded(Some(&"a long title ".repeat(9))), "Pumps\n\ntext");
    assert_eq!(chunk("").embedded(Some(" ")), "text");
}

#[test]
fn a_path_of_headings_is_kept_up_to_its_bytes() {
    let long = format!("# {}", "é".repeat(HEADING_BYTES));
    assert_eq!(path_of(&[&long, "## B"]), "B");
    assert_eq!(path_of(&["# A", &long]).len(), HEADING_BYTES);
    let edge = format!("# {}", "e".repeat(HEADING_BYTES - "A > ".len()));
    assert_eq!(path_of(&["# A", &edge]).len(), HEADING_BYTES);
}
