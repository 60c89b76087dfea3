//! The fan-out over whole sinks: all children or none, and each with a life of its own.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use torq_message_sink::testing::ScriptedSink;
use torq_message_sink::{
    Buffered, Encode, ErrorKind, Event, Fanout, Lazy, LazyPolicy, MemoryPeer, MemorySink,
    MessageSink, NewlineDelimited, SinkError, SinkState, TryFeedError,
};

fn buffered(capacity: usize) -> (Buffered<MemorySink>, MemoryPeer) {
    let (link, peer) = MemorySink::pair(64);
    (Buffered::with_capacity(link, capacity), peer)
}

/// All that a peer's next connection carries.
fn read(peer: &MemoryPeer) -> Vec<u8> {
    peer.accept().expect("connected").read()
}

#[tokio::test]
async fn message_goes_to_all_children_or_to_none() -> Result<(), SinkError> {
    let ((one, left), (other, right)) = (ScriptedSink::pair(1), buffered(64));
    let mut sink = Fanout::new((other, one));
    sink.send("x").await?;
    assert_eq!(sink.try_feed("y"), Err(TryFeedError::Full));
    assert_eq!(sink.accepted_bytes(), 5 + 1, "the sum over both, each with its frame");
    sink.flush().await?;
    assert_eq!(left.messages(), [b"x"]);
    assert_eq!(read(&right), b"\0\0\0\x01x", "and no trace of y");
    Ok(())
}

#[tokio::test]
async fn what_one_framing_cannot_carry_goes_to_none() -> Result<(), SinkError> {
    let ((one, left), (other, right)) = (ScriptedSink::pair(9), ScriptedSink::pair(9));
    let mut sink = Fanout::new((Fanout::new([one]), other));
    right.refuse(true);
    assert_eq!(sink.try_feed("x"), Err(TryFeedError::Invalid));
    let error = sink.feed("x").await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidMessage);
    assert!(left.messages().is_empty());
    right.refuse(false);
    sink.send("y").await?;
    assert_eq!((left.messages(), right.messages()), (vec![b"y".to_vec()], vec![b"y".to_vec()]));
    Ok(())
}

#[tokio::test]
async fn too_large_for_one_is_too_large_for_all() {
    let ((small, left), (large, right)) = (buffered(8), buffered(64));
    let mut sink = Fanout::new((small, large));
    assert!(sink.room(4) && !sink.room(5));
    assert_eq!(sink.try_feed("12345"), Err(TryFeedError::TooLarge));
    let error = sink.feed("12345").await.expect_err("one byte too much");
    assert_eq!(error.kind(), ErrorKind::TooLarge { requested: 9, available: 8 });
    sink.send("1234").await.expect("fits both");
    for peer in [left, right] {
        assert_eq!(read(&peer), b"\0\0\0\x041234");
    }
}

/// So many bytes of a kind; it says that it is one longer each time it is asked.
struct Growing(AtomicUsize, u8);

impl Growing {
    fn new(len: usize, byte: u8) -> Self {
        Self(AtomicUsize::new(len), byte)
    }
}

