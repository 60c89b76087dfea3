//! Bad input: each a typed error (or, for a panic, that panic), with nothing corrupted and nothing
//! lost that was accepted.

use std::panic::{AssertUnwindSafe, catch_unwind};

use torq_message_sink::{
    Buffered, Encode, EndpointError, ErrorKind, LengthPrefixed, MemoryPeer, MemorySink,
    MessageSink, TcpSink, TryFeedError, UnixSink,
};

#[test]
fn unparsable_addresses_are_named() {
    for address in ["", ":", "nowhere", "a:", ":1", "a:0", "a:65536", "::1:5", "a b:1", "[x]:1"] {
        let error = TcpSink::new(address).expect_err(address);
        assert_eq!(error.kind(), ErrorKind::InvalidEndpoint);
        assert!(std::error::Error::source(&error).is_some(), "{error} says what is wrong");
    }
    assert_eq!(
        "tpc://a:1".parse::<torq_message_sink::Endpoint>(),
        Err(EndpointError::UnknownScheme("tpc".into()))
    );
}

#[test]
fn impossible_socket_paths_are_named() {
    let long = "/".repeat(108);
    for path in ["", "/a\0b", long.as_str()] {
        assert_eq!(UnixSink::new(path).expect_err(path).kind(), ErrorKind::InvalidEndpoint);
    }
    assert!(UnixSink::new(&long[..107]).is_ok());
}

#[tokio::test]
async fn zero_and_tiny_capacities_take_nothing() {
    for capacity in 0..4 {
        let (link, peer) = MemorySink::pair(64);
        let mut sink = Buffered::with_capacity(link, capacity);
        assert!(!sink.room(0));
        assert_eq!(sink.try_feed(""), Err(TryFeedError::TooLarge));
        let available = capacity;
        let kind = sink.feed("").await.expect_err("no room ever").kind();
        assert_eq!(kind, ErrorKind::TooLarge { requested: 4, available });
        assert_eq!(sink.send("a").await.expect_err("no room ever").kind(), {
            ErrorKind::TooLarge { requested: 5, available }
        });
        sink.flush().await.expect("nothing to flush");
        assert!(sink.close().await.expect("closed").is_complete());
        assert_eq!(peer.attempts(), 0, "and wake nobody");
    }
}

#[tokio::test]
async fn capacities_that_no_memory_has_are_refused() {
    for capacity in [usize::MAX, isize::MAX as usize] {
        let (link, peer) = MemorySink::pair(64);
        let mut sink = Buffered::with_capacity(link, capacity);
        assert!(sink.try_feed("a").is_err());
        assert_eq!(sink.feed("a").await.expect_err("no memory").kind(), ErrorKind::OutOfMemory);
        assert_eq!(peer.attempts(), 0);
    }
}

#[tokio::test]
async fn frames_over_the_limits_are_refused_between_good_ones() {
    let (link, peer) = MemorySink::pair(1 << 20);
    let mut sink = Buffered::with_framing(link, 1000, LengthPrefixed::with_max_frame(10));
    sink.feed("good").await.expect("fed");
    assert_eq!(sink.try_feed("eleven byte"), Err(TryFeedError::TooLarge));
    let kind = sink.feed("eleven byte").await.expect_err("over max_frame").kind();
    assert_eq!(kind, ErrorKind::TooLarge { requested: 15, available: 14 });
    sink.send("ten bytes.").await.expect("sent");
    assert_eq!(messages(&peer), [b"good".to_vec(), b"ten bytes.".to_vec()]);

    let (link, peer) = MemorySink::pair(1 << 20);
    let mut sink = Buffered::with_capacity(link, 100);
    sink.feed("good").await.expect("fed");
    assert_eq!(sink.try_feed(&[0; 97]), Err(TryFeedError::TooLarge));
    sink.send(&[7; 96]).await.expect("sent: exactly the capacity");
    assert_eq!(messages(&peer), [b"good".to_vec(), vec![7; 96]]);
}

/// Claims a length, and writes as much as it likes.
struct Liar {
    len: usize,
    writes: usize,
}

impl Encode for Liar {
    fn encoded_len(&self) -> usize {
        self.len
    }

    fn encode(&self, buf: &mut [u8]) {
        buf[..self.writes].fill(b'!');
    }
}

