//! What an operator grants of the models: `grants.llm = { targets = ["openai/gpt-4o-mini"], tokens = 20000 }`. A target that is a table names the
//! secret with the provider's key as a pipeline's target does.

use serde_json::Value;

use super::port::ModelTarget;
use crate::chat::is_name;
use crate::sandbox::bindings::types::Failure;
use crate::sandbox::grant::Grant;
use crate::sandbox::grant::terms::Terms;

/// Targets, and models for vectors, of one grant.
const ENTRIES_MAX: usize = 100;
/// Bytes of a model's name: it goes into logs and the ledger.
const MODEL_BYTES: usize = 200;
/// Stands for all models of a provider.
const ANY: &str = "*";

/// The terms of one plugin's grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LlmTerms {
    /// The model may be `*`.
    pub targets: Vec<ModelTarget>,
    /// Ids of `[[embeddings]]`.
    pub embeddings: Vec<String>,
    /// Questions for one exchange.
    pub calls: u32,
    /// Tokens of all of them, prompts included.
    pub tokens: u64,
}

impl Grant for LlmTerms {
    const CAPABILITY: &'static str = "llm";
    const EXAMPLE: &'static str = "{ targets = [\"openai/gpt-4o-mini\"], tokens = 20000 }";

    fn read(value: &Value) -> Result<Self, String> {
        let mut terms = Terms::of(value, Self::EXAMPLE)?;
        let targets = terms.take("targets").map_or(Ok(Vec::new()), targets)?;
        let embeddings = terms.take("embeddings").map_or(Ok(Vec::new()), embeddings)?;
        // A handful of questions, each of a long conversation.
        let calls = terms.count("calls", 5, 1..=1_000)?;
        let tokens = terms.count("tokens", 50_000, 1..=1_000_000_000)?;
        terms.finish()?;
        if targets.is_empty() && embeddings.is_empty() {
            return Err("`targets` is missing: the models that the plugin may ask, such as [\"openai/gpt-4o-mini\"]".into());
        }
        Ok(Self { targets, embeddings, calls: u32::try_from(calls).unwrap_or(u32::MAX), tokens })
    }
}

impl LlmTerms {
    /// The model that a guest means.
    pub(super) fn target(&self, provider: Option<&str>, model: Option<&str>) -> Result<ModelTarget, Failure> {
        let denied = |what: &str| Err(Failure::Denied(format!("`grants.llm.targets` does not name {what}")));
        let mut of_provider = self.targets.iter().filter(|granted| provider.is_none_or(|wanted| granted.provider == wanted)).peekable();
        if of_provider.peek().is_none() {
            return denied(if provider.is_some() { "this provider" } else { "any model" });
        }
        let Some(model) = model else {
            return match of_provider.find(|granted| granted.model != ANY) {
                Some(granted) => Ok(granted.clone()),
                None => {
                    Err(Failure::Invalid("name a model: the grant allows all of this provider's, so none of them is the default".into()))
                }
            };
        };
        match of_provider.find(|granted| is_model(model) && (granted.model == model || granted.model == ANY)) {
            Some(granted) => Ok(ModelTarget { model: model.to_owned(), ..granted.clone() }),
            None => denied("this model"),
        }
    }

    /// The id of `[[embeddings]]` that a guest means.
    pub(super) fn embedding<'a>(&'a self, wanted: Option<&str>) -> Result<&'a str, Failure> {
        let found = self.embeddings.iter().find(|id| wanted.is_none_or(|wanted| *id == wanted));
        found.map(String::as_str).ok_or_else(|| Failure::Denied("`grants.llm.embeddings` does not name this model, or none at all".into()))
    }
}

fn is_model(name: &str) -> bool {
    !name.is_empty() && name != ANY && name.len() <= MODEL_BYTES && !name.contains(char::is_control)
}

fn targets(value: &Value) -> Result<Vec<ModelTarget>, String> {
    let wrong = || {
        format!(
            "`targets`: expected a list of 1 to {ENTRIES_MAX} models such as \"openai/gpt-4o-mini\" or \
             {{ provider = \"openai\", model = \"gpt-4o-mini\", secret_key_name = \"OPENAI_API_KEY\" }}; `*` stands for every model"
        )
    };
    let target = |provider: &str, model: &str, secret: Option<&str>| {
        let fits = is_name(provider) && (model == ANY || is_model(model));
        let (provider, model) = (provider.to_owned(), model.to_owned());
        fits.then(|| ModelTarget { provider, model, secret_key_name: secret.map(str::to_owned) }).ok_or_else(wrong)
    };
    let read = |value: &Value| match value {
        Value::String(text) => {
            let (provider, model) = text.split_once('/').ok_or_else(wrong)?;
            target(provider, model, None)
        }
        Value::Object(table) => {
            if table.keys().any(|key| !matches!(key.as_str(), "provider" | "model" | "secret_key_name")) {
                return Err(wrong());
            }
            let text = |key: &str| table.get(key).map(|value| value.as_str().ok_or_else(wrong)).transpose();
            target(text("provider")?.ok_or_else(wrong)?, text("model")?.ok_or_else(wrong)?, text("secret_key_name")?)
        }
        _ => Err(wrong()),
    };
    let list = value.as_array().filter(|list| (1..=ENTRIES_MAX).contains(&list.len())).ok_or_else(wrong)?;
    list.iter().map(read).collect()
}

