//! The places of a JSON text that this program reads, with the fields that it knows there.
//! Invariant: a field that a decoder blind to letter case takes for a known one is never passed on under another spelling, for hooks, limits
//! and the operator's choices would look at the one and the provider at the other.

/// What a text is, which says where its places are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A request of the chat endpoint.
    Chat,
    /// A request of the Responses API.
    Response,
    /// A request for vectors.
    Embeddings,
    /// A body whose reader refuses every field that it does not know.
    Closed,
    /// A provider's whole reply, in any vendor's form.
    Reply,
    /// A provider's vectors.
    Vectors,
}

/// Lists that have a limit of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Messages,
    Parts,
    ToolCalls,
    Tools,
    Inputs,
    /// Fields that are not known where others are.
    Fields,
}

/// A kind of place. A list and what is in it are one place.
#[derive(Debug)]
pub(super) struct Place {
    /// The fields of an object here, and the place of each one's value.
    fields: &'static [(&'static str, &'static Place)],
    /// Where the value of any other field stands.
    others: Option<&'static Place>,
    /// Elements of a list here are counted as these.
    pub(super) counted: Option<List>,
    /// Whether numbers in a list here cost no more memory than text: they are read as plain numbers, or not at all.
    pub(super) numbers: bool,
    /// Whether what is in here is never made into values.
    pub(super) unread: bool,
    /// Whether another spelling of a field is refused.
    pub(super) strict: bool,
}

const OPEN: Place = Place { fields: &[], others: None, counted: None, numbers: false, unread: false, strict: false };

const KNOWN: Place = Place { strict: true, ..OPEN };

/// Nothing here is known: it is passed on as its bytes, or read as a tree.
pub(super) static ANY: Place = OPEN;

impl Place {
    pub(super) fn root(form: Form) -> &'static Place {
        match form {
            Form::Chat => &CHAT,
            Form::Response => &RESPONSE,
            Form::Embeddings => &EMBEDDINGS,
            Form::Closed => &ANY,
            Form::Reply => &REPLY,
            Form::Vectors => &VECTORS,
        }
    }

    /// The place of the value of the field `name`, and whether it is known.
    ///
    /// # Errors
    /// The field that it would be taken for, if it is known under another spelling.
    pub(super) fn inside(&'static self, name: &str) -> Result<(&'static Place, bool), &'static str> {
        if let Some((_, place)) = self.fields.iter().find(|(known, _)| *known == name) {
            return Ok((place, true));
        }
        if self.strict
            && let Some((known, _)) = self.fields.iter().find(|(known, _)| alike(name, known))
        {
            return Err(known);
        }
        Ok((self.others.unwrap_or(&ANY), false))
    }
}

/// The field of a chat request that a lenient decoder might take `name` for, though it is spelled otherwise.
pub(crate) fn misspelt(name: &str) -> Option<&'static str> {
    CHAT.inside(name).err()
}

/// Whether a lenient decoder might take `name` for the name `known`.
pub(crate) fn alike(name: &str, known: &str) -> bool {
    if !name.is_ascii() {
        return folded(name).eq(folded(known));
    }
    // The same without Unicode, for a body may have thousands of names that are not known.
    let first = name.as_bytes().first().copied().unwrap_or_default();
    if !joins(first) && !known.as_bytes()[0].eq_ignore_ascii_case(&first) {
        return false;
    }
    let mut known = known.bytes().filter(|b| !joins(*b));
    let mut letters = name.bytes().filter(|b| !joins(*b));
    letters.all(|letter| known.next().is_some_and(|known| known.eq_ignore_ascii_case(&letter))) && known.next().is_none()
}

/// What joins words.
fn joins(byte: u8) -> bool {
    matches!(byte, b'_' | b'-')
}

/// A name as lenient decoders compare names: without letter case in the sense of Unicode, which makes `ſ` an `s` and the Kelvin sign a `k`,
/// and without what joins words.
fn folded(name: &str) -> impl Iterator<Item = char> {
    let letters = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    // The dot that is left of a lower-case `İ`.
    letters.filter(|c| !matches!(c, '_' | '-' | '\u{307}'))
}

