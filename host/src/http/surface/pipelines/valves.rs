//! `GET /{id}/valves`, `GET /{id}/valves/spec` and `POST /{id}/valves/update`: a plugin's settings as Open WebUI's page shows and sends them, with
//! two that every filter has and the host keeps. Secrets are masked, and what comes back as it was shown stays as it was.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::coerce::{coerced, display};
use super::found;
use crate::chat::codec::Form;
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::filters::{self, PIPELINES, PRIORITY, Placement, is_filter, is_own};
use crate::http::json_body::Reading;
use crate::http::respond;
use crate::http::route::Call;
use crate::http::shared::Shared;
use crate::sandbox::Plugin;
use crate::sandbox::settings::SettingsView;

/// Settings by their names. What is missing goes back to its default; what is not known is passed over.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "checked against the plugin's own schema; here for its schema")]
pub(super) struct Valves(Map<String, Value>);

/// The JSON Schema of a plugin's settings, in which every property has a title.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "written by hand; here for its schema")]
pub(super) struct ValvesSpec {
    title: String,
    /// `object`
    r#type: String,
    properties: Map<String, Value>,
}

/// A plugin's settings as this surface has them.
struct Shown {
    /// The plugin's own schema.
    schema: Option<Map<String, Value>>,
    /// What the plugin sees, masked; nothing if it declares no settings.
    view: Option<SettingsView>,
    /// What every filter has and this plugin does not have of its own.
    beside: Map<String, Value>,
    /// What the placement is if nobody says anything.
    default: Map<String, Value>,
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Response<Content>, Failure> {
    let plugin = found::plugin(&mut call)?;
    let shown = Shown::of(call.shared, &plugin).ok_or_else(|| Refusal::NoValves((&*call.id).into()))?;
    Ok(respond::json(StatusCode::OK, &shown.values()))
}

pub(super) async fn spec(mut call: Call<'_>) -> Result<Response<Content>, Failure> {
    let plugin = found::plugin(&mut call)?;
    let shown = Shown::of(call.shared, &plugin).ok_or_else(|| Refusal::NoValves((&*call.id).into()))?;
    Ok(respond::json(StatusCode::OK, &shown.spec()))
}

pub(super) async fn update(mut call: Call<'_>) -> Result<Response<Content>, Failure> {
    let plugin = found::plugin(&mut call)?;
    let Call { shared, head, body, log, id, .. } = call;
    let sent: Map<String, Value> = Reading { shared, head, body, log }.value(Form::Closed).await?;
    let shown = Shown::of(shared, &plugin).ok_or_else(|| Refusal::NoValves((&*id).into()))?;
    let registry = &shared.state.registry;
    let placement = shown.placement(&sent)?;
    if let (Some(schema), Some(view)) = (&shown.schema, &shown.view) {
        registry.put_settings(plugin.name(), own(schema, view, &shown.values(), sent)).await?;
    }
    if let Some(placement) = placement {
        registry.put_beside(plugin.name(), placement).await?;
    }
    tracing::info!(plugin = plugin.name(), caller = log.caller.as_deref(), "the plugin's settings were changed");
    let shown = Shown::of(shared, &plugin).ok_or_else(|| Refusal::NoValves((&*id).into()))?;
    Ok(respond::json(StatusCode::OK, &shown.values()))
}

/// Of what was sent, what is to be kept of the plugin's own settings. What came back as it was shown, and is not set through the API, is not set by
/// that: it is the file's, or a default.
fn own(schema: &Map<String, Value>, view: &SettingsView, shown: &Map<String, Value>, sent: Map<String, Value>) -> Map<String, Value> {
    let takes_more =
        schema.contains_key("patternProperties") || schema.get("additionalProperties").is_some_and(|more| *more != json!(false));
    let mut kept = Map::new();
    for (name, value) in sent {
        let property = schema.get("properties").and_then(|properties| properties.get(&name));
        let Some(value) = (match property {
            Some(property) => coerced(schema, property, value),
            None => Some(value).filter(|_| takes_more && name != PIPELINES && name != PRIORITY),
        }) else {
            continue;
        };
        let as_shown = shown.get(&name).is_some_and(|shown| *shown == value);
        if !as_shown || view.settings.contains_key(&name) {
            kept.insert(name, value);
        }
    }
    kept
}

impl Shown {
    /// None if there is nothing to set.
    fn of(shared: &Shared, plugin: &Plugin) -> Option<Self> {
        let schema = filters::schema(plugin);
        if schema.is_none() && !is_filter(plugin) {
            return None;
        }
        // Without a schema nobody knows what of the operator's file is a secret.
        let view = schema.as_ref().and_then(|_| shared.state.registry.settings(plugin.name()).ok());
        let (mut beside, mut default) = (Map::new(), Map::new());
        if is_filter(plugin) {
            let Placement { pipelines, priority } = filters::placement(shared, plugin);
            let of_nobody = filters::default_pipelines(&shared.state.catalog, plugin);
            for (name, value, standard) in [(PIPELINES, json!(pipelines), json!(of_nobody)), (PRIORITY, json!(priority), json!(0))] {
                if !is_own(schema.as_ref(), name) {
                    beside.insert(name.to_owned(), value);
                    default.insert(name.to_owned(), standard);
                }
            }
        }
        Some(Self { schema, view, beside, default })
    }

