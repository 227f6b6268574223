//! An account of one exchange for those who are told of it when it is over: what came in, and what the client got. Nothing is kept, and nothing
//! is read, unless somebody opened it. Clones are one, so that whoever answers the client can close the account of an exchange that failed.
//! Invariants: no byte is kept that the teller did not agree to; an account that was opened is told or given up once, however the exchange ends.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::gathered::{Gathered, Replies};
use super::{Completion, Frames, Json, Message};

/// As the exchange has it.
type Metadata = BTreeMap<String, Json>;

/// The account of an exchange.
#[derive(Clone, Default)]
pub struct Account(Arc<Inner>);

#[derive(Default)]
struct Inner {
    open: AtomicBool,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    request: Vec<Message>,
    metadata: Metadata,
    metadata_bytes: usize,
    reply: Reply,
    teller: Box<dyn Teller>,
    /// Those who still add to it.
    held: usize,
    /// Set once the exchange is over.
    closing: Option<Closing>,
}

/// Whoever holds it still adds to the account of an exchange that may be over; it is told when all have let go.
pub struct Hold(Account);

enum Reply {
    /// As the provider sent it.
    Whole(Bytes),
    Gathered(Gathered),
}

/// Who counts what is kept, and is told of the exchange.
pub trait Teller: Send {
    /// Whether so many bytes more may be kept.
    fn grow(&mut self, bytes: usize) -> bool;

    /// The exchange is over.
    fn tell(self: Box<Self>, told: Told);

    /// The account could not be kept.
    fn give_up(self: Box<Self>);
}

/// An exchange that is over.
pub struct Told {
    /// As the client sent them.
    pub request: Vec<Message>,
    /// As the last hook left it that ran.
    pub metadata: Metadata,
    pub replies: Replies,
    pub closing: Closing,
}

/// What only whoever answers the client knows.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The client got something of a reply. What a stage made and nobody sent, it never saw.
    pub replied: bool,
    pub status: u16,
    /// The code of the error that the client got; `client_gone` if it left.
    pub error: Option<Cow<'static, str>>,
    pub first_byte: Option<Duration>,
    pub total: Duration,
}

impl Account {
    /// Begins to keep the account. `bytes` of a streamed or altered reply are kept at most.
    pub fn open(&self, request: Vec<Message>, bytes: usize, teller: Box<dyn Teller>) {
        let reply = Reply::Gathered(Gathered::new(bytes));
        let (metadata, metadata_bytes, held, closing) = (Metadata::new(), 0, 0, None);
        *self.lock() = Some(Kept { request, metadata, metadata_bytes, reply, teller, held, closing });
        self.0.open.store(true, Ordering::Relaxed);
    }

