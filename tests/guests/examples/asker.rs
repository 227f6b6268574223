//! A manifold whose models ask other models, and a pre-hook that has one choose the model of the request. What is refused is said as the answer.

use cofferdam_guest::{
    AnswerError, Changes, Delta, Failure, HookError, Message, ModelInfo, Piece, Plugin, PreOutcome, Question, Request, answer, llm,
};

const MODELS: [&str; 9] = ["echo", "through", "whole", "itself", "forbidden", "hoard", "first-word", "embed", "twice"];

struct Asker;

impl Plugin for Asker {
    const NAME: Option<&'static str> = Some("asker");

    /// There is no request on whose behalf it could ask.
    fn models() -> Result<Vec<ModelInfo>, HookError> {
        match llm::ask([Message::user("hi")]).complete() {
            Err(Failure::Unavailable(_)) => Ok(MODELS.map(ModelInfo::new).to_vec()),
            answer => Err(format!("without a request it is told {answer:?}").into()),
        }
    }

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let asked = request.last_user().map(|(_, message)| message.text()).unwrap_or_default();
        let question = || llm::ask([Message::system("Which topic is it? Answer with one word."), Message::user(&asked)]);
        let topic = match asked.split_once(' ').map_or("", |(first, _)| first) {
            "twice" => question().complete().and_then(|_| question().complete()),
            "plugin" => question().target("plugin").model("asker/through").complete(),
            "faulty" => question().param("model", "another").complete(),
            "double" => question().param("seed", 1).param("seed", 2).complete(),
            "unasked" => llm::ask([]).complete(),
            _ => question().param("temperature", 0).complete(),
        };
        match topic {
            Ok(answer) => Ok(Changes::new().model(format!("for-{}", answer.text())).metadata("topic", answer.text()).into()),
            Err(failure) => Ok(Message::assistant(said(&failure)).into()),
        }
    }

    fn answer(question: Question) -> Result<(), AnswerError> {
        if let Err(failure) = ask(&question) {
            answer::text(&said(&failure));
        }
        Ok(())
    }
}

fn said(failure: &Failure) -> String {
    match failure {
        Failure::Denied(why) => format!("denied: {why}"),
        Failure::Exhausted(why) => format!("exhausted: {why}"),
        Failure::Timeout(why) => format!("timeout: {why}"),
        Failure::Invalid(why) => format!("invalid: {why}"),
        Failure::Unavailable(why) => format!("unavailable: {why}"),
        Failure::Other(why) => format!("other: {why}"),
    }
}

fn ask(question: &Question) -> Result<(), Failure> {
    let messages = question.messages.clone();
    let asked = question.last_user().map(Message::text).unwrap_or_default();
    match question.model.as_str() {
        "through" => pass_on(llm::ask(messages))?,
        "itself" => pass_on(llm::ask(messages).target("plugin").model("asker/through"))?,
        "whole" => {
            let whole = llm::ask(messages).param("temperature", 0).complete()?;
            answer::text(&format!("{} said: {}", whole.model, whole.text()));
            if let Some(usage) = &whole.usage {
                answer::usage(usage);
            }
        }
        "forbidden" => {
            llm::ask(messages).target("builtin").model("other").complete()?;
        }
        "hoard" => {
            let mut replies = Vec::new();
            loop {
                replies.push(llm::ask(messages.clone()).stream()?);
            }
        }
        "first-word" => {
            let mut reply = llm::ask(messages).stream()?;
            while let Some(deltas) = reply.next()? {
                let text = |delta: &Delta| matches!(delta.piece, Piece::Text(_));
                if let Some(delta) = deltas.into_iter().find(text) {
                    answer::write(vec![delta]);
                    break;
                }
            }
        }
        "embed" => {
            let vectors = llm::embed(&[asked, "another text".to_owned()])?;
            answer::text(&format!("{} vectors of {}", vectors.len(), vectors[0].len()));
        }
        "twice" => {
            for _ in 0..2 {
                answer::text(&llm::ask(messages.clone()).complete()?.text());
            }
        }
        _ => answer::text(&asked),
    }
    Ok(())
}

fn pass_on(question: llm::Question) -> Result<(), Failure> {
    let mut reply = question.stream()?;
    while let Some(deltas) = reply.next()? {
        answer::write(deltas);
    }
    Ok(())
}

cofferdam_guest::export!(Asker: pre_hook, model);
