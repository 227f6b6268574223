//! Pieces of a streamed reply between the host's own form and the contract's. A `Book` keeps for one hook and one reply which choices there are
//! and which have ended, so that what a hook gives back is a reply that a client can read: nothing of a choice follows its end.

use std::collections::HashMap;

use super::bindings::types as wit;
use super::convert::object;
use super::portion::Portion;
use super::unwritten::said_beside;
use crate::chat::codec;
use crate::chat::{Delta, Fields, Json, Piece, Said, decode};

/// The choices of one reply, as one hook has seen them.
#[derive(Debug, Default)]
pub(super) struct Book {
    choices: HashMap<u32, Choice>,
    /// Calls by their choice and index.
    calls: HashMap<(u32, u32), Call>,
}

#[derive(Debug, Default)]
struct Call {
    /// What the hook gave back of it before the call itself.
    extra: Fields,
    /// The call has gone out.
    out: bool,
}

#[derive(Debug, Default)]
struct Choice {
    /// The name of the reasoning that is shown as such, of which something came first. A text under the other name is shown as another field,
    /// so that a hook which looks for something in pieces has those of each text behind each other.
    reasoning: Option<Reasoning>,
    /// The reason with which the hook's input ended it.
    finish: Option<String>,
    /// It has gone out with a reason.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reasoning {
    Reasoning,
    Thought,
}

impl Book {
    /// Notes what comes in and takes out what comes after the end of its choice, which no hook is shown and no client gets. What passes by the hook
    /// after the hook has ended its choice goes too.
    pub(super) fn take_in(&mut self, deltas: &mut Vec<Delta>, portion: Portion) {
        deltas.retain(|delta| {
            let Delta::Piece { choice, piece } = delta else { return true };
            let state = self.choices.entry(*choice).or_default();
            if state.finish.is_some() || (state.ended && portion.passes(delta)) {
                return false;
            }
            match piece {
                Piece::Reasoning(_) => drop(state.reasoning.get_or_insert(Reasoning::Reasoning)),
                Piece::Thought(_) => drop(state.reasoning.get_or_insert(Reasoning::Thought)),
                Piece::Finish(reason) => state.finish = Some(reason.clone()),
                Piece::Call { index, .. } => {
                    self.calls.entry((*choice, *index)).or_default();
                }
                _ => {}
            }
            true
        });
    }

    /// What the hook was not shown goes out.
    pub(super) fn passed(&mut self, deltas: &[Delta]) {
        for delta in deltas {
            if let Delta::Piece { choice, piece: Piece::Finish(_) } = delta {
                self.choices.entry(*choice).or_default().ended = true;
            }
        }
    }

    /// All that came in goes out.
    pub(super) fn keep(&mut self, deltas: &[Delta]) -> Result<(), String> {
        for delta in deltas {
            if let Delta::Piece { choice, piece } = delta {
                // Begin says nothing, and is the host's.
                self.goes_out(*choice, piece)?;
                if let Piece::Call { index, .. } = piece {
                    self.calls.entry((*choice, *index)).or_default().out = true;
                }
            }
        }
        Ok(())
    }

    /// What a hook gives back, in the host's form. `check` is asked of each piece whether the hook may.
    ///
    /// # Errors
    /// What no client could read, or what `check` said, in a sentence.
    pub(super) fn give_back(
        &mut self,
        list: Vec<wit::Delta>,
        mut check: impl FnMut(u32, &Piece) -> Result<(), String>,
    ) -> Result<Vec<Delta>, String> {
        let mut out = Vec::with_capacity(list.len());
        for wit::Delta { choice, piece } in list {
            let Some(state) = self.choices.get(&choice) else {
                return Err(format!("it gives back something of choice {choice}, of which nothing has come"));
            };
            let mut returned = Vec::new();
            match (piece, state.reasoning) {
                (wit::Piece::Reasoning(text), Some(Reasoning::Thought)) => {
                    returned.push(Delta::Piece { choice, piece: Piece::Thought(text) });
                }
                (piece, _) => back(choice, piece, &mut returned)?,
            }
            for delta in returned {
                if let Delta::Piece { choice, piece } = delta {
                    check(choice, &piece)?;
                    self.goes_out(choice, &piece)?;
                    self.joined(choice, piece, &mut out);
                }
            }
        }
        Ok(out)
    }

