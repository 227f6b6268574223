//! `POST /v1/responses`: OpenAI's Responses API over the same pipeline as the chat endpoint. Nothing is kept between requests: the client
//! sends the whole input each time. A request becomes a chat request, a chat reply becomes a response.
//! Source: OpenAI API reference, "Responses" and "Responses, streaming events".

mod called;
mod chunk;
mod content;
mod echo;
mod emitter;
mod extra;
mod field;
mod input;
mod item;
mod kept;
mod names;
mod object;
mod reasoning;
mod request;
mod stream;
mod text;
mod tools;
mod whole;
mod writer;

use hyper::Response;

use crate::chat::codec::Form;
use crate::chat::{Reply, Whole, codec};
use crate::http::body::Content;
use crate::http::error::Failure;
use crate::http::json_body::Reading;
use crate::http::route::Call;
use crate::http::run_chat;
use crate::{llm, pipeline};
use object::Frame;
use request::Asked;
use stream::ResponseStream;
use writer::Writer;

pub(super) async fn create(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, .. } = call;
    let reading = Reading { shared, head, body, log };
    let Asked { chat, echo, include, names } = reading.parsed(Form::Response, request::read_body).await?;
    let frame = Frame::new(chat.model.clone(), echo).with_names(names);
    let outcome = run_chat::run(shared, &head.headers, log, chat, false).await?;
    run_chat::response(outcome, |reply, provider| {
        let reply = match reply {
            Reply::Whole(Whole::Parsed(completion)) => return Ok(Content::Whole(whole::response(&completion, frame, include))),
            Reply::Whole(Whole::Raw(bytes)) => {
                let completion = codec::parse_completion(&bytes).map_err(|invalid| {
                    pipeline::Error::Llm(llm::Error::InvalidReply { provider: provider.to_owned(), cause: invalid.message })
                })?;
                return Ok(Content::Whole(whole::response(&completion, frame, include)));
            }
            Reply::Stream(reply) => reply,
        };
        let writer = Writer::new(frame, include, shared.limits.response_bytes);
        Ok(Content::Stream(Box::pin(ResponseStream::new(reply, writer))))
    })
}
