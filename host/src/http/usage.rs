//! `GET /api/v1/usage`: what was used, by day, pipeline, caller, provider and model. Must not know how it is kept.

use std::sync::Arc;

use hyper::Response;
use serde_json::{Value, json};

use super::body::Content;
use super::error::{Failure, Refusal};
use super::respond;
use super::routes::percent_decoded;
use crate::chat::codec::to_json;
use crate::ledger::clock::Day;
use crate::ledger::{Group, Ledger, UseRow};

/// Days of one report, so that a year can be asked for.
const DAYS_MAX: u32 = 366;
/// Days of a report that does not say from when.
const DAYS_DEFAULT: u32 = 30;

const GROUPS: [(&str, Group); 4] =
    [("caller", Group::Caller), ("pipeline", Group::Pipeline), ("provider", Group::Provider), ("model", Group::Model)];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    from: Day,
    to: Day,
    group: Option<Group>,
}

pub(super) async fn report(ledger: &Arc<Ledger>, query: Option<&str>) -> Result<Response<Content>, Failure> {
    let Asked { from, to, group } = asked(query.unwrap_or_default(), ledger.today())?;
    let rows = ledger.report(from, to, group).await?;
    // On a thread that may block: a large report takes a while to write as JSON.
    let report = tokio::task::spawn_blocking(move || {
        let data: Vec<Value> = rows.iter().map(|row| shown(row, group)).collect();
        to_json(&json!({"object": "list", "data": data, "from": from.to_string(), "to": to.to_string()}))
    });
    let bytes = report.await.map_err(|_| Failure::Panicked)?;
    Ok(respond::typed(Content::Whole(bytes), "application/json"))
}

fn asked(query: &str, today: Day) -> Result<Asked, Refusal> {
    let (mut from, mut to, mut group) = (None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decoded(value).unwrap_or_default();
        let twice = match name {
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
        Some(_) => Ok(Asked { from, to, group }),
    }
}

fn day(name: &'static str, text: &str) -> Result<Day, Refusal> {
    Day::parse(text).ok_or_else(|| Refusal::field(name, "must be a day such as 2026-11-22"))
}

fn group_of(text: &str) -> Result<Group, Refusal> {
    let found = GROUPS.iter().find(|(word, _)| *word == text);
    found.map(|(_, group)| *group).ok_or_else(|| Refusal::field("group", "must be caller, pipeline, provider or model"))
}

/// The names that were summed over are left out; `caller` is null where no key was used.
fn shown(row: &UseRow, group: Option<Group>) -> Value {
    let UseRow { day, pipeline, caller, provider, model, sums } = row;
    let mut value = json!({
        "day": day.to_string(),
        "replies": sums.replies,
        "prompt_tokens": sums.prompt,
        "completion_tokens": sums.completion,
        "cached_tokens": sums.cached,
        "reasoning_tokens": sums.reasoning,
        "estimated_replies": sums.estimated,
    });
    if sums.priced > 0 {
        // Beside `replies` it says whether the cost is that of all of them.
        value["priced_replies"] = json!(sums.priced);
        value["cost_usd"] = json!(sums.cost as f64 / 1e6);
    }
    let caller = Some(caller).filter(|caller| !caller.is_empty());
    let names = [("pipeline", json!(pipeline)), ("caller", json!(caller)), ("provider", json!(provider)), ("model", json!(model))];
    for (word, name) in names {
        if group.is_none_or(|group| GROUPS.contains(&(word, group))) {
            value[word] = name;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Sums;

    fn day(text: &str) -> Day {
        Day::parse(text).expect("a day")
    }

    fn ask(query: &str) -> Result<Asked, String> {
        asked(query, day("2026-11-22")).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_report_is_of_the_last_thirty_days_unless_it_says_otherwise() {
        assert_eq!(ask(""), Ok(Asked { from: day("2026-10-24"), to: day("2026-11-22"), group: None }));
        let one = Asked { from: day("2026-01-01"), to: day("2026-01-01"), group: Some(Group::Caller) };
        assert_eq!(ask("group=caller&to=2026-01-01&from=2026-01-01"), Ok(one));
        assert_eq!(ask("from=2026%2D11%2D22&"), Ok(Asked { from: day("2026-11-22"), to: day("2026-11-22"), group: None }));
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
        assert_eq!(shown(&row, None), expected);
        let row = UseRow { caller: String::new(), sums: Sums { priced: 0, cost: 0, ..sums }, ..row };
        let expected = json!({
            "day": "2026-11-22", "caller": null, "replies": 3, "prompt_tokens": 20, "completion_tokens": 9, "cached_tokens": 15,
            "reasoning_tokens": 4, "estimated_replies": 1,
        });
        assert_eq!(shown(&row, Some(Group::Caller)), expected);
    }
}
