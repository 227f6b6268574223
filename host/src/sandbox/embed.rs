//! Vectors of a plugin that computes some. Texts are handed over in batches, one after the other, each to a fresh instance that has a hook's place
//! and a hook's limits. Invariant: what leaves this file is one vector for each text, in order, all of one length and of finite numbers.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{Stream, stream};
use wasmtime::Store;

use super::bindings::types::HookError;
use super::call::Verdict;
use super::limits::EmbedBatch;
use super::outcome::reported;
use super::plugin::Plugin;
use super::shapes::Context;
use super::store::State;
use super::{Fault, FaultKind, Hook};
use crate::chat::Exchange;

/// The vectors of one batch, checked.
struct Vectors(Vec<Vec<f32>>);

impl Verdict for Vectors {
    fn word(&self) -> &'static str {
        "ok"
    }
}

impl Plugin {
    /// One vector for each text, in order; those of a batch come together, and a fault is the last item. `model` is what follows the plugin's name
    /// in the target, and the plugin's own affair. Dropping the stream ends the guest.
    pub fn embed(
        self: &Arc<Self>,
        model: &str,
        texts: Vec<String>,
        exchange: Exchange,
    ) -> impl Stream<Item = Result<Vec<Vec<f32>>, Fault>> + Send + use<> {
        let (plugin, model, texts) = (self.clone(), Arc::<str>::from(model), VecDeque::from(texts));
        // With them goes the length of the vectors so far.
        stream::try_unfold((plugin, model, exchange, texts, None), |(plugin, model, exchange, mut texts, length)| async move {
            let batch = next(&mut texts, plugin.embed_batch);
            if batch.is_empty() {
                return Ok(None);
            }
            let (exchange, vectors) = plugin.vectors(model.clone(), batch, length, exchange).await;
            let Vectors(vectors) = vectors?;
            let length = vectors.first().map(Vec::len);
            Ok(Some((vectors, (plugin, model, exchange, texts, length))))
        })
    }

    /// One call. `length` is that of the vectors before these.
    async fn vectors(
        &self,
        model: Arc<str>,
        texts: Vec<String>,
        length: Option<usize>,
        exchange: Exchange,
    ) -> (Exchange, Result<Vectors, Fault>) {
        let call = self.callee.call(Hook::Embed, &exchange);
        let Some(function) = self.exports.embedder else { return (exchange, Err(call.failed(FaultKind::NoHook))) };
        let guest = match call.guest().await {
            Ok(guest) => guest,
            Err(fault) => return (exchange, Err(fault)),
        };
        let (exports, most) = (self.exports.clone(), self.embed_batch.numbers);
        let bytes = texts.iter().map(String::len).sum();
        let work = Box::pin(async move {
            let ran = {
                let context = Context::of(&exchange);
                let parameters = (&context, &*model, texts.as_slice());
                guest.run(async |store: &mut Store<State>| exports.call(store, function, parameters).await).await
            };
            let checked = ran.check(|vectors: Result<Vec<Vec<f32>>, HookError>, _| {
                check(vectors.map_err(reported)?, texts.len(), length, most).map(Vectors).map_err(FaultKind::Invalid)
            });
            (exchange, checked)
        });
        call.settle(bytes, work).await
    }
}

/// The texts of the next call: as many as fit, and one in any case.
fn next(texts: &mut VecDeque<String>, batch: EmbedBatch) -> Vec<String> {
    let mut bytes = 0;
    let fits = |text: &&String| {
        bytes += text.len();
        bytes <= batch.bytes
    };
    let fitting = texts.iter().take(batch.texts).take_while(fits).count();
    texts.drain(..fitting.max(1).min(texts.len())).collect()
}

/// Checks the vectors of so many texts, those before which have that `length`.
///
/// # Errors
/// A sentence for the plugin's author.
fn check(vectors: Vec<Vec<f32>>, texts: usize, length: Option<usize>, most: usize) -> Result<Vec<Vec<f32>>, String> {
    if vectors.len() != texts {
        return Err(format!("it returned {} vectors for {texts} texts", vectors.len()));
    }
    let length = length.or_else(|| vectors.first().map(Vec::len)).unwrap_or_default();
    if length == 0 {
        return Err("it returned a vector of no numbers".into());
    }
    if length > most {
        return Err(format!("its vectors have {length} numbers; they may have {most} (`limits.plugins.embed_numbers`)"));
    }
    if let Some(other) = vectors.iter().find(|vector| vector.len() != length) {
        return Err(format!("it returned a vector of {length} numbers and one of {}", other.len()));
    }
    if vectors.iter().flatten().any(|number| !number.is_finite()) {
        return Err("it returned a number that is infinite or none at all".into());
    }
    Ok(vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_at_each_edge_and_a_text_that_is_longer_goes_alone() {
        let batches = |lengths: &[usize]| {
            let mut texts: VecDeque<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
            let mut batches = Vec::new();
            while !texts.is_empty() {
                let batch = next(&mut texts, EmbedBatch { texts: 3, bytes: 10, numbers: 1 });
                batches.push(batch.iter().map(String::len).collect::<Vec<_>>());
            }
            batches
        };
        assert_eq!(batches(&[1, 1, 1, 1]), [vec![1, 1, 1], vec![1]], "three texts");
        assert_eq!(batches(&[5, 5, 0, 6, 4, 1]), [vec![5, 5, 0], vec![6, 4], vec![1]], "ten bytes");
        assert_eq!(batches(&[11, 1, 50, 50]), [vec![11], vec![1], vec![50], vec![50]]);
        assert_eq!(next(&mut VecDeque::new(), EmbedBatch { texts: 3, bytes: 10, numbers: 1 }), Vec::<String>::new());
    }

    #[test]
    fn vectors_are_one_for_each_text_of_one_length_and_finite() {
        let said = |vectors: &[&[f32]], texts, length| check(vectors.iter().map(|vector| vector.to_vec()).collect(), texts, length, 3);
        assert_eq!(said(&[&[1.0, -2.0, 0.0], &[f32::MAX, f32::MIN, 5e-45]], 2, None).map(|vectors| vectors.len()), Ok(2));
        assert!(said(&[&[1.0, 2.0]], 1, Some(2)).is_ok());
        for (vectors, texts, length, why) in [
            (&[&[1.0f32][..]][..], 2, None, "1 vectors for 2 texts"),
            (&[&[1.0], &[1.0]], 1, None, "2 vectors for 1 texts"),
            (&[], 1, None, "0 vectors for 1 texts"),
            (&[&[]], 1, None, "no numbers"),
            (&[&[1.0], &[]], 2, None, "of 1 numbers and one of 0"),
            (&[&[1.0], &[1.0, 2.0]], 2, None, "of 1 numbers and one of 2"),
            (&[&[1.0]], 1, Some(2), "of 2 numbers and one of 1"),
            (&[&[1.0, 1.0, 1.0, 1.0]], 1, None, "`limits.plugins.embed_numbers`"),
            (&[&[f32::NAN]], 1, None, "infinite or none"),
            (&[&[1.0, f32::NEG_INFINITY]], 1, None, "infinite or none"),
        ] {
            assert!(said(vectors, texts, length).is_err_and(|said| said.contains(why)), "{why}");
        }
    }
}
