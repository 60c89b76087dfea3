//! The end: ordered by one handle for all, or by the last one that is dropped.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;
use torq_message_sink::testing::ScriptedSink;
use torq_message_sink::{
    Buffered, ErrorKind, Lazy, MemorySink, MessageSink, Shared, SinkError, SinkState, TryFeedError,
    forward_sink,
};

use crate::support::{messages, poll_once, settle, tasks};

#[tokio::test(start_paused = true)]
async fn close_flushes_what_was_accepted_and_is_final_for_all_handles() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Lazy::new(Buffered::new(link)));
    let other = sink.clone();
    sink.try_feed("a").expect("room");
    other.try_feed("b").expect("room");
    let (first, second) = tokio::join!(sink.close(), other.close());
    assert!(first.expect("closed").is_complete() && second.expect("closed").is_complete());
    assert_eq!(messages(&peer.accept().expect("connected").read()), ["a", "b"]);
    for handle in [&sink, &other] {
        assert_eq!(handle.try_feed("c"), Err(TryFeedError::Closed));
        assert!(handle.feed("c").await.expect_err("closed").is_closed());
        assert!(handle.send("c").await.expect_err("closed").is_closed());
        assert!(handle.connect().await.expect_err("closed").is_closed());
        handle.flush().await.expect("nothing to flush");
        assert_eq!(handle.state(), SinkState::Closed);
        assert!(handle.close().await.expect("closed before").is_complete());
        assert!(handle.disconnect().await.expect("closed before").is_complete());
    }
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn close_at_its_deadline_counts_what_is_left() {
    let (link, peer) = MemorySink::pair(16);
    let sink = Shared::with_capacity(Lazy::new(Buffered::with_capacity(link, 100)), 100);
    let mut accepted = 0;
    for _ in 0..50 {
        while sink.try_feed("123456").is_ok() {
            accepted += 10;
        }
        settle().await;
    }
    let mut waiting = (sink.feed("more"), sink.flush());
    assert!(poll_once(&mut waiting.0).await.is_pending());
    assert!(poll_once(&mut waiting.1).await.is_pending());
    let begin = Instant::now();
    let report = sink.close_within(Duration::from_secs(3)).await.expect("closed");
    assert_eq!(begin.elapsed(), Duration::from_secs(3));
    let leaf = &report.leaves[0];
    let (written, dropped) = (leaf.written.bytes, leaf.dropped.total().bytes);
    let above = report.dropped.closed.bytes;
    assert_eq!(written + dropped + above, accepted, "{report}");
    assert!(!report.is_complete());
    assert!(waiting.0.await.expect_err("closed").is_closed());
    assert!(waiting.1.await.expect_err("not flushed").is_closed());
    assert_eq!((sink.state(), tasks()), (SinkState::Closed, 0));
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn close_cuts_a_back_off_short() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Lazy::new(Buffered::new(link)).with_close_deadline(Duration::ZERO));
    peer.refuse(true);
    sink.try_feed("a").expect("room");
    while sink.state() != SinkState::BackingOff {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    peer.refuse(false);
    let begin = Instant::now();
    let report = sink.close_within(Duration::from_millis(260)).await.expect("closed");
    assert!(report.is_complete(), "{report}");
    // What a peer that says nothing is given to close in turn.
    assert_eq!(begin.elapsed(), Duration::from_millis(250));
    assert_eq!(messages(&peer.accept().expect("at once").read()), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn last_handle_closes_the_stack() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Lazy::new(Buffered::new(link)));
    let other = sink.clone();
    sink.try_feed("a").expect("room");
    drop(sink);
    settle().await;
    let stream = peer.accept().expect("connected");
    assert!(!stream.is_finished(), "there is another handle");
    other.try_feed("b").expect("room");
    drop(other);
    settle().await;
    assert_eq!(messages(&stream.read()), ["a", "b"]);
    assert!(stream.is_finished());
    drop(stream);
    settle().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn last_handle_gives_up_at_the_close_deadline() {
    let (link, peer) = MemorySink::pair(1024);
    let deadline = Duration::from_secs(2);
    let sink = Shared::new(Lazy::new(Buffered::new(link)).with_close_deadline(deadline));
    peer.stall(true);
    sink.try_feed("a").expect("room");
    drop(sink);
    tokio::time::sleep(Duration::from_millis(1999)).await;
    assert_ne!(tasks(), 0);
    tokio::time::sleep(Duration::from_millis(2)).await;
    settle().await;
    assert_eq!(tasks(), 0, "no task outlives the deadline");
}

#[tokio::test]
async fn dropping_an_unused_sink_starts_nothing() {
    let (link, peer) = MemorySink::pair(1024);
    drop(Shared::new(Lazy::new(Buffered::new(link))));
    settle().await;
    assert_eq!((tasks(), peer.attempts()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_close_goes_on_by_itself() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Lazy::new(Buffered::new(link)));
    sink.try_feed("a").expect("room");
    let mut close = sink.close();
    assert!(poll_once(&mut close).await.is_pending());
    drop(close);
    assert_eq!(sink.try_feed("b"), Err(TryFeedError::Closed));
    settle().await;
    assert_eq!(messages(&peer.accept().expect("connected").read()), ["a"]);
    assert!(sink.close().await.expect("closed").is_complete());
}

#[tokio::test(start_paused = true)]
async fn close_wins_over_a_disconnect_and_keeps_its_own_deadline() {
    let (inner, peer) = ScriptedSink::pair(100);
    let sink = Shared::new(inner);
    peer.hold(true);
    sink.try_feed("a").expect("room");
    let mut disconnect = sink.disconnect_within(Duration::from_secs(1));
    assert!(poll_once(&mut disconnect).await.is_pending());
    let mut close = sink.close_within(Duration::from_secs(10));
    assert!(poll_once(&mut close).await.is_pending());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!peer.is_closed() || peer.flushed() == 0);
    assert!(poll_once(&mut close).await.is_pending(), "the close has time left");
    peer.hold(false);
    close.await.expect("closed");
    disconnect.await.expect("over");
    assert_eq!((peer.flushed(), sink.state()), (1, SinkState::Closed));
}

#[tokio::test]
async fn stack_that_was_closed_before_is_an_error_and_no_hang() {
    let (link, _peer) = MemorySink::pair(1024);
    let mut stack = Buffered::new(link);
    stack.close().await.expect("closed");
    let sink = Shared::new(stack);
    let error = sink.send("a").await.expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
    let report = sink.close().await.expect("nothing to wait for");
    assert_eq!(report.dropped.closed.bytes, 5, "what was accepted is accounted for");
    assert_eq!(tasks(), 0);
}

/// A stack in the middle of whose steps somebody closes the sink.
struct Interrupted {
    inner: ScriptedSink,
    close: Arc<Mutex<Option<Shared<Self>>>>,
    failing: bool,
}

impl Interrupted {
    fn interrupt(&self) {
        let handle = self.close.lock().expect("no panic").take();
        if let Some(handle) = handle {
            let mut close = handle.close();
            assert!(
                Pin::new(&mut close).poll(&mut Context::from_waker(Waker::noop())).is_pending()
            );
        }
    }
}

impl MessageSink for Interrupted {
    forward_sink! { inner: try_feed room poll_ready poll_close end state }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if std::mem::take(&mut self.failing) {
            self.interrupt();
            return Poll::Ready(Err(ErrorKind::Unreachable.into()));
        }
        self.inner.poll_flush(cx)
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.interrupt();
        self.inner.poll_disconnect(cx)
    }
}

#[tokio::test]
async fn close_in_the_last_moment_of_a_disconnect_is_carried_out() {
    let (inner, peer) = ScriptedSink::pair(100);
    let close = Arc::default();
    let sink = Shared::new(Interrupted { inner, close: Arc::clone(&close), failing: false });
    *close.lock().expect("no panic") = Some(sink.clone());
    sink.try_feed("a").expect("room");
    sink.disconnect().await.expect("it is closed even");
    assert_eq!((peer.is_closed(), sink.state(), tasks()), (true, SinkState::Closed, 0));
}

#[tokio::test]
async fn close_while_the_stack_fails_goes_on_to_its_deadline() {
    let (inner, peer) = ScriptedSink::pair(100);
    let close = Arc::default();
    let sink = Shared::new(Interrupted { inner, close: Arc::clone(&close), failing: true });
    *close.lock().expect("no panic") = Some(sink.clone());
    assert_eq!(sink.send("a").await.expect_err("it fails").kind(), ErrorKind::Unreachable);
    settle().await;
    assert_eq!((peer.flushed(), peer.is_closed(), tasks()), (1, true, 0));
}
