//! A batch of spans as OTLP's JSON: ids are in hex, 64-bit numbers are strings, enums are numbers.
//! Source: opentelemetry-proto, `trace.proto`, and the OTLP specification's "JSON Protobuf Encoding".

use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use serde_json::{Value as Json, json};

use super::collect::{Finished, Value};

/// OTLP's `STATUS_CODE_ERROR`.
const FAILED: u8 = 2;

/// The body of one `POST /v1/traces`.
pub(super) fn traces(service: &str, spans: &[Finished]) -> Vec<u8> {
    let (name, version) = (Value::Text(service.to_owned()), Value::Text(env!("CARGO_PKG_VERSION").to_owned()));
    let resource = json!({"attributes": [attribute("service.name", &name), attribute("service.version", &version)]});
    let spans: Vec<Json> = spans.iter().map(span).collect();
    let scope = json!({"scope": {"name": "cofferdam", "version": env!("CARGO_PKG_VERSION")}, "spans": spans});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}).to_string().into_bytes()
}

fn span(Finished { span, time }: &Finished) -> Json {
    let mut json = json!({
        "traceId": HEXLOWER.encode(&span.context.trace),
        "spanId": HEXLOWER.encode(&span.context.span),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": nanos(span.began),
        "endTimeUnixNano": nanos(span.began + *time),
        "attributes": span.attributes.iter().map(|(key, value)| attribute(key, value)).collect::<Vec<_>>(),
    });
    if let Some(parent) = &span.parent {
        json["parentSpanId"] = HEXLOWER.encode(parent).into();
    }
    if span.failed {
        json["status"] = json!({"code": FAILED});
    }
    json
}

fn attribute(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"stringValue": text}),
        Value::Texts(texts) => json!({"arrayValue": {"values": texts.iter().map(|text| json!({"stringValue": text})).collect::<Vec<_>>()}}),
        Value::Whole(number) => json!({"intValue": number.to_string()}),
        Value::Number(number) => json!({"doubleValue": number}),
        Value::Flag(flag) => json!({"boolValue": flag}),
    };
    json!({"key": key, "value": value})
}

fn nanos(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos().to_string()
}
