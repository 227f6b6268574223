//! What one plugin has asked for on behalf of one exchange: questions, and their tokens. Until a provider has said what a reply used, the tokens
//! are guessed from the bytes, so that a budget ends a reply while it comes and not after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::terms::LlmTerms;
use crate::chat::Usage;
use crate::sandbox::bindings::types::Failure;
use crate::sandbox::capability::uses::Uses;

/// Bytes of text that are about one token, in the languages that need the fewest tokens.
const TOKEN_BYTES: u64 = 4;

/// The questions of one plugin for one exchange.
#[derive(Debug, Default)]
pub(super) struct Spent {
    calls: Uses,
    tokens: AtomicU64,
}

/// What one question was charged.
pub(super) struct Charge {
    spent: Arc<Spent>,
    most: u64,
    prompt: u64,
    completion_bytes: u64,
    /// What of `spent` is this question's.
    charged: u64,
}

impl Charge {
    /// Charges one more question of so many bytes.
    ///
    /// # Errors
    /// The budget does not hold it; nobody is asked.
    pub(super) fn begin(spent: Arc<Spent>, terms: &LlmTerms, bytes: usize) -> Result<Self, Failure> {
        if !spent.calls.count(terms.calls) {
            let most = terms.calls;
            return Err(Failure::Exhausted(format!("{most} questions were asked for this request, and `grants.llm.calls` allows no more")));
        }
        let mut charge = Self { spent, most: terms.tokens, prompt: tokens(bytes as u64), completion_bytes: 0, charged: 0 };
        let prompt = charge.prompt;
        match charge.to(prompt) {
            true => Ok(charge),
            false => {
                charge.to(0);
                Err(charge.over())
            }
        }
    }

    /// Charges more bytes of the reply.
    ///
    /// # Errors
    /// The budget is used up.
    pub(super) fn more(&mut self, bytes: usize) -> Result<(), Failure> {
        self.completion_bytes += bytes as u64;
        let sum = self.prompt + tokens(self.completion_bytes);
        if self.to(sum.max(self.charged)) { Ok(()) } else { Err(self.over()) }
    }

    /// What the provider counted stands in place of the guess.
    pub(super) fn reported(&mut self, usage: &Usage) {
        self.to(usage.believable().total());
    }

    /// Makes the question's part of the budget that; false if the whole is more than may be.
    fn to(&mut self, charged: u64) -> bool {
        let (before, most) = (std::mem::replace(&mut self.charged, charged), self.most);
        let changed = |all: u64| Some(all.saturating_sub(before).saturating_add(charged));
        let all = self.spent.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed).unwrap_or_default();
        all.saturating_sub(before).saturating_add(charged) <= most
    }

    fn over(&self) -> Failure {
        Failure::Exhausted(format!("the questions for this request have used {} tokens, which `grants.llm.tokens` allows", self.most))
    }
}

fn tokens(bytes: u64) -> u64 {
    bytes.div_ceil(TOKEN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(calls: u32, tokens: u64) -> LlmTerms {
        LlmTerms { targets: Vec::new(), embeddings: Vec::new(), calls, tokens }
    }

    fn is_over<T>(result: Result<T, Failure>, key: &str) -> bool {
        matches!(result, Err(Failure::Exhausted(why)) if why.contains(key))
    }

    #[test]
    fn a_budget_of_tokens_ends_at_its_edge_within_a_reply_and_over_several() {
        let (spent, terms) = (Arc::new(Spent::default()), terms(10, 10));
        let mut first = Charge::begin(spent.clone(), &terms, 8).expect("2 tokens");
        first.more(12).expect("3 more");
        let mut second = Charge::begin(spent.clone(), &terms, 16).expect("4 more");
        second.more(4).expect("the last one");
        assert!(is_over(second.more(1), "grants.llm.tokens"));
        assert!(is_over(Charge::begin(spent, &terms, 1), "grants.llm.tokens"));
    }

    #[test]
    fn what_a_provider_counted_stands_in_place_of_the_guess() {
        let (spent, terms) = (Arc::new(Spent::default()), terms(10, 10));
        let mut first = Charge::begin(spent.clone(), &terms, 36).expect("9 tokens");
        first.reported(&Usage { prompt: 2, completion: 1, ..Usage::default() });
        Charge::begin(spent.clone(), &terms, 28).map(drop).expect("7 are left");
        first.reported(&Usage { prompt: 3, completion: 1, ..Usage::default() });
        assert!(is_over(Charge::begin(spent, &terms, 1), "grants.llm.tokens"));
    }

    #[test]
    fn a_question_that_does_not_fit_takes_nothing_but_its_call() {
        let (spent, terms) = (Arc::new(Spent::default()), terms(2, 10));
        assert!(is_over(Charge::begin(spent.clone(), &terms, 41), "grants.llm.tokens"));
        Charge::begin(spent.clone(), &terms, 40).map(drop).expect("all of it is left");
        assert!(is_over(Charge::begin(spent, &terms, 0), "grants.llm.calls"));
    }
}
