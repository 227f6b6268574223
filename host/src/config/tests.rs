//! Every key once with a valid and once with an invalid value. All problems are reported together, and the effective configuration
//! reads back to the same.

mod changes;
mod embedders;
mod keys;
mod limits;
mod prices;
mod rerankers;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::llm::{
    AnthropicOptions, AzureOptions, CustomTools, KeyHeader, Kind, MaxTokensField, OAuthConfig, OpenAiOptions, Options, ProviderConfig,
    Unsupported,
};
use crate::pipeline::Origin;
use crate::sandbox::OnFailure;

const HASH: &str = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[track_caller]
fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("")).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn problems(text: &str) -> Vec<String> {
    match Config::parse(text, Path::new("")) {
        Ok(_) => panic!("no problem in {text}"),
        Err(problems) => problems.to_string().lines().map(str::to_owned).collect(),
    }
}

/// Checks that the text has exactly this one problem.
#[track_caller]
fn wrong(text: &str, expect: &str) {
    assert_eq!(problems(text), [format!("cofferdam.toml:{expect}")], "{text}");
}

#[test]
fn without_a_file_everything_is_at_its_default() {
    let config = Config::load(None).unwrap();
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!((config.data_dir.as_path(), config.plugin_dir.as_path()), (Path::new("data"), Path::new("plugins")));
    assert!(config.keys.is_empty() && config.plugins.is_empty());
    assert_eq!(config.llm.providers.keys().collect::<Vec<_>>(), ["anthropic", "builtin", "gemini", "openai", "plugin"]);
    assert_eq!((&config.http, &config.rag), (&crate::http::Limits::default(), &rag::Limits::default()));
    assert_eq!((&config.sandbox, &config.llm.limits), (&sandbox::ServerLimits::default(), &llm::Limits::default()));
    assert_eq!(config.pipelines_max, 256);
    assert_eq!(format!("{config:?}"), format!("{:?}", parse("")), "an empty file is as none");
}

#[test]
fn the_pipeline_without_any_in_the_file_needs_no_network() {
    for text in ["", "pipelines = []"] {
        let config = parse(text);
        let [pipeline] = &config.pipelines[..] else { panic!("one pipeline") };
        assert_eq!((&*pipeline.id, pipeline.origin), ("default", Origin::File));
        let rag = pipeline.definition.rag.as_ref().unwrap();
        assert_eq!((rag.namespace.as_str(), rag.top_k, rag.score_threshold), ("default", 5, 0.75));
        let target = &pipeline.definition.llm.targets[0];
        assert_eq!((target.provider.as_str(), target.model.as_str()), ("builtin", "extractive"));
        assert_eq!(config.llm.providers["builtin"].kind(), Kind::Builtin);
    }
}

#[test]
fn paths_are_read_and_relative_paths_count_from_the_file() {
    let config = Config::parse("listen = \"[::1]:0\"\ndata_dir = \"d\"\nplugin_dir = \"/p\"", Path::new("/etc/cofferdam")).unwrap();
    assert_eq!(config.listen, ["[::1]:0".parse().unwrap()]);
    assert_eq!((config.data_dir, config.plugin_dir), ("/etc/cofferdam/d".into(), "/p".into()));
    assert!(parse("").ready_requires_plugins && !parse("ready_requires_plugins = false").ready_requires_plugins);
    wrong("ready_requires_plugins = \"no\"", "1: ready_requires_plugins: expected true or false, found \"no\"");
    wrong(
        "listen = \"localhost\"",
        "1: listen: expected an address such as \"127.0.0.1:8080\", \"localhost:8080\", \"unix:/run/cofferdam.sock\" or \"fd:3\", found \"localhost\"",
    );
    wrong(
        "listen = 8080",
        "1: listen: expected an address such as \"127.0.0.1:8080\", \"localhost:8080\", \"unix:/run/cofferdam.sock\" or \"fd:3\", found 8080",
    );
    let secrets = |text: &str| Config::parse(text, Path::new("/etc/cofferdam")).unwrap().secret_dir;
    assert_eq!((secrets("secret_dir = \"s\""), secrets("")), (Some("/etc/cofferdam/s".into()), None));
    wrong("secret_dir = \"\"", "1: secret_dir: expected a path, found \"\"");
    wrong("data_dir = \"\"", "1: data_dir: expected a path, found \"\"");
    wrong("plugin_dir = [\"a\"]", "1: plugin_dir: expected a path, found a list");
}

#[test]
fn keys_are_read_as_hashes_with_or_without_prefix() {
    let text = format!(
        "keys = {{ client = [{{ name = \"a\", sha256 = \"{HASH}\" }}], admin = [{{ name = \"a\", sha256 = \"sha256:{HASH}\" }}] }}"
    );
    let keys = parse(&text).keys;
    assert_eq!((&*keys.client[0].name, keys.client[0].sha256[..3].to_vec()), ("a", vec![0x01, 0x23, 0x45]));
    assert_eq!(keys.admin, keys.client);
}

