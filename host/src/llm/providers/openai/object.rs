//! A JSON object of which a field or two change and the rest stays as it came, in its order: models follow the order of a schema's fields.
//! Of two fields with one name the first is read and changed.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::chat::Json;

/// The fields in their order.
#[derive(Default)]
pub(in crate::llm) struct Object<'a>(Vec<(String, Cow<'a, RawValue>)>);

impl<'a> Object<'a> {
    /// None if `raw` is no object.
    pub(in crate::llm) fn read(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    pub(in crate::llm) fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find_map(|(field, value)| (field == name).then_some(&**value))
    }

    /// Sets a field in its place, or before all others if it is new.
    pub(in crate::llm) fn set(&mut self, name: &str, value: Json) {
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, place)) => *place = Cow::Owned(value),
            None => self.0.insert(0, (name.to_owned(), Cow::Owned(value))),
        }
    }

    /// Keeps the fields that are wanted.
    pub(in crate::llm) fn retain(&mut self, wanted: impl Fn(&str, &RawValue) -> bool) {
        self.0.retain(|(name, value)| wanted(name, value));
    }

    pub(in crate::llm) fn json(&self) -> Json {
        to_raw_value(self).expect("an object of JSON values is JSON")
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, &**value)))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((name, Cow::Borrowed(value)));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::{json, json_string};

    #[test]
    fn fields_keep_their_order_and_bytes() {
        let raw = json(r#"{"z":1.50,"a":{ "k":1e999},"m":null}"#.into()).expect("JSON");
        let mut object = Object::read(&raw).expect("an object");
        object.set("a", json_string("x"));
        object.set("new", json_string("y"));
        object.retain(|_, value| value.get() != "null");
        assert_eq!(object.json().get(), r#"{"new":"y","z":1.50,"a":"x"}"#);
        assert_eq!(object.get("z").map(RawValue::get), Some("1.50"));
        assert!(Object::read(&json("[]".into()).expect("JSON")).is_none());
    }
}
