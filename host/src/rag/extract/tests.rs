//! How many files are read at once: with a program in the place of ours that says when it begins and ends, and ends when it may.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join_all, poll_immediate};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// A program that writes a file `begun-PID`, takes a file `may-*` away, and writes `ended-PID`.
fn program(folder: &Path) -> PathBuf {
    let (path, folder) = (folder.join("program"), folder.display());
    let script = format!(
        "#!/bin/sh\ncat > /dev/null\ncd {folder}\n: > begun-$$\nuntil for may in may-*; do mv $may taken-$$ 2> /dev/null && break; done; [ -e taken-$$ ]; do sleep 0.01; done\n: > ended-$$\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn count(folder: &Path, word: &str) -> usize {
    std::fs::read_dir(folder).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(word)).count()
}

#[tokio::test]
async fn as_many_files_are_read_at_once_as_may_be_and_the_next_one_when_one_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { extract_concurrency: 2, ..Limits::default() };
    let extractor = Extractor::new(program(folder.path()), limits);
    let reading = (0..5).map(|_| extractor.extract("a.html", None, Bytes::from_static(b"<html><p>words"), &Client::Host));
    let mut all = pin!(join_all(reading));
    // At the end all have ended.
    for (may, begun) in [(0, 2), (1, 3), (2, 5), (2, usize::MAX)] {
        for at in 0..may {
            std::fs::write(folder.path().join(format!("may-{begun}-{at}")), "").unwrap();
        }
        // The ended ones are counted last, so that none of them was still running when the begun ones were.
        let until = async {
            loop {
                if poll_immediate(&mut all).await.is_some() {
                    break;
                }
                let there = count(folder.path(), "begun-");
                assert!(there <= count(folder.path(), "ended-") + 2, "no more than two at once");
                if there >= begun && count(folder.path(), "may-") == 0 {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, until).await.unwrap();
    }
    assert_eq!((count(folder.path(), "begun-"), extractor.places.held()), (5, 0));
}
