//! What a stream hook was shown and may not write. It may hold that back and must give it back as it came, in pieces of its own choice.
//! Invariant: nothing goes on in such a channel but what has come, in its order, and no choice ends before all of it has gone on.

use std::collections::HashMap;

use super::portion::channel;
use super::scope::{Channels, Data, Scope};
use crate::chat::codec::{object, raw_json};
use crate::chat::{Delta, Fields, Json, Piece};

/// Of one hook and reply.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    choices: HashMap<u32, Due>,
    bytes: usize,
}

/// What is still to come back of one choice.
#[derive(Debug, Default)]
struct Due {
    texts: HashMap<Text, String>,
    /// Calls and fields, of which each comes back whole.
    whole: Vec<(Channels, String)>,
    finish: Option<String>,
}

/// One text of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Text {
    Answer,
    Refusal,
    Reasoning,
    Thought,
    /// The arguments of that call.
    Arguments(u32),
}

/// A piece as it is compared.
enum Part<'a> {
    Text(Text, &'a str),
    Whole(String),
}

impl Unwritten {
    /// Nothing is held back.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Notes what the hook is shown. `most` bytes may be held back: a hook whose memory is not larger has lost what is more.
    ///
    /// # Errors
    /// That it is more, as a sentence.
    pub(super) fn came(&mut self, deltas: &[Delta], scope: &Scope, most: usize) -> Result<(), String> {
        let (reads, writes) = (scope.reads.reply, scope.writes.reply);
        for delta in deltas {
            let Delta::Piece { choice, piece } = delta else { continue };
            let Some(channel) = channel(piece).filter(|channel| reads.has(*channel)) else { continue };
            let due = self.choices.entry(*choice).or_default();
            if let Piece::Finish(reason) = piece {
                due.finish = Some(reason.clone());
                continue;
            }
            if writes.has(channel) {
                continue;
            }
            for part in parts(piece) {
                self.bytes += part.bytes();
                match part {
                    Part::Text(of, text) => due.texts.entry(of).or_default().push_str(text),
                    Part::Whole(json) => due.whole.push((channel, json)),
                }
            }
        }
        if self.bytes > most {
            Err(format!("it holds back {} bytes that it may not change, more than its memory has", self.bytes))
        } else {
            Ok(())
        }
    }

    /// Checks a piece that the hook gives back.
    ///
    /// # Errors
    /// What it may not do, and which word is missing where.
    pub(super) fn returns(&mut self, choice: u32, piece: &Piece, scope: &Scope) -> Result<(), String> {
        let Data { reply: reads, .. } = scope.reads;
        let Data { reply: writes, .. } = scope.writes;
        let Some(of) = channel(piece) else { return Ok(()) };
        if let Piece::Finish(reason) = piece {
            self.nothing_left_of(choice, scope)?;
            let known = self.choices.get_mut(&choice).and_then(|due| due.finish.take());
            let allowed = writes == Channels::ALL || known.as_ref() == Some(reason);
            return if allowed { Ok(()) } else { Err(scope.beyond("changes why a choice ends", "reply")) };
        }
        let name = of.word();
        if !reads.has(of) {
            return Err(format!("it gives back `{name}` of a reply of which it is shown none: `reply.{name}` is not among what it reads"));
        }
        if writes.has(of) {
            return Ok(());
        }
        let due = self.choices.entry(choice).or_default();
        for part in parts(piece) {
            let same = match &part {
                Part::Text(text, more) => due.texts.get_mut(text).is_some_and(|due| {
                    let same = due.starts_with(more);
                    if same {
                        due.drain(..more.len());
                    }
                    same
                }),
                Part::Whole(json) => {
                    let at = due.whole.iter().position(|(channel, due)| *channel == of && due == json);
                    at.map(|at| due.whole.remove(at)).is_some()
                }
            };
            if !same {
                return Err(scope.beyond(&format!("changes `{name}` of the reply"), &format!("reply.{name}")));
            }
            self.bytes -= part.bytes();
        }
        Ok(())
    }

