//! Reading what one provider answers: the status and its explanation, a whole body, or a stream up to its first event that says something.
//! The caller bounds the time of everything here.

use bytes::{Bytes, BytesMut};
use http::{Request, header, response};
use http_body_util::Full;

use super::endpoint::Endpoint;
use crate::chat::codec::{self, Form, Invalid};
use crate::chat::sse::{End, Framer};
use crate::chat::{Completion, Frames, Sizes, Usage, Whole};
use crate::llm::Error;
use crate::llm::adapter::Decoding;
use crate::llm::attempt::Failure;
use crate::llm::decoder::StreamDecoder;
use crate::llm::error_body;
use crate::llm::json_repair::JsonRepair;
use crate::llm::meter::Meter;
use crate::llm::received::Received;
use crate::llm::relay::Begun;
use crate::llm::secrets::{Redactor, Secret};
use crate::llm::transport::{Body, Connection};

/// Time for the explanation of an error status.
const ERROR_TIME: std::time::Duration = std::time::Duration::from_secs(2);

/// Bytes of an error body that are read; messages are cut far below.
const ERROR_BYTES: usize = 64 << 10;

/// A stream's beginning, or the whole reply of a server that cannot stream.
pub(super) enum Opened {
    Events(Box<Begun>),
    Json(Box<(Body, Decoding, Meter, Received)>),
}

/// # Errors
/// A provider's own bytes that are no completion.
pub(super) fn parsed(whole: Whole) -> Result<Completion, Invalid> {
    match whole {
        Whole::Raw(bytes) => codec::parse_completion(&bytes),
        Whole::Parsed(completion) => Ok(completion),
    }
}

impl Endpoint {
    /// A reply in one piece.
    pub(super) async fn whole(
        &self,
        key: Option<&Secret>,
        reading: &mut Decoding,
        received: &mut Received,
        connection: Connection,
        request: Request<Full<Bytes>>,
        meter: &mut Meter,
    ) -> Result<Whole, Failure> {
        let (head, body) = self.send(key, connection, request, &mut meter.sent).await?;
        if is_type(media_type(&head), "text/event-stream") {
            return Err(self.invalid_reply("a stream where a whole reply was asked for").into());
        }
        self.read_whole(key, reading, received, body, meter).await
    }

    /// Reads a body that should be a whole reply, and counts it.
    pub(super) async fn read_whole(
        &self,
        key: Option<&Secret>,
        reading: &mut Decoding,
        received: &mut Received,
        body: Body,
        meter: &mut Meter,
    ) -> Result<Whole, Failure> {
        let bytes = Redactor::new(key).redact(self.read(body, received).await?);
        meter.tally.generated(bytes.len());
        let failed = |meter: &mut Meter, error| {
            meter.judge(&error);
            self.failure(key, error)
        };
        // Half a surrogate pair is mended with everything else that is odd, after this.
        codec::count(&bytes, Form::Reply, &Sizes::REPLY).map_err(|_| self.invalid_reply("a reply with too much in it to be one"))?;
        let whole = match reading {
            Decoding::OpenAi(normalizer) => {
                let whole = normalizer.whole(&bytes).map_err(|error| failed(meter, error))?;
                normalizer.report(&mut meter.tally);
                whole
            }
            Decoding::Translated(reader) => {
                let repaired = JsonRepair::whole(&bytes);
                let completion = reader.whole(repaired.as_deref().unwrap_or(&bytes)).map_err(|error| failed(meter, error))?;
                completion.usage.as_deref().and_then(Usage::read).into_iter().for_each(|usage| meter.tally.reported(usage));
                Whole::Parsed(completion)
            }
        };
        let tally = &mut meter.tally;
        if let Whole::Parsed(completion) = &whole {
            tally.named(&completion.model);
            completion.choices.iter().filter_map(|choice| choice.finish_reason.as_deref()).for_each(|reason| tally.finished(reason));
        }
        tally.complete();
        meter.begun = true;
        Ok(whole)
    }

