//! The queue with writers that are slow, stuck and gone. A writer that a test holds is waited for by what it was given.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// Hands every write to the test, and returns what the test decides.
struct Held {
    wrote: Sender<String>,
    answer: Receiver<io::Result<()>>,
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wrote.send(String::from_utf8_lossy(bytes).into_owned()).expect("the test reads");
        self.answer.recv().expect("the test answers").map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A queue, and both sides of its writer.
struct Story {
    queue: Queue,
    lines: Lines,
    wrote: Receiver<String>,
    answer: Sender<io::Result<()>>,
    dropped: Counter,
}

impl Story {
    fn new(bytes_max: usize, report: Report) -> Self {
        let ((wrote, read), (answer, answered)) = (channel(), channel());
        let dropped = Counter::default();
        let writer = Held { wrote, answer: answered };
        let queue = Queue::start(writer, bytes_max, dropped.clone(), report).expect("a thread");
        Self { lines: queue.lines(), queue, wrote: read, answer, dropped }
    }

    /// What is being written; it is stuck until `goes_on`.
    fn written(&self) -> String {
        self.wrote.recv_timeout(PATIENCE).expect("something is written")
    }

    fn goes_on(&self, how: io::Result<()>) {
        self.answer.send(how).expect("the thread waits");
    }
}

fn silent(_: u64) {}

#[test]
fn lines_are_written_in_order_and_the_last_ones_at_the_end() {
    let story = Story::new(100, silent);
    story.lines.push(b"one\n");
    assert_eq!(story.written(), "one\n");
    story.lines.push(b"two\n");
    story.lines.push(b"three\n");
    std::thread::scope(|scope| {
        let finished = scope.spawn(|| story.queue.finish(PATIENCE));
        story.goes_on(Ok(()));
        assert_eq!(story.written(), "two\nthree\n");
        assert!(!finished.is_finished(), "they are being written");
        story.goes_on(Ok(()));
    });
    assert_eq!(story.dropped.get(), 0);
}

#[test]
fn a_stuck_writer_holds_nobody_up_and_what_finds_no_room_is_counted() {
    let story = Story::new(10, silent);
    story.lines.push(b"1234\n");
    assert_eq!(story.written(), "1234\n", "which still counts as waiting");
    for _ in 0..1_000 {
        story.lines.push(b"abcd\n");
    }
    assert_eq!(story.dropped.get(), 999);
    story.queue.finish(Duration::ZERO);
}

#[test]
fn after_the_end_lines_are_lost_and_counted() {
    let story = Story::new(10, silent);
    story.queue.finish(PATIENCE);
    // The thread may be about to end: it still writes what comes before it has.
    while story.dropped.get() == 0 {
        story.lines.push(b"x\n");
        let _ = story.answer.send(Ok(()));
    }
}

#[test]
fn what_was_lost_is_said_before_the_end() {
    static LINES: Mutex<Option<Lines>> = Mutex::new(None);
    let story = Story::new(10, |lost| LINES.lock().unwrap().as_ref().expect("set").push(format!("-{lost}\n").as_bytes()));
    *LINES.lock().unwrap() = Some(story.lines.clone());
    story.lines.push(b"012345678\n");
    assert_eq!(story.written(), "012345678\n");
    story.lines.push(b"x\n");
    std::thread::scope(|scope| {
        let finished = scope.spawn(|| story.queue.finish(PATIENCE));
        story.goes_on(Ok(()));
        assert_eq!(story.written(), "-1\n");
        assert!(!finished.is_finished());
        story.goes_on(Ok(()));
    });
}

#[test]
fn a_line_of_the_whole_room_passes_and_a_longer_one_does_not() {
    let story = Story::new(10, silent);
    story.lines.push(b"0123456789\n");
    assert_eq!(story.dropped.get(), 1);
    story.lines.push(b"012345678\n");
    assert_eq!(story.written(), "012345678\n");
    assert_eq!(story.dropped.get(), 1);
    story.goes_on(Ok(()));
}

#[test]
fn once_it_writes_again_it_says_how_many_lines_were_lost() {
    static REPORTED: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let story = Story::new(10, |lost| REPORTED.lock().unwrap().push(lost));
    story.lines.push(b"1234\n");
    assert_eq!(story.written(), "1234\n");
    for _ in 0..6 {
        story.lines.push(b"abcd\n");
    }
    assert!(story.dropped.get() == 5 && REPORTED.lock().unwrap().is_empty());
    story.goes_on(Ok(()));
    assert_eq!(story.written(), "abcd\n");
    assert_eq!(*REPORTED.lock().unwrap(), [5]);
    story.goes_on(Ok(()));
}

#[test]
fn what_a_writer_refuses_is_lost_and_the_next_lines_are_tried_again() {
    static REPORTED: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let story = Story::new(100, |lost| REPORTED.lock().unwrap().push(lost));
    for line in ["one\n", "two\n"] {
        story.lines.push(line.as_bytes());
        assert_eq!(story.written(), line);
        story.goes_on(Err(io::ErrorKind::BrokenPipe.into()));
    }
    story.lines.push(b"three\n");
    assert_eq!(story.written(), "three\n");
    assert_eq!((story.dropped.get(), REPORTED.lock().unwrap().len()), (2, 0));
    story.goes_on(Ok(()));
    story.lines.push(b"four\n");
    story.written();
    assert_eq!(*REPORTED.lock().unwrap(), [2]);
    story.goes_on(Ok(()));
}

#[test]
fn what_was_written_of_a_long_batch_makes_room_before_the_rest_is() {
    let story = Story::new(3 * WRITE_BYTES, silent);
    story.lines.push(&vec![b'a'; 3 * WRITE_BYTES]);
    assert_eq!(story.written().len(), WRITE_BYTES);
    story.lines.push(b"x");
    assert_eq!(story.dropped.get(), 1);
    story.goes_on(Ok(()));
    assert_eq!(story.written().len(), WRITE_BYTES);
    story.lines.push(&vec![b'b'; WRITE_BYTES]);
    assert_eq!(story.dropped.get(), 1);
    for _ in 0..3 {
        story.goes_on(Ok(()));
    }
}