    fn values(&self) -> Map<String, Value> {
        let mut values = self.beside.clone();
        let properties = self.schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        if let (Some(schema), Some(properties)) = (&self.schema, properties) {
            for (name, property) in properties {
                // The page joins a list without looking whether there is one.
                let missing = if display(schema, property)["type"] == "array" { json!([]) } else { Value::Null };
                values.insert(name.clone(), missing);
            }
        }
        values.extend(self.view.iter().flat_map(|view| view.effective.clone()));
        values
    }

    fn spec(&self) -> Map<String, Value> {
        let mut spec = self.schema.clone().unwrap_or_default();
        let mut properties = Map::new();
        let all = json!({"title": "Pipelines", "type": "array", "items": {"type": "string"}, "description":
            "The ids of the models that the filter is for, divided by commas; `*` alone for all."});
        let order = json!({"title": "Priority", "type": "integer", "description": "Of filters for one model the lowest runs first."});
        for (name, mut property) in [(PIPELINES, all), (PRIORITY, order)] {
            if let Some(default) = self.default.get(name) {
                property["default"] = default.clone();
                properties.insert(name.to_owned(), property);
            }
        }
        if let Some(own) = spec.get("properties").and_then(Value::as_object) {
            for (name, property) in own {
                let mut property = display(&spec, property);
                if !property.get("title").is_some_and(Value::is_string) {
                    property["title"] = title(name).into();
                }
                properties.insert(name.clone(), property);
            }
        }
        spec.insert("title".into(), "Valves".into());
        spec.insert("type".into(), "object".into());
        spec.insert("properties".into(), properties.into());
        spec
    }

    /// Of what was sent, what the host keeps; none if the plugin has it all of its own. What is missing goes back to its default.
    fn placement(&self, sent: &Map<String, Value>) -> Result<Option<Map<String, Value>>, Refusal> {
        if self.beside.is_empty() {
            return Ok(None);
        }
        let mut kept = Map::new();
        for name in self.beside.keys() {
            let schema = match &**name {
                PIPELINES => json!({"type": "array", "items": {"type": "string"}}),
                _ => json!({"type": "integer"}),
            };
            let value = sent.get(name).and_then(|value| coerced(&Map::new(), &schema, value.clone()));
            let Some(value) = value.filter(|value| self.default.get(name) != Some(value)) else { continue };
            let texts = |value: &Value| value.as_array().is_some_and(|list| list.len() <= MODELS_MAX && list.iter().all(is_id));
            let right = if name == PIPELINES { texts(&value) } else { value.is_i64() };
            if !right {
                let what = if name == PIPELINES { "must be a list of models' ids, or `*` alone" } else { "must be a whole number" };
                return Err(Refusal::field(name.clone(), what));
            }
            kept.insert(name.clone(), value);
        }
        Ok(Some(kept))
    }
}

/// Models that one filter may name, and bytes of the id of one: every list of models repeats them.
const MODELS_MAX: usize = 256;
const ID_BYTES: usize = 256;

fn is_id(value: &Value) -> bool {
    value.as_str().is_some_and(|id| !id.is_empty() && id.len() <= ID_BYTES)
}

/// `api_key` as `Api Key`.
fn title(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    name.split(['_', '-', '.', ' ']).filter(|part| !part.is_empty()).map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn a_title_is_made_of_a_name() {
        assert_eq!([title("api_key"), title("URL"), title("max-turns")], ["Api Key", "URL", "Max Turns"]);
    }

    #[test]
    fn what_comes_back_as_it_was_shown_is_not_set_by_that() {
        let schema = map(json!({"properties": {
            "token": {"type": "string", "writeOnly": true}, "window": {"type": "integer", "default": 60},
            "region": {"type": "string"}, "list": {"type": "array", "items": {"type": "integer"}},
        }}));
        let view = SettingsView {
            settings: map(json!({"token": "********"})),
            effective: map(json!({"token": "********", "window": 60, "region": "eu"})),
            fixed: vec!["region".into()],
        };
        let shown = map(json!({"token": "********", "window": 60, "region": "eu", "list": []}));
        let sent = map(json!({"token": "********", "window": "60", "region": "eu", "list": [""], "unknown": 1}));
        assert_eq!(Value::from(own(&schema, &view, &shown, sent)), json!({"token": "********"}));
        let sent = map(json!({"token": null, "window": "7", "region": "us", "list": "1, 2"}));
        assert_eq!(Value::from(own(&schema, &view, &shown, sent)), json!({"window": 7, "region": "us", "list": [1, 2]}));
    }

    #[test]
    fn every_property_has_a_title_and_a_filter_its_place() {
        let schema = map(json!({"$defs": {"Mode": {"enum": ["a", "b"], "title": "Mode"}}, "properties": {
            "api_key": {"type": "string"}, "mode": {"$ref": "#/$defs/Mode"}, "on": {"type": ["boolean", "null"], "title": "Switch"},
        }}));
        let default = map(json!({"pipelines": ["*"], "priority": 0}));
        let shown = Shown { schema: Some(schema), view: None, beside: default.clone(), default };
        let spec = Value::from(shown.spec());
        assert_eq!(spec["properties"]["api_key"]["title"], "Api Key");
        assert_eq!((&spec["properties"]["mode"]["title"], &spec["properties"]["mode"]["enum"]), (&json!("Mode"), &json!(["a", "b"])));
        assert_eq!((&spec["properties"]["on"]["type"], &spec["properties"]["on"]["title"]), (&json!("boolean"), &json!("Switch")));
        assert_eq!((&spec["properties"]["pipelines"]["type"], &spec["properties"]["priority"]["default"]), (&json!("array"), &json!(0)));
    }
}
