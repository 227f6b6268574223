//! A JSON value whose objects keep the order of their keys, for the order of a schema's properties is the order in which a model answers.
//! Must not know what a schema is. The parser's limit on nesting bounds the depth of every walk over a tree.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    Object(Object),
}

/// The fields of an object, in their order.
pub(super) type Object = Vec<(String, Tree)>;

/// The field of that name.
pub(super) fn field<'a>(object: &'a Object, name: &str) -> Option<&'a Tree> {
    object.iter().find_map(|(key, value)| (key == name).then_some(value))
}

/// Sets a field, in its place if it is there.
pub(super) fn set(object: &mut Object, name: &str, value: Tree) {
    match object.iter_mut().find(|(key, _)| key == name) {
        Some((_, old)) => *old = value,
        None => object.push((name.to_owned(), value)),
    }
}

impl Tree {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The value under `key`, if it is an object that has one.
    pub(super) fn get(&self, key: &str) -> Option<&Tree> {
        match self {
            Self::Object(fields) => field(fields, key),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_list(&self) -> Option<&[Tree]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether an object in it, however deep, has this key.
    pub(super) fn has_key(&self, key: &str) -> bool {
        match self {
            Self::List(items) => items.iter().any(|item| item.has_key(key)),
            Self::Object(fields) => fields.iter().any(|(name, value)| name == key || value.has_key(key)),
            _ => false,
        }
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => items.serialize(serializer),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = Tree;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
                Ok(Tree::Number(number.into()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
                Ok(Tree::Number(number.into()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
                Ok(Number::from_f64(number).map_or(Tree::Null, Tree::Number))
            }
            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::text(text))
            }
            fn visit_string<E>(self, text: String) -> Result<Tree, E> {
                Ok(Tree::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Tree::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut fields = Object::new();
                let mut places: HashMap<String, usize> = HashMap::new();
                // Of repeated keys the last counts, as everywhere here.
                while let Some((name, value)) = map.next_entry::<String, Tree>()? {
                    match places.get(&name) {
                        Some(place) => fields[*place].1 = value,
                        None => {
                            places.insert(name.clone(), fields.len());
                            fields.push((name, value));
                        }
                    }
                }
                Ok(Tree::Object(fields))
            }
        }
        deserializer.deserialize_any(AnyValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_the_last_of_a_repeated_one_counts() {
        let text = r#"{"z":1,"a":{"y":[true,null,"é",-2,0.5],"b":18446744073709551615},"z":2}"#;
        let tree: Tree = serde_json::from_str(text).expect("JSON");
        assert_eq!(serde_json::to_string(&tree).expect("JSON"), r#"{"z":2,"a":{"y":[true,null,"é",-2,0.5],"b":18446744073709551615}}"#);
        assert!(tree.has_key("y") && !tree.has_key("x"));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert!(serde_json::from_str::<Tree>(&deep).is_err());
    }
}
