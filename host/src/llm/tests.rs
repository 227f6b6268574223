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

#[test]
fn the_next_configuration_keeps_the_endpoints_that_it_names_too() {
    let secrets = || -> Secrets { Arc::new(|_| Err(MissingSecret::NotSet)) };
    let config = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config
    };
    let same = |before: &Llm, after: &Llm, name: &str| match (before.providers.get(name), after.providers.get(name)) {
        (Some(Vendor::Http(before)), Some(Vendor::Http(after))) => after.has_the_endpoint_of(before),
        _ => false,
    };
    let before = Llm::new(Config::default(), secrets(), Arc::new(())).unwrap();
    let kept = |change: fn(&mut Config)| {
        let after = before.renewed(config(change), secrets(), Arc::new(())).unwrap();
        ["openai", "anthropic"].map(|name| same(&before, &after, name))
    };
    assert_eq!(kept(|_| ()), [true, true]);
    assert_eq!(kept(|config| config.providers.get_mut("openai").unwrap().models = vec!["*".into()]), [true, true]);
    assert_eq!(kept(|config| config.providers.get_mut("openai").unwrap().secret_key_name = Some("OTHER".into())), [true, true]);
    assert_eq!(kept(|config| config.limits.retries = 0), [true, true]);
    assert_eq!(kept(|config| config.providers.get_mut("openai").unwrap().base_url = "http://127.0.0.1:1/v1".into()), [false, true]);
    assert_eq!(kept(|config| drop(config.providers.remove("openai"))), [false, true]);
    assert_eq!(kept(|config| config.limits.first_byte *= 2), [false, false]);
}
