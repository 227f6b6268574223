//! Puts the values back in what the model says. Of a text that comes in pieces only what can still become a placeholder is held back.

use cofferdam_guest::{Json, Tail};

use crate::mapping::Mapping;
use crate::placeholder::{self, Form, Found, Not};

/// What goes on of the tail.
pub(crate) fn decided(tail: &mut Tail, last: bool, form: Form, mapping: &Mapping) -> String {
    let (text, from) = tail.with_context();
    let (out, end) = restored(text, from, last, form, mapping);
    let _ = tail.take_to(end - from);
    out
}

/// A whole text; none if it holds no placeholder.
pub(crate) fn whole(text: &str, form: Form, mapping: &Mapping) -> Option<String> {
    let (out, _) = restored(text, 0, true, form, mapping);
    (out != text).then_some(out)
}

/// The text from `from` on, as far as it is decided, and where that ends.
fn restored(text: &str, from: usize, last: bool, form: Form, mapping: &Mapping) -> (String, usize) {
    let mut out = String::new();
    let (mut done, mut at) = (from, from);
    while let Some((offset, c)) = text[at..].char_indices().find(|(_, c)| placeholder::may_begin(*c)) {
        let start = at + offset;
        match placeholder::at(text, start, last, form) {
            Err(Not::Yet) => {
                out.push_str(&text[done..start]);
                return (out, start);
            }
            Ok(found) if let Some(value) = mapping.value(found.kind, found.number) => {
                out.push_str(&text[done..found.span.start]);
                write(&mut out, value, &found, form);
                done = found.span.end;
                at = done;
            }
            // A number that stands for nothing stays as the model wrote it.
            Ok(_) | Err(Not::One) => at = start + c.len_utf8(),
        }
    }
    out.push_str(&text[done..]);
    (out, text.len())
}

fn write(out: &mut String, value: &str, found: &Found, form: Form) {
    if found.encoded {
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => out.push(char::from(byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    } else if form == Form::Json {
        let json = Json::from(value);
        out.push_str(&json.as_str()[1..json.as_str().len() - 1]);
    } else {
        out.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placeholder::Kind;

    fn mapping() -> Mapping {
        let mut mapping = Mapping::default();
        mapping.placeholder(Kind::Name, "Jane \"J\" O'Neil");
        mapping.placeholder(Kind::Email, "jane@example.org");
        mapping
    }

    #[test]
    fn values_are_put_back_as_the_text_wants_them() {
        let mapping = mapping();
        let plain = |text: &str| whole(text, Form::Plain, &mapping);
        assert_eq!(plain("Dear [MASKED_NAME_1],").as_deref(), Some("Dear Jane \"J\" O'Neil,"));
        assert_eq!(plain("MASKED_NAME_12 [MASKED_EMAIL_2] masked"), None);
        assert_eq!(
            plain("[[MASKED_EMAIL_1]](mailto:MASKED_EMAIL_1?subject=%5BMASKED_NAME_1%5D)").as_deref(),
            Some("[jane@example.org](mailto:jane@example.org?subject=Jane%20%22J%22%20O%27Neil)")
        );
        let json = whole("{\"text\":\"Hi,\\nMASKED_NAME_1 \\\\[MASKED\\\\_EMAIL\\\\_1\\\\]\"}", Form::Json, &mapping).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["text"], "Hi,\nJane \"J\" O'Neil jane@example.org");
    }

    #[test]
    fn no_more_is_held_back_than_is_needed() {
        let mapping = mapping();
        let mut tail = Tail::default();
        for (piece, held) in
            [("Many m", "m"), ("en wrote [", "["), ("1], and [MASKED_NAME", "[MASKED_NAME"), ("_1]", "[MASKED_NAME_1]"), (".", "")]
        {
            tail.push(piece);
            let _ = decided(&mut tail, false, Form::Plain, &mapping);
            assert_eq!(tail.as_str(), held);
        }
    }

    #[test]
    fn long_texts_take_time_in_proportion() {
        for text in ["\\".repeat(200_000), "[".repeat(200_000), "masked ".repeat(50_000), "[MASKED_NAME_9] ".repeat(20_000)] {
            assert_eq!(whole(&text, Form::Plain, &mapping()), None);
        }
    }
}
