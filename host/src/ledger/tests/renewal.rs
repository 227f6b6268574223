//! One configuration after another over the same books.

use super::*;
use crate::ledger::reservation::Ask;

impl House {
    async fn renew(&mut self, config: Config) {
        let (next, renewal) = self.ledger.renewed(config).await.unwrap();
        next.take_effect(&renewal);
        self.ledger = Arc::new(next);
    }

    fn left(&self, caller: &str) -> Option<u64> {
        self.ledger.standing(caller, None)?.tokens.map(|left| left.remaining)
    }
}

fn daily(tokens: u64) -> Config {
    allowing("a", Allowance { tokens_per_day: Some(tokens), ..Allowance::default() })
}

fn in_dollars(price: u64) -> Config {
    let price = Price { input: price, cached_input: price, output: price };
    Config { prices: [("m".into(), price)].into(), ..allowing("a", Allowance { usd_per_day: Some(1_000_000), ..Allowance::default() }) }
}

#[tokio::test]
async fn what_was_used_of_a_budget_is_used_of_the_next_one() {
    let mut house = House::new(daily(1_000)).await;
    house.ledger.used(&reply(Some("a"), "m", 300, 0));
    house.renew(daily(1_000)).await;
    assert_eq!(house.left("a"), Some(700));
    house.renew(daily(5_000)).await;
    assert_eq!(house.left("a"), Some(4_700));
    house.renew(daily(200)).await;
    assert_eq!((house.left("a"), house.ledger.admit("a").is_err()), (Some(0), true));
    let house = house.restarted(daily(1_000)).await;
    assert!(house.left("a").is_some_and(|left| left <= 700), "a restart after it gives nobody a second budget either");
}

#[tokio::test]
async fn a_key_that_goes_and_comes_back_has_no_second_budget() {
    let mut house = House::new(daily(1_000)).await;
    house.ledger.used(&reply(Some("a"), "m", 300, 0));
    house.renew(Config::default()).await;
    house.ledger.used(&reply(Some("a"), "m", 50, 0));
    house.renew(daily(1_000)).await;
    assert_eq!(house.left("a"), Some(650));
    // After a restart without it, only the store knows of it.
    house.ledger.close().await.unwrap();
    let mut house = house.restarted(Config::default()).await;
    assert_eq!(house.left("a"), None);
    house.renew(daily(1_000)).await;
    assert_eq!(house.left("a"), Some(650));
}

#[tokio::test]
async fn a_limit_that_is_new_begins_with_what_was_used_without_it() {
    let mut house = House::new(Config::default()).await;
    house.ledger.used(&reply(Some("a"), "m", 400, 0));
    house.renew(daily(1_000)).await;
    assert_eq!(house.left("a"), Some(600));
    house.renew(allowing("a", Allowance::default())).await;
    assert_eq!((house.left("a"), house.ledger.admit("a")), (None, Ok(())), "and one that goes lets everything in");
}

#[tokio::test]
async fn a_request_under_way_is_charged_by_the_prices_that_it_began_with() {
    let mut house = House::new(in_dollars(1_000_000)).await;
    let ask = Ask { caller: Some("a"), end_user: None, provider: "openai", model: "m", prompt: 10, completion: Some(90), choices: 1 };
    let before = house.ledger.clone();
    let under_way = before.reserve(&ask).await.unwrap().unwrap();
    house.renew(in_dollars(2_000_000)).await;
    under_way.settle(&reply(Some("a"), "m", 10, 90));
    house.ledger.reserve(&ask).await.unwrap().unwrap().settle(&reply(Some("a"), "m", 10, 90));
    before.used(&reply(Some("a"), "m", 100, 0));
    // A dollar a million: a hundred micro-dollars before, twice as many after.
    assert_eq!(house.today().await[0].sums.cost, 100 + 200 + 100);
}

#[tokio::test]
async fn end_users_keep_their_counts_and_get_the_new_limits() {
    let with = |tokens, tracked| {
        let allowance = Allowance { tokens_per_day: Some(tokens), ..Allowance::default() };
        Config { end_users: Some(EndUserLimits { allowance, tracked }), ..allowing("a", Allowance::default()) }
    };
    let mut house = House::new(with(100, 10)).await;
    let user: Arc<str> = "u".into();
    let spend = async |ledger: &Arc<Ledger>, completion| {
        let ask = Ask {
            caller: Some("a"),
            end_user: Some(&user),
            provider: "p",
            model: "m",
            prompt: 0,
            completion: Some(completion),
            choices: 1,
        };
        ledger.reserve(&ask).await.unwrap().unwrap().settle(&reply(Some("a"), "m", 0, completion));
    };
    spend(&house.ledger, 60).await;
    house.renew(with(200, 10)).await;
    let left = |house: &House| house.ledger.standing("a", Some("u")).and_then(|standing| standing.tokens).map(|left| left.remaining);
    assert_eq!(left(&house), Some(140));
    house.renew(allowing("a", Allowance::default())).await;
    assert_eq!(left(&house), None, "they are told apart no longer");
    spend(&house.ledger, 60).await;
    house.renew(with(200, 10)).await;
    assert!(left(&house).is_some_and(|left| left <= 140), "{:?}", left(&house));
}
