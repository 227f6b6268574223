//! Open WebUI's Pipelines: the routes that its client calls, bare and with `/v1` before them, and below each prefix and address of
//! `[surfaces.pipelines]`. Errors are FastAPI's `{"detail"}`. A plugin with a hook is a filter, one that is a model a pipe or a manifold.

mod coerce;
pub(super) mod entries;
mod filter;
mod filtered;
mod found;
mod life;
mod listing;
mod valves;

use hyper::Method;

use super::openai::{chat, models, wire};
use crate::http::access::Access;
use crate::http::operation::{Answer, Media, Operation, RequestBody, schema};
use crate::http::respond::detail;
use crate::http::route::{Route, Surface};
use crate::http::surface::admin::deploy;

pub(in crate::http) static SURFACE: Surface = Surface {
    name: "pipelines",
    // No path that is not there is its own, but where it is alone.
    prefix: "",
    errors: detail,
    error: "Detail",
    open_webui: true,
    cors: true,
    routes: &[
        Route {
            method: Method::POST,
            path: "/chat/completions",
            name: "pipelines_chat_completions",
            access: Access::Client,
            metered: true,
            operation: Operation {
                summary: "Answer a chat as a stream, or whole if `stream` is false",
                body: Some(RequestBody::Json(schema::<wire::ChatRequest>)),
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "The reply.",
                    contents: &[Media::Json(schema::<wire::ChatCompletion>), Media::Events(schema::<wire::ChatEvent>)],
                }],
            },
            handler: |call| Box::pin(chat::streamed_completions(call)),
        },
        Route {
            method: Method::GET,
            path: "/",
            name: "pipelines_status",
            access: Access::Open,
            metered: false,
            operation: Operation {
                summary: "Say that Pipelines are served here; elsewhere than at an address or a prefix of their own, under `/v1` only",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "They are.", contents: &[Media::Json(schema::<listing::Status>)] }],
            },
            handler: |call| Box::pin(listing::status(call)),
        },
        Route {
            method: Method::GET,
            path: "/models",
            name: "pipelines_models",
            access: Access::Client,
            metered: false,
            operation: Operation {
                summary: "List models, pipes and filters, as `GET /v1/models` does for whoever has the key of this surface",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "All of them.", contents: &[Media::Json(schema::<models::Models>)] }],
            },
            handler: |call| Box::pin(models::list_with_filters(call)),
        },
        Route {
            method: Method::GET,
            path: "/pipelines",
            name: "pipelines",
            access: Access::Client,
            metered: false,
            operation: Operation {
                summary: "List filters and pipes",
                body: None,
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "One entry a plugin.",
                    contents: &[Media::Json(schema::<listing::Listing>)],
                }],
            },
            handler: |call| Box::pin(listing::list(call)),
        },
        Route {
            method: Method::POST,
            path: "/pipelines/add",
            name: "pipelines_add",
            access: Access::Manage,
            metered: false,
            operation: Operation {
                summary: "Fetch a component from a URL and put it into the plugin directory",
                body: Some(RequestBody::Json(schema::<life::AddRequest>)),
                parameters: &[],
                answers: &[Answer { status: 200, description: "It is there.", contents: &[Media::Json(schema::<life::Changed>)] }],
            },
            handler: |call| Box::pin(life::add(call)),
        },
        Route {
            method: Method::POST,
            path: "/pipelines/upload",
            name: "pipelines_upload",
            access: Access::Manage,
            metered: false,
            operation: Operation {
                summary: "Put a component into the plugin directory; one named `NAME.wasm.py` is known by its bytes",
                body: Some(RequestBody::Multipart(schema::<deploy::PluginForm>)),
                parameters: &[],
                answers: &[Answer { status: 200, description: "It is there.", contents: &[Media::Json(schema::<life::Changed>)] }],
            },
            handler: |call| Box::pin(life::upload(call)),
        },
        Route {
            method: Method::DELETE,
            path: "/pipelines/delete",
            name: "pipelines_delete",
            access: Access::Manage,
            metered: false,
            operation: Operation {
                summary: "Remove a plugin's file",
                body: Some(RequestBody::Json(schema::<life::DeleteRequest>)),
                parameters: &[],
                answers: &[Answer { status: 200, description: "It is gone.", contents: &[Media::Json(schema::<life::Changed>)] }],
            },
            handler: |call| Box::pin(life::delete(call)),
        },
        Route {
            method: Method::POST,
            path: "/pipelines/reload",
            name: "pipelines_reload",
            access: Access::Manage,
            metered: false,
            operation: Operation {
                summary: "Read the plugin directory now",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "It was read.", contents: &[Media::Json(schema::<life::Reloaded>)] }],
            },
            handler: |call| Box::pin(life::reload(call)),
        },
        Route {
            method: Method::GET,
            path: "/{id}/valves",
            name: "valves",
            access: Access::Shown,
            metered: false,
            operation: Operation {
                summary: "Show a plugin's settings, secrets masked",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "The settings.", contents: &[Media::Json(schema::<valves::Valves>)] }],
            },
            handler: |call| Box::pin(valves::get(call)),
        },
        Route {
            method: Method::GET,
            path: "/{id}/valves/spec",
            name: "valves_spec",
            access: Access::Shown,
            metered: false,
            operation: Operation {
                summary: "Show the schema of a plugin's settings",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "The schema.", contents: &[Media::Json(schema::<valves::ValvesSpec>)] }],
            },
            handler: |call| Box::pin(valves::spec(call)),
        },
        Route {
            method: Method::POST,
            path: "/{id}/valves/update",
            name: "valves_update",
            access: Access::Manage,
            metered: false,
            operation: Operation {
                summary: "Replace a plugin's settings; what is missing goes back to its default",
                body: Some(RequestBody::Json(schema::<valves::Valves>)),
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "The settings as they are now.",
                    contents: &[Media::Json(schema::<valves::Valves>)],
                }],
            },
            handler: |call| Box::pin(valves::update(call)),
        },
        Route {
            method: Method::POST,
            path: "/{id}/filter/inlet",
            name: "filter_inlet",
            access: Access::Client,
            metered: false,
            operation: Operation {
                summary: "Run a plugin's pre-hook on a chat request",
                body: Some(RequestBody::Json(schema::<filter::FilterCall>)),
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "The body as the hook left it.",
                    contents: &[Media::Json(schema::<filter::FilteredBody>)],
                }],
            },
            handler: |call| Box::pin(filter::inlet(call)),
        },
        Route {
            method: Method::POST,
            path: "/{id}/filter/outlet",
            name: "filter_outlet",
            access: Access::Client,
            metered: false,
            operation: Operation {
                summary: "Run a plugin's post-hook on the newest reply of a chat",
                body: Some(RequestBody::Json(schema::<filter::FilterCall>)),
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "The body as the hook left it.",
                    contents: &[Media::Json(schema::<filter::FilteredBody>)],
                }],
            },
            handler: |call| Box::pin(filter::outlet(call)),
        },
    ],
};