/// Claims another length each time.
struct Fickle(std::cell::Cell<usize>);

impl Encode for Fickle {
    fn encoded_len(&self) -> usize {
        let len = self.0.get();
        self.0.set(if len > 400 { 3 } else { len * 2 });
        len
    }

    fn encode(&self, buf: &mut [u8]) {
        buf.fill(b'?');
    }
}

#[tokio::test]
async fn lengths_that_overflow_are_too_large() {
    let (link, peer) = MemorySink::pair(1 << 20);
    let mut sink = Buffered::new(link);
    sink.feed("before").await.expect("fed");
    for len in [usize::MAX, usize::MAX - 3, usize::MAX - 4, usize::MAX / 2, u32::MAX as usize] {
        let liar = Liar { len, writes: 0 };
        assert!(!sink.room(len));
        assert_eq!(sink.try_feed(&liar), Err(TryFeedError::TooLarge));
        let kind = sink.feed(&liar).await.expect_err("too large").kind();
        assert!(matches!(kind, ErrorKind::TooLarge { available: 65536, .. }));
        let kind = sink.send_batch([&liar]).await.expect_err("too large").kind();
        assert!(matches!(kind, ErrorKind::TooLarge { .. }));
    }
    sink.send("after").await.expect("sent");
    assert_eq!(messages(&peer), [b"before".to_vec(), b"after".to_vec()]);
}

#[tokio::test]
async fn encoder_that_writes_too_little_damages_its_own_frame_only() {
    let (link, peer) = MemorySink::pair(1 << 20);
    let mut sink = Buffered::new(link);
    sink.feed("before").await.expect("fed");
    sink.feed(&Liar { len: 10, writes: 2 }).await.expect("fed");
    sink.send("after").await.expect("sent");
    let messages = messages(&peer);
    assert_eq!((messages.len(), messages[1].len()), (3, 10));
    assert_eq!((&messages[0][..], &messages[2][..]), (&b"before"[..], &b"after"[..]));
    assert_eq!(messages[1][..2], *b"!!");
}

#[tokio::test]
async fn encoder_that_panics_or_writes_too_much_is_not_accepted() {
    let (link, peer) = MemorySink::pair(1 << 20);
    let mut sink = Buffered::new(link);
    let liar = Liar { len: 3, writes: 4 };
    // The first one meets a sink that sleeps, the second one that is awake.
    assert!(catch_unwind(AssertUnwindSafe(|| sink.try_feed(&liar))).is_err());
    sink.feed("before").await.expect("fed");
    assert!(catch_unwind(AssertUnwindSafe(|| sink.try_feed(&liar))).is_err());
    let accepted = sink.accepted_bytes();
    assert_eq!(accepted, 10, "a panic accepts nothing");
    sink.send("after").await.expect("sent");
    assert_eq!(messages(&peer), [b"before".to_vec(), b"after".to_vec()]);
}

#[tokio::test]
async fn encoder_of_changing_length_damages_no_other_frame() {
    let (link, peer) = MemorySink::pair(1 << 20);
    let mut sink = Buffered::with_capacity(link, 300);
    let fickle = Fickle(3.into());
    for _ in 0..200 {
        sink.feed("good").await.expect("fed");
        let _ = sink.try_feed(&fickle);
        let _ = sink.feed(&fickle).await;
        let _ = sink.poll_ready(&mut std::task::Context::from_waker(std::task::Waker::noop()), 9);
    }
    sink.flush().await.expect("flushed");
    let messages = messages(&peer);
    assert_eq!(messages.iter().filter(|message| *message == b"good").count(), 200);
    let others = messages.iter().filter(|message| *message != b"good");
    others.for_each(|message| assert!(message.iter().all(|byte| *byte == b'?')));
}

/// Every message that has arrived, whole.
fn messages(peer: &MemoryPeer) -> Vec<Vec<u8>> {
    let bytes = peer.accept().expect("connected").read();
    let (mut rest, mut messages) = (&bytes[..], Vec::new());
    while let Some((header, behind)) = rest.split_first_chunk::<4>() {
        let (message, behind) = behind.split_at(u32::from_be_bytes(*header) as usize);
        messages.push(message.to_vec());
        rest = behind;
    }
    assert!(rest.is_empty(), "nothing is torn");
    messages
}
