//! What a key may use: its own limits, the default, and what is wrong with either.

use super::*;
use crate::ledger::Allowance;

fn key(name: &str, digit: char, limits: &str) -> String {
    format!("{{ name = \"{name}\", sha256 = \"{}\"{limits} }}", digit.to_string().repeat(64))
}

#[test]
fn a_key_s_own_limits_stand_in_place_of_the_default_as_a_whole() {
    let (own, none) = (key("a", '1', ", limits = { tokens_per_day = 5 }"), key("b", '2', ", limits = {}"));
    let text = format!(
        "[keys]\nclient = [{own}, {none}, {}]\nadmin = [{}]\ndefault_limits = {{ requests_per_minute = 60, tokens_per_minute = 100_000 }}",
        key("c", '3', ""),
        key("c-admin", '4', "")
    );
    let keys = parse(&text).keys;
    let default = Allowance { requests_per_minute: Some(60), tokens_per_minute: Some(100_000), tokens_per_day: None };
    let only_day = Allowance { tokens_per_day: Some(5), ..Allowance::default() };
    assert_eq!(keys.client.iter().map(|key| key.allowance).collect::<Vec<_>>(), [only_day, Allowance::default(), default]);
    assert_eq!((keys.default_allowance, keys.admin[0].allowance), (default, Allowance::default()));
}

#[test]
fn the_effective_configuration_shows_the_limits_that_hold_for_a_key() {
    let text = format!("[keys]\nclient = [{}, {}]\ndefault_limits.tokens_per_day = 7", key("a", '1', ", limits = {}"), key("b", '2', ""));
    let effective = parse(&text).effective();
    let line = "# client = [{ name = \"a\", sha256 = \"sha256:11111111…\" }, \
                { name = \"b\", sha256 = \"sha256:22222222…\", limits = { tokens_per_day = 7 } }]";
    assert!(effective.lines().any(|l| l == line), "{effective}");
    assert!(effective.contains("[keys.default_limits]\ntokens_per_day = 7\n"), "{effective}");
}

#[test]
fn limits_that_cannot_be_are_refused() {
    let client = |limits: &str| format!("[keys]\nclient = [{}]", key("a", '1', limits));
    wrong(
        &client(", limits = { tokens_per_day = 0 }"),
        "2: keys.client[0].limits.tokens_per_day: expected a whole number from 1 to 1000000000000, found 0",
    );
    wrong(
        &client(", limits = { requests = 5 }"),
        "2: keys.client[0].limits.requests: unknown key; known here are requests_per_minute, tokens_per_minute, tokens_per_day",
    );
    wrong(&client(", limits = 5"), "2: keys.client[0].limits: expected a table, found 5");
    let admin = format!("[keys]\nadmin = [{}]", key("a", '1', ", limits = {}"));
    wrong(&admin, "2: keys.admin[0].limits: admin keys have no limits");
}

#[test]
fn a_key_with_limits_shares_its_name_with_no_admin_key() {
    let text = |limits: &str| format!("[keys]\nclient = [{}]\nadmin = [{}]", key("a", '1', limits), key("a", '2', ""));
    let problem =
        "2: keys.client[0].name: is the name of an admin key too; use is counted by name, so a key with limits needs one of its own";
    wrong(&text(", limits = { tokens_per_day = 1 }"), problem);
    assert_eq!(parse(&text("")).keys.client.len(), 1);
}
