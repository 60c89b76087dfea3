//! What was only fed waits for more, for so long or until so much stands there. The clock is paused:
//! it moves when nobody has anything else to do, so no test waits, and none depends on speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};
use torq_message_sink::{
    BestEffort, Buffered, Fanout, Lazy, MemoryPeer, MemorySink, MemoryStream, MessageSink, Shared,
    SinkError, SinkState, forward_sink,
};

use crate::support::{Wakes, messages, poll, settle, tasks};

type Sink = Shared<Lazy<Buffered<MemorySink>>>;

/// A sink whose messages wait for 50 ms, or for 40 bytes with their four each.
fn delayed() -> (Sink, MemoryPeer) {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::with_capacity(Lazy::new(Buffered::new(link)), 100);
    (sink.with_max_delay(Duration::from_millis(50), 40), peer)
}

/// A connected one.
async fn connected() -> (Sink, MemoryStream) {
    let (sink, peer) = delayed();
    sink.connect().await.expect("connected");
    (sink, peer.accept().expect("connected"))
}

async fn pass(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn fed_message_leaves_when_the_oldest_has_waited_long_enough() {
    let (sink, stream) = connected().await;
    for _ in 0..3 {
        sink.feed("old").await.expect("fed");
        pass(30).await;
        sink.try_feed("young").expect("room");
        pass(19).await;
        assert_eq!(messages(&stream.read()), [""; 0]);
        pass(1).await;
        assert_eq!(messages(&stream.read()), ["old", "young"]);
        // The next one has a time of its own, also when it comes long after.
        pass(70).await;
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_bytes_leave_at_once() {
    let (sink, stream) = connected().await;
    let begin = Instant::now();
    sink.try_feed("1234567890123456").expect("room");
    sink.try_feed("123456789012345").expect("room");
    settle().await;
    assert!(stream.read().is_empty(), "39 of 40 bytes");
    sink.try_feed("").expect("room");
    settle().await;
    assert_eq!(messages(&stream.read()).len(), 3, "43 bytes");
    for len in [16, 16] {
        sink.try_feed(&*"x".repeat(len)).expect("room");
    }
    settle().await;
    assert_eq!(messages(&stream.read()).len(), 2, "40 bytes");
    sink.try_feed(&*"x".repeat(96)).expect("room");
    settle().await;
    assert_eq!(messages(&stream.read()).len(), 1, "a hundred bytes at once");
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_flush_never_waits_for_the_delay() {
    let (sink, stream) = connected().await;
    let begin = Instant::now();
    for _ in 0..3 {
        sink.feed("a").await.expect("fed");
        settle().await;
        sink.send("b").await.expect("sent");
        assert_eq!(messages(&stream.read()), ["a", "b"]);
        sink.feed("c").await.expect("fed");
        settle().await;
        sink.flush().await.expect("flushed");
        assert_eq!(messages(&stream.read()), ["c"]);
        sink.feed("d").await.expect("fed");
        settle().await;
        sink.send_batch(["e", "f"]).await.expect("sent");
        assert_eq!(messages(&stream.read()), ["d", "e", "f"]);
        sink.send("g").await.expect("sent");
        assert_eq!(messages(&stream.read()), ["g"]);
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

/// It was accepted, so what it waited for happens.
#[tokio::test(start_paused = true)]
async fn send_that_is_given_up_still_takes_what_has_gathered_along() {
    let (sink, stream) = connected().await;
    sink.feed("a").await.expect("fed");
    settle().await;
    let mut send = sink.send("b");
    assert!(poll(&mut send, &Arc::default()).is_pending());
    drop(send);
    settle().await;
    assert_eq!(messages(&stream.read()), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_never_waits_for_the_delay() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::with_capacity(Buffered::new(link), 100);
    let sink = sink.with_max_delay(Duration::from_secs(1), usize::MAX);
    sink.connect().await.expect("connected");
    let (stream, begin) = (peer.accept().expect("connected"), Instant::now());
    sink.feed(&[b'a'; 60]).await.expect("fed");
    settle().await;
    let (mut second, mut third) = (sink.feed(&[b'b'; 60]), sink.feed(&[b'c'; 60]));
    let wakes = Arc::new(Wakes::default());
    assert!(poll(&mut second, &wakes).is_pending());
    assert!(poll(&mut third, &wakes).is_pending());
    settle().await;
    second.await.expect("fed");
    // The second one stands alone now, and the third one behind it at the door.
    third.await.expect("fed");
    assert_eq!(messages(&stream.read()).len(), 2);
    // One that is refused takes the rest along, too.
    assert!(sink.try_feed(&[b'd'; 60]).expect_err("no room").is_full());
    settle().await;
    assert_eq!(messages(&stream.read()).len(), 1);
    // And a full buffer is full.
    sink.try_feed(&[b'e'; 96]).expect("room");
    settle().await;
    assert_eq!(messages(&stream.read()).len(), 1);
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_has_gathered_is_written_by_every_end() {
    let begin = Instant::now();
    for end in ["disconnect", "close", "drop"] {
        let (sink, stream) = connected().await;
        sink.feed(end).await.expect("fed");
        settle().await;
        let reading = tokio::spawn(async move {
            while !stream.is_finished() {
                tokio::task::yield_now().await;
            }
            messages(&stream.read())
        });
        match end {
            "disconnect" => assert!(sink.disconnect().await.expect("asleep").is_complete()),
            "close" => assert!(sink.close().await.expect("closed").is_complete()),
            _ => drop(sink),
        }
        assert_eq!(reading.await.expect("no panic"), [end]);
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn delay_of_nothing_is_none_and_an_endless_one_counts_bytes_alone() {
    for (delay, bytes) in [(Duration::ZERO, usize::MAX), (Duration::MAX, 0), (Duration::MAX, 1)] {
        let (link, peer) = MemorySink::pair(1024);
        let sink = Shared::new(Buffered::new(link)).with_max_delay(delay, bytes);
        for _ in 0..2 {
            sink.feed("tick").await.expect("fed");
            settle().await;
        }
        let stream = peer.accept().expect("connected");
        assert_eq!(messages(&stream.read()), ["tick", "tick"]);
    }
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Buffered::new(link)).with_max_delay(Duration::MAX, 24);
    for _ in 0..2 {
        sink.feed("tick").await.expect("fed");
        sleep(Duration::from_secs(86_400)).await;
        assert_eq!(peer.attempts(), 0, "nothing to wake for");
    }
    sink.feed("tick").await.expect("fed");
    settle().await;
    assert_eq!(messages(&peer.accept().expect("connected").read()).len(), 3);
}

/// What gathers is counted as on its way, and keeps the driver though the stack sleeps.
#[tokio::test(start_paused = true)]
async fn sleeping_stack_wakes_when_the_time_has_come() {
    let (sink, peer) = delayed();
    sink.feed("tick").await.expect("fed");
    pass(49).await;
    assert_eq!((sink.state(), tasks(), peer.attempts()), (SinkState::Asleep, 1, 0));
    assert_eq!(sink.report().unfed.bytes, 8);
    pass(1).await;
    assert_eq!(messages(&peer.accept().expect("connected").read()), ["tick"]);
    assert_eq!(sink.report().unfed.bytes, 0);
}

/// The idle time is shorter than the delay, and ends while something gathers.
#[tokio::test(start_paused = true)]
async fn stack_goes_to_sleep_while_messages_gather() {
    let (link, peer) = MemorySink::pair(1024);
    let idle = Some(Duration::from_millis(20));
    let sink = Shared::new(Lazy::new(Buffered::new(link)).with_idle_timeout(idle));
    let sink = sink.with_max_delay(Duration::from_millis(50), 1000);
    sink.send("one").await.expect("sent");
    let first = peer.accept().expect("connected");
    settle().await;
    sink.feed("two").await.expect("fed");
    pass(30).await;
    assert!(first.is_finished());
    assert_eq!(messages(&first.read()), ["one"]);
    drop(first);
    pass(20).await;
    let second = peer.accept().expect("connected again");
    assert_eq!(messages(&second.read()), ["two"]);
    pass(30).await;
    assert!(second.is_finished());
    drop(second);
    settle().await;
    assert_eq!((sink.state(), tasks()), (SinkState::Asleep, 0));
}

#[tokio::test(start_paused = true)]
async fn peer_that_closes_while_messages_gather_is_noticed() {
    let (sink, peer) = delayed();
    sink.send("one").await.expect("sent");
    sink.feed("two").await.expect("fed");
    settle().await;
    drop(peer.accept().expect("connected"));
    settle().await;
    assert_eq!((sink.state(), tasks()), (SinkState::Asleep, 1));
    // The connection was short, so the next attempt waits, too: up to 100 ms.
    pass(150).await;
    assert_eq!(messages(&peer.accept().expect("connected again").read()), ["two"]);
}

/// The peer takes nothing, and a flush that nobody waits for is under way: what is fed meanwhile
/// gathers as ever, and reaches the stack by the time.
#[tokio::test(start_paused = true)]
async fn messages_gather_while_a_peer_is_slow() {
    let (link, peer) = MemorySink::pair(10);
    let sink = Shared::new(Buffered::new(link)).with_max_delay(Duration::from_millis(50), 1000);
    sink.feed("123456789012345").await.expect("fed");
    pass(50).await;
    sink.feed("late").await.expect("fed");
    pass(49).await;
    assert_eq!(sink.report().unfed.bytes, 8);
    pass(1).await;
    assert_eq!(sink.report().unfed.bytes, 0);
    let stream = peer.accept().expect("connected");
    assert_eq!(messages(&crate::support::read_all(&stream).await), ["123456789012345", "late"]);
}

/// A child that nobody waits for does not hold up what gathers for the other.
#[tokio::test(start_paused = true)]
async fn stuck_child_that_nobody_waits_for_does_not_lengthen_the_delay() {
    let ((a, peer_a), (b, peer_b)) = (MemorySink::pair(1024), MemorySink::pair(0));
    let stack = Buffered::new(Fanout::new((a, BestEffort::new(b))));
    let sink = Shared::new(stack).with_max_delay(Duration::from_millis(50), 1000);
    sink.connect().await.expect("connected");
    let (reads, _stuck) = (peer_a.accept().expect("connected"), peer_b.accept());
    for _ in 0..3 {
        sink.feed("tick").await.expect("fed");
        pass(49).await;
        assert!(reads.read().is_empty());
        pass(1).await;
        assert_eq!(messages(&reads.read()), ["tick"]);
    }
}

/// A stack that counts how often it is flushed: in each turn of the driver, once.
struct Counting<S> {
    inner: S,
    flushes: Arc<AtomicUsize>,
}

impl<S: MessageSink> MessageSink for Counting<S> {
    forward_sink! { inner:
        try_feed append fits accepts room try_ready poll_ready poll_feed poll_close
        poll_disconnect poll_connect hurry end state is_connected accepted_bytes
        outstanding_bytes report_into take_events set_policy due close_deadline
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        self.inner.poll_flush(cx)
    }
}

/// Messages come one by one. Some come to the end of the window, which is as long as the longest
/// that the stack takes.
#[tokio::test(start_paused = true)]
async fn what_gathers_leaves_the_driver_alone() {
    let (link, peer) = MemorySink::pair(1024);
    let flushes = Arc::new(AtomicUsize::new(0));
    let inner = Buffered::with_capacity(link, 50);
    let sink = Shared::new(Counting { inner, flushes: flushes.clone() });
    let sink = sink.with_max_delay(Duration::from_millis(50), 1000);
    sink.connect().await.expect("connected");
    settle().await;
    let before = flushes.load(Ordering::SeqCst);
    for _ in 0..80 {
        sink.feed("12345678").await.expect("fed");
        settle().await;
    }
    assert_eq!(flushes.load(Ordering::SeqCst) - before, 1, "one turn, to set the alarm");
    pass(50).await;
    assert_eq!(messages(&peer.accept().expect("connected").read()).len(), 80);
}

#[test]
fn what_has_gathered_outlives_the_runtime() {
    let (sink, peer) = delayed();
    let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime().block_on(async {
        sink.feed("a").await.expect("fed");
        settle().await;
    });
    assert_eq!(peer.attempts(), 0);
    runtime().block_on(sink.send("b")).expect("sent");
    assert_eq!(messages(&peer.accept().expect("woken").read()), ["a", "b"]);
}
