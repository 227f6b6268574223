//! Does with its keys, its figures and its settings what the user says, and answers with what came of it. A failure is an answer too.

use cofferdam_guest::kv::{self, Bucket, Write};
use cofferdam_guest::{Data, Failure, HookError, Message, Plugin, PreOutcome, Request, config, metrics};

pub struct Keeper;

impl Plugin for Keeper {
    const NAME: Option<&'static str> = Some("keeper");
    const CONFIG_SCHEMA: Option<&'static str> = Some(
        r#"{"type": "object", "additionalProperties": false, "properties": {
            "window": {"type": "integer", "minimum": 1, "default": 60},
            "region": {"type": "string"},
            "token": {"type": "string", "minLength": 8, "writeOnly": true}
        }}"#,
    );

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        answer(&request)
    }
}

pub fn answer(request: &Request) -> Result<PreOutcome, HookError> {
    let said = request.last_user().map(|(_, message)| message.text()).unwrap_or_default();
    let words: Vec<&str> = said.split(' ').collect();
    let done = run(&words).unwrap_or_else(|failure| format!("{failure:?}"));
    Ok(Message::assistant(done).into())
}

fn run(words: &[&str]) -> Result<String, Failure> {
    let bucket = |name: &str| if name == "caller" { kv::caller() } else { kv::plugin() };
    Ok(match words {
        ["settings"] => config::all(),
        ["get", of, key] => bucket(of).get(key)?.map_or_else(|| "none".to_owned(), |entry| shown(&entry.value)),
        ["set", of, key, value] => format!("{:?}", bucket(of).set(key, value, Write::new())?),
        ["bytes", of, key] => format!("{:?}", bucket(of).set_bytes(key, vec![0xff, 0], Write::new())?),
        ["add", of, key, by] => bucket(of).increment(key, by.parse().unwrap_or(0), Write::new().relaxed())?.to_string(),
        ["sure", of, key, by] => bucket(of).increment(key, by.parse().unwrap_or(0), Write::new())?.to_string(),
        ["keys", of, prefix, limit] => match bucket(of).keys(prefix, None, limit.parse().unwrap_or(0))? {
            none if none.is_empty() => "none".to_owned(),
            keys => keys.join(","),
        },
        ["delete", of, key] => bucket(of).delete(key)?.to_string(),
        ["swap", of, key] => swap(bucket(of), key)?,
        ["large", of, bytes] => format!("{:?}", bucket(of).set("large", &"x".repeat(bytes.parse().unwrap_or(0)), Write::new())?),
        ["long", of, bytes] => format!("{:?}", bucket(of).set(&"k".repeat(bytes.parse().unwrap_or(0)), "v", Write::new())?),
        ["flood", of] => flood(bucket(of)),
        ["count", series] => bomb(series.parse().unwrap_or(0)),
        _ => "what?".to_owned(),
    })
}

fn shown(value: &Data) -> String {
    match value {
        Data::Text(text) => text.clone(),
        Data::Bytes(bytes) => format!("{bytes:?}"),
    }
}

/// Swaps three times: with a version that never was, with the right one, and with the one that is over.
fn swap(bucket: Bucket, key: &str) -> Result<String, Failure> {
    let made = bucket.swap(key, None, "1", Write::new())?;
    let version = bucket.get(key)?.map(|entry| entry.version);
    let wrong = bucket.swap(key, Some("never"), "2", Write::new())?;
    let right = bucket.swap(key, version.as_deref(), "2", Write::new())?;
    let over = bucket.swap(key, version.as_deref(), "3", Write::new())?;
    Ok(format!("{made} {wrong} {right} {over}"))
}

/// Writes new keys until it may not; says how many it wrote and why no more.
fn flood(bucket: Bucket) -> String {
    for number in 0.. {
        if let Err(failure) = bucket.set(&format!("flood-{number}"), "x", Write::new().relaxed()) {
            return format!("{number} {failure:?}");
        }
    }
    String::new()
}

fn bomb(series: u32) -> String {
    metrics::observe("last", 0.5, &[]);
    for number in 0..series {
        metrics::count("bomb", 1.0, &[("id", &number.to_string())]);
    }
    metrics::count("not a name", 1.0, &[]);
    metrics::count("stolen", 1.0, &[("plugin", "redact-pii")]);
    format!("counted {series}")
}

cofferdam_guest::export!(Keeper: pre_hook);