    /// For the end of the reply.
    ///
    /// # Errors
    /// What the hook left out.
    pub(super) fn nothing_left(&self, scope: &Scope) -> Result<(), String> {
        self.choices.keys().try_for_each(|choice| self.nothing_left_of(*choice, scope))
    }

    fn nothing_left_of(&self, choice: u32, scope: &Scope) -> Result<(), String> {
        let Some(due) = self.choices.get(&choice) else { return Ok(()) };
        let text = due.texts.iter().find(|(_, text)| !text.is_empty()).map(|(of, _)| of.channel());
        match text.or_else(|| due.whole.first().map(|(channel, _)| *channel)) {
            None => Ok(()),
            Some(channel) => {
                let name = channel.word();
                Err(scope.beyond(&format!("takes away `{name}` of the reply"), &format!("reply.{name}")))
            }
        }
    }
}

impl Text {
    fn channel(self) -> Channels {
        match self {
            Self::Answer => Channels::TEXT,
            Self::Refusal => Channels::REFUSAL,
            Self::Reasoning | Self::Thought => Channels::REASONING,
            Self::Arguments(_) => Channels::TOOL_CALLS,
        }
    }
}

impl Part<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(_, text) => text.len(),
            Self::Whole(json) => json.len(),
        }
    }
}

/// What is said beside a call comes back as another field, in any order, so it is one here.
fn parts(piece: &Piece) -> Vec<Part<'_>> {
    let field = |(name, json): &(String, Json)| Part::Whole(format!("{name} {}", json.get()));
    match piece {
        Piece::Text(text) => vec![Part::Text(Text::Answer, text)],
        Piece::Refusal(text) => vec![Part::Text(Text::Refusal, text)],
        Piece::Reasoning(text) => vec![Part::Text(Text::Reasoning, text)],
        Piece::Thought(text) => vec![Part::Text(Text::Thought, text)],
        Piece::Arguments { index, text } => vec![Part::Text(Text::Arguments(*index), text)],
        Piece::Call { index, id, name, extra } => {
            let call = Part::Whole(format!("call {index} {id} {name}"));
            let beside = (!extra.is_empty()).then(|| field(&said_beside(*index, extra)));
            std::iter::once(call).chain(beside).collect()
        }
        Piece::Fields(fields) => fields.iter().map(field).collect(),
        Piece::Finish(_) | Piece::Begin | Piece::Beside(_) => Vec::new(),
    }
}