/// The fields that both endpoints pass on under these names.
macro_rules! fields {
    ($($more:tt)*) => {
        &[
            ("model", &ANY), ("stream", &ANY), ("pipeline", &SWITCHES), ("stream_options", &STREAM_OPTIONS), ("tools", &TOOL),
            ("tool_choice", &CHOICE), ("parallel_tool_calls", &ANY), ("functions", &TOOL), ("function_call", &FUNCTION), ("n", &ANY),
            ("max_tokens", &ANY), ("max_completion_tokens", &ANY), ("temperature", &ANY), ("top_p", &ANY), ("top_k", &ANY), ("stop", &ANY),
            ("seed", &ANY), ("user", &ANY), ("response_format", &FORMAT), ("logprobs", &ANY), ("top_logprobs", &ANY),
            ("logit_bias", &ANY), ("presence_penalty", &ANY), ("frequency_penalty", &ANY), ("modalities", &ANY), ("audio", &ANY),
            ("prediction", &ANY), ("reasoning_effort", &ANY), ("verbosity", &ANY), ("store", &ANY), ("metadata", &ANY),
            ("service_tier", &ANY), ("safety_identifier", &ANY), ("prompt_cache_key", &ANY), ("prompt_cache_retention", &ANY),
            ("web_search_options", &ANY), ("thinking", &ANY), $($more)*
        ]
    };
}

static CHAT: Place = Place { fields: fields![("messages", &MESSAGE),], ..KNOWN };

/// With the chat endpoint's names, which would be passed on from here too.
static RESPONSE: Place = Place {
    fields: fields![
        ("messages", &MESSAGE),
        ("input", &ITEM),
        ("instructions", &ANY),
        ("text", &TEXT),
        ("reasoning", &REASONING),
        ("include", &ANY),
        ("max_output_tokens", &ANY),
        ("max_tool_calls", &ANY),
        ("truncation", &ANY),
        ("background", &ANY),
        ("previous_response_id", &ANY),
        ("conversation", &ANY),
        ("prompt", &ANY),
        ("context_management", &ANY),
    ],
    ..KNOWN
};

static EMBEDDINGS: Place =
    Place { fields: &[("model", &ANY), ("input", &INPUT), ("dimensions", &ANY), ("encoding_format", &ANY), ("user", &ANY)], ..KNOWN };

static INPUT: Place = Place { counted: Some(List::Inputs), numbers: true, ..OPEN };

static SWITCHES: Place = Place { fields: &[("rag", &ANY), ("pre_hook", &ANY), ("llm", &ANY), ("post_hook", &ANY)], ..KNOWN };

static STREAM_OPTIONS: Place = Place { fields: &[("include_usage", &ANY), ("include_obfuscation", &ANY)], ..KNOWN };

static MESSAGE: Place = Place {
    fields: &[
        ("role", &ANY),
        ("content", &PART),
        ("name", &ANY),
        ("tool_calls", &CALL),
        ("tool_call_id", &ANY),
        ("function_call", &FUNCTION),
        ("refusal", &ANY),
        ("audio", &ANY),
        ("annotations", &ANY),
        ("reasoning_content", &ANY),
        ("reasoning", &ANY),
        ("thinking_blocks", &PART),
        ("reasoning_details", &ANY),
        ("reasoning_opaque", &ANY),
        ("extra_content", &ANY),
        ("cache_control", &ANY),
        ("is_error", &ANY),
    ],
    counted: Some(List::Messages),
    ..KNOWN
};

/// Of a message in either API.
static PART: Place = Place {
    fields: &[
        ("type", &ANY),
        ("text", &ANY),
        ("refusal", &ANY),
        ("image_url", &LINK),
        ("detail", &ANY),
        ("input_audio", &MEDIA),
        ("file", &MEDIA),
        ("file_id", &ANY),
        ("filename", &ANY),
        ("file_data", &ANY),
        ("file_url", &ANY),
        ("cache_control", &ANY),
        ("thinking", &ANY),
        ("signature", &ANY),
        ("data", &ANY),
        ("annotations", &ANY),
        ("logprobs", &ANY),
    ],
    counted: Some(List::Parts),
    ..KNOWN
};

static LINK: Place = Place { fields: &[("url", &ANY), ("detail", &ANY), ("format", &ANY)], ..KNOWN };

static MEDIA: Place =
    Place { fields: &[("data", &ANY), ("format", &ANY), ("file_id", &ANY), ("filename", &ANY), ("file_data", &ANY)], ..KNOWN };

static CALL: Place = Place {
    fields: &[("id", &ANY), ("type", &ANY), ("function", &FUNCTION), ("custom", &FUNCTION), ("extra_content", &ANY), ("index", &ANY)],
    counted: Some(List::ToolCalls),
    ..KNOWN
};

/// As it is declared, called and chosen.
static FUNCTION: Place = Place {
    fields: &[
        ("name", &ANY),
        ("arguments", &ANY),
        ("parsed_arguments", &ANY),
        ("input", &ANY),
        ("description", &ANY),
        ("parameters", &ANY),
        ("strict", &ANY),
        ("format", &ANY),
    ],
    ..KNOWN
};

