//! Tables of text, whatever separates their fields, as one table of Markdown: a chunk of it keeps the names of its columns.
//! Invariant: every row is one line with as many fields as the rows before it, at least.

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};

use super::extracted::Extracted;
use super::reply::Refused;
use crate::rag::Kind;

/// What separates fields, best first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows that are looked at to know the separator.
const LOOKED_AT: usize = 50;

pub(super) fn read(text: &str, text_max: usize) -> Result<Extracted, Refused> {
    let mut table = String::new();
    let mut columns = 0;
    for record in Records::of(text, separator(text)) {
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        let header = columns == 0;
        columns = columns.max(record.len());
        row(&mut table, record.iter().map(String::as_str), if header { 0 } else { columns });
        if header {
            row(&mut table, std::iter::repeat_n("---", columns), 0);
        }
        if table.len() > text_max {
            return Err(Refused::TextBytes);
        }
    }
    Ok(Extracted { title: None, kind: Kind::Markdown, markdown: table, pages: Vec::new() })
}

/// The rows of a table, each as its fields without their quotes.
struct Records<'a> {
    reader: Reader,
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    fn of(text: &'a str, separator: u8) -> Self {
        Self { reader: ReaderBuilder::new().delimiter(separator).build(), rest: text.as_bytes() }
    }
}

impl Iterator for Records<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        let (mut fields, mut field) = (Vec::new(), Vec::new());
        let mut piece = [0; 1 << 10];
        loop {
            let (result, read, written) = self.reader.read_field(self.rest, &mut piece);
            self.rest = &self.rest[read..];
            field.extend_from_slice(&piece[..written]);
            match result {
                // No input is left, which the reader is told by being asked again.
                ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
                ReadFieldResult::Field { record_end } => {
                    fields.push(String::from_utf8_lossy(&std::mem::take(&mut field)).into_owned());
                    if record_end {
                        return Some(fields);
                    }
                }
                ReadFieldResult::End => return None,
            }
        }
    }
}

/// The one that cuts the first rows into the most columns, the same number in each; else a comma.
fn separator(text: &str) -> u8 {
    let columns = |separator: u8| {
        let rows: Vec<usize> = Records::of(text, separator).take(LOOKED_AT).map(|row| row.len()).collect();
        let first = *rows.first()?;
        (first > 1 && rows.iter().all(|columns| *columns == first)).then_some(first)
    };
    let found = SEPARATORS.into_iter().rev().filter_map(|separator| Some((columns(separator)?, separator)));
    found.max_by_key(|(columns, _)| *columns).map_or(b',', |(_, separator)| separator)
}

/// One line of a table, at least so many fields long.
fn row<'a>(table: &mut String, fields: impl Iterator<Item = &'a str>, columns: usize) {
    table.push('|');
    let mut count = 0;
    for field in fields {
        table.push(' ');
        let mut words = field.split_whitespace().peekable();
        while let Some(word) = words.next() {
            // A bar would end the field.
            word.split_inclusive('|').for_each(|part| match part.strip_suffix('|') {
                Some(part) => table.extend([part, "\\|"]),
                None => table.push_str(part),
            });
            if words.peek().is_some() {
                table.push(' ');
            }
        }
        table.push_str(" |");
        count += 1;
    }
    table.extend(std::iter::repeat_n(" |", columns.saturating_sub(count)));
    table.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(read(text, 1 << 20).unwrap().markdown, expected);
    }

    #[test]
    fn rows_become_a_table_under_its_header() {
        check("name,price\npump,9\n", "| name | price |\n| --- | --- |\n| pump | 9 |\n");
        check("name;price\n\"pump; large\";9,50\n", "| name | price |\n| --- | --- |\n| pump; large | 9,50 |\n");
        check("a\tb\n1\t2\n", "| a | b |\n| --- | --- |\n| 1 | 2 |\n");
        check("a,b\n\"two\nlines\",x|y\n", "| a | b |\n| --- | --- |\n| two lines | x\\|y |\n");
        check("a,b\n\n1\n,,\n1,2,3\n", "| a | b |\n| --- | --- |\n| 1 | |\n| 1 | 2 | 3 |\n");
        check("only\none\n", "| only |\n| --- |\n| one |\n");
    }

    #[test]
    fn a_table_is_limited() {
        let text = "a,b\n".repeat(100);
        assert_eq!(read(&text, 99).unwrap_err(), Refused::TextBytes);
    }
}
