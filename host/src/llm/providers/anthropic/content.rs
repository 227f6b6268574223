//! Content parts as content blocks: text, images, documents. What a part holds is sent on and never fetched: we open no address that a client
//! names. No block is blank text, which the API refuses.
//! Sources: Anthropic's "Vision", "PDF support", "Files API"; OpenAI API reference, content parts.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::chat::{Content, Fields, Json, Part};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::base64;

const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// A piece of a turn.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    Text {
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Json>,
    },
    Image {
        source: Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Json>,
    },
    Document {
        source: Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Json>,
    },
    ToolUse {
        id: String,
        name: String,
        input: Json,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Json>,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Block>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Json>,
    },
    /// A block of thought, as Anthropic gave it.
    #[serde(untagged)]
    Thought(Json),
}

impl Block {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), cache_control: None }
    }

    /// Marks the block as the end of what may be cached.
    pub(super) fn cache(&mut self, mark: Json) {
        match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::Document { cache_control, .. }
            | Self::ToolUse { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => *cache_control = Some(mark),
            // The API takes no mark on a thought.
            Self::Thought(_) => {}
        }
    }

    /// Whether the block names a file of the Files API, which needs a beta header.
    pub(super) fn is_stored_file(&self) -> bool {
        match self {
            Self::Document { source, .. } => source["type"] == "file",
            Self::ToolResult { content, .. } => content.iter().any(Self::is_stored_file),
            _ => false,
        }
    }
}

/// The field of that name, unless it is null.
pub(super) fn non_null<'a>(fields: &'a Fields, name: &str) -> Option<&'a Json> {
    fields.iter().find_map(|(key, value)| (key == name && value.get() != "null").then_some(value))
}

/// The blocks of a message's content. Blank text is left out, because the API refuses it. `path` is where the content stands in the body.
pub(super) fn blocks(request: &CompletionRequest<'_>, content: &Content, path: &str) -> Result<Vec<Block>, UnsupportedField> {
    match content {
        Content::Null => Ok(Vec::new()),
        Content::Text(text) => Ok(text_block(text, None).into_iter().collect()),
        Content::Parts(parts) => {
            let mut blocks = Vec::with_capacity(parts.len());
            for (at, part) in parts.iter().enumerate() {
                blocks.extend(match part {
                    Part::Text { text, extra } => text_block(text, non_null(extra, "cache_control")),
                    Part::Other(json) => other_part(request, json, &format!("{path}[{at}]"))?,
                });
            }
            Ok(blocks)
        }
    }
}

/// A block of this text; none if it is blank. `cache_control` marks the block as the end of what may be cached.
pub(super) fn text_block(text: &str, cache_control: Option<&Json>) -> Option<Block> {
    let block = || Block::Text { text: text.to_owned(), cache_control: cache_control.cloned() };
    (!text.trim().is_empty()).then(block)
}

/// The fields of a part other than text that matter here.
#[derive(Deserialize)]
struct OtherPart {
    #[serde(rename = "type")]
    kind: String,
    image_url: Option<Image>,
    file: Option<File>,
    refusal: Option<String>,
    cache_control: Option<Json>,
}

/// `{"url": "…"}`, or the address alone, as some clients write it. OpenAI's `detail` has no counterpart.
#[derive(Deserialize)]
#[serde(untagged)]
enum Image {
    Object { url: String },
    Url(String),
}

#[derive(Deserialize)]
struct File {
    file_id: Option<String>,
    file_data: Option<String>,
    filename: Option<String>,
}

fn other_part(request: &CompletionRequest<'_>, json: &Json, path: &str) -> Result<Option<Block>, UnsupportedField> {
    let part: OtherPart =
        serde_json::from_str(json.get()).map_err(|error| UnsupportedField::new(path, format!("is no content part: {error}")))?;
    let block = match (part.kind.as_str(), part.image_url, part.file) {
        ("image_url", Some(Image::Object { url } | Image::Url(url)), _) => Some(image(&url, &format!("{path}.image_url.url"))?),
        ("file", _, Some(attached)) => Some(file(attached, &format!("{path}.file"))?),
        ("image_url" | "file", ..) => return Err(UnsupportedField::new(path, format!("needs its field `{}`", part.kind))),
        ("refusal", ..) => part.refusal.as_deref().and_then(|text| text_block(text, None)),
        ("input_audio", ..) => {
            request.refuse_or_drop(path, "holds audio, which Anthropic does not take; send a transcript as text")?;
            None
        }
        (kind, ..) => {
            request.refuse_or_drop(path, format!("is of the type `{kind}`, which Anthropic has not; send text, image_url or file"))?;
            None
        }
    };
    Ok(block.map(|mut block| {
        if let Some(mark) = part.cache_control {
            block.cache(mark);
        }
        block
    }))
}

