//! Searches of the web that Anthropic makes itself: OpenAI's `web_search_options` as its tool, and the sources that an answer names as OpenAI's
//! annotations. Sources: Anthropic's "Web search tool", "Citations"; OpenAI API reference, `web_search_options`, `annotations`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::Json;
use crate::chat::codec::raw_json;
use crate::llm::adapter::UnsupportedField;

/// The name that the API wants for the tool.
pub(super) const NAME: &str = "web_search";

/// The version of the tool that every model with it takes.
const KIND: &str = "web_search_20250305";

/// Sources of one block of text that are kept; an answer has a handful.
const SOURCES_MAX: usize = 256;

/// The tool, as it is sent.
#[derive(Debug, Serialize)]
pub(super) struct Search {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_uses: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_location: Option<Value>,
}

#[derive(Deserialize)]
struct Options {
    search_context_size: Option<String>,
    user_location: Option<Location>,
}

#[derive(Deserialize)]
struct Location {
    approximate: Option<serde_json::Map<String, Value>>,
}

impl Search {
    /// Reads `web_search_options`. How much of the web a model reads is told by how often it may search, which is the nearest that there is.
    pub(super) fn read(json: &RawValue) -> Result<Self, UnsupportedField> {
        let invalid = |error| UnsupportedField::new("web_search_options", format!("is not as it must be: {error}"));
        let Options { search_context_size, user_location } = serde_json::from_str(json.get()).map_err(invalid)?;
        let max_uses = match search_context_size.as_deref() {
            None => None,
            Some("low") => Some(1),
            Some("medium") => Some(5),
            Some("high") => Some(10),
            Some(_) => {
                return Err(UnsupportedField::new("web_search_options.search_context_size", "must be low, medium or high"));
            }
        };
        let place = user_location.and_then(|location| location.approximate).map(|mut place| {
            place.insert("type".to_owned(), json!("approximate"));
            Value::Object(place)
        });
        Ok(Self { kind: KIND, name: NAME, max_uses, user_location: place })
    }
}

/// Whether a tool is one of the vendor's own that reads the web, by the type that it has there, such as `web_search_20250305`. A client that names
/// it so knows whom it speaks to.
pub(super) fn is_of_the_vendor(kind: &str) -> bool {
    let dated = ["web_search_", "web_fetch_"].iter().find_map(|prefix| kind.strip_prefix(prefix));
    dated.is_some_and(|date| date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The client's tools that are the vendor's own, as they are sent, and their names.
pub(super) fn of_the_vendor(offered: &[Json]) -> Vec<(Json, String)> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        name: String,
    }
    let read = |json: &Json| {
        let named = serde_json::from_str::<Named>(json.get()).ok().filter(|named| is_of_the_vendor(&named.kind))?;
        Some((json.clone(), named.name))
    };
    offered.iter().filter_map(read).collect()
}

/// The sources of one block of text.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

/// A source as far as OpenAI has a form for it. Those of documents have no address, and the client sent them itself.
#[derive(Debug, Deserialize)]
struct Source {
    url: Option<String>,
    title: Option<String>,
    /// Of a search in the client's own results.
    source: Option<String>,
}

impl Sources {
    pub(super) fn add(&mut self, citation: &RawValue) {
        let Ok(source) = serde_json::from_str::<Source>(citation.get()) else { return };
        let address = source.url.or(source.source).filter(|url| url.starts_with("http"));
        if let Some(url) = address.filter(|_| self.0.len() < SOURCES_MAX) {
            self.0.push(Source { url: Some(url), title: source.title, source: None });
        }
    }

    /// As OpenAI's annotations of a text between these characters of the content. `first`: the number of the first one among all of the reply,
    /// for a stream, whose clients put lists together by it.
    pub(super) fn annotations(self, start: usize, end: usize, first: Option<usize>) -> Vec<Json> {
        let of = |(at, source): (usize, Source)| {
            let title = source.title.unwrap_or_default();
            let mut annotation = json!({
                "type": "url_citation",
                "url_citation": {"start_index": start, "end_index": end, "url": source.url, "title": title},
            });
            if let Some(first) = first {
                annotation["index"] = json!(first + at);
            }
            raw_json(&annotation)
        };
        self.0.into_iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::json as raw;

    fn read(text: &str) -> Result<Value, UnsupportedField> {
        Search::read(&raw(text.into()).expect("JSON")).map(|search| serde_json::to_value(search).expect("JSON"))
    }

    #[test]
    fn search_options_become_the_tool() {
        assert_eq!(read("{}"), Ok(json!({"type": "web_search_20250305", "name": "web_search"})));
        let full = r#"{"search_context_size":"low","user_location":{"type":"approximate","approximate":{"country":"DE","city":"Kiel"}}}"#;
        let place = json!({"country": "DE", "city": "Kiel", "type": "approximate"});
        assert_eq!(read(full), Ok(json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 1, "user_location": place})));
        assert_eq!(read("5").expect_err("a number").param, "web_search_options");
        assert_eq!(read(r#"{"search_context_size":"all"}"#).expect_err("a word").param, "web_search_options.search_context_size");
    }

    #[test]
    fn tools_of_the_vendor_are_known_by_their_dates() {
        for (kind, expected) in
            [("web_search_20250305", true), ("web_fetch_20250910", true), ("web_search", false), ("bash_20250124", false)]
        {
            assert_eq!(is_of_the_vendor(kind), expected, "{kind}");
        }
        let tools = [r#"{"type":"web_search_20250305","name":"web_search","max_uses":2}"#, r#"{"type":"function"}"#, "5"];
        let found = of_the_vendor(&tools.map(|json| raw(json.into()).expect("JSON")));
        assert_eq!(found.iter().map(|(json, name)| (json.get(), name.as_str())).collect::<Vec<_>>(), [(tools[0], "web_search")]);
    }

    #[test]
    fn sources_with_an_address_become_annotations_and_no_more_than_the_limit() {
        let mut sources = Sources::default();
        for json in [
            r#"{"type":"web_search_result_location","url":"https://a.example","title":"A","cited_text":"x"}"#,
            r#"{"type":"page_location"}"#,
            "5",
        ] {
            sources.add(&raw(json.into()).expect("JSON"));
        }
        let annotations = sources.annotations(3, 9, Some(2));
        let expected = json!({"type": "url_citation", "url_citation": {"start_index": 3, "end_index": 9, "url": "https://a.example", "title": "A"}, "index": 2});
        assert_eq!(annotations.iter().map(|json| json.get().to_owned()).collect::<Vec<_>>(), [expected.to_string()]);
        let mut many = Sources::default();
        let source = raw(r#"{"url":"https://a.example"}"#.into()).expect("JSON");
        (0..=SOURCES_MAX).for_each(|_| many.add(&source));
        assert_eq!(many.annotations(0, 1, None).len(), SOURCES_MAX);
    }
}