    /// Adds the piece. What else is said of a call is shown beside it and is one with it again, wherever the hook gives it back: providers want it
    /// with the call. It waits for a call that the hook holds back; what is left of one that never comes goes with it.
    fn joined(&mut self, choice: u32, mut piece: Piece, out: &mut Vec<Delta>) {
        match &mut piece {
            Piece::Call { index, extra, .. } => {
                let call = self.calls.entry((choice, *index)).or_default();
                extra.append(&mut call.extra);
                call.out = true;
            }
            Piece::Fields(fields) => {
                for (name, value) in fields.iter_mut().filter(|(name, _)| name == "tool_calls") {
                    let Ok(entries) = serde_json::from_str::<Vec<Json>>(value.get()) else { continue };
                    let rest: Vec<Json> = entries.into_iter().filter(|entry| !self.is_of_call(choice, entry, out)).collect();
                    if rest.is_empty() {
                        name.clear();
                    } else {
                        *value = codec::raw_json(&rest);
                    }
                }
                fields.retain(|(name, _)| !name.is_empty());
                if fields.is_empty() {
                    return;
                }
            }
            _ => {}
        }
        out.push(Delta::Piece { choice, piece });
    }

    /// Whether an entry of `tool_calls` says more of a call, with which it is put then. If that has left already it goes on by itself.
    fn is_of_call(&mut self, choice: u32, entry: &Json, out: &mut [Delta]) -> bool {
        let Ok(mut fields) = codec::parse_fields(entry.get().as_bytes()) else { return false };
        if fields.iter().any(|(name, _)| ["id", "type", "function"].contains(&name.as_str())) {
            return false;
        }
        let at = fields.iter().position(|(name, _)| name == "index");
        let Some(index) = at.and_then(|at| serde_json::from_str::<u32>(fields.remove(at).1.get()).ok()) else { return false };
        let Some(call) = self.calls.get_mut(&(choice, index)) else { return false };
        if !call.out {
            call.extra.append(&mut fields);
            return true;
        }
        let extra = out.iter_mut().rev().find_map(|delta| match delta {
            Delta::Piece { choice: of, piece: Piece::Call { index: at, extra, .. } } if (*of, *at) == (choice, index) => Some(extra),
            _ => None,
        });
        extra.map(|extra| extra.append(&mut fields)).is_some()
    }

    fn goes_out(&mut self, choice: u32, piece: &Piece) -> Result<(), String> {
        let state = self.choices.entry(choice).or_default();
        if state.ended {
            return Err(format!("it lets something of choice {choice} go on after that choice's end"));
        }
        state.ended = matches!(piece, Piece::Finish(_));
        Ok(())
    }

    /// The ends that came in and that the hook has not let out: without one, a client waits for it.
    pub(super) fn ends(&mut self) -> impl Iterator<Item = Delta> {
        let mut due: Vec<(u32, String)> = Vec::new();
        for (index, choice) in &mut self.choices {
            if let Some(reason) = choice.finish.as_ref().filter(|_| !choice.ended) {
                due.push((*index, reason.clone()));
                choice.ended = true;
            }
        }
        due.sort_unstable();
        due.into_iter().map(|(choice, reason)| Delta::Piece { choice, piece: Piece::Finish(reason) })
    }
}

