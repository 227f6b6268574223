//! Which of a stream's deltas a hook is shown, by the channels of the reply that it reads, and where the others go on beside what it gives back.
//! Invariant: what a hook does not read waits for nothing, and nothing of a choice goes on behind that choice's end.

use super::merge::channel_of;
use super::scope::Channels;
use crate::chat::{Delta, Piece};

/// What one hook is shown.
#[derive(Clone, Copy, Debug)]
pub struct Portion(pub(super) Channels);

impl Portion {
    pub(super) const ALL: Self = Self(Channels::ALL);

    /// Whether the hook is shown something of these.
    pub fn concerns(self, deltas: &[Delta]) -> bool {
        deltas.iter().any(|delta| self.has(delta))
    }

    /// The hook is shown nothing of the reply.
    pub(super) fn is_empty(self) -> bool {
        self.0 == Channels::NONE
    }

    /// Whether the hook is shown it. Ends of choices are shown to whoever reads something of the reply: what is held back goes out before them.
    pub(super) fn has(self, delta: &Delta) -> bool {
        if let Delta::Piece { piece: Piece::Fields(fields), .. } = delta
            && !fields.is_empty()
        {
            return fields.iter().any(|(name, _)| self.0.has(of_field(name)));
        }
        !self.is_empty() && says(delta).is_some_and(|channel| self.0.has(channel))
    }

    /// Whether it passes by the hook. What no hook is shown does not: the host has it.
    pub(super) fn passes(self, delta: &Delta) -> bool {
        !self.has(delta) && says(delta).is_some()
    }

    /// Of what was pushed, what passes by the hook.
    pub(super) fn beside(self, pushed: &[Delta]) -> Beside {
        if self.0 == Self::ALL.0 {
            return Beside::default();
        }
        let first = pushed.iter().position(|delta| self.has(delta)).unwrap_or(pushed.len());
        let passing = |deltas: &[Delta]| deltas.iter().filter(|delta| self.passes(delta)).cloned().collect();
        Beside { before: passing(&pushed[..first]), behind: passing(&pushed[first..]) }
    }
}

/// Takes a delta whose fields are of several channels apart, so that each is of one.
pub(super) fn split(deltas: &mut Vec<Delta>) {
    let mixed = |delta: &Delta| match delta {
        Delta::Piece { piece: Piece::Fields(fields), .. } => fields.windows(2).any(|pair| of_field(&pair[0].0) != of_field(&pair[1].0)),
        _ => false,
    };
    if !deltas.iter().any(mixed) {
        return;
    }
    let apart = std::mem::take(deltas).into_iter().flat_map(|delta| match delta {
        Delta::Piece { choice, piece: Piece::Fields(fields) } => {
            fields.into_iter().map(|field| Delta::Piece { choice, piece: Piece::Fields(vec![field]) }).collect()
        }
        delta => vec![delta],
    });
    *deltas = apart.collect();
}

/// What passes by a hook in one push.
#[derive(Default)]
pub(super) struct Beside {
    /// Before all that the hook is shown.
    before: Vec<Delta>,
    behind: Vec<Delta>,
}

impl Beside {
    /// `list`, which the hook gives back, with the others: those that came first go first, the rest behind what is given back and before the end of
    /// their choice. Where in between they stood cannot be said, for the hook may have held back, joined or cut what stood around them.
    pub(super) fn among(self, list: Vec<Delta>) -> Vec<Delta> {
        let Self { before, mut behind } = self;
        if before.is_empty() && behind.is_empty() {
            return list;
        }
        let mut out = before;
        for delta in list {
            if let Delta::Piece { choice: ending, piece: Piece::Finish(_) } = &delta {
                out.extend(behind.extract_if(.., |delta| matches!(delta, Delta::Piece { choice, .. } if choice == ending)));
            }
            out.push(delta);
        }
        out.extend(behind);
        out
    }
}

/// Whether it says something that a hook may be shown.
pub(super) fn shows(delta: &Delta) -> bool {
    says(delta).is_some()
}

/// The channel in which it says something to hooks; that of an end is none of them.
fn says(delta: &Delta) -> Option<Channels> {
    match delta {
        Delta::Piece { piece, .. } => channel(piece),
        Delta::Head { .. } | Delta::Usage(_) | Delta::UsageJson(_) | Delta::Fields(_) => None,
    }
}