#[test]
fn a_key_in_the_clear_is_refused_and_not_repeated() {
    let hint = "expected the SHA-256 of the key in 64 hex digits, as `printf %s \"$KEY\" | sha256sum` prints it";
    for secret in ["cfd_do_not_print_me".to_owned(), "g".repeat(64), "é".repeat(32)] {
        wrong(&format!("[keys]\nclient = [{{ name = \"a\", sha256 = \"{secret}\" }}]"), &format!("2: keys.client[0].sha256: {hint}"));
    }
    let empty = format!("[[keys.admin]]\nname = \"a\"\nsha256 = \"{EMPTY}\"");
    wrong(&empty, "3: keys.admin[0].sha256: is the SHA-256 of nothing; was the variable with the key empty?");
}

#[test]
fn keys_need_names_of_their_own() {
    let key = |name: &str, hash: &str| format!("[[keys.client]]\nname = {name}\nsha256 = \"{hash}\"\n");
    let other = HASH.replace('0', "1");
    wrong(&key("7", HASH), "2: keys.client[0].name: expected 1 to 64 letters, digits, `-`, `_` or `.`, found 7");
    wrong(&(key("\"a\"", HASH) + &key("\"a\"", &other)), "5: keys.client[1].name: the name \"a\" stands twice");
    wrong(&(key("\"a\"", HASH) + &key("\"b\"", HASH)), "6: keys.client[1].sha256: the same key stands twice");
    wrong("[[keys.client]]\nname = \"a\"", "1: keys.client[0].sha256: is missing: the SHA-256 of the key");
    wrong("keys.client = \"a\"", "1: keys.client: expected a list, found \"a\"");
}

#[test]
fn providers_are_read_and_slashes_at_the_end_trimmed() {
    let text = "[providers.openai]\nbase_url = \"http://127.0.0.1:4010/v1/\"\n[providers.\"my.vllm\"]\nkind = \"openai\"\nbase_url = \"https://[::1]:8000/v1\"\n\
                [providers.offline]\nkind = \"builtin\"\n[providers.builtin]\n[providers.workers-ai]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:1\"";
    let providers = parse(text).llm.providers;
    assert_eq!(providers["openai"].base_url, "http://127.0.0.1:4010/v1");
    assert_eq!((providers["my.vllm"].kind(), providers["my.vllm"].base_url.as_str()), (Kind::OpenAi, "https://[::1]:8000/v1"));
    assert_eq!((providers["offline"].kind(), providers["builtin"].kind()), (Kind::Builtin, Kind::Builtin));
    assert_eq!(providers["workers-ai"].kind(), Kind::OpenAi, "any name may be given to any kind");
}

#[test]
fn a_provider_that_cannot_be_is_refused_with_what_to_do() {
    wrong("[providers.x]\nbase_url = \"http://h\"", "1: providers.x.kind: is missing: \"openai\" for every OpenAI-compatible server");
    wrong(
        "[providers.x]\nkind = \"openai\"",
        "1: providers.x.base_url: is missing: where this provider listens, such as \"http://127.0.0.1:8000/v1\"",
    );
    wrong(
        "[providers.x]\nkind = \"OpenAI\"",
        "2: providers.x.kind: expected one of \"openai\", \"anthropic\", \"gemini\", \"azure-openai\", \"workers-ai\", \"builtin\", \"plugin\", found \"OpenAI\"",
    );
    wrong(
        "[providers.builtin]\nbase_url = \"http://h\"",
        "2: providers.builtin.base_url: a provider of the kind \"builtin\" runs inside this program and has no base_url",
    );
    wrong(
        "[providers.\"a b\"]\nkind = \"builtin\"",
        "1: providers.\"a b\": a provider's name must be 1 to 64 letters, digits, `-`, `_` or `.`",
    );
    wrong("providers = 1", "1: providers: expected a table, found 1");
    let here = "base_url: is missing: where this provider listens, its base_url, such as \"https://RESOURCE.openai.azure.com/openai/v1\"";
    wrong("[providers.azure-openai]", &format!("1: providers.azure-openai.{here}"));
    wrong("[providers.workers-ai]", "1: providers.workers-ai.base_url: is missing: where this provider listens, its account_id");
}

