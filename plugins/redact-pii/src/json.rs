//! Changes the string values of a JSON text and leaves every other byte as it is: no order of keys, no number and no white space
//! changes. What the strings mean is for `change` to know.

use cofferdam_guest::Json;

/// Offers each string value to `change`, but those under the keys in `opaque`. None if nothing changed, or if a string is
/// none that JSON allows.
pub(crate) fn map_strings(json: &str, opaque: &[&str], change: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut out = String::new();
    let (mut done, mut at, mut key) = (0, 0, "");
    while let Some(start) = json[at..].find('"').map(|offset| at + offset) {
        let end = string_end(json, start)?;
        let token = &json[start..end];
        at = end;
        if json[end..].trim_start().starts_with(':') {
            key = &token[1..token.len() - 1];
        } else if !opaque.contains(&key)
            && let Some(new) = change(&serde_json::from_str::<String>(token).ok()?)
        {
            out.push_str(&json[done..start]);
            out.push_str(Json::from(new).as_str());
            done = end;
        }
    }
    (done > 0).then(|| out + &json[done..])
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
