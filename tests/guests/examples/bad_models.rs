//! A plugin of many models, each of which misbehaves in the way that it is called by.

use cofferdam_guest::{AnswerError, Delta, HookError, ModelInfo, Piece, Plugin, Question, answer};

const MODELS: [&str; 15] = [
    "endless",
    "empty-deltas",
    "nothing",
    "after-finish",
    "bad-json",
    "hidden-text",
    "loop",
    "trap",
    "late-trap",
    "fails",
    "late-failure",
    "huge",
    "other-choice",
    "statuses",
    "sleeper",
];

struct BadModels;

impl Plugin for BadModels {
    const NAME: Option<&'static str> = Some("bad-models");

    fn models() -> Result<Vec<ModelInfo>, HookError> {
        Ok(MODELS.map(ModelInfo::new).to_vec())
    }

    fn answer(question: Question) -> Result<(), AnswerError> {
        match question.model.as_str() {
            "endless" => loop {
                answer::text("more and more and more and more and more and more and more and more and more and more and more of it");
            },
            "empty-deltas" => loop {
                answer::text("");
            },
            "nothing" => {}
            "after-finish" => {
                answer::text("a word");
                answer::finish("stop");
                answer::text("another word");
            }
            "bad-json" => answer::piece(Piece::Other("{".to_owned())),
            "hidden-text" => answer::piece(Piece::Other(r#"{"Content":"unseen"}"#.to_owned())),
            "loop" => loop {
                core::hint::black_box(());
            },
            "sleeper" => loop {
                std::thread::sleep(std::time::Duration::from_secs(3_600));
            },
            "trap" => panic!("it panics"),
            "late-trap" => {
                answer::text("a word");
                panic!("it panics");
            }
            "fails" => return Err(HookError::Unavailable("its server is away".to_owned()).into()),
            "late-failure" => {
                answer::text("a word");
                return Err(HookError::Unavailable("its server went away".to_owned()).into());
            }
            "huge" => answer::text(&"x".repeat(2 << 20)),
            "other-choice" => answer::write(vec![Delta { choice: 7, piece: Piece::Text("unasked".to_owned()) }]),
            _ => loop {
                answer::status("still here", false);
            },
        }
        Ok(())
    }
}

cofferdam_guest::export!(BadModels: model);
