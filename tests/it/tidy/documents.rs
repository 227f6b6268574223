//! The documents against the program: what a user can meet stands in the page for it, and nothing there is out of date.
//! Keys, ranges, defaults and codes are taken from the program, so that no list of them has to be kept here.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{dead_links, rows};
use super::keys::{keys, stage_keys};
use super::source::{Source, exists, files, read, under};
use super::{clean, rust};

/// A README is read before anything else, so it ends before a reader does.
const README_LINES_MAX: usize = 150;
const ARCHITECTURE_LINES_MAX: usize = 199;

/// The tables whose keys are limits.
fn is_limit(path: &str) -> bool {
    path.contains("limits.") || ["telemetry.otlp_", "telemetry.log_"].iter().any(|start| path.starts_with(start))
}

fn documents() -> Vec<Source> {
    files("", "md")
}

#[test]
fn the_first_pages_are_short() {
    for (path, most) in [("README.md", README_LINES_MAX), ("ARCHITECTURE.md", ARCHITECTURE_LINES_MAX)] {
        let lines = read(path).lines().count();
        assert!(lines <= most, "{path} has {lines} lines of at most {most}; move something into a page of docs/");
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let all = documents();
    assert!(all.len() > 20, "found only {} documents", all.len());
    clean(all.iter().flat_map(|document| dead_links(document, &all, exists)));
}

/// A promise that no test holds is a hope.
#[test]
fn every_test_and_file_that_a_promise_of_security_names_is_there() {
    let (document, sources) = (read("SECURITY.md"), rust());
    let words: Vec<&str> = document.split('`').skip(1).step_by(2).collect();
    let is_test = |word: &&&str| word.matches('_').count() > 3 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let tests: Vec<&str> = words.iter().filter(is_test).copied().collect();
    assert!(tests.len() > 30, "read only {tests:?}");
    let missing = |test: &&&str| !sources.iter().any(|source| source.text.contains(&format!("fn {test}(")));
    clean(tests.iter().filter(missing).map(|test| format!("SECURITY.md: there is no test `{test}`")));
    let paths = words.iter().filter(|word| word.contains('/') && word.ends_with(".rs"));
    clean(paths.filter(|path| !exists(path)).map(|path| format!("SECURITY.md: there is no file `{path}`")));
}

#[test]
fn every_document_can_be_reached_from_the_readme() {
    let readme = read("README.md");
    let pages = files("docs", "md").into_iter().map(|page| page.path).filter(|path| path.matches('/').count() == 1);
    clean(pages.filter(|path| !readme.contains(&format!("({path})"))).map(|path| format!("README.md does not link {path}")));
}

#[test]
fn every_configuration_key_stands_in_its_document_with_range_and_default() {
    let document = read("docs/configuration.md");
    let rows: BTreeMap<String, String> = rows(&document).into_iter().map(|row| (row.key, row.text)).collect();
    let mut findings = Vec::new();
    let keys = keys();
    for key in &keys {
        // A table has a heading; its keys have the rows.
        let is_table = rows.keys().any(|row| row.starts_with(&format!("{}.", key.path)));
        let Some(row) = rows.get(&key.path) else {
            if !is_table {
                findings.push(format!("docs/configuration.md: `{}` is missing", key.path));
            }
            continue;
        };
        if let Some(range) = key.range.as_ref().filter(|range| !row.contains(*range)) {
            findings.push(format!("docs/configuration.md: the range of `{}` is {range}", key.path));
        }
        if let Some(default) = key.default.as_ref().filter(|default| key.range.is_some() && !row.contains(&format!("| {default} |"))) {
            findings.push(format!("docs/configuration.md: the default of `{}` is {default}", key.path));
        }
    }
    let known: BTreeSet<&str> = keys.iter().map(|key| key.path.as_str()).collect();
    let stale = rows.keys().filter(|row| !known.contains(row.as_str()));
    findings.extend(stale.map(|row| format!("docs/configuration.md: there is no key `{row}`")));
    clean(findings);
}

#[test]
fn every_key_of_a_stage_stands_in_the_document_of_the_configuration() {
    let document = read("docs/configuration.md");
    let stages = document.split_once("\n### Stages\n").expect("there is a section on stages").1;
    let stages = stages.split("\n## ").next().unwrap_or_default();
    clean(stage_keys().iter().filter(|key| !stages.contains(&format!("\n| `{key}` |"))).map(|key| format!("`{key}` is missing")));
}

#[test]
fn every_limit_stands_in_its_document_with_its_default() {
    let document = read("docs/limits.md");
    let rows: BTreeMap<String, String> = rows(&document).into_iter().map(|row| (row.key, row.text)).collect();
    let mut findings = Vec::new();
    for key in keys().iter().filter(|key| is_limit(&key.path) && key.range.is_some()) {
        // The limits of a key that has none of its own are the same ones.
        let path = key.path.replace("keys.default_limits", "keys.client.limits");
        match (rows.get(&path), &key.default) {
            (None, _) => findings.push(format!("docs/limits.md: `{path}` is missing")),
            (Some(row), Some(default)) if !row.split(" | ").nth(1).is_some_and(|cell| cell.starts_with(default.as_str())) => {
                findings.push(format!("docs/limits.md: the default of `{path}` is {default}"));
            }
            _ => {}
        }
    }
    clean(findings);
}

#[test]
fn every_code_of_an_error_stands_in_its_document() {
    let document = read("docs/errors.md");
    let golden = read("host/src/http/respond/golden.txt");
    let codes: BTreeSet<&str> = golden.lines().filter_map(code).collect();
    assert!(codes.len() > 40, "read only {codes:?}");
    clean(codes.iter().filter(|code| !document.contains(&format!("`{code}`"))).map(|code| format!("docs/errors.md: `{code}` is missing")));
}

/// The code of a line `STATUS TYPE CODE …`; none for one that a plugin or a provider chose.
fn code(line: &str) -> Option<&str> {
    let mut words = line.split(' ').skip(1);
    let kind = words.next()?;
    words.next().filter(|_| !matches!(kind, "plugin_rejection" | "their_type")).filter(|code| *code != "their_code")
}

#[test]
fn every_metric_stands_in_its_document() {
    let document = read("docs/observability.md");
    let sources = under("host/src/telemetry")
        .into_iter()
        .chain(files("host/src", "rs").into_iter().filter(|source| source.path == "host/src/telemetry.rs"));
    let names: BTreeSet<String> = sources.flat_map(|source| metrics(source.split_tests().0)).collect();
    assert!(names.len() > 20, "read only {names:?}");
    let known = |name: &String| ["`", "`cofferdam_"].iter().any(|start| document.contains(&format!("{start}{name}")));
    clean(names.iter().filter(|name| !known(name)).map(|name| format!("docs/observability.md: `{name}` is missing")));
}

/// The names that a text registers metrics under.
fn metrics(text: &str) -> Vec<String> {
    let calls = ["plain(", "with_unit(", "counter(", "gauge("].into_iter().flat_map(|call| text.split(call).skip(1));
    let name = |call: &str| {
        let (before, rest) = call.split_once('"')?;
        // The registry and nothing else stands before the name.
        (before.trim_end().ends_with(',') && before.matches(',').count() == 1)
            .then(|| rest.split('"').next().unwrap_or_default().to_owned())
    };
    calls.filter_map(name).collect()
}

#[test]
fn decisions_are_numbered_once() {
    let mut seen = BTreeMap::new();
    for decision in files("docs/decisions", "md") {
        let name = decision.path.rsplit('/').next().unwrap_or_default();
        let number = name.split('-').next().unwrap_or_default().to_owned();
        assert!(number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()), "{name} begins with no number of three digits");
        assert!(decision.text.starts_with(&format!("# {number}: ")), "{name}: the heading has another number");
        assert_eq!(seen.insert(number, name.to_owned()), None, "{name}: the number is used twice");
    }
    assert!(seen.len() >= 10, "found only {seen:?}");
}

#[test]
fn the_codes_and_metrics_of_a_text_are_found() {
    assert_eq!(code("404 not_found_error not_found - | there is nothing"), Some("not_found"));
    assert_eq!(code("451 plugin_rejection language - after=7 | say it"), None);
    assert_eq!(code("400 their_type their_code messages | their words"), None);
    let text = "plain(r, \"a_b\", help); with_unit(\n  r,\n  \"c\", x); fn plain<M>(registry: &mut R, name: &str) { f(\"d\") } \
        gauge(&mut to, \"e_f\", help);";
    assert_eq!(metrics(text), ["a_b", "c", "e_f"]);
}
