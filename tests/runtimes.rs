//! Runtimes that end, are missing, or must be shared fairly.

use std::convert::identity;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use torq_message_sink::{
    Backoff, Buffered, ErrorKind, Failover, Fanout, Lazy, MemorySink, MessageSink, RoundRobin,
    SinkError, SinkState, TryFeedError, UnixSink, forward_sink,
};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn outside_a_runtime_waking_is_a_typed_error() {
    let (link, peer) = MemorySink::pair(64);
    let mut sink = Lazy::new(Buffered::new(link));
    assert_eq!(sink.try_feed("a"), Err(TryFeedError::NoRuntime));
    assert!(sink.try_feed("a").is_err_and(|refusal| refusal.is_not_connected()));
    let mut cx = Context::from_waker(Waker::noop());
    for polled in [sink.poll_ready(&mut cx, 1), sink.poll_connect(&mut cx)] {
        let Poll::Ready(Err(error)) = polled else { panic!("an error at once") };
        assert_eq!(error.kind(), ErrorKind::NoRuntime);
    }
    assert!(sink.poll_flush(&mut cx).is_ready(), "nothing to flush");
    assert_eq!((sink.accepted_bytes(), peer.attempts()), (0, 0));

    current_thread().block_on(sink.send("b")).expect("a runtime");
    assert_eq!(peer.accept().expect("woken").read(), b"\0\0\0\x01b");
}

#[test]
fn close_outside_a_runtime_gives_nothing_up() {
    let (link, peer) = MemorySink::pair(64);
    peer.stall(true);
    let mut sink = Buffered::new(link);
    current_thread().block_on(sink.feed("a")).expect("accepted");
    let mut cx = Context::from_waker(Waker::noop());
    let refused = match pin!(sink.close()).poll(&mut cx) {
        Poll::Ready(refused) => refused.expect_err("there are no timers"),
        Poll::Pending => panic!("it would wait for ever"),
    };
    assert_eq!(refused.kind(), ErrorKind::NoRuntime);
    peer.stall(false);
    let report = current_thread().block_on(sink.close()).expect("a runtime");
    assert!(report.is_complete());
    assert_eq!(peer.accept().expect("written").read(), b"\0\0\0\x01a");
}

#[test]
fn runtime_dropped_while_connecting_costs_nothing() {
    let (link, peer) = MemorySink::pair(64);
    let mut sink = Buffered::new(link);
    peer.stall(true);
    current_thread().block_on(async {
        sink.try_feed("a").expect("accepted");
        assert!(timeout(Duration::from_millis(1), sink.flush()).await.is_err());
    });
    peer.stall(false);
    current_thread().block_on(sink.send("b")).expect("the next runtime goes on by itself");
    assert_eq!(peer.accept().expect("woken").read(), b"\0\0\0\x01a\0\0\0\x01b");
}

/// The goodbye has begun, and its timer is the first runtime's.
#[test]
fn runtime_dropped_while_disconnecting_costs_nothing() {
    let (link, peer) = MemorySink::pair(64);
    let mut sink = Buffered::new(link);
    current_thread().block_on(async {
        sink.send("a").await.expect("sent");
        assert!(timeout(Duration::from_millis(1), sink.disconnect()).await.is_err());
    });
    let report = current_thread().block_on(sink.disconnect()).expect("the next runtime ends it");
    assert!(report.is_complete());
    assert_eq!(sink.state(), SinkState::Asleep);
    assert!(peer.accept().expect("connected").is_finished());
}

#[test]
fn runtime_dropped_with_a_full_socket_costs_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("peer.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let mut sink = Buffered::with_capacity(UnixSink::new(&path).expect("a path"), 1 << 20);
    let message = vec![7; 1000];
    let mut accepted = 0_u64;
    current_thread().block_on(async {
        sink.connect().await.expect("connected");
        while let Ok(fed) = timeout(Duration::from_millis(20), sink.feed(&message)).await {
            fed.expect("accepted");
            accepted += 1;
        }
        assert!(timeout(Duration::from_millis(20), sink.flush()).await.is_err(), "it is full");
    });
    let first = listener.accept().expect("connected").0;
    let (first, second) = std::thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let first = read_all(first);
            (first, read_all(listener.accept().expect("connected again").0))
        });
        current_thread().block_on(async {
            sink.flush().await.expect("the next runtime goes on by itself");
            sink.close().await.expect("closed");
        });
        receiver.join().expect("read")
    });
    let whole = |bytes: &[u8]| bytes.len() as u64 / 1004;
    assert_eq!(whole(&first) + whole(&second), accepted, "every message came");
    assert_eq!(second.len() % 1004, 0, "from a first byte on");
}

fn read_all(mut from: impl std::io::Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("read");
    bytes
}

