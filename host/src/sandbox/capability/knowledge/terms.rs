//! What an operator grants of the documents: `grants.knowledge = { namespaces = ["default"] }`. A namespace is of the pipeline that is asked, or,
//! with a pipeline's id before it, of that one whoever asks.

use serde_json::Value;

use crate::chat::is_name;
use crate::sandbox::grant::Grant;
use crate::sandbox::grant::terms::Terms;

/// Namespaces of one grant.
const NAMESPACES_MAX: usize = 100;

/// The terms of one plugin's grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnowledgeTerms {
    /// Each `NAME` or `PIPELINE/NAME`.
    pub namespaces: Vec<String>,
    /// Searches for one exchange.
    pub calls: u32,
}

impl Grant for KnowledgeTerms {
    const CAPABILITY: &'static str = "knowledge";
    const EXAMPLE: &'static str = "{ namespaces = [\"default\"] }";

    fn read(value: &Value) -> Result<Self, String> {
        let mut terms = Terms::of(value, Self::EXAMPLE)?;
        let namespaces = namespaces(terms.take("namespaces"))?;
        // More than a question of several parts needs; each takes the embedder some milliseconds.
        let calls = terms.count("calls", 10, 1..=1_000)?;
        terms.finish()?;
        Ok(Self { namespaces, calls: u32::try_from(calls).unwrap_or(u32::MAX) })
    }
}

impl KnowledgeTerms {
    /// The pipeline's id and the name of the namespace that a guest calls so, on behalf of a request to `pipeline`; none if it was not granted.
    pub(super) fn namespace<'a>(&self, asked: &'a str, pipeline: &'a str) -> Option<(&'a str, &'a str)> {
        self.namespaces.iter().any(|granted| granted == asked).then(|| asked.split_once('/').unwrap_or((pipeline, asked)))
    }
}

fn namespaces(value: Option<&Value>) -> Result<Vec<String>, String> {
    let wrong = || format!("`namespaces`: expected a list of 1 to {NAMESPACES_MAX} names such as [\"default\", \"support/manuals\"]");
    let list = value.and_then(Value::as_array).filter(|list| (1..=NAMESPACES_MAX).contains(&list.len())).ok_or_else(wrong)?;
    let name = |value: &Value| {
        let text = value.as_str().filter(|text| match text.split_once('/') {
            Some((pipeline, name)) => is_name(pipeline) && is_name(name),
            None => is_name(text),
        });
        text.map(str::to_owned).ok_or_else(wrong)
    };
    list.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_is_of_the_pipeline_that_is_asked_or_of_the_one_that_is_named() {
        let terms = KnowledgeTerms::read(&json!({"namespaces": ["default", "support/manuals"]})).unwrap();
        assert_eq!(terms.calls, 10);
        assert_eq!(terms.namespace("default", "p"), Some(("p", "default")));
        assert_eq!(terms.namespace("support/manuals", "p"), Some(("support", "manuals")));
        for not_granted in ["manuals", "other", "support/default", "q/default", "", "/default", "default/", "DEFAULT", "support/manuals/x"]
        {
            assert_eq!(terms.namespace(not_granted, "p"), None, "{not_granted}");
        }
    }

    #[test]
    fn what_is_no_list_of_names_or_beyond_an_edge_is_refused() {
        for value in [
            json!({}),
            json!([]),
            json!({"namespaces": []}),
            json!({"namespaces": "default"}),
            json!({"namespaces": [""]}),
            json!({"namespaces": ["*"]}),
            json!({"namespaces": ["a/b/c"]}),
            json!({"namespaces": ["/a"]}),
            json!({"namespaces": ["a/"]}),
            json!({"namespaces": [1]}),
            json!({"namespaces": vec!["a"; NAMESPACES_MAX + 1]}),
            json!({"namespaces": ["a"], "limit": 1}),
        ] {
            assert!(KnowledgeTerms::read(&value).is_err(), "{value}");
        }
        for (calls, fits) in [(0, false), (1, true), (1_000, true), (1_001, false)] {
            assert_eq!(KnowledgeTerms::read(&json!({"namespaces": ["a"], "calls": calls})).is_ok(), fits, "{calls}");
        }
        KnowledgeTerms::read(&json!({"namespaces": vec!["a"; NAMESPACES_MAX]})).unwrap();
    }
}
