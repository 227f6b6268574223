//! `POST /v1/chat/completions`: the body becomes a request, the pipeline runs, its reply becomes bytes.
//! The body is parsed once, here; a reply that nobody read is not parsed at all.

mod events;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use hyper::Response;
use hyper::http::request::Parts;
use serde_json::json;

use crate::chat::codec::{ChatRequest, Form};
use crate::chat::{ChunkWriter, Reply, ReplyStream, StreamError, Whole, codec, sse};
use crate::http::body::{Content, Event};
use crate::http::error::Failure;
use crate::http::json_body::Reading;
use crate::http::request_log::RequestLog;
use crate::http::route::Call;
use crate::http::run_chat;
use crate::http::shared::Shared;
use crate::stages::along;

pub(super) async fn completions(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, .. } = call;
    let reading = Reading { shared, head, body, log: &mut *log };
    let request = reading.parsed(Form::Chat, |text| Ok(codec::parse_request(&text)?)).await?;
    answered(shared, head, log, request, false).await
}

/// As `completions`, but that a client which does not say so wants a stream, as Open WebUI's pipes do.
pub(in crate::http::surface) async fn streamed_completions(call: Call<'_>) -> Result<Response<Content>, Failure> {
    #[derive(serde::Deserialize)]
    struct Said {
        stream: Option<bool>,
    }
    let Call { shared, head, body, log, .. } = call;
    let reading = Reading { shared, head, body, log: &mut *log };
    let parse = |text: Bytes| {
        let mut request = codec::parse_request(&text)?;
        request.stream = serde_json::from_slice::<Said>(&text).ok().and_then(|said| said.stream).unwrap_or(true);
        Ok(request)
    };
    let request = reading.parsed(Form::Chat, parse).await?;
    answered(shared, head, log, request, true).await
}

/// Whether `user` is an object, which Open WebUI alone sends.
fn names_a_person(request: &ChatRequest) -> bool {
    request.params.iter().any(|(name, json)| name == "user" && json.get().starts_with('{'))
}

async fn answered(
    shared: &Shared,
    head: &Parts,
    log: &mut RequestLog,
    request: ChatRequest,
    open_webui: bool,
) -> Result<Response<Content>, Failure> {
    let open_webui = open_webui || (shared.open_webui.enabled && names_a_person(&request));
    let outcome = run_chat::run(shared, &head.headers, log, request, open_webui).await?;
    run_chat::response(outcome, |reply, _| Ok(content(reply, open_webui)))
}

/// The reply's form follows what was asked for; the pipeline sees to that.
fn content(reply: Reply, open_webui: bool) -> Content {
    match reply {
        Reply::Whole(Whole::Raw(bytes)) => Content::Whole(bytes),
        Reply::Whole(Whole::Parsed(completion)) => Content::Whole(codec::to_json(&completion)),
        Reply::Stream(reply) => Content::Stream(Box::pin(Chunks { open_webui, ..Chunks::new(reply) })),
    }
}

/// A reply's frames as the events of a chat stream.
struct Chunks {
    reply: ReplyStream,
    writer: ChunkWriter,
    stage: Stage,
    /// Whether events beside the chunks are written in Open WebUI's form.
    open_webui: bool,
}

enum Stage {
    Reading,
    /// The last event is out; what is behind the reply may finish.
    Ended,
    /// Nothing more is asked of the reply.
    Over,
}

impl Chunks {
    fn new(reply: ReplyStream) -> Self {
        Self { writer: reply.chunk_writer(), reply, stage: Stage::Reading, open_webui: false }
    }

    fn fail(&mut self, error: &StreamError) -> Event {
        self.stage = Stage::Over;
        Event { bytes: error_event(error), ended: Some(error.code) }
    }
}

