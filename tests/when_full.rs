//! What becomes of messages for which there is no room, with slow peers, peers that are not there,
//! and children of which one is slow. The conservation law holds after every step.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use torq_message_sink::{
    Buffered, Encode, ErrorKind, Fanout, Lazy, LazyPolicy, Link, MemoryPeer, MemorySink,
    MemoryStream, MessageSink, NewlineDelimited, Report, SinkFactory, TryFeedError, WhenFull,
};

/// Bytes of a buffer: eight messages.
const CAPACITY: usize = 64;

/// Bytes of a frame.
const FRAME: u64 = 8;

const DROPPING: [WhenFull; 2] = [WhenFull::DropNewest, WhenFull::DropOldest];

/// A sink that counts, over a link or several.
fn sink<L: Link>(link: L, when_full: WhenFull) -> Lazy<Buffered<L>> {
    let buffered = Buffered::with_capacity(link, CAPACITY).with_when_full(when_full);
    Lazy::with_policy(buffered, LazyPolicy::new().with_counting(true))
}

/// A message of four bytes that tells its number.
fn message(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// The numbers of the messages in whole frames, and how many bytes of one more there are.
fn numbers(bytes: &[u8]) -> (Vec<u32>, usize) {
    let frames = bytes.chunks_exact(FRAME as usize);
    let torn = frames.remainder().len();
    let number = |frame: &[u8]| {
        assert_eq!(frame[..4], [0, 0, 0, 4], "a frame is whole");
        u32::from_be_bytes(frame[4..].try_into().unwrap())
    };
    (frames.map(number).collect(), torn)
}

/// The report, in which nothing has disappeared and nothing is above the bound.
fn checked(sink: &impl MessageSink) -> Report {
    let report = sink.report();
    for leaf in &report.leaves {
        assert!(leaf.is_conserved(), "{leaf:?}");
        // The capacity, and the frame that a link has to finish.
        assert!(leaf.buffered.bytes <= CAPACITY as u64 + FRAME, "{leaf:?}");
        assert_eq!(leaf.accepted.bytes, FRAME * leaf.accepted.messages.unwrap(), "{leaf:?}");
    }
    report
}

/// Connects, with the other end.
async fn connected(sink: &mut impl MessageSink, peer: &MemoryPeer) -> MemoryStream {
    sink.connect().await.unwrap();
    peer.accept().expect("connected")
}

/// Feeds the messages of `range` one by one, all of which are accepted.
async fn feed_all(sink: &mut impl MessageSink, range: std::ops::Range<u32>) {
    for number in range {
        assert!(sink.room(4), "a sink that drops is always ready");
        sink.feed(&message(number)).await.unwrap();
        checked(sink);
    }
}

#[tokio::test(start_paused = true)]
async fn newest_is_dropped_and_the_oldest_arrive_after_an_outage() {
    let (link, peer) = MemorySink::pair(1024);
    peer.stall(true);
    let mut sink = sink(link, WhenFull::DropNewest);
    feed_all(&mut sink, 0..100).await;
    let leaf = &checked(&sink).leaves[0];
    assert_eq!(leaf.accepted.bytes, 100 * FRAME);
    assert_eq!(leaf.dropped.overflow.messages, Some(92));
    assert_eq!(sink.accepted_bytes(), 100 * FRAME);
    peer.stall(false);
    sink.flush().await.unwrap();
    let got = peer.accept().unwrap().read();
    assert_eq!(numbers(&got), ((0..8).collect(), 0));
    // With room again nothing more is dropped.
    sink.send(&message(100)).await.unwrap();
    assert_eq!(checked(&sink).leaves[0].dropped.overflow.messages, Some(92));
}

#[tokio::test(start_paused = true)]
async fn oldest_are_dropped_and_the_newest_arrive_after_an_outage() {
    let (link, peer) = MemorySink::pair(1024);
    peer.stall(true);
    let mut sink = sink(link, WhenFull::DropOldest);
    feed_all(&mut sink, 0..100).await;
    let leaf = &checked(&sink).leaves[0];
    let (buffered, dropped) = (leaf.buffered.messages.unwrap(), leaf.dropped.overflow.messages);
    // A frame is more than a sixteenth of this capacity.
    assert!((7..=8).contains(&buffered));
    assert_eq!(dropped, Some(100 - buffered));
    peer.stall(false);
    sink.flush().await.unwrap();
    let got = peer.accept().unwrap().read();
    assert_eq!(numbers(&got), ((100 - buffered as u32..100).collect(), 0));
}

#[tokio::test(start_paused = true)]
async fn oldest_frame_in_the_middle_of_which_a_link_is_arrives_whole() {
    // Three frames and a half, and nobody reads.
    let (link, peer) = MemorySink::pair(28);
    let mut sink = sink(link, WhenFull::DropOldest);
    let stream = connected(&mut sink, &peer).await;
    feed_all(&mut sink, 0..50).await;
    let mut got = stream.read();
    assert_eq!(got.len(), 28);
    let leaf = &checked(&sink).leaves[0];
    assert_eq!(leaf.written.messages, Some(3));
    loop {
        let polled = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
        got.extend(stream.read());
        checked(&sink);
        if polled.is_ready() {
            break;
        }
    }
    let (numbers, torn) = numbers(&got);
    assert_eq!((&numbers[..4], torn), (&[0, 1, 2, 3][..], 0));
    let newest: Vec<_> = (50 - (numbers.len() as u32 - 4)..50).collect();
    assert_eq!(numbers[4..], newest);
}

#[tokio::test(start_paused = true)]
async fn frame_cut_by_the_connections_end_is_dropped_with_the_oldest() {
    let (link, peer) = MemorySink::pair(12);
    let mut sink = sink(link, WhenFull::DropOldest);
    let stream = connected(&mut sink, &peer).await;
    feed_all(&mut sink, 0..50).await;
    drop(stream);
    peer.stall(true);
    feed_all(&mut sink, 50..51).await;
    let leaf = &checked(&sink).leaves[0];
    assert_eq!(leaf.written.messages, Some(1), "the frame that was cut is not written");
    assert_eq!(leaf.accepted.messages, Some(51));
}

#[tokio::test(start_paused = true)]
async fn slow_child_loses_its_oldest_and_the_others_nothing() {
    let ((fast, fast_peer), (slow, slow_peer)) = (MemorySink::pair(4096), MemorySink::pair(20));
    let mut sink = sink(Fanout::new((fast, slow)), WhenFull::DropOldest);
    sink.connect().await.unwrap();
    let (fast, slow) = (fast_peer.accept().unwrap(), slow_peer.accept().unwrap());
    let mut got = Vec::new();
    for number in 0..200 {
        sink.feed(&message(number)).await.unwrap();
        got.extend(fast.read());
        checked(&sink);
    }
    let _ = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
    got.extend(fast.read());
    assert_eq!(numbers(&got), ((0..200).collect(), 0), "the fast child gets everything");
    let report = checked(&sink);
    assert_eq!(report.leaves[0].dropped.total().bytes, 0);
    assert!(report.leaves[1].dropped.overflow.messages > Some(150));
    let mut late = Vec::new();
    while poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await.is_pending() {
        late.extend(slow.read());
    }
    late.extend(slow.read());
    let (numbers, torn) = numbers(&late);
    assert_eq!((torn, numbers.last()), (0, Some(&199)));
    assert!(numbers.is_sorted_by(|left, right| left < right), "in order and once: {numbers:?}");
    let leaf = &checked(&sink).leaves[1];
    assert_eq!(leaf.written.messages, Some(numbers.len() as u64));
}

#[tokio::test(start_paused = true)]
async fn newest_is_dropped_for_every_child() {
    let ((fast, fast_peer), (slow, slow_peer)) = (MemorySink::pair(4096), MemorySink::pair(16));
    let mut sink = sink(Fanout::new((fast, slow)), WhenFull::DropNewest);
    sink.connect().await.unwrap();
    let (fast, _slow) = (fast_peer.accept().unwrap(), slow_peer.accept().unwrap());
    feed_all(&mut sink, 0..50).await;
    assert_eq!(numbers(&fast.read()), ((0..10).collect(), 0));
    for leaf in checked(&sink).leaves {
        assert_eq!(leaf.dropped.overflow.messages, Some(40));
    }
}

#[tokio::test(start_paused = true)]
async fn full_sink_that_reports_errors_fails_at_once() {
    let (link, peer) = MemorySink::pair(16);
    let mut sink = sink(link, WhenFull::Error);
    let stream = connected(&mut sink, &peer).await;
    let mut accepted = 0;
    let error = loop {
        match sink.feed(&message(accepted)).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        checked(&sink);
    };
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(accepted, 10, "the pipe and the buffer");
    assert_eq!(sink.try_feed(&message(10)), Err(TryFeedError::Full));
    assert_eq!(sink.accepted_bytes(), 10 * FRAME, "a refusal leaves no trace");
    let _ = stream.read();
    sink.feed(&message(10)).await.unwrap();
    assert_eq!(checked(&sink).leaves[0].dropped.total().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn used_up_attempts_are_the_error_of_a_full_sink() {
    let (link, peer) = MemorySink::pair(16);
    peer.refuse(true);
    let buffered = Buffered::with_capacity(link, CAPACITY).with_when_full(WhenFull::Error);
    let mut sink = Lazy::new(buffered).with_max_attempts(1);
    let error = loop {
        tokio::task::yield_now().await;
        match sink.feed(&message(0)).await {
            Err(error) if error.kind() != ErrorKind::Full => break error,
            _ => {}
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.endpoint().is_some(), "the link's own error: {error}");
}

#[tokio::test(start_paused = true)]
async fn dropping_sink_wakes_an_unreachable_link_again_and_again() {
    for when_full in DROPPING {
        let (link, peer) = MemorySink::pair(4096);
        peer.refuse(true);
        let buffered = Buffered::with_capacity(link, CAPACITY).with_when_full(when_full);
        let mut sink = Lazy::new(buffered).with_max_attempts(1);
        for number in 0..100 {
            sink.feed(&message(number)).await.unwrap();
            // Longer than any back-off, by a clock that nobody waits for.
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert!(peer.attempts() > 10, "{when_full:?}: new data starts a new series");
        peer.refuse(false);
        while sink.flush().await.is_err() {}
        let (numbers, _) = numbers(&peer.accept().unwrap().read());
        let expected = if when_full == WhenFull::DropNewest { 0 } else { 100 - numbers.len() };
        assert_eq!(numbers[0] as usize, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_sink_refuses_what_can_never_be_sent() {
    for when_full in DROPPING {
        let (link, peer) = MemorySink::pair(16);
        peer.stall(true);
        let lines = NewlineDelimited::new();
        let mut sink = Buffered::with_framing(link, 8, lines).with_when_full(when_full);
        sink.feed("1234567").await.unwrap();
        assert_eq!(sink.try_feed("12345678"), Err(TryFeedError::TooLarge));
        assert!(!sink.room(8));
        assert_eq!(sink.try_feed("a\nb"), Err(TryFeedError::Invalid));
        assert!(!sink.accepts("a\nb", 3) && sink.accepts("ab", 2));
        let leaf = &sink.report().leaves[0];
        assert_eq!(leaf.dropped.total().bytes, 0, "nothing is dropped for what is none");
        let error = sink.feed("12345678").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TooLarge { requested: 9, available: 8 }));
        sink.end(torq_message_sink::End::Close);
        assert_eq!(sink.try_feed("ab"), Err(TryFeedError::Closed));
        assert!(!sink.room(2));
    }
}

#[tokio::test(start_paused = true)]
async fn being_asked_about_room_drops_nothing() {
    let ((gate, _gate_peer), (link, peer)) = (MemorySink::pair(16), MemorySink::pair(16));
    peer.stall(true);
    // All children or none: the one that refuses keeps the other from dropping.
    let gate = Buffered::with_capacity(gate, CAPACITY);
    let drops = Buffered::with_capacity(link, 16).with_when_full(WhenFull::DropOldest);
    let mut sink = Fanout::new((gate, drops));
    let mut accepted = 0;
    while sink.try_feed(&message(accepted)).is_ok() {
        accepted += 1;
    }
    for _ in 0..10 {
        assert_eq!(sink.try_feed(&message(accepted)), Err(TryFeedError::Full));
    }
    let leaf = &sink.report().leaves[1];
    let (fed, kept) = (leaf.accepted.bytes, leaf.buffered.bytes + leaf.written.bytes);
    assert_eq!(fed, u64::from(accepted) * FRAME);
    assert_eq!(leaf.dropped.overflow.bytes, fed - kept);
    assert!(kept > 0, "what was asked about came never, and dropped nothing");
}

#[test]
fn feeding_in_a_loop_lets_others_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        for when_full in [WhenFull::DropNewest, WhenFull::DropOldest, WhenFull::Error] {
            let (link, peer) = MemorySink::pair(16);
            let mut sink = sink(link, when_full);
            let _stream = connected(&mut sink, &peer).await;
            let other = tokio::spawn(async {});
            let mut fed = 0;
            while !other.is_finished() {
                let _ = sink.feed(&message(fed)).await;
                fed += 1;
                assert!(fed < 100_000, "{when_full:?}: a loop that feeds starves its neighbours");
            }
        }
    });
}

/// A message that panics while it is encoded has dropped nothing that can be told from an overflow,
/// and the sink goes on.
#[tokio::test(start_paused = true)]
async fn message_that_panics_leaves_the_law_intact() {
    struct Panics;

    impl Encode for Panics {
        fn encoded_len(&self) -> usize {
            4
        }
        fn encode(&self, _: &mut [u8]) {
            std::panic::resume_unwind(Box::new("an encoder's own panic"));
        }
    }

    let (link, peer) = MemorySink::pair(16);
    peer.stall(true);
    let mut sink = sink(link, WhenFull::DropOldest);
    feed_all(&mut sink, 0..20).await;
    let feed = std::panic::AssertUnwindSafe(|| sink.try_feed(&Panics));
    assert!(std::panic::catch_unwind(feed).is_err());
    let accepted = checked(&sink).leaves[0].accepted.messages;
    assert_eq!(accepted, Some(20), "a message that panics is not accepted");
    feed_all(&mut sink, 20..40).await;
}

#[tokio::test(start_paused = true)]
async fn services_toml_names_every_policy() {
    for (word, accepted) in
        [("wait", false), ("error", false), ("drop_newest", true), ("drop_oldest", true)]
    {
        let services = format!(
            "[services.a]\ntype = 'direct'\nendpoint = 'unix:///nowhere/at/all'\n\
             buffer = {{ capacity = 64, when_full = '{word}' }}"
        );
        let factory = SinkFactory::from_str(&services).unwrap();
        let mut sink = factory.create_sink("a").unwrap();
        let fed = (0..100).filter(|number| sink.try_feed(&message(*number)).is_ok()).count();
        assert_eq!(fed, if accepted { 100 } else { 8 }, "{word}");
    }
}

/// Random feeds, reads, outages and restarts: what arrives is in order and once, and what does not
/// is counted.
#[tokio::test(start_paused = true)]
async fn what_does_not_arrive_is_counted_whatever_happens() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        fastrand::seed(seed);
        let when_full = DROPPING[rng.usize(..2)];
        let (link, peer) = MemorySink::pair(rng.usize(1..40));
        let mut sink = sink(link, when_full);
        let (mut fed, mut stream, mut streams) = (0, None::<MemoryStream>, vec![Vec::new()]);
        for _ in 0..200 {
            match rng.u8(..12) {
                0..=5 => {
                    feed_all(&mut sink, fed..fed + 1).await;
                    fed += 1;
                }
                6 => {
                    let _ = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
                }
                7 | 8 => {
                    if let Some(stream) = &stream {
                        streams.last_mut().unwrap().extend(stream.read_at_most(rng.usize(1..40)));
                    }
                }
                9 => peer.stall(rng.bool()),
                10 if rng.u8(..4) == 0 => {
                    stream = None;
                    streams.push(Vec::new());
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            if let Some(accepted) = peer.accept() {
                stream = Some(accepted);
                streams.push(Vec::new());
            }
            checked(&sink);
        }
        let leaf = checked(&sink).leaves.remove(0);
        assert_eq!(leaf.accepted.messages, Some(u64::from(fed)));
        let (got, _): (Vec<_>, Vec<_>) = streams.iter().map(|bytes| numbers(bytes)).unzip();
        let got = got.concat();
        assert!(got.is_sorted_by(|left, right| left < right), "seed {seed}: {got:?}");
        assert!(got.len() as u64 <= leaf.written.messages.unwrap(), "seed {seed}");
    }
}
