//! Nothing is sent after its deadline, and nothing else is lost.

use std::time::Duration;

use tokio::time::Instant;
use torq_message_sink::{Buffered, Deadline, MemoryPeer, MemorySink, MessageSink, WithDeadline};

use crate::model::{OnPanic, Rules, flush_once, run, seeds};

const CAPACITY: usize = 1024;

#[tokio::test(start_paused = true)]
async fn nothing_late_is_sent_and_nothing_fresh_is_lost() {
    for seed in seeds() {
        let _on_panic = OnPanic(seed);
        let max_age = (seed % 3 == 0).then(|| Duration::from_millis(35));
        let rules = Rules {
            deadlines: seed % 4,
            keys: 0,
            lanes: 0,
            max_age,
            capacity: CAPACITY,
            in_order: true,
        };
        let make = |below| {
            let sink = Deadline::with_capacity(below, CAPACITY);
            if let Some(age) = max_age { sink.with_max_age(age) } else { sink }
        };
        run(seed, &rules, make, 200).await;
    }
}

/// A message that says when it was made.
fn made_at(second: u64) -> [u8; 8] {
    second.to_be_bytes()
}

fn seconds(bytes: &[u8]) -> Vec<u64> {
    let frames = bytes.chunks_exact(12);
    frames.map(|frame| u64::from_be_bytes(frame[4..].try_into().expect("eight"))).collect()
}

/// A sink over a link whose peer is away, with messages that live five seconds.
fn away() -> (Deadline<Buffered<MemorySink>>, MemoryPeer) {
    let (link, peer) = MemorySink::pair(1 << 20);
    peer.refuse(true);
    let sink = Deadline::new(Buffered::new(link)).with_max_age(Duration::from_secs(5));
    (sink, peer)
}

/// One message a second for ten minutes, while the peer is away; it comes back.
async fn outage(sink: &mut Deadline<Buffered<MemorySink>>, flushes: bool) {
    for second in 0..600 {
        sink.feed(&made_at(second)).await.expect("there is room");
        if flushes {
            flush_once(sink).await;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_ten_minutes_only_the_last_five_seconds_are_sent() {
    for flushes in [false, true] {
        let (mut sink, peer) = away();
        outage(&mut sink, flushes).await;
        peer.refuse(false);
        // The back-off is at most half a minute; what is fed then is fresh when it ends.
        for second in 600.. {
            sink.feed(&made_at(second)).await.expect("there is room");
            if flush_once(&mut sink).await {
                break;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let report = sink.report();
        let arrived = seconds(&peer.accept().expect("connected").read());
        let last = *arrived.last().expect("the last was fresh");
        assert!((600..640).contains(&last));
        assert_eq!(arrived, (last - 4..=last).collect::<Vec<_>>(), "flushed meanwhile: {flushes}");
        assert_eq!(report.dropped.expired.messages, Some(last - 4), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_connection_left_unseen_expires_too() {
    let (link, peer) = MemorySink::pair(18);
    let mut sink = Deadline::new(Buffered::new(link)).with_max_age(Duration::from_secs(5));
    sink.connect().await.expect("the peer is there");
    for second in 0..3 {
        sink.feed(&made_at(second)).await.expect("there is room");
    }
    assert!(!flush_once(&mut sink).await, "one message and a half");
    let stream = peer.accept().expect("connected");
    assert_eq!(seconds(&stream.read()), [0]);
    drop(stream);
    tokio::time::advance(Duration::from_secs(600)).await;
    sink.send(&made_at(603)).await.expect("the peer comes back");
    assert_eq!(seconds(&peer.accept().expect("connected").read()), [603]);
    assert_eq!(sink.report().dropped.expired.messages, Some(2));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slow_peer_expires_too() {
    let (link, peer) = MemorySink::pair(12);
    let mut sink = Deadline::new(Buffered::new(link)).with_max_age(Duration::from_secs(5));
    sink.connect().await.expect("the peer is there");
    for second in 0..100 {
        sink.feed(&made_at(second)).await.expect("there is room");
        flush_once(&mut sink).await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let stream = peer.accept().expect("connected");
    let mut arrived = Vec::new();
    while !flush_once(&mut sink).await {
        arrived.extend(seconds(&stream.read()));
    }
    arrived.extend(seconds(&stream.read()));
    assert_eq!(arrived, [0, 96, 97, 98, 99], "the first had gone out before");
}

#[tokio::test(start_paused = true)]
async fn expired_messages_make_room() {
    let (mut sink, _peer) = away();
    let message = [0; 1000];
    let mut accepted = 0;
    while sink.try_feed(&message).is_ok() {
        accepted += 1;
    }
    assert!(!sink.room(message.len()));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(sink.try_feed(&message), Ok(()));
    assert_eq!(sink.report().dropped.expired.messages, Some(accepted));
}

#[tokio::test(start_paused = true)]
async fn own_deadline_wins_over_the_maximum_age() {
    let (mut sink, peer) = away();
    let later = Instant::now() + Duration::from_secs(3600);
    sink.try_feed(&WithDeadline(later.into_std(), made_at(0))).expect("there is room");
    sink.try_feed(&made_at(1)).expect("there is room");
    assert!(!flush_once(&mut sink).await);
    tokio::time::advance(Duration::from_secs(600)).await;
    peer.refuse(false);
    sink.flush().await.expect("the peer is back");
    assert_eq!(seconds(&peer.accept().expect("connected").read()), [0]);
}