impl Encode for Growing {
    fn encoded_len(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn encode(&self, buf: &mut [u8]) {
        buf.fill(self.1);
    }
}

/// The second child has room for two bytes only: a length asked for twice would not fit there, with
/// the first child already fed.
#[tokio::test]
async fn length_is_asked_for_once_for_all_children() -> Result<(), SinkError> {
    let ((one, left), (two, right)) = (buffered(64), buffered(6));
    let mut sink = Fanout::new((Fanout::new([one]), Fanout::new([two])));
    // Asleep, which takes the way of refused messages, and awake.
    sink.try_feed(&Growing::new(2, b'g'))?;
    sink.flush().await?;
    sink.try_feed(&Growing::new(2, b'g'))?;
    sink.flush().await?;
    for peer in [left, right] {
        assert_eq!(read(&peer), b"\0\0\0\x02gg\0\0\0\x02gg");
    }
    Ok(())
}

#[tokio::test]
async fn message_is_tried_at_the_length_that_it_is_fed_with() -> Result<(), SinkError> {
    let ((one, left), (link, _right)) = (ScriptedSink::pair(9), MemorySink::pair(64));
    let lines = Buffered::with_framing(link, 3, NewlineDelimited::new());
    let mut sink = Fanout::new((one, lines));
    assert_eq!(sink.try_feed(&Growing::new(2, b'\n')), Err(TryFeedError::Invalid));
    sink.connect().await?;
    assert_eq!(sink.try_feed(&Growing::new(2, b'\n')), Err(TryFeedError::Invalid));
    assert!(left.messages().is_empty());
    Ok(())
}

#[test]
fn child_that_cannot_wake_keeps_the_message_from_all() {
    let ((one, left), (two, _right)) = (ScriptedSink::pair(9), buffered(64));
    let mut sink = Fanout::new((one, two));
    assert_eq!(sink.try_feed("x"), Err(TryFeedError::NoRuntime));
    assert!(left.messages().is_empty());
    assert_eq!(sink.accepted_bytes(), 0);
}

/// A sink that has room for everything, and takes nothing.
struct Liar;

impl MessageSink for Liar {
    fn try_feed<M: Encode + ?Sized>(&mut self, _: &M) -> Result<(), TryFeedError> {
        Err(TryFeedError::Full)
    }
    fn fits(&self, _: usize) -> bool {
        true
    }
    fn room(&self, _: usize) -> bool {
        true
    }
    fn poll_ready(&mut self, _: &mut Context<'_>, _: usize) -> Poll<Result<(), SinkError>> {
        Poll::Ready(Ok(()))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn child_that_breaks_its_promise_doubles_nothing() -> Result<(), SinkError> {
    let (one, peer) = buffered(64);
    let mut sink = Fanout::new((one, Liar));
    sink.connect().await?;
    sink.feed("a").await?;
    sink.try_feed("b")?;
    assert!(sink.append("c", 1), "accepted by one is accepted");
    sink.flush().await?;
    assert_eq!(read(&peer), b"\0\0\0\x01a\0\0\0\x01b\0\0\0\x01c");
    let mut liars = Fanout::new((Liar, Liar));
    assert_eq!(liars.try_feed("d"), Err(TryFeedError::Full), "nobody has it");
    Ok(())
}

#[tokio::test]
async fn append_leaves_a_sleeping_child_asleep() -> Result<(), SinkError> {
    let ((one, left), (two, _right)) = (ScriptedSink::pair(9), buffered(64));
    let mut sink = Fanout::new((one, two));
    assert!(!sink.append("x", 1));
    assert_eq!(sink.state(), SinkState::Asleep);
    assert!(left.messages().is_empty());
    sink.connect().await?;
    assert!(sink.append("x", 1));
    assert_eq!(left.messages(), [b"x"]);
    Ok(())
}

#[tokio::test]
async fn every_child_takes_its_step_before_the_first_error() {
    let ((one, bad), (two, good)) = (ScriptedSink::pair(9), ScriptedSink::pair(9));
    let mut sink = Fanout::new((one, two));
    sink.try_feed("x").expect("room");
    bad.fail(Some(ErrorKind::Unreachable));
    let error = sink.flush().await.expect_err("one child fails");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(good.flushed(), 1, "the other is flushed all the same");
    assert_eq!(sink.try_feed("y"), Err(TryFeedError::NotConnected));
    assert_eq!(good.messages(), [b"x"], "and gets nothing that the first does not");
}

/// The first child has room from the start, the second only later: what is promised at last holds
/// for both.
#[tokio::test]
async fn readiness_is_a_promise_of_all_children() -> Result<(), SinkError> {
    let ((one, left), (two, right)) = (buffered(8), buffered(8));
    let mut sink = Fanout::new((one, two));
    sink.connect().await?;
    let (left, right) = (left.accept().expect("connected"), right.accept().expect("connected"));
    // The right one's pipe fills up, then its buffer.
    while sink.try_feed("1234").is_ok() {
        let _ = left.read();
        let _ = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
    }
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sink.poll_ready(&mut cx, 4).is_pending());
    let _ = (left.read(), right.read_at_most(8));
    poll_fn(|cx| sink.poll_ready(cx, 4)).await?;
    assert!(sink.room(4));
    sink.try_feed("1234")?;
    Ok(())
}

#[tokio::test]
async fn state_is_the_worst_and_connected_means_all() -> Result<(), SinkError> {
    let ((one, _left), (two, right)) = (buffered(64), buffered(64));
    right.stall(true);
    let mut sink = Fanout::new((one, two));
    assert_eq!((sink.state(), sink.is_connected()), (SinkState::Asleep, false));
    assert!(timeout(Duration::from_millis(1), sink.connect()).await.is_err());
    assert_eq!((sink.state(), sink.is_connected()), (SinkState::Connecting, false));
    right.stall(false);
    sink.connect().await?;
    assert_eq!((sink.state(), sink.is_connected()), (SinkState::Connected, true));
    Ok(())
}

/// The outer policy reaches the children that have none; the nearest one wins.
#[tokio::test(start_paused = true)]
async fn policy_of_a_lazy_above_reaches_the_children_without_one() {
    let ((one, left), (two, right)) = (buffered(64), buffered(64));
    left.refuse(true);
    right.refuse(true);
    let inner = Lazy::new(one).with_max_attempts(3);
    let mut sink = Lazy::new(Fanout::new((inner, two))).with_max_attempts(1);
    let attempts = |error: SinkError| (error.kind(), error.attempt());
    sink.try_feed("x").expect("room");
    let error = sink.flush().await.expect_err("the one with a single attempt gives up first");
    assert_eq!(attempts(error), (ErrorKind::Unreachable, 1));
    right.refuse(false);
    let error = sink.flush().await.expect_err("then the one with three");
    assert_eq!(attempts(error), (ErrorKind::Unreachable, 3));
    assert_eq!(left.attempts(), 3);
}

#[tokio::test]
async fn deadline_to_close_is_the_longest_of_any_child() {
    let lazy =
        |seconds| Lazy::new(buffered(64).0).with_close_deadline(Duration::from_secs(seconds));
    assert_eq!(Fanout::new([lazy(3), lazy(9), lazy(1)]).close_deadline(), Duration::from_secs(9));
}

/// One child is drained and closed at once; the other's peer is away, and the close goes on for it
/// until its deadline.
#[tokio::test(start_paused = true)]
async fn close_waits_for_the_last_child_and_reports_every_leaf() -> Result<(), SinkError> {
    let ((one, left), (two, right), (three, _)) = (buffered(64), buffered(64), buffered(64));
    right.refuse(true);
    let mut sink = Fanout::new((one, Fanout::new((Lazy::new(two), three))));
    sink.feed("x").await?;
    let begin = Instant::now();
    let report = sink.close_within(Duration::from_secs(2)).await?;
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
    let bytes = |index: usize| {
        let leaf = &report.leaves[index];
        (leaf.written.bytes, leaf.dropped.total().bytes, leaf.buffered.bytes)
    };
    assert_eq!([bytes(0), bytes(1), bytes(2)], [(5, 0, 0), (0, 5, 0), (5, 0, 0)]);
    assert_eq!(report.error.map(|error| error.kind()), Some(ErrorKind::Unreachable));
    assert_eq!(read(&left), b"\0\0\0\x01x");
    assert_eq!(sink.try_feed("y"), Err(TryFeedError::Closed));
    Ok(())
}

/// The first child sleeps while the second still drains; a message in between wakes both.
#[tokio::test(start_paused = true)]
async fn message_while_one_child_still_disconnects_reaches_both() -> Result<(), SinkError> {
    let ((one, left), (two, right)) = (buffered(64), buffered(64));
    let mut sink = Fanout::new((one, two));
    sink.send("a").await?;
    let (first, second) = (left.accept().expect("connected"), right.accept().expect("connected"));
    first.shut();
    assert!(poll_fn(|cx| Poll::Ready(sink.poll_disconnect(cx))).await.is_pending());
    assert_eq!(sink.state(), SinkState::Asleep, "the one whose peer has closed");
    sink.send("b").await?;
    assert_eq!((first.read(), second.read()), (b"\0\0\0\x01a".to_vec(), b"\0\0\0\x01a".to_vec()));
    for peer in [left, right] {
        assert_eq!(read(&peer), b"\0\0\0\x01b");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn idle_stack_over_sinks_sleeps_whole_and_idle_children_by_themselves()
-> Result<(), SinkError> {
    let idle = |seconds| LazyPolicy::new().with_idle_timeout(Some(Duration::from_secs(seconds)));
    let ((one, left), (two, right)) = (buffered(64), buffered(64));
    let children = Fanout::new((Lazy::with_policy(one, idle(1)), two));
    let mut sink = Lazy::with_policy(children, idle(60));
    sink.send("x").await?;
    let streams = [left.accept().expect("connected"), right.accept().expect("connected")];
    // As of the first flush that finds nothing new.
    for (seconds, connected) in [(0, (true, true)), (2, (false, true)), (60, (false, false))] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        sink.flush().await?;
        // Peers that read to the end close in turn, and the next flush sees it.
        streams.iter().filter(|stream| stream.is_finished()).for_each(|stream| stream.shut());
        sink.flush().await?;
        let (one, two) = sink.get_ref().get_ref();
        assert_eq!((one.is_connected(), two.is_connected()), connected, "{seconds} s later");
    }
    Ok(())
}

#[tokio::test]
async fn fanout_without_children_takes_everything_and_brings_it_nowhere() -> Result<(), SinkError> {
    let mut sink = Fanout::new(Vec::<Lazy<Buffered<MemorySink>>>::new());
    sink.send("x").await?;
    sink.connect().await?;
    assert_eq!((sink.state(), sink.accepted_bytes()), (SinkState::Connected, 0));
    assert!(sink.close().await?.is_complete());
    Ok(())
}

/// A stack whose shape is known at run time only: a fan-out of itself, whose types must not grow
/// with every level.
enum Tree {
    Leaf(Box<Buffered<MemorySink>>),
    Branch(Fanout<Vec<Self>>),
}

macro_rules! of_tree {
    ($tree:expr, $sink:ident => $call:expr) => {
        match $tree {
            Tree::Leaf($sink) => $call,
            Tree::Branch($sink) => $call,
        }
    };
}

impl MessageSink for Tree {
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        of_tree!(self, sink => sink.try_feed(msg))
    }

    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        of_tree!(self, sink => sink.append(msg, len))
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        of_tree!(self, sink => sink.try_ready(len))
    }

