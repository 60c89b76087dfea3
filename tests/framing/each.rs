//! What is particular to one framing: how it looks on the wire, and what it refuses.

use std::task::{Context, Poll, Waker};

use torq_message_sink::prefix::{Prefix, U16Be, U16Le, U32Le, U64Be, U64Le, Varint};
use torq_message_sink::{
    Buffered, Decoder, ErrorKind, Fanout, FrameError, Framing, LengthPrefixed, MemoryPeer,
    MemorySink, MessageSink, NewlineDelimited, Prefixed, SelfDelimiting, TryFeedError,
};

use crate::support::{decode_all, frames_of};

fn frame(framing: &impl Framing, payload: &[u8]) -> Vec<u8> {
    frames_of(framing, &[payload.to_vec()]).concat()
}

/// The payloads of a stream that is all there.
fn decoded<F: Framing>(framing: F, stream: &[u8]) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    decode_all(&mut Decoder::new(framing), [stream])
}

fn sink<F: Framing>(framing: F) -> (Buffered<MemorySink, F>, MemoryPeer) {
    let (link, peer) = MemorySink::pair(1000);
    (Buffered::with_framing(link, 1000, framing), peer)
}

#[test]
fn prefixes_have_their_width_and_order() {
    assert_eq!(frame(&Prefixed::<U16Be>::new(), b"hi"), b"\0\x02hi");
    assert_eq!(frame(&Prefixed::<U16Le>::new(), b"hi"), b"\x02\0hi");
    assert_eq!(frame(&LengthPrefixed::new(), b"hi"), b"\0\0\0\x02hi");
    assert_eq!(frame(&Prefixed::<U32Le>::new(), b"hi"), b"\x02\0\0\0hi");
    assert_eq!(frame(&Prefixed::<U64Be>::new(), b"hi"), b"\0\0\0\0\0\0\0\x02hi");
    assert_eq!(frame(&Prefixed::<U64Le>::new(), b"hi"), b"\x02\0\0\0\0\0\0\0hi");
    assert_eq!(frame(&Prefixed::<Varint>::new(), b"hi"), b"\x02hi");
}

#[test]
fn limit_is_never_above_what_the_prefix_can_say() {
    assert_eq!(Prefixed::<U16Be>::new().max_frame(), 65_535);
    assert_eq!(Prefixed::<U16Le>::with_max_frame(70_000).max_frame(), 65_535);
    assert_eq!(LengthPrefixed::with_max_frame(usize::MAX).max_frame(), u32::MAX as usize);
    assert_eq!(Prefixed::<U64Be>::with_max_frame(usize::MAX).max_frame_size(), usize::MAX);
    assert_eq!(Prefixed::<U64Be>::new().max_frame(), LengthPrefixed::DEFAULT_MAX_FRAME);
}

#[test]
fn enormous_lengths_are_refused_and_never_wrap() {
    for max in [0, 8, usize::MAX] {
        let (frames, end) = decoded(Prefixed::<U64Be>::with_max_frame(max), &[0xff; 64]);
        let refused = match end {
            Err(FrameError::TooLarge { len, .. }) => len == u64::MAX,
            Err(FrameError::Invalid(_) | FrameError::Truncated { .. }) => max == usize::MAX,
            _ => false,
        };
        assert!(frames.is_empty() && refused, "{end:?} with a limit of {max}");
    }
}

/// The examples of <https://protobuf.dev/programming-guides/encoding/#varints>, and the ends of
/// each length.
#[test]
fn varints_are_those_of_protobuf() {
    for (len, bytes) in [
        (0, &[0][..]),
        (1, &[1]),
        (127, &[0x7f]),
        (128, &[0x80, 1]),
        (150, &[0x96, 1]),
        (300, &[0xac, 2]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 1]),
        (u64::from(u32::MAX), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ] {
        assert_eq!(Varint::size(len), bytes.len());
        let mut header = vec![0; bytes.len()];
        Varint::write(len, &mut header);
        assert_eq!(header, bytes);
        assert_eq!(Varint::read(bytes), Ok(Some((len, &[][..]))));
        for have in 0..bytes.len() {
            assert_eq!(Varint::read(&bytes[..have]), Ok(None));
        }
    }
}

#[test]
fn varint_has_one_spelling() {
    for bytes in [
        &[0x80, 0][..],
        &[0x81, 0],
        &[0x80, 0x80, 0],
        &[0xff; 10],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
    ] {
        assert!(matches!(Varint::read(bytes), Err(FrameError::Invalid(_))), "{bytes:?}");
        let (_, end) = decoded(Prefixed::<Varint>::new(), bytes);
        assert!(matches!(end, Err(FrameError::Invalid(_))), "{bytes:?}");
    }
}

#[test]
fn length_above_a_tiny_limit_is_too_large_however_its_header_arrives() {
    let len = 1 << 21;
    for max in 0..4 {
        for header in 1..=4 {
            let stream = [&[0x80, 0x80, 0x80, 1][..], b"more"].concat();
            let mut decoder = Decoder::new(Prefixed::<Varint>::with_max_frame(max));
            let (_, end) = decode_all(&mut decoder, stream.chunks(header));
            assert_eq!(end, Err(FrameError::TooLarge { len, max }), "{header} bytes at a time");
        }
    }
}

