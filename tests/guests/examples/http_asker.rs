//! Sends what the user's message says and answers with all that it got. The message is a request as HTTP writes it, with a whole URL in the first
//! line; or `ALL`, and a URL on each further line; or `FOREVER` and a request, which is sent again and again.

use cofferdam_guest::http::{self, Failure, Response};
use cofferdam_guest::{HookError, Message, Plugin, PostOutcome, PreOutcome, Reply, Request};

struct HttpAsker;

impl Plugin for HttpAsker {
    const NAME: Option<&'static str> = Some("http-asker");
    const CONFIG_SCHEMA: Option<&'static str> = Some(r#"{"properties": {"n": {"type": "integer"}}}"#);

    fn on_request(request: Request) -> Result<PreOutcome, HookError> {
        let text = request.last_user().map(|(_, message)| message.text()).unwrap_or_default();
        if let Some(urls) = text.strip_prefix("ALL\n") {
            let sent = http::send_all(urls.lines().map(http::get));
            let shown: Vec<String> = sent.into_iter().map(shown).collect();
            return Ok(Message::assistant(shown.join("\n--\n")).into());
        }
        if let Some(text) = text.strip_prefix("FOREVER\n") {
            loop {
                drop(parsed(text).send());
            }
        }
        if text == "pass" {
            return Ok(PreOutcome::unchanged());
        }
        Ok(Message::assistant(shown(parsed(&text).send())).into())
    }

    fn on_reply(reply: Reply) -> Result<PostOutcome, HookError> {
        Ok(reply.map_text(|text| Some(shown(parsed(text).send()))).into())
    }
}

fn parsed(text: &str) -> http::Request {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, url) = lines.next().and_then(|line| line.split_once(' ')).unwrap_or_default();
    let request = http::Request::new(method, url).text(body);
    lines.filter_map(|line| line.split_once(": ")).fold(request, |request, (name, value)| match name {
        "timeout-ms" => request.timeout_ms(value.parse().unwrap_or_default()),
        _ => request.header(name, value),
    })
}

fn shown(sent: Result<Response, Failure>) -> String {
    match sent {
        Ok(response) => {
            let headers: String = response.headers().map(|(name, value)| format!("{name}: {value}\n")).collect();
            format!("{}\n{headers}\n{}", response.status(), String::from_utf8_lossy(response.bytes()))
        }
        Err(failure) => format!("{failure:?}"),
    }
}

cofferdam_guest::export!(HttpAsker: pre_hook, post_hook);
