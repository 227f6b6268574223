//! What is no component of this contract is refused before it is published, whatever differs, and the refusal says what and what to do.

use super::altered::altered;
use super::guest::importing;
use super::{Sandbox, config};

const PRE: &str = "export cofferdam:hooks/pre-hook@0.2.0;";
const REMEDY: &str = "; rebuild it against cofferdam:hooks@0.2.0, with the `wit/` or the Rust SDK of this version";

/// What it says of the component after a look at its bytes: nothing was compiled.
fn looked(bytes: &[u8]) -> Result<(), String> {
    Sandbox::new(config(&[])).looked(bytes)
}

#[tokio::test]
async fn each_function_of_another_type_is_refused_with_what_differs_and_what_to_do() {
    let sandbox = Sandbox::new(config(&[]));
    let cases: &[(&str, &str, &str, &str)] = &[
        ("attempt: u32,", "tries: u32,", PRE, "its `pre-hook` has another `on-request` than cofferdam:hooks@0.2.0 of this host: "),
        ("attempt: u32,", "tries: u32,", PRE, "expected record field named attempt, found tries"),
        ("deadline-ms: u32,", "deadline-ms: u64,", PRE, "expected `u32` found `u64`"),
        ("deadline-ms: u32,", "deadline-ms: u32, more: u32,", PRE, "expected record of 6 fields, found 7 fields"),
        ("deadline-ms: u32,", "", PRE, "expected record of 6 fields, found 5 fields"),
        ("reject(rejection),", "reject(rejection), wait,", PRE, "expected variant of 3 cases, found 4 cases"),
        ("(request: request)", "(request: request, more: u32)", PRE, "expected 1-tuple, found 2-tuple"),
        (
            "on-request:",
            "on-asked:",
            PRE,
            "its `pre-hook` is another than cofferdam:hooks@0.2.0 of this host: it has no function `on-request`",
        ),
        ("deadline-ms: u32,", "", "export cofferdam:hooks/post-hook@0.2.0;", "its `post-hook` has another `on-reply`"),
        ("summary: string,", "", &[PRE, "export cofferdam:hooks/plugin@0.2.0;"].concat(), "its `plugin` has another `describe`"),
        (
            "cut(rejection),",
            "cut(rejection), wait,",
            &[PRE, "export cofferdam:hooks/stream-hook@0.2.0;"].concat(),
            "its `stream-hook` has another `push`",
        ),
        ("close:", "end:", &[PRE, "export cofferdam:hooks/stream-hook@0.2.0;"].concat(), "it has no function `close`"),
        ("status: u16,", "status: u32,", &[PRE, "export cofferdam:hooks/done-hook@0.2.0;"].concat(), "its `"),
        ("title: option<string>,", "", &[PRE, "export cofferdam:hooks/model@0.2.0;"].concat(), "its `model` has another `models`"),
        ("list<list<f32>>", "list<f32>", &[PRE, "export cofferdam:hooks/embedder@0.2.0;"].concat(), "its `embedder` has another `embed`"),
        (
            "text: string);",
            "text: string, more: u32);",
            &[PRE, "import cofferdam:hooks/log@0.2.0;"].concat(),
            "expected 2-tuple, found 3-tuple",
        ),
        ("all: func() -> json;", "all: func() -> json; other: func();", &[PRE, "import cofferdam:hooks/config@0.2.0;"].concat(), "`other`"),
    ];
    for (at, (from, to, world, part)) in cases.iter().enumerate() {
        let reason = sandbox.admit(&altered(from, to, world), &at.to_string()).await.err().unwrap_or_else(|| panic!("{from} is admitted"));
        assert!(reason.contains(part) && reason.ends_with(REMEDY), "{from} -> {to}: {reason}");
    }
}

#[tokio::test]
async fn what_makes_no_difference_to_the_linker_is_admitted() {
    let sandbox = Sandbox::new(config(&[]));
    let both = [PRE, "import cofferdam:hooks/log@0.2.0;"].concat();
    for (at, (from, to, world)) in [
        (PRE_ARGUMENT, "(asked: request)", PRE.to_owned()),
        ("on-request:", "another: func(); on-request:", PRE.to_owned()),
        ("package cofferdam:hooks@0.2.0", "package cofferdam:hooks@0.2.7", both.replace("0.2.0", "0.2.7")),
        (PRE_ARGUMENT, PRE_ARGUMENT, both),
    ]
    .into_iter()
    .enumerate()
    {
        let admitted = sandbox.admit(&altered(from, to, &world), &at.to_string()).await;
        assert_eq!(admitted.map(|plugin| plugin.hooks()), Ok(vec!["pre_hook"]), "{to}");
    }
}

const PRE_ARGUMENT: &str = "(request: request)";

#[test]
fn a_component_of_another_version_is_told_so_before_it_is_compiled() {
    for version in ["0.1.0", "0.3.0", "1.0.0", "0.2.0-draft"] {
        let package = format!("package cofferdam:hooks@{version}");
        let reason = looked(&altered("package cofferdam:hooks@0.2.0", &package, &PRE.replace("0.2.0", version))).expect_err(version);
        let said = format!(
            "it was built against cofferdam:hooks@{version} (it exports `pre-hook` of it), and this host serves cofferdam:hooks@0.2.0{REMEDY}"
        );
        assert_eq!(reason, said);
        let reason = looked(&importing(&format!("cofferdam:hooks/log@{version}"))).expect_err(version);
        assert!(reason.contains("(it imports `log` of it)") && reason.ends_with(REMEDY), "{reason}");
    }
}

#[test]
fn an_export_or_an_import_that_this_version_does_not_serve_is_told_so_before_it_is_compiled() {
    for (world, said) in [
        (
            "export cofferdam:hooks/plugin@0.2.0;",
            "it exports cofferdam:hooks/plugin@0.2.0, but a plugin exports `pre-hook`, `post-hook`, `stream-hook`, `done-hook`, `model` or `embedder` of cofferdam:hooks@0.2.0, or `incoming-handler` of wasi:http@0.2; see wit/ for the contract",
        ),
        (
            "",
            "it exports nothing, but a plugin exports `pre-hook`, `post-hook`, `stream-hook`, `done-hook`, `model` or `embedder` of cofferdam:hooks@0.2.0, or `incoming-handler` of wasi:http@0.2; see wit/ for the contract",
        ),
    ] {
        assert_eq!(looked(&altered(PRE_ARGUMENT, PRE_ARGUMENT, world)), Err(said.to_owned()));
    }
    for import in ["metrics", "kv", "llm", "knowledge", "http"] {
        let reason =
            looked(&altered(PRE_ARGUMENT, PRE_ARGUMENT, &format!("{PRE} import cofferdam:hooks/{import}@0.2.0;"))).expect_err(import);
        let said = format!(
            "it imports cofferdam:hooks/{import}@0.2.0, and this version of cofferdam has no such capability; plugins get log, config,"
        );
        assert!(reason.starts_with(&said) && reason.contains("leaving it out of the plugin's world"), "{reason}");
    }
}

#[test]
fn two_versions_of_one_export_are_refused_for_only_one_would_be_called() {
    let text = r#"(component (instance $e) (export "cofferdam:hooks/pre-hook@0.2.0" (instance $e)) (export "cofferdam:hooks/pre-hook@0.2.1" (instance $e)))"#;
    let reason = looked(&wat::parse_str(text).expect("WebAssembly text")).expect_err("which of the two?");
    assert_eq!(reason, "it exports `pre-hook` in two versions; leave one of them out");
}