    fn room(&self, len: usize) -> bool {
        of_tree!(self, sink => sink.room(len))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        of_tree!(self, sink => sink.poll_ready(cx, len))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        of_tree!(self, sink => sink.poll_flush(cx))
    }
}

#[tokio::test]
async fn fanout_of_a_type_that_contains_it_is_a_sink() -> Result<(), SinkError> {
    let ((one, left), (two, middle), (three, right)) = (buffered(64), buffered(64), buffered(64));
    let leaf = |sink| Tree::Leaf(Box::new(sink));
    let branch = Tree::Branch(Fanout::new(vec![leaf(one), leaf(two)]));
    let mut sink = Fanout::new(vec![branch, leaf(three)]);
    sink.send("x").await?;
    for peer in [left, middle, right] {
        assert_eq!(read(&peer), b"\0\0\0\x01x");
    }
    Ok(())
}

/// Each child's events come, in the order of the children.
#[tokio::test]
async fn events_of_all_children_are_handed_over() -> Result<(), SinkError> {
    let ((one, _left), (two, _right)) = (buffered(64), buffered(64));
    let mut sink = Lazy::new(Fanout::new((one, two)));
    sink.connect().await?;
    let mut connected = 0;
    sink.take_events(&mut |event| {
        connected += usize::from(matches!(event, Event::Connected { .. }))
    });
    assert_eq!(connected, 2);
    Ok(())
}
