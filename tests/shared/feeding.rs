//! Messages go in: room, order, fairness, what a dropped future leaves behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use torq_message_sink::testing::ScriptedSink;
use torq_message_sink::{
    Buffered, Encode, ErrorKind, InLane, Keyed, MemorySink, MessageSink, NewlineDelimited, Shared,
    SinkError, TryFeedError, WithDeadline,
};

use crate::support::{Wakes, messages, poll, poll_once, read_all, settle, tasks};

#[tokio::test]
async fn messages_of_one_producer_keep_their_order() {
    let (link, peer) = MemorySink::pair(1 << 16);
    let sink = Shared::new(Buffered::new(link));
    let producers: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let sink = sink.clone();
            tokio::spawn(async move {
                for number in 0..100 {
                    sink.feed(&format!("{name}{number:03}")).await.expect("fed");
                    if number % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .into();
    for producer in producers {
        producer.await.expect("no panic");
    }
    sink.flush().await.expect("flushed");
    let got = messages(&peer.accept().expect("connected").read());
    assert_eq!(got.len(), 300);
    for name in ["a", "b", "c"] {
        let of_one: Vec<_> = got.iter().filter(|message| message.starts_with(name)).collect();
        assert_eq!(of_one.len(), 100);
        assert!(of_one.is_sorted(), "{of_one:?}");
    }
}

#[tokio::test]
async fn fed_messages_leave_without_a_flush() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Buffered::new(link));
    sink.try_feed("tick").expect("room");
    settle().await;
    assert_eq!(messages(&peer.accept().expect("connected").read()), ["tick"]);
}

#[tokio::test]
async fn one_flush_covers_all_who_wait() {
    let (inner, peer) = ScriptedSink::pair(100);
    let sink = Shared::new(inner);
    let wakes: [_; 3] = std::array::from_fn(|_| Arc::new(Wakes::default()));
    let mut sends = ["a", "b", "c"].map(|message| sink.send(message));
    peer.hold(true);
    for (send, wakes) in sends.iter_mut().zip(&wakes) {
        assert!(poll(send, wakes).is_pending());
        assert!(send.accepted());
    }
    settle().await;
    assert_eq!((peer.messages().len(), peer.flushed()), (3, 0), "fed as one batch");
    assert_eq!(wakes[0].count(), 0);
    peer.hold(false);
    settle().await;
    for (send, wakes) in sends.iter_mut().zip(&wakes) {
        assert_eq!(wakes.count(), 1);
        assert!(matches!(poll(send, wakes), Poll::Ready(Ok(()))));
    }
}

/// Three waiters that need 12 bytes each at a buffer of 24, which is full: two are given room, in
/// order; the third, and a newcomer that would fit, wait their turn.
#[tokio::test]
async fn room_is_given_in_order_of_arrival() {
    let (inner, peer) = ScriptedSink::pair(0);
    let sink = Shared::with_capacity(inner, 24);
    fill(&sink).await;
    let wakes: [_; 3] = std::array::from_fn(|_| Arc::new(Wakes::default()));
    let mut feeds = ["first---", "second--", "third---"].map(|message| sink.feed(message));
    for (feed, wakes) in feeds.iter_mut().zip(&wakes) {
        assert!(poll(feed, wakes).is_pending());
    }
    peer.set_room(100);
    settle().await;
    let woken = wakes.each_ref().map(|wakes| wakes.count());
    assert_eq!(woken, [1, 1, 0], "as many as fit, in order");
    assert_eq!(sink.try_feed(""), Err(TryFeedError::Full), "nobody overtakes");
    let [first, second, third] = &mut feeds;
    assert!(poll(second, &wakes[1]).is_ready(), "each has room of its own");
    assert!(poll(first, &wakes[0]).is_ready());
    settle().await;
    assert!(poll(third, &wakes[2]).is_ready());
    sink.flush().await.expect("flushed");
    let got = peer.messages();
    let last: Vec<_> = got[got.len() - 3..].iter().map(|m| str::from_utf8(m).unwrap()).collect();
    assert_eq!(last, ["second--", "first---", "third---"]);
}

#[tokio::test]
async fn dropped_feed_accepted_nothing_and_passes_its_room_on() {
    let (inner, peer) = ScriptedSink::pair(0);
    let sink = Shared::with_capacity(inner, 24);
    fill(&sink).await;
    let accepted = sink.report().unfed.bytes;
    let wakes: [_; 3] = std::array::from_fn(|_| Arc::new(Wakes::default()));
    let mut feeds = ["a".repeat(20), "b".repeat(20), "c".repeat(20)];
    let feeds = feeds.each_mut().map(|message| sink.feed(&*message));
    let [mut first, mut second, mut third] = feeds;
    assert!(poll(&mut first, &wakes[0]).is_pending());
    assert!(poll(&mut second, &wakes[1]).is_pending());
    assert!(poll(&mut third, &wakes[2]).is_pending());
    drop(second);
    assert_eq!(sink.report().unfed.bytes, accepted);
    peer.set_room(100);
    settle().await;
    assert_eq!((wakes[0].count(), wakes[2].count()), (1, 0));
    drop(first);
    assert_eq!(wakes[2].count(), 1, "the room that was given to the first is the third's");
    assert!(poll(&mut third, &wakes[2]).is_ready());
    sink.flush().await.expect("flushed");
    assert_eq!(peer.messages().last().unwrap(), "c".repeat(20).as_bytes());
    assert!(peer.messages().iter().all(|message| message[0] != b'a' && message[0] != b'b'));
}

#[tokio::test]
async fn dropped_send_says_whether_it_was_accepted() {
    let (inner, peer) = ScriptedSink::pair(100);
    let sink = Shared::with_capacity(inner, 24);
    let mut send = sink.send("message");
    assert!(!send.accepted());
    assert!(poll_once(&mut send).await.is_pending());
    assert!(send.accepted());
    drop(send);
    peer.set_room(0);
    fill(&sink).await;
    let mut send = sink.send("too late");
    assert!(poll_once(&mut send).await.is_pending());
    assert!(!send.accepted());
    drop(send);
    peer.set_room(100);
    sink.flush().await.expect("flushed");
    assert_eq!(peer.messages()[0], b"message");
    assert!(!peer.messages().contains(&b"too late".to_vec()));
}

#[tokio::test]
async fn dropped_batch_says_how_many_were_accepted() {
    let (inner, peer) = ScriptedSink::pair(0);
    let sink = Shared::with_capacity(inner, 20);
    let mut batch = sink.send_batch(["one", "two", "three", "four", "five"]);
    assert!(poll_once(&mut batch).await.is_pending());
    assert_eq!(batch.accepted(), 2);
    settle().await;
    assert!(poll_once(&mut batch).await.is_pending());
    let accepted = batch.accepted();
    drop(batch);
    peer.set_room(100);
    sink.flush().await.expect("flushed");
    assert_eq!(peer.messages().len(), accepted);
    sink.send_batch(["six", "seven"]).await.expect("sent");
    assert_eq!(peer.messages().len(), accepted + 2);
    sink.send_batch(std::iter::empty::<&str>()).await.expect("nothing to send");
}

#[tokio::test]
async fn memory_is_bounded_whatever_the_peer_does() {
    let (link, peer) = MemorySink::pair(0);
    let sink = Shared::with_capacity(Buffered::with_capacity(link, 100), 100);
    let mut accepted = 0;
    for _ in 0..100 {
        while sink.try_feed("123456").is_ok() {
            accepted += 10;
        }
        settle().await;
    }
    // In the stack, on the way there, and in front of it.
    assert_eq!(accepted, 300);
    let stream = peer.accept().expect("connected");
    stream.set_capacity(1000);
    sink.flush().await.expect("flushed");
    assert_eq!(stream.read().len(), 300);
}

/// It may drop the oldest, or keep the newest of each key: that is for the stack to decide.
#[tokio::test]
async fn stack_gets_what_it_has_room_for_while_its_peer_is_stuck() {
    let (inner, peer) = ScriptedSink::pair(1000);
    let sink = Shared::with_capacity(inner, 24);
    peer.hold(true);
    for number in 0..100_u8 {
        sink.feed(&[number]).await.expect("room");
        settle().await;
        assert_eq!(peer.messages().len(), usize::from(number) + 1);
    }
    assert_eq!(peer.flushed(), 0);
    // Who waits for a flush must see its end, so nothing is added to that one.
    let mut flush = sink.flush();
    assert!(poll_once(&mut flush).await.is_pending());
    settle().await;
    sink.feed(&[100]).await.expect("room");
    settle().await;
    assert_eq!(peer.messages().len(), 100);
    peer.hold(false);
    flush.await.expect("flushed");
    settle().await;
    assert_eq!(peer.messages().len(), 101);
}

#[tokio::test]
async fn messages_that_can_never_fit_are_refused_at_once() {
    let (link, _peer) = MemorySink::pair(1024);
    let sink = Shared::with_capacity(Buffered::with_capacity(link, 50), 100);
    assert_eq!(sink.try_feed(&[7; 47]), Err(TryFeedError::TooLarge));
    let error = sink.feed(&[7; 47]).await.expect_err("the stack could never take it");
    assert_eq!(error.kind(), ErrorKind::TooLarge { requested: 51, available: 50 });
    assert_eq!(tasks(), 0, "nothing was woken for it");
    // Also while the window is open.
    sink.feed(&[7; 46]).await.expect("fits");
    assert_eq!(sink.try_feed(&[7; 47]), Err(TryFeedError::TooLarge));
    sink.send(&Keyed(1, [7; 46])).await.expect("what layers look at takes no room of the stack's");

    let (link, _peer) = MemorySink::pair(1024);
    let sink = Shared::with_capacity(Buffered::with_capacity(link, 100), 50);
    sink.send(&[7; 46]).await.expect("fits");
    assert!(sink.try_feed(&[7; 47]).is_err_and(|refusal| refusal.is_too_large()));
    assert!(sink.try_feed(&Keyed(1, [7; 46])).is_err_and(|refusal| refusal.is_too_large()));
}

#[tokio::test]
async fn panic_in_encode_harms_nobody_else() {
    struct Panics;
    impl Encode for Panics {
        fn encoded_len(&self) -> usize {
            8
        }
        fn encode(&self, buf: &mut [u8]) {
            buf[0] = 1;
            panic!("a message that panics");
        }
    }
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Buffered::new(link));
    // With the window closed (asleep), and open.
    assert!(catch_unwind(AssertUnwindSafe(|| sink.try_feed(&Panics))).is_err());
    assert_eq!(tasks(), 0);
    sink.send("a").await.expect("sent");
    sink.try_feed("b").expect("room");
    assert!(catch_unwind(AssertUnwindSafe(|| sink.try_feed(&Panics))).is_err());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut feed = sink.feed(&Panics);
    let polled =
        catch_unwind(AssertUnwindSafe(|| std::pin::Pin::new(&mut feed).poll(&mut cx).is_pending()));
    assert!(polled.is_err());
    drop(feed);
    sink.send("c").await.expect("sent");
    let stream = peer.accept().expect("connected");
    assert_eq!(messages(&read_all(&stream).await), ["a", "b", "c"]);
}