/// Nested in the chat endpoint, flat in the Responses API.
static TOOL: Place = Place {
    fields: &[
        ("type", &ANY),
        ("function", &FUNCTION),
        ("custom", &FUNCTION),
        ("namespace", &ANY),
        ("name", &ANY),
        ("description", &ANY),
        ("parameters", &ANY),
        ("format", &ANY),
        ("strict", &ANY),
        ("tools", &TOOL),
        ("cache_control", &ANY),
    ],
    counted: Some(List::Tools),
    ..KNOWN
};

static CHOICE: Place = Place {
    fields: &[
        ("type", &ANY),
        ("function", &FUNCTION),
        ("custom", &FUNCTION),
        ("namespace", &ANY),
        ("name", &ANY),
        ("allowed_tools", &CHOICE),
        ("mode", &ANY),
        ("tools", &TOOL),
    ],
    ..KNOWN
};

/// `response_format` and the Responses API's `text.format`.
static FORMAT: Place = Place {
    fields: &[("type", &ANY), ("json_schema", &FORMAT), ("name", &ANY), ("description", &ANY), ("schema", &ANY), ("strict", &ANY)],
    ..KNOWN
};

static TEXT: Place = Place { fields: &[("format", &FORMAT), ("verbosity", &ANY)], ..KNOWN };

static REASONING: Place = Place { fields: &[("effort", &ANY), ("summary", &ANY), ("generate_summary", &ANY)], ..KNOWN };

/// Of a response's input.
static ITEM: Place = Place {
    fields: &[
        ("type", &ANY),
        ("role", &ANY),
        ("content", &PART),
        ("id", &ANY),
        ("call_id", &ANY),
        ("namespace", &ANY),
        ("name", &ANY),
        ("arguments", &ANY),
        ("input", &ANY),
        ("action", &ANY),
        ("extra_content", &ANY),
        ("tools", &TOOL),
        ("output", &PART),
        ("summary", &PART),
        ("encrypted_content", &ANY),
        ("status", &ANY),
        ("phase", &ANY),
    ],
    counted: Some(List::Messages),
    ..KNOWN
};

/// What a provider spells otherwise is passed to the client and means nothing here.
static REPLY: Place = Place {
    fields: &[("logprobs", &UNREAD), ("logprobsResult", &UNREAD), ("tool_calls", &REPLY_CALL), ("content", &REPLY_PART)],
    others: Some(&REPLY),
    ..OPEN
};

static REPLY_CALL: Place = Place { others: Some(&REPLY), counted: Some(List::ToolCalls), ..OPEN };

static REPLY_PART: Place = Place { others: Some(&REPLY), counted: Some(List::Parts), ..OPEN };

static VECTORS: Place = Place { others: Some(&VECTORS), numbers: true, ..OPEN };

static UNREAD: Place = Place { unread: true, others: Some(&UNREAD), ..OPEN };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_itself_and_every_other_spelling_of_it_is_known_for_what_it_is() {
        for (written, known) in [
            ("MODEL", "model"),
            ("Model", "model"),
            ("mes\u{17f}ages", "messages"),
            ("Messages", "messages"),
            ("STREAM", "stream"),
            ("Pipeline", "pipeline"),
            ("p\u{130}peline", "pipeline"),
            ("pıpeline", "pipeline"),
            ("tool\u{17f}", "tools"),
            ("top_\u{212a}", "top_k"),
            ("maxTokens", "max_tokens"),
            ("max-tokens", "max_tokens"),
            ("Tool_Choice", "tool_choice"),
            ("N", "n"),
        ] {
            assert_eq!(CHAT.inside(written).err(), Some(known), "{written}");
            assert!(folded(written).eq(folded(known)), "the quick way says the same");
        }
        for written in ["model", "messages", "x", "", "модель", "modell", "mode", "_"] {
            assert!(CHAT.inside(written).is_ok(), "{written}");
        }
    }

    #[test]
    fn no_place_knows_two_spellings_of_one_name() {
        for place in
            [&CHAT, &RESPONSE, &EMBEDDINGS, &SWITCHES, &MESSAGE, &PART, &LINK, &MEDIA, &CALL, &FUNCTION, &TOOL, &CHOICE, &FORMAT, &ITEM]
        {
            for (at, (name, _)) in place.fields.iter().enumerate() {
                let same = |(other, _): &&(&str, _)| folded(other).eq(folded(name));
                assert_eq!(place.fields.iter().position(|field| same(&field)), Some(at), "{name}");
            }
        }
    }
}
