//! `GET /api/v1/usage`: what was used, by day, pipeline, caller, provider and model.
//! Invariant: a name that was summed over is left out of a row, so that no sum looks like a part of itself.

use std::sync::Arc;

use hyper::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::chat::codec::to_json;
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::respond;
use crate::http::route::Call;
use crate::ledger::clock::Day;
use crate::ledger::{Group, UseRow};

/// Days of one report, so that a year can be asked for.
const DAYS_MAX: u32 = 366;
/// Days of a report that does not say from when.
const DAYS_DEFAULT: u32 = 30;

const GROUPS: [(&str, Group); 4] =
    [("caller", Group::Caller), ("pipeline", Group::Pipeline), ("provider", Group::Provider), ("model", Group::Model)];

/// The days and the sum that a report is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: Day,
    to: Day,
    group: Option<Group>,
}

/// The answer.
#[derive(Serialize, JsonSchema)]
pub(super) struct Report<'a> {
    /// `list`
    object: &'static str,
    data: Vec<Row<'a>>,
    /// The first day.
    from: String,
    /// The last day.
    to: String,
}

#[derive(Serialize, JsonSchema)]
struct Row<'a> {
    /// In UTC.
    day: String,
    replies: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    /// Of the prompt's.
    cached_tokens: u64,
    /// Of the completion's.
    reasoning_tokens: u64,
    /// Replies whose tokens are a guess.
    estimated_replies: u64,
    /// Replies that had a price. Beside `replies` it says whether the cost is that of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    priced_replies: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a str>,
    /// Null if no key was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
}

pub(super) async fn report(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let ledger = Arc::clone(&call.shared.state.ledger);
    let Range { from, to, group } = range(call.head.uri.query().unwrap_or_default(), ledger.today())?;
    let rows = ledger.report(from, to, group).await?;
    // On a thread that may block: a large report takes a while to write as JSON.
    let report = tokio::task::spawn_blocking(move || {
        let data = rows.iter().map(|row| shown(row, group)).collect();
        to_json(&Report { object: "list", data, from: from.to_string(), to: to.to_string() })
    });
    let bytes = report.await.map_err(|_| Failure::Panicked)?;
    Ok(respond::typed(Content::Whole(bytes), "application/json"))
}

fn range(query: &str, today: Day) -> Result<Range, Refusal> {
    let (mut from, mut to, mut group) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let twice = match &*name {
            "from" => from.replace(day("from", &value)?).is_some(),
            "to" => to.replace(day("to", &value)?).is_some(),
            "group" => group.replace(group_of(&value)?).is_some(),
            _ => {
                let name: String = name.chars().take(64).collect();
                return Err(Refusal::field(name, "is no parameter; there are from, to and group"));
            }
        };
        if twice {
            return Err(Refusal::field(name, "stands twice"));
        }
    }
    let to = to.unwrap_or(today);
    let from = from.unwrap_or_else(|| to.back(DAYS_DEFAULT - 1));
    match to.since(from) {
        None => Err(Refusal::field("from", "must not come after `to`")),
        Some(days) if days >= DAYS_MAX => Err(Refusal::field("from", format!("a report holds at most {DAYS_MAX} days"))),
        Some(_) => Ok(Range { from, to, group }),
    }
}

fn day(name: &'static str, text: &str) -> Result<Day, Refusal> {
    Day::parse(text).ok_or_else(|| Refusal::field(name, "must be a day such as 2026-11-22"))
}

fn group_of(text: &str) -> Result<Group, Refusal> {
    let found = GROUPS.iter().find(|(word, _)| *word == text);
    found.map(|(_, group)| *group).ok_or_else(|| Refusal::field("group", "must be caller, pipeline, provider or model"))
}

