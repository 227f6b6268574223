//! Lists by page, as OpenAI's API has them: `limit` and `after` in, `has_more` and `last_id` out.
//! A page begins after a key, not at a number, so that what is added or deleted meanwhile moves nothing.

use schemars::JsonSchema;
use serde::Serialize;

use crate::http::error::Refusal;
use crate::http::operation::Parameter;

/// What a page holds at most.
pub(super) const PAGE_MAX: usize = 1000;
/// What it holds if nobody says.
const PAGE_DEFAULT: usize = 100;

pub(super) const LIMIT: Parameter =
    Parameter { name: "limit", location: "query", description: "How many to show at most: 1 to 1000, 100 by default." };
pub(super) const AFTER: Parameter =
    Parameter { name: "after", location: "query", description: "The `last_id` of the page before; the first page by default." };

/// One page.
#[derive(Serialize, JsonSchema)]
pub(super) struct Page<T> {
    /// `list`
    object: &'static str,
    data: Vec<T>,
    /// Whether another page follows.
    has_more: bool,
    /// What to ask for the next page with; null if this one is empty.
    last_id: Option<String>,
}

/// That something is gone.
#[derive(Serialize, JsonSchema)]
pub(super) struct Deleted<'a> {
    pub(super) id: &'a str,
    /// `pipeline`, `document`
    pub(super) object: &'static str,
    /// `true`
    pub(super) deleted: bool,
}

/// What a request for a page asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) limit: usize,
    pub(super) after: String,
    pub(super) namespace: Option<String>,
}

impl Asked {
    /// One more than is shown, which tells whether another page follows.
    pub(super) fn page(&self) -> crate::rag::Page<'_> {
        crate::rag::Page { after: &self.after, count: self.limit + 1 }
    }

    /// The page of what was found by `page`.
    pub(super) fn of<T>(&self, mut found: Vec<T>, id: impl Fn(&T) -> &str) -> Page<T> {
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let last_id = found.last().map(|last| id(last).to_owned());
        Page { object: "list", data: found, has_more, last_id }
    }
}

/// Reads `limit` and `after`, and `namespace` where the list takes it.
pub(super) fn asked(query: Option<&str>, takes: &[&'static str]) -> Result<Asked, Refusal> {
    let mut asked = Asked { limit: PAGE_DEFAULT, after: String::new(), namespace: None };
    for (name, value) in parameters(query, takes)? {
        match name {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
                asked.limit = limit.ok_or_else(|| Refusal::field("limit", format!("must be a whole number from 1 to {PAGE_MAX}")))?;
            }
            "after" => asked.after = value,
            _ => asked.namespace = Some(value),
        }
    }
    Ok(asked)
}

/// The parameters of a query, each at most once.
pub(super) fn parameters(query: Option<&str>, takes: &[&'static str]) -> Result<Vec<(&'static str, String)>, Refusal> {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let Some(known) = takes.iter().find(|known| **known == name) else {
            let name: String = name.chars().take(64).collect();
            return Err(Refusal::field(name, format!("is no parameter; there is {}", takes.join(", "))));
        };
        if found.iter().any(|(before, _)| before == known) {
            return Err(Refusal::field(*known, "stands twice"));
        }
        found.push((known, value.into_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[&str] = &["limit", "after", "namespace"];

    fn message(query: &str, takes: &[&'static str]) -> String {
        asked(Some(query), takes).map(|asked| format!("taken: {asked:?}")).unwrap_or_else(|refusal| refusal.to_string())
    }

    #[test]
    fn a_page_is_asked_for_by_its_limit_and_what_it_comes_after() {
        assert_eq!(asked(None, ALL), Ok(Asked { limit: 100, after: String::new(), namespace: None }));
        let most = Asked { limit: PAGE_MAX, after: "a b".into(), namespace: Some("n".into()) };
        assert_eq!(asked(Some("after=a%20b&limit=1000&namespace=n"), ALL), Ok(most));
        assert_eq!(asked(Some("limit=1"), ALL).map(|asked| asked.limit), Ok(1));
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=", "limit=ten", "limit=99999999999999999999"] {
            assert_eq!(message(query, ALL), "limit: must be a whole number from 1 to 1000", "{query}");
        }
        assert_eq!(message("limit=1&limit=2", ALL), "limit: stands twice");
        assert_eq!(message("offset=1", &["limit", "after"]), "offset: is no parameter; there is limit, after");
        assert_eq!(message("namespace=n", &["limit", "after"]), "namespace: is no parameter; there is limit, after");
    }

    #[test]
    fn one_more_than_the_limit_says_that_another_page_follows() {
        let asked = asked(Some("limit=2"), ALL).expect("a page");
        let page = |found: &[&'static str]| {
            let Page { data, has_more, last_id, .. } = asked.of(found.to_vec(), |id| id);
            (data, has_more, last_id)
        };
        assert_eq!(asked.page().count, 3);
        assert_eq!(page(&[]), (vec![], false, None));
        assert_eq!(page(&["a", "b"]), (vec!["a", "b"], false, Some("b".into())));
        assert_eq!(page(&["a", "b", "c"]), (vec!["a", "b"], true, Some("b".into())));
    }
}
