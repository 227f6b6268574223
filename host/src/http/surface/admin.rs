//! `/api/v1`: what operators and their tools ask: pipelines, knowledge, plugins, use. It takes admin keys, and no page of another site.

mod apis;
pub(super) mod deploy;
mod documents;
mod jobs;
mod knowledge;
mod namespaces;
mod page;
mod pipelines;
mod plugins;
mod reload;
mod settings;
mod take_in;
mod trial;
mod upload;
mod usage;

use hyper::Method;

use self::page::{AFTER, LIMIT, Page};
use super::list::List;
use crate::http::access::Access;
use crate::http::operation::{Answer, Media, Operation, Parameter, RequestBody, schema};
use crate::http::respond::openai_envelope;
use crate::http::route::{Route, Surface};

pub(in crate::http) static SURFACE: Surface = Surface {
    name: "admin",
    prefix: "/api/",
    errors: openai_envelope,
    error: "Error",
    open_webui: false,
    cors: false,
    routes: &[
        Route {
            method: Method::GET,
            path: "/api/v1/gateway/apis",
            name: "apis",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "List the APIs, and where the pipeline of each is defined",
                body: None,
                parameters: &[LIMIT, AFTER],
                answers: &[Answer { status: 200, description: "One page, by id.", contents: &[Media::Json(schema::<Page<apis::Api>>)] }],
            },
            handler: |call| Box::pin(apis::list(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/gateway/apis/{id}/pipeline",
            name: "get_pipeline",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Show an API's pipeline",
                body: None,
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "The definition as it was written.",
                    contents: &[Media::Json(schema::<pipelines::PipelineDocument>)],
                }],
            },
            handler: |call| Box::pin(pipelines::get(call)),
        },
        Route {
            method: Method::PUT,
            path: "/api/v1/gateway/apis/{id}/pipeline",
            name: "put_pipeline",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Make an API's pipeline, or change it",
                body: Some(RequestBody::Json(schema::<pipelines::PipelineBody>)),
                parameters: &[],
                answers: &[
                    Answer { status: 200, description: "It was changed.", contents: &[Media::Json(schema::<pipelines::PipelineDocument>)] },
                    Answer { status: 201, description: "It is new.", contents: &[Media::Json(schema::<pipelines::PipelineDocument>)] },
                ],
            },
            handler: |call| Box::pin(pipelines::put(call)),
        },
        Route {
            method: Method::DELETE,
            path: "/api/v1/gateway/apis/{id}/pipeline",
            name: "delete_pipeline",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Remove a pipeline that was made through this API; its knowledge stays",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "It is gone.", contents: &[Media::Json(schema::<page::Deleted<'static>>)] }],
            },
            handler: |call| Box::pin(pipelines::delete(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/gateway/apis/{id}/knowledge/documents",
            name: "documents",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "List an API's documents",
                body: None,
                parameters: &[
                    LIMIT,
                    AFTER,
                    Parameter { name: "namespace", location: "query", description: "Only those of this namespace; of all by default." },
                ],
                answers: &[Answer {
                    status: 200,
                    description: "One page, in the order in which they came.",
                    contents: &[Media::Json(schema::<Page<documents::Document>>)],
                }],
            },
            handler: |call| Box::pin(documents::list(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/gateway/apis/{id}/knowledge/documents/{document}",
            name: "document",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Show what is known of a document",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "It.", contents: &[Media::Json(schema::<documents::Document>)] }],
            },
            handler: |call| Box::pin(documents::get(call)),
        },
        Route {
            method: Method::DELETE,
            path: "/api/v1/gateway/apis/{id}/knowledge/documents/{document}",
            name: "delete_document",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Delete a document",
                body: None,
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "It is gone, and no search finds it.",
                    contents: &[Media::Json(schema::<page::Deleted<'static>>)],
                }],
            },
            handler: |call| Box::pin(documents::delete(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/gateway/apis/{id}/knowledge/namespaces",
            name: "namespaces",
            access: Access::Admin,
            metered: false,
            operation: namespaces::LIST,
            handler: |call| Box::pin(namespaces::list(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/gateway/apis/{id}/knowledge/jobs",
            name: "jobs",
            access: Access::Admin,
            metered: false,
            operation: jobs::LIST,
            handler: |call| Box::pin(jobs::list(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/gateway/apis/{id}/knowledge/jobs/{job}",
            name: "job",
            access: Access::Admin,
            metered: false,
            operation: jobs::GET,
            handler: |call| Box::pin(jobs::get(call)),
        },
        Route {
            method: Method::DELETE,
            path: "/api/v1/gateway/apis/{id}/knowledge",
            name: "delete_namespace",
            access: Access::Admin,
            metered: false,
            operation: namespaces::DELETE,
            handler: |call| Box::pin(namespaces::delete(call)),
        },
        Route {
            method: Method::POST,
            path: "/api/v1/gateway/apis/{id}/knowledge/reindex",
            name: "reindex",
            access: Access::Admin,
            metered: false,
            operation: namespaces::REINDEX,
            handler: |call| Box::pin(namespaces::reindex(call)),
        },
        Route {
            method: Method::POST,
            path: "/api/v1/gateway/apis/{id}/knowledge/upload",
            name: "knowledge_upload",
            access: Access::Admin,
            metered: false,
            operation: take_in::UPLOAD,
            handler: |call| Box::pin(take_in::upload(call)),
        },
        Route {
            method: Method::POST,
            path: "/api/v1/gateway/apis/{id}/knowledge/test",
            name: "knowledge_test",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Show the chunks that a question would put into a chat",
                body: Some(RequestBody::Json(schema::<trial::Question>)),
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "The chunks, the best first.",
                    contents: &[Media::Json(schema::<trial::Found<'static>>)],
                }],
            },
            handler: |call| Box::pin(trial::test(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/plugins",
            name: "plugins",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "List what the plugin directory holds, and why a file was refused",
                body: None,
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "One entry a file.",
                    contents: &[Media::Json(schema::<List<plugins::Plugin<'static>>>)],
                }],
            },
            handler: |call| Box::pin(plugins::list(call)),
        },
        Route {
            method: Method::POST,
            path: "/api/v1/plugins",
            name: "deploy_plugin",
            access: Access::Admin,
            metered: false,
            operation: deploy::UPLOAD,
            handler: |call| Box::pin(deploy::upload(call)),
        },
        Route {
            method: Method::POST,
            path: "/api/v1/plugins/reload",
            name: "reload_plugins",
            access: Access::Admin,
            metered: false,
            operation: deploy::RELOAD,
            handler: |call| Box::pin(deploy::reload(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/plugins/{id}",
            name: "plugin",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Show what became of a plugin's file",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "It.", contents: &[Media::Json(schema::<plugins::Plugin<'static>>)] }],
            },
            handler: |call| Box::pin(deploy::get(call)),
        },
        Route {
            method: Method::DELETE,
            path: "/api/v1/plugins/{id}",
            name: "delete_plugin",
            access: Access::Admin,
            metered: false,
            operation: deploy::DELETE,
            handler: |call| Box::pin(deploy::delete(call)),
        },
        Route {
            method: Method::POST,
            path: "/api/v1/plugins/{id}/rollback",
            name: "rollback_plugin",
            access: Access::Admin,
            metered: false,
            operation: deploy::ROLLBACK,
            handler: |call| Box::pin(deploy::rollback(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/plugins/{id}/settings",
            name: "get_plugin_settings",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Show the settings of a live plugin, secrets masked",
                body: None,
                parameters: &[],
                answers: &[Answer { status: 200, description: "They.", contents: &[Media::Json(schema::<settings::Settings<'static>>)] }],
            },
            handler: |call| Box::pin(settings::get(call)),
        },
        Route {
            method: Method::PUT,
            path: "/api/v1/plugins/{id}/settings",
            name: "put_plugin_settings",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Set what the operator's file leaves open of a plugin's settings; the next call sees it",
                body: Some(RequestBody::Json(schema::<settings::SettingsBody>)),
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "The settings are these now.",
                    contents: &[Media::Json(schema::<settings::Settings<'static>>)],
                }],
            },
            handler: |call| Box::pin(settings::put(call)),
        },
        Route {
            method: Method::DELETE,
            path: "/api/v1/plugins/{id}/settings",
            name: "delete_plugin_settings",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Forget the settings of a plugin that were set through this API",
                body: None,
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "None are kept.",
                    contents: &[Media::Json(schema::<page::Deleted<'static>>)],
                }],
            },
            handler: |call| Box::pin(settings::delete(call)),
        },
        Route {
            method: Method::GET,
            path: "/api/v1/usage",
            name: "usage",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Report what was used, by day",
                body: None,
                parameters: &[
                    Parameter {
                        name: "from",
                        location: "query",
                        description: "The first day, such as 2026-11-01; 29 days before `to` by default.",
                    },
                    Parameter {
                        name: "to",
                        location: "query",
                        description: "The last day; today by default. A report holds at most 366 days.",
                    },
                    Parameter {
                        name: "group",
                        location: "query",
                        description: "Sum by `caller`, `pipeline`, `provider` or `model` alone.",
                    },
                ],
                answers: &[Answer {
                    status: 200,
                    description: "One row for each day and group.",
                    contents: &[Media::Json(schema::<usage::Report<'static>>)],
                }],
            },
            handler: |call| Box::pin(usage::report(call)),
        },
        Route {
            method: Method::POST,
            path: "/api/v1/reload",
            name: "reload",
            access: Access::Admin,
            metered: false,
            operation: Operation {
                summary: "Read the operator's file again; requests under way go on under the old one",
                body: None,
                parameters: &[],
                answers: &[Answer {
                    status: 200,
                    description: "What is different now, and what needs a restart.",
                    contents: &[Media::Json(schema::<reload::ReloadReport<'static>>)],
                }],
            },
            handler: |call| Box::pin(reload::reload(call)),
        },
    ],
};
