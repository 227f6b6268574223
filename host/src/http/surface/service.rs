//! Routes about the server itself, for supervisors, scrapers and generators of clients. They are open to all and need no permit, so that an
//! overloaded server still says that it is alive. A path that no table has belongs here, too.

mod health;

use hyper::Method;

use crate::http::access::Access;
use crate::http::operation::{Answer, Media, Operation, schema};
use crate::http::respond::openai_envelope;
use crate::http::route::{Route, Surface};
use crate::telemetry::CONTENT_TYPE;

pub(in crate::http) static SURFACE: Surface = Surface {
    name: "service",
    prefix: "",
    errors: openai_envelope,
    error: "Error",
    open_webui: false,
    cors: false,
    routes: &[
        Route {
            method: Method::GET,
            path: "/healthz",
            name: "healthz",
            access: Access::Open,
            metered: false,
            operation: Operation {
                summary: "Say that the process answers",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "It does.", contents: &[Media::Json(schema::<health::Status>)] }],
            },
            handler: |call| Box::pin(health::alive(call)),
        },
        Route {
            method: Method::GET,
            path: "/readyz",
            name: "readyz",
            access: Access::Open,
            metered: false,
            operation: Operation {
                summary: "Say whether requests should be sent here",
                body: None,
                parameters: &[],
                answers: &[
                    Answer { status: 200, description: "They should.", contents: &[Media::Json(schema::<health::Status>)] },
                    Answer {
                        status: 503,
                        description: "The server still loads plugins, a pipeline of its file lacks one, or it is about to stop.",
                        contents: &[Media::Json(schema::<health::Status>)],
                    },
                ],
            },
            handler: |call| Box::pin(health::ready(call)),
        },
        Route {
            method: Method::GET,
            path: "/metrics",
            name: "metrics",
            access: Access::Open,
            metered: false,
            operation: Operation {
                summary: "Show every figure, for Prometheus",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "OpenMetrics text.", contents: &[Media::Text(CONTENT_TYPE)] }],
            },
            handler: |call| Box::pin(health::metrics(call)),
        },
        Route {
            method: Method::GET,
            path: "/openapi.json",
            name: "openapi",
            access: Access::Open,
            metered: false,
            operation: Operation {
                summary: "Describe this API",
                body: None,
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "This document.",
                    contents: &[Media::Json(schema::<serde_json::Map<String, serde_json::Value>>)],
                }],
            },
            handler: |call| Box::pin(health::openapi(call)),
        },
    ],
};
