//! What an answer names of the documents that the model was given, as the annotations that OpenAI's clients read. They are part of the reply before
//! any hook on it runs. Invariant: a reply that names no document leaves as it came.

mod marks;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use serde::Serialize;

use crate::chat::codec::{parse_completion, raw_json};
use crate::chat::{Completion, Content, Delta, Exchange, Fields, Frame, Frames, Hit, Json, Piece, Reply, Whole};
use marks::{Mark, marks};

/// Of a message, or of the `delta` of a chunk.
const FIELD: &str = "annotations";

/// Bytes of an answer, from its start, that are looked through while it streams: they are kept until it ends.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// OpenAI's form. The chat endpoint has one type of annotation, and clients that check types refuse all others: a document without an address has
/// its id as one, from which the Responses API makes a citation of a file.
#[derive(Serialize)]
struct Annotation<'a> {
    r#type: &'static str,
    url_citation: UrlCitation<'a>,
    /// Its place among all of a stream, by which clients put chunks together.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
}

#[derive(Serialize)]
struct UrlCitation<'a> {
    /// In characters, as `end_index`.
    start_index: usize,
    end_index: usize,
    title: &'a str,
    url: String,
}

/// `reply` with what it names of the exchange's hits.
pub fn run(exchange: &Exchange, reply: Reply) -> Reply {
    if exchange.hits.is_empty() {
        return reply;
    }
    match reply {
        Reply::Whole(Whole::Parsed(mut completion)) => {
            annotate(&mut completion, &exchange.hits);
            Reply::Whole(Whole::Parsed(completion))
        }
        Reply::Whole(Whole::Raw(raw)) => {
            // What cannot be read is for others to refuse.
            let read = parse_completion(&raw).ok();
            let cited = read.and_then(|mut completion| annotate(&mut completion, &exchange.hits).then_some(completion));
            Reply::Whole(cited.map_or(Whole::Raw(raw), Whole::Parsed))
        }
        Reply::Stream(stream) => {
            let mut citing = Citing { hits: exchange.hits.clone().into(), choices: BTreeMap::new() };
            Reply::Stream(stream.through(|frames| Box::pin(frames.map(move |item| item.map(|frames| citing.pass(frames))))))
        }
    }
}

/// Whether any choice names a hit.
fn annotate(completion: &mut Completion, hits: &[Hit]) -> bool {
    let mut cited = false;
    for choice in &mut completion.choices {
        let Content::Text(text) = &choice.message.content else { continue };
        let new = annotations(&marks(text, hits), hits, None);
        if !new.is_empty() {
            cited = true;
            add(&mut choice.message.extra, new);
        }
    }
    cited
}

/// Behind those that the provider gave.
fn add(extra: &mut Fields, new: Vec<Json>) {
    let known = extra.iter_mut().find(|(name, _)| name == FIELD);
    match known {
        Some((_, list)) => {
            let mut all: Vec<Json> = serde_json::from_str(list.get()).unwrap_or_default();
            all.extend(new);
            *list = raw_json(&all);
        }
        None => extra.push((FIELD.to_owned(), raw_json(&new))),
    }
}

/// `first`: in a stream, how many annotations came before.
fn annotations(marks: &[Mark], hits: &[Hit], first: Option<usize>) -> Vec<Json> {
    let annotation = |(at, mark): (usize, &Mark)| {
        let Hit { document, source, url, .. } = &hits[mark.hit];
        let named = || format!("{}{document}", Hit::BY_ID);
        raw_json(&Annotation {
            r#type: "url_citation",
            url_citation: UrlCitation {
                start_index: mark.start,
                end_index: mark.end,
                title: source,
                url: url.clone().unwrap_or_else(named),
            },
            index: first.map(|first| first + at),
        })
    };
    marks.iter().enumerate().map(annotation).collect()
}

/// A stream on its way.
struct Citing {
    hits: Arc<[Hit]>,
    choices: BTreeMap<u32, Said>,
}

/// What one choice said.
#[derive(Default)]
struct Said {
    text: String,
    /// Annotations of the provider's.
    annotations: usize,
}

impl Citing {
    /// Reads the frames; before the end of each choice stand its citations.
    fn pass(&mut self, frames: Frames) -> Frames {
        let mut ends = false;
        frames.each_delta(|delta| ends |= self.read(delta));
        if !ends {
            return frames;
        }
        let end = frames.end;
        let mut out = Frames::from_iter(frames.into_iter().flat_map(|frame| self.cited(frame)));
        out.end = end;
        out
    }

    /// Whether the delta ends a choice.
    fn read(&mut self, delta: &Delta) -> bool {
        let Delta::Piece { choice, piece } = delta else { return false };
        match piece {
            Piece::Text(text) => {
                let said = self.choices.entry(*choice).or_default();
                let room = TEXT_BYTES_MAX.saturating_sub(said.text.len()).min(text.len());
                said.text.push_str(&text[..text.floor_char_boundary(room)]);
            }
            Piece::Fields(fields) => {
                let list = fields.iter().filter(|(name, _)| name == FIELD);
                let count = |(_, list): &(String, Json)| {
                    serde_json::from_str::<Vec<&serde_json::value::RawValue>>(list.get()).map_or(0, |list| list.len())
                };
                self.choices.entry(*choice).or_default().annotations += list.map(count).sum::<usize>();
            }
            Piece::Finish(_) => return true,
            _ => {}
        }
        false
    }

    /// The frame, with the citations of each choice that ends in it.
    fn cited(&mut self, mut frame: Frame) -> Vec<Frame> {
        let deltas = frame.deltas().unwrap_or_default().to_vec();
        let mut out: Vec<Delta> = Vec::with_capacity(deltas.len() + 1);
        let mut alone = true;
        let mut cites = false;
        for delta in deltas {
            if let Delta::Piece { choice, piece: Piece::Finish(_) } = &delta
                && let Some(cited) = self.choices.remove(choice).and_then(|said| said.cited(&self.hits))
            {
                cites = true;
                // Before what stands beside the finish reason in its chunk.
                let beside = |delta: &Delta| matches!(delta, Delta::Piece { piece: Piece::Beside(_), .. });
                let at = out.iter().rposition(|delta| !beside(delta)).map_or(0, |last| last + 1);
                out.insert(at, Delta::Piece { choice: *choice, piece: Piece::Fields(vec![(FIELD.to_owned(), cited)]) });
            } else {
                alone &= !matches!(&delta, Delta::Piece { piece, .. } if !matches!(piece, Piece::Beside(_) | Piece::Finish(_)));
            }
            out.push(delta);
        }
        if !cites {
            return vec![frame];
        }
        if !alone {
            return vec![Frame::of(out)];
        }
        // The frame stays as it came, behind one of ours.
        let ours = |delta: &Delta| matches!(delta, Delta::Head { .. } | Delta::Piece { piece: Piece::Fields(_), .. });
        vec![Frame::of(out.into_iter().filter(ours).collect()), frame]
    }
}

impl Said {
    /// The value of the field; none if nothing is cited.
    fn cited(&self, hits: &[Hit]) -> Option<Json> {
        let list = annotations(&marks(&self.text, hits), hits, Some(self.annotations));
        (!list.is_empty()).then(|| raw_json(&list))
    }
}

#[cfg(test)]
mod tests;
