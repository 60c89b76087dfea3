//! The driver: one while the stack is awake, none when it sleeps.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};
use torq_message_sink::{
    Buffered, ErrorKind, Event, Failover, Fanout, Lazy, MemorySink, Shared, SinkState,
    TryFeedError, UnixSink,
};

use crate::support::{Wakes, messages, poll, settle, tasks};

#[tokio::test(start_paused = true)]
async fn idle_stack_goes_to_sleep_by_itself_and_wakes_when_fed() {
    let (link, peer) = MemorySink::pair(1024);
    let idle = Some(Duration::from_secs(60));
    let sink = Shared::new(Lazy::new(Buffered::new(link)).with_idle_timeout(idle));
    assert_eq!(tasks(), 0, "never used: no task");
    for round in 1..4 {
        sink.send("tick").await.expect("sent");
        let stream = peer.accept().expect("connected");
        sleep(Duration::from_secs(59)).await;
        assert_eq!(sink.state(), SinkState::Connected);
        assert!(!stream.is_finished());
        assert_eq!(tasks(), 1, "one driver, {round}");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(messages(&stream.read()), ["tick"]);
        assert!(stream.is_finished());
        assert_eq!(sink.state(), SinkState::Asleep);
        assert_eq!(tasks(), 0, "asleep: no task");
    }
}

/// One child's peer is gone, and its link asleep; the other is connected, and goes to sleep too.
#[tokio::test(start_paused = true)]
async fn driver_stays_for_the_child_that_is_awake() {
    let ((a, peer_a), (b, peer_b)) = (MemorySink::pair(1024), MemorySink::pair(1024));
    let idle = Some(Duration::from_secs(60));
    let links = Buffered::new(Fanout::new((a, b)));
    let sink = Shared::new(Lazy::new(links).with_idle_timeout(idle));
    sink.send("tick").await.expect("sent");
    let (gone, stays) = (peer_a.accept().expect("connected"), peer_b.accept().expect("connected"));
    drop(gone);
    settle().await;
    assert!(!stays.is_finished());
    assert_eq!(tasks(), 1);
    sleep(Duration::from_secs(61)).await;
    assert!(stays.is_finished());
    assert_eq!(tasks(), 0);
}

/// One producer has been given all the room and does nothing with it; another one waits for it, and
/// the stack sleeps. Nobody runs in circles meanwhile.
#[tokio::test]
async fn room_that_somebody_sits_on_keeps_no_driver_busy() {
    let (link, peer) = MemorySink::pair(30);
    let sink = Shared::with_capacity(Buffered::with_capacity(link, 24), 24);
    for _ in 0..5 {
        while sink.try_feed("12345678").is_ok() {}
        settle().await;
    }
    let wakes: [_; 2] = std::array::from_fn(|_| Arc::new(Wakes::default()));
    let (mut sits, mut waits) = (sink.feed("12345678901234567890"), sink.feed("1234567890123456"));
    assert!(poll(&mut sits, &wakes[0]).is_pending());
    assert!(poll(&mut waits, &wakes[1]).is_pending());
    let stream = peer.accept().expect("connected");
    stream.set_capacity(1000);
    settle().await;
    drop(stream);
    settle().await;
    assert_eq!((sink.state(), tasks()), (SinkState::Asleep, 0));
    assert_eq!(wakes.each_ref().map(|wakes| wakes.count()), [1, 0]);
    assert!(poll(&mut waits, &wakes[1]).is_pending());
    assert_eq!(tasks(), 0);
    drop(sits);
    assert_eq!(wakes[1].count(), 1);
    waits.await.expect("fed");
    sink.flush().await.expect("flushed");
    assert_eq!(messages(&peer.accept().expect("connected again").read()), ["1234567890123456"]);
}

#[tokio::test(start_paused = true)]
async fn peer_that_closes_is_noticed_without_a_call() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Lazy::new(Buffered::new(link)));
    sink.send("one").await.expect("sent");
    drop(peer.accept().expect("connected"));
    settle().await;
    assert_eq!(sink.state(), SinkState::Asleep);
    assert_eq!(tasks(), 0);
    sink.send("two").await.expect("sent");
    assert_eq!(messages(&peer.accept().expect("connected again").read()), ["two"]);
}