#[test]
fn a_vendor_s_name_says_its_kind_and_its_options_are_read() {
    let text = "[providers.anthropic]\nmax_tokens = 9000\nanthropic_beta = [\"context-1m-2025-08-07\", \"x\"]\nauth = \"bearer\"\nunsupported = \"drop\"\nsecret_key_name = \"CLAUDE\"\n[providers.gemini]\nmodels = [\"gemini-2.5-pro\", \"*\"]\n\
                [providers.azure-openai]\nbase_url = \"https://r.openai.azure.com\"\napi_version = \"2024-10-21\"\nauth = \"bearer\"\n\
                max_tokens_field = \"max_tokens\"\nstream_usage = false\n[providers.openai]\nstream_usage = false\n\
                [providers.vllm]\nkind = \"openai\"\nbase_url = \"http://v/v1\"\ncustom_tools = \"as-sent\"\nleave_out = [\"verbosity\"]\n\
                [providers.workers-ai]\naccount_id = \"abc123\"\n[providers.mine]\nkind = \"anthropic\"\nbase_url = \"http://h/v1\"";
    let providers = parse(text).llm.providers;
    let anthropic = ProviderConfig {
        options: Options::Anthropic(AnthropicOptions {
            max_tokens: 9000,
            betas: vec!["context-1m-2025-08-07".into(), "x".into()],
            bearer: true,
        }),
        unsupported: Unsupported::Drop,
        secret_key_name: Some("CLAUDE".into()),
        ..ProviderConfig::new(Kind::Anthropic, "https://api.anthropic.com/v1")
    };
    assert_eq!(providers["anthropic"], anthropic);
    assert_eq!(providers["gemini"].models, ["gemini-2.5-pro", "*"]);
    let options = AzureOptions {
        api_version: Some("2024-10-21".into()),
        bearer: true,
        max_tokens_field: MaxTokensField::MaxTokens,
        stream_usage: false,
    };
    let azure =
        ProviderConfig { options: Options::AzureOpenAi(options), ..ProviderConfig::new(Kind::AzureOpenAi, "https://r.openai.azure.com") };
    assert_eq!(providers["azure-openai"], azure);
    assert_eq!(providers["openai"].options, Options::OpenAi(OpenAiOptions { stream_usage: false, ..OpenAiOptions::default() }));
    assert_eq!(
        ProviderConfig::new(Kind::OpenAi, "").options,
        Options::OpenAi(OpenAiOptions {
            stream_usage: true,
            custom_tools: CustomTools::Auto,
            leave_out: Vec::new(),
            auth: KeyHeader::Bearer
        })
    );
    let vllm = OpenAiOptions { custom_tools: CustomTools::AsSent, leave_out: vec!["verbosity".into()], ..OpenAiOptions::default() };
    assert_eq!(providers["vllm"].options, Options::OpenAi(vllm));
    assert_eq!(providers["workers-ai"].base_url, "https://api.cloudflare.com/client/v4/accounts/abc123/ai/v1");
    assert_eq!((providers["mine"].kind(), providers["mine"].base_url.as_str()), (Kind::Anthropic, "http://h/v1"));
    let named = parse("[providers.x]\nkind = \"openai\"\nbase_url = \" http://h/v1/ \"\nauth = \"x-api-key\"").llm.providers;
    assert_eq!(named["x"].options, Options::OpenAi(OpenAiOptions { auth: KeyHeader::XApiKey, ..OpenAiOptions::default() }));
    assert_eq!(named["x"].base_url, "http://h/v1", "without the white space that was pasted with it");
    let config = parse(text);
    assert_eq!(parse(&config.effective()).llm.providers, config.llm.providers);
}

#[test]
fn an_option_that_cannot_be_is_refused() {
    wrong(
        "[providers.anthropic]\nanthropic_beta = [\"a, b\"]",
        "2: providers.anthropic.anthropic_beta[0]: expected the name of a beta feature, such as \"context-1m-2025-08-07\", found \"a, b\"",
    );
    let betas = |count: usize| format!("[providers.anthropic]\nanthropic_beta = [{}]", vec!["\"x\""; count].join(", "));
    parse(&betas(32));
    wrong(&betas(33), "2: providers.anthropic.anthropic_beta[32]: there may be at most 32");
    wrong("[providers.anthropic]\nmax_tokens = 0", "2: providers.anthropic.max_tokens: expected a whole number from 1 to 1000000, found 0");
    wrong(
        "[providers.openai]\nmax_tokens = 1",
        "2: providers.openai.max_tokens: unknown key; known here are kind, base_url, secret_key_name, oauth, unsupported, models, \
         stream_usage, auth, custom_tools, leave_out",
    );
    wrong(
        "[providers.openai]\nunsupported = \"ignore\"",
        "2: providers.openai.unsupported: expected \"refuse\" or \"drop\", found \"ignore\"",
    );
    wrong("[providers.openai]\nmodels = [\"\"]", "2: providers.openai.models[0]: expected a model's name, or \"*\" for all, found \"\"");
    let many = |n: usize| format!("[providers.openai]\nmodels = [{}]", "\"m\",".repeat(n));
    assert_eq!(parse(&many(200)).llm.providers["openai"].models.len(), 200);
    wrong(&many(201), "2: providers.openai.models[200]: a provider offers at most 200 models");
    wrong(
        "[providers.openai]\ncustom_tools = \"no\"",
        "2: providers.openai.custom_tools: expected \"auto\" or \"as-sent\" or \"as-functions\", found \"no\"",
    );
    wrong(
        "[providers.openai]\nleave_out = [\"model\"]",
        "2: providers.openai.leave_out[0]: expected the name of a field that a request can do without, such as \"prompt_cache_key\", found \"model\"",
    );
    let left_out = |count: usize| format!("[providers.openai]\nleave_out = [{}]", vec!["\"x\""; count].join(", "));
    parse(&left_out(32));
    wrong(&left_out(33), "2: providers.openai.leave_out[32]: there may be at most 32");
    let azure = |option: &str| format!("[providers.azure-openai]\nbase_url = \"http://h\"\n{option}");
    wrong(
        &azure("api_version = \"a b\""),
        "3: providers.azure-openai.api_version: expected a version such as \"2024-10-21\", found \"a b\"",
    );
    wrong(&azure("auth = \"entra\""), "3: providers.azure-openai.auth: expected \"api-key\" or \"bearer\", found \"entra\"");
    wrong(
        &azure("max_tokens_field = \"tokens\""),
        "3: providers.azure-openai.max_tokens_field: expected \"max_tokens\" or \"max_completion_tokens\", found \"tokens\"",
    );
    wrong(&azure("stream_usage = \"no\""), "3: providers.azure-openai.stream_usage: expected true or false, found \"no\"");
    wrong(
        "[providers.workers-ai]\naccount_id = \"../a\"",
        "2: providers.workers-ai.account_id: expected the account's id, letters and digits, found \"../a\"",
    );
    wrong(
        "[providers.workers-ai]\naccount_id = \"a\"\nbase_url = \"http://h\"",
        "2: providers.workers-ai.account_id: stands beside base_url; one of the two says where the account is",
    );
}