/// What else is said of a call, as the field of a delta that a hook is shown.
pub(super) fn said_beside(index: u32, extra: &Fields) -> (String, Json) {
    let mut entry: Fields = vec![("index".to_owned(), raw_json(&index))];
    entry.extend(extra.iter().cloned());
    ("tool_calls".to_owned(), raw_json(&[object(&entry)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::PluginConfig;
    use crate::sandbox::scope::Declared;

    fn scope(reads: &[&str], writes: &[&str]) -> Scope {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        Scope::new("p", Declared { reads: words(reads), writes: words(writes) }, &PluginConfig::default()).expect("known words")
    }

    fn of(choice: u32, piece: Piece) -> Delta {
        Delta::Piece { choice, piece }
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    fn finish(reason: &str) -> Piece {
        Piece::Finish(reason.into())
    }

    /// What comes of giving these back after those have come, and then of the reply's end.
    fn given(scope: &Scope, came: &[Piece], back: &[Piece]) -> Result<(), String> {
        let mut unwritten = Unwritten::default();
        let came: Vec<Delta> = came.iter().map(|piece| of(0, piece.clone())).collect();
        unwritten.came(&came, scope, usize::MAX)?;
        back.iter().try_for_each(|piece| unwritten.returns(0, piece, scope))?;
        unwritten.nothing_left(scope)
    }

    #[test]
    fn what_may_not_be_written_comes_back_as_it_was_however_it_is_cut() {
        let scope = scope(&["reply"], &["reject"]);
        let thought = |text: &str| Piece::Thought(text.into());
        let came = [text("ab"), thought("x"), text("cd"), thought("y"), finish("stop")];
        assert_eq!(given(&scope, &came, &came), Ok(()));
        assert_eq!(given(&scope, &came, &[thought("xy"), text("a"), text("bcd"), finish("stop")]), Ok(()));
        for (back, why) in [
            (vec![text("abcd"), thought("yx"), finish("stop")], "changes `reasoning` of the reply"),
            (vec![text("abcde")], "changes `text` of the reply"),
            (vec![text("ab"), thought("xy"), finish("stop")], "takes away `text` of the reply"),
            (vec![text("abcd"), thought("x")], "takes away `reasoning` of the reply"),
            (vec![Piece::Refusal("no".into())], "changes `refusal` of the reply"),
            (vec![text("abcd"), thought("xy"), finish("length")], "changes why a choice ends"),
        ] {
            let said = given(&scope, &came, &back).expect_err("it is not what came");
            assert!(said.contains(why) && said.contains("would have to stand in `writes`"), "{said}");
        }
    }

    #[test]
    fn a_channel_that_is_written_is_free_and_one_that_is_not_read_is_closed() {
        let scope = scope(&["reply.text", "reply.refusal"], &["reply.text", "reply.reasoning"]);
        let came = [text("secret"), Piece::Refusal("no".into()), finish("stop")];
        assert_eq!(given(&scope, &came, &[Piece::Refusal("no".into()), text("******"), finish("stop")]), Ok(()));
        let said = given(&scope, &came, &[Piece::Reasoning("hm".into())]).expect_err("it is shown none");
        assert!(said.contains("`reply.reasoning` is not among what it reads"), "{said}");
        assert!(given(&scope, &came, &[text("x"), finish("stop")]).is_err_and(|why| why.contains("takes away `refusal`")));
    }

    #[test]
    fn calls_and_fields_come_back_whole_and_what_is_said_beside_a_call_in_any_order() {
        let scope = scope(&["reply"], &[]);
        let extra: Fields = vec![("thought".to_owned(), raw_json(&"t"))];
        let call = |name: &str, extra: Fields| Piece::Call { index: 0, id: "c".into(), name: name.into(), extra };
        let arguments = |text: &str| Piece::Arguments { index: 0, text: text.into() };
        let field = |value: u8| Piece::Fields(vec![("annotations".to_owned(), raw_json(&[value]))]);
        let came = [call("f", extra.clone()), arguments("{}"), field(1), field(2)];
        let beside = Piece::Fields(vec![said_beside(0, &extra)]);
        let none = Fields::new;
        assert_eq!(given(&scope, &came, &[beside.clone(), field(2), call("f", none()), arguments("{"), arguments("}"), field(1)]), Ok(()));
        for wrong in [call("g", none()), arguments("[]"), field(3), Piece::Fields(vec![said_beside(1, &extra)])] {
            assert!(given(&scope, &came, &[wrong]).is_err());
        }
        assert!(given(&scope, &came, &[call("f", none()), call("f", none())]).is_err(), "a call twice");
        assert!(
            given(&scope, &came, &[call("f", none()), arguments("{}"), field(1), field(2)]).is_err_and(|why| why.contains("tool-calls"))
        );
    }

    #[test]
    fn no_more_is_held_back_than_the_memory_of_its_hook_has() {
        let scope = scope(&["reply"], &[]);
        for (most, fits) in [(4, true), (3, false)] {
            let mut unwritten = Unwritten::default();
            assert_eq!(unwritten.came(&[of(0, text("ab")), of(1, text("cd"))], &scope, most).is_ok(), fits);
        }
        let mut unwritten = Unwritten::default();
        for _ in 0..100 {
            unwritten.came(&[of(0, text("ab"))], &scope, 3).expect("it came back");
            unwritten.returns(0, &text("ab"), &scope).expect("as it was");
        }
        assert!(unwritten.is_empty());
    }
}
