//! A sentence transformer as its publisher gives it: a folder with weights, a tokenizer and what the model is. Only files that are nothing but
//! data are read; a pickle can run code when it is opened, so it never is.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::bert::{Bert, Shape};
use crate::weights::Weights;
use crate::{Encoder, Error, Model, Pooling, Prefixes, tokenizer};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// The largest file that describes something.
const JSON_BYTES_MAX: u64 = 64 << 20;
/// Weights that are pickles.
const PICKLES: [&str; 2] = ["pytorch_model.bin", "model.pt"];

/// What the operator says of a model. What is `None`, the folder says, or what is known of its family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub pooling: Option<Pooling>,
    pub query_prefix: Option<String>,
    pub document_prefix: Option<String>,
    /// Tokens that are read of a text.
    pub max_tokens: Option<usize>,
}

pub(crate) fn open(dir: &Path, settings: &Settings) -> Result<Encoder, Error> {
    let refused = |name: &str, why: String| Error::Refused { path: dir.join(name), why };
    let config = json(dir, "config.json")?;
    let shape = Shape::read(&config).map_err(|why| refused("config.json", why))?;
    only_known_modules(dir)?;
    let pooling = settings.pooling.map_or_else(|| pooling(dir), Ok)?;
    let prefixes = prefixes(dir, &config, settings)?;
    let told = optional(dir, "sentence_bert_config.json")?
        .and_then(|config| config.get("max_seq_length").and_then(Value::as_u64))
        .map(|tokens| tokens as usize);
    let tokens = settings.max_tokens.or(told).unwrap_or(shape.tokens()).min(shape.tokens());
    // The marks at both ends, and one token between them.
    if tokens < 3 {
        return Err(refused("sentence_bert_config.json", format!("the model would read {tokens} tokens of a text")));
    }
    let cut = bytes(dir, "tokenizer.json", JSON_BYTES_MAX)?;
    let tokenizer = tokenizer(&cut, tokens).map_err(|why| refused("tokenizer.json", why))?;
    let file = weights(dir)?;
    let bert = Weights::plain(&file).and_then(|weights| Bert::load(&weights, shape)).map_err(|why| refused("model.safetensors", why))?;
    let said = format!("{config} {pooling:?} {tokens} {prefixes:?}");
    let fingerprint = fingerprint("bert", &[&file, &cut, said.as_bytes()]);
    Ok(Encoder { tokenizer, model: Model::Bert { bert, pooling }, prefixes, fingerprint })
}

/// The weights' file.
pub(crate) fn weights(dir: &Path) -> Result<Vec<u8>, Error> {
    let name = "model.safetensors";
    if !dir.join(name).exists() {
        let refused = |why: &str| Err(Error::Refused { path: dir.join(name), why: why.into() });
        if PICKLES.iter().any(|name| dir.join(name).exists()) {
            return refused(
                "it is not there. The folder has weights as a pickle, which can run code and is never opened; take the model's safetensors file",
            );
        }
        if dir.join("model.safetensors.index.json").exists() {
            return refused("it is not there. The folder has weights in several files; only one file can be read");
        }
    }
    bytes(dir, name, FILE_BYTES_MAX)
}

/// Names everything that vectors depend on.
pub(crate) fn fingerprint(kind: &str, parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    format!("{kind} sha256:{}", HEXLOWER.encode(&hash.finalize()))
}

pub(crate) fn json(dir: &Path, name: &str) -> Result<Value, Error> {
    serde_json::from_slice(&bytes(dir, name, JSON_BYTES_MAX)?)
        .map_err(|e| Error::Refused { path: dir.join(name), why: format!("it is not JSON: {e}") })
}

fn optional(dir: &Path, name: &str) -> Result<Option<Value>, Error> {
    if dir.join(name).exists() { json(dir, name).map(Some) } else { Ok(None) }
}

pub(crate) fn bytes(dir: &Path, name: &str, most: u64) -> Result<Vec<u8>, Error> {
    let path = dir.join(name);
    let read = || -> std::io::Result<Vec<u8>> {
        let file = File::open(&path)?;
        let about = file.metadata()?;
        if !about.is_file() || about.len() > most {
            return Err(std::io::Error::other(format!("it is no file of at most {most} bytes")));
        }
        let mut bytes = Vec::with_capacity(about.len() as usize);
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| Error::Read { path: path.clone(), source })
}

/// Refuses a model whose vectors are made by more than a transformer and its pooling.
fn only_known_modules(dir: &Path) -> Result<(), Error> {
    let modules = optional(dir, "modules.json")?;
    for module in modules.iter().filter_map(Value::as_array).flatten() {
        let kind = module.get("type").and_then(Value::as_str).unwrap_or_default();
        let name = kind.rsplit('.').next().unwrap_or_default();
        if !["Transformer", "Pooling", "Normalize"].contains(&name) {
            return Err(Error::Refused {
                path: dir.join("modules.json"),
                why: format!("the model has a part {name:?}, which cannot be computed here"),
            });
        }
    }
    Ok(())
}

fn pooling(dir: &Path) -> Result<Pooling, Error> {
    let name = "1_Pooling/config.json";
    let Some(config) = optional(dir, name)? else { return Ok(Pooling::Mean) };
    let modes =
        config.as_object().into_iter().flatten().filter(|(key, value)| key.starts_with("pooling_mode_") && **value == Value::Bool(true));
    let modes: Vec<&str> = modes.map(|(key, _)| key.as_str()).collect();
    match modes[..] {
        ["pooling_mode_mean_tokens"] | [] => Ok(Pooling::Mean),
        ["pooling_mode_cls_token"] => Ok(Pooling::Cls),
        _ => Err(Error::Refused { path: dir.join(name), why: format!("it wants {}; mean and cls can be computed here", modes.join(", ")) }),
    }
}

/// What the operator says, else the folder, else what the model's makers say of its family.
fn prefixes(dir: &Path, config: &Value, settings: &Settings) -> Result<Prefixes, Error> {
    let told = optional(dir, "config_sentence_transformers.json")?.unwrap_or_default();
    let prompt =
        |names: &[&str]| names.iter().find_map(|name| told.get("prompts")?.get(*name)?.as_str()).filter(|prompt| !prompt.is_empty());
    let folder = dir.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let path = config.get("_name_or_path").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let known = [folder.as_str(), path.rsplit('/').next().unwrap_or_default()]
        .into_iter()
        .map(known_prefixes)
        .find(|known| *known != ("", ""))
        .unwrap_or_default();
    let query = settings.query_prefix.as_deref().or_else(|| prompt(&["query"])).unwrap_or(known.0);
    let document = settings.document_prefix.as_deref().or_else(|| prompt(&["document", "passage"])).unwrap_or(known.1);
    Ok(Prefixes { query: query.into(), document: document.into() })
}

/// What stands before questions and before documents in models of this name.
fn known_prefixes(name: &str) -> (&'static str, &'static str) {
    let word = |word: &str| name.split(['-', '_', '.']).any(|part| part == word);
    if word("e5") && !word("instruct") {
        ("query: ", "passage: ")
    } else if word("bge") && word("en") {
        ("Represent this sentence for searching relevant passages: ", "")
    } else {
        ("", "")
    }
}
