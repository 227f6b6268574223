//! The same weights give the same vectors here and elsewhere.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};

use super::folders::{model, write};
use crate::*;

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

/// Texts of every length and of several scripts, always the same.
pub(super) fn texts() -> Vec<String> {
    let odd = [
        "a",
        "x",
        "…",
        "😀",
        "😀😀😀 party 🎉",
        "漢字テスト 日本語の文章",
        "如何测量超声速流动中的传热",
        "ABC-123_x.y(z)",
        "  around  ",
        "# Heading\n\n* item\n* item two\n",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "fn main() { println!(\"{}\", 1); }",
        "مرحبا بالعالم",
        "Привет, мир",
        "\u{200b}zero",
        "\u{202e}right to left\u{202c}",
        "नमस्ते दुनिया",
        "\u{1} control",
        "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    ];
    let words = [
        "heat", "transfer", "boundary", "layer", "wing", "pump", "invoice", "refund", "vaccine", "dose", "Wärme", "déjà", "1999", "2.5",
        "%", "river", "poem",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut of_words = |count: usize| (0..count).map(|_| words[random.usize(..words.len())]).collect::<Vec<_>>().join(" ");
    let mut texts: Vec<String> = odd.into_iter().map(str::to_owned).collect();
    texts.extend((1..=40).map(&mut of_words));
    texts.extend([60, 90, 126, 127, 128, 129, 500].map(&mut of_words));
    texts.push("a".repeat(300));
    texts
}

#[test]
fn the_built_in_model_gives_the_vectors_of_its_package_alone_and_in_a_batch() {
    let ours = Encoder::builtin().unwrap();
    let theirs = pocket_encoder::Encoder::new().unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = ours.embed(&texts, Purpose::Document).unwrap();
    for (text, in_batch) in texts.iter().zip(&batch) {
        let alone = ours.embed(&[text], Purpose::Query).unwrap().remove(0);
        assert_eq!(&alone, in_batch, "the batch changes {text:?}");
        let right = theirs.embed(&[text.trim_start()]).unwrap().remove(0);
        let found = cosine(&alone, &right);
        assert!(found > 0.999_999, "{text:?}: {found}");
    }
    assert_eq!((ours.dimensions(), ours.fingerprint()), (384, &*Encoder::builtin_model().0));
}

#[test]
fn a_text_of_any_length_gives_a_unit_vector_and_a_blank_one_gives_none() {
    let ours = Encoder::builtin().unwrap();
    let long = format!("{}pump{}", " ".repeat(2 * TEXT_BYTES), " é".repeat(TEXT_BYTES));
    for vector in ours.embed(&["pump", &long], Purpose::Document).unwrap() {
        assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert!(ours.embed(&["pump", " \n\t"], Purpose::Document).is_err());
    assert_eq!(ours.embed(&[], Purpose::Document).unwrap(), Vec::<Vec<f32>>::new());
}

/// The mean of candle's rows, or the first of them.
fn candle(dir: &Path, ids: &[u32], pooling: Pooling) -> Vec<f32> {
    let config: Config = serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap();
    let tensors = candle_core::safetensors::load(dir.join("model.safetensors"), &Device::Cpu).unwrap();
    let model = BertModel::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), &config).unwrap();
    let ids = Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let rows = model.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap().squeeze(0).unwrap();
    match pooling {
        Pooling::Mean => rows.mean(0).unwrap().to_vec1().unwrap(),
        Pooling::Cls => rows.to_vec2().unwrap().remove(0),
    }
}

#[test]
fn a_model_in_a_folder_gives_the_vectors_that_candle_computes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    // Heads of 64, a depth that is no multiple of the rows worked on at a time, and one that is more.
    write(dir.path(), &model(128, 2, 3, 416));
    for pooling in [Pooling::Mean, Pooling::Cls] {
        let settings = Settings { pooling: Some(pooling), ..Settings::default() };
        let ours = Encoder::open(dir.path(), &settings).unwrap();
        for text in ["a", "a b c d e f g", &"c a b ".repeat(12)] {
            let ids = ours.tokens(text, Purpose::Document).unwrap();
            let found = cosine(&ours.embed(&[text], Purpose::Document).unwrap()[0], &candle(dir.path(), &ids, pooling));
            assert!(found > 0.999_99, "{pooling:?} {text:?}: {found}");
        }
    }
}