/// Nobody calls: the driver probes the first target, and returns to it once it has been well for
/// long enough.
macro_rules! failover_returns_by_itself {
    ($($name:ident: |$first:ident, $second:ident| $stack:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let (($first, preferred), ($second, other)) =
                (MemorySink::pair(1024), MemorySink::pair(1024));
            preferred.refuse(true);
            let sink = Shared::new($stack);
            sink.send("one").await.expect("sent");
            let stream = other.accept().expect("connected");
            assert_eq!(messages(&stream.read()), ["one"]);
            preferred.refuse(false);
            // Three good probes, five seconds apart, and the hold of thirty.
            sleep(Duration::from_secs(25)).await;
            assert!(!stream.is_finished(), "not before the hold is over");
            // The probe that ends it is the first behind the hold, or the next.
            sleep(Duration::from_secs(20)).await;
            assert!(stream.is_finished(), "it has left");
            let back = preferred.accept().expect("connected by itself");
            sink.send("two").await.expect("sent");
            assert_eq!(messages(&back.read()), ["two"]);
            assert!(stream.read().is_empty());
            let mut switches = Vec::new();
            sink.take_events(&mut |event| {
                if let Event::Switched { from, to, .. } = event {
                    switches.push((from, to));
                }
            });
            assert_eq!(switches, [(0, 1), (1, 0)]);
        }
    )*};
}

failover_returns_by_itself! {
    failover_over_links_returns_by_itself: |first, second| {
        Lazy::new(Buffered::new(Failover::new((first, second))))
    };
    failover_over_sinks_returns_by_itself: |first, second| {
        Failover::new((Lazy::new(Buffered::new(first)), Lazy::new(Buffered::new(second))))
    };
}

/// The target on duty takes nothing, and nobody calls: what was only fed goes to the next.
#[tokio::test(start_paused = true)]
async fn stalled_target_is_left_without_a_call() {
    let ((first, stuck), (second, other)) = (MemorySink::pair(0), MemorySink::pair(1024));
    let sink = Shared::new(Lazy::new(Buffered::new(Failover::new((first, second)))));
    sink.feed("tick").await.expect("fed");
    sleep(Duration::from_secs(29)).await;
    let _stuck = stuck.accept().expect("connected");
    assert!(other.accept().is_none());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(messages(&other.accept().expect("connected").read()), ["tick"]);
}

#[tokio::test]
async fn connect_waits_for_the_connection_and_disconnect_for_the_end() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Lazy::new(Buffered::new(link)));
    peer.stall(true);
    let mut connect = sink.connect();
    assert!(crate::support::poll_once(&mut connect).await.is_pending());
    settle().await;
    assert_eq!(sink.state(), SinkState::Connecting);
    assert!(!sink.is_connected());
    peer.stall(false);
    connect.await.expect("connected");
    assert!(sink.is_connected());
    sink.try_feed("tick").expect("room");
    let stream = peer.accept().expect("connected");
    let mut disconnect = sink.disconnect();
    assert!(crate::support::poll_once(&mut disconnect).await.is_pending());
    settle().await;
    assert_eq!(messages(&stream.read()), ["tick"]);
    drop(stream);
    assert!(disconnect.await.expect("asleep").is_complete());
    assert_eq!((sink.state(), tasks()), (SinkState::Asleep, 0));
    sink.send("tock").await.expect("sent");
    assert_eq!(messages(&peer.accept().expect("connected again").read()), ["tock"]);
}

#[tokio::test(start_paused = true)]
async fn data_fed_during_a_disconnect_wakes_it_again() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Lazy::new(Buffered::new(link)));
    sink.send("one").await.expect("sent");
    let first = peer.accept().expect("connected");
    let mut disconnect = sink.disconnect();
    assert!(crate::support::poll_once(&mut disconnect).await.is_pending());
    settle().await;
    assert!(first.is_finished(), "it says goodbye, and waits for the peer's");
    sink.try_feed("two").expect("room");
    assert!(disconnect.await.expect("asleep").error.is_none());
    sink.flush().await.expect("flushed");
    assert_eq!(messages(&peer.accept().expect("connected again").read()), ["two"]);
}

#[test]
fn outside_a_runtime_waking_is_a_typed_error() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Buffered::new(link));
    assert_eq!(sink.try_feed("a"), Err(TryFeedError::NoRuntime));
    let errors = [
        now(sink.feed("a")),
        now(sink.send("a")),
        now(sink.connect()),
        now(sink.close()).map(|_| ()),
    ];
    for error in errors {
        assert_eq!(error.expect_err("no runtime").kind(), ErrorKind::NoRuntime);
    }
    now(sink.flush()).expect("nothing to flush");
    assert_eq!(peer.attempts(), 0);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(sink.send("b")).expect("a runtime");
    // The driver is there: it needs none of ours.
    sink.try_feed("c").expect("accepted from outside");
    runtime.block_on(sink.flush()).expect("flushed");
    assert_eq!(messages(&peer.accept().expect("woken").read()), ["b", "c"]);
}

