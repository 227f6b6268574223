//! The configuration keys that the program knows, asked of the program: a key that cannot be is put into each table, and the answer lists
//! the keys that can. So a key that is added is found without being listed anywhere here.

use std::collections::BTreeMap;
use std::path::Path;

use cofferdam::config::{Config, Problem};
use cofferdam::pipeline::Definition;
use serde_json::{Value, json};

/// A key that no table has, and that is near to none.
const PROBE: &str = "zzzzzzzzzzzzzzzzzzzzzzzzzzzz";

/// One key of the file.
pub(super) struct Key {
    /// With `*` in place of a name that the operator chooses, e.g. `plugins.*.limits.fuel`.
    pub(super) path: String,
    /// The least and the most value, as messages write them; none for a key that is no number.
    pub(super) range: Option<String>,
    /// The value without the key in the file, if it is one for everybody.
    pub(super) default: Option<String>,
}

/// A table on the way to a key.
#[derive(Clone)]
struct Step {
    name: String,
    /// As it stands in `Key::path`.
    shown: String,
    list: bool,
}

impl Step {
    fn new(name: &str, shown: &str) -> Self {
        Self { name: name.to_owned(), shown: shown.to_owned(), list: false }
    }
}

/// Every key of `cofferdam.toml`, tables and lists of tables included.
pub(super) fn keys() -> Vec<Key> {
    let mut found = BTreeMap::new();
    explore(&[], &mut found);
    let defaults = defaults();
    let key = |(path, range): (String, Option<String>)| Key { default: defaults.get(&path).cloned(), path, range };
    found.into_iter().map(key).collect()
}

/// Every key of a stage and of a target.
pub(super) fn stage_keys() -> Vec<String> {
    let target = json!({"provider": "p", "model": "m", PROBE: 1});
    let llm = json!({"primary": target, "equals": [target], "fallbacks": [target], PROBE: 1});
    let hook = json!({"function_id": "f", PROBE: 1});
    let configs = [("rag", json!({PROBE: 1})), ("pre_hook", hook.clone()), ("llm", llm), ("post_hook", hook)];
    let stage = |(name, config): &(&str, Value)| json!({"stage": name, "config": config, PROBE: 1});
    let stages: Value = configs.iter().map(stage).collect();
    let problems = Definition::parse(&stages).expect_err("no stage has that key");
    let known = problems.iter().filter_map(|problem| problem.message.split_once("known are "));
    let mut keys: Vec<String> = known.flat_map(|(_, list)| list.split(", ")).map(str::to_owned).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Notes the keys of the table at `path`, and of the tables in it; says whether it is a table.
fn explore(path: &[Step], found: &mut BTreeMap<String, Option<String>>) -> bool {
    let problems = problems(path, &format!("{PROBE} = 1"));
    let Some(answer) = problems.iter().find(|problem| problem.path.ends_with(PROBE)) else { return false };
    if answer.message.starts_with("expected a table") {
        for name in names(path) {
            explore(&[path, &[Step::new(&name, "*")]].concat(), found);
        }
        return true;
    }
    let Some((_, known)) = answer.message.split_once("known here are ") else { return false };
    for key in known.split(", ") {
        let inner = [path, &[Step::new(key, key)]].concat();
        found.insert(shown(&inner), range(path, key));
        let listed: Vec<Step> = [path, &[Step { list: true, ..Step::new(key, key) }]].concat();
        let _ = explore(&inner, found) || explore(&listed, found);
    }
    true
}

/// Names for a table whose keys the operator chooses; for providers one of each kind, since kinds differ in their keys.
fn names(path: &[Step]) -> Vec<String> {
    let kinds = problems(&[path, &[Step::new(PROBE, "*")]].concat(), &format!("kind = \"{PROBE}\""));
    let listed = kinds.iter().find_map(|problem| problem.message.strip_prefix("expected one of ")?.split_once(", found"));
    let quoted = listed.map(|(list, _)| list.split(", ").map(|kind| kind.trim_matches('"').to_owned()).collect());
    quoted.unwrap_or_else(|| vec![PROBE.to_owned()])
}

/// What a number beyond every limit is answered with: `"1ms" to "10m"`.
fn range(path: &[Step], key: &str) -> Option<String> {
    let answers = ["9000000000000000000", "\"1000000days\""].map(|value| problems(path, &format!("{key} = {value}")));
    let of_key = |problem: &&Problem| problem.path == key || problem.path.ends_with(&format!(".{key}"));
    let message = answers.iter().flatten().filter(of_key).find_map(|problem| problem.message.split_once(" from "))?.1;
    message.split_once(", found").filter(|(range, _)| range.contains(" to ")).map(|(range, _)| range.to_owned())
}

/// What is wrong with a file that has this line in this table.
fn problems(path: &[Step], line: &str) -> Vec<Problem> {
    let header = |length: usize| path[..length].iter().map(|step| step.name.as_str()).collect::<Vec<_>>().join(".");
    let mut text = String::new();
    for (at, step) in path.iter().enumerate() {
        if step.list {
            text += &format!("[[{}]]\n", header(at + 1));
        }
    }
    if path.last().is_some_and(|step| !step.list) {
        text += &format!("[{}]\n", header(path.len()));
    }
    Config::parse(&(text + line), Path::new("")).err().map(|problems| problems.list).unwrap_or_default()
}

fn shown(path: &[Step]) -> String {
    path.iter().map(|step| step.shown.as_str()).collect::<Vec<_>>().join(".")
}

/// The values of a file that decides nothing.
fn defaults() -> BTreeMap<String, String> {
    let config = Config::parse("[plugins.p]", Path::new("")).expect("an entry may be empty");
    let mut table = String::new();
    let mut found = BTreeMap::new();
    for line in config.effective().lines() {
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_matches(['[', ']']).replace("plugins.p", "plugins.*") + ".";
        } else if let Some((key, value)) = line.split_once(" = ") {
            found.insert(format!("{table}{key}"), value.to_owned());
        }
    }
    found
}

#[test]
fn the_keys_are_found_in_every_kind_of_table() {
    let keys = keys();
    let find = |path: &str| keys.iter().find(|key| key.path == path).unwrap_or_else(|| panic!("{path} is not found"));
    for path in ["listen", "keys.client", "keys.client.sha256", "keys.client.limits.tokens_per_day", "providers.*.account_id"] {
        find(path);
    }
    for path in ["providers.*.oauth.token_url", "plugins.*.config", "pipelines.id", "embeddings.model", "prices.*.cached_input"] {
        find(path);
    }
    let header_time = find("limits.http.header_time");
    assert_eq!((header_time.range.as_deref(), header_time.default.as_deref()), (Some("\"1ms\" to \"10m\""), Some("\"10s\"")));
    let fuel = find("plugins.*.limits.fuel");
    assert_eq!((fuel.range.as_deref(), fuel.default.as_deref()), (Some("1 to 1000000000000000"), Some("2000000000")));
    for key in ["locked", "top_k", "function_ids", "hedge_after", "weight", "on_status"] {
        assert!(stage_keys().iter().any(|known| known == key), "{key}");
    }
}
