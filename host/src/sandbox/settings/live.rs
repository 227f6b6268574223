//! The settings that the calls of one plugin see now: what the operator's file fixes, what was set through the API beside it, and the
//! schema's defaults. They change as a whole and only to what fits, so a live plugin always has settings that fit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};

use super::book::KeptSettings;
use super::problem::Problem;
use super::schema::{Filled, Schema};

/// Settings as JSON texts, ready to hand over.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Texts {
    all: Arc<str>,
    by_key: BTreeMap<String, Arc<str>>,
}

/// One plugin's settings.
pub(in crate::sandbox) struct Live {
    /// None if the plugin declares none; it then gets what the file says, unchecked, and nothing else.
    schema: Option<Schema>,
    /// What the operator's file says.
    fixed: Map<String, Value>,
    now: ArcSwap<Now>,
    /// Held while `now` is made anew, so that an older version never takes the place of a newer one.
    changing: Mutex<()>,
}

/// One version of them.
struct Now {
    /// That of what is kept; none if nothing is.
    version: Option<u64>,
    values: Map<String, Value>,
    texts: Arc<Texts>,
}

impl Texts {
    fn of(values: &Map<String, Value>) -> Self {
        let by_key = values.iter().map(|(key, value)| (key.clone(), value.to_string().into())).collect();
        Self { all: Value::Object(values.clone()).to_string().into(), by_key }
    }

    /// All of them as one JSON object.
    pub(in crate::sandbox) fn all(&self) -> Arc<str> {
        self.all.clone()
    }

    pub(in crate::sandbox) fn get(&self, key: &str) -> Option<Arc<str>> {
        self.by_key.get(key).cloned()
    }
}

impl Live {
    /// No settings.
    pub(in crate::sandbox) fn none() -> Self {
        let now = Now { version: None, values: Map::new(), texts: Texts::of(&Map::new()).into() };
        Self { schema: None, fixed: Map::new(), now: ArcSwap::from_pointee(now), changing: Mutex::new(()) }
    }

    /// `schema` is JSON; `fixed` is what the operator's file says.
    ///
    /// # Errors
    /// All that is wrong with the schema or with the settings.
    pub(in crate::sandbox) fn of(
        schema: Option<&str>,
        fixed: &Map<String, Value>,
        kept: Option<&KeptSettings>,
    ) -> Result<Self, Vec<Problem>> {
        let read = |text: &str| {
            let schema = serde_json::from_str(text).map_err(|error| vec![Problem::new("", format!("the schema is no JSON: {error}"))])?;
            Schema::new(&schema)
        };
        let live = Self { schema: schema.map(read).transpose()?, fixed: fixed.clone(), ..Self::none() };
        live.now.store(live.version(kept)?.into());
        Ok(live)
    }

    /// What a call that begins now sees.
    pub(in crate::sandbox) fn texts(&self) -> Arc<Texts> {
        self.now.load().texts.clone()
    }

    /// Takes over what is kept now.
    ///
    /// # Errors
    /// It does not fit; nothing has changed.
    pub(in crate::sandbox) fn refresh(&self, kept: Option<&KeptSettings>) -> Result<(), Vec<Problem>> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.now.load().version != kept.map(|kept| kept.version) {
            self.now.store(self.version(kept)?.into());
        }
        Ok(())
    }

    pub(super) fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    pub(super) fn fixed(&self) -> &Map<String, Value> {
        &self.fixed
    }

    /// All of them, the schema's defaults and secrets included.
    pub(super) fn values(&self) -> Map<String, Value> {
        self.now.load().values.clone()
    }

    /// What the plugin would see with these kept.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn filled(&self, kept: Option<&Map<String, Value>>) -> Result<Map<String, Value>, Vec<Problem>> {
        let Some(schema) = &self.schema else { return Ok(self.fixed.clone()) };
        let mut settings = kept.cloned().unwrap_or_default();
        settings.extend(self.fixed.clone());
        schema.check(&settings).map(|Filled(filled)| filled)
    }

    fn version(&self, kept: Option<&KeptSettings>) -> Result<Now, Vec<Problem>> {
        let values = self.filled(kept.map(|kept| &kept.values))?;
        Ok(Now { version: kept.map(|kept| kept.version), texts: Texts::of(&values).into(), values })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = r#"{"properties": {"a": {"type": "integer", "default": 1}, "b": {"type": "string"}}}"#;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn kept(version: u64, values: Value) -> KeptSettings {
        KeptSettings { version, values: map(values) }
    }

    fn seen(live: &Live) -> String {
        live.texts().all().to_string()
    }

    #[test]
    fn the_file_comes_before_what_is_kept_and_that_before_the_defaults() {
        let none = Live::of(Some(SCHEMA), &Map::new(), None).unwrap();
        assert_eq!(seen(&none), r#"{"a":1}"#);
        let live = Live::of(Some(SCHEMA), &map(json!({"b": "file"})), Some(&kept(1, json!({"a": 2, "b": "api"})))).unwrap();
        assert_eq!(seen(&live), r#"{"a":2,"b":"file"}"#);
        assert_eq!((live.texts().get("b").as_deref(), live.texts().get("c")), (Some(r#""file""#), None));
    }

    #[test]
    fn what_does_not_fit_changes_nothing_and_a_call_keeps_what_it_began_with() {
        let live = Live::of(Some(SCHEMA), &Map::new(), None).unwrap();
        let of_a_call = live.texts();
        live.refresh(Some(&kept(1, json!({"a": 2})))).unwrap();
        let problems = live.refresh(Some(&kept(2, json!({"a": "two"})))).unwrap_err();
        assert!(problems[0].path == "/a", "{problems:?}");
        assert_eq!((&*of_a_call.all(), seen(&live).as_str()), (r#"{"a":1}"#, r#"{"a":2}"#));
        live.refresh(None).unwrap();
        assert_eq!(seen(&live), r#"{"a":1}"#);
    }

    #[test]
    fn a_plugin_without_a_schema_sees_the_file_alone() {
        let live = Live::of(None, &map(json!({"x": [1]})), Some(&kept(1, json!({"y": 2})))).unwrap();
        assert_eq!(seen(&live), r#"{"x":[1]}"#);
        assert_eq!(seen(&Live::none()), "{}");
    }

    #[test]
    fn settings_or_a_schema_that_do_not_fit_make_no_plugin() {
        for (schema, config) in [(SCHEMA, json!({"a": "x"})), (r##"{"$ref": "#"}"##, json!({})), ("{", json!({}))] {
            assert!(Live::of(Some(schema), &map(config), None).is_err(), "{schema}");
        }
    }
}
