//! The API's own document, `/openapi.json`, as the judge of what goes over the wire: each request that was taken and each answer that the
//! tests' client gets is held against the schema that the document has for that route, status and media type.
//! A path or a method that is not in the document is not judged here; the server answers it with an error, which is.

use std::collections::HashMap;
use std::sync::OnceLock;

use hyper::{Method, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};

struct Document {
    root: Value,
    /// By the place of the schema in the document.
    validators: HashMap<String, Validator>,
}

/// Where one exchange stands in the document.
#[derive(Clone, Debug)]
pub struct Route {
    /// `/paths/…/get`, as a JSON pointer.
    operation: String,
}

impl Route {
    /// The route of a request; none if the document has none.
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or_default();
        let method = if method == Method::HEAD { "get".into() } else { method.as_str().to_ascii_lowercase() };
        let paths = document().root["paths"].as_object().expect("paths");
        let (pattern, item) = paths.iter().find(|(pattern, _)| is_of(pattern, path))?;
        item.get(&method)?;
        Some(Self { operation: format!("/paths/{}/{method}", pattern.replace('/', "~1")) })
    }

    /// Holds a request's JSON against the document, but for numbers that no f64 can hold, such as `1e400`: they pass through unread.
    #[track_caller]
    pub fn takes(&self, body: &[u8]) {
        if serde_json::from_slice::<Value>(body).is_err() {
            return;
        }
        judge(&format!("{}/requestBody/content/application~1json/schema", self.operation), body);
    }

    /// Holds a whole answer against the document. A body that is not JSON needs no more than its media type.
    #[track_caller]
    pub fn gives(&self, status: StatusCode, media: &str, body: &[u8]) {
        let mut response = self.response(status);
        // A path that is not there where it was asked for is another surface's to say.
        if status == StatusCode::NOT_FOUND {
            let is_detail = serde_json::from_slice::<Value>(body).is_ok_and(|json| json.get("detail").is_some());
            response = format!("/components/responses/{}", if is_detail { "Detail" } else { "Error" });
        }
        let content = format!("{response}/content");
        let of_media = format!("{content}/{}", media.replace('/', "~1"));
        assert!(at(&of_media).is_some(), "{media} is not among the forms of {content}");
        if media == "application/json" && !body.is_empty() {
            judge(&format!("{of_media}/schema"), body);
        }
    }

    /// Holds the data of one event of a stream against the document.
    #[track_caller]
    pub fn streams(&self, status: StatusCode, data: &str) {
        if data != "[DONE]" {
            judge(&format!("{}/content/text~1event-stream/x-item-schema", self.response(status)), data.as_bytes());
        }
    }

    #[track_caller]
    fn response(&self, status: StatusCode) -> String {
        let class = format!("{}XX", status.as_u16() / 100);
        let own = [status.as_str(), &class].map(|key| format!("{}/responses/{key}", self.operation));
        let place = own.iter().find(|place| at(place).is_some()).unwrap_or_else(|| panic!("{status} is not among the answers of {self:?}"));
        let reference = at(place).and_then(|response| response.get("$ref")?.as_str()?.strip_prefix('#'));
        reference.unwrap_or(place).to_owned()
    }
}

/// Whether a path fits a pattern, in which `{id}` stands for one segment.
fn is_of(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(wanted, segment)| *wanted == segment || wanted.starts_with('{'))
}

fn at(place: &str) -> Option<&'static Value> {
    document().root.pointer(place)
}

#[track_caller]
fn judge(place: &str, json: &[u8]) {
    let validator = document().validators.get(place).unwrap_or_else(|| panic!("the document has no schema at {place}"));
    let value: Value = serde_json::from_slice(json).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(json)));
    let errors: Vec<String> = validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{place} says otherwise:\n{}\n{value}", errors.join("\n"));
}

fn document() -> &'static Document {
    static DOCUMENT: OnceLock<Document> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let root: Value = serde_json::from_slice(&cofferdam::http::openapi_document()).expect("JSON");
        let mut places = Vec::new();
        find_schemas(&root["paths"], "/paths", &mut places);
        find_schemas(&root["components"]["responses"], "/components/responses", &mut places);
        let compile = |place: String| {
            let schema = json!({"allOf": [root.pointer(&place)], "components": root["components"]});
            let validator = jsonschema::options().offline().build(&schema).unwrap_or_else(|error| panic!("{place}: {error}"));
            (place, validator)
        };
        let validators = places.into_iter().map(compile).collect();
        Document { root, validators }
    })
}

/// The places of all schemas of bodies and events below `value`.
fn find_schemas(value: &Value, place: &str, found: &mut Vec<String>) {
    let Some(map) = value.as_object() else { return };
    for (key, value) in map {
        let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
        if key == "schema" || key == "x-item-schema" {
            found.push(place);
        } else {
            find_schemas(value, &place, found);
        }
    }
}
