//! A hook in the style of the web that sends what the last message says, through `wasi:http/outgoing-handler`, and puts all that it got into that
//! message. The message is a request as HTTP writes it, with a whole URL in the first line. `DROP`, `UNENDED` or `MANY` before it has
//! the request sent as no client does.

use std::io::{Read as _, Write as _};

use serde_json::Value;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, RequestOptions,
    ResponseOutparam, Scheme,
};

struct WebAsker;

wasip2::http::proxy::export!(WebAsker);

impl Guest for WebAsker {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let body = request.consume().expect("a body");
        let mut text = String::new();
        body.stream().expect("its stream").read_to_string(&mut text).expect("text");
        let mut asked: Value = serde_json::from_str(&text).expect("JSON");
        let last = asked["messages"].as_array_mut().and_then(|messages| messages.last_mut()).expect("a message");
        let got = asks(last["content"].as_str().expect("a text"));
        last["content"] = got.into();
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("its body");
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().expect("its stream");
        stream.write_all(asked.to_string().as_bytes()).expect("written");
        drop(stream);
        OutgoingBody::finish(body, None).expect("finished");
    }
}

fn asks(text: &str) -> String {
    if let Some(text) = text.strip_prefix("DROP\n") {
        // Begun, and given up at once.
        for _ in 0..100 {
            drop(sent(text, true));
        }
        return "dropped".into();
    }
    if let Some(text) = text.strip_prefix("UNENDED\n") {
        return got(sent(text, false));
    }
    if let Some(text) = text.strip_prefix("MANY\n") {
        let all: Vec<_> = (0..200).map(|_| sent(text, true)).collect();
        return all.into_iter().map(got).collect::<Vec<_>>().join("\n--\n");
    }
    got(sent(text, true))
}

fn sent(text: &str, ends: bool) -> Result<FutureIncomingResponse, ErrorCode> {
    let (head, text) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, url) = lines.next().and_then(|line| line.split_once(' ')).expect("a method and a URL");
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (fields, options) = (Fields::new(), RequestOptions::new());
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if name == "timeout-ms" {
            options.set_first_byte_timeout(Some(value.parse::<u64>().expect("milliseconds") * 1_000_000)).expect("a time");
        } else if fields.append(name, value.as_bytes()).is_err() {
            return Err(ErrorCode::InternalError(Some(format!("the header {name} is refused"))));
        }
    }
    let request = OutgoingRequest::new(fields);
    let method = match method {
        "GET" => Method::Get,
        "POST" => Method::Post,
        other => Method::Other(other.into()),
    };
    request.set_method(&method).expect("a method");
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.into()),
    };
    request.set_scheme(Some(&scheme)).expect("a scheme");
    request.set_authority(Some(authority)).expect("an authority");
    request.set_path_with_query(Some(path)).expect("a path");
    let body = request.body().expect("its body");
    let response = handle(request, Some(options))?;
    let mut stream = body.write().expect("its stream");
    // What is beyond its bounds is not taken any more.
    let written = stream.write_all(text.as_bytes()).is_ok();
    if ends {
        drop(stream);
        if written {
            drop(OutgoingBody::finish(body, None));
        }
    } else {
        std::mem::forget((stream, body));
    }
    Ok(response)
}

fn got(sent: Result<FutureIncomingResponse, ErrorCode>) -> String {
    let response = sent.and_then(|future| {
        future.subscribe().block();
        future.get().expect("it is there").expect("it is taken once")
    });
    let response = match response {
        Ok(response) => response,
        Err(code) => return format!("{code:?}"),
    };
    let headers = response.headers().entries();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value))).collect();
    let body = response.consume().expect("its body");
    let mut text = String::new();
    body.stream().expect("its stream").read_to_string(&mut text).expect("text");
    format!("{}\n{headers}\n{text}", response.status())
}
