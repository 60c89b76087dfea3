//! Peers that cannot be reached, stacks that fail or panic.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use torq_message_sink::testing::ScriptedSink;
use torq_message_sink::{
    Backoff, Buffered, Encode, ErrorKind, Lazy, MemoryPeer, MemorySink, MessageSink, Shared,
    SinkError, TryFeedError, forward_sink,
};

use crate::support::{Wakes, messages, poll, poll_once, settle, tasks};

fn one_attempt(capacity: usize) -> (Shared<Lazy<Buffered<MemorySink>>>, MemoryPeer) {
    let (link, peer) = MemorySink::pair(1024);
    let none = Backoff::new().with_initial(Duration::ZERO);
    let stack = Lazy::new(Buffered::with_capacity(link, capacity));
    let stack = stack.with_max_attempts(1).with_backoff(none);
    (Shared::with_capacity(stack, capacity), peer)
}

#[tokio::test]
async fn used_up_attempts_reach_all_who_wait_and_the_bytes_stay() {
    let (sink, peer) = one_attempt(1024);
    peer.refuse(true);
    let (a, b, connected) = tokio::join!(sink.send("a"), sink.send("b"), sink.connect());
    for outcome in [a, b, connected] {
        assert_eq!(outcome.expect_err("refused").kind(), ErrorKind::Unreachable);
    }
    assert_eq!(tasks(), 0, "nobody drives a stack that nobody feeds");
    assert_eq!(peer.attempts(), 1);
    assert_eq!(sink.flush().await.expect_err("still refused").kind(), ErrorKind::Unreachable);
    assert_eq!(peer.attempts(), 2, "a flush tries again");
    peer.refuse(false);
    sink.send("c").await.expect("sent");
    assert_eq!(messages(&peer.accept().expect("connected").read()), ["a", "b", "c"]);
}

#[tokio::test]
async fn who_waits_for_room_gets_the_error_too() {
    let (sink, peer) = one_attempt(16);
    peer.refuse(true);
    let mut accepted = 0;
    loop {
        match sink.try_feed("12345678") {
            Ok(()) => accepted += 1,
            Err(TryFeedError::NotConnected) => break,
            Err(refusal) => assert_eq!(refusal, TryFeedError::Full),
        }
        settle().await;
    }
    assert!(accepted <= 3, "{accepted}");
    settle().await;
    let error = sink.feed("12345678").await.expect_err("no room, and nobody there");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    peer.refuse(false);
    sink.feed("last").await.expect("tries again");
    sink.flush().await.expect("flushed");
    let got = messages(&peer.accept().expect("connected").read());
    assert_eq!(got.len(), accepted + 1);
    assert_eq!(got.last().expect("some"), "last");
}

#[tokio::test(start_paused = true)]
async fn peer_that_returns_gets_everything() {
    let (link, peer) = MemorySink::pair(1 << 16);
    let sink = Shared::new(Lazy::new(Buffered::new(link)));
    let mut got = Vec::new();
    for round in 0..10 {
        peer.refuse(true);
        let sends: Vec<_> = (0..3)
            .map(|number| {
                let sink = sink.clone();
                tokio::spawn(async move { sink.send(&format!("{round}-{number}")).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(10)).await;
        peer.refuse(false);
        for send in sends {
            send.await.expect("no panic").expect("sent");
        }
        got.extend(messages(&peer.accept().expect("connected").read()));
    }
    let mut expected: Vec<_> =
        (0..10).flat_map(|round| (0..3).map(move |number| format!("{round}-{number}"))).collect();
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn feed_of_a_sink_that_fails_for_others_is_kept() {
    let (inner, peer) = ScriptedSink::pair(100);
    let sink = Shared::new(inner);
    peer.fail(Some(ErrorKind::Other));
    let wakes = Arc::new(Wakes::default());
    let mut send = sink.send("a");
    assert!(poll(&mut send, &wakes).is_pending());
    settle().await;
    let Poll::Ready(Err(error)) = poll(&mut send, &wakes) else { panic!("an error") };
    assert_eq!((error.kind(), wakes.count()), (ErrorKind::Other, 1));
    peer.fail(None);
    sink.send("b").await.expect("sent");
    assert_eq!(peer.messages(), [b"a", b"b"]);
}

#[tokio::test]
async fn stack_that_panics_is_an_error_for_those_who_wait() {
    struct Panics<S>(S, bool);
    impl<S: MessageSink> MessageSink for Panics<S> {
        forward_sink! { 0: try_feed room poll_ready }
        fn poll_flush(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), SinkError>> {
            assert!(!std::mem::take(&mut self.1), "a stack that panics");
            self.0.poll_flush(cx)
        }
    }
    let (inner, peer) = ScriptedSink::pair(100);
    let sink = Shared::new(Panics(inner, true));
    assert_eq!(sink.send("a").await.expect_err("panicked").kind(), ErrorKind::Other);
    sink.send("b").await.expect("the next driver goes on");
    assert_eq!(peer.messages(), [b"a", b"b"]);
}

/// It panics over one message of a batch, once.
#[tokio::test]
async fn what_was_fed_before_a_panic_is_not_fed_again() {
    struct Panics<S>(S, bool);
    impl<S: MessageSink> MessageSink for Panics<S> {
        forward_sink! { 0: room poll_ready poll_flush }
        fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
            assert!(msg.encoded_len() < 3 || !std::mem::take(&mut self.1), "a stack that panics");
            self.0.try_feed(msg)
        }
    }
    let (inner, peer) = ScriptedSink::pair(100);
    let sink = Shared::new(Panics(inner, true));
    let batch = sink.send_batch(["a", "b", "ccc", "d"]);
    assert_eq!(batch.await.expect_err("panicked").kind(), ErrorKind::Other);
    sink.flush().await.expect("the next driver goes on");
    assert_eq!(peer.messages(), [b"a".as_slice(), b"b", b"ccc", b"d"]);
}

/// A message that says less of its size in the first poll waits for room that does not suffice.
#[tokio::test]
async fn growing_message_waits_again() {
    struct Grows(std::cell::Cell<usize>);
    impl Encode for Grows {
        fn encoded_len(&self) -> usize {
            let asked = self.0.replace(self.0.get() + 1);
            if asked < 2 { 0 } else { 40 }
        }
        fn encode(&self, buf: &mut [u8]) {
            buf.fill(b'g');
        }
    }
    let (inner, peer) = ScriptedSink::pair(0);
    let sink = Shared::with_capacity(inner, 48);
    for _ in 0..5 {
        while sink.try_feed("12345678").is_ok() {}
        settle().await;
    }
    let (grows, other) = (Grows(0.into()), "o".repeat(20));
    let (mut feed, mut next) = (sink.feed(&grows), sink.feed(&other));
    assert!(poll_once(&mut feed).await.is_pending());
    assert!(poll_once(&mut next).await.is_pending());
    peer.set_room(100);
    settle().await;
    assert!(poll_once(&mut feed).await.is_pending(), "the room of the other is not its own");
    next.await.expect("fed");
    feed.await.expect("fed");
    sink.flush().await.expect("flushed");
    assert_eq!(peer.messages().last().expect("some").len(), 40);
}
