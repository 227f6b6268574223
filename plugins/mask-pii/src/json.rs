//! Changes the strings of a JSON text and leaves every other byte as it is: no order of keys and no white space changes. What the strings mean is
//! for `change` to know.

use cofferdam_guest::Json;

/// Offers each string to `change` with the key under which it stands, but not those under the keys in `opaque`. Keys and numbers are offered too; a
/// number that is changed becomes a string. None if nothing changed, or if a string is none that JSON allows.
pub(crate) fn map(json: &str, opaque: &[&str], mut change: impl FnMut(&str, &str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let (mut done, mut at) = (0, 0);
    let mut key = String::new();
    while let Some(start) = json[at..].find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()).map(|offset| at + offset) {
        let is_string = json[start..].starts_with('"');
        let end = if is_string { string_end(json, start)? } else { number_end(json, start) };
        let token = &json[start..end];
        at = end;
        let is_key = is_string && json[end..].trim_start().starts_with(':');
        let text = if is_string { serde_json::from_str::<String>(token).ok()? } else { token.to_owned() };
        let new = match (is_key, opaque.contains(&key.as_str())) {
            (true, _) => change("", &text),
            (false, false) => change(&key, &text),
            (false, true) => None,
        };
        if is_key {
            key = text;
        }
        if let Some(new) = new {
            out.push_str(&json[done..start]);
            out.push_str(Json::from(new).as_str());
            done = end;
        }
    }
    (done > 0).then(|| out + &json[done..])
}

/// Whether the text is an object or a list of JSON.
pub(crate) fn is_container(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The end of the string that starts with the quote at `start`.
fn string_end(json: &str, start: usize) -> Option<usize> {
    let mut escaped = false;
    for (offset, byte) in json.bytes().enumerate().skip(start + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(offset + 1),
            _ => {}
        }
    }
    None
}

fn number_end(json: &str, start: usize) -> usize {
    json[start..].find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).map_or(json.len(), |length| start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_keys_and_numbers_are_offered_and_the_rest_stays() {
        let json = "{ \"a\\u0062\" : [\"x\", 12.5e3,true],\"id\":\"x\", \"n\":{\"x\":-7} }";
        let mut seen = Vec::new();
        let new = map(json, &["id"], |key, text| {
            seen.push(format!("{key}={text}"));
            matches!(text, "x" | "-7").then(|| "\"new\"".to_owned())
        });
        assert_eq!(seen, ["=ab", "ab=x", "ab=12.5e3", "=id", "=n", "=x", "x=-7"]);
        let quoted = "\\\"new\\\"";
        let expected = format!("{{ \"a\\u0062\" : [\"{quoted}\", 12.5e3,true],\"id\":\"x\", \"n\":{{\"{quoted}\":\"{quoted}\"}} }}");
        assert_eq!(new, Some(expected));
        assert_eq!(map(json, &[], |_, _| None), None);
        assert_eq!(map("[\"a", &[], |_, _| Some(String::new())), None);
    }

    #[test]
    fn prose_is_no_json() {
        assert!(is_container(" {\"a\":[1]}\n") && is_container("[]"));
        assert!(!is_container("[1] says so") && !is_container("12") && !is_container("{a}") && !is_container(""));
    }
}
