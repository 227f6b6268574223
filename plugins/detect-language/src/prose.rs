//! What of a message is prose. Code, links and addresses are of no language and lead detection astray.
//! What is left is short, however long the message is.

/// Detection gains nothing beyond it, and a document of a megabyte would cost the fuel of a thousand questions.
const ENOUGH_BYTES: usize = 4_000;

/// The words of `text` outside of code and links, as many as detection needs.
pub(crate) fn of(text: &str) -> String {
    let mut prose = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // Every second piece between backticks is code; a backtick without its like opens nothing.
            let pieces: Vec<&str> = line.split('`').collect();
            let paired = pieces.len() % 2 == 1;
            for piece in pieces.iter().step_by(if paired { 2 } else { 1 }) {
                push_words(&mut prose, piece);
            }
        }
        if prose.len() >= ENOUGH_BYTES {
            break;
        }
    }
    prose
}

fn push_words(prose: &mut String, text: &str) {
    for word in text.split_whitespace().filter(|word| !word.contains("://") && !word.contains('@')) {
        if prose.len() >= ENOUGH_BYTES {
            return;
        }
        prose.extend(word.chars().take(ENOUGH_BYTES));
        prose.push(' ');
    }
}