#[tokio::test]
async fn what_layers_look_at_arrives() {
    /// Looks at every message.
    struct Watched<S>(S, Vec<(Option<u64>, Option<Instant>, u8)>);
    impl<S: MessageSink> MessageSink for Watched<S> {
        fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
            self.1.push((msg.key(), msg.deadline(), msg.lane()));
            self.0.try_feed(msg)
        }
        torq_message_sink::forward_sink! { 0: room poll_ready poll_flush }
        fn take_events<E: FnMut(torq_message_sink::Event)>(&mut self, _: &mut E) {
            let at = self.1[1].1;
            assert_eq!(self.1, [(None, None, 0), (Some(7), at, 3), (None, None, 0)]);
            self.1.clear();
        }
    }
    let (inner, peer) = ScriptedSink::pair(100);
    let sink = Shared::new(Watched(inner, Vec::new()));
    let deadline = Instant::now() + Duration::from_nanos(1_234_567_891);
    sink.feed("a").await.expect("fed");
    sink.feed(&Keyed(7, WithDeadline(deadline, InLane(3, "b")))).await.expect("fed");
    sink.send("c").await.expect("sent");
    assert_eq!(peer.messages(), [b"a", b"b", b"c"]);
    sink.take_events(&mut |_| {});
}

#[tokio::test]
async fn refused_message_fails_for_its_sender_and_nobody_else() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Buffered::with_framing(link, 1024, NewlineDelimited::new()));
    let (first, second, third) =
        tokio::join!(sink.send("a"), sink.send("with\na line feed"), sink.send("c"));
    first.expect("sent");
    assert_eq!(second.expect_err("not a line").kind(), ErrorKind::InvalidMessage);
    third.expect("sent");
    assert_eq!(sink.refused(), 1);
    assert_eq!(peer.accept().expect("connected").read(), b"a\nc\n");
}

#[tokio::test]
async fn stack_that_held_something_before_is_flushed_too() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(1024);
    let mut stack = Buffered::new(link);
    stack.feed("before").await?;
    let sink = Shared::new(stack);
    sink.flush().await?;
    assert_eq!(messages(&peer.accept().expect("connected").read()), ["before"]);
    Ok(())
}

/// Fills everything there is: the buffer that gathers, and the one that the driver has taken.
async fn fill(sink: &Shared<ScriptedSink>) {
    for _ in 0..5 {
        while sink.try_feed("12345678").is_ok() {}
        settle().await;
    }
}
