//! A multipart upload as files: fields `file` (one or many), `namespace` and `name`.
//! Invariant: the whole form has come, and is in order, before the first file is looked at.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use multer::{Constraints, Field, Multipart, SizeLimit};

use schemars::JsonSchema;

use crate::http::bodies::Reserved;
use crate::http::encoded::Encoding;
use crate::http::error::{Failure, Refusal};
use crate::http::limits::Limits;
use crate::http::request_body;
use crate::rag::Metadata;

const KEY: &str = "limits.http.upload_bytes";
/// More than any valid name has, so that the error for a longer one is about the name.
const NAMESPACE_BYTES: u64 = 256;
/// More than any valid metadata has.
const METADATA_BYTES: u64 = 32 << 10;
/// The most that file systems take.
const FILE_NAME_BYTES: usize = 255;
/// Bytes of a name that leads through folders.
const NAME_BYTES: usize = 1024;

/// The form, as a client sends it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read field by field; here for its schema")]
pub(super) struct UploadForm {
    /// PDF, DOCX, PPTX, XLSX, Markdown, HTML, text, CSV, JSON or JSON Lines, sent as files with their names. The content decides which it is.
    #[schemars(extend("items" = {"type": "string", "contentMediaType": "application/octet-stream"}))]
    file: Vec<String>,
    /// The rag stage's by default, else `default`.
    #[serde(default)]
    namespace: Option<String>,
    /// What is said of all the files, for filters: a flat JSON object of texts, numbers and booleans.
    #[serde(default)]
    metadata: Option<String>,
    /// The document's name, if it should not be the last part of the file's; it may hold `/`. Only with one file.
    #[serde(default)]
    name: Option<String>,
}

/// What was uploaded.
pub(super) struct Upload {
    pub(super) namespace: Option<String>,
    /// At least one.
    pub(super) files: Vec<File>,
    /// What is said of all of them.
    pub(super) metadata: Metadata,
}

/// A file as it came.
pub(super) struct File {
    /// The name of its document, or why it can have none.
    pub(super) name: Result<String, Refusal>,
    /// The type that the client gave it.
    pub(super) declared: Option<String>,
    pub(super) bytes: Bytes,
}

impl File {
    /// What an answer calls it.
    pub(super) fn shown_name(&self) -> String {
        self.name.as_ref().map_or_else(|_| String::new(), Clone::clone)
    }
}

pub(super) async fn read(limits: &Limits, head: &Parts, body: &mut Incoming, reserved: &Arc<Reserved>) -> Result<Upload, Failure> {
    let encoding = Encoding::of(&head.headers)?;
    request_body::expect_plainly_sent(&head.headers)?;
    let value = head.headers.get(CONTENT_TYPE);
    let boundary = value.and_then(|value| multer::parse_boundary(value.to_str().ok()?).ok()).ok_or_else(|| Refusal::ContentType {
        got: value.map(request_body::shown).unwrap_or_default(),
        want: "multipart/form-data; boundary=…",
    })?;
    if encoding != Encoding::Plain {
        let bytes = request_body::collect(body, reserved, limits.upload_bytes, KEY, limits.body_time).await?;
        let (reserved, most) = (Arc::clone(reserved), limits.upload_bytes);
        // Off the serving threads: some megabytes take a while.
        let decoding = tokio::task::spawn_blocking(move || encoding.decoded(bytes, most, KEY, |bytes| reserved.grow(bytes)));
        let bytes = decoding.await.map_err(|_| Failure::Panicked)??;
        return fields(limits, parts(limits, stream::iter([Ok::<_, std::io::Error>(bytes)]), boundary)).await;
    }
    let too_large = Refusal::BodyTooLarge { limit: limits.upload_bytes, key: KEY };
    let announced = hyper::body::Body::size_hint(body);
    if announced.lower() > limits.upload_bytes as u64 {
        return Err(too_large.into());
    }
    // What has no length may be as long as any.
    reserved.grow(announced.exact().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limits.upload_bytes))?;
    let stream = http_body_util::BodyDataStream::new(body);
    let reading = tokio::time::timeout(limits.body_time, fields(limits, parts(limits, stream, boundary)));
    reading.await.unwrap_or(Err(Refusal::BodySlow.into()))
}

