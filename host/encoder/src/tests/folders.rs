//! Folders as publishers give them, made of random numbers, and what is wrong with some.

use std::collections::BTreeMap;
use std::fs;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use serde_json::{Value, json};

use crate::*;

/// A model of random numbers, by the names of its files.
pub(super) type Files = BTreeMap<&'static str, Vec<u8>>;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

pub(super) fn write(dir: &Path, files: &Files) {
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn safetensors(tensors: &Tensors) -> Vec<u8> {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> =
        tensors.iter().map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect())).collect();
    let views = bytes.iter().map(|(name, shape, bytes)| (name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    serialize(views, None).unwrap()
}

/// Words of one letter, with the marks of BERT around them.
fn tokenizer_json() -> Value {
    let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "e", "f", "g"];
    let vocabulary: serde_json::Map<String, Value> = vocabulary.iter().enumerate().map(|(at, word)| ((*word).into(), at.into())).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    })
}

pub(super) fn model(hidden: usize, heads: usize, layers: usize, intermediate: usize) -> Files {
    let mut random = fastrand::Rng::with_seed(3);
    let mut tensors = Tensors::new();
    let mut add = |name: String, shape: &[usize], middle: f32| {
        let values = (0..shape.iter().product()).map(|_| middle + (random.f32() - 0.5) * 0.4).collect();
        tensors.insert(name, (shape.to_vec(), values));
    };
    for (name, rows) in [("word", 11), ("position", 40), ("token_type", 2)] {
        add(format!("embeddings.{name}_embeddings.weight"), &[rows, hidden], 0.0);
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..layers {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let same = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];
        let dense = same
            .map(|part| (part, hidden, hidden))
            .into_iter()
            .chain([("intermediate.dense", intermediate, hidden), ("output.dense", hidden, intermediate)]);
        for (part, to, from) in dense {
            add(name(&format!("{part}.weight")), &[to, from], 0.0);
            add(name(&format!("{part}.bias")), &[to], 0.0);
        }
        norms.extend([name("attention.output.LayerNorm"), name("output.LayerNorm")]);
    }
    for norm in norms {
        add(format!("{norm}.weight"), &[hidden], 1.0);
        add(format!("{norm}.bias"), &[hidden], 0.0);
    }
    let config = json!({
        "model_type": "bert", "hidden_size": hidden, "num_attention_heads": heads, "num_hidden_layers": layers, "intermediate_size": intermediate,
        "vocab_size": 11, "max_position_embeddings": 40, "type_vocab_size": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.0,
        "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0, "position_embedding_type": "absolute",
    });
    Files::from([
        ("config.json", config.to_string().into_bytes()),
        ("tokenizer.json", tokenizer_json().to_string().into_bytes()),
        ("model.safetensors", safetensors(&tensors)),
    ])
}

fn opened(files: &Files) -> Result<Encoder, String> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    Encoder::open(dir.path(), &Settings::default()).map_err(|e| e.to_string())
}

/// With one more file, or another one.
fn with(name: &'static str, text: &str) -> Files {
    let mut files = model(64, 2, 1, 64);
    files.insert(name, text.as_bytes().to_vec());
    files
}