impl Stream for Chunks {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        loop {
            if matches!(this.stage, Stage::Over) {
                return Poll::Ready(None);
            }
            let item = ready!(Pin::new(&mut this.reply).poll_next(cx));
            match (&this.stage, item) {
                (Stage::Reading, Some(Ok(frames))) => {
                    let end = frames.end;
                    let bytes = if this.open_webui { events::encode(&mut this.writer, frames) } else { this.writer.encode(frames) };
                    if end {
                        this.stage = Stage::Ended;
                    }
                    // Some events are only for us, such as a count that nobody asked for.
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Event { bytes, ended: end.then_some("done") }));
                    }
                }
                (Stage::Reading, Some(Err(error))) => return Poll::Ready(Some(this.fail(&error))),
                (Stage::Reading, None) => {
                    let error = StreamError { message: "the reply stopped before its end".into(), code: "upstream_cut" };
                    return Poll::Ready(Some(this.fail(&error)));
                }
                (_, Some(_)) => {}
                (_, None) => {
                    this.stage = Stage::Over;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

/// The event that tells the client of a stream that broke. No `[DONE]` follows, so that nobody takes half an answer for a whole one.
fn error_event(error: &StreamError) -> Bytes {
    let StreamError { message, code } = error;
    // What a plugin cut is no failure of the server's.
    let kind = if *code == along::CUT { "invalid_request_error" } else { "server_error" };
    sse::event(None, &codec::to_json(&json!({"error": {"message": message, "type": kind, "param": null, "code": code}})))
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;
    use crate::chat::{Delta, Frame, Frames, Name, Piece};

    async fn sent(items: Vec<Result<Frames, StreamError>>) -> (String, Vec<&'static str>) {
        let name = Name { id: "c".into(), model: "m".into(), created: 7 };
        let events: Vec<Event> = Chunks::new(ReplyStream::new(stream::iter(items), name, false)).collect().await;
        let text = events.iter().map(|event| String::from_utf8_lossy(&event.bytes).into_owned()).collect();
        (text, events.iter().filter_map(|event| event.ended).collect())
    }

    fn raw(text: &'static str) -> Frames {
        Frames::raw(Bytes::from_static(text.as_bytes()))
    }

    fn text(text: &str) -> Frames {
        Frames::from_iter([Frame::of(vec![Delta::Piece { choice: 0, piece: Piece::Text(text.into()) }])])
    }

    #[tokio::test]
    async fn chunks_are_framed_and_end_in_done() {
        let (text, ended) = sent(vec![Ok(text("a")), Ok(text("b").ending())]).await;
        let chunk = |delta: &str| {
            format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null,\"logprobs\":null}}]}}\n\n"
            )
        };
        let chunks = [r#"{"role":"assistant","content":""}"#, r#"{"content":"a"}"#, r#"{"content":"b"}"#].map(chunk).concat();
        assert_eq!((text, ended), (chunks + "data: [DONE]\n\n", vec!["done"]));
    }

    #[tokio::test]
    async fn a_provider_s_own_events_pass_untouched() {
        let (text, ended) = sent(vec![Ok(raw("data:{}\r\n\r\n: ping\n\n")), Ok(Frames::default().ending())]).await;
        assert_eq!((text.as_str(), ended), ("data:{}\r\n\r\n: ping\n\ndata: [DONE]\n\n", vec!["done"]));
    }

    #[tokio::test]
    async fn after_a_break_comes_an_error_event_and_nothing_more() {
        let broken = || Err(StreamError { message: "cut".into(), code: "upstream_cut" });
        for items in [vec![broken(), Ok(Frames::default().ending())], vec![broken(), Ok(text("a").ending())], vec![]] {
            let (text, ended) = sent(items).await;
            assert!(text.starts_with("data: {\"error\":{") && text.ends_with("}}\n\n"), "{text}");
            assert!(!text.contains("[DONE]") && ended == ["upstream_cut"], "{text}");
        }
    }

    #[test]
    fn a_break_is_told_in_openais_form_and_without_a_raw_line_break() {
        let frame = error_event(&StreamError { message: "cut\nhere".into(), code: "upstream_cut" });
        let text = std::str::from_utf8(&frame).expect("UTF-8");
        let json = text.strip_prefix("data: ").and_then(|t| t.strip_suffix("\n\n")).expect("one event");
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(value, json!({"error": {"message": "cut\nhere", "type": "server_error", "param": null, "code": "upstream_cut"}}));
    }
}
