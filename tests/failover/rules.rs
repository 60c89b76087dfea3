//! By which rules the target changes, one at a time.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use torq_message_sink::{
    Backoff, Buffered, ErrorKind, Event, Failover, FailoverPolicy, HandBack, Lazy, LeafReport,
    MemoryPeer, MemorySink, MemoryStream, MessageSink, SinkError, SinkState, SwitchCause,
};

type Links = Lazy<Buffered<Failover<[MemorySink; 2]>>>;
type Sinks = Failover<[Lazy<Buffered<MemorySink>>; 2]>;

const MS: Duration = Duration::from_millis(1);

fn policy() -> FailoverPolicy {
    FailoverPolicy::new()
        .with_stall_timeout(Some(100 * MS))
        .with_probes(3)
        .with_probe_interval(10 * MS)
        .with_hold(50 * MS)
}

fn lazy<S: MessageSink>(sink: S) -> Lazy<S> {
    Lazy::new(sink).with_backoff(Backoff::new().with_initial(MS).with_max(MS))
}

fn links(policy: FailoverPolicy) -> (Links, MemoryPeer, MemoryPeer) {
    let ((one, first), (other, second)) = (MemorySink::pair(64), MemorySink::pair(64));
    let failover = Failover::with_policy([one, other], policy);
    (lazy(Buffered::with_capacity(failover, 256)), first, second)
}

fn sinks(policy: FailoverPolicy) -> (Sinks, MemoryPeer, MemoryPeer) {
    let ((one, first), (other, second)) = (MemorySink::pair(64), MemorySink::pair(64));
    let sink = |link| lazy(Buffered::with_capacity(link, 256)).with_max_attempts(1);
    (Failover::with_policy([sink(one), sink(other)], policy), first, second)
}

fn switches(sink: &mut impl MessageSink) -> Vec<(usize, usize, SwitchCause)> {
    let mut switches = Vec::new();
    sink.take_events(&mut |event| {
        if let Event::Switched { from, to, cause, .. } = event {
            switches.push((from, to, cause));
        }
    });
    switches
}

fn read(peer: &MemoryPeer) -> (MemoryStream, Vec<u8>) {
    let stream = peer.accept().expect("connected");
    let bytes = stream.read();
    (stream, bytes)
}

/// Flushes every millisecond until the target has changed; answers how long that took.
async fn until_switched(sink: &mut impl MessageSink) -> (Duration, (usize, usize, SwitchCause)) {
    let begin = Instant::now();
    loop {
        let _ = timeout(MS, sink.flush()).await;
        if let Some(switch) = switches(sink).pop() {
            return (begin.elapsed(), switch);
        }
        assert!(begin.elapsed() < 5000 * MS, "the target changes");
        tokio::time::sleep(MS).await;
    }
}

/// The same for a failover over links and one over whole sinks.
macro_rules! both {
    ($($fact:ident($sink:ident, $first:ident, $second:ident; $policy:expr) $body:block)+) => {$(
        mod $fact {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn over_links() -> Result<(), SinkError> {
                let ($sink, $first, $second) = links($policy);
                run($sink, $first, $second).await
            }

            #[tokio::test(start_paused = true)]
            async fn over_sinks() -> Result<(), SinkError> {
                let ($sink, $first, $second) = sinks($policy);
                run($sink, $first, $second).await
            }

            async fn run(
                mut $sink: impl MessageSink,
                $first: MemoryPeer,
                $second: MemoryPeer,
            ) -> Result<(), SinkError> $body
        }
    )+};
}