/// The channel of a piece, of which the fields are all of one channel or all shown; none for what no hook is shown.
pub(super) fn channel(piece: &Piece) -> Option<Channels> {
    let (channel, text) = match piece {
        Piece::Text(text) => (Channels::TEXT, Some(text)),
        Piece::Refusal(text) => (Channels::REFUSAL, Some(text)),
        Piece::Reasoning(text) | Piece::Thought(text) => (Channels::REASONING, Some(text)),
        Piece::Arguments { text, .. } => (Channels::TOOL_CALLS, Some(text)),
        Piece::Call { .. } => (Channels::TOOL_CALLS, None),
        Piece::Fields(fields) => (fields.first().map_or(Channels::OTHER, |(name, _)| of_field(name)), None),
        Piece::Finish(_) => (Channels::NONE, None),
        Piece::Begin | Piece::Beside(_) => return None,
    };
    text.is_none_or(|text| !text.is_empty()).then_some(channel)
}

/// That of a field of a delta. Calls of kinds that are not modelled are calls.
pub(super) fn of_field(name: &str) -> Channels {
    if name == "tool_calls" { Channels::TOOL_CALLS } else { channel_of(name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::raw_json;

    fn piece(piece: Piece) -> Delta {
        Delta::Piece { choice: 0, piece }
    }

    fn text(text: &str) -> Delta {
        piece(Piece::Text(text.into()))
    }

    fn thought(text: &str) -> Delta {
        piece(Piece::Thought(text.into()))
    }

    fn finish() -> Delta {
        piece(Piece::Finish("stop".into()))
    }

    fn words(deltas: &[Delta]) -> String {
        let word = |delta: &Delta| match delta {
            Delta::Piece { piece: Piece::Text(text) | Piece::Thought(text) | Piece::Finish(text), .. } => text.clone(),
            other => format!("{other:?}"),
        };
        deltas.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    const TEXTS: Portion = Portion(Channels::TEXT);

    #[test]
    fn what_is_not_read_goes_where_it_stood_as_far_as_that_can_be_said() {
        let pushed = [thought("1"), text("a"), thought("2"), text("b"), thought("3"), finish()];
        let out = |list: Vec<Delta>| words(&TEXTS.beside(&pushed).among(list));
        assert_eq!(out(vec![text("ab"), finish()]), "1 ab 2 3 stop", "before the end of its choice");
        assert_eq!(out(vec![text("a")]), "1 a 2 3");
        assert_eq!(out(Vec::new()), "1 2 3", "it waits for nothing");
        let other = Delta::Piece { choice: 1, piece: Piece::Finish("length".into()) };
        assert_eq!(out(vec![other, text("a")]), "1 length a 2 3", "another choice's end is none for it");
        assert_eq!(words(&Portion(Channels::ALL).beside(&pushed).among(vec![text("a")])), "a");
    }

    #[test]
    fn ends_are_shown_to_whoever_reads_something_and_what_is_the_hosts_to_nobody() {
        assert!(TEXTS.has(&finish()) && !Portion(Channels::NONE).has(&finish()) && Portion(Channels::NONE).passes(&finish()));
        for hosts in [piece(Piece::Begin), piece(Piece::Beside(Vec::new())), text(""), Delta::Fields(Vec::new())] {
            assert!(!Portion(Channels::ALL).has(&hosts) && !TEXTS.passes(&hosts), "{hosts:?}");
        }
    }

    #[test]
    fn fields_of_several_channels_are_taken_apart() {
        let fields = ["annotations", "tool_calls", "refusal"].map(|name| (name.to_owned(), raw_json(&[1])));
        let all = vec![piece(Piece::Fields(fields.to_vec()))];
        for (reads, shown) in [(Channels::ALL, 3), (Channels::OTHER, 1), (Channels::TOOL_CALLS, 1), (Channels::TEXT, 0)] {
            let (portion, mut deltas) = (Portion(reads), all.clone());
            assert_eq!(portion.concerns(&deltas), shown > 0);
            split(&mut deltas);
            assert_eq!(deltas.iter().filter(|delta| portion.has(delta)).count(), shown, "{deltas:?}");
        }
    }
}