/// What a hook is shown of it, and how much that is: each piece is counted where it is put into the contract's form. A call and its first
/// arguments are one piece.
pub(super) fn shown(deltas: &[Delta], portion: Portion, book: &Book) -> (Vec<wit::Delta>, Said) {
    let mut said = Said::default();
    let mut out: Vec<wit::Delta> = Vec::with_capacity(deltas.len());
    for delta in deltas.iter().filter(|delta| portion.has(delta)) {
        let Delta::Piece { choice, piece } = delta else { continue };
        if let Piece::Arguments { index, text } = piece
            && let Some(wit::Delta { choice: of, piece: wit::Piece::ToolCall(call) }) = out.last_mut()
            && of == choice
            && call.index == *index
        {
            call.arguments.push_str(text);
            said.piece(piece);
            continue;
        }
        let mut add = |piece| out.push(wit::Delta { choice: *choice, piece });
        match piece {
            Piece::Text(text) => add(wit::Piece::Text(text.clone())),
            Piece::Reasoning(text) | Piece::Thought(text) => {
                let named = if matches!(piece, Piece::Reasoning(_)) { Reasoning::Reasoning } else { Reasoning::Thought };
                add(match book.choices.get(choice).and_then(|choice| choice.reasoning) {
                    Some(first) if first != named => {
                        let name = if named == Reasoning::Reasoning { "reasoning_content" } else { "reasoning" };
                        wit::Piece::Other(codec::object(&vec![(name.to_owned(), codec::json_string(text))]).get().to_owned())
                    }
                    _ => wit::Piece::Reasoning(text.clone()),
                });
            }
            Piece::Refusal(text) => add(wit::Piece::Refusal(text.clone())),
            Piece::Call { index, id, name, extra } => {
                // What else is said of the call comes first, so that its first arguments can join it.
                if !extra.is_empty() {
                    add(wit::Piece::Other(codec::object(&vec![said_beside(*index, extra)]).get().to_owned()));
                }
                let (id, name) = (Some(id.clone()), Some(name.clone()));
                add(wit::Piece::ToolCall(wit::ToolCallPiece { index: *index, id, name, arguments: String::new() }));
            }
            Piece::Arguments { index, text } => {
                add(wit::Piece::ToolCall(wit::ToolCallPiece { index: *index, id: None, name: None, arguments: text.clone() }));
            }
            Piece::Fields(fields) => {
                for field in fields {
                    add(wit::Piece::Other(codec::object(&vec![field.clone()]).get().to_owned()));
                }
            }
            Piece::Finish(reason) => add(wit::Piece::Finish(reason.clone())),
            Piece::Begin | Piece::Beside(_) => continue,
        }
        said.piece(piece);
    }
    (out, said)
}

fn back(choice: u32, piece: wit::Piece, out: &mut Vec<Delta>) -> Result<(), String> {
    let mut add = |piece| out.push(Delta::Piece { choice, piece });
    match piece {
        wit::Piece::Text(text) => add(Piece::Text(text)),
        wit::Piece::Refusal(text) => add(Piece::Refusal(text)),
        wit::Piece::Reasoning(text) => add(Piece::Reasoning(text)),
        wit::Piece::ToolCall(wit::ToolCallPiece { index, id, name, arguments }) => {
            if id.is_some() || name.is_some() {
                add(Piece::Call { index, id: id.unwrap_or_default(), name: name.unwrap_or_default(), extra: Fields::new() });
            }
            if !arguments.is_empty() {
                add(Piece::Arguments { index, text: arguments });
            }
        }
        wit::Piece::Finish(reason) if reason.is_empty() => return Err("it ends a choice without a reason".into()),
        wit::Piece::Finish(reason) => add(Piece::Finish(reason)),
        wit::Piece::Other(text) => other_back(choice, text, out)?,
    }
    Ok(())
}

