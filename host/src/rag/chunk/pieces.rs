//! A document in pieces of some kilobytes, cut where a chunk would end anyway. The splitter's time grows with the square of its text:
//! 256 KiB of Chinese took it ten seconds, a single word of that length thirty. The pieces together are the whole text, in order.

use std::ops::Range;

/// About twenty chunks: few ends that a chunk would not have chosen, and a millisecond for the splitter.
const PIECE_BYTES: usize = 8 << 10;

/// Where to cut, best first, if there is no heading.
const ENDS: [&str; 6] = ["\n\n", "\n", ". ", "。", " ", ""];

/// The pieces in order, together the whole text. `headings` are the byte offsets where one begins, rising.
pub(super) fn pieces(text: &str, headings: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let piece = start..end(text, start, headings);
        start = piece.end;
        Some(piece).filter(|piece| !piece.is_empty())
    })
}

fn end(text: &str, start: usize, headings: &[usize]) -> usize {
    let most = text.floor_char_boundary(start + PIECE_BYTES);
    if most == text.len() {
        return most;
    }
    // Not before the middle, or a text could be made to fall into pieces without number.
    let middle = text.floor_char_boundary(start + PIECE_BYTES / 2);
    let heading = headings.partition_point(|at| *at <= most).checked_sub(1).map(|last| headings[last]);
    if let Some(heading) = heading.filter(|at| *at > middle) {
        return heading;
    }
    let tail = &text[middle..most];
    let ends = ENDS.iter().find_map(|end| tail.rfind(end).map(|at| middle + at + end.len()));
    ends.unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, headings: &[usize], ends_with: &str) {
        let pieces: Vec<&str> = pieces(text, headings).map(|range| &text[range]).collect();
        assert_eq!(pieces.concat(), text);
        let (last, others) = pieces.split_last().expect("not empty");
        assert!(others.len() > 1 && last.len() <= PIECE_BYTES);
        for piece in others {
            assert!(piece.ends_with(ends_with) && piece.len() > PIECE_BYTES / 2 - 4 && piece.len() <= PIECE_BYTES, "{piece}");
        }
    }

    #[test]
    fn a_text_is_cut_at_the_best_end_in_the_second_half_of_a_piece() {
        check(&"A line. Another.\nA third.\n\n".repeat(2000), &[], "\n\n");
        check(&"A line. Another.\n".repeat(2000), &[], ".\n");
        check(&"A line. Another. ".repeat(2000), &[], ". ");
        check(&"防水。圍堰".repeat(3000), &[], "。");
        check(&"word ".repeat(9000), &[], " ");
        check(&"é".repeat(30_000), &[], "é");
    }

    #[test]
    fn a_heading_is_the_best_place_to_cut_before() {
        let section = format!("# A heading\n\n{}\n\nEnd", "text\n\n".repeat(900));
        let text = section.repeat(5);
        let headings: Vec<usize> = (0..5).map(|n| n * section.len()).collect();
        check(&text, &headings, "End");
    }

    #[test]
    fn an_empty_text_has_no_pieces() {
        assert_eq!(pieces("", &[]).count(), 0);
    }
}
