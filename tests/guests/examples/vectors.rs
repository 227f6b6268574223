//! Computes vectors and does nothing else: of each text its bytes, its words and how many texts the call has.

use cofferdam_guest::{Context, HookError, Plugin, log};

struct Vectors;

impl Plugin for Vectors {
    const NAME: Option<&'static str> = Some("vectors");

    fn embed(context: &Context, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, HookError> {
        let caller = context.caller.as_deref().unwrap_or("nobody");
        log::info(format_args!("{} texts for `{model}` of `{}` from {caller}", texts.len(), context.pipeline));
        let vector = |text: &String| match model {
            "" => Ok(vec![text.len() as f32, text.split_whitespace().count() as f32, texts.len() as f32]),
            "halves" => Ok(vec![0.5, -0.25]),
            model => Err(HookError::Unsupported(format!("there is no model `{model}`"))),
        };
        texts.iter().map(vector).collect()
    }
}

cofferdam_guest::export!(Vectors: embedder);
