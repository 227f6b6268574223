//! What clients may name without a pipeline.

use super::*;

#[test]
fn a_name_that_clients_choose_is_short_and_plain_whatever_is_offered() {
    let mut config = Config::default();
    config.providers.get_mut("openai").unwrap().models = vec!["*".into()];
    let llm = Llm::new(config, Arc::new(|_| Err(MissingSecret::NotSet)), Arc::new(())).unwrap();
    let offered = |model: &str| llm.offered(&format!("openai/{model}")).map(|target| target.model);
    let long = "m".repeat(200);
    for model in ["gpt-4o", "org/model:tag", &*long] {
        assert_eq!(offered(model).as_deref(), Some(model));
    }
    // It goes into logs, the ledger and headers.
    for model in ["", &*format!("{long}m"), "a\0b", "a\nb", "a\u{85}b"] {
        assert_eq!(offered(model), None, "{model:?}");
    }
}