fn parts<'a, E>(limits: &Limits, body: impl Stream<Item = Result<Bytes, E>> + Send + 'a, boundary: String) -> Multipart<'a>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'a,
{
    let sizes = SizeLimit::new()
        .whole_stream(limits.upload_bytes as u64)
        .for_field("namespace", NAMESPACE_BYTES)
        .for_field("name", 2 * NAME_BYTES as u64)
        .for_field("metadata", METADATA_BYTES);
    Multipart::with_constraints(body, boundary, Constraints::new().size_limit(sizes))
}

async fn fields(limits: &Limits, mut parts: Multipart<'_>) -> Result<Upload, Failure> {
    let mut upload = Upload { namespace: None, files: Vec::new(), metadata: Metadata::default() };
    let mut name = None;
    while let Some(field) = parts.next_field().await.map_err(|error| refusal(&error, limits))? {
        match field.name() {
            Some("file") if upload.files.len() >= limits.upload_files => {
                let message = format!("at most {} files fit in one upload (`limits.http.upload_files`)", limits.upload_files);
                return Err(Refusal::field("file", message).into());
            }
            Some("file") => upload.files.push(file(limits, field).await?),
            Some("namespace") => {
                let bytes = field.bytes().await.map_err(|error| refusal(&error, limits))?;
                upload.namespace = Some(text("namespace", bytes)?);
            }
            Some("metadata") => {
                let bytes = field.bytes().await.map_err(|error| refusal(&error, limits))?;
                let value = serde_json::from_slice(&bytes).map_err(|error| Refusal::field("metadata", format!("is no JSON: {error}")))?;
                upload.metadata = Metadata::of(value).map_err(|why| Refusal::field("metadata", why))?;
            }
            Some("name") => {
                let bytes = field.bytes().await.map_err(|error| refusal(&error, limits))?;
                let given = text("name", bytes)?;
                name = Some(document_name(&given).map(|()| given).map_err(|message| Refusal::field("name", message))?);
            }
            other => {
                let name = other.unwrap_or_default().chars().take(100).collect::<String>();
                return Err(Refusal::field(name, "is not a field; send `file` and, if need be, `namespace`, `name` and `metadata`").into());
            }
        }
    }
    if upload.files.is_empty() {
        return Err(Refusal::field("file", "is missing; send at least one file").into());
    }
    if let Some(name) = name {
        let [file] = &mut upload.files[..] else { return Err(Refusal::field("name", "can be given to one file only").into()) };
        file.name = Ok(name);
    }
    Ok(upload)
}

async fn file(limits: &Limits, field: Field<'_>) -> Result<File, Failure> {
    let given = field.file_name().ok_or_else(|| Refusal::field("file", "must be sent as a file with its name"))?;
    let name = file_name(given).map(str::to_owned).map_err(|message| Refusal::field("file", message));
    let declared = field.content_type().map(ToString::to_string);
    let bytes = field.bytes().await.map_err(|error| refusal(&error, limits))?;
    Ok(File { name, declared, bytes })
}

/// The last segment of a file's name, because browsers have sent whole paths, with slashes of either kind.
fn file_name(given: &str) -> Result<&str, &'static str> {
    let name = given.rsplit(['/', '\\']).next().unwrap_or(given).trim();
    if name.is_empty() || name == "." || name == ".." {
        Err("must have a file name")
    } else if name.len() > FILE_NAME_BYTES {
        Err("has a name of more than 255 bytes")
    } else {
        is_shown_as_it_is(name).map(|()| name)
    }
}

/// A name that may lead through folders, as one of a file in a folder does.
fn document_name(given: &str) -> Result<(), &'static str> {
    if given.len() > NAME_BYTES {
        Err("is longer than 1024 bytes")
    } else if given.split('/').any(|part| matches!(part.trim(), "" | "." | "..")) {
        Err("has a part between `/` that is no name")
    } else {
        is_shown_as_it_is(given)
    }
}

fn is_shown_as_it_is(name: &str) -> Result<(), &'static str> {
    if name.chars().any(char::is_control) {
        Err("has control characters in its name")
    } else if name.chars().any(|c| matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')) {
        Err("has characters in its name that break lines or turn the direction of writing")
    } else {
        Ok(())
    }
}

