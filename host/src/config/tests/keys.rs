//! What a key may use: its own limits, the default, and what is wrong with either.

use super::*;
use crate::http::{EndUserFrom, EndUsers};
use crate::ledger::{Allowance, EndUserLimits};

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
    let default = Allowance { requests_per_minute: Some(60), tokens_per_minute: Some(100_000), ..Allowance::default() };
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
        "2: keys.client[0].limits.requests: unknown key; known here are requests_per_minute, tokens_per_minute, tokens_per_day, usd_per_day, usd_per_month",
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

#[test]
fn dollars_are_read_to_the_millionth_and_shown_as_they_hold() {
    let text = format!("[keys]\nclient = [{}]\ndefault_limits.usd_per_month = 20", key("a", '1', ", limits = { usd_per_day = 2.5 }"));
    let config = parse(&text);
    assert_eq!(config.keys.client[0].allowance, Allowance { usd_per_day: Some(2_500_000), ..Allowance::default() });
    assert_eq!(config.keys.default_allowance.usd_per_month, Some(20_000_000));
    let effective = config.effective();
    assert!(effective.contains("limits = { usd_per_day = 2.5 }"), "{effective}");
    assert!(effective.contains("[keys.default_limits]\nusd_per_month = 20.000000\n"), "{effective}");
}

#[test]
fn end_users_are_named_by_a_header_or_by_the_user_field() {
    let of = |from: &str| format!("[keys.end_users]\nfrom = \"{from}\"\ntracked = 7\n[keys.end_users.limits]\ntokens_per_day = 5");
    let allowance = Allowance { tokens_per_day: Some(5), ..Allowance::default() };
    let limits = EndUserLimits { allowance, tracked: 7 };
    for (from, read) in
        [("user", EndUserFrom::UserField), ("header:X-End-User", EndUserFrom::Header("x-end-user".parse().expect("a name")))]
    {
        let config = parse(&of(from));
        assert_eq!(config.keys.end_users, Some(EndUsers { from: read, limits: limits.clone() }));
        assert_eq!(parse(&config.effective()).keys.end_users, config.keys.end_users);
    }
    assert_eq!(parse("[keys.end_users]\nfrom = \"user\"").keys.end_users.map(|users| users.limits), Some(EndUserLimits::default()));
    for (from, found) in [("header:", "\"header:\""), ("header:a b", "\"header:a b\""), ("x-end-user", "\"x-end-user\"")] {
        let expected = "expected \"user\", or \"header:NAME\" with the name of a header, found";
        wrong(&of(from), &format!("2: keys.end_users.from: {expected} {found}"));
    }
    let tracked = |n: &str| format!("[keys.end_users]\nfrom = \"user\"\ntracked = {n}");
    assert_eq!(
        (parse(&tracked("1")).keys, parse(&tracked("1_000_000")).keys).1.end_users.map(|users| users.limits.tracked),
        Some(1_000_000)
    );
    for (n, found) in [("0", "0"), ("1_000_001", "1000001")] {
        wrong(&tracked(n), &format!("3: keys.end_users.tracked: expected a whole number from 1 to 1000000, found {found}"));
    }
    let missing = "1: keys.end_users.from: is missing: where a request names its end user: \"user\", or \"header:NAME\"";
    wrong("[keys.end_users]\ntracked = 7", missing);
}

#[test]
fn with_end_users_no_client_key_shares_its_name_with_an_admin_key() {
    let text = format!("[keys]\nclient = [{}]\nadmin = [{}]\n[keys.end_users]\nfrom = \"user\"", key("a", '1', ""), key("a", '2', ""));
    let problem =
        "2: keys.client[0].name: is the name of an admin key too; use is counted by name, so a key with limits needs one of its own";
    wrong(&text, problem);
}