#[test]
fn runtime_that_ends_takes_the_driver_with_it_and_the_next_goes_on() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Buffered::new(link));
    peer.stall(true);
    let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime().block_on(async {
        sink.try_feed("a").expect("room");
        settle().await;
    });
    peer.stall(false);
    assert_eq!(sink.try_feed("b"), Err(TryFeedError::NoRuntime));
    runtime().block_on(async {
        sink.flush().await.expect("flushed");
        sink.send("b").await.expect("sent");
    });
    assert_eq!(messages(&peer.accept().expect("woken").read()), ["a", "b"]);
}

/// The runtime ends before the driver has had a turn.
#[test]
fn driver_that_never_ran_is_replaced() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Buffered::new(link));
    let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime().block_on(async { sink.try_feed("a").expect("room") });
    runtime().block_on(sink.flush()).expect("flushed");
    assert_eq!(messages(&peer.accept().expect("woken").read()), ["a"]);
}

/// The driver's runtime ends while somebody on another one waits for its flush.
#[test]
fn who_waits_starts_another_driver_when_its_runtime_ends() {
    let (link, peer) = MemorySink::pair(1024);
    let sink = Shared::new(Buffered::new(link));
    peer.stall(true);
    let runtime = || Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (first, second) = (runtime(), runtime());
    first.block_on(async {
        sink.try_feed("a").expect("room");
        settle().await;
    });
    second.block_on(async {
        let mut flush = sink.flush();
        assert!(crate::support::poll_once(&mut flush).await.is_pending());
        let task = tokio::task::spawn_blocking(move || drop(first));
        task.await.expect("ended");
        peer.stall(false);
        flush.await.expect("flushed");
    });
    assert_eq!(messages(&peer.accept().expect("woken").read()), ["a"]);
}

/// The outcome of a future that is ready at once, outside of any runtime.
fn now<F: Future>(future: F) -> F::Output {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut cx) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it would wait for ever"),
    }
}

/// An endless loop of calls that are ready at once must let a timeout on the same thread fire. If
/// it does not, this hangs; nothing is measured.
macro_rules! endless_loop_is_interrupted {
    ($($name:ident: $runtime:expr, |$sink:ident| $call:expr;)*) => {$(
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
            $runtime.enable_all().build().expect("a runtime").block_on(async {
                let link = UnixSink::new(&path).expect("a path");
                let $sink = Shared::new(Lazy::new(Buffered::new(link)));
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
    timeout_around_endless_feeds_fires: Builder::new_current_thread(), |sink| {
        sink.feed("tick").await.expect("fed");
    };
    timeout_around_endless_feeds_beside_the_driver_fires: Builder::new_multi_thread(), |sink| {
        sink.feed("tick").await.expect("fed");
    };
    timeout_around_endless_sends_fires: Builder::new_current_thread(), |sink| {
        sink.send("tick").await.expect("sent");
    };
    timeout_around_endless_batches_fires: Builder::new_multi_thread(), |sink| {
        sink.send_batch(["a", "b"]).await.expect("sent");
    };
    timeout_around_endless_flushes_of_nothing_fires: Builder::new_multi_thread(), |sink| {
        sink.flush().await.expect("flushed");
    };
    timeout_around_endless_connects_fires: Builder::new_multi_thread(), |sink| {
        sink.connect().await.expect("connected");
    };
}

/// A driver with endless data beside it does not starve a neighbour on the same thread.
#[tokio::test]
async fn driver_yields_to_its_neighbours() {
    let (link, peer) = MemorySink::pair(usize::MAX);
    let sink = Shared::new(Buffered::new(link));
    let reading = tokio::spawn(async move {
        let stream = loop {
            match peer.accept() {
                Some(stream) => break stream,
                None => tokio::task::yield_now().await,
            }
        };
        let mut received = 0;
        while received < 10_000 * 104 {
            received += stream.read().len();
            tokio::task::yield_now().await;
        }
        received
    });
    for _ in 0..10_000 {
        sink.feed(&[7; 100]).await.expect("fed");
    }
    sink.flush().await.expect("flushed");
    assert_eq!(reading.await.expect("no panic"), 10_000 * 104);
}