    /// Whether anything is kept.
    pub fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Relaxed)
    }

    /// For who adds to the account apart from the exchange; none if nothing is kept.
    pub fn hold(&self) -> Option<Hold> {
        let mut held = None;
        self.with(|slot| {
            slot.as_mut()?.held += 1;
            held = Some(Hold(self.clone()));
            None
        });
        held
    }

    /// The metadata as a hook left it.
    pub fn metadata(&self, metadata: &Metadata) {
        let given_up = self.with(|slot| {
            let kept = slot.as_mut()?;
            let bytes = metadata.iter().map(|(name, value)| name.len() + value.get().len()).sum::<usize>();
            if bytes > kept.metadata_bytes {
                if !kept.teller.grow(bytes - kept.metadata_bytes) {
                    // What hooks left is what a done-hook decides by, so that half of it would be worse than nothing.
                    return slot.take();
                }
                kept.metadata_bytes = bytes;
            }
            kept.metadata.clone_from(metadata);
            None
        });
        if let Some(Kept { teller, .. }) = given_up {
            self.0.open.store(false, Ordering::Relaxed);
            teller.give_up();
        }
    }

    /// A whole reply in the provider's own bytes.
    pub fn raw(&self, body: &Bytes) {
        self.with(|slot| {
            let kept = slot.as_mut()?;
            let Reply::Gathered(gathered) = &mut kept.reply else { return None };
            if body.len() <= gathered.room() && kept.teller.grow(body.len()) {
                kept.reply = Reply::Whole(body.clone());
            } else if let Ok(completion) = super::codec::parse_completion(body) {
                gathered.completion(&completion, &mut |bytes| kept.teller.grow(bytes));
            }
            None
        });
    }

    /// A whole reply.
    pub fn whole(&self, completion: &Completion) {
        self.gather(|gathered, grow| gathered.completion(completion, grow));
    }

    /// What passes to the client of a stream.
    pub fn frames(&self, frames: &Frames) {
        // Asked here for each read of each stream, and nearly none is kept.
        if !self.is_open() {
            return;
        }
        self.gather(|gathered, grow| frames.each_delta(|delta| gathered.delta(delta, grow)));
    }

    /// The exchange is over, and everything of it was dropped that could add to the account, but for who holds it.
    pub fn close(&self, closing: impl FnOnce() -> Closing) {
        self.settle(|kept| {
            kept.closing.get_or_insert_with(closing);
        });
    }

    /// Tells the account if that makes it complete.
    fn settle(&self, change: impl FnOnce(&mut Kept)) {
        let complete = self.with(|slot| {
            let kept = slot.as_mut()?;
            change(kept);
            if kept.held == 0 && kept.closing.is_some() { slot.take() } else { None }
        });
        let Some(Kept { request, metadata, reply, teller, closing: Some(closing), .. }) = complete else { return };
        self.0.open.store(false, Ordering::Relaxed);
        let replies = match reply {
            _ if !closing.replied => Replies::Messages(Vec::new()),
            Reply::Whole(body) => Replies::Raw(body),
            Reply::Gathered(gathered) => Replies::Messages(gathered.into_messages()),
        };
        teller.tell(Told { request, metadata, replies, closing });
    }

    fn gather(&self, add: impl FnOnce(&mut Gathered, &mut dyn FnMut(usize) -> bool)) {
        self.with(|slot| {
            let Kept { reply: Reply::Gathered(gathered), teller, .. } = slot.as_mut()? else { return None };
            add(gathered, &mut |bytes| teller.grow(bytes));
            None
        });
    }

    /// Nothing is locked where nothing is kept.
    fn with(&self, work: impl FnOnce(&mut Option<Kept>) -> Option<Kept>) -> Option<Kept> {
        if !self.is_open() {
            return None;
        }
        work(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        // A panic elsewhere leaves an account that is right as far as it goes.
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.settle(|kept| kept.held -= 1);
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::chat::codec::json;
    use crate::chat::{Delta, Frame, Piece};

    struct Books {
        room: usize,
        said: Sender<Option<Told>>,
    }

    impl Teller for Books {
        fn grow(&mut self, bytes: usize) -> bool {
            let left = self.room.checked_sub(bytes);
            self.room = left.unwrap_or(self.room);
            left.is_some()
        }

        fn tell(self: Box<Self>, told: Told) {
            let _ = self.said.send(Some(told));
        }

        fn give_up(self: Box<Self>) {
            let _ = self.said.send(None);
        }
    }

    fn account(most: usize, room: usize) -> (Account, Receiver<Option<Told>>) {
        let (said, hears) = channel();
        let account = Account::default();
        account.open(vec![Message::text("user", "hi")], most, Box::new(Books { room, said }));
        (account, hears)
    }

    fn closing(replied: bool) -> Closing {
        Closing { replied, status: 200, error: None, first_byte: None, total: Duration::ZERO }
    }

    fn text(text: &str) -> Frames {
        Frames::from_iter([Frame::of(vec![Delta::Piece { choice: 0, piece: Piece::Text(text.into()) }])])
    }

    fn messages(told: Option<Told>) -> Vec<String> {
        match told.expect("it was told").replies {
            Replies::Messages(messages) => messages.iter().map(Message::joined_text).collect(),
            Replies::Raw(body) => vec![String::from_utf8_lossy(&body).into_owned()],
        }
    }

    #[test]
    fn nothing_is_kept_or_read_unless_somebody_opened_it_and_it_is_told_once() {
        let account = Account::default();
        account.frames(&text("x"));
        account.close(|| panic!("nobody asked"));
        let (account, hears) = account_of(&["a", "b"]);
        account.close(|| closing(true));
        account.close(|| panic!("it was told"));
        assert_eq!(messages(hears.recv().expect("told")), ["ab"]);
        assert!(hears.recv().is_err(), "once");
    }

    fn account_of(texts: &[&str]) -> (Account, Receiver<Option<Told>>) {
        let (account, hears) = account(1_000, 1 << 20);
        texts.iter().for_each(|part| account.clone().frames(&text(part)));
        (account, hears)
    }

    #[test]
    fn an_account_is_told_when_the_exchange_is_over_and_everybody_has_let_go() {
        let metadata: Metadata = [("key".to_owned(), json("1".into()).expect("JSON"))].into();
        assert!(Account::default().hold().is_none());
        for closed_first in [true, false] {
            let (account, hears) = account_of(&["a"]);
            let holds = [account.hold(), account.hold()];
            if closed_first {
                account.close(|| closing(true));
            }
            for hold in holds {
                assert!(hears.try_recv().is_err(), "too early");
                account.metadata(&metadata);
                drop(hold.expect("it is open"));
            }
            if !closed_first {
                account.close(|| closing(true));
            }
            assert_eq!(hears.recv().expect("told").map(|told| told.metadata.len()), Some(1));
            account.close(|| panic!("it was told"));
        }
    }

    #[test]
    fn what_was_made_and_never_sent_is_not_told() {
        let (account, hears) = account_of(&["secret"]);
        account.close(|| closing(false));
        assert!(messages(hears.recv().expect("told")).is_empty());
    }

    #[test]
    fn a_whole_reply_is_kept_as_its_bytes_up_to_the_limit_and_read_and_cut_above_it() {
        // Longer than what a choice costs beside its text.
        let fields = format!(
            r#""system_fingerprint":"{}","choices":[{{"message":{{"role":"assistant","content":"0123456789"}}}}]"#,
            "f".repeat(300)
        );
        let body = Bytes::from(format!("{{{fields}}}"));
        for (most, kept) in [(body.len(), std::str::from_utf8(&body).expect("UTF-8")), (body.len() - 1, "0123456789")] {
            let (account, hears) = account(most, 1 << 20);
            account.raw(&body);
            account.close(|| closing(true));
            assert_eq!(messages(hears.recv().expect("told")), [kept]);
        }
    }

    #[test]
    fn an_account_whose_metadata_finds_no_room_is_given_up_once() {
        let metadata: Metadata = [("key".to_owned(), json("12345678".into()).expect("JSON"))].into();
        for (room, told) in [(11, true), (10, false)] {
            let (account, hears) = account(100, room);
            account.metadata(&metadata);
            account.metadata(&metadata);
            account.close(|| closing(true));
            let said = hears.recv().expect("told or given up");
            assert_eq!(said.map(|told| told.metadata.len()), told.then_some(1), "{room}");
            assert!(hears.recv().is_err(), "once");
        }
    }
}
