//! Two processes on one store: one that still finishes what runs, and one that has taken over.

use super::reservations::{daily, left, reserved};
use super::*;

#[tokio::test]
async fn after_a_handover_both_allow_no_more_than_the_budget_and_the_old_one_overwrites_nothing() {
    let house = House::new(daily(1_000)).await;
    let old = Arc::clone(&house.ledger);
    reserved(&old, 590).await.settle(&reply(Some("a"), "m", 10, 590));
    let running = reserved(&old, 290).await;
    old.hand_over().await.unwrap();
    let next = opened(&house.database(), daily(1_000), &house.now, &house.metrics).await;
    assert_eq!(left(&next), 100, "what runs elsewhere is counted as it was reserved");
    reserved(&next, 40).await.settle(&reply(Some("a"), "m", 10, 40));
    next.close().await.unwrap();
    // What begins at the old one does not wait for a store that is not its own any more.
    let late = reserved(&old, 20).now_or_never().expect("at once");
    running.settle(&reply(Some("a"), "m", 10, 5));
    late.settle(&reply(Some("a"), "m", 10, 20));
    old.close().await.unwrap();
    old.close().await.unwrap();
    let third = opened(&house.database(), daily(1_000), &house.now, &house.metrics).await;
    assert_eq!(left(&third), 50, "the budget is as the next one wrote it");
    let today = next.today();
    let rows = next.report(today, today, None).await.unwrap();
    let sums = rows.iter().fold(Sums::default(), |mut all, row| {
        all.add(&row.sums);
        all
    });
    assert_eq!((sums.replies, sums.prompt, sums.completion), (4, 40, 655), "and every reply is in the report");
}
