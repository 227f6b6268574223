//! A plugin of two models: `echo` repeats the question word by word, and `count` counts its words and says what it cost. Its settings may name
//! more models, which answer as `echo` does.

use std::collections::BTreeMap;

use cofferdam_guest::{AnswerError, Field, HookError, Message, ModelInfo, Plugin, Question, Rejection, Usage, answer, config, log};

struct Manifold;

impl Plugin for Manifold {
    const NAME: Option<&'static str> = Some("manifold");

    fn models() -> Result<Vec<ModelInfo>, HookError> {
        let title = Some("Repeats what it is told".to_owned());
        log::info("it is asked which models it has");
        let more = config::read::<BTreeMap<String, Vec<String>>>()?.remove("more").unwrap_or_default();
        // The second field is none of the plugin's to say.
        let extra = [("context_length", "4096"), ("owned_by", r#""nobody""#)];
        let extra = extra.map(|(name, value)| Field { name: name.to_owned(), value: value.to_owned() }).to_vec();
        let own = [ModelInfo { title, extra, ..ModelInfo::new("echo") }, ModelInfo::new("count")];
        Ok(own.into_iter().chain(more.into_iter().map(ModelInfo::new)).collect())
    }

    fn answer(question: Question) -> Result<(), AnswerError> {
        let asked = question.last_user().map(Message::text).unwrap_or_default();
        if asked == "refuse" {
            return Err(Rejection::new(451, "not_here", "Nobody answers that.").retry_after(7).into());
        }
        match question.model.as_str() {
            "count" => {
                answer::status("counting", false);
                answer::reasoning("One, two, …");
                answer::text(&asked.split_whitespace().count().to_string());
                let extra = vec![Field { name: "cost".to_owned(), value: "0.25".to_owned() }];
                answer::usage(&Usage { prompt_tokens: 40, completion_tokens: 2, extra });
                answer::finish("stop");
            }
            _ => asked.split_inclusive(' ').for_each(answer::text),
        }
        Ok(())
    }
}

cofferdam_guest::export!(Manifold: model);