both! {
    refused_attempt_is_a_failure(sink, first, second; policy()) {
        first.refuse(true);
        sink.send("x").await?;
        assert_eq!(read(&second).1, b"\0\0\0\x01x");
        assert_eq!(switches(&mut sink), [(0, 1, SwitchCause::Unreachable)]);
        assert_eq!((first.attempts(), second.attempts()), (1, 1));
        Ok(())
    }

    lost_connection_is_a_failure_where_something_is_left(sink, first, second; policy()) {
        sink.send("one").await?;
        let (stream, _) = read(&first);
        stream.set_capacity(2);
        sink.feed("two").await?;
        assert!(timeout(MS, sink.flush()).await.is_err());
        assert_eq!(stream.read(), b"\0\0");
        drop(stream);
        sink.flush().await?;
        assert_eq!(read(&second).1, b"\0\0\0\x03two", "the frame that was cut off comes whole");
        assert_eq!(switches(&mut sink), [(0, 1, SwitchCause::Lost)]);
        Ok(())
    }

    idle_connection_that_is_lost_is_made_again(sink, first, second; policy()) {
        sink.send("one").await?;
        drop(read(&first));
        sink.flush().await?;
        sink.send("two").await?;
        assert_eq!(read(&first).1, b"\0\0\0\x03two");
        assert_eq!((switches(&mut sink), second.attempts()), (vec![], 0));
        Ok(())
    }

    peer_that_takes_nothing_fails_in_time(sink, first, second; policy()) {
        sink.connect().await?;
        let stuck = first.accept().expect("connected");
        stuck.set_capacity(0);
        let begin = Instant::now();
        sink.send("x").await?;
        assert!((100 * MS..=201 * MS).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        assert_eq!(read(&second).1, b"\0\0\0\x01x");
        assert_eq!(switches(&mut sink), [(0, 1, SwitchCause::Stalled)]);
        assert!(stuck.is_finished());
        Ok(())
    }

    peer_that_leaves_connections_unanswered_fails_in_time(sink, first, second; policy()) {
        first.stall(true);
        sink.send("x").await?;
        assert_eq!(read(&second).1, b"\0\0\0\x01x");
        assert_eq!(switches(&mut sink), [(0, 1, SwitchCause::Stalled)]);
        Ok(())
    }

    preferred_target_is_returned_to_when_it_is_well(sink, first, second; policy()) {
        first.refuse(true);
        sink.send("one").await?;
        let (stream, _) = read(&second);
        assert_eq!(until_switched(&mut sink).await.1, (0, 1, SwitchCause::Unreachable));
        first.refuse(false);
        let (took, switch) = until_switched(&mut sink).await;
        assert_eq!(switch, (1, 0, SwitchCause::Returned));
        assert!(took >= 40 * MS, "not before the hold is over: {took:?}");
        sink.send("two").await?;
        assert_eq!(read(&first).1, b"\0\0\0\x03two");
        assert!(stream.is_finished(), "the one that was left is told");
        Ok(())
    }

    flapping_target_is_not_returned_to(sink, first, second; policy().with_hold(Duration::ZERO)) {
        first.refuse(true);
        sink.send("one").await?;
        let _second = read(&second);
        assert_eq!(switches(&mut sink), [(0, 1, SwitchCause::Unreachable)]);
        first.refuse(false);
        for _ in 0..500 {
            sink.flush().await?;
            tokio::time::sleep(MS).await;
            // It accepts, and closes at once.
            drop(first.accept());
        }
        assert_eq!(switches(&mut sink), []);
        assert!((2..=51).contains(&first.attempts()), "once per interval: {}", first.attempts());
        Ok(())
    }

    without_probes_it_stays(sink, first, second; policy().with_probes(0)) {
        first.refuse(true);
        sink.send("one").await?;
        let _second = read(&second);
        first.refuse(false);
        tokio::time::sleep(1000 * MS).await;
        sink.send("two").await?;
        tokio::time::sleep(1000 * MS).await;
        sink.send("three").await?;
        assert_eq!((first.attempts(), switches(&mut sink).len()), (1, 1));
        Ok(())
    }

    everybody_away_is_waited_for(sink, first, second; policy().with_stall_timeout(None)) {
        first.refuse(true);
        second.refuse(true);
        sink.feed("x").await?;
        assert!(timeout(3000 * MS, sink.flush()).await.is_err());
        assert!(first.attempts() > 10 && second.attempts() > 10, "both are tried, again and again");
        let tried = first.attempts() + second.attempts();
        assert!(tried < 12_000, "by their back-off: {tried}");
        second.refuse(false);
        sink.flush().await?;
        assert_eq!(read(&second).1, b"\0\0\0\x01x");
        Ok(())
    }

    sleeping_it_holds_nothing(sink, first, second; policy()) {
        first.refuse(true);
        sink.send("one").await?;
        first.refuse(false);
        let (stream, _) = read(&second);
        tokio::time::sleep(20 * MS).await;
        sink.flush().await?;
        tokio::time::sleep(MS).await;
        let probe = first.accept().expect("probed");
        sink.disconnect().await?;
        assert!(stream.is_finished() && probe.is_finished());
        assert_eq!(sink.state(), SinkState::Asleep);
        Ok(())
    }

    asleep_since_its_peer_went_it_holds_nothing(sink, first, second; policy()) {
        first.refuse(true);
        sink.send("one").await?;
        first.refuse(false);
        let (stream, _) = read(&second);
        tokio::time::sleep(20 * MS).await;
        sink.flush().await?;
        tokio::time::sleep(MS).await;
        let probe = first.accept().expect("probed");
        drop(stream);
        sink.flush().await?;
        assert!(probe.is_finished());
        assert_eq!(sink.state(), SinkState::Asleep);
        Ok(())
    }

    close_delivers_by_whoever_is_there(sink, first, second; policy()) {
        first.refuse(true);
        sink.try_feed("last words")?;
        let report = sink.close().await?;
        assert!(report.is_complete(), "{report}");
        assert_eq!(read(&second).1, b"\0\0\0\nlast words");
        Ok(())
    }
}

/// With limited attempts the caller hears of it when all targets have failed as often.
#[tokio::test(start_paused = true)]
async fn limited_attempts_are_counted_for_each_target() -> Result<(), SinkError> {
    let (sink, first, second) = links(policy());
    let mut sink = sink.with_max_attempts(3);
    first.refuse(true);
    second.refuse(true);
    sink.feed("x").await?;
    for round in 1..3 {
        let error = sink.flush().await.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!((first.attempts(), second.attempts()), (3 * round, 3 * round));
    }
    first.refuse(false);
    sink.flush().await?;
    assert_eq!(read(&first).1, b"\0\0\0\x01x");
    Ok(())
}

/// What a failed sink held goes to a smaller one bit by bit, before anything new.
#[tokio::test(start_paused = true)]
async fn smaller_sink_takes_over_bit_by_bit() -> Result<(), SinkError> {
    let ((one, first), (other, second)) = (MemorySink::pair(64), MemorySink::pair(16));
    first.refuse(true);
    let big = lazy(Buffered::with_capacity(one, 4096)).with_max_attempts(1).with_counting(true);
    let small = lazy(Buffered::with_capacity(other, 32)).with_max_attempts(1).with_counting(true);
    let mut sink = Failover::with_policy((big, small), policy());
    for number in 0..100_u8 {
        sink.try_feed(&[number; 8])?;
    }
    let (mut got, mut stream, mut fed) = (Vec::new(), None, 100);
    loop {
        let flushed = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
        tokio::task::yield_now().await;
        stream = stream.or_else(|| second.accept());
        got.extend(stream.iter().flat_map(MemoryStream::read));
        let report = sink.report();
        assert!(report.leaves.iter().all(LeafReport::is_conserved), "{report}");
        let messages = report.leaves.iter().filter_map(|leaf| leaf.accepted.messages);
        assert_eq!(messages.sum::<u64>(), fed);
        if flushed.is_ready() && fed > 100 {
            break;
        }
        // Refused as long as something older is on its way.
        fed += u64::from(fed == 100 && sink.room(8) && sink.try_feed(&[100; 8]).is_ok());
    }
    assert_eq!(sink.accepted_bytes(), 101 * 12);
    let frames: Vec<_> =
        (0..=100_u8).flat_map(|n| [&[0, 0, 0, 8], [n; 8].as_slice()].concat()).collect();
    assert_eq!(got, frames);
    Ok(())
}

/// A message that the next sink can never carry is kept for one that can.
#[tokio::test(start_paused = true)]
async fn message_that_is_too_large_for_the_next_waits_for_the_first() -> Result<(), SinkError> {
    let ((one, first), (other, _second)) = (MemorySink::pair(640), MemorySink::pair(64));
    first.refuse(true);
    let big = lazy(Buffered::with_capacity(one, 4096)).with_max_attempts(1);
    let small = lazy(Buffered::with_capacity(other, 32)).with_max_attempts(1);
    let mut sink = Failover::with_policy((big, small), policy());
    sink.try_feed(&[7; 100])?;
    let error = sink.flush().await.expect_err("too large for the second");
    assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error}");
    let mut kept = Vec::new();
    sink.hand_back(&mut |message| kept.push(message.payload().to_vec()));
    assert_eq!((kept, sink.accepted_bytes()), (vec![vec![7; 100]], 0));
    Ok(())
}