/// UTF-8 without a byte order mark.
fn text(name: &str, bytes: Bytes) -> Result<String, Refusal> {
    let mut text =
        String::from_utf8(bytes.into()).map_err(|error| Refusal::NotUtf8 { name: name.into(), at: error.utf8_error().valid_up_to() })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

fn refusal(error: &multer::Error, limits: &Limits) -> Refusal {
    match error {
        multer::Error::StreamSizeExceeded { .. } => Refusal::BodyTooLarge { limit: limits.upload_bytes, key: KEY },
        multer::Error::FieldSizeExceeded { field_name, .. } => Refusal::field(field_name.clone().unwrap_or_default(), "is too long"),
        multer::Error::StreamReadFailed(_) | multer::Error::IncompleteStream => Refusal::BodyBroken,
        // The library may add errors; whatever they are, the form cannot be read.
        other => Refusal::Multipart(other.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_its_last_segment() {
        let cases =
            [("a.md", "a.md"), ("dir/a.md", "a.md"), ("C:\\dir\\a.md", "a.md"), ("../../etc/passwd", "passwd"), (" ü.txt ", "ü.txt")];
        for (given, name) in cases {
            assert_eq!(file_name(given), Ok(name), "{given}");
        }
    }

    #[test]
    fn unfit_file_names_are_refused() {
        let (edge, long) = ("n".repeat(255), "n".repeat(256));
        assert_eq!(file_name(&edge), Ok(&*edge));
        for given in
            ["", "/", "a/", "..", "a/..", "a\nb.md", "a\u{0}.md", "a\u{7f}.md", "a\u{85}.md", "a\u{202e}fdp.md", "a\u{2028}b.md", &long]
        {
            assert!(file_name(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn a_document_s_own_name_may_lead_through_folders_and_nowhere_else() {
        let long = "n/".repeat(NAME_BYTES / 2);
        for name in ["a.md", "notes/2026/a.md", "ü b/c"] {
            assert_eq!(document_name(name), Ok(()), "{name}");
        }
        for name in ["", "/a", "a/", "a//b", "../a", "a/./b", "a/\n", "a\u{202e}b", &long] {
            assert!(document_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn text_is_utf8_and_loses_its_byte_order_mark() {
        assert_eq!(text("a", Bytes::from_static("\u{feff}é".as_bytes())), Ok("é".into()));
        assert_eq!(text("a", Bytes::from_static(b"ab\xff")), Err(Refusal::NotUtf8 { name: "a".into(), at: 2 }));
        assert_eq!(text("a", Bytes::from_static(b"\xff\xfea\0")), Err(Refusal::NotUtf8 { name: "a".into(), at: 0 }));
    }

    async fn form(limits: &Limits, body: &'static str) -> Result<Upload, Failure> {
        let stream = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(body.as_bytes()))]);
        fields(limits, parts(limits, stream, "X".into())).await
    }

    #[tokio::test]
    async fn a_form_without_a_file_or_with_a_foreign_field_is_refused() {
        let limits = Limits::default();
        let field = |result: Result<Upload, Failure>| match result {
            Err(Failure::Refused(Refusal::Field { param, .. })) => param,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("taken"),
        };
        let only = "--X\r\nContent-Disposition: form-data; name=\"namespace\"\r\n\r\ndocs\r\n--X--\r\n";
        assert_eq!(field(form(&limits, only).await), "file");
        let foreign = "--X\r\nContent-Disposition: form-data; name=\"fil\"\r\n\r\ndocs\r\n--X--\r\n";
        assert_eq!(field(form(&limits, foreign).await), "fil");
        let unnamed = "--X\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\ndocs\r\n--X--\r\n";
        assert_eq!(field(form(&limits, unnamed).await), "file");
        let tight = Limits { upload_files: 0, ..Limits::default() };
        assert_eq!(field(form(&tight, unnamed).await), "file");
        let small = Limits { upload_bytes: 20, ..Limits::default() };
        assert!(matches!(form(&small, only).await, Err(Failure::Refused(Refusal::BodyTooLarge { limit: 20, .. }))));
        assert!(matches!(form(&limits, "--X\r\nContent-Dis").await, Err(Failure::Refused(Refusal::BodyBroken | Refusal::Multipart(_)))));
    }
}
