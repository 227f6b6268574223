//! Fills in the defaults of a schema: each field that is missing and has a `default`, in the settings and in the tables inside them.
//! Only what every value has to fit is looked at, not the branches of `anyOf` and the like, which may each have another default.

use serde_json::{Map, Value};

use super::place::Root;
use super::problem::{Problem, SETTINGS_BYTES_MAX};

/// # Errors
/// The defaults are larger than settings may be.
pub(super) fn fill(root: Root<'_>, settings: &mut Value) -> Result<(), Problem> {
    let mut left = SETTINGS_BYTES_MAX;
    let too_large = || Problem::new("", format!("with the schema's defaults filled in they have more than {SETTINGS_BYTES_MAX} bytes"));
    fill_in(root, &root.at(root.0, true), settings, &mut left).ok_or_else(too_large)
}

/// `left`: bytes of defaults that may still be filled in. None if they are used up.
fn fill_in(root: Root<'_>, schemas: &[&Value], value: &mut Value, left: &mut usize) -> Option<()> {
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Array(items) => {
            for item in items {
                let of_items: Vec<&Value> =
                    schemas.iter().filter_map(|schema| schema.get("items")).flat_map(|schema| root.at(schema, true)).collect();
                fill_in(root, &of_items, item, left)?;
            }
            return Some(());
        }
        _ => return Some(()),
    };
    let named = schemas.iter().filter_map(|schema| schema.get("properties")?.as_object()).flat_map(Map::iter);
    for (name, schema) in named {
        let schemas = root.at(schema, true);
        if !fields.contains_key(name) {
            let Some(default) = schemas.iter().find_map(|schema| schema.get("default")) else { continue };
            *left = left.checked_sub(name.len() + default.to_string().len())?;
            fields.insert(name.clone(), default.clone());
        }
        if let Some(field) = fields.get_mut(name) {
            fill_in(root, &schemas, field, left)?;
        }
    }
    Some(())
}