/// The names that were summed over are left out.
fn shown(row: &UseRow, group: Option<Group>) -> Row<'_> {
    let UseRow { day, pipeline, caller, provider, model, sums } = row;
    let priced = sums.priced > 0;
    let wanted = |name: Group| group.is_none_or(|group| group == name);
    Row {
        day: day.to_string(),
        replies: sums.replies,
        prompt_tokens: sums.prompt,
        completion_tokens: sums.completion,
        cached_tokens: sums.cached,
        reasoning_tokens: sums.reasoning,
        estimated_replies: sums.estimated,
        priced_replies: priced.then_some(sums.priced),
        cost_usd: priced.then_some(sums.cost as f64 / 1e6),
        pipeline: wanted(Group::Pipeline).then_some(pipeline),
        caller: wanted(Group::Caller).then_some(Some(&**caller).filter(|caller| !caller.is_empty())),
        provider: wanted(Group::Provider).then_some(provider),
        model: wanted(Group::Model).then_some(model),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ledger::Sums;

    fn day(text: &str) -> Day {
        Day::parse(text).expect("a day")
    }

    fn written(row: &UseRow, group: Option<Group>) -> Value {
        serde_json::to_value(shown(row, group)).expect("JSON")
    }

    fn ask(query: &str) -> Result<Range, String> {
        range(query, day("2026-11-22")).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_report_is_of_the_last_thirty_days_unless_it_says_otherwise() {
        assert_eq!(ask(""), Ok(Range { from: day("2026-10-24"), to: day("2026-11-22"), group: None }));
        let one = Range { from: day("2026-01-01"), to: day("2026-01-01"), group: Some(Group::Caller) };
        assert_eq!(ask("group=caller&to=2026-01-01&from=2026-01-01"), Ok(one));
        assert_eq!(ask("from=2026%2D11%2D22&"), Ok(Range { from: day("2026-11-22"), to: day("2026-11-22"), group: None }));
    }

    #[test]
    fn a_year_can_be_asked_for_and_a_day_more_cannot() {
        assert!(ask("from=2027-01-01&to=2028-01-01").is_ok(), "366 days");
        assert_eq!(ask("from=2027-01-01&to=2028-01-02"), Err("from: a report holds at most 366 days".into()));
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (query, message) in [
            ("from=yesterday", "from: must be a day such as 2026-11-22"),
            ("to=2026-02-30", "to: must be a day such as 2026-11-22"),
            ("to=%zz", "to: must be a day such as 2026-11-22"),
            ("from", "from: must be a day such as 2026-11-22"),
            ("group=day", "group: must be caller, pipeline, provider or model"),
            ("from=2026-11-23", "from: must not come after `to`"),
            ("since=2026-11-23", "since: is no parameter; there are from, to and group"),
            ("group=caller&group=model", "group: stands twice"),
        ] {
            assert_eq!(ask(query), Err(message.into()), "{query}");
        }
    }

    #[test]
    fn a_row_shows_what_it_was_not_summed_over() {
        let sums = Sums { replies: 3, prompt: 20, completion: 9, cached: 15, reasoning: 4, estimated: 1, priced: 2, cost: 1_500_000 };
        let row = UseRow {
            day: day("2026-11-22"),
            pipeline: "support".into(),
            caller: "team-a".into(),
            provider: "openai".into(),
            model: "gpt-4o".into(),
            sums,
        };
        let expected = json!({
            "day": "2026-11-22", "pipeline": "support", "caller": "team-a", "provider": "openai", "model": "gpt-4o", "replies": 3,
            "prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 15, "reasoning_tokens": 4, "estimated_replies": 1,
            "priced_replies": 2, "cost_usd": 1.5,
        });
        assert_eq!(written(&row, None), expected);
        let row = UseRow { caller: String::new(), sums: Sums { priced: 0, cost: 0, ..sums }, ..row };
        let expected = json!({
            "day": "2026-11-22", "caller": null, "replies": 3, "prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 15,
            "reasoning_tokens": 4, "estimated_replies": 1,
        });
        assert_eq!(written(&row, Some(Group::Caller)), expected);
    }
}