fn image(url: &str, path: &str) -> Result<Block, UnsupportedField> {
    match scheme(url).as_str() {
        "data" => data(url, None, path),
        "https" => Ok(Block::Image { source: json!({"type": "url", "url": url}), cache_control: None }),
        "http" => Err(UnsupportedField::new(
            path,
            "is an http address, which Anthropic does not fetch and neither do we; send an https or a data: URL",
        )),
        _ => Err(UnsupportedField::new(path, "is neither an https nor a data: URL")),
    }
}

fn file(file: File, path: &str) -> Result<Block, UnsupportedField> {
    let File { file_id, file_data, filename } = file;
    match (file_data, file_id) {
        (Some(url), _) if scheme(&url) == "data" => data(&url, filename, &format!("{path}.file_data")),
        (Some(_), _) => {
            Err(UnsupportedField::new(format!("{path}.file_data"), "must be a data: URL, e.g. `data:application/pdf;base64,…`"))
        }
        (None, Some(id)) => Ok(Block::Document { source: json!({"type": "file", "file_id": id}), title: filename, cache_control: None }),
        (None, None) => Err(UnsupportedField::new(path, "needs `file_data` or `file_id`")),
    }
}

fn scheme(url: &str) -> String {
    url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default()
}

/// An image, a PDF or plain text that is itself in its URL.
fn data(url: &str, title: Option<String>, path: &str) -> Result<Block, UnsupportedField> {
    let (head, data) = url.split_once(',').ok_or_else(|| UnsupportedField::new(path, "is a data: URL without a comma"))?;
    let head = head.split_once(':').map_or("", |(_, head)| head);
    let mut words = head.split(';').map(str::trim);
    let media_type = words.next().unwrap_or_default().to_ascii_lowercase();
    if !words.any(|word| word.eq_ignore_ascii_case("base64")) {
        return Err(UnsupportedField::new(path, "must be a base64 data: URL, e.g. `data:image/png;base64,…`"));
    }
    let media_type = if media_type == "image/jpg" { "image/jpeg" } else { &media_type };
    let source = json!({"type": "base64", "media_type": media_type, "data": data});
    match media_type {
        image if IMAGES.contains(&image) => Ok(Block::Image { source, cache_control: None }),
        "application/pdf" => Ok(Block::Document { source, title, cache_control: None }),
        "text/plain" => {
            let text = base64::decode(data.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
            let text = text.ok_or_else(|| UnsupportedField::new(path, "holds no UTF-8 text in base64"))?;
            let source = json!({"type": "text", "media_type": "text/plain", "data": text});
            Ok(Block::Document { source, title, cache_control: None })
        }
        other => {
            let takes = "image/jpeg, image/png, image/gif, image/webp, application/pdf or text/plain";
            Err(UnsupportedField::new(path, format!("is of the type `{other}`; Anthropic takes {takes}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_becomes_what_it_holds() {
        let of = |url: &str| serde_json::to_value(image(url, "p").expect("fits")).expect("JSON");
        let source = |kind: &str, data: &str| json!({"type": "base64", "media_type": kind, "data": data});
        assert_eq!(of("data:image/jpg;base64,AAAA"), json!({"type": "image", "source": source("image/jpeg", "AAAA")}));
        assert_eq!(of("DATA:image/PNG;name=a;base64,AAAA"), json!({"type": "image", "source": source("image/png", "AAAA")}));
        assert_eq!(of("data:application/pdf;base64,JVBE"), json!({"type": "document", "source": source("application/pdf", "JVBE")}));
        let text = json!({"type": "text", "media_type": "text/plain", "data": "abc"});
        assert_eq!(of("data:text/plain;charset=utf-8;base64,YWJj"), json!({"type": "document", "source": text}));
        for url in [
            "data:image/png,AAAA",
            "data:image/tiff;base64,AAAA",
            "data:;base64,AAAA",
            "data:text/plain;base64,/w==",
            "data:x",
            "file:/etc",
        ] {
            assert!(image(url, "p").is_err(), "{url}");
        }
    }
}
