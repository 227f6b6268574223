//! `[rag]`: what documents and questions are embedded by.

use super::*;

#[test]
fn each_kind_of_embedder_is_read_and_printed_and_its_path_counts_from_the_file() {
    let text = r#"
        [rag]
        embedder = "mini"
        [rag.embedders.mini]
        kind = "local"
        path = "models/mini"
        pooling = "cls"
        query_prefix = "query: "
        document_prefix = ""
        max_tokens = 256
        [rag.embedders.table]
        kind = "static"
        path = "/models/potion"
        [rag.embedders.far]
        kind = "remote"
        provider = "openai"
        model = "text-embedding-3-small"
        secret_key_name = "KEY"
        dimensions = 1536
        timeout_seconds = 10
        [rag.embedders.asked]
        kind = "remote"
        provider = "openai"
        model = "m"
        [rag.namespaces.docs]
        embedder = "far"
        [rag.namespaces."support/docs"]
        embedder = "builtin"
    "#;
    let config = Config::parse(text, Path::new("/etc/c")).unwrap();
    let rag::Embedders { embedder, namespaces, named } = &config.embedders;
    assert_eq!((embedder.as_str(), named.len()), ("mini", 4));
    let wanted: Vec<_> = namespaces.iter().map(|(name, embedder)| (name.as_str(), embedder.as_str())).collect();
    assert_eq!(wanted, [("docs", "far"), ("support/docs", "builtin")]);
    let rag::EmbedderConfig::Remote(asked) = &named["asked"] else { panic!("{named:?}") };
    assert_eq!(asked.dimensions, None, "the provider is asked");
    let settings = rag::ModelSettings {
        pooling: Some(rag::Pooling::Cls),
        query_prefix: Some("query: ".into()),
        document_prefix: Some(String::new()),
        max_tokens: Some(256),
    };
    assert_eq!(named["mini"], rag::EmbedderConfig::Local { path: "/etc/c/models/mini".into(), settings });
    assert_eq!(named["table"], rag::EmbedderConfig::Static { path: "/models/potion".into() });
    let far = rag::RemoteModel {
        provider: "openai".into(),
        model: "text-embedding-3-small".into(),
        secret_key_name: Some("KEY".into()),
        dimensions: Some(1536),
        time: Duration::from_secs(10),
    };
    assert_eq!(named["far"], rag::EmbedderConfig::Remote(far));
    let again = Config::parse(&config.effective(), Path::new("/")).unwrap();
    assert_eq!(again.embedders, config.embedders);
}

#[test]
fn what_is_wrong_with_an_embedder_is_said_with_its_key() {
    let local = |line: &str| format!("[rag.embedders.e]\nkind = \"local\"\npath = \"m\"\n{line}");
    let remote = |line: &str| format!("[rag.embedders.e]\nkind = \"remote\"\nprovider = \"openai\"\nmodel = \"m\"\ndimensions = 8\n{line}");
    let without = |key: &str| remote("").lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n");
    let cases = [
        ("[rag]\nembedder = \"none\"".to_owned(), "rag.embedder", "\"builtin\" or the name"),
        ("[rag.namespaces.docs]\nembedder = \"none\"".into(), "rag.namespaces.docs.embedder", "or the name of one of `[rag.embedders]`"),
        ("[rag.namespaces.docs]".into(), "rag.namespaces.docs.embedder", "is missing"),
        ("[rag.namespaces.\"a/b/c\"]\nembedder = \"builtin\"".into(), "rag.namespaces.\"a/b/c\"", "\"API/NAMESPACE\""),
        ("[rag.namespaces.\"a b\"]\nembedder = \"builtin\"".into(), "rag.namespaces.\"a b\"", "the name of a namespace"),
        ("[rag.namespaces.docs]\nembedder = \"builtin\"\nmodel = \"m\"".into(), "rag.namespaces.docs.model", "unknown"),
        ("[rag.embedders.builtin]\nkind = \"static\"\npath = \"m\"".into(), "rag.embedders.builtin", "and not \"builtin\""),
        ("[rag.embedders.e]\npath = \"m\"".into(), "rag.embedders.e.kind", "is missing"),
        ("[rag.embedders.e]\nkind = \"pickle\"\npath = \"m\"".into(), "rag.embedders.e.kind", "\"local\" or \"static\" or \"remote\""),
        ("[rag.embedders.e]\nkind = \"local\"".into(), "rag.embedders.e.path", "is missing"),
        (local("max_tokens = 2"), "rag.embedders.e.max_tokens", "from 3 to 8192"),
        (local("max_tokens = 8193"), "rag.embedders.e.max_tokens", "from 3 to 8192"),
        (local("pooling = \"max\""), "rag.embedders.e.pooling", "\"mean\" or \"cls\""),
        (local("dimensions = 8"), "rag.embedders.e.dimensions", "not for an embedder of this kind"),
        (local(&format!("query_prefix = \"{}\"", "x".repeat(1_001))), "rag.embedders.e.query_prefix", "at most 1000 bytes"),
        (remote("path = \"m\""), "rag.embedders.e.path", "not for an embedder of this kind"),
        (remote("secret_key_name = \"sk live\""), "rag.embedders.e.secret_key_name", "a secret's name"),
        (remote("timeout_seconds = 0"), "rag.embedders.e.timeout_seconds", "from 1 to 600"),
        (remote("timeout_seconds = 601"), "rag.embedders.e.timeout_seconds", "from 1 to 600"),
        (without("model"), "rag.embedders.e.model", "is missing"),
        (without("provider"), "rag.embedders.e.provider", "is missing"),
        (remote("").replace("\"openai\"", "\"nobody\""), "rag.embedders.e.provider", "no provider \"nobody\""),
        (remote("").replace("\"openai\"", "\"builtin\""), "rag.embedders.e.provider", "computes no vectors here"),
        (remote("").replace("= 8", "= 8193"), "rag.embedders.e.dimensions", "from 1 to 8192"),
    ];
    for (text, path, wanted) in cases {
        let [problem] = &problems(&text)[..] else { panic!("not one problem: {text}: {:?}", problems(&text)) };
        assert!(problem.contains(path) && problem.contains(wanted), "{text}: {problem}");
    }
}
