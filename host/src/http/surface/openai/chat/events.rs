//! What a model says beside its answer, as Open WebUI reads it in a stream: lines of `{"event": {"type", "data"}}` between the chunks. A status becomes
//! one of the type `status`; what a model gives as the field `event` of a delta goes out on one line, however it was written.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use crate::chat::codec::to_json;
use crate::chat::{ChunkWriter, Delta, Fields, Frame, Frames, Piece, sse, status};

const EVENT: &str = "event";

/// The frames as bytes, as `ChunkWriter::encode` writes them, with such lines where they stand.
pub(super) fn encode(writer: &mut ChunkWriter, frames: Frames) -> Bytes {
    let end = frames.end;
    let mut out = BytesMut::new();
    for frame in frames {
        for piece in split(frame) {
            match piece {
                Split::Event(event) => out.extend_from_slice(&sse::event(None, &to_json(&json!({EVENT: event})))),
                Split::Frame(frame) => out.extend_from_slice(&writer.encode(Frames::from_iter([frame]))),
            }
        }
    }
    if end {
        out.extend_from_slice(&writer.encode(Frames::default().ending()));
    }
    out.freeze()
}

enum Split {
    Frame(Frame),
    Event(Value),
}

fn split(frame: Frame) -> Vec<Split> {
    let (raw, deltas) = frame.clone().into_parts();
    if let Some(raw) = raw {
        let told = status::read(&raw).map(|(text, done)| (text.to_owned(), done));
        return match told {
            Some((text, done)) => {
                vec![Split::Event(json!({"type": "status", "data": {"description": text, "done": done}}))]
            }
            None => vec![Split::Frame(frame)],
        };
    }
    let is_event = |delta: &Delta| matches!(delta, Delta::Piece { piece: Piece::Fields(fields), .. } if has_event(fields));
    if !deltas.iter().any(is_event) {
        return vec![Split::Frame(frame)];
    }
    let (mut out, mut rest) = (Vec::new(), Vec::new());
    for delta in deltas {
        match delta {
            Delta::Piece { choice, piece: Piece::Fields(fields) } if has_event(&fields) => {
                let (events, others): (Fields, Fields) = fields.into_iter().partition(|(name, _)| name == EVENT);
                if !rest.is_empty() {
                    out.push(Split::Frame(Frame::of(std::mem::take(&mut rest))));
                }
                out.extend(events.into_iter().filter_map(|(_, event)| serde_json::from_str(event.get()).ok()).map(Split::Event));
                if !others.is_empty() {
                    rest.push(Delta::Piece { choice, piece: Piece::Fields(others) });
                }
            }
            delta => rest.push(delta),
        }
    }
    if !rest.is_empty() {
        out.push(Split::Frame(Frame::of(rest)));
    }
    out
}

fn has_event(fields: &Fields) -> bool {
    fields.iter().any(|(name, _)| name == EVENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Name;
    use crate::chat::codec::json_string;

    fn piece(piece: Piece) -> Delta {
        Delta::Piece { choice: 0, piece }
    }

    #[test]
    fn statuses_and_events_stand_between_the_chunks_where_they_were_said() {
        let mut writer = ChunkWriter::new(Name { id: "c".into(), model: "m".into(), created: 7 }, false);
        let citation = vec![(EVENT.to_owned(), json_string("cited")), ("annotations".to_owned(), json_string("kept"))];
        let frames = Frames::from_iter([
            Frame::raw(status::event("counting", false)),
            Frame::of(vec![piece(Piece::Text("a".into())), piece(Piece::Fields(citation)), piece(Piece::Text("b".into()))]),
            Frame::raw(Bytes::from_static(b": ping\n\n")),
            Frame::raw(status::event("counted", true)),
        ]);
        let text = String::from_utf8(encode(&mut writer, frames.ending()).to_vec()).expect("UTF-8");
        let said = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in {text}"));
        let order = [
            r#"data: {"event":{"type":"status","data":{"description":"counting","done":false}}}"#,
            r#""content":"a""#,
            r#"data: {"event":"cited"}"#,
            r#""annotations":"kept""#,
            r#""content":"b""#,
            ": ping",
            r#""description":"counted","done":true"#,
            "data: [DONE]",
        ]
        .map(said);
        assert!(order.is_sorted(), "{text}");
        assert_eq!(text.matches("cited").count(), 1);
    }
}