    /// Waits for the first event that says something; what comes before it is kept.
    pub(super) async fn open(
        &self,
        key: Option<&Secret>,
        reading: Decoding,
        mut meter: Meter,
        mut received: Received,
        connection: Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<Opened, Failure> {
        let (head, mut body) = self.send(key, connection, request, &mut meter.sent).await?;
        match media_type(&head) {
            events if is_type(events, "text/event-stream") => {}
            json if is_type(json, "application/json") => return Ok(Opened::Json(Box::new((body, reading, meter, received)))),
            other => return Err(self.invalid_reply(format!("content-type `{other}` where a stream was asked for")).into()),
        }
        let mut decoder = StreamDecoder::new(reading);
        let (mut framer, mut frames) = (Framer::new(self.limits.event_bytes), Frames::default());
        let redactor = Redactor::new(key);
        let ended = loop {
            let read = body.data().await.transpose().map_err(|error| self.transport.unreachable(&error))?;
            let over = read.is_none();
            let block = match read {
                Some(read) => framer.push(read),
                None => framer.finish(),
            };
            let block_bytes = block.as_ref().map_or(0, Bytes::len);
            if !received.hold(framer.bytes() + block_bytes + frames.bytes()) {
                return Err(self.overloaded().into());
            }
            if let Some(block) = block {
                let decoded = decoder.decode(redactor.redact(block), &mut frames, &mut meter.tally);
                decoded.map_err(|error| {
                    meter.judge(&error);
                    self.failure(key, error)
                })?;
            }
            if decoder.says_something() {
                break false;
            }
            // Kept until then, however much a provider has to say beside the answer.
            if frames.bytes() > self.limits.event_bytes {
                return Err(self.invalid_reply("more than `limits.providers.event_bytes` before its first event").into());
            }
            if framer.end() == Some(End::TooLarge) {
                return Err(self.invalid_reply("its first event is over `limits.providers.event_bytes`").into());
            }
            if over || framer.end() == Some(End::Done) {
                // A stream that was ended as its dialect says, with a reason and nothing else, is an answer: to ask again would bring the same,
                // and a fallback would answer what was filtered.
                if decoder.end(framer.end() == Some(End::Done), &mut frames, &mut meter.tally) && decoder.says_something() {
                    break true;
                }
                return Err(self.invalid_reply("the stream ended before its first event").into());
            }
        };
        meter.begun = true;
        Ok(Opened::Events(Box::new(Begun { body, received, framer, redactor, decoder, frames, ended, meter })))
    }

    /// The head and body of a reply with a status of success. `sent` is true as long as the provider may work for the request.
    pub(super) async fn send(
        &self,
        key: Option<&Secret>,
        via: Connection,
        request: Request<Full<Bytes>>,
        sent: &mut bool,
    ) -> Result<(response::Parts, Body), Failure> {
        let (head, mut body) = self.transport.send(via, request, sent).await?.into_parts();
        if head.status.is_success() {
            return Ok((head, body));
        }
        // No vendor charges for what it refuses.
        *sent = false;
        if head.status.is_redirection() {
            return Err(self.invalid_reply(format!("{}, which no API call should meet; correct its base_url", head.status)).into());
        }
        self.hint_at_404(head.status);
        let mut text = BytesMut::new();
        let reading = async {
            while let Some(Ok(read)) = body.data().await {
                text.extend_from_slice(&read[..read.len().min(ERROR_BYTES - text.len())]);
                if text.len() == ERROR_BYTES {
                    break;
                }
            }
        };
        // The status counts even if its explanation breaks off or never comes.
        let _ = tokio::time::timeout(ERROR_TIME, reading).await;
        let decode = |status, json: &serde_json::Value| self.dialect.provider_error(status, json);
        Err(error_body::read(self.asked(key), head.status, &head.headers, &text, decode).into())
    }

    /// The whole body; without a copy if it came in one read.
    pub(super) async fn read(&self, mut body: Body, received: &mut Received) -> Result<Bytes, Error> {
        let limit = self.limits.reply_bytes;
        let too_large = || self.invalid_reply(format!("more than {limit} bytes (`limits.providers.reply_bytes`)"));
        let announced = usize::try_from(body.announced().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large());
        }
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        while let Some(read) = body.data().await {
            let read = read.map_err(|error| self.transport.unreachable(&error))?;
            if first.len().max(all.len()) + read.len() > limit {
                return Err(too_large());
            }
            if !received.hold(first.len().max(all.len()) + read.len()) {
                return Err(self.overloaded());
            }
            if first.is_empty() {
                first = read;
                continue;
            }
            if all.is_empty() {
                all.reserve(announced.max(first.len() + read.len()));
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&read);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }
}

/// The content type without its parameters.
fn media_type(head: &response::Parts) -> &str {
    let value = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn is_type(found: &str, wanted: &str) -> bool {
    found.eq_ignore_ascii_case(wanted)
}
