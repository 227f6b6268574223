//! The one encoder of `chat.completion.chunk` objects: deltas in, server-sent events out.
//! It keeps what clients rely on: one id, created and model; the role first; one finish reason a choice; usage last, and only if asked for.
//! Source: OpenAI API reference, "Chat completion chunk".

use bytes::Bytes;

use super::{Delta, Fields, Frames, HEAD_BYTES_MAX, Json, Piece, Usage, sse};

/// Fields of the reply that every chunk has; the others come once.
const ON_EVERY_CHUNK: [&str; 2] = ["service_tier", "system_fingerprint"];

/// Fields of a chunk and of an entry of its `choices` that the writer writes itself.
const OF_CHUNKS: [&str; 6] = ["id", "object", "created", "model", "choices", "usage"];
const OF_CHOICES: [&str; 3] = ["index", "delta", "finish_reason"];

/// The names of a reply if its provider gives none.
#[derive(Clone, Debug)]
pub struct Name {
    pub id: String,
    pub model: String,
    /// Seconds since 1970.
    pub created: u64,
}

/// Writes the deltas of one reply as chunks.
#[derive(Debug)]
pub struct ChunkWriter {
    name: Name,
    named: bool,
    /// The beginning of every chunk, made with the first one and not changed after it.
    head: Vec<u8>,
    /// Fields that are repeated on every chunk.
    repeated: Fields,
    /// Fields that go out with the next chunk.
    once: Fields,
    /// Each choice that has begun, and whether it has finished.
    choices: Vec<(u32, bool)>,
    /// Other events of the reply went out as they came, so that choices may have begun and usage may be out without a word here.
    joins: bool,
    include_usage: bool,
    usage: Option<Json>,
    /// The chunk that is being written.
    chunk: Vec<u8>,
}

impl ChunkWriter {
    pub fn new(name: Name, include_usage: bool) -> Self {
        Self {
            name,
            named: false,
            head: Vec::new(),
            repeated: Fields::new(),
            once: Fields::new(),
            choices: Vec::new(),
            joins: false,
            include_usage,
            usage: None,
            chunk: Vec::new(),
        }
    }

    /// For a reply whose other events are not written here. `head` is what every chunk of it begins with, as JSON without the closing brace.
    pub fn joining(head: &str, include_usage: bool) -> Self {
        let name = Name { id: String::new(), model: String::new(), created: 0 };
        Self { head: head.as_bytes().to_vec(), joins: true, ..Self::new(name, include_usage) }
    }

