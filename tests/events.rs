//! What a sink tells of its links, its circuits and its children: each change once, in order.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::task::yield_now;
use torq_message_sink::testing::ScriptedSink;
use torq_message_sink::{
    Backoff, BestEffort, Buffered, Circuit, CircuitBreaker, Count, ErrorKind, Event, Fanout, Lazy,
    MemoryPeer, MemorySink, MessageSink, SinkError, SinkState,
};

fn events(sink: &mut impl MessageSink) -> Vec<Event> {
    let mut events = Vec::new();
    sink.take_events(&mut |event| events.push(event));
    events
}

fn states(sink: &mut impl MessageSink) -> Vec<SinkState> {
    events(sink).iter().filter_map(Event::state).collect()
}

async fn try_flush(sink: &mut impl MessageSink) {
    let _ = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
}

async fn until_tried(peer: &MemoryPeer, attempts: u64) {
    while peer.attempts() < attempts {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn failed_attempt_says_why_and_how_long_the_wait_is() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    let backoff = Backoff::new().with_initial(Duration::from_secs(2));
    let mut sink = Lazy::new(Buffered::new(link.with_service("far"))).with_backoff(backoff);
    peer.refuse(true);
    sink.try_feed("a")?;
    until_tried(&peer, 3).await;
    let told = events(&mut sink);
    assert_eq!(sink.state(), SinkState::BackingOff);
    for (index, pair) in told.chunks(2).enumerate() {
        let [Event::Connecting { attempt, .. }, Event::BackingOff { failures, delay, error, .. }] =
            pair
        else {
            panic!("{pair:?}");
        };
        assert_eq!((*attempt, *failures), (index as u32 + 1, index as u32 + 1));
        assert!(*delay <= Duration::from_secs(2 << index), "{delay:?}");
        let error = error.as_ref().expect("it has failed");
        assert_eq!((error.kind(), error.service()), (ErrorKind::Unreachable, Some("far")));
        assert_eq!(pair[1].service(), Some("far"));
    }
    assert_eq!(told.len(), 6);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn attempts_that_are_used_up_say_so_and_the_next_ones_why_they_wait() {
    let (link, peer) = MemorySink::pair(64);
    let mut sink = Lazy::new(Buffered::new(link)).with_max_attempts(2);
    peer.refuse(true);
    assert!(sink.send("a").await.is_err());
    let told = events(&mut sink);
    assert!(
        matches!(told.last(), Some(Event::GaveUp { failures: 2, error: Some(_), .. })),
        "{told:?}"
    );
    assert!(sink.flush().await.is_err());
    let told = events(&mut sink);
    assert!(matches!(&told[0], Event::BackingOff { failures: 2, error: Some(_), .. }), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn closing_and_sleeping_are_told_also_by_a_sink_that_did_nothing() -> Result<(), SinkError> {
    use SinkState::{Asleep, Closed, Connected, Connecting};
    let (link, peer) = MemorySink::pair(64);
    let mut sink = Buffered::new(link);
    sink.connect().await?;
    drop(peer.accept());
    sink.disconnect().await?;
    assert_eq!(states(&mut sink), [Connecting, Connected, Asleep]);
    sink.close().await?;
    sink.close().await?;
    assert_eq!(states(&mut sink), [Closed], "once");

    let mut unused = Buffered::new(MemorySink::pair(64).0);
    unused.close().await?;
    assert_eq!(states(&mut unused), [Closed]);
    assert_eq!(unused.report().leaves[0].state, Closed);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn long_outage_does_not_hide_how_the_last_connection_ended() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    let mut sink = Lazy::new(Buffered::new(link))
        .with_backoff(Backoff::new().with_max(Duration::from_millis(2)));
    sink.send("a").await?;
    drop(peer.accept());
    peer.refuse(true);
    try_flush(&mut sink).await;
    sink.try_feed("b")?;
    try_flush(&mut sink).await;
    until_tried(&peer, 500).await;
    let report = sink.report();
    assert_eq!(report.leaves[0].events_lost, 0, "attempts are not lost: they are numbered");
    let told = events(&mut sink);
    assert_eq!(told.len(), 64);
    assert!(told.iter().any(|event| matches!(event, Event::Ended(_))), "{told:?}");
    assert_eq!(told.last().and_then(Event::state), Some(report.leaves[0].state));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn circuit_tells_each_of_its_positions() {
    let (inner, peer) = ScriptedSink::pair(9);
    let open_time = Backoff::new().with_initial(Duration::from_secs(3));
    let mut sink = CircuitBreaker::new(inner).with_failures(2).with_open_time(open_time);
    let circuits = |sink: &mut CircuitBreaker<ScriptedSink>| {
        let told = events(sink).into_iter().filter_map(|event| match event {
            Event::Circuit { circuit, open_time, .. } => Some((circuit, open_time)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    peer.fail(Some(ErrorKind::Unreachable));
    assert!(sink.try_feed("a").is_err());
    assert_eq!(circuits(&mut sink), [], "one failure changes nothing");
    assert!(sink.try_feed("a").is_err());
    assert_eq!(circuits(&mut sink), [(Circuit::Open, Some(Duration::from_secs(3)))]);

    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(sink.try_feed("a").is_err());
    let again = (Circuit::Open, Some(Duration::from_secs(6)));
    assert_eq!(circuits(&mut sink), [(Circuit::HalfOpen, None), again]);

    tokio::time::advance(Duration::from_secs(6)).await;
    peer.fail(None);
    sink.send("a").await.unwrap();
    assert_eq!(circuits(&mut sink), [(Circuit::HalfOpen, None), (Circuit::Closed, None)]);
}

/// What is told of a child's lag: that it fell behind, or what it has missed.
fn lags(sink: &mut impl MessageSink) -> Vec<(String, Option<Count>)> {
    let lag = |event: Event| {
        let service = event.service().unwrap_or_default().to_owned();
        match event {
            Event::FellBehind { .. } => Some((service, None)),
            Event::CaughtUp { missed, .. } => Some((service, Some(missed))),
            _ => None,
        }
    };
    events(sink).into_iter().filter_map(lag).collect()
}

#[tokio::test(start_paused = true)]
async fn link_that_nobody_waits_for_tells_of_its_lag_once() -> Result<(), SinkError> {
    let ((fast, there), (slow, lagging)) = (MemorySink::pair(4096), MemorySink::pair(16));
    let slow = BestEffort::new(slow.with_service("slow"));
    let mut sink =
        Lazy::new(Buffered::with_capacity(Fanout::new((fast, slow)), 64)).with_counting(true);
    sink.connect().await?;
    while !sink.report().leaves.iter().all(|leaf| leaf.state == SinkState::Connected) {
        try_flush(&mut sink).await;
        yield_now().await;
    }
    let (there, lagging) = (there.accept().unwrap(), lagging.accept().unwrap());
    for round in 0..3 {
        for _ in 0..40 {
            sink.send(b"12345678".as_slice()).await?;
            let _ = there.read();
        }
        assert_eq!(lags(&mut sink), [("slow".into(), None)], "round {round}");
        let before = sink.report().leaves[1].dropped.skipped;
        while !lagging.read().is_empty() {
            try_flush(&mut sink).await;
        }
        let told = lags(&mut sink);
        let [(service, Some(missed))] = &told[..] else { panic!("{told:?}") };
        assert_eq!(service, "slow");
        assert_eq!((missed.bytes % 12, missed.messages), (0, Some(missed.bytes / 12)));
        assert!(missed.bytes > 0 && missed.bytes <= before.bytes);
        assert_eq!(round > 0, missed.bytes < before.bytes, "what it missed this time");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn sink_that_nobody_waits_for_tells_of_its_lag_once() -> Result<(), SinkError> {
    let ((fast, there), (slow, lagging)) = (MemorySink::pair(4096), MemorySink::pair(16));
    let slow = BestEffort::new(Buffered::with_capacity(slow.with_service("slow"), 32));
    let mut sink = Fanout::new((Buffered::new(fast), slow));
    lagging.refuse(true);
    for _ in 0..10 {
        sink.feed("12345678").await?;
    }
    sink.flush().await?;
    assert_eq!(lags(&mut sink), [("slow".into(), None)]);
    lagging.refuse(false);
    while sink.report().leaves[1].buffered.bytes > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        try_flush(&mut sink).await;
        while let Some(stream) = lagging.accept() {
            while !stream.read().is_empty() {
                try_flush(&mut sink).await;
            }
        }
    }
    try_flush(&mut sink).await;
    let missed = sink.report().leaves[1].dropped.skipped;
    assert_eq!(lags(&mut sink), [("slow".into(), Some(missed))]);
    assert_eq!(missed, Count { messages: Some(8), ..missed });
    drop(there);
    Ok(())
}
