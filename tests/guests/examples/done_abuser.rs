//! Behaves badly when an exchange is over, in the way that its configuration names. Its post-hook does nothing.

use cofferdam_guest::{Exchange, HookError, Plugin, PostOutcome, Reply, config, log};

struct DoneAbuser;

impl Plugin for DoneAbuser {
    const NAME: Option<&'static str> = Some("done-abuser");

    fn on_reply(_reply: Reply) -> Result<PostOutcome, HookError> {
        Ok(PostOutcome::keep())
    }

    fn on_done(_exchange: Exchange) -> Result<(), HookError> {
        match config::get("how").as_deref().unwrap_or_default().trim_matches('"') {
            "loop" => loop {
                std::hint::black_box(0);
            },
            "sleep" => loop {
                std::thread::sleep(std::time::Duration::from_secs(3_600));
            },
            "trap" => panic!("on purpose"),
            "memory" => {
                let mut held = Vec::new();
                loop {
                    held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
                }
            }
            "flood" => (0..1_000).for_each(|line| log::info(format!("line {line}"))),
            _ => return Err(HookError::Unavailable("nobody answers".into())),
        }
        Ok(())
    }
}

cofferdam_guest::export!(DoneAbuser: post_hook, done_hook);
