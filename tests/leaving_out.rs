//! Frames that a link leaves out, and messages that a sink hands back: what arrives, and what is
//! counted.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use torq_message_sink::{
    Buffered, DropReason, End, HandBack, Lazy, LazyPolicy, LeafReport, LengthPrefixed, Link,
    MemoryPeer, MemorySink, MemoryStream, MessageSink, Pending, Report, SinkError, Skip,
};

const SKIPPED: Skip = Skip::Dropped(DropReason::Skipped);

/// A link, its peer, and the buffer above the link, by hand. Frames have 5 bytes.
struct Rig {
    link: MemorySink,
    peer: MemoryPeer,
    stream: Option<MemoryStream>,
    bytes: Vec<u8>,
    start: u64,
    /// What arrived on connections that have ended, and on the one that is up.
    received: Vec<Vec<u8>>,
}

impl Rig {
    fn new(capacity: usize) -> Self {
        let (mut link, peer) = MemorySink::pair(capacity);
        link.set_policy(&Arc::new(LazyPolicy::new().with_counting(true)));
        let received = vec![Vec::new()];
        Self { link, peer, stream: None, bytes: Vec::new(), start: 0, received }
    }

    fn feed(&mut self, message: u8) {
        self.bytes.extend([0, 0, 0, 1, message]);
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn with_pending<T>(
        &mut self,
        call: impl FnOnce(&mut MemorySink, Pending<'_, LengthPrefixed>) -> T,
    ) -> T {
        let framing = LengthPrefixed::new();
        call(&mut self.link, Pending::new(&self.bytes, self.start, &framing))
    }

    /// Writes what can be written, and forgets what need not be kept.
    async fn write(&mut self) {
        poll_fn(|cx| {
            let written = self.with_pending(|link, pending| link.poll_write(cx, pending));
            assert!(!matches!(written, Poll::Ready(Err(_))), "attempts go on for ever");
            Poll::Ready(())
        })
        .await;
        self.release();
        // Longer than any back-off, by a clock that nobody waits for.
        tokio::time::sleep(Duration::from_secs(60)).await;
        self.stream = self.peer.accept().or_else(|| self.stream.take());
    }

    fn release(&mut self) {
        let taken = self.link.taken();
        self.bytes.drain(..(taken - self.start) as usize);
        self.start = taken;
    }

    fn skip(&mut self, to: u64, skip: Skip) {
        self.with_pending(|link, pending| link.skip(pending, to, skip));
        assert!(self.link.taken() >= to, "what is left out need not be kept");
        self.release();
    }

    fn read(&mut self, most: usize) {
        if let Some(stream) = &self.stream {
            let bytes = stream.read_at_most(most);
            self.received.last_mut().expect("one at least").extend(bytes);
        }
    }

    /// The peer goes away without reading what is left.
    fn leave(&mut self) {
        if self.stream.take().is_some() {
            self.received.push(Vec::new());
        }
    }

    fn report(&mut self) -> LeafReport {
        let mut report = Report::default();
        self.with_pending(|link, pending| link.report_into(pending, &mut report));
        let leaf = report.leaves.remove(0);
        assert!(leaf.is_conserved(), "{leaf:?}");
        leaf
    }

    /// The messages that arrived whole; no connection but the last may end with a torn one before
    /// its end, so each is cut in frames of 5 bytes.
    fn messages(&self) -> Vec<u8> {
        let frames = self.received.iter().flat_map(|bytes| bytes.chunks_exact(5));
        frames.inspect(|frame| assert_eq!(frame[..4], [0, 0, 0, 1])).map(|frame| frame[4]).collect()
    }
}

/// A connection that has taken three frames and two bytes of the fourth, of five.
async fn in_mid_frame() -> Rig {
    let mut rig = Rig::new(17);
    (b'a'..=b'e').for_each(|message| rig.feed(message));
    rig.write().await;
    rig.write().await;
    assert_eq!((rig.link.taken(), rig.link.reached()), (15, 17));
    rig
}

#[tokio::test(start_paused = true)]
async fn frames_left_out_are_counted_and_the_others_arrive() {
    let mut rig = Rig::new(64);
    (b'a'..=b'd').for_each(|message| rig.feed(message));
    rig.skip(10, SKIPPED);
    rig.write().await;
    rig.write().await;
    rig.read(64);
    assert_eq!(rig.messages(), b"cd");
    let leaf = rig.report();
    assert_eq!((leaf.accepted.messages, leaf.written.messages), (Some(4), Some(2)));
    assert_eq!((leaf.dropped.skipped.bytes, leaf.dropped.skipped.messages), (10, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn frame_that_was_begun_is_finished() {
    let mut rig = in_mid_frame().await;
    rig.skip(25, SKIPPED);
    assert_eq!((rig.start, rig.report().buffered.messages), (25, Some(1)), "one frame in the tail");
    rig.feed(b'f');
    rig.read(17);
    rig.write().await;
    rig.read(17);
    assert_eq!(rig.messages(), b"abcdf");
    let leaf = rig.report();
    assert_eq!((leaf.written.messages, leaf.dropped.skipped.messages), (Some(5), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_the_frame_that_was_begun() {
    let mut rig = in_mid_frame().await;
    rig.skip(25, SKIPPED);
    let flushed = |rig: &mut Rig| {
        rig.with_pending(|link, pending| {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            link.poll_write(&mut cx, pending).is_ready()
        })
    };
    assert!(!flushed(&mut rig), "three bytes of it are still here");
    rig.read(17);
    assert!(flushed(&mut rig));
    rig.read(17);
    assert_eq!(rig.messages(), b"abcd");
}

#[tokio::test(start_paused = true)]
async fn begun_frame_whose_connection_ends_is_dropped() {
    let mut rig = in_mid_frame().await;
    rig.skip(20, SKIPPED);
    rig.read(17);
    rig.leave();
    rig.write().await;
    rig.write().await;
    rig.read(17);
    assert_eq!(rig.messages(), b"abce");
    let leaf = rig.report();
    assert_eq!((leaf.written.messages, leaf.dropped.skipped.messages), (Some(4), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn frames_of_another_link_count_as_never_accepted() {
    let mut rig = Rig::new(64);
    (b'a'..=b'd').for_each(|message| rig.feed(message));
    rig.skip(15, Skip::Elsewhere);
    rig.write().await;
    rig.write().await;
    rig.read(64);
    assert_eq!(rig.messages(), b"d");
    let leaf = rig.report();
    assert_eq!((leaf.accepted.bytes, leaf.accepted.messages), (5, Some(1)));
    assert_eq!(leaf.dropped.total().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_left_alone() {
    let mut rig = in_mid_frame().await;
    rig.skip(15, SKIPPED);
    assert_eq!((rig.link.reached(), rig.report().dropped.total().bytes), (17, 0));
}

/// 300 histories of writes, peers that come, read and go, and frames left out: each message arrives
/// once, whole and in order, unless it was left out or written on a connection that ended.
#[tokio::test(start_paused = true)]
async fn every_missing_message_is_accounted_for() {
    for seed in 0..300 {
        let mut choices = fastrand::Rng::with_seed(seed);
        let mut rig = Rig::new(choices.usize(3..40));
        let (mut fed, mut lost) = (0_u8, 0_u64);
        for _ in 0..120 {
            match choices.u8(..12) {
                0..=3 if fed < 250 => (fed, _) = (fed + 1, rig.feed(fed)),
                4..=7 => rig.write().await,
                8 | 9 => rig.read(choices.usize(1..30)),
                10 => {
                    let frames = rig.bytes.len() / 5;
                    rig.skip(rig.start + 5 * choices.usize(..=frames) as u64, SKIPPED);
                }
                _ if choices.u8(..4) == 0 => {
                    let unread = rig.stream.as_ref().map_or(0, |stream| stream.read().len());
                    // Two frames more may be torn, at either end of what nobody has read.
                    lost += (unread as u64).div_ceil(5) + 2;
                    rig.leave();
                }
                _ => {}
            }
            rig.report();
        }
        let end = rig.end();
        for _ in 0..100 {
            rig.write().await;
            rig.read(64);
        }
        let (leaf, messages) = (rig.report(), rig.messages());
        assert!(messages.is_sorted_by(|a, b| a < b), "seed {seed}: in order, once: {messages:?}");
        assert_eq!((rig.start, leaf.buffered.bytes), (end, 0), "seed {seed}: nothing is stuck");
        assert_eq!(leaf.accepted.messages, Some(u64::from(fed)), "seed {seed}");
        let missing = u64::from(fed) - messages.len() as u64;
        let dropped = leaf.dropped.skipped.messages.expect("counted");
        assert!((dropped..=dropped + lost).contains(&missing), "seed {seed}: {missing}, {leaf:?}");
    }
}

fn handed_back<S: HandBack>(sink: &mut S) -> Vec<u8> {
    let mut messages = Vec::new();
    sink.hand_back(&mut |message| messages.extend(message.payload()));
    messages
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_seen_is_handed_back() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(17);
    let mut sink = Lazy::new(Buffered::with_capacity(link, 64)).with_counting(true);
    sink.connect().await?;
    for message in ["a", "b", "c", "d", "e", "f"] {
        sink.try_feed(message)?;
    }
    poll_fn(|cx| Poll::Ready(sink.poll_flush(cx).is_pending())).await;
    assert_eq!(handed_back(&mut sink), b"ef", "of d the peer has two bytes");
    assert_eq!((sink.accepted_bytes(), sink.report().leaves[0].accepted.messages), (20, Some(4)));
    sink.try_feed("g")?;
    let stream = peer.accept().expect("connected");
    let mut received = stream.read();
    sink.flush().await?;
    received.extend(stream.read());
    assert_eq!(received, b"\0\0\0\x01a\0\0\0\x01b\0\0\0\x01c\0\0\0\x01d\0\0\0\x01g");
    assert_eq!(handed_back(&mut sink), b"");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn frame_of_an_ended_connection_is_handed_back_whole() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(7);
    let mut sink = Buffered::with_capacity(link, 64);
    sink.connect().await?;
    for message in ["a", "b", "c"] {
        sink.try_feed(message)?;
    }
    poll_fn(|cx| Poll::Ready(sink.poll_flush(cx).is_pending())).await;
    sink.end(End::Sleep);
    assert_eq!(handed_back(&mut sink), b"bc", "a is written whole");
    assert_eq!((sink.accepted_bytes(), sink.buffered_bytes()), (5, 0));
    drop(peer.accept());
    sink.send("d").await?;
    assert_eq!(peer.accept().expect("woken by data").read(), b"\0\0\0\x01d");
    Ok(())
}
