//! The promises of the rule, over any schedule of clients that take and give back.

use proptest::prelude::*;

use super::*;

fn client(number: usize) -> Client {
    Client::Key(number.to_string().into())
}

/// Takes one unit after another until it is refused.
fn greedy(shares: &Shares, of: &Client) -> Vec<Share> {
    std::iter::from_fn(|| shares.take(of, 1)).collect()
}

#[test]
fn a_client_alone_gets_three_quarters_and_a_later_one_finds_room_at_once() {
    for (total, most) in [(1, 1), (2, 2), (3, 3), (4, 3), (8, 6), (64, 48), (512, 384)] {
        let shares = Shares::new(total);
        let first = greedy(&shares, &client(1));
        assert_eq!((first.len(), shares.most(), shares.held()), (most, most, most), "{total}");
        let second = greedy(&shares, &client(2));
        // As much again of what was left over.
        assert_eq!(second.len(), Shares::new(total - most).most(), "{total}");
        drop((first, second));
        assert_eq!(shares.held(), 0);
        assert!(shares.state().held.is_empty(), "who holds nothing is forgotten");
    }
}

#[test]
fn greedy_clients_come_to_equal_shares_as_units_are_given_back() {
    for clients in 1..=20 {
        let shares = Shares::new(256);
        let mut held: Vec<Vec<Share>> = (0..clients).map(|n| greedy(&shares, &client(n))).collect();
        // Requests end one by one, and whoever hears of it first takes what is free.
        for step in 0..200 * clients {
            drop(held[step % clients].pop());
            for next in (step + 1..=step + clients).map(|n| n % clients) {
                held[next].extend(shares.take(&client(next), 1));
            }
        }
        let fair = 256 * THRESHOLD / (THRESHOLD * clients + 1);
        let least = held.iter().map(Vec::len).min().expect("a client");
        // One unit of what is free is worth `THRESHOLD` of what is held, hence the quarter.
        assert!(4 * least >= 3 * fair, "{clients} clients: {least} is less than {fair}");
    }
}

#[test]
fn several_units_are_admitted_as_if_taken_one_by_one() {
    for total in 1..40 {
        for held in 0..total {
            for amount in 1..=total + 1 {
                let (mut has, mut free) = (held, total - held);
                let one_by_one = (0..amount).all(|_| {
                    let given = admits(has, free, 1);
                    has += usize::from(given);
                    free -= usize::from(given);
                    given
                });
                assert_eq!(admits(held, total - held, amount), one_by_one, "{held} of {total} and {amount} more");
            }
        }
    }
    assert!(admits(usize::MAX, 0, 0), "nothing can always be had");
}

#[test]
fn a_share_grows_within_the_same_rule_and_is_given_back_whole() {
    let shares = Shares::new(100);
    let mut share = shares.take(&client(1), 10).expect("room");
    assert!(share.grow(65) && !share.grow(1));
    assert_eq!((share.amount(), shares.held()), (75, 75));
    drop(share);
    assert_eq!(shares.held(), 0);
}

proptest! {
    #[test]
    fn no_schedule_gives_more_than_there_is_or_keeps_out_who_holds_nothing(
        total in 1_usize..60,
        steps in proptest::collection::vec((0_usize..5, any::<bool>(), 1_usize..4), 1..300),
    ) {
        let shares = Shares::new(total);
        let mut held: Vec<Vec<Share>> = (0..5).map(|_| Vec::new()).collect();
        let sum = |of: &Vec<Share>| of.iter().map(Share::amount).sum::<usize>();
        for (who, takes, amount) in steps {
            let (has, free) = (sum(&held[who]), total - shares.held());
            if !takes {
                held[who].pop();
                continue;
            }
            match shares.take(&client(who), amount) {
                Some(share) => {
                    // What one client leaves free is at least a quarter of what it found, so it cannot take all by itself.
                    prop_assert!(has + amount <= shares.most() || total <= THRESHOLD);
                    held[who].push(share);
                }
                None => {
                    prop_assert!(has > 0 || amount > 1 || free == 0, "a newcomer is refused only if nothing is free");
                    // With what it asked for it would hold as many times what is left as the rule says, or there is not so much.
                    prop_assert!(amount > free || has + amount > THRESHOLD * (free - amount + 1));
                    // Nobody who holds as much or more would have got it.
                    for other in held.iter().filter(|other| sum(other) >= has) {
                        prop_assert!(!admits(sum(other), free, amount));
                    }
                }
            }
            prop_assert_eq!(shares.held(), held.iter().map(sum).sum::<usize>());
            prop_assert!(shares.held() <= total);
        }
    }
}

#[tokio::test]
async fn who_waits_gets_its_turn_between_those_of_a_greedy_client() {
    let shares = Shares::new(4);
    let (a, b) = (client(1), client(2));
    let mut held = greedy(&shares, &a);
    held.extend(greedy(&shares, &b));
    assert_eq!(held.len(), 4);
    let order = Arc::new(Mutex::new(Vec::new()));
    let waiters: Vec<_> = [&a, &a, &a, &b]
        .map(|of| {
            let (shares, of, order) = (shares.clone(), of.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                let share = shares.wait(&of, 1).await;
                order.lock().unwrap_or_else(PoisonError::into_inner).push(of);
                drop(share);
            })
        })
        .into_iter()
        .collect();
    while !shares.state().waiting.has(&b) {
        tokio::task::yield_now().await;
    }
    held.clear();
    for waiter in waiters {
        waiter.await.expect("no panic");
    }
    let order = order.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(order.iter().position(|of| *of == b) < Some(3), "{order:?}");
    assert_eq!(shares.held(), 0);
}

#[tokio::test]
async fn who_stops_waiting_takes_nothing_with_it() {
    let shares = Shares::new(1);
    let first = shares.take(&client(1), 1).expect("room");
    let waiting = tokio::spawn({
        let shares = shares.clone();
        async move { drop(shares.wait(&client(2), 1).await) }
    });
    while !shares.state().waiting.has(&client(2)) {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.expect_err("it was stopped").is_cancelled());
    drop(first);
    assert_eq!(shares.held(), 0);
    assert!(shares.take(&client(3), 1).is_some() && shares.state().waiting.is_empty());
}

#[tokio::test]
async fn another_size_takes_nothing_away_and_lets_in_who_waits() {
    let (shares, a, b) = (Shares::new(8), Client::Host, Client::Key("b".into()));
    let held = shares.take(&a, 6).expect("room");
    shares.resize(2);
    assert_eq!((shares.held(), shares.take(&b, 1).is_some()), (6, false), "more is held than there is");
    let waiting = tokio::spawn({
        let (shares, b) = (shares.clone(), b.clone());
        async move { shares.wait(&b, 1).await }
    });
    tokio::task::yield_now().await;
    drop(held);
    let one = waiting.await.expect("it gets its unit");
    assert_eq!((shares.held(), shares.take(&b, 2).is_some()), (1, false), "the smaller size holds");
    let waits = shares.wait(&b, 3);
    let mut waits = Box::pin(waits);
    assert!(futures_util::FutureExt::now_or_never(&mut waits).is_none());
    shares.resize(20);
    let more = waits.await;
    assert_eq!(shares.held(), 4);
    drop((one, more));
    assert_eq!((shares.held(), shares.take(&a, 15).is_some()), (0, true));
    // The same size again is no change, whatever is held.
    let held = shares.take(&a, 5).expect("room");
    shares.resize(20);
    assert_eq!(shares.held(), 5);
    drop(held);
    assert_eq!(shares.held(), 0);
}
