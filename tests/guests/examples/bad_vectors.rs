//! Computes vectors, each model of which is wrong in the way that it is called by.

use cofferdam_guest::{Context, HookError, Plugin, log};

struct BadVectors;

impl Plugin for BadVectors {
    const NAME: Option<&'static str> = Some("bad-vectors");

    fn embed(_context: &Context, model: &str, texts: &[String]) -> Result<Vec<Vec<f32>>, HookError> {
        let mut good = vec![vec![1.0, 2.0]; texts.len()];
        match model {
            "too-few" => good.truncate(1),
            "too-many" => good.push(vec![1.0, 2.0]),
            "none" => good.clear(),
            "empty" => good.iter_mut().for_each(Vec::clear),
            "ragged" => good[1].push(3.0),
            // Its calls differ: those of the second batch are about longer texts.
            "ragged-later" => good.iter_mut().for_each(|vector| vector.resize(texts[0].len(), 0.0)),
            "nan" => good[1][1] = f32::NAN,
            "infinite" => good[0][0] = f32::INFINITY,
            "long" => good.iter_mut().for_each(|vector| vector.resize(9_000, 0.0)),
            // A hundred million bytes.
            "huge" => good[0] = vec![0.0; 25_000_000],
            "many" => good = vec![Vec::new(); 2_000_000],
            "loop" => loop {
                core::hint::black_box(());
            },
            "trap" => panic!("it panics"),
            "fails" => return Err(HookError::Unavailable("its server is away".to_owned())),
            "sleeper" => {
                log::info("it sleeps");
                std::thread::sleep(std::time::Duration::from_secs(3_600));
            }
            _ => {}
        }
        Ok(good)
    }
}

cofferdam_guest::export!(BadVectors: embedder);
