//! The port for what callers may use: before a try is sent, so much is reserved for it; when it is over, that is settled. Whoever implements
//! the port charges a reservation that is dropped.

use std::sync::Arc;

use serde_json::Value;

use super::used::Used;
use crate::chat::{Exchange, Json, Usage};

/// The fields in which a client limits the tokens of a completion.
const LIMITS: [&str; 2] = ["max_completion_tokens", "max_tokens"];

/// One try that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub caller: Option<&'a str>,
    pub end_user: Option<&'a Arc<str>>,
    pub provider: &'a str,
    pub model: &'a str,
    /// Tokens, estimated from the bytes that are sent: tools and images included.
    pub prompt: u64,
    /// The most tokens that each choice can have, if the client set a limit.
    pub completion: Option<u64>,
    pub choices: u64,
}

/// What is reserved for one try.
pub trait Hold: Send {
    /// Tokens of the prompt and of the completion.
    fn expected(&self) -> Usage;

    /// The completion has so many tokens by now; false if the caller's budget has nothing left for more.
    fn extend(&mut self, completion: u64) -> bool;

    /// The try is over and used this.
    fn settle(self: Box<Self>, used: &Used<'_>);

    /// The provider did no work.
    fn release(self: Box<Self>);
}

/// The most tokens that a client lets each choice have, and how many choices it wants.
pub(super) fn wanted(exchange: &Exchange) -> (Option<u64>, u64) {
    let number = |name: &str| exchange.param(name).and_then(read_number);
    // A client that sends both gets the one that its provider reads. Nothing is no limit: some providers take 0 for none.
    (LIMITS.into_iter().filter_map(number).filter(|most| *most > 0).max(), number("n").unwrap_or(1).max(1))
}

/// A number as lenient providers read it: `2000.0`, `2e3` and `"2000"` must not reserve less than `2000` does.
fn read_number(json: &Json) -> Option<u64> {
    let number = match serde_json::from_str::<Value>(json.get()).ok()? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    // A float beyond the range becomes its end. Less than one may be read as nothing.
    number.filter(|number| *number >= 0.0).map(|number| if number < 1.0 { 0 } else { number.ceil() as u64 })
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::chat::{Client, Deadline, codec};

    /// What a request with these fields wants.
    fn wants(fields: &[(&str, &str)]) -> (Option<u64>, u64) {
        wanted(&exchange(fields))
    }

    /// A request with these fields.
    pub(in crate::llm) fn exchange(fields: &[(&str, &str)]) -> Exchange {
        let field = |(name, text): &(&str, &str)| ((*name).to_owned(), codec::json((*text).into()).expect("JSON"));
        Exchange {
            params: fields.iter().map(field).collect(),
            ..Exchange::new("r".into(), Client::Host, "p".into(), Deadline::after(Duration::from_secs(9)))
        }
    }

    #[test]
    fn a_limit_of_nothing_is_no_limit() {
        for none in ["0", "0.0", "-0.0", "0.5", "-1", "-7.5", "\"0\"", "null"] {
            for name in LIMITS {
                assert_eq!(wants(&[(name, none)]), (None, 1), "{name} = {none}");
                assert_eq!(wants(&[(name, none), ("n", "3")]), (None, 3));
            }
            assert_eq!(wants(&[("max_tokens", none), ("max_completion_tokens", "20")]), (Some(20), 1), "{none}");
            assert_eq!(wants(&[("max_tokens", "20"), ("n", none)]), (Some(20), 1), "n = {none}");
        }
        assert_eq!(wants(&[("max_tokens", "1")]), (Some(1), 1));
    }

    #[test]
    fn a_number_counts_in_whatever_way_it_is_spelled() {
        let read = |text: &str| read_number(&codec::json(text.into()).expect("JSON"));
        for text in ["2000", "2000.0", "1999.2", "2e3", "\"2000\"", "\" 2e3 \""] {
            assert_eq!(read(text), Some(2_000), "{text}");
        }
        for text in ["-1", "null", "[2000]", "\"many\"", "\"NaN\"", "true"] {
            assert_eq!(read(text), None, "{text}");
        }
        for text in ["0", "0.0", "-0.0", "0.9", "\"0\""] {
            assert_eq!(read(text), Some(0), "{text}");
        }
        assert_eq!((read("1e300"), read("18446744073709551615"), read("0")), (Some(u64::MAX), Some(u64::MAX), Some(0)));
    }
}
