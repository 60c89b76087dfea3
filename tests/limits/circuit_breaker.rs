//! When a circuit opens and closes, and what goes through it.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::{Instant, advance, timeout};
use torq_message_sink::testing::{ScriptedSink, SinkPeer};
use torq_message_sink::{
    Backoff, Buffered, Circuit, CircuitBreaker, End, ErrorKind, Lazy, LazyPolicy, MemoryPeer,
    MemorySink, MessageSink, Rate, RateLimit, RoundRobin, SinkError, SinkState, TryFeedError,
};

const SECOND: Duration = Duration::from_secs(1);

/// Opens after two failures, for a second, then for two.
fn breaker<S>(sink: S) -> CircuitBreaker<S> {
    CircuitBreaker::new(sink)
        .with_failures(2)
        .with_open_time(Backoff::new().with_initial(SECOND).with_max(2 * SECOND))
}

fn scripted() -> (CircuitBreaker<ScriptedSink>, SinkPeer) {
    let (sink, peer) = ScriptedSink::pair(99);
    (breaker(sink), peer)
}

/// Over a sink whose links try once and wait for nothing before they do.
fn over_memory() -> (CircuitBreaker<Lazy<Buffered<MemorySink>>>, MemoryPeer) {
    let (link, peer) = MemorySink::pair(64);
    let at_once = Backoff::new().with_initial(Duration::ZERO);
    let policy = LazyPolicy::new().with_max_attempts(1).with_backoff(at_once);
    (breaker(Lazy::with_policy(Buffered::with_capacity(link, 256), policy)), peer)
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn kind(polled: Poll<Result<(), SinkError>>) -> Option<ErrorKind> {
    match polled {
        Poll::Ready(Err(error)) => Some(error.kind()),
        _ => None,
    }
}

fn open(sink: &mut CircuitBreaker<ScriptedSink>, peer: &SinkPeer) {
    peer.fail(Some(ErrorKind::Unreachable));
    while sink.circuit() != Circuit::Open {
        assert_eq!(kind(sink.poll_flush(&mut cx())), Some(ErrorKind::Unreachable));
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_and_every_call_learns_at_once() {
    let (mut sink, peer) = scripted();
    sink.try_feed("before").expect("room");
    open(&mut sink, &peer);
    assert_eq!((sink.openings(), sink.state()), (1, SinkState::BackingOff));
    let _ = peer.take_calls();
    let refusal = sink.try_feed("m").expect_err("open");
    assert!(refusal == TryFeedError::CircuitOpen && refusal.is_not_connected());
    assert_eq!(sink.try_ready(1), Err(TryFeedError::CircuitOpen));
    assert!(!sink.append("m", 1) && !sink.fits(1) && !sink.room(1) && !sink.is_connected());
    for polled in [
        sink.poll_ready(&mut cx(), 1),
        sink.poll_feed(&mut cx(), "m"),
        sink.poll_flush(&mut cx()),
        sink.poll_connect(&mut cx()),
    ] {
        assert_eq!(kind(polled), Some(ErrorKind::CircuitOpen));
    }
    let calls = peer.take_calls();
    for tried in ["try_feed", "append", "poll_ready", "poll_feed", "poll_flush", "poll_connect"] {
        assert!(!calls.contains(tried), "{tried} was tried");
    }
    assert_eq!(peer.messages(), [b"before"], "it is kept");
}

#[tokio::test(start_paused = true)]
async fn only_unreachable_peers_count_and_only_in_a_row() {
    let (mut sink, peer) = scripted();
    for kind in [ErrorKind::NoRuntime, ErrorKind::Closed, ErrorKind::Other] {
        peer.fail(Some(kind));
        for _ in 0..5 {
            assert!(
                sink.poll_flush(&mut cx()).is_ready() && sink.poll_ready(&mut cx(), 1).is_ready()
            );
        }
    }
    assert_eq!((sink.circuit(), sink.failures()), (Circuit::Closed, 0));
    for _ in 0..5 {
        peer.fail(Some(ErrorKind::Unreachable));
        assert!(sink.poll_ready(&mut cx(), 1).is_ready());
        assert_eq!(sink.failures(), 1);
        peer.fail(None);
        sink.flush().await.expect("well");
        assert_eq!(sink.failures(), 0);
    }
    assert_eq!((sink.circuit(), sink.openings()), (Circuit::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_one_message_through_and_its_flush_closes() {
    let (mut sink, peer) = scripted();
    open(&mut sink, &peer);
    peer.fail(None);
    advance(SECOND).await;
    assert!(sink.room(1), "it is time");
    assert_eq!(sink.try_feed("probe"), Ok(()));
    assert_eq!(sink.circuit(), Circuit::HalfOpen);
    assert_eq!(sink.try_feed("another"), Err(TryFeedError::CircuitOpen));
    assert!(!sink.room(1) && !sink.append("another", 7) && sink.try_ready(1).is_err());
    peer.hold(true);
    assert!(sink.poll_ready(&mut cx(), 1).is_pending(), "waits for what becomes of the probe");
    peer.hold(false);
    assert!(sink.poll_ready(&mut cx(), 1).is_ready());
    assert_eq!((sink.circuit(), peer.flushed()), (Circuit::Closed, 1));
    sink.feed("next").await.expect("closed again");
    assert_eq!(peer.messages(), [b"probe".as_slice(), b"next"]);
}

#[tokio::test(start_paused = true)]
async fn failed_probes_open_it_for_longer_up_to_the_maximum() {
    let (mut sink, peer) = scripted();
    sink.try_feed("kept").expect("room");
    open(&mut sink, &peer);
    for (opening, seconds) in [(1, 1), (2, 2), (3, 2)] {
        assert_eq!(sink.openings(), opening);
        advance(seconds * SECOND - Duration::from_millis(1)).await;
        assert_eq!(kind(sink.poll_flush(&mut cx())), Some(ErrorKind::CircuitOpen));
        advance(Duration::from_millis(1)).await;
        assert_eq!(kind(sink.poll_flush(&mut cx())), Some(ErrorKind::Unreachable), "a probe");
        assert_eq!(sink.circuit(), Circuit::Open);
    }
    peer.fail(None);
    advance(2 * SECOND).await;
    sink.flush().await.expect("written");
    assert_eq!((sink.circuit(), peer.flushed()), (Circuit::Closed, 1));
    open(&mut sink, &peer);
    advance(SECOND).await;
    assert!(sink.room(1) || peer.flushed() == 1, "short again after it was closed");
}

#[tokio::test(start_paused = true)]
async fn as_many_probes_as_asked_for_go_through_one_by_one() {
    let (sink, peer) = scripted();
    let mut sink = sink.with_probes(3);
    open(&mut sink, &peer);
    peer.fail(None);
    advance(SECOND).await;
    for probe in 1..=3 {
        assert_eq!(sink.try_feed("probe"), Ok(()));
        assert_eq!(sink.try_feed("more"), Err(TryFeedError::CircuitOpen));
        sink.flush().await.expect("written");
        // Nothing new is written by these.
        sink.flush().await.expect("nothing to do");
        let expected = if probe < 3 { Circuit::HalfOpen } else { Circuit::Closed };
        assert_eq!(sink.circuit(), expected, "after {probe}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_feed_goes_through_when_it_is_time() {
    let (sink, peer) = scripted();
    let mut sink = sink.with_waiting(true);
    open(&mut sink, &peer);
    peer.fail(None);
    let opened = Instant::now();
    assert_eq!(sink.try_feed("m"), Err(TryFeedError::CircuitOpen), "it never waits");
    for _ in 0..3 {
        assert!(pin!(sink.feed("dropped")).poll(&mut cx()).is_pending());
    }
    sink.send("m").await.expect("sent");
    assert_eq!((opened.elapsed(), sink.circuit()), (SECOND, Circuit::Closed));
    assert_eq!(peer.messages(), [b"m"]);
}

#[test]
fn waiting_outside_a_runtime_is_a_typed_error() {
    let (sink, peer) = scripted();
    let mut sink = sink.with_waiting(true);
    open(&mut sink, &peer);
    assert_eq!(kind(sink.poll_ready(&mut cx(), 1)), Some(ErrorKind::NoRuntime));
    peer.fail(None);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(sink.feed("m")).expect("after its time");
}

#[tokio::test(start_paused = true)]
async fn stalled_flush_ends_with_an_error_and_counts() {
    let (sink, peer) = scripted();
    let mut sink = sink.with_stall_timeout(Some(5 * SECOND));
    let begun = Instant::now();
    peer.hold(true);
    for seconds in [5, 10] {
        let error = sink.send("m").await.expect_err("stalled");
        assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Unreachable, seconds * SECOND));
        assert!(error.to_string().ends_with("nothing was written for 5s"), "{error}");
    }
    assert_eq!(sink.circuit(), Circuit::Open);
    advance(SECOND).await;
    peer.hold(false);
    sink.send("m").await.expect("the peer reads on");
    assert_eq!((sink.circuit(), peer.flushed()), (Circuit::Closed, 3));
}

#[tokio::test(start_paused = true)]
async fn slow_progress_is_no_stall() {
    let (link, peer) = MemorySink::pair(10);
    let mut sink = breaker(Buffered::new(link)).with_stall_timeout(Some(SECOND));
    for number in 0..20_u8 {
        sink.feed(&[number; 6]).await.expect("room");
    }
    sink.connect().await.expect("it listens");
    let stream = peer.accept().expect("connected");
    let mut read = 0;
    while timeout(SECOND * 9 / 10, sink.flush()).await.is_err() {
        read += stream.read_at_most(10).len();
    }
    assert_eq!((sink.circuit(), sink.openings(), sink.failures()), (Circuit::Closed, 0, 0));
    assert!(read >= 190, "{read}");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_looked_at_and_waits_for_tokens_are_no_stalls() {
    let (sink, peer) = scripted();
    let mut sink = sink.with_stall_timeout(Some(SECOND));
    peer.hold(true);
    sink.try_feed("m").expect("room");
    assert!(sink.poll_flush(&mut cx()).is_pending());
    advance(60 * SECOND).await;
    assert!(sink.poll_flush(&mut cx()).is_pending(), "it waits since now");
    assert_eq!(sink.flush().await.expect_err("stalled").kind(), ErrorKind::Unreachable);
    assert_eq!(sink.failures(), 1);

    let limited =
        RateLimit::new(ScriptedSink::with_room(9)).with_messages(Rate::new(1, 9 * SECOND));
    let mut sink = breaker(limited).with_stall_timeout(Some(SECOND));
    sink.send("m").await.expect("the burst");
    sink.send("m").await.expect("there is nothing to write while it waits");
    assert_eq!(sink.failures(), 0);
}

#[tokio::test(start_paused = true)]
async fn closed_sink_says_so_also_while_the_circuit_is_open() {
    let (mut sink, peer) = scripted();
    open(&mut sink, &peer);
    sink.end(End::Close);
    assert_eq!(sink.try_feed("m"), Err(TryFeedError::Closed));
    assert_eq!(kind(sink.poll_ready(&mut cx(), 1)), Some(ErrorKind::Closed));
    assert_eq!(kind(sink.poll_connect(&mut cx())), Some(ErrorKind::Closed));
    assert_eq!(sink.state(), SinkState::Closed);
}

#[tokio::test(start_paused = true)]
async fn open_circuit_leaves_the_peer_alone_and_keeps_what_was_accepted() {
    let (mut sink, peer) = over_memory();
    peer.refuse(true);
    for _ in 0..2 {
        sink.send("kept").await.expect_err("nobody listens");
    }
    assert_eq!((sink.circuit(), peer.attempts()), (Circuit::Open, 2));
    for _ in 0..100 {
        sink.send("refused").await.expect_err("open");
        sink.flush().await.expect_err("open");
        sink.connect().await.expect_err("open");
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.attempts(), 2, "nobody has tried");
    peer.refuse(false);
    advance(SECOND).await;
    sink.send("probe").await.expect("it listens again");
    assert_eq!(sink.circuit(), Circuit::Closed);
    let expected = b"\0\0\0\x04kept\0\0\0\x04kept\0\0\0\x05probe";
    assert_eq!(peer.accept().expect("connected").read(), expected);
    sink.report().leaves.iter().for_each(|leaf| assert_eq!(leaf.dropped.total().bytes, 0));
}

#[tokio::test(start_paused = true)]
async fn close_does_not_ask_the_circuit() {
    let (mut sink, peer) = over_memory();
    peer.refuse(true);
    for _ in 0..2 {
        sink.send("kept").await.expect_err("nobody listens");
    }
    peer.refuse(false);
    let reader = tokio::spawn(async move {
        loop {
            if let Some(stream) = peer.accept() {
                stream.shut();
                return stream.read();
            }
            tokio::task::yield_now().await;
        }
    });
    let report = sink.close().await.expect("closed");
    assert!(report.is_complete(), "{report}");
    assert_eq!(reader.await.expect("read").len(), 16);
}

#[tokio::test(start_paused = true)]
async fn round_robin_passes_over_an_open_circuit_and_tries_it_again() {
    let ((away, away_peer), (there, there_peer)) = (scripted(), scripted());
    let mut sink = RoundRobin::new((away, there));
    away_peer.fail(Some(ErrorKind::Unreachable));
    for _ in 0..10 {
        sink.try_feed("m").expect("one is there");
    }
    assert_eq!(sink.get_ref().0.circuit(), Circuit::Open);
    assert_eq!((away_peer.messages().len(), there_peer.messages().len()), (0, 10));
    assert!(sink.is_connected() && sink.poll_ready(&mut cx(), 1).is_ready());
    away_peer.fail(None);
    advance(SECOND).await;
    for _ in 0..10 {
        sink.try_feed("m").expect("both are there");
    }
    assert_eq!(away_peer.messages().len(), 1, "one probe");
    sink.flush().await.expect("flushed");
    for _ in 0..10 {
        sink.try_feed("m").expect("both are there");
    }
    assert_eq!((away_peer.messages().len(), there_peer.messages().len()), (6, 24));
}

/// Any schedule: what is accepted arrives in order and once, an open circuit makes no attempt, and
/// it comes back whatever has happened.
#[tokio::test(start_paused = true)]
async fn whatever_happens_nothing_is_lost_and_it_comes_back() {
    let (mut openings, mut probes) = (0, 0);
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (sink, peer) = over_memory();
        let mut sink = sink.with_probes(random.u32(1..3)).with_failures(random.u32(1..4));
        sink = sink.with_waiting(random.bool());
        if random.bool() {
            sink = sink.with_stall_timeout(Some(SECOND / 2));
        }
        let (mut accepted, mut streams) = (Vec::new(), Vec::new());
        for number in 0..200_u8 {
            let (before, was, opened) = (peer.attempts(), sink.circuit(), sink.openings());
            let time = Duration::from_millis(random.u64(..700));
            match random.u8(..8) {
                0 => peer.refuse(random.u8(..3) > 0),
                1 => advance(time).await,
                2 => _ = timeout(time, sink.flush()).await,
                3 => _ = timeout(time, sink.connect()).await,
                4 => {
                    if timeout(time, sink.feed(&[number])).await.is_ok_and(|fed| fed.is_ok()) {
                        accepted.push(number);
                    }
                }
                5 => streams.extend(peer.accept().map(|stream| (stream, Vec::new()))),
                6 => streams.iter_mut().for_each(|(stream, bytes)| bytes.extend(stream.read())),
                _ => {
                    let room = sink.room(1);
                    let fed = sink.try_feed(&[number]);
                    assert!(fed.is_ok() || !room, "seed {seed}: room is a promise");
                    if fed.is_ok() {
                        accepted.push(number);
                    }
                    tokio::task::yield_now().await;
                }
            }
            if was == Circuit::Open && sink.circuit() == was && sink.openings() == opened {
                let tried = peer.attempts() - before;
                assert!(tried == 0, "seed {seed}: an open circuit made {tried} attempts");
            }
            probes += usize::from(sink.circuit() == Circuit::HalfOpen);
        }
        openings += sink.openings();
        peer.refuse(false);
        // Its time is over, and the peer reads on.
        for _ in 0..100 {
            advance(SECOND).await;
            let _ = timeout(SECOND, sink.flush()).await;
            streams.extend(peer.accept().map(|stream| (stream, Vec::new())));
            streams.iter_mut().for_each(|(stream, bytes)| bytes.extend(stream.read()));
            let fed = sink.circuit() != Circuit::Closed && sink.try_feed(&[255]).is_ok();
            accepted.extend(fed.then_some(255));
        }
        assert_eq!((sink.circuit(), sink.outstanding_bytes()), (Circuit::Closed, 0), "{seed}");
        let arrived = streams.iter().flat_map(|(_, bytes)| bytes.chunks(5)).map(|frame| frame[4]);
        assert_eq!(arrived.collect::<Vec<_>>(), accepted, "seed {seed}");
    }
    assert!(openings > 100 && probes > 200, "{openings} openings, {probes} probes");
}
