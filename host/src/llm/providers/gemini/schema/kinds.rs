//! The words of each type: what Gemini's `Schema` has for strings, numbers, arrays and objects. Must not follow references.

use super::{Cleaner, Facet, find};
use crate::llm::adapter::UnsupportedField;
use crate::llm::tree::Tree;

/// The types that a value may have, without null, and whether it may be null.
pub(super) fn of<'a>(facets: &[Facet<'a>]) -> (Vec<&'a str>, bool) {
    let mut names: Vec<&str> = match find(facets, "type") {
        Some(Tree::Text(name)) => vec![name],
        Some(Tree::List(names)) => distinct(names),
        _ => vec![implied(facets)],
    };
    let marked = find(facets, "nullable") == Some(&Tree::Bool(true)) || members(facets).is_some_and(|all| all.contains(&Tree::Null));
    let nullable = marked || names.contains(&"null");
    names.retain(|name| *name != "null");
    if names.is_empty() {
        names.push("string");
    }
    (names, nullable)
}

/// Each name once. There are seven types; one that is none of them is refused when it is met.
fn distinct(names: &[Tree]) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for name in names.iter().filter_map(Tree::as_str) {
        if found.len() < 8 && !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// The type of a schema that names none.
fn implied(facets: &[Facet<'_>]) -> &'static str {
    let has = |key: &str| find(facets, key).is_some();
    if has("properties") {
        return "object";
    }
    if has("items") || has("prefixItems") {
        return "array";
    }
    match members(facets).and_then(|all| all.iter().find(|member| **member != Tree::Null)) {
        Some(Tree::Number(_)) => "number",
        Some(Tree::Bool(_)) => "boolean",
        // Of what may be anything a text can say most.
        _ => "string",
    }
}

/// The only values that are allowed.
fn members<'a>(facets: &[Facet<'a>]) -> Option<&'a [Tree]> {
    find(facets, "enum").and_then(Tree::as_list).or_else(|| find(facets, "const").map(std::slice::from_ref))
}

/// `form`, or null. Gemini takes nothing beside `anyOf`, so there it is said of each.
pub(super) fn nullable(form: Tree) -> Tree {
    let Tree::Object(mut fields) = form else { return form };
    if let [(name, Tree::List(forms))] = &mut fields[..]
        && name == "anyOf"
    {
        *forms = std::mem::take(forms).into_iter().map(nullable).collect();
    } else if !fields.iter().any(|(name, _)| name == "nullable") {
        fields.push(("nullable".to_owned(), Tree::Bool(true)));
    }
    Tree::Object(fields)
}

/// The words of one schema, as they are collected.
type Keywords = Vec<(String, Tree)>;

