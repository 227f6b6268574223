//! `GET /openapi.json`: an OpenAPI 3.1 document, made from the tables of routes and the types of what goes over the wire.
//! Invariant: a route that is in a table is in the document (`every_route_is_in_the_document`, and the test client holds answers against it).
//! Source: OpenAPI Specification 3.1.1.

use bytes::Bytes;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::access::Access;
use super::operation::{Answer, Media, Parameter, RequestBody, SchemaOf};
use super::respond::{Detail, Envelope};
use super::route::{Route, Surface};
use crate::chat::codec::to_json;

/// Names and meanings of the headers that this server adds to answers.
const HEADERS: [(&str, &str); 12] = [
    ("x-request-id", "The request's id, for the server's log: the client's own if it is fit, else a new one."),
    ("x-cofferdam-provider", "The provider that gave the reply."),
    ("x-cofferdam-model", "The provider's model that gave the reply."),
    ("x-cofferdam-attempts", "How many tries at providers there were, if there were any."),
    ("x-cofferdam-skipped", "Plugins that failed and were skipped."),
    ("retry-after", "Seconds after which to try again."),
    ("x-should-retry", "`false` if the same request would fail the same way."),
    ("x-ratelimit-limit-requests", "Requests that the key may make in a minute."),
    ("x-ratelimit-remaining-requests", "Requests that are left of them."),
    ("x-ratelimit-limit-tokens", "Tokens that the key may use, in a minute or in a day."),
    ("x-ratelimit-remaining-tokens", "Tokens that are left of them."),
    ("x-ratelimit-reset-tokens", "When the tokens are renewed, such as `6m0s`; `x-ratelimit-reset-requests` likewise."),
];

