//! Answers with what it was handed: of the request as a pre-hook, of the reply as a post-hook, which adds it to each text.

use cofferdam_guest::{HookError, Message, Part, Plugin, PostOutcome, PreOutcome, Replacement, Reply, Request};

struct Looker;

impl Plugin for Looker {
    const NAME: Option<&'static str> = Some("looker");

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let names = |fields: &[cofferdam_guest::Field]| fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>().join(",");
        let messages: Vec<String> = request.messages.iter().map(shown).collect();
        let (params, metadata) = (names(&request.params), names(&request.metadata));
        Ok(Message::assistant(format!("{}; params {params}; metadata {metadata}", messages.join(" | "))).into())
    }

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        let usage = if reply.usage.is_some() { "usage" } else { "no usage" };
        let mut replacement = Replacement::new();
        for choice in &reply.choices {
            let message = Message::assistant(format!("{} with {usage}", shown(&choice.message)));
            replacement = replacement.message(choice.index, message);
        }
        Ok(replacement.into())
    }
}

/// The role, the texts, and one word for everything else.
fn shown(message: &Message) -> String {
    let mut all = vec![message.role.clone()];
    all.extend(message.content.iter().map(|part| match part {
        Part::Text(part) => part.text.clone(),
        Part::Other(_) => "<part>".to_owned(),
    }));
    all.extend(message.tool_calls.iter().map(|_| "<call>".to_owned()));
    all.extend(message.name.iter().map(|name| format!("<name {name}>")));
    all.extend(message.extra.iter().map(|field| format!("<{}>", field.name)));
    all.join(" ")
}

cofferdam_guest::export!(Looker: pre_hook, post_hook);
