//! Filters on metadata, evaluated by SQLite. Every name and every value of a filter is a parameter of the statement, never a part of its text.

use std::collections::HashSet;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;

use crate::rag::{Filter, Namespace};

/// The chunks of the documents that pass; none if every document does.
pub(super) fn chunks(moment: &Connection, namespace: &Namespace, filter: &Filter) -> rusqlite::Result<Option<HashSet<i64>>> {
    if filter.is_empty() {
        return Ok(None);
    }
    let mut sql = "SELECT c.id FROM live_documents d JOIN chunks c ON c.document_id = d.id WHERE d.api = ? AND d.namespace = ?".to_owned();
    let mut values: Vec<Sql> = vec![namespace.api.clone().into(), namespace.name.clone().into()];
    for (name, allowed) in filter.fields() {
        let one_of = vec!["(m.type IN (?, ?) AND m.value = ?)"; allowed.len()].join(" OR ");
        sql.push_str(&format!(" AND EXISTS (SELECT 1 FROM json_each(d.metadata) m WHERE m.key = ? AND ({one_of}))"));
        values.push(name.clone().into());
        values.extend(allowed.iter().flat_map(typed));
    }
    let mut rows = moment.prepare(&sql)?;
    let ids = rows.query_map(params_from_iter(values), |row| row.get(0))?;
    ids.collect::<Result<_, _>>().map(Some)
}

/// The types that SQLite gives such a value, and the value.
fn typed(value: &Value) -> [Sql; 3] {
    let text = |text: &str| Sql::Text(text.to_owned());
    match value {
        Value::Bool(true) => [text("true"), text("true"), Sql::Integer(1)],
        Value::Bool(false) => [text("false"), text("false"), Sql::Integer(0)],
        Value::Number(number) => {
            let whole = number.as_i64().map(Sql::Integer);
            [text("integer"), text("real"), whole.unwrap_or_else(|| Sql::Real(number.as_f64().unwrap_or(f64::NAN)))]
        }
        Value::String(value) => [text("text"), text("text"), text(value)],
        // A filter has no others.
        Value::Null | Value::Array(_) | Value::Object(_) => [Sql::Null, Sql::Null, Sql::Null],
    }
}
