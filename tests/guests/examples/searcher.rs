//! Searches documents: `search NAMESPACE LIMIT TEXT` is answered with what was found, or with why nothing was.

use cofferdam_guest::{Changes, Failure, HookError, Message, ModelInfo, Plugin, PreOutcome, Request, knowledge};

struct Searcher;

impl Plugin for Searcher {
    const NAME: Option<&'static str> = Some("searcher");

    /// There is no request on whose behalf it could search.
    fn models() -> Result<Vec<ModelInfo>, HookError> {
        match knowledge::search("default", "gate", 1) {
            Err(Failure::Unavailable(_)) => Ok(vec![ModelInfo::new("unasked")]),
            found => Err(format!("without a request it is told {found:?}").into()),
        }
    }

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let asked = request.last_user().map(|(_, message)| message.text()).unwrap_or_default();
        let mut said = String::new();
        for line in asked.lines() {
            let mut words = line.splitn(4, ' ');
            let (Some("search"), Some(namespace), Some(limit), Some(text)) = (words.next(), words.next(), words.next(), words.next())
            else {
                return Ok(Changes::new().into());
            };
            match knowledge::search(namespace, text, limit.parse().unwrap_or(1)) {
                Ok(found) => said.extend(found.iter().map(|passage| format!("{}: {}\n", passage.document, passage.text))),
                Err(Failure::Denied(why)) => said += &format!("denied: {why}\n"),
                Err(Failure::Exhausted(why)) => said += &format!("exhausted: {why}\n"),
                Err(Failure::Invalid(why)) => said += &format!("invalid: {why}\n"),
                Err(failure) => said += &format!("{failure:?}\n"),
            }
        }
        Ok(Message::assistant(said).into())
    }
}

cofferdam_guest::export!(Searcher: pre_hook, model);