impl<'a> Cleaner<'a, '_> {
    /// The schema for one type.
    pub(super) fn form(&mut self, facets: &[Facet<'a>], name: &str, nullable: bool, level: usize) -> Result<Tree, UnsupportedField> {
        let mut words: Keywords = vec![("type".to_owned(), Tree::text(name.to_uppercase()))];
        self.texts(facets, &["title", "description"], &mut words)?;
        match name {
            "string" => self.string(facets, &mut words)?,
            "integer" => self.number(facets, &["int32", "int64"], &mut words)?,
            "number" => self.number(facets, &["float", "double"], &mut words)?,
            "boolean" => {}
            "array" => self.array(facets, level, &mut words)?,
            "object" => self.object(facets, level, &mut words)?,
            _ => return Err(self.unfit(&format!("holds the type `{name}`, which is none of JSON Schema's"))),
        }
        if nullable {
            words.push(("nullable".to_owned(), Tree::Bool(true)));
        }
        Ok(Tree::Object(words))
    }

    fn string(&mut self, facets: &[Facet<'a>], words: &mut Keywords) -> Result<(), UnsupportedField> {
        self.format(facets, &["enum", "date-time"], words);
        // Gemini refuses an empty member.
        let texts = members(facets).unwrap_or_default().iter().filter_map(Tree::as_str).filter(|text| !text.is_empty());
        let texts = texts.map(|text| self.tell(text)).collect::<Result<Vec<_>, _>>()?;
        if !texts.is_empty() {
            words.push(("enum".to_owned(), Tree::List(texts)));
        }
        self.texts(facets, &["pattern"], words)?;
        numbers(facets, &["minLength", "maxLength"], words);
        Ok(())
    }

    /// `enum` is for strings only: of numbers the description has to say it.
    fn number(&mut self, facets: &[Facet<'a>], formats: &[&str], words: &mut Keywords) -> Result<(), UnsupportedField> {
        self.format(facets, formats, words);
        let listed = members(facets).unwrap_or_default().iter().filter_map(|member| match member {
            Tree::Number(number) => Some(number.to_string()),
            _ => None,
        });
        let listed: Vec<String> = listed.collect();
        if !listed.is_empty() {
            let said = find(facets, "description").and_then(Tree::as_str).map_or_else(String::new, |text| format!("{text} "));
            let description = self.tell(&format!("{said}One of: {}.", listed.join(", ")))?;
            words.retain(|(name, _)| name != "description");
            words.push(("description".to_owned(), description));
        }
        numbers(facets, &["minimum", "maximum"], words);
        Ok(())
    }

    /// Gemini refuses an array without `items`. Those of a tuple may be in any place.
    fn array(&mut self, facets: &[Facet<'a>], level: usize, words: &mut Keywords) -> Result<(), UnsupportedField> {
        let items = match (find(facets, "items"), find(facets, "prefixItems")) {
            (Some(Tree::List(tuple)), _) | (None | Some(Tree::Bool(_)), Some(Tree::List(tuple))) if !tuple.is_empty() => {
                let forms = tuple.iter().map(|item| self.below(item, level)).collect::<Result<_, _>>()?;
                super::either(forms)
            }
            (Some(items @ Tree::Object(_)), _) => self.below(items, level)?,
            _ => Tree::Object(vec![("type".to_owned(), Tree::text("STRING"))]),
        };
        words.push(("items".to_owned(), items));
        numbers(facets, &["minItems", "maxItems"], words);
        Ok(())
    }

    fn object(&mut self, facets: &[Facet<'a>], level: usize, words: &mut Keywords) -> Result<(), UnsupportedField> {
        let mut properties: Keywords = Vec::new();
        let mut known = std::collections::HashSet::new();
        for facet in facets {
            let Some(Tree::Object(own)) = find(&[*facet], "properties") else { continue };
            self.spend(own.len())?;
            for (name, schema) in own.iter().filter(|(name, _)| known.insert(name.as_str())) {
                self.tell(name)?;
                properties.push((name.clone(), self.below(schema, level)?));
            }
        }
        // Gemini refuses a name that is not among the properties.
        let mut required = Vec::new();
        for name in facets.iter().filter_map(|facet| find(&[*facet], "required")?.as_list()).flatten().filter_map(Tree::as_str) {
            if known.remove(name) {
                required.push(self.tell(name)?);
            }
        }
        let ordering = properties.iter().map(|(name, _)| Tree::text(name)).collect();
        if !properties.is_empty() {
            words.push(("properties".to_owned(), Tree::Object(properties)));
            if self.ordered {
                words.push(("propertyOrdering".to_owned(), Tree::List(ordering)));
            }
        }
        if !required.is_empty() {
            words.push(("required".to_owned(), Tree::List(required)));
        }
        numbers(facets, &["minProperties", "maxProperties"], words);
        Ok(())
    }

    fn texts(&mut self, facets: &[Facet<'a>], keys: &[&str], words: &mut Keywords) -> Result<(), UnsupportedField> {
        for key in keys {
            if let Some(text) = find(facets, key).and_then(Tree::as_str) {
                words.push(((*key).to_owned(), self.tell(text)?));
            }
        }
        Ok(())
    }

    /// Gemini refuses a format that it does not know.
    fn format(&self, facets: &[Facet<'a>], known: &[&str], words: &mut Keywords) {
        if let Some(format) = find(facets, "format").and_then(Tree::as_str).filter(|format| known.contains(format)) {
            words.push(("format".to_owned(), Tree::text(format)));
        }
    }
}

fn numbers(facets: &[Facet<'_>], keys: &[&str], words: &mut Keywords) {
    for key in keys {
        if let Some(number @ Tree::Number(_)) = find(facets, key) {
            words.push(((*key).to_owned(), number.clone()));
        }
    }
}
