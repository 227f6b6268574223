//! Appends to the reply what hooks before it left in `metadata`, as one JSON object in the order of its keys.

use cofferdam_guest::{HookError, Json, Plugin, PostOutcome, Reply};

struct MetadataReader;

impl Plugin for MetadataReader {
    const NAME: Option<&'static str> = Some("metadata-reader");

    fn on_reply(mut reply: Reply) -> Result<PostOutcome, HookError> {
        let mut fields = std::mem::take(&mut reply.metadata);
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let fields: Vec<String> =
            fields.iter().map(|field| format!("{}:{}", Json::from(field.name.as_str()).as_str(), field.value)).collect();
        let json = format!("{{{}}}", fields.join(","));
        let read = reply.map_messages(|message| {
            let text = message.text();
            message.set_text(format!("{text} {json}"));
            true
        });
        Ok(read.into())
    }
}

cofferdam_guest::export!(MetadataReader: post_hook);
