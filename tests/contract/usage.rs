//! What every `UsageStore` promises: sums that only grow, by day and names, and never lose what was added.

use std::sync::Arc;

use cofferdam::ledger::clock::Day;
use cofferdam::ledger::{BudgetRow, Group, SUM_MAX, Sums, UsageStore, UseRow};

use super::backends::Backend;

on_every_backend!(
    rows_are_added_up_and_found_by_day_after_reopening,
    rows_are_summed_by_each_column_within_a_day,
    rows_of_the_same_names_in_one_call_are_added_up,
    a_sum_that_cannot_grow_stays_at_its_most,
    days_before_one_are_forgotten,
    names_of_any_letters_are_kept_apart,
    additions_at_once_lose_nothing,
    a_budget_is_replaced_and_found_after_reopening,
);

async fn store(backend: &impl Backend) -> Arc<dyn UsageStore> {
    backend.open().await.usage
}

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

fn row(names: &str, n: u64) -> UseRow {
    let mut names = names.split(' ').map(str::to_owned);
    let mut name = || names.next().unwrap();
    let (day, pipeline, caller, provider, model) = (day(&name()), name(), name(), name(), name());
    let sums = Sums {
        replies: n,
        prompt: n + 1,
        completion: n + 2,
        cached: n + 3,
        reasoning: n + 4,
        estimated: n + 5,
        priced: n + 6,
        cost: n + 7,
    };
    UseRow { day, pipeline, caller, provider, model, sums }
}

fn sum(rows: &[UseRow]) -> Sums {
    rows.iter().fold(Sums::default(), |mut sums, row| {
        sums.add(&row.sums);
        sums
    })
}

async fn rows_are_added_up_and_found_by_day_after_reopening(backend: impl Backend) {
    let usage = store(&backend).await;
    let rows = [row("2026-01-01 p a openai m", 1), row("2026-01-02 p a openai m", 20), row("2026-01-02 p  openai m", 300)];
    usage.add(&rows).await.unwrap();
    usage.add(&rows[..2]).await.unwrap();
    usage.add(&[]).await.unwrap();
    drop(usage);
    let usage = store(&backend).await;
    let found = usage.read(day("2026-01-01"), day("2026-01-01"), None, 10).await.unwrap();
    assert_eq!(found, [UseRow { sums: sum(&[rows[0].clone(), rows[0].clone()]), ..rows[0].clone() }]);
    let found = usage.read(day("2026-01-02"), day("2026-12-31"), None, 10).await.unwrap();
    assert_eq!(found, [rows[2].clone(), UseRow { sums: sum(&[rows[1].clone(), rows[1].clone()]), ..rows[1].clone() }]);
    assert_eq!(usage.read(day("2026-01-01"), day("2026-01-02"), None, 2).await.unwrap().len(), 2);
    assert_eq!(usage.read(day("2026-01-02"), day("2026-01-01"), None, 10).await.unwrap(), []);
    assert_eq!(usage.read(day("2026-01-01"), day("2026-01-02"), None, usize::MAX).await.unwrap().len(), 3);
}

async fn rows_are_summed_by_each_column_within_a_day(backend: impl Backend) {
    let usage = store(&backend).await;
    let rows = [row("2026-01-01 p a openai m", 1), row("2026-01-01 p b openai n", 20), row("2026-01-02 q a azure m", 300)];
    usage.add(&rows).await.unwrap();
    let by = async |column| usage.read(day("2026-01-01"), day("2026-01-02"), Some(column), 10).await.unwrap();
    let first = sum(&rows[..2]);
    let name = |text: &str| UseRow { day: day(text), ..UseRow::default() };
    let second = |row: UseRow| UseRow { sums: rows[2].sums, ..row };
    assert_eq!(
        by(Group::Pipeline).await,
        [UseRow { pipeline: "p".into(), sums: first, ..name("2026-01-01") }, second(UseRow { pipeline: "q".into(), ..name("2026-01-02") })]
    );
    assert_eq!(
        by(Group::Provider).await,
        [
            UseRow { provider: "openai".into(), sums: first, ..name("2026-01-01") },
            second(UseRow { provider: "azure".into(), ..name("2026-01-02") })
        ]
    );
    assert_eq!(by(Group::Caller).await.iter().map(|row| &*row.caller).collect::<Vec<_>>(), ["a", "b", "a"]);
    assert_eq!(by(Group::Model).await.iter().map(|row| &*row.model).collect::<Vec<_>>(), ["m", "n", "m"]);
}

