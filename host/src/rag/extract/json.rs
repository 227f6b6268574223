//! JSON as lines of plain text, each with the path to its value, so that a chunk says what its values are of. Records are paragraphs.

use std::fmt::Write as _;

use serde_json::Value;

use super::extracted::Extracted;
use super::reply::{Refused, one_line};
use crate::rag::Kind;

pub(super) fn read(text: &str, text_max: usize) -> Result<Extracted, Refused> {
    let value: Value = serde_json::from_str(text).map_err(Refused::damaged)?;
    let mut title = None;
    let mut written = Written { text: String::new(), text_max };
    match &value {
        Value::Array(records) => records.iter().try_for_each(|record| written.record(record))?,
        record => {
            title = record.get("title").and_then(Value::as_str).and_then(one_line);
            written.record(record)?;
        }
    }
    Ok(written.done(title))
}

/// A value a line.
pub(super) fn read_lines(text: &str, text_max: usize) -> Result<Extracted, Refused> {
    let mut written = Written { text: String::new(), text_max };
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let record: Value = serde_json::from_str(line).map_err(|error| Refused::damaged(format!("line {number}: {error}")))?;
        written.record(&record)?;
    }
    Ok(written.done(None))
}

struct Written {
    text: String,
    text_max: usize,
}

impl Written {
    fn record(&mut self, record: &Value) -> Result<(), Refused> {
        let start = self.text.len();
        self.value(&mut String::new(), record)?;
        if self.text.len() > start {
            self.text.push('\n');
        }
        Ok(())
    }

    /// The reader's own limit of depth, 128, is also the one of this recursion.
    fn value(&mut self, path: &mut String, value: &Value) -> Result<(), Refused> {
        let length = path.len();
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                for (name, value) in fields {
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(name);
                    self.value(path, value)?;
                    path.truncate(length);
                }
            }
            Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
                let items: Vec<String> = items.iter().filter_map(scalar).collect();
                self.line(path, &items.join(", "))?;
            }
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let _ = write!(path, "[{number}]");
                    self.value(path, item)?;
                    path.truncate(length);
                }
            }
            single => self.line(path, &scalar(single).unwrap_or_default())?,
        }
        Ok(())
    }

    fn line(&mut self, path: &str, value: &str) -> Result<(), Refused> {
        if value.trim().is_empty() {
            return Ok(());
        }
        if !path.is_empty() {
            self.text.extend([path, ": "]);
        }
        self.text.extend([value.trim(), "\n"]);
        if self.text.len() > self.text_max { Err(Refused::TextBytes) } else { Ok(()) }
    }

    fn done(self, title: Option<String>) -> Extracted {
        Extracted { title, kind: Kind::Text, markdown: self.text, pages: Vec::new() }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_lines_with_their_paths_and_records_are_paragraphs() {
        let one = read(r#"{"title":"Pumps","made":{"by":"Ada","in":[1998,2001]},"parts":[{"no":"A-1"},{"no":"A-2"}],"note":null}"#, 999);
        let expected = "title: Pumps\nmade.by: Ada\nmade.in: 1998, 2001\nparts[0].no: A-1\nparts[1].no: A-2\n\n";
        let one = one.unwrap();
        assert_eq!((one.markdown.as_str(), one.title.as_deref(), one.kind), (expected, Some("Pumps"), Kind::Text));
        assert_eq!(read(r#"[{"a":1},{"a":"two"},{},"three"]"#, 99).unwrap().markdown, "a: 1\n\na: two\n\nthree\n\n");
        assert_eq!(read_lines("{\"a\":1}\n\n{\"a\":true}\n", 99).unwrap().markdown, "a: 1\n\na: true\n\n");
    }

    #[test]
    fn a_broken_line_is_named_and_the_text_is_limited() {
        assert!(matches!(read_lines("{}\n{\"a\"\n", 99), Err(Refused::Damaged(why)) if why.contains("line 2")));
        assert!(matches!(read(&"[".repeat(200_000), 99), Err(Refused::Damaged(why)) if why.contains("recursion")));
        assert_eq!(read(r#"{"a":"0123456789"}"#, 9).unwrap_err(), Refused::TextBytes);
    }
}
