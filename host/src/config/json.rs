//! TOML values as JSON, for what plugins and pipelines are told, and back, for the effective configuration.
//! A date becomes its text, because JSON has none. Must not know what the values mean.

use serde_json::{Map, Number, Value};
use toml::de::{DeString, DeValue};

/// The value in JSON; says why where it has none.
pub(super) fn from_toml(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => {
            let n = i64::from_str_radix(n.as_str(), n.radix()).map_err(|_| format!("the number {n} is too large"))?;
            Value::from(n)
        }
        DeValue::Float(n) => {
            let float = n.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(float.ok_or_else(|| format!("JSON has no number {n}"))?)
        }
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(items) => Value::Array(items.iter().map(|item| from_toml(item.get_ref())).collect::<Result<_, _>>()?),
        DeValue::Table(table) => {
            let entry = |(key, value): (&toml::Spanned<DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
                Ok((String::from(key.get_ref().as_ref()), from_toml(value.get_ref())?))
            };
            Value::Object(table.iter().map(entry).collect::<Result<Map<_, _>, String>>()?)
        }
    })
}

/// The value as inline TOML. JSON's null stands for an absent key in what we keep, and TOML has none, so it is left out.
pub(super) fn to_toml(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => quote(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().filter(|item| !item.is_null()).map(to_toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) if map.is_empty() => "{}".into(),
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            // The stage's name comes first, because people look for it; then the alphabet, so that the same file is always printed the same.
            entries.sort_by_key(|(key, _)| (*key != "stage", *key));
            let entries: Vec<_> = entries.into_iter().map(|(key, value)| format!("{} = {}", quote_key(key), to_toml(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// A TOML string on one line: JSON's escapes are TOML's, but for DEL, which only TOML forbids.
pub(super) fn quote(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// A TOML key, quoted where it has to be.
pub(super) fn quote_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if bare { key.to_owned() } else { quote(key) }
}