async fn rows_of_the_same_names_in_one_call_are_added_up(backend: impl Backend) {
    let usage = store(&backend).await;
    let twice = [row("2026-01-01 p a openai m", 1), row("2026-01-01 p a openai m", 20)];
    usage.add(&twice).await.unwrap();
    let found = usage.read(day("2026-01-01"), day("2026-01-01"), None, 10).await.unwrap();
    assert_eq!(found, [UseRow { sums: sum(&twice), ..twice[0].clone() }]);
}

async fn a_sum_that_cannot_grow_stays_at_its_most(backend: impl Backend) {
    let usage = store(&backend).await;
    let huge = UseRow { sums: Sums { prompt: u64::MAX, ..Sums::default() }, ..row("2026-01-01 p a openai m", 0) };
    let other = UseRow { model: "n".into(), ..huge.clone() };
    usage.add(&[huge.clone(), huge, other]).await.unwrap();
    for by in [None, Some(Group::Caller)] {
        assert_eq!(usage.read(day("2026-01-01"), day("2026-01-01"), by, 9).await.unwrap()[0].sums.prompt, SUM_MAX);
    }
}

async fn days_before_one_are_forgotten(backend: impl Backend) {
    let usage = store(&backend).await;
    usage.add(&["2025-12-31", "2026-01-01", "2026-01-02"].map(|day| row(&format!("{day} p a openai m"), 1))).await.unwrap();
    usage.forget_before(day("2026-01-01")).await.unwrap();
    let found = usage.read(day("1970-01-01"), day("9999-12-31"), None, 9).await.unwrap();
    let days: Vec<_> = found.into_iter().map(|row| row.day.to_string()).collect();
    assert_eq!(days, ["2026-01-01", "2026-01-02"]);
}

async fn names_of_any_letters_are_kept_apart(backend: impl Backend) {
    let usage = store(&backend).await;
    let models = ["@cf/meta/llama", "M", "m", "m ", "modèle", "模型"];
    let rows = models.map(|model| UseRow { model: model.into(), ..row("2026-01-01 p a openai m", 1) });
    usage.add(&rows).await.unwrap();
    usage.add(&rows).await.unwrap();
    let found = usage.read(day("2026-01-01"), day("2026-01-01"), None, 99).await.unwrap();
    assert_eq!(found.iter().map(|row| row.model.as_str()).collect::<Vec<_>>(), models, "in the order of their bytes");
    assert!(found.iter().all(|row| row.sums.replies == 2), "{found:?}");
}

async fn additions_at_once_lose_nothing(backend: impl Backend) {
    let usage = store(&backend).await;
    let adding: Vec<_> = (0..8)
        .map(|_| {
            let usage = Arc::clone(&usage);
            tokio::spawn(async move {
                for _ in 0..10 {
                    usage.add(&[row("2026-01-01 p a openai m", 1), row("2026-01-01 p b openai m", 2)]).await.unwrap();
                }
            })
        })
        .collect();
    for task in adding {
        task.await.unwrap();
    }
    let found = usage.read(day("2026-01-01"), day("2026-01-01"), None, 9).await.unwrap();
    assert_eq!(found.iter().map(|row| row.sums.replies).collect::<Vec<_>>(), [80, 160]);
}

async fn a_budget_is_replaced_and_found_after_reopening(backend: impl Backend) {
    let usage = store(&backend).await;
    let row =
        |account: &str, limit: &str, begun: &str, used| BudgetRow { account: account.into(), limit: limit.into(), begun: day(begun), used };
    let month = row("key/a", "usd_per_month", "2026-01-01", 7);
    usage
        .put_budgets(&[row("key/a", "tokens_per_day", "2026-01-02", 100), month.clone(), row("user/a/x", "t", "2025-12-31", 1)], &[])
        .await
        .unwrap();
    let next = row("key/a", "tokens_per_day", "2026-01-03", 5);
    let most = row("user/a/y", "t", "2026-01-03", u64::MAX);
    usage.put_budgets(&[next.clone(), most.clone()], &["user/a/nobody".into()]).await.unwrap();
    drop(usage);
    let usage = store(&backend).await;
    let most = BudgetRow { used: SUM_MAX, ..most };
    let old = row("user/a/x", "t", "2025-12-31", 1);
    assert_eq!(usage.budgets().await.unwrap(), [next.clone(), month.clone(), old, most.clone()]);
    usage.forget_budgets_before(day("2026-01-01")).await.unwrap();
    assert_eq!(usage.budgets().await.unwrap(), [next.clone(), month.clone(), most]);
    usage.put_budgets(&[], &["user/a/y".into()]).await.unwrap();
    assert_eq!(usage.budgets().await.unwrap(), [next, month]);
}