#[test]
fn a_provider_s_oauth_client_is_read_and_printed_and_its_secret_has_a_name() {
    let azure = |oauth: &str, more: &str| format!("[providers.azure-openai]\nbase_url = \"http://h\"\noauth = {oauth}\n{more}");
    let (url, named) = ("token_url = \"http://h/token\"", "secret_key_name = \"AZURE_CLIENT\"");
    for (scope, expected) in [("", ""), (", scope = \"https://x/.default\"", "https://x/.default")] {
        let config = parse(&azure(&format!("{{ {url}, client_id = \"app \\\"1\\\"\"{scope} }}"), named));
        let client = OAuthConfig { token_url: "http://h/token".into(), client_id: "app \"1\"".into(), scope: expected.into() };
        assert_eq!(config.llm.providers["azure-openai"].oauth, Some(client));
        assert_eq!(parse(&config.effective()).llm.providers, config.llm.providers);
    }
    let at = "providers.azure-openai";
    let fine = format!("{{ {url}, client_id = \"a\" }}");
    wrong(&azure(&fine, ""), &format!("1: {at}.secret_key_name: is missing: the name of the secret that holds the OAuth client's secret"));
    wrong(&azure(&format!("{{ {url} }}"), named), &format!("3: {at}.oauth.client_id: is missing: the client's id"));
    wrong(&azure("{ client_id = \"a\" }", named), &format!("3: {at}.oauth.token_url: is missing: the token endpoint's URL"));
    wrong(
        &azure("{ client_id = \"a\", token_url = \"h\" }", named),
        &format!("3: {at}.oauth.token_url: expected a URL such as \"https://login.example/oauth2/v2.0/token\", found \"h\""),
    );
    wrong(
        &azure(&format!("{{ {url}, client_id = \"a\", scope = \"\" }}"), named),
        &format!("3: {at}.oauth.scope: expected scopes such as \"https://cognitiveservices.azure.com/.default\", found \"\""),
    );
    for key in ["client_secret", "secret"] {
        wrong(
            &azure(&format!("{{ {url}, client_id = \"a\", {key} = \"hush\" }}"), named),
            &format!("3: {at}.oauth.{key}: the provider's `secret_key_name` names the client's secret"),
        );
    }
    wrong(
        "[providers.plugin]\nmodels = [\"*\"]\nsecret_key_name = \"A\"",
        "3: providers.plugin.secret_key_name: unknown key; known here are kind, base_url, models",
    );
    wrong(
        "[providers.plugin]\nbase_url = \"http://h\"",
        "2: providers.plugin.base_url: a provider of the kind \"plugin\" runs inside this program and has no base_url",
    );
    wrong(
        "[providers.builtin]\noauth = { token_url = \"http://h\", client_id = \"a\" }",
        "2: providers.builtin.oauth: unknown key; known here are kind, base_url",
    );
}

#[test]
fn a_provider_s_secret_has_a_name_that_leads_nowhere_else() {
    let hint = "expected a secret's name: 1 to 128 letters, digits, `_`, `-` or `.`, not beginning with `.`";
    for climbing in ["../KEY", ".KEY", "", "A B"] {
        let text = format!("[providers.openai]\nsecret_key_name = \"{climbing}\"");
        wrong(&text, &format!("2: providers.openai.secret_key_name: {hint}"));
    }
}