/// The document of those surfaces, as JSON.
pub(super) fn document(surfaces: &[&Surface]) -> Bytes {
    let mut writer = Writer { requests: generator(SchemaSettings::for_deserialize), answers: generator(SchemaSettings::for_serialize) };
    let mut paths = Map::new();
    for surface in surfaces {
        for route in surface.routes {
            let item = paths.entry(route.path).or_insert_with(|| json!({}));
            item[route.method.as_str().to_ascii_lowercase()] = writer.operation(surface, route);
        }
    }
    let error = json!({"application/json": {"schema": schema_of(&mut writer.answers, super::operation::schema::<Envelope<'static>>)}});
    let detail = json!({"application/json": {"schema": schema_of(&mut writer.answers, super::operation::schema::<Detail<'static>>)}});
    let mut schemas = writer.requests.take_definitions(true);
    schemas.extend(writer.answers.take_definitions(true));
    let bearer = |description: &str| json!({"type": "http", "scheme": "bearer", "description": description});
    let header = |(name, description): (&str, &str)| (name.to_owned(), json!({"description": description, "schema": {"type": "string"}}));
    to_json(&json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Cofferdam",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "An OpenAI-compatible gateway that runs WebAssembly plugins in the path of every request. HEAD is answered like GET, \
                without a body. A server without keys asks for none and listens on a loopback address only.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": HEADERS.map(header).into_iter().collect::<Map<_, _>>(),
            "responses": {
                "Error": {"description": "A failure.", "headers": headers(|_| true), "content": error},
                "Detail": {"description": "A failure, as Open WebUI reads it.", "headers": headers(|_| true), "content": detail},
            },
            "securitySchemes": {
                "client": bearer("A key under `keys.client` or `keys.admin` of the operator's file."),
                "open_webui": bearer("The key of `[surfaces.pipelines]` of the operator's file, or one under `keys.admin`."),
                "admin": bearer("A key under `keys.admin` of the operator's file."),
            },
        },
    }))
}

fn generator(contract: fn(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    contract(settings).into_generator()
}

fn schema_of(generator: &mut SchemaGenerator, schema: SchemaOf) -> Value {
    schema(generator).to_value()
}

fn headers(wanted: impl Fn(&str) -> bool) -> Value {
    let reference = |(name, _): &(&str, &str)| (name.to_string(), json!({"$ref": format!("#/components/headers/{name}")}));
    HEADERS.iter().filter(|(name, _)| wanted(name)).map(reference).collect::<Map<_, _>>().into()
}

/// Two generators, because a field with a default may be left out of a request and is always in an answer.
struct Writer {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Writer {
    fn operation(&mut self, surface: &Surface, route: &Route) -> Value {
        let operation = &route.operation;
        let mut value = json!({"operationId": route.name, "summary": operation.summary, "tags": [surface.name]});
        value["security"] = match route.access {
            Access::Open => json!([]),
            Access::Client => json!([{"client": []}]),
            Access::Manage | Access::Shown => json!([{"open_webui": []}]),
            Access::Admin => json!([{"admin": []}]),
        };
        let segments = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        let in_path = segments.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        let beside = operation.parameters.iter().map(|Parameter { name, location, description }| {
            json!({"name": name, "in": location, "description": description, "schema": {"type": "string"}})
        });
        let parameters: Vec<Value> = in_path.chain(beside).collect();
        if !parameters.is_empty() {
            value["parameters"] = parameters.into();
        }
        if let Some(body) = &operation.body {
            let (media, schema) = match body {
                RequestBody::Json(schema) => ("application/json", schema),
                RequestBody::Multipart(schema) | RequestBody::File(schema, _) => ("multipart/form-data", schema),
            };
            value["requestBody"] = json!({"required": true, "content": {media: {"schema": schema_of(&mut self.requests, *schema)}}});
            if let RequestBody::File(_, alone) = body {
                value["requestBody"]["content"][*alone] = json!({});
            }
        }
        let mut responses: Map<String, Value> =
            operation.answers.iter().map(|answer| (key(answer.status), self.answer(route, answer))).collect();
        for class in [4, 5] {
            responses.entry(key(class)).or_insert_with(|| json!({"$ref": format!("#/components/responses/{}", surface.error)}));
        }
        value["responses"] = responses.into();
        value
    }

    fn answer(&mut self, route: &Route, answer: &Answer) -> Value {
        let failure = answer.status < 10;
        let wanted = |name: &str| match name {
            "x-request-id" => true,
            "retry-after" | "x-should-retry" => failure,
            _ => route.metered,
        };
        let content: Map<String, Value> = answer.contents.iter().map(|media| self.media(media)).collect();
        json!({"description": answer.description, "headers": headers(wanted), "content": content})
    }

    fn media(&mut self, media: &Media) -> (String, Value) {
        match media {
            Media::Json(schema) => ("application/json".into(), json!({"schema": schema_of(&mut self.answers, *schema)})),
            // 3.1 has no word for the items of a stream; 3.2 calls it `itemSchema`.
            Media::Events(schema) => {
                let item = schema_of(&mut self.answers, *schema);
                ("text/event-stream".into(), json!({"schema": {"type": "string"}, "x-item-schema": item}))
            }
            Media::Text(media) => ((*media).into(), json!({"schema": {"type": "string"}})),
        }
    }
}

/// What a status, or a class of them, is called among the responses of an operation.
fn key(status: u16) -> String {
    if status < 10 { format!("{status}XX") } else { status.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::surface::SURFACES;

    fn read() -> Value {
        serde_json::from_slice(&document(SURFACES)).expect("JSON")
    }

    #[test]
    fn every_route_is_in_the_document() {
        let document = read();
        let mut count = 0;
        for surface in SURFACES {
            for route in surface.routes {
                let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
                assert_eq!(operation["operationId"], route.name);
                let security = match route.access {
                    Access::Open => json!([]),
                    Access::Client => json!([{"client": []}]),
                    Access::Manage | Access::Shown => json!([{"open_webui": []}]),
                    Access::Admin => json!([{"admin": []}]),
                };
                assert_eq!(operation["security"], security, "{}", route.name);
                let takes_a_body = ["POST", "PUT", "PATCH"].contains(&route.method.as_str())
                    && !["reindex", "reload", "reload_plugins", "rollback_plugin", "pipelines_reload"].contains(&route.name);
                let takes_a_body = takes_a_body || route.name == "pipelines_delete";
                assert_eq!(operation["requestBody"]["content"].is_object(), takes_a_body, "{}", route.name);
                let responses = operation["responses"].as_object().expect("answers");
                assert!(responses.keys().any(|status| status.starts_with('2')), "{}", route.name);
                for status in ["4XX", "5XX"] {
                    // The answer to several files tells of each of them.
                    let own = route.name == "knowledge_upload" && responses[status]["content"].is_object();
                    assert!(own || responses[status]["$ref"] == format!("#/components/responses/{}", surface.error), "{}", route.name);
                    assert!(!own || responses[status]["headers"]["retry-after"].is_object());
                }
                for (_, response) in responses.iter().filter(|(status, _)| status.parse::<u16>().is_ok()) {
                    assert!(response["content"].as_object().is_some_and(|content| !content.is_empty()), "{}", route.name);
                    assert!(response["headers"]["x-request-id"].is_object(), "{}", route.name);
                }
                count += 1;
            }
        }
        let written = document["paths"].as_object().expect("paths").values().map(|item| item.as_object().expect("an item").len());
        assert_eq!(written.sum::<usize>(), count, "nothing is in the document that is in no table");
        for header in ["x-request-id", "retry-after", "x-should-retry"] {
            assert!(document["components"]["responses"]["Error"]["headers"][header].is_object());
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = read();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("in this document");
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn a_type_has_the_same_schema_in_requests_as_in_answers() {
        let mut writer = Writer { requests: generator(SchemaSettings::for_deserialize), answers: generator(SchemaSettings::for_serialize) };
        for surface in SURFACES {
            surface.routes.iter().for_each(|route| drop(writer.operation(surface, route)));
        }
        let answers = writer.answers.take_definitions(true);
        for (name, schema) in writer.requests.take_definitions(true) {
            assert!(answers.get(&name).is_none_or(|other| *other == schema), "{name} stands twice");
        }
    }
}
