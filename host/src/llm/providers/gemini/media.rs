//! Parts of a message other than text: images, audio and files, inline or by an address that Gemini itself can read.
//! Nothing is fetched here; what AI Studio cannot read is refused with what would be right. An image's `detail` is a hint and not sent.
//! Sources: Gemini API reference, `Part`; "Files API"; "Video understanding".

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::params::read as read_json;
use super::tools::is_base64;
use crate::chat::Json;
use crate::llm::adapter::{CompletionRequest, UnsupportedField};

/// Where the Files API keeps what was uploaded.
const FILES: &str = "https://generativelanguage.googleapis.com/";
/// The only other https addresses that AI Studio reads.
const VIDEOS: [&str; 4] = ["https://www.youtube.com/", "https://youtube.com/", "https://m.youtube.com/", "https://youtu.be/"];
/// The types of files in a bucket, by the ends of their names, because a bucket's addresses name no type.
const ENDINGS: [(&str, &str); 12] = [
    (".gif", "image/gif"),
    (".heic", "image/heic"),
    (".jpeg", "image/jpeg"),
    (".jpg", "image/jpeg"),
    (".mov", "video/quicktime"),
    (".mp3", "audio/mp3"),
    (".mp4", "video/mp4"),
    (".pdf", "application/pdf"),
    (".png", "image/png"),
    (".txt", "text/plain"),
    (".wav", "audio/wav"),
    (".webp", "image/webp"),
];

/// A part other than text.
pub(super) enum Part<'a> {
    Refusal(Cow<'a, str>),
    Inline(Inline<'a>),
    File(File<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inline<'a> {
    mime_type: Cow<'static, str>,
    /// Base64.
    data: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<Cow<'static, str>>,
    file_uri: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Kind {
    ImageUrl,
    InputAudio,
    File,
    Refusal,
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow)]
    image_url: Address<'a>,
}

#[derive(Deserialize)]
struct Address<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    /// A MIME type, which other gateways take for addresses that do not tell it.
    format: Option<String>,
}

#[derive(Deserialize)]
struct Audio<'a> {
    #[serde(borrow)]
    input_audio: Sound<'a>,
}

#[derive(Deserialize)]
struct Sound<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    format: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Attached<'a> {
    #[serde(borrow)]
    file: Attachment<'a>,
}

#[derive(Deserialize)]
struct Attachment<'a> {
    #[serde(borrow)]
    file_data: Option<Cow<'a, str>>,
    #[serde(borrow)]
    file_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Refused<'a> {
    #[serde(borrow)]
    refusal: Cow<'a, str>,
}

/// The part in `json`; none if its kind is not supported and the operator chose to leave such parts out.
///
/// # Errors
/// `UnsupportedField` names `param` or a field below it.
pub(super) fn read<'a>(request: &CompletionRequest<'_>, json: &'a Json, param: &str) -> Result<Option<Part<'a>>, UnsupportedField> {
    let part = match read_json(json, param)? {
        Kind::ImageUrl => {
            let Image { image_url: Address { url, format } } = read_json(json, param)?;
            address(url, format, &format!("{param}.image_url"))
        }
        Kind::InputAudio => {
            let Audio { input_audio: Sound { data, format } } = read_json(json, param)?;
            let mime = match &*format {
                "wav" => "audio/wav",
                "mp3" => "audio/mp3",
                _ => return Err(UnsupportedField::new(format!("{param}.input_audio.format"), "must be wav or mp3")),
            };
            inline(mime.into(), data, &format!("{param}.input_audio.data"))
        }
        Kind::File => {
            let Attached { file: Attachment { file_data, file_id } } = read_json(json, param)?;
            match (file_data, file_id) {
                (Some(data), _) if data.starts_with("data:") => address(data, None, &format!("{param}.file.file_data")),
                (Some(_), _) => {
                    Err(UnsupportedField::new(format!("{param}.file.file_data"), "must be a data: URL, which tells the type of the file"))
                }
                (None, Some(id)) if is_file(&id) => Ok(Part::File(File { mime_type: None, file_uri: id })),
                (None, Some(_)) => {
                    let message = "is no file of Gemini's; send its content as `file_data`, or the URI that Gemini's Files API gave";
                    Err(UnsupportedField::new(format!("{param}.file.file_id"), message))
                }
                (None, None) => Err(UnsupportedField::new(format!("{param}.file"), "has no `file_data`")),
            }
        }
        Kind::Refusal => Ok(Part::Refusal(read_json::<Refused<'a>>(json, param)?.refusal)),
        Kind::Unknown => {
            return request.refuse_or_drop(format!("{param}.type"), "must be text, image_url, input_audio, file or refusal").map(|()| None);
        }
    };
    part.map(Some)
}

fn address<'a>(url: Cow<'a, str>, format: Option<String>, param: &str) -> Result<Part<'a>, UnsupportedField> {
    if let Some(rest) = url.strip_prefix("data:") {
        let invalid = || UnsupportedField::new(param, "is no data: URL of a type and base64, such as `data:image/png;base64,…`");
        let (head, _) = rest.split_once(',').ok_or_else(invalid)?;
        let (kind, encoding) = head.rsplit_once(';').ok_or_else(invalid)?;
        if !encoding.trim().eq_ignore_ascii_case("base64") {
            return Err(invalid());
        }
        let mime = mime_type(kind).ok_or_else(invalid)?;
        let start = "data:".len() + head.len() + 1;
        return inline(mime, tail(url, start), param);
    }
    if is_file(&url) || VIDEOS.iter().any(|videos| url.starts_with(videos)) {
        return Ok(Part::File(File { mime_type: format.as_deref().and_then(mime_type), file_uri: url }));
    }
    if url.starts_with("gs://") {
        let lower = url.to_ascii_lowercase();
        let guessed = ENDINGS.iter().find(|(ending, _)| lower.ends_with(ending)).map(|(_, mime)| Cow::Borrowed(*mime));
        let mime = format.as_deref().and_then(mime_type).or(guessed);
        let mime = mime.ok_or_else(|| UnsupportedField::new(param, "does not tell its type; name it as `format`, such as `image/png`"))?;
        return Ok(Part::File(File { mime_type: Some(mime), file_uri: url }));
    }
    Err(UnsupportedField::new(
        param,
        "is an address that Gemini cannot read; send the content as a data: URL, or upload it with Gemini's Files API",
    ))
}

fn is_file(uri: &str) -> bool {
    uri.strip_prefix(FILES).is_some_and(|path| path.contains("/files/"))
}

/// A MIME type without parameters, as Gemini spells it.
fn mime_type(text: &str) -> Option<Cow<'static, str>> {
    let text = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (main, sub) = text.split_once('/')?;
    match (main, sub) {
        ("", _) | (_, "") => None,
        ("image", "jpg") => Some("image/jpeg".into()),
        _ => Some(text.into()),
    }
}

fn inline<'a>(mime_type: Cow<'static, str>, data: Cow<'a, str>, param: &str) -> Result<Part<'a>, UnsupportedField> {
    if !is_base64(&data) {
        return Err(UnsupportedField::new(param, "holds no base64, or none at all"));
    }
    Ok(Part::Inline(Inline { mime_type, data }))
}

/// The text from `start`, without a copy if it is borrowed.
fn tail(text: Cow<'_, str>, start: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[start..]),
        Cow::Owned(mut text) => {
            text.drain(..start);
            Cow::Owned(text)
        }
    }
}