#[tokio::test]
async fn line_feed_in_a_message_is_refused_without_a_trace() {
    let (mut sink, peer) = sink(NewlineDelimited::new());
    for message in ["\n", "a\n", "\nb", "a\nb"] {
        assert_eq!(sink.try_feed(message), Err(TryFeedError::Invalid));
        let error = sink.send(message).await.expect_err("it would arrive as two");
        assert!(matches!(error.kind(), ErrorKind::InvalidMessage), "{error}");
    }
    assert_eq!(sink.accepted_bytes(), 0);
    sink.send_batch(["a", "", "b\r"]).await.expect("sent");
    assert_eq!(peer.accept().expect("connected").read(), b"a\n\nb\r\n");
}

#[tokio::test]
async fn line_feed_keeps_a_message_from_all_children_of_a_composite() {
    let ((lines, line_peer), (other, other_peer)) =
        (sink(NewlineDelimited::new()), sink(Prefixed::<U16Be>::new()));
    // The one that could carry it is asked first.
    let mut sink = Fanout::new((other, lines));
    assert_eq!(sink.try_feed("a\nb"), Err(TryFeedError::Invalid));
    let error = sink.send("a\nb").await.expect_err("it would arrive as two");
    assert!(matches!(error.kind(), ErrorKind::InvalidMessage), "{error}");
    assert_eq!(sink.accepted_bytes(), 0);
    sink.send("ab").await.expect("sent");
    assert_eq!(sink.try_feed("a\nb"), Err(TryFeedError::Invalid), "also when it is awake");
    sink.flush().await.expect("flushed");
    assert_eq!(line_peer.accept().expect("connected").read(), b"ab\n");
    assert_eq!(other_peer.accept().expect("connected").read(), b"\0\x02ab");
}

#[test]
fn lines_are_read_as_they_are() {
    let (lines, end) = decoded(NewlineDelimited::new(), b"a\r\n\n\xff\0\n");
    assert_eq!((lines, end), (vec![b"a\r".to_vec(), vec![], b"\xff\0".to_vec()], Ok(())));
}

#[test]
fn endless_line_is_refused_at_the_limit() {
    let mut decoder = Decoder::new(NewlineDelimited::with_max_frame(100));
    for _ in 0..100 {
        assert_eq!(decoder.decode(b"x").count(), 0);
    }
    let refused = FrameError::TooLarge { len: 101, max: 100 };
    assert_eq!(decoder.decode(b"x").next(), Some(Err(refused)));
    assert_eq!(decoded(NewlineDelimited::with_max_frame(100), &[b'x'; 5000]).1, Err(refused));
}

/// The two bytes say how long all of it is; a zero in front asks for the third.
fn message_len(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    match bytes {
        [] => panic!("asked about no bytes"),
        [0] => Ok(None),
        [0, len, ..] => Ok(Some(usize::from(*len))),
        [b'!', ..] => Err(FrameError::Invalid("planted")),
        [len, ..] => Ok(Some(usize::from(*len))),
    }
}

#[tokio::test]
async fn message_that_is_not_as_long_as_it_says_is_refused() {
    let (mut sink, peer) = sink(SelfDelimiting::with_max_frame(message_len, 20));
    for message in [&b""[..], &[2], &[1, 1], &[0], &[0, 0], &[0, 3], b"!", &[0, 1]] {
        assert_eq!(sink.try_feed(message), Err(TryFeedError::Invalid), "{message:?}");
    }
    assert_eq!(sink.try_feed(&[21; 21]), Err(TryFeedError::TooLarge));
    sink.send_batch([&[1][..], &[0, 3, 9]]).await.expect("sent");
    assert_eq!(peer.accept().expect("connected").read(), [1, 0, 3, 9]);
}

#[tokio::test]
async fn closed_sink_has_no_room_for_a_message_of_no_bytes() {
    let (mut sink, _peer) = sink(SelfDelimiting::new(message_len));
    sink.close().await.expect("closed");
    let error = sink.feed("").await.expect_err("closed");
    assert!(error.is_closed(), "{error}");
    assert_eq!(sink.try_feed(""), Err(TryFeedError::Closed));
    let mut cx = Context::from_waker(Waker::noop());
    let ready = sink.poll_ready(&mut cx, 0);
    assert!(matches!(ready, Poll::Ready(Err(error)) if error.is_closed()), "never ready");
}

#[test]
fn wrong_answers_of_the_users_function_are_errors() {
    let with = |max| SelfDelimiting::with_max_frame(message_len, max);
    let (frames, end) = decoded(with(20), &[1, b'!', 1]);
    assert_eq!((frames.len(), end), (1, Err(FrameError::Invalid("planted"))));
    let too_large = FrameError::TooLarge { len: 21, max: 20 };
    assert_eq!(decoded(with(20), &[21; 30]).1, Err(too_large));
    for wrong in [&[0, 0][..], &[0, 0, 0]] {
        assert!(matches!(decoded(with(20), wrong).1, Err(FrameError::Invalid(_))));
    }
    // The largest message is all there and does not tell its length.
    assert!(matches!(decoded(with(1), &[0, 1]).1, Err(FrameError::Invalid(_))));
    assert!(matches!(decoded(with(0), &[1]).1, Err(FrameError::Invalid(_))));
}
