//! A plugin's JSON Schema, compiled, and settings checked by it. What is checked has its defaults filled in, and what is wrong is named by
//! its place, never by its value.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value};

use super::place::Root;
use super::problem::{PROBLEMS_MAX, Problem, bounded};
use super::{bounds, defaults, mask};

/// Bytes that one compiled pattern may take, and its cache of states again.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// Settings that fit their schema, with its defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled(pub Map<String, Value>);

/// A plugin's schema, compiled.
#[derive(Debug)]
pub struct Schema {
    schema: Value,
    validator: Validator,
}

/// Settings against a schema that is used once.
///
/// # Errors
/// Everything that is wrong with the schema or the settings.
pub fn check(schema: &Value, settings: &Map<String, Value>) -> Result<Filled, Vec<Problem>> {
    Schema::new(schema)?.check(settings)
}

impl Schema {
    /// # Errors
    /// It is no schema of the draft, or one of those that `bounds` refuses.
    pub fn new(schema: &Value) -> Result<Self, Vec<Problem>> {
        bounds::check(schema).map_err(|problem| vec![problem])?;
        // Of `regex`, whose time is linear in the text; patterns that need more, with look-around or back-references, do not compile.
        let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let options = jsonschema::options().with_draft(Draft::Draft202012).offline().with_pattern_options(patterns);
        let validator = options.build(schema).map_err(|error| {
            vec![Problem::new(error.instance_path().as_str(), format!("the schema cannot be used: {}", error.masked()))]
        })?;
        Ok(Self { schema: schema.clone(), validator })
    }

    /// # Errors
    /// Everything that is wrong with the settings, up to twenty problems.
    pub fn check(&self, settings: &Map<String, Value>) -> Result<Filled, Vec<Problem>> {
        let mut filled = Value::Object(settings.clone());
        bounded(&filled).map_err(|problem| vec![problem])?;
        defaults::fill(Root(&self.schema), &mut filled).map_err(|problem| vec![problem])?;
        bounded(&filled).map_err(|problem| vec![problem])?;
        let problems: Vec<Problem> = self
            .validator
            .iter_errors(&filled)
            .take(PROBLEMS_MAX)
            .map(|error| Problem::new(error.instance_path().as_str(), error.masked().to_string()))
            .collect();
        match (problems.is_empty(), filled) {
            (true, Value::Object(filled)) => Ok(Filled(filled)),
            (true, _) => Err(vec![Problem::new("", "expected a table")]),
            (false, _) => Err(problems),
        }
    }

    /// The settings as anybody may read them: each value that is `writeOnly` is `MASK`.
    pub fn mask(&self, settings: &Map<String, Value>) -> Map<String, Value> {
        mask::mask(Root(&self.schema), settings)
    }

    /// What was sent, with the value that is kept wherever the mask was sent back.
    ///
    /// # Errors
    /// A mask that stands for no value that is kept.
    pub fn unmask(&self, sent: &Map<String, Value>, kept: &Map<String, Value>) -> Result<Map<String, Value>, Vec<Problem>> {
        let sent_value = Value::Object(sent.clone());
        bounded(&sent_value).map_err(|problem| vec![problem])?;
        mask::unmask(Root(&self.schema), sent, kept)
    }
}
