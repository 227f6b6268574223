//! A hook in the style of the web that does what the last message says, which few of them should: `MODE`, or `say STATUS TEXT`.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct WebHook;

wasip2::http::proxy::export!(WebHook);

impl Guest for WebHook {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let body = request.consume().expect("a body");
        let mut text = String::new();
        body.stream().expect("its stream").read_to_string(&mut text).expect("text");
        let mut asked: Value = serde_json::from_str(&text).expect("JSON");
        let last = asked["messages"].as_array_mut().and_then(|messages| messages.last_mut()).expect("a message");
        let mode = last["content"].as_str().expect("a text").to_owned();
        match mode.split_once(' ').unwrap_or((&mode, "")) {
            ("say", rest) => {
                let (status, text) = rest.split_once(' ').unwrap_or((rest, ""));
                answer(out, status.parse().expect("a status"), &[("retry-after", "7")], text.as_bytes());
            }
            ("tell", _) => {
                let headers = request.headers();
                let header = |name: &str| headers.get(name).first().map(|value| String::from_utf8_lossy(value).into_owned());
                let told = json!({
                    "method": format!("{:?}", request.method()),
                    "path": request.path_with_query(),
                    "type": header("content-type"),
                    "length": header("content-length").is_some_and(|length| length == text.len().to_string()),
                    "id": header("x-request-id").is_some(),
                });
                last["content"] = told.to_string().into();
                answer(out, 200, &[], asked.to_string().as_bytes());
            }
            ("redo", text) => {
                last["content"] = text.into();
                answer(out, 200, &[], asked.to_string().as_bytes());
            }
            ("silent", _) => std::mem::forget(out),
            ("giving-up", _) => drop(out),
            ("failing", _) => ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("out of order".into())))),
            ("informing", _) => answer(out, 103, &[], b"{}"),
            ("endless", _) => {
                let (body, mut stream) = begin(out, &[]);
                while stream.write_all(&[b'x'; 4_096]).is_ok() {}
                drop(stream);
                drop(body);
            }
            ("unfinished", _) => {
                let (body, mut stream) = begin(out, &[]);
                stream.write_all(text.as_bytes()).expect("written");
                std::mem::forget((body, stream));
            }
            ("aborted", _) => {
                let (body, stream) = begin(out, &[]);
                drop(stream);
                drop(body);
            }
            ("short", _) => {
                let (body, stream) = begin(out, &[("content-length", "5000")]);
                drop(stream);
                drop(OutgoingBody::finish(body, None));
            }
            ("trailing", _) => {
                let (body, mut stream) = begin(out, &[]);
                stream.write_all(text.as_bytes()).expect("written");
                drop(stream);
                drop(OutgoingBody::finish(body, Some(Fields::new())));
            }
            ("trapping", _) => {
                answer(out, 200, &[], text.as_bytes());
                std::arch::wasm32::unreachable();
            }
            ("huge-header", _) => {
                let fields = Fields::new();
                fields.append("x", &vec![b'y'; 30_000]).expect("within the bounds");
                let _ = fields.append("y", &vec![b'y'; 3_000]);
            }
            ("bodies", _) => {
                // Each holds what nobody reads.
                let mut held = Vec::new();
                loop {
                    let response = OutgoingResponse::new(Fields::new());
                    let body = response.body().expect("its body");
                    let stream = body.write().expect("its stream");
                    while let Ok(free @ 1..) = stream.check_write() {
                        stream.write(&vec![0; usize::try_from(free).expect("small")]).expect("written");
                    }
                    held.push((response, body, stream));
                }
            }
            _ => answer(out, 200, &[], text.as_bytes()),
        }
    }
}

fn begin(out: ResponseOutparam, headers: &[(&str, &str)]) -> (OutgoingBody, wasip2::io::streams::OutputStream) {
    let headers: Vec<(String, Vec<u8>)> = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let response = OutgoingResponse::new(Fields::from_list(&headers).expect("headers"));
    let body = response.body().expect("its body");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("its stream");
    (body, stream)
}

fn answer(out: ResponseOutparam, status: u16, headers: &[(&str, &str)], text: &[u8]) {
    let headers: Vec<(String, Vec<u8>)> = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let response = OutgoingResponse::new(Fields::from_list(&headers).expect("headers"));
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("its body");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("its stream");
    stream.write_all(text).expect("written");
    drop(stream);
    OutgoingBody::finish(body, None).expect("finished");
}