fn embeddings(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || format!("`embeddings`: expected a list of 1 to {ENTRIES_MAX} ids of `[[embeddings]]` such as [\"minilm\"]");
    let list = value.as_array().filter(|list| (1..=ENTRIES_MAX).contains(&list.len())).ok_or_else(wrong)?;
    list.iter().map(|id| id.as_str().filter(|id| !id.is_empty()).map(str::to_owned).ok_or_else(wrong)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn terms(targets: Value) -> LlmTerms {
        LlmTerms::read(&json!({ "targets": targets })).expect("valid")
    }

    fn found(terms: &LlmTerms, provider: Option<&str>, model: Option<&str>) -> Result<String, &'static str> {
        terms.target(provider, model).map(|target| format!("{}/{}", target.provider, target.model)).map_err(|failure| match failure {
            Failure::Denied(_) => "denied",
            Failure::Invalid(_) => "invalid",
            _ => "other",
        })
    }

    #[test]
    fn a_guest_reaches_the_models_that_are_named_and_no_other() {
        let terms = terms(json!(["openai/*", "anthropic/claude", "openai/gpt-4o", "plugin/manifold/fast"]));
        for (provider, model, expected) in [
            (None, None, Ok("anthropic/claude")),
            (Some("openai"), None, Ok("openai/gpt-4o")),
            (Some("openai"), Some("any thing"), Ok("openai/any thing")),
            (None, Some("claude"), Ok("openai/claude")),
            (Some("anthropic"), Some("claude"), Ok("anthropic/claude")),
            (Some("plugin"), Some("manifold/fast"), Ok("plugin/manifold/fast")),
            (Some("anthropic"), Some("claude-2"), Err("denied")),
            (Some("plugin"), Some("manifold"), Err("denied")),
            (Some("plugin"), Some("manifold/fast/x"), Err("denied")),
            (Some("gemini"), None, Err("denied")),
            (Some("openai"), Some(""), Err("denied")),
            (Some("openai"), Some("*"), Err("denied")),
            (Some("openai"), Some("a\nb"), Err("denied")),
            (Some(""), Some("x"), Err("denied")),
            (Some("openai/gpt-4o"), None, Err("denied")),
        ] {
            assert_eq!(found(&terms, provider, model), expected.map(str::to_owned), "{provider:?} {model:?}");
        }
        assert_eq!(found(&super::tests::terms(json!(["openai/*"])), Some("openai"), None), Err("invalid"));
    }

    #[test]
    fn a_target_may_name_its_secret() {
        let terms = terms(json!([{"provider": "openai", "model": "*", "secret_key_name": "KEY"}]));
        let target = terms.target(Some("openai"), Some("m")).expect("granted");
        assert_eq!((target.model.as_str(), target.secret_key_name.as_deref()), ("m", Some("KEY")));
    }

    #[test]
    fn vectors_come_from_models_that_are_named_for_them() {
        let terms = LlmTerms::read(&json!({"embeddings": ["minilm", "small"]})).expect("valid");
        assert_eq!((terms.embedding(None).ok(), terms.embedding(Some("small")).ok()), (Some("minilm"), Some("small")));
        assert!(matches!(terms.embedding(Some("large")), Err(Failure::Denied(_))));
        assert!(matches!(terms.target(None, None), Err(Failure::Denied(_))));
        assert!(matches!(super::tests::terms(json!(["a/b"])).embedding(None), Err(Failure::Denied(_))));
    }

    #[test]
    fn what_is_no_list_of_models_or_beyond_an_edge_is_refused() {
        for value in [
            json!({}),
            json!([]),
            json!({"targets": []}),
            json!({"targets": ["openai"]}),
            json!({"targets": ["openai/"]}),
            json!({"targets": ["/m"]}),
            json!({"targets": ["*"]}),
            json!({"targets": ["*/m"]}),
            json!({"targets": [1]}),
            json!({"targets": [{"provider": "openai"}]}),
            json!({"targets": [{"provider": "openai", "model": "m", "key": "sk"}]}),
            json!({"targets": vec!["a/b"; ENTRIES_MAX + 1]}),
            json!({"targets": [format!("a/{}", "m".repeat(MODEL_BYTES + 1))]}),
            json!({"targets": ["a/b"], "embeddings": []}),
            json!({"targets": ["a/b"], "token": 1}),
        ] {
            assert!(LlmTerms::read(&value).is_err(), "{value}");
        }
        for (key, least, most) in [("calls", 1, 1_000), ("tokens", 1, 1_000_000_000_u64)] {
            for (number, fits) in [(least - 1, false), (least, true), (most, true), (most + 1, false)] {
                assert_eq!(LlmTerms::read(&json!({"targets": ["a/b"], key: number})).is_ok(), fits, "{key} = {number}");
            }
        }
    }
}