    /// Whether a choice was written and each has its finish reason.
    pub fn finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|(_, finished)| *finished)
    }

    /// The last usage that was reported.
    pub fn usage(&self) -> Option<Usage> {
        self.usage.as_deref().and_then(Usage::read)
    }

    /// The frames as bytes for a client, with `[DONE]` behind the last. Frames that have their bytes leave as they are, without a copy if nothing
    /// else goes with them.
    pub fn encode(&mut self, frames: Frames) -> Bytes {
        let Frames { raw, edited, end } = frames;
        self.sent(&raw);
        if edited.is_empty() && !end {
            return raw;
        }
        // Bytes that a decoder wrote have no other owner and grow in place.
        let mut out: Vec<u8> = raw.try_into_mut().map_or_else(|raw| raw.to_vec(), Into::into);
        for frame in edited {
            match frame.into_parts() {
                (Some(raw), _) => {
                    self.sent(&raw);
                    out.extend_from_slice(&raw);
                }
                (None, deltas) => self.frame(&deltas, &mut |json| sse::append(&mut out, json.as_bytes())),
            }
        }
        if end {
            self.end(&mut |json| sse::append(&mut out, json.as_bytes()));
            out.extend_from_slice(sse::DONE);
        }
        out.into()
    }

    /// Notes events that leave as they came; a comment says nothing.
    fn sent(&mut self, raw: &[u8]) {
        self.joins = self.joins || sse::events(raw).any(|event| event.data.is_some());
    }

    /// Hands the chunks that say `delta` to `sink`, one JSON text each.
    pub fn write(&mut self, delta: Delta, sink: &mut impl FnMut(&str)) {
        self.frame(&[delta], sink);
    }

    /// As [`Self::write`], for all deltas of one frame: fields beside a delta go out in one chunk with a piece of the same choice, and so do a
    /// call and its first arguments.
    pub fn frame(&mut self, deltas: &[Delta], sink: &mut impl FnMut(&str)) {
        let mut beside: Option<(u32, &Fields)> = None;
        let mut deltas = deltas.iter().peekable();
        while let Some(delta) = deltas.next() {
            match delta {
                Delta::Head { id, model, created } => self.name(id.as_deref(), model.as_deref(), *created),
                Delta::Usage(usage) => self.usage = Some(usage.json()),
                Delta::UsageJson(json) => self.usage = Some(json.clone()),
                Delta::Fields(fields) => fields.iter().for_each(|(name, value)| self.field(name, value)),
                Delta::Piece { choice, piece: Piece::Beside(fields) } => {
                    if let Some((choice, fields)) = beside.replace((*choice, fields)) {
                        self.piece(choice, None, "", fields, sink);
                    }
                }
                Delta::Piece { choice, piece } => {
                    let arguments = deltas.next_if(|next| continues(*choice, piece, next)).map_or("", arguments);
                    match beside.take() {
                        Some((of, fields)) if of == *choice => self.piece(of, Some(piece), arguments, fields, sink),
                        other => {
                            if let Some((choice, fields)) = other {
                                self.piece(choice, None, "", fields, sink);
                            }
                            self.piece(*choice, Some(piece), arguments, &Fields::new(), sink);
                        }
                    }
                }
            }
        }
        if let Some((choice, fields)) = beside {
            self.piece(choice, None, "", fields, sink);
        }
    }

    /// The chunk with the usage, if it was asked for.
    pub fn end(&mut self, sink: &mut impl FnMut(&str)) {
        let usage = self.usage.take();
        if self.include_usage && (usage.is_some() || !self.joins) {
            self.begin();
            self.chunk.extend_from_slice(b",\"choices\":[],\"usage\":");
            self.chunk.extend_from_slice(usage.as_ref().map_or("null", |usage| usage.get()).as_bytes());
            self.close(sink);
        }
    }

    /// Takes the provider's names until the first chunk is out, but for those that are too long to stand on every one.
    fn name(&mut self, id: Option<&str>, model: Option<&str>, created: Option<u64>) {
        if self.named || !self.head.is_empty() {
            return;
        }
        let fit = |name: &&str| (1..=HEAD_BYTES_MAX).contains(&name.len());
        if let Some(id) = id.filter(fit) {
            (self.name.id, self.named) = (id.to_owned(), true);
        }
        if let Some(model) = model.filter(fit) {
            self.name.model = model.to_owned();
        }
        if let Some(created) = created.filter(|created| *created > 0) {
            self.name.created = created;
        }
    }

    fn field(&mut self, name: &str, value: &Json) {
        let repeats = ON_EVERY_CHUNK.contains(&name) && value.get().len() <= HEAD_BYTES_MAX;
        let fields = if repeats { &mut self.repeated } else { &mut self.once };
        match fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.clone_from(value),
            None if OF_CHUNKS.contains(&name) => {}
            None => fields.push((name.to_owned(), value.clone())),
        }
    }

    /// Writes one piece, or none, with what stands beside the delta. After its finish reason nothing more of a choice goes out.
    fn piece(&mut self, choice: u32, piece: Option<&Piece>, arguments: &str, beside: &Fields, sink: &mut impl FnMut(&str)) {
        let known = self.choices.iter().position(|(index, _)| *index == choice);
        let at = known.unwrap_or(self.choices.len());
        if known.is_none() {
            self.choices.push((choice, false));
        }
        match piece {
            _ if self.choices[at].1 => return,
            Some(Piece::Begin) if known.is_some() => {
                if !beside.is_empty() {
                    self.entry(choice, None, "", beside, sink);
                }
                return;
            }
            // It is the opening itself.
            Some(Piece::Begin) => {}
            Some(Piece::Fields(fields)) if fields.iter().any(|(name, _)| name == "role") => {}
            _ if known.is_some() || self.joins => {}
            _ => self.entry(choice, Some(&Piece::Begin), "", &Fields::new(), sink),
        }
        self.choices[at].1 = matches!(piece, Some(Piece::Finish(_)));
        self.entry(choice, piece, arguments, beside, sink);
    }

    /// Writes a chunk of one choice.
    fn entry(&mut self, choice: u32, piece: Option<&Piece>, arguments: &str, beside: &Fields, sink: &mut impl FnMut(&str)) {
        self.begin();
        let out = &mut self.chunk;
        json(out, format_args!(",\"choices\":[{{\"index\":{choice},\"delta\":{{"));
        let reason = match piece {
            Some(Piece::Finish(reason)) => Some(reason),
            Some(piece) => {
                delta(out, piece, arguments);
                None
            }
            None => None,
        };
        out.extend_from_slice(b"},\"finish_reason\":");
        match reason {
            Some(reason) => string(out, reason),
            None => out.extend_from_slice(b"null"),
        }
        if !beside.iter().any(|(name, _)| name == "logprobs") {
            out.extend_from_slice(b",\"logprobs\":null");
        }
        fields(out, beside.iter().filter(|(name, _)| !OF_CHOICES.contains(&&**name)));
        out.extend_from_slice(if self.include_usage { b"}],\"usage\":null" } else { b"}]" });
        self.close(sink);
    }

    /// Begins a chunk with its names and the fields beside its choices.
    fn begin(&mut self) {
        if self.head.is_empty() {
            let Name { id, model, created } = &self.name;
            self.head.extend_from_slice(b"\"id\":");
            string(&mut self.head, id);
            json(&mut self.head, format_args!(",\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":"));
            string(&mut self.head, model);
        }
        self.chunk.clear();
        self.chunk.push(b'{');
        self.chunk.extend_from_slice(&self.head);
        fields(&mut self.chunk, &self.repeated);
        fields(&mut self.chunk, &self.once);
        self.once.clear();
    }

    fn close(&mut self, sink: &mut impl FnMut(&str)) {
        self.chunk.push(b'}');
        sink(std::str::from_utf8(&self.chunk).expect("JSON of strings is UTF-8"));
    }
}

/// Whether `next` has the first arguments of the call that begins with `piece`.
fn continues(choice: u32, piece: &Piece, next: &Delta) -> bool {
    match (piece, next) {
        (Piece::Call { index, .. }, Delta::Piece { choice: of, piece: Piece::Arguments { index: more, .. } }) => {
            *of == choice && more == index
        }
        _ => false,
    }
}

fn arguments(delta: &Delta) -> &str {
    match delta {
        Delta::Piece { piece: Piece::Arguments { text, .. }, .. } => text,
        _ => "",
    }
}

/// The fields of the `delta` object that say `piece`; `arguments` are the first ones of a call.
fn delta(out: &mut Vec<u8>, piece: &Piece, arguments: &str) {
    let text = |out: &mut Vec<u8>, name: &str, text: &str| {
        out.extend_from_slice(name.as_bytes());
        string(out, text);
    };
    match piece {
        Piece::Begin => out.extend_from_slice(br#""role":"assistant","content":"""#),
        Piece::Text(more) => text(out, "\"content\":", more),
        Piece::Reasoning(more) => text(out, "\"reasoning_content\":", more),
        Piece::Thought(more) => text(out, "\"reasoning\":", more),
        Piece::Refusal(more) => text(out, "\"refusal\":", more),
        Piece::Call { index, id, name, extra } => {
            json(out, format_args!("\"tool_calls\":[{{\"index\":{index}"));
            if !id.is_empty() {
                text(out, ",\"id\":", id);
            }
            text(out, ",\"type\":\"function\",\"function\":{\"name\":", name);
            text(out, ",\"arguments\":", arguments);
            out.push(b'}');
            fields(out, extra);
            out.extend_from_slice(b"}]");
        }
        Piece::Arguments { index, text: more } => {
            json(out, format_args!("\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":"));
            string(out, more);
            out.extend_from_slice(b"}}]");
        }
        Piece::Fields(given) => {
            let begin = out.len();
            fields(out, given);
            // The first one needs no comma.
            if out.len() > begin {
                out.remove(begin);
            }
        }
        Piece::Beside(_) | Piece::Finish(_) => {}
    }
}

/// Each field with a comma before it.
fn fields<'a>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = &'a (String, Json)>) {
    for (name, value) in fields {
        out.push(b',');
        string(out, name);
        out.push(b':');
        out.extend_from_slice(value.get().as_bytes());
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is JSON, and writing to memory does not fail");
}

fn json(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    std::io::Write::write_fmt(out, text).expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests;