#[test]
fn what_cannot_be_computed_is_refused_with_the_file_and_the_reason() {
    let config = |key: &str, value: Value| {
        let mut config: Value = serde_json::from_slice(&model(64, 2, 1, 64)["config.json"]).unwrap();
        config[key] = value;
        with("config.json", &config.to_string())
    };
    let without = |name: &str| model(64, 2, 1, 64).into_iter().filter(|(file, _)| *file != name).collect::<Files>();
    let mut pickle = without("model.safetensors");
    pickle.insert("pytorch_model.bin", b"\x80\x02}".to_vec());
    let mut parts = without("model.safetensors");
    parts.insert("model.safetensors.index.json", b"{}".to_vec());
    let cases = [
        (without("config.json"), "config.json"),
        (without("tokenizer.json"), "tokenizer.json"),
        (without("model.safetensors"), "model.safetensors"),
        (pickle, "pickle"),
        (parts, "several files"),
        (config("model_type", "gpt2".into()), "the model is gpt2; bert, roberta and xlm-roberta"),
        (config("hidden_act", "relu".into()), "`hidden_act` is \"relu\""),
        (config("position_embedding_type", "relative_key".into()), "position_embedding_type"),
        (config("hidden_size", 0.into()), "`hidden_size`"),
        (config("hidden_size", 60.into()), "multiples of 32"),
        (config("num_attention_heads", 3.into()), "multiples of 32"),
        (config("vocab_size", 12.into()), "is [11, 64], not [12, 64]"),
        (config("num_hidden_layers", 2.into()), "holds no `encoder.layer.1"),
        (with("config.json", "{"), "not JSON"),
        (with("tokenizer.json", "{}"), "tokenizer.json"),
        (with("model.safetensors", "\0\0\0"), "model.safetensors"),
        (with("1_Pooling/config.json", r#"{"pooling_mode_max_tokens": true}"#), "pooling_mode_max_tokens; mean and cls"),
        (with("modules.json", r#"[{"type": "sentence_transformers.models.Dense"}]"#), "a part \"Dense\""),
        (with("sentence_bert_config.json", r#"{"max_seq_length": 2}"#), "2 tokens"),
    ];
    for (files, wanted) in cases {
        let error = opened(&files).err().unwrap_or_else(|| panic!("{wanted}: it was opened"));
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    opened(&model(64, 2, 1, 64)).unwrap();
}

#[test]
fn a_tokenizer_of_another_model_gives_an_error_and_no_vector() {
    let mut tokenizer = tokenizer_json();
    tokenizer["model"]["vocab"]["g"] = 5000.into();
    let ours = opened(&with("tokenizer.json", &tokenizer.to_string())).unwrap();
    assert!(ours.embed(&["a b"], Purpose::Document).is_ok());
    assert!(ours.embed(&["a g"], Purpose::Document).unwrap_err().to_string().contains("does not know"));
}

#[test]
fn the_folder_says_how_to_pool_what_to_put_before_a_text_and_how_much_to_read_and_the_operator_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("e5-small-v2");
    write(&folder, &model(64, 2, 1, 64));
    let open = |settings: &Settings| Encoder::open(&folder, settings).unwrap();
    let before = |encoder: &Encoder| (encoder.prefixes.query.clone(), encoder.prefixes.document.clone());
    let plain = open(&Settings::default());
    assert_eq!(before(&plain), ("query: ".into(), "passage: ".into()));
    write(
        &folder,
        &Files::from([
            ("config_sentence_transformers.json", br#"{"prompts": {"query": "a ", "document": ""}}"#.to_vec()),
            ("1_Pooling/config.json", br#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#.to_vec()),
            ("sentence_bert_config.json", br#"{"max_seq_length": 5}"#.to_vec()),
        ]),
    );
    let told = open(&Settings::default());
    assert_eq!(before(&told), ("a ".into(), "passage: ".into()));
    assert!(matches!(told.model, Model::Bert { pooling: Pooling::Cls, .. }));
    assert_ne!(told.embed(&["b"], Purpose::Query).unwrap(), told.embed(&["b"], Purpose::Document).unwrap());
    assert_eq!(told.tokens("a b c d e f", Purpose::Query).unwrap(), [2, 4, 4, 5, 3]);
    let settings = Settings {
        pooling: Some(Pooling::Mean),
        query_prefix: Some(String::new()),
        document_prefix: Some("b ".into()),
        max_tokens: Some(1000),
    };
    let ours = open(&settings);
    assert_eq!(before(&ours), (String::new(), "b ".into()));
    assert!(matches!(ours.model, Model::Bert { pooling: Pooling::Mean, .. }));
    // As many as the model has positions.
    assert_eq!(ours.tokens(&"a ".repeat(100), Purpose::Query).unwrap().len(), 40);
    let all = [plain.fingerprint(), told.fingerprint(), ours.fingerprint()];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "vectors that differ have the same name");
}

#[test]
fn a_static_model_gives_the_mean_of_its_tokens_and_reads_weights_and_shared_rows() {
    let mut rows = vec![0.0_f32; 11 * 3];
    rows[4 * 3..5 * 3].copy_from_slice(&[3.0, 0.0, 0.0]);
    rows[5 * 3..6 * 3].copy_from_slice(&[0.0, 1.0, 0.0]);
    rows[3..6].copy_from_slice(&[9.0, 9.0, 9.0]);
    let mut tensors = Tensors::from([("embeddings".to_owned(), (vec![11, 3], rows))]);
    let open = |tensors: &Tensors| {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &Files::from([("tokenizer.json", tokenizer_json().to_string().into_bytes()), ("model.safetensors", safetensors(tensors))]),
        );
        Encoder::open_static(dir.path()).map_err(|e| e.to_string())
    };
    let near = |found: &[f32], right: [f32; 3]| found.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-6);
    let plain = open(&tensors).unwrap();
    let vectors = plain.embed(&["a", "b b", "a b b b", "a unheard of", "unheard"], Purpose::Query).unwrap();
    let half = 0.5_f32.sqrt();
    for (found, right) in vectors.iter().zip([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [half, half, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]) {
        assert!(near(found, right), "{found:?} {right:?}");
    }
    tensors.insert("weights".into(), (vec![11], (0..11).map(|at| if at == 5 { 3.0 } else { 1.0 }).collect()));
    let weighted = open(&tensors).unwrap();
    assert!(near(&weighted.embed(&["a b"], Purpose::Query).unwrap()[0], [half, half, 0.0]));
    assert_ne!(plain.fingerprint(), weighted.fingerprint());
    tensors.remove("embeddings");
    assert!(open(&tensors).err().unwrap().contains("holds no `embeddings`"));
}
