//! Water marks: told once on the way up and once on the way down, about the link that lags.

use std::future::poll_fn;
use std::task::Poll;

use torq_message_sink::{
    Buffered, Event, Fanout, HandBack, Lazy, Link, MemorySink, MemoryStream, MessageSink,
    SinkFactory, WhenFull,
};

const CAPACITY: usize = 256;
const HIGH: usize = 128;
const LOW: usize = 32;

/// A message whose frame has 16 bytes.
const MESSAGE: [u8; 12] = [7; 12];

fn sink<L: Link>(link: L) -> Buffered<L> {
    Buffered::with_capacity(link, CAPACITY).with_water_marks(HIGH, LOW)
}

/// What the sink has told since the last call: high (true) or low, of which service, and how many
/// bytes there were.
fn told(sink: &mut impl MessageSink) -> Vec<(bool, Option<String>, u64)> {
    let mut told = Vec::new();
    sink.take_events(&mut |event| {
        let (high, service, bytes) = match event {
            Event::HighWater { service, buffered_bytes, .. } => (true, service, buffered_bytes),
            Event::LowWater { service, buffered_bytes, .. } => (false, service, buffered_bytes),
            _ => return,
        };
        told.push((high, service.map(|name| name.to_string()), bytes));
    });
    told
}

async fn try_flush(sink: &mut impl MessageSink) {
    let _ = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
}

#[tokio::test(start_paused = true)]
async fn each_mark_is_told_once_on_its_way() {
    let (link, peer) = MemorySink::pair(16);
    let mut sink = sink(link.with_service("slow"));
    sink.connect().await.unwrap();
    let stream = peer.accept().unwrap();
    for round in 0..3 {
        while sink.try_feed(&MESSAGE).is_ok() {
            let bytes = sink.buffered_bytes();
            assert_eq!(sink.is_above_high_water(), bytes > HIGH, "{bytes}");
        }
        assert_eq!(sink.buffered_bytes(), CAPACITY, "the marks take nothing of the capacity");
        let slow = Some("slow".to_owned());
        assert_eq!(told(&mut sink), [(true, slow.clone(), 144)], "round {round}");
        // Between the marks nothing is told, up or down.
        while sink.buffered_bytes() > LOW + 16 {
            let _ = stream.read();
            try_flush(&mut sink).await;
            assert!(sink.is_above_high_water());
        }
        let _ = sink.try_feed(&MESSAGE);
        assert_eq!(told(&mut sink), []);
        while sink.is_above_high_water() {
            let _ = stream.read();
            try_flush(&mut sink).await;
        }
        assert_eq!(told(&mut sink), [(false, slow, LOW as u64)]);
    }
}

#[tokio::test(start_paused = true)]
async fn link_that_keeps_up_passes_no_mark() {
    let (link, peer) = MemorySink::pair(4096);
    let mut sink = sink(link);
    sink.connect().await.unwrap();
    let stream = peer.accept().unwrap();
    let mut got = 0;
    for _ in 0..1000 {
        sink.feed(&MESSAGE).await.unwrap();
        assert!(sink.buffered_bytes() <= HIGH);
        got += stream.read().len();
    }
    // A lone frame above the mark is not a slow peer.
    sink.feed([0; HIGH + 50].as_slice()).await.unwrap();
    assert!(!sink.is_above_high_water());
    sink.flush().await.unwrap();
    got += stream.read().len();
    assert_eq!((got, told(&mut sink)), (16_000 + HIGH + 54, vec![]));
}

#[tokio::test(start_paused = true)]
async fn slow_child_is_named() {
    let ((fast, fast_peer), (slow, slow_peer)) = (MemorySink::pair(4096), MemorySink::pair(8));
    let links = Fanout::new((fast.with_service("fast"), slow.with_service("slow")));
    let mut sink = Lazy::new(sink(links));
    sink.connect().await.unwrap();
    let (_fast, slow) = (fast_peer.accept().unwrap(), slow_peer.accept().unwrap());
    while sink.try_feed(&MESSAGE).is_ok() {}
    while sink.get_ref().is_above_high_water() {
        let _ = slow.read();
        try_flush(&mut sink).await;
    }
    let told: Vec<_> = told(&mut sink).into_iter().map(|(high, name, _)| (high, name)).collect();
    assert_eq!(told, [(true, Some("slow".into())), (false, Some("slow".into()))]);
}

