//! What a stream hook can do, well and badly. Settings: `mode`, and `act`, which it does when the text so far holds `boom`, or always if it
//! is one of the good ones.

use cofferdam_guest::{Delta, Ending, Farewell, HookError, Opened, Opening, Piece, Rejection, Step, StreamHook, Tail, Texts, config, log};

pub(crate) struct Streamer {
    act: String,
    seen: String,
    texts: Texts,
    held: Vec<Delta>,
    pushes: usize,
}

pub(crate) fn setting(name: &str) -> String {
    config::get(name).map(|json| json.trim_matches('"').to_owned()).unwrap_or_default()
}

/// A change that depends on what comes next: `secret` is starred, and all is in capitals.
fn starred(tail: &mut Tail, last: bool) -> String {
    const WORD: &str = "secret";
    let text = tail.as_str();
    let undecided = (1..WORD.len()).rev().find(|&n| text.ends_with(&WORD[..n])).unwrap_or(0);
    let end = if last { text.len() } else { text.len() - undecided };
    tail.take_to(end).replace(WORD, "******").to_uppercase()
}

fn text(choice: u32, text: &str) -> Delta {
    Delta { choice, piece: Piece::Text(text.to_owned()) }
}

fn rejection() -> Rejection {
    Rejection { status: 451, code: "too_much".to_owned(), message: "The reply was cut.".to_owned(), retry_after: None }
}

impl StreamHook for Streamer {
    fn open(opening: Opening) -> Result<Opened<Self>, HookError> {
        let act = setting("act");
        match act.as_str() {
            "error in open" => return Err(HookError::Unavailable("not today".to_owned())),
            "trap in open" => panic!("in open"),
            _ => {}
        }
        let hook = Self { act, seen: String::new(), texts: Texts::with_arguments(), held: Vec::new(), pushes: 0 };
        log::info(format_args!("opened for {} attempt {}", opening.model, opening.context.attempt));
        Ok(match setting("mode").as_str() {
            "skip" => Opened::Skip,
            "observe" => Opened::Observe(hook),
            _ => Opened::Transform(hook),
        })
    }

    fn push(&mut self, deltas: Vec<Delta>) -> Result<Step, HookError> {
        self.pushes += 1;
        for delta in &deltas {
            if let Piece::Text(text) = &delta.piece {
                self.seen.push_str(text);
            }
        }
        match self.act.as_str() {
            "tell" => {
                log::info(format_args!("shown: {deltas:?}"));
                return Ok(Step::Keep);
            }
            "star" => return Ok(self.texts.push(deltas, starred).into()),
            "hold" => {
                self.held.extend(deltas);
                return Ok(Step::Emit(Vec::new()));
            }
            "swallow" => return Ok(Step::Emit(Vec::new())),
            "keep the end" => {
                assert!(!self.seen.contains("boom"), "in push");
                let (ends, rest): (Vec<Delta>, Vec<Delta>) = deltas.into_iter().partition(|delta| matches!(delta.piece, Piece::Finish(_)));
                if !ends.is_empty() {
                    log::info("kept an end");
                }
                return Ok(rest.into());
            }
            "mark" => {
                let marked = deltas.into_iter().flat_map(|delta| match &delta.piece {
                    Piece::Finish(_) => vec![text(delta.choice, "!"), delta],
                    _ => vec![delta],
                });
                return Ok(marked.collect::<Vec<_>>().into());
            }
            _ if !self.seen.contains("boom") => return Ok(Step::Keep),
            "cut" => return Ok(rejection().into()),
            "trap" => panic!("in push"),
            "error" => return Err(HookError::Other("cannot go on".to_owned())),
            "loop" => loop {
                std::hint::black_box(());
            },
            "unknown choice" => return Ok(vec![text(7, "x")].into()),
            "after the end" => {
                let end = Delta { choice: 0, piece: Piece::Finish("stop".to_owned()) };
                return Ok(vec![end, text(0, "x")].into());
            }
            "bad json" => return Ok(vec![Delta { choice: 0, piece: Piece::Other("{nope".to_owned()) }].into()),
            "two keys" => return Ok(vec![Delta { choice: 0, piece: Piece::Other("{\"a\":1,\"b\":2}".to_owned()) }].into()),
            "flood" => return Ok((0..200_000).map(|_| text(0, "")).collect::<Vec<_>>().into()),
            "many" => return Ok((0..5_000).map(|_| text(0, "x")).collect::<Vec<_>>().into()),
            "two ends" => {
                let end = || Delta { choice: 0, piece: Piece::Finish("stop".to_owned()) };
                return Ok(vec![end(), end()].into());
            }
            "deep" => {
                let deep = format!("{{\"deep\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
                return Ok(vec![Delta { choice: 0, piece: Piece::Other(deep) }].into());
            }
            "no reason" => return Ok(vec![Delta { choice: 0, piece: Piece::Finish(String::new()) }].into()),
            "huge" => return Ok(vec![text(0, &"x".repeat(9 << 20))].into()),
            "memory" => {
                let mut all = Vec::new();
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                    std::hint::black_box(&all);
                }
            }
            _ => {}
        }
        Ok(Step::Keep)
    }

    fn close(&mut self, ending: Ending) -> Result<Farewell, HookError> {
        log::info(format_args!("closed {ending:?} after {} pushes, seen {}", self.pushes, self.seen));
        match self.act.as_str() {
            "star" => return Ok(Farewell::from(self.texts.close(starred))),
            "hold" => return Ok(std::mem::take(&mut self.held).into()),
            "trap in close" | "keep the end" => panic!("in close"),
            "flood in close" => return Ok((0..200_000).map(|_| text(0, "")).collect::<Vec<_>>().into()),
            "late" => return Ok(vec![text(0, "late")].into()),
            "bomb in close" => return Ok(Farewell::default().metadata("bomb", "x".repeat(300_000))),
            "loop in close" => loop {
                std::hint::black_box(());
            },
            "cut in close" => return Ok(Farewell::from(rejection()).metadata("pushes", self.pushes)),
            _ => {}
        }
        Ok(Farewell::default().metadata("pushes", self.pushes))
    }
}