#[test]
fn a_base_url_is_absolute_and_holds_no_query_and_no_secret() {
    let base_url = |url: &str| format!("[providers.openai]\nbase_url = {url}");
    for (url, found) in [
        ("\"ftp://h/v1\"", "\"ftp://h/v1\""),
        ("\"h:80\"", "\"h:80\""),
        ("\"/v1\"", "\"/v1\""),
        ("\"\"", "\"\""),
        ("1.5", "1.5"),
        ("\"http://\"", "\"http://\""),
    ] {
        wrong(&base_url(url), &format!("2: providers.openai.base_url: expected a URL such as \"http://127.0.0.1:8000/v1\", found {found}"));
    }
    for url in ["\"http://h/v1?a=b\"", "\"http://h/v1?\"", "\"http://h/v1#a\""] {
        wrong(&base_url(url), "2: providers.openai.base_url: must not have a query or fragment");
    }
    for url in ["\"http://me:hush@h/v1\"", "\"ftp://me:hush@h\"", "\"http://me:hu sh@h\""] {
        wrong(
            &base_url(url),
            "2: providers.openai.base_url: must not hold a user or password; secrets come from the environment or from files",
        );
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    for key in ["api_key", "API_KEY", "token"] {
        wrong(
            &format!("[providers.openai]\n{key} = \"sk-do-not-print\""),
            &format!("2: providers.openai.{key}: secrets come from the environment or from files: name one with `secret_key_name`"),
        );
    }
}

#[test]
fn a_plugin_is_read_whole() {
    let text = "[plugins.redact-pii]\non_failure = \"skip\"\n\
                config = { kinds = [\"email\"], deep = { on = true, ratio = 0.5, n = -3, hex = 0xff }, since = 2026-01-02T03:04:05Z }\n\
                limits = { fuel = 50_000_000, memory = \"32MiB\", composed_memory = \"8MiB\", table_elements = 500, time = \"200ms\", reply_time = \"7s\", wait = \"3s\", output = \"1 MB\", hostcall_bytes = 2_000, log_lines = 0, log_line_bytes = 80 }";
    let plugin = &parse(text).plugins["redact-pii"];
    assert_eq!(plugin.on_failure, OnFailure::Skip);
    let limits = sandbox::Limits {
        fuel: 50_000_000,
        memory: 32 << 20,
        composed_memory: 8 << 20,
        table_elements: 500,
        time: Duration::from_millis(200),
        reply_time: Duration::from_secs(7),
        wait: Duration::from_secs(3),
        output: 1_000_000,
        hostcall_bytes: 2_000,
        log_lines: 0,
        log_line_bytes: 80,
    };
    assert_eq!(plugin.limits, limits);
    let config = json!({"kinds": ["email"], "deep": {"on": true, "ratio": 0.5, "n": -3, "hex": 255}, "since": "2026-01-02T03:04:05Z"});
    assert_eq!(serde_json::Value::Object(plugin.config.clone()), config);
    for nothing in ["[plugins.p]", "[plugins.p]\ngrants = {}"] {
        assert_eq!(parse(nothing).plugins["p"], sandbox::PluginConfig::default());
    }
}

#[test]
fn a_collector_is_a_url_without_secrets() {
    let export = parse(
        "[telemetry]\notlp_endpoint = \"https://collector:4318/tenant/\"\nservice_name = \"gateway-1\"\notlp_headers_secret = \"OTLP\"",
    )
    .telemetry;
    assert_eq!(export.otlp_headers_secret.as_deref(), Some("OTLP"));
    let hint = "expected a secret's name: 1 to 128 letters, digits, `_`, `-` or `.`, not beginning with `.`";
    wrong("[telemetry]\notlp_headers_secret = \"Authorization=Bearer x\"", &format!("2: telemetry.otlp_headers_secret: {hint}"));
    assert_eq!((export.otlp_endpoint.as_deref(), export.service_name.as_str()), (Some("https://collector:4318/tenant"), "gateway-1"));
    assert_eq!(parse("[telemetry]").telemetry, crate::telemetry::Export::default());
    let filtered = parse("[telemetry]\nlog_filter = \"info,cofferdam::llm=debug\"");
    assert_eq!(filtered.log_filter.as_deref(), Some("info,cofferdam::llm=debug"));
    assert_eq!(parse(&filtered.effective()).log_filter, filtered.log_filter);
    let [problem] = &problems("[telemetry]\nlog_filter = \"cofferdam=loudly\"")[..] else { panic!("one problem") };
    assert!(problem.starts_with("cofferdam.toml:2: telemetry.log_filter: is no filter: "), "{problem}");
    wrong("[telemetry]\nlog_filter = 7", "2: telemetry.log_filter: expected a filter such as \"info,cofferdam::llm=debug\", found 7");
    let endpoint = |url: &str| format!("[telemetry]\notlp_endpoint = \"{url}\"");
    let expected = "2: telemetry.otlp_endpoint: expected a collector's URL such as \"http://127.0.0.1:4318\", found";
    wrong(&endpoint("127.0.0.1:4318"), &format!("{expected} \"127.0.0.1:4318\""));
    wrong(&endpoint(""), &format!("{expected} \"\""));
    for url in ["http://user:pass@h", "http://h/?key=secret"] {
        wrong(&endpoint(url), "2: telemetry.otlp_endpoint: must not hold a user, a password, a query or a fragment");
    }
    wrong(
        "[telemetry]\nservice_name = \"a b\"",
        "2: telemetry.service_name: expected 1 to 64 letters, digits, `-`, `_` or `.`, found \"a b\"",
    );
}

#[test]
fn a_plugin_entry_that_cannot_be_is_refused() {
    wrong("[plugins.p]\non_failure = \"ignore\"", "2: plugins.p.on_failure: expected \"reject\" or \"skip\", found \"ignore\"");
    wrong("[plugins.p]\nconfig = [1]", "2: plugins.p.config: expected a table, found a list");
    wrong("[plugins.p]\nconfig = { ratio = inf }", "2: plugins.p.config: JSON has no number inf");
    wrong("[plugins.p]\nlimits = 3", "2: plugins.p.limits: expected a table, found 3");
    wrong("[plugins.p]\ngrants = true", "2: plugins.p.grants: expected a table, found true");
    wrong(
        "[plugins.p]\ngrants = { kw = {} }",
        "2: plugins.p.grants.kw: is no capability of this host; what can be granted: kv, http, knowledge, llm",
    );
    wrong("[plugins.p]\ngrants = { kv = true }", "2: plugins.p.grants.kv: expected a table such as `{ bytes = \"16MiB\", keys = 10000 }`");
    wrong(
        "[plugins.p.grants]\nlog = true",
        "2: plugins.p.grants.log: needs no grant, every plugin has it; what can be granted: kv, http, knowledge, llm",
    );
    wrong("[plugins.\"../p\"]", "1: plugins.\"../p\": a plugin's name must be 1 to 64 letters, digits, `-`, `_` or `.`");
}

#[test]
fn a_problem_says_what_was_expected_and_what_was_found() {
    wrong("[plugins.p]\nlimits.time = 5", "2: plugins.p.limits.time: expected a duration such as \"200ms\", found 5");
    wrong("[plugins.p]\nlimits.time = \"1day\"", "2: plugins.p.limits.time: expected a duration from \"1ms\" to \"10m\", found \"1day\"");
    wrong("[limits.http]\nbody_bytes = \"9TB\"", "2: limits.http.body_bytes: expected a size from \"1KiB\" to \"1GiB\", found \"9TB\"");
    wrong(
        "[limits.http]\nbody_bytes = true",
        "2: limits.http.body_bytes: expected a size such as \"32MiB\", or a number of bytes, found true",
    );
    wrong(
        "[limits.rag]\ntop_k = 99999999999999999999",
        "2: limits.rag.top_k: expected a whole number from 1 to 50, found 99999999999999999999",
    );
    let long = "x".repeat(1_000);
    wrong(
        &format!("listen = \"{long}\""),
        "1: listen: expected an address such as \"127.0.0.1:8080\", \"localhost:8080\", \"unix:/run/cofferdam.sock\" or \"fd:3\", found a long text",
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    wrong("lisen = 1", "1: lisen: unknown key; did you mean `listen`?");
    wrong("[plugins.p.limits]\nfule = 5", "2: plugins.p.limits.fule: unknown key; did you mean `fuel`?");
    wrong("[limits.https]", "1: limits.https: unknown key; did you mean `http`?");
    wrong("[keys]\nusers = []", "2: keys.users: unknown key; known here are client, admin, default_limits, end_users");
    wrong(
        "[[pipelines]]\nid = \"a\"\npipeline = [{ stage = \"llm\", config = { primary = { provider = \"builtin\", model = \"m\" } } }]\nname = \"b\"",
        "4: pipelines[0].name: unknown key; known here are id, pipeline",
    );
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_lines() {
    let text = "listen = 1\n\n[plugins.p]\non_failure = 2\nlimits = { fuel = 0, memori = 1 }\n[providers.q]\nkind = \"z\"\n[[pipelines]]\nid = \"a\"\npipeline = []\n[limits.rag]\ntop_k = 0\n";
    let lines: Vec<String> = problems(text).iter().map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    let expect = [
        "cofferdam.toml:1 listen",
        "cofferdam.toml:4 plugins.p.on_failure",
        "cofferdam.toml:5 plugins.p.limits.fuel",
        "cofferdam.toml:5 plugins.p.limits.memori",
        "cofferdam.toml:7 providers.q.kind",
        "cofferdam.toml:10 pipelines[0].pipeline",
        "cofferdam.toml:12 limits.rag.top_k",
    ];
    assert_eq!(lines, expect);
}

#[test]
fn a_text_that_is_no_toml_is_reported_with_its_lines() {
    let lines = problems("listen = \n[limits\nx = 1\n");
    assert!(lines[0].starts_with("cofferdam.toml:1: "), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("cofferdam.toml:2: ")), "{lines:?}");
    wrong("listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"", "2: duplicate key");
}

#[test]
fn pipelines_are_read_in_the_seeds_shape() {
    let text = "[[pipelines]]\nid = \"support\"\npipeline = [\n  { stage = \"rag\", config = { top_k = 3 } },\n  { stage = \"pre_hook\", config = { function_id = \"not-in-plugins\" } },\n\
                { stage = \"llm\", config = { primary = { provider = \"openai\", model = \"gpt-4o\", secret_key_name = \"OPENAI_API_KEY\" } } } ]\n\
                [[pipelines]]\nid = \"b\"\npipeline = [{ stage = \"llm\", config = { primary = { provider = \"builtin\", model = \"extractive\" } } }]";
    let pipelines = parse(text).pipelines;
    assert_eq!(pipelines.iter().map(|p| (&*p.id, p.origin)).collect::<Vec<_>>(), [("support", Origin::File), ("b", Origin::File)]);
    assert_eq!(pipelines[0].definition.rag.as_ref().unwrap().top_k, 3);
    assert_eq!(pipelines[0].definition.plugins().collect::<Vec<_>>(), ["not-in-plugins"]);
    assert_eq!(pipelines[0].definition.llm.targets[0].secret_key_name.as_deref(), Some("OPENAI_API_KEY"));
}

#[test]
fn a_pipeline_that_cannot_be_is_refused() {
    let pipeline = |id: &str, provider: &str| {
        format!(
            "[[pipelines]]\nid = \"{id}\"\npipeline = [{{ stage = \"llm\", config = {{ primary = {{ provider = \"openai\", model = \"m\" }}, fallbacks = [{{ provider = \"{provider}\", model = \"m\" }}] }} }}]\n"
        )
    };
    let at = "pipelines[0].pipeline[0].config.fallbacks[0].provider";
    wrong(
        &pipeline("a", "nobody"),
        &format!("3: {at}: there is no provider \"nobody\"; known are anthropic, builtin, gemini, openai, plugin"),
    );
    let (equal, at_equal) = (pipeline("a", "nobody").replace("fallbacks", "equals"), at.replace("fallbacks", "equals"));
    wrong(&equal, &format!("3: {at_equal}: there is no provider \"nobody\"; known are anthropic, builtin, gemini, openai, plugin"));
    wrong(&pipeline("a", "workers-ai"), &format!("3: {at}: provider \"workers-ai\" needs `[providers.workers-ai]` with its account_id"));
    wrong(&(pipeline("a", "openai") + &pipeline("a", "openai")), "5: pipelines[1].id: the id \"a\" stands twice");
    wrong(&pipeline("a/b", "openai"), "2: pipelines[0].id: expected 1 to 64 letters, digits, `-`, `_` or `.`, found \"a/b\"");
    wrong("[[pipelines]]\nid = \"a\"", "1: pipelines[0].pipeline: is missing: the list of stages");
    wrong(
        "[[pipelines]]\npipeline = [{ stage = \"llm\", config = { primary = { provider = \"openai\", model = \"m\" } } }]",
        "1: pipelines[0].id: is missing: the name that clients send as `model`",
    );
    wrong("[[pipelines]]\nid = \"a\"\npipeline = 5", "3: pipelines[0].pipeline: must be a list of stages");
    wrong("pipelines = 5", "1: pipelines: expected a list, found 5");
    let stage = "[[pipelines]]\nid = \"a\"\npipeline = [{ stage = \"llm\", config = { primary = { provider = \"openai\" } } }]";
    wrong(stage, "3: pipelines[0].pipeline[0].config.primary.model: must be a non-empty string");
}

#[test]
fn a_pipeline_is_not_blamed_for_a_provider_that_has_its_own_problem() {
    let text = "[providers.x]\nkind = \"gemma\"\n[[pipelines]]\nid = \"a\"\npipeline = [{ stage = \"llm\", config = { primary = { provider = \"x\", model = \"m\" } } }]";
    wrong(
        text,
        "2: providers.x.kind: expected one of \"openai\", \"anthropic\", \"gemini\", \"azure-openai\", \"workers-ai\", \"builtin\", \"plugin\", found \"gemma\"",
    );
}

/// The configuration as `Debug` shows it, without the keys, whose hashes the effective configuration shortens.
fn without_keys(config: &Config) -> String {
    format!("{:?}", Config { keys: crate::http::Keys { client: Vec::new(), admin: Vec::new(), ..config.keys.clone() }, ..config.clone() })
}

#[test]
fn the_effective_configuration_reads_back_to_the_same() {
    let text = format!(
        "listen = \"0.0.0.0:80\"\ndata_dir = \"da\\\\ta \\u00e9\"\nsecret_dir = \"/run/secrets\"\n\
         telemetry.otlp_endpoint = \"http://127.0.0.1:4318\"\ntelemetry.otlp_headers_secret = \"OTLP\"\nkeys.client = [{{ name = \"team-a\", sha256 = \"{HASH}\" }}]\n\
         keys.default_limits = {{ requests_per_minute = 60, tokens_per_day = 1_000_000 }}\n\
         prices = {{ \"gpt-4o\" = {{ input = 2.5, cached_input = 1.25, output = 10 }}, \"my.vllm/@cf/x\" = {{ input = 0.000_001, output = 0 }} }}\n\
         [limits]\npipelines = 7\nledger = {{ rows = 5 }}\nhttp = {{ request_time = \"1m 30s\", body_bytes = 1_000_001 }}\nrag = {{ queue = 3 }}\nproviders = {{ idle = \"1500ms\" }}\n\
         [providers.\"my.vllm\"]\nkind = \"openai\"\nbase_url = \"http://127.0.0.1:8000/v1\"\n\
         [plugins.redact-pii]\non_failure = \"skip\"\nlimits.fuel = 5\nconfig = {{ \"odd key\\n\" = \"two\\nlines \\u007f \\\"quoted\\\"\", list = [1, 2.5, 1e300, false, {{}}], empty = [] }}\n\
         [[pipelines]]\nid = \"a\"\npipeline = [{{ stage = \"pre_hook\", config = {{ function_ids = [\"x\", \"y\"] }} }}, \
         {{ stage = \"llm\", config = {{ primary = {{ provider = \"my.vllm\", model = \"@cf/meta/llama\" }} }} }}]\n"
    );
    for text in ["", &text] {
        let config = parse(text);
        let effective = config.effective();
        let again = Config::parse(&effective, Path::new("")).unwrap_or_else(|problems| panic!("{problems}\n{effective}"));
        assert_eq!(without_keys(&again), without_keys(&config), "{effective}");
        assert_eq!(without_keys(&parse(&again.effective())), without_keys(&config));
    }
}

#[test]
fn the_effective_configuration_shows_a_key_shortened_and_every_default() {
    let effective = parse(&format!("keys.client = [{{ name = \"team-a\", sha256 = \"{HASH}\" }}]")).effective();
    assert!(effective.contains("# client = [{ name = \"team-a\", sha256 = \"sha256:01234567…\" }]"), "{effective}");
    assert!(!effective.to_lowercase().contains(&HASH.to_lowercase()[..16]), "{effective}");
    for line in ["listen = \"127.0.0.1:8080\"", "[limits.http]", "[limits.rag]", "top_k = 50", "[providers.builtin]", "id = \"default\""] {
        assert!(effective.lines().any(|l| l == line), "no line `{line}` in\n{effective}");
    }
}

#[test]
fn a_public_address_needs_keys() {
    let keys = format!("keys.admin = [{{ name = \"a\", sha256 = \"{HASH}\" }}]\n");
    assert!(parse("listen = \"127.8.8.8:80\"").check_listen().is_ok());
    assert!(parse("listen = \"[::1]:80\"").check_listen().is_ok());
    assert!(parse(&format!("{keys}listen = \"0.0.0.0:80\"")).check_listen().is_ok());
    let problem = parse("listen = \"0.0.0.0:80\"").check_listen().unwrap_err();
    assert!(problem.to_string().starts_with("listen: 0.0.0.0:80 can be reached by others"), "{problem}");
    // Each address for itself; a socket that is handed over is looked at when it is there.
    assert!(parse("listen = [\"localhost:80\", \"unix:/run/c.sock\", \"fd:3\"]").check_listen().is_ok());
    let problem = parse("listen = [\"127.0.0.1:80\", \"[::]:80\"]").check_listen().unwrap_err();
    assert!(problem.to_string().starts_with("listen: [::]:80 can be reached by others"), "{problem}");
    let problem = parse("[admin]\nlisten = \"10.0.0.1:80\"").check_listen().unwrap_err();
    assert!(problem.to_string().starts_with("admin.listen: 10.0.0.1:80 can be reached by others"), "{problem}");
}

#[test]
fn a_file_is_read_from_disk_and_named_in_its_problems() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.toml");
    std::fs::write(&path, "data_dir = \"d\"").unwrap();
    assert_eq!(Config::load(Some(&path)).unwrap().data_dir, dir.path().join("d"));
    std::fs::write(&path, "data_dir = 1").unwrap();
    let error = Config::load(Some(&path)).unwrap_err();
    assert_eq!(error.to_string(), format!("{}:1: data_dir: expected a path, found 1", path.display()));
}

#[test]
fn a_file_that_cannot_be_read_is_no_empty_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Config::load(Some(&dir.path().join("none.toml"))).unwrap_err();
    assert!(matches!(missing, Error::Read { .. }), "{missing}");
    let huge = dir.path().join("huge.toml");
    std::fs::write(&huge, " ".repeat(usize::try_from(FILE_BYTES_MAX).unwrap())).unwrap();
    assert!(matches!(Config::load(Some(&huge)).unwrap_err(), Error::Read { .. }));
    std::fs::write(&huge, " ".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() - 1)).unwrap();
    assert!(Config::load(Some(&huge)).is_ok());
}