/// An endless loop of calls that are ready at once must let a timeout on the same thread fire. If
/// it does not, this hangs; nothing is measured.
macro_rules! endless_loop_is_interrupted {
    ($($name:ident: $wrap:expr, |$sink:ident| $call:expr;)*) => {$(
        #[test]
        fn $name() {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("peer.sock");
            let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
            std::thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = std::io::copy(&mut stream, &mut std::io::sink());
                }
            });
            current_thread().block_on(async {
                let link = UnixSink::new(&path).expect("a path");
                let mut $sink = $wrap(Lazy::new(Buffered::with_capacity(link, 256 * 1024)));
                let endless = async {
                    loop {
                        $call;
                    }
                };
                assert!(timeout(Duration::from_millis(30), endless).await.is_err());
            });
        }
    )*};
}

endless_loop_is_interrupted! {
    timeout_around_endless_sends_fires: identity, |sink| sink.send("tick").await.expect("sent");
    timeout_around_endless_feeds_and_flushes_fires: identity, |sink| {
        sink.feed("tick").await.expect("fed");
        sink.flush().await.expect("flushed");
    };
    timeout_around_endless_feeds_fires: identity, |sink| sink.feed("tick").await.expect("fed");
    timeout_around_endless_batches_fires: identity, |sink| sink.send_batch(["a", "b"]).await.expect("sent");
    timeout_around_endless_flushes_of_nothing_fires: identity, |sink| sink.flush().await.expect("flushed");
    timeout_around_endless_connects_fires: identity, |sink| sink.connect().await.expect("connected");
    timeout_around_endless_disconnects_fires: identity, |sink| sink.disconnect().await.expect("asleep");
    timeout_around_endless_feeds_through_a_plain_layer_fires: Plain, |sink| {
        sink.feed("tick").await.expect("fed");
    };
}

#[tokio::test(start_paused = true)]
async fn close_right_after_a_feed_cuts_the_back_off_short() {
    let (link, peer) = MemorySink::pair(64);
    let forever = Duration::from_secs(3600);
    let mut sink = Lazy::new(Buffered::new(link))
        .with_backoff(Backoff::new().with_initial(forever).with_max(forever))
        .with_max_attempts(1);
    peer.refuse(true);
    assert_eq!(sink.send("a").await.expect_err("refused").kind(), ErrorKind::Unreachable);
    peer.refuse(false);
    sink.try_feed("b").expect("accepted");
    let report = sink.close().await.expect("closed");
    assert!(report.is_complete(), "{report}");
    assert_eq!(peer.accept().expect("at once").read(), b"\0\0\0\x01a\0\0\0\x01b");
    assert_eq!(sink.state(), SinkState::Closed);
}

/// A layer that passes on what it must, and has no fast path of its own.
struct Plain<S>(S);

impl<S: MessageSink> MessageSink for Plain<S> {
    forward_sink! { 0: try_feed room poll_ready poll_flush poll_close }
}

/// It holds a timer, and tokio panics where one is polled whose runtime has ended.
#[test]
fn failover_that_waits_goes_on_on_another_runtime() {
    let ((first, slow), (second, _spare)) = (MemorySink::pair(8), MemorySink::pair(64));
    let mut sink = Buffered::new(Failover::new([first, second]));
    let flushed = |cx: &mut Context<'_>, sink: &mut Buffered<_>| {
        Poll::Ready(MessageSink::poll_flush(sink, cx).is_ready())
    };
    current_thread().block_on(async {
        sink.connect().await.expect("there");
        sink.try_feed("twelve bytes").expect("room");
        assert!(!poll_fn(|cx| flushed(cx, &mut sink)).await, "half of it is written");
    });
    current_thread().block_on(async {
        assert!(!poll_fn(|cx| flushed(cx, &mut sink)).await);
        let stream = slow.accept().expect("connected");
        assert_eq!(stream.read().len(), 8);
        sink.flush().await.expect("flushed");
        assert_eq!(stream.read(), b"ve bytes".as_slice());
    });
}

/// More children than a task has budget for in one poll.
#[tokio::test]
async fn hundreds_of_children_all_have_their_turn() -> Result<(), SinkError> {
    let pairs = || (0..300).map(|_| MemorySink::pair(64));
    let (children, peers): (Vec<_>, Vec<_>) =
        pairs().map(|(link, peer)| (Buffered::with_capacity(link, 64), peer)).unzip();
    let mut sink = Fanout::new(children);
    sink.connect().await?;
    sink.send("a").await?;
    for peer in &peers {
        assert_eq!(peer.accept().expect("connected").read(), b"\0\0\0\x01a");
    }
    assert!(sink.close().await?.is_complete(), "and is closed");

    let (children, peers): (Vec<_>, Vec<_>) =
        pairs().map(|(link, peer)| (Lazy::new(Buffered::with_capacity(link, 64)), peer)).unzip();
    let mut sink = RoundRobin::new(children);
    sink.flush().await?;
    sink.send_batch(["b"; 300]).await?;
    for peer in &peers {
        assert_eq!(peer.accept().expect("connected").read(), b"\0\0\0\x01b");
    }
    Ok(())
}