/// Reads the field as a provider's, so that text which a hook hands over as some other field is text for the hooks behind it.
fn other_back(choice: u32, text: String, out: &mut Vec<Delta>) -> Result<(), String> {
    let field = object(text, "another field of a delta")?;
    let fields = codec::parse_fields(field.get().as_bytes())
        .map_err(|error| format!("another field of a delta cannot be read: {}", error.message))?;
    if fields.len() != 1 {
        return Err(format!("another field of a delta is an object of one key, not of {}", fields.len()));
    }
    let entry: Fields = vec![("index".to_owned(), codec::raw_json(&choice)), ("delta".to_owned(), field)];
    let chunk = codec::object(&vec![("choices".to_owned(), codec::raw_json(&[codec::object(&entry)]))]);
    let deltas =
        decode::chunk(chunk.get().as_bytes()).map_err(|error| format!("another field of a delta cannot be read: {}", error.message))?;
    out.extend(deltas.into_iter().filter(|delta| matches!(delta, Delta::Piece { .. })));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Portion = Portion::ALL;

    /// Of a hook that may do all.
    impl Book {
        fn takes(&mut self, deltas: &mut Vec<Delta>) {
            self.take_in(deltas, ALL);
        }

        fn gives(&mut self, list: Vec<wit::Delta>) -> Result<Vec<Delta>, String> {
            self.give_back(list, |_, _| Ok(()))
        }
    }

    fn piece(choice: u32, piece: Piece) -> Delta {
        Delta::Piece { choice, piece }
    }

    fn text(choice: u32, text: &str) -> Delta {
        piece(choice, Piece::Text(text.into()))
    }

    fn finish(choice: u32) -> Delta {
        piece(choice, Piece::Finish("stop".into()))
    }

    fn gives(choice: u32, piece: wit::Piece) -> Vec<wit::Delta> {
        vec![wit::Delta { choice, piece }]
    }

    fn says(text: &str) -> wit::Piece {
        wit::Piece::Text(text.into())
    }

    #[test]
    fn every_piece_of_a_chunk_is_shown_and_comes_back_as_it_was() {
        let data = r#"{"choices":[{"index":1,"delta":{"role":"assistant","content":"a","refusal":"b","reasoning_content":"c","annotations":[1],
            "tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":"{"},"thought":"t"}]},"logprobs":{"content":[]},"finish_reason":"stop"}]}"#;
        let mut deltas = decode::chunk(data.as_bytes()).expect("JSON");
        let mut book = Book::default();
        book.takes(&mut deltas);
        let (shown_now, said) = shown(&deltas, ALL, &book);
        assert_eq!(said.to_string(), "text 1, refusal 1, reasoning 1, tool_name 2, tool_arguments 1, annotations 14, other 14");
        let words: Vec<String> = shown_now.iter().map(|delta| format!("{:?}", delta.piece)).collect();
        assert_eq!(words.len(), 7, "{words:?}");
        let returned = book.gives(shown_now).expect("readable");
        let again = shown(&returned, ALL, &book).0.iter().map(|delta| format!("{:?}", delta.piece)).collect::<Vec<_>>();
        assert_eq!(words, again);
        assert!(returned.iter().all(|delta| !matches!(delta, Delta::Piece { piece: Piece::Beside(_), .. })), "logprobs spell out the text");
    }

    /// What is said of call 0 beside its name, and what else is said as `tool_calls`.
    fn of_calls(deltas: &[Delta]) -> (Vec<String>, Vec<String>) {
        let (mut extras, mut others) = (Vec::new(), Vec::new());
        for delta in deltas {
            match delta {
                Delta::Piece { piece: Piece::Call { extra, .. }, .. } => extras.push(codec::object(extra).get().to_owned()),
                Delta::Piece { piece: Piece::Fields(fields), .. } => others.push(codec::object(fields).get().to_owned()),
                _ => {}
            }
        }
        (extras, others)
    }

    #[test]
    fn what_is_said_beside_a_call_is_one_with_it_again_wherever_the_hook_gives_it_back() {
        let entry = r#"{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}"#;
        let data = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"a","tool_calls":[{entry}]}}}}]}}"#);
        let came = || {
            let (mut book, mut deltas) = (Book::default(), decode::chunk(data.as_bytes()).expect("JSON"));
            book.takes(&mut deltas);
            let Ok([text, other, call]) = <[wit::Delta; 3]>::try_from(shown(&deltas, ALL, &book).0) else { panic!("three pieces") };
            (book, text, other, call)
        };
        let extra = r#"{"extra_content":{"google":{"thought_signature":"s"}}}"#;
        for order in [[1, 2, 0], [2, 1, 0], [1, 0, 2], [2, 0, 1]] {
            let (mut book, text, other, call) = came();
            let all = [text, other, call];
            let out = book.gives(order.iter().map(|at| all[*at].clone()).collect()).expect("readable");
            assert_eq!(of_calls(&out), (vec![extra.to_owned()], vec![]), "{order:?}");
        }
        let (mut book, text, other, call) = came();
        assert_eq!(of_calls(&book.gives(vec![other]).expect("readable")), (vec![], vec![]), "it waits for the call");
        book.gives(vec![text]).expect("readable");
        assert_eq!(of_calls(&book.gives(vec![call]).expect("readable")), (vec![extra.to_owned()], vec![]));
        let (mut book, _, other, call) = came();
        assert_eq!(of_calls(&book.gives(vec![call]).expect("readable")), (vec!["{}".to_owned()], vec![]));
        let late = r#"{"tool_calls":[{"index":0,"extra_content":{"google":{"thought_signature":"s"}}}]}"#.to_owned();
        assert_eq!(of_calls(&book.gives(vec![other]).expect("readable")), (vec![], vec![late]), "the call has left");
    }

    #[test]
    fn a_call_that_is_not_modelled_stays_as_it_is() {
        let data = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","type":"custom","custom":{"name":"g"}},{"index":0,"custom":{"input":"i"}}]}}]}"#;
        let (mut book, mut deltas) = (Book::default(), decode::chunk(data.as_bytes()).expect("JSON"));
        book.takes(&mut deltas);
        let before = of_calls(&deltas);
        assert_eq!((before.1.len(), of_calls(&book.gives(shown(&deltas, ALL, &book).0).expect("readable"))), (1, before));
    }

    #[test]
    fn nothing_follows_the_end_of_a_choice_on_either_side() {
        let mut book = Book::default();
        let mut deltas = vec![text(0, "a"), finish(0), text(0, "late"), finish(0), text(1, "b")];
        book.takes(&mut deltas);
        assert_eq!(deltas.len(), 3);
        let mut late = vec![text(0, "later")];
        book.takes(&mut late);
        assert!(late.is_empty());
        assert!(book.gives(gives(0, says("x"))).is_ok());
        assert!(book.gives(gives(0, wit::Piece::Finish("length".into()))).is_ok());
        for after in [says("x"), wit::Piece::Finish("stop".into()), wit::Piece::Other("{\"x\":1}".into())] {
            assert!(book.gives(gives(0, after)).is_err_and(|why| why.contains("after that choice's end")));
        }
        assert!(book.gives(gives(1, says("x"))).is_ok(), "the other choice goes on");
    }

    #[test]
    fn what_no_client_could_read_is_refused() {
        let mut book = Book::default();
        book.takes(&mut vec![text(0, "a")]);
        for (bad, why) in [
            (gives(7, says("x")), "choice 7"),
            (gives(0, wit::Piece::Finish(String::new())), "without a reason"),
            (gives(0, wit::Piece::Other("{".into())), "no valid JSON"),
            (gives(0, wit::Piece::Other("[]".into())), "no JSON object"),
            (gives(0, wit::Piece::Other("{}".into())), "one key, not of 0"),
            (gives(0, wit::Piece::Other(r#"{"a":1,"b":2}"#.into())), "one key, not of 2"),
        ] {
            assert!(book.gives(bad).is_err_and(|said| said.contains(why)), "{why}");
        }
    }

    #[test]
    fn text_under_another_name_is_text_for_whoever_comes_next() {
        let mut book = Book::default();
        book.takes(&mut vec![text(0, "a")]);
        let out = book.gives(gives(0, wit::Piece::Other(r#"{"content":"hidden"}"#.into()))).expect("readable");
        assert!(matches!(&shown(&out, ALL, &book).0[..], [wit::Delta { piece: wit::Piece::Text(text), .. }] if text == "hidden"));
    }

    #[test]
    fn an_end_that_a_hook_holds_back_goes_out_when_the_reply_is_over() {
        let mut book = Book::default();
        book.takes(&mut vec![text(0, "a"), finish(0), text(1, "b"), finish(1), text(2, "c")]);
        book.gives(gives(1, wit::Piece::Finish("stop".into()))).expect("readable");
        let ends: Vec<Delta> = book.ends().collect();
        assert!(matches!(&ends[..], [Delta::Piece { choice: 0, piece: Piece::Finish(_) }]), "{ends:?}");
        assert_eq!(book.ends().count(), 0);
    }
}
