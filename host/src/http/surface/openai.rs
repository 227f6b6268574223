//! `/v1`: OpenAI's API. Errors are OpenAI's envelope, client keys come in, and pages of `http.cors_origins` may call it.

pub(super) mod chat;
mod embeddings;
pub(super) mod models;
mod responses;
pub(super) mod wire;

use hyper::Method;

use crate::http::access::Access;
use crate::http::operation::{Answer, Media, Operation, Parameter, RequestBody, schema};
use crate::http::respond::openai_envelope;
use crate::http::route::{Route, Surface};

const STAGES: Parameter = Parameter {
    name: "x-cofferdam-stages",
    location: "header",
    description: "Switches stages for this request, such as `rag=off, post_hook=on`. It wins over the body's `pipeline`.",
};

const ADMIN: Parameter = Parameter {
    name: "x-cofferdam-admin",
    location: "header",
    description: "An admin key as `Bearer KEY`: a whole reply then says in `x-cofferdam-sent` and `x-cofferdam-unseen` what hooks did not see of it.",
};

pub(in crate::http) static SURFACE: Surface = Surface {
    name: "openai",
    prefix: "/v1/",
    errors: openai_envelope,
    error: "Error",
    open_webui: false,
    cors: true,
    routes: &[
        Route {
            method: Method::POST,
            path: "/v1/chat/completions",
            name: "chat_completions",
            access: Access::Client,
            metered: true,
            operation: Operation {
                summary: "Answer a chat, whole or streamed",
                body: Some(RequestBody::Json(schema::<wire::ChatRequest>)),
                parameters: &[STAGES, ADMIN],
                answers: &[Answer {
                    status: 200,
                    description: "The reply: an object, or with `stream` events that end in `[DONE]`.",
                    contents: &[Media::Json(schema::<wire::ChatCompletion>), Media::Events(schema::<wire::ChatEvent>)],
                }],
            },
            handler: |call| Box::pin(chat::completions(call)),
        },
        Route {
            method: Method::POST,
            path: "/v1/responses",
            name: "responses",
            access: Access::Client,
            metered: true,
            operation: Operation {
                summary: "Answer in the form of the Responses API, whole or streamed; nothing is kept between requests",
                body: Some(RequestBody::Json(schema::<wire::ResponsesRequest>)),
                parameters: &[STAGES, ADMIN],
                answers: &[Answer {
                    status: 200,
                    description: "The response: an object, or with `stream` events, the last of which says how it ended.",
                    contents: &[Media::Json(schema::<wire::ResponseObject>), Media::Events(schema::<wire::ResponseEvent>)],
                }],
            },
            handler: |call| Box::pin(responses::create(call)),
        },
        Route {
            method: Method::POST,
            path: "/v1/embeddings",
            name: "embeddings",
            access: Access::Client,
            metered: true,
            operation: Operation {
                summary: "Turn texts into vectors",
                body: Some(RequestBody::Json(schema::<embeddings::Wire>)),
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "A vector for each input, in the same order.",
                    contents: &[Media::Json(schema::<embeddings::Answer<'static>>)],
                }],
            },
            handler: |call| Box::pin(embeddings::create(call)),
        },
        Route {
            method: Method::GET,
            path: "/v1/models",
            name: "models",
            access: Access::Client,
            metered: false,
            operation: Operation {
                summary: "List what a request can name as its model",
                body: None,
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "Pipelines, offered models, embedding models.",
                    contents: &[Media::Json(schema::<models::Models>)],
                }],
            },
            handler: |call| Box::pin(models::list(call)),
        },
        Route {
            method: Method::GET,
            path: "/v1/models/{id}",
            name: "model",
            access: Access::Client,
            metered: false,
            operation: Operation {
                summary: "Show one model",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "The model.", contents: &[Media::Json(schema::<models::Model>)] }],
            },
            handler: |call| Box::pin(models::one(call)),
        },
    ],
};