#[tokio::test(start_paused = true)]
async fn sink_that_sleeps_on_what_is_left_passes_the_mark_when_more_comes() {
    let (link, peer) = MemorySink::pair(16);
    peer.stall(true);
    let mut sink = sink(link);
    for _ in 0..8 {
        sink.feed(&MESSAGE).await.unwrap();
    }
    sink.end(torq_message_sink::End::Sleep);
    assert!(!sink.is_above_high_water());
    sink.feed(&MESSAGE).await.unwrap();
    assert!(sink.is_above_high_water());
    // What is taken back, and what is given up, leaves the buffer like what is written.
    sink.hand_back(&mut |_| {});
    assert!(!sink.is_above_high_water());
    while sink.try_feed(&MESSAGE).is_ok() {}
    assert!(sink.is_above_high_water());
    sink.end(torq_message_sink::End::Close);
    assert!(!sink.is_above_high_water());
    let told: Vec<_> = told(&mut sink).into_iter().map(|(high, ..)| high).collect();
    assert_eq!(told, [true, false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn marks_may_lie_anywhere() {
    for (high, low) in [(0, 0), (1, 0), (0, usize::MAX), (usize::MAX, 0), (usize::MAX, usize::MAX)]
    {
        let (link, peer) = MemorySink::pair(4096);
        peer.stall(true);
        let mut sink = Buffered::with_capacity(link, CAPACITY).with_water_marks(high, low);
        let mut fed = 0;
        while sink.try_feed(&MESSAGE).is_ok() {
            fed += 1;
        }
        assert_eq!(fed, CAPACITY / 16, "high {high}, low {low}");
        assert_eq!(sink.is_above_high_water(), high < CAPACITY);
        peer.stall(false);
        sink.flush().await.unwrap();
        assert_eq!(peer.accept().unwrap().read().len(), CAPACITY);
        assert!(!sink.is_above_high_water());
    }
}

#[tokio::test(start_paused = true)]
async fn services_toml_sets_the_marks() {
    let factory = SinkFactory::from_str(
        "[services.a]\ntype = 'direct'\nendpoint = 'unix:///nowhere/at/all'\n\
         buffer = { capacity = 256, high_water = 128 }",
    )
    .unwrap();
    let mut sink = factory.create_sink("a").unwrap();
    while sink.try_feed(&MESSAGE).is_ok() {}
    assert_eq!(told(&mut sink), [(true, Some("a".to_owned()), 144)]);
}

/// Whatever is fed, read, dropped and broken off: below the high mark until it is passed, above the
/// low one after that, and told in turns.
#[tokio::test(start_paused = true)]
async fn marks_hold_whatever_happens() {
    let policies = [WhenFull::Wait, WhenFull::Error, WhenFull::DropNewest, WhenFull::DropOldest];
    for seed in 0..300 {
        fastrand::seed(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let (high, low) = (rng.usize(40..CAPACITY), rng.usize(..CAPACITY));
        let (link, peer) = MemorySink::pair(rng.usize(1..100));
        let buffered =
            Buffered::with_capacity(link, CAPACITY).with_when_full(rng.choice(policies).unwrap());
        let mut sink = buffered.with_water_marks(high, low);
        let (mut stream, mut above) = (None::<MemoryStream>, false);
        for step in 0..300 {
            match rng.u8(..10) {
                0..=4 => drop(sink.try_feed(&[0; 36][..rng.usize(..=36)])),
                5 => try_flush(&mut sink).await,
                6 | 7 => {
                    if let Some(stream) = &stream {
                        let _ = stream.read_at_most(rng.usize(1..100));
                    }
                }
                8 if rng.u8(..8) == 0 => stream = None,
                _ => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
            stream = peer.accept().or(stream);
            let (bytes, low) = (sink.buffered_bytes(), low.min(high));
            let (is_above, at) = (sink.is_above_high_water(), format!("seed {seed} step {step}"));
            assert!(if is_above { bytes > low } else { bytes <= high }, "{at}: {bytes}");
            for (high, ..) in told(&mut sink) {
                assert_ne!(high, above, "{at}: told in turns");
                above = high;
            }
            assert_eq!(above, is_above, "{at}");
        }
    }
}

/// Whoever does not ask for a long time finds the latest.
#[tokio::test(start_paused = true)]
async fn events_are_bounded() {
    let (link, peer) = MemorySink::pair(4096);
    let mut sink = Buffered::with_capacity(link, 64).with_water_marks(16, 0);
    for round in 0..200 {
        peer.stall(true);
        sink.end(torq_message_sink::End::Sleep);
        while sink.try_feed(&MESSAGE).is_ok() {}
        if round < 199 {
            peer.stall(false);
            sink.flush().await.unwrap();
            let _ = peer.accept().unwrap().read();
        }
    }
    let mut told = told(&mut sink);
    assert_eq!(told.len(), 64);
    assert!(told.pop().is_some_and(|(high, ..)| high), "the latest is there");
}

#[tokio::test(start_paused = true)]
async fn marks_that_nobody_asks_about_are_counted() {
    let (link, peer) = MemorySink::pair(16);
    let mut sink = sink(link);
    sink.connect().await.unwrap();
    let stream = peer.accept().unwrap();
    for _ in 0..40 {
        while sink.try_feed(&MESSAGE).is_ok() {}
        while sink.buffered_bytes() > 0 {
            let _ = stream.read();
            try_flush(&mut sink).await;
        }
    }
    assert_eq!((told(&mut sink).len(), sink.report().leaves[0].events_lost), (64, 80 - 64));
}