/// Zeros and huge numbers are durations too.
#[tokio::test(start_paused = true)]
async fn extreme_policies_neither_spin_nor_overflow() -> Result<(), SinkError> {
    for time in [Duration::ZERO, Duration::MAX] {
        let extreme = FailoverPolicy::new()
            .with_attempts(u32::MAX)
            .with_stall_timeout(Some(time))
            .with_probes(u32::MAX)
            .with_probe_interval(time)
            .with_hold(time);
        let (mut sink, first, second) = sinks(extreme.clone());
        first.refuse(true);
        sink.send("x").await?;
        assert_eq!(read(&second).1, b"\0\0\0\x01x");
        let (mut sink, first, second) = links(extreme.with_attempts(0));
        first.refuse(true);
        sink.send("x").await?;
        let (stream, bytes) = read(&second);
        assert_eq!(bytes, b"\0\0\0\x01x");
        stream.set_capacity(0);
        sink.feed("y").await?;
        // At once it goes round to a new connection, or never.
        assert_eq!(timeout(50 * MS, sink.flush()).await.is_err(), time == Duration::MAX);
    }
    Ok(())
}

#[tokio::test]
async fn failover_without_targets_is_nowhere() -> Result<(), SinkError> {
    let mut sink = Buffered::new(Failover::new(Vec::<MemorySink>::new()));
    sink.send("x").await?;
    assert!(sink.close().await?.leaves.is_empty());
    let mut sink = Failover::new(Vec::<Buffered<MemorySink>>::new());
    assert!(sink.try_feed("x").is_err() && sink.feed("x").await.is_err());
    assert!(sink.flush().await.is_ok() && sink.connect().await.is_err());
    assert!(sink.close().await?.leaves.is_empty());
    Ok(())
}

/// While the second target serves, a flush that waits is woken for a stall and for the way back.
#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_for_the_timers() -> Result<(), SinkError> {
    let (mut sink, first, second) = links(policy());
    first.refuse(true);
    sink.send("one").await?;
    first.refuse(false);
    let (stuck, _) = read(&second);
    stuck.set_capacity(0);
    // The second takes nothing; nobody calls again until the first has it.
    let begin = Instant::now();
    sink.send("two").await?;
    assert!(begin.elapsed() <= 101 * MS, "{:?}", begin.elapsed());
    assert_eq!(read(&first).1, b"\0\0\0\x03two");
    Ok(())
}
