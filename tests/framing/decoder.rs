//! The incremental decoder: the same frames however they arrive, and a clean end or an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use torq_message_sink::prefix::Prefix;
use torq_message_sink::{Decoder, Encode, FrameError, Framing, LengthPrefixed, Prefixed};

use crate::support::{SIZES, decode_all, payloads, stream_of};

/// Reads frames as `len` says; writes none.
struct ByLen<L>(L);

impl<L: Fn(&[u8]) -> Result<Option<usize>, FrameError>> Framing for ByLen<L> {
    fn frame_size(&self, payload_len: usize) -> Option<usize> {
        Some(payload_len)
    }
    fn max_frame_size(&self) -> usize {
        64
    }
    fn write_frame<M: Encode + ?Sized>(
        &self,
        _: &M,
        _: usize,
        _: &mut [u8],
    ) -> Result<(), FrameError> {
        Err(FrameError::Invalid("reads only"))
    }
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        assert!(!bytes.is_empty(), "asked about no bytes");
        (self.0)(bytes)
    }
    fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame
    }
}

fn line_len(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    Ok(bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1))
}

fn decoder() -> Decoder<LengthPrefixed> {
    Decoder::default()
}

#[test]
fn every_split_in_two_gives_the_same_frames() {
    let sent = payloads(&SIZES);
    let stream = stream_of(&sent);
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        let got = decode_all(&mut decoder(), [head, tail]);
        assert_eq!(got, (sent.clone(), Ok(())), "split at {at}");
    }
}

#[test]
fn every_split_in_three_gives_the_same_frames() {
    let sent = payloads(&[0, 5, 1, 20, 0, 2]);
    let stream = stream_of(&sent);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let chunks = [&stream[..first], &stream[first..second], &stream[second..]];
            let got = decode_all(&mut decoder(), chunks);
            assert_eq!(got, (sent.clone(), Ok(())), "splits at {first} and {second}");
        }
    }
}

#[test]
fn every_chunk_size_gives_the_same_frames() {
    let sent = payloads(&SIZES);
    let stream = stream_of(&sent);
    for size in 1..=stream.len() {
        let got = decode_all(&mut decoder(), stream.chunks(size));
        assert_eq!(got, (sent.clone(), Ok(())), "chunks of {size}");
    }
}

#[test]
fn random_splits_give_the_same_frames() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let sizes: Vec<_> = (0..random.usize(..20)).map(|_| random.usize(..300)).collect();
        let sent = payloads(&sizes);
        let stream = stream_of(&sent);
        let (mut chunks, mut rest) = (Vec::new(), stream.as_slice());
        while !rest.is_empty() {
            let (chunk, left) = rest.split_at(random.usize(..=rest.len()));
            chunks.push(chunk);
            rest = left;
        }
        assert_eq!(decode_all(&mut decoder(), chunks), (sent, Ok(())));
    }
}

#[test]
fn frames_without_a_header_are_joined_too() {
    let stream = b"one\ntwo two two two two two two\n\nfour\nfive five five five five\n";
    for size in 1..=stream.len() {
        let (lines, end) = decode_all(&mut Decoder::new(ByLen(line_len)), stream.chunks(size));
        assert_eq!((lines.len(), lines.concat(), end), (5, stream.to_vec(), Ok(())), "{size}");
    }
}

#[test]
fn end_inside_a_frame_is_truncated_at_every_offset() {
    let sent = payloads(&SIZES);
    let stream = stream_of(&sent);
    let mut begin = 0;
    for payload in &sent {
        let need = 4 + payload.len();
        for have in 1..need {
            let arrived = &stream[..begin + have];
            let truncated =
                FrameError::Truncated { have, need: if have < 4 { None } else { Some(need) } };
            let mut at_once = decoder();
            assert_eq!(decode_all(&mut at_once, [arrived]).1, Err(truncated));
            assert_eq!(decode_all(&mut decoder(), arrived.chunks(1)).1, Err(truncated));
            assert_eq!(at_once.buffered(), have);
        }
        begin += need;
        let mut decoder = decoder();
        assert_eq!(decode_all(&mut decoder, [&stream[..begin]]).1, Ok(()));
        assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn empty_stream_and_empty_chunks_end_cleanly() {
    assert_eq!(decoder().finish(), Ok(()));
    let mut decoder = decoder();
    assert_eq!(decode_all(&mut decoder, [[].as_slice(), b"\0\0", b"", b"\0\0", b""]), {
        (vec![vec![]], Ok(()))
    });
}

#[test]
fn frames_before_an_error_are_yielded_and_none_after() {
    let refused = FrameError::TooLarge { len: 9, max: 8 };
    let stream = b"\0\0\0\x01a\0\0\0\x09\0\0\0\x01b\0\0\0\x01c";
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        let mut decoder = Decoder::new(LengthPrefixed::with_max_frame(8));
        let items = |decoder: &mut Decoder<_>, chunk| {
            let frames: Vec<_> =
                decoder.decode(chunk).map(|item| item.map(<[u8]>::to_vec)).collect();
            frames
        };
        let mut got = items(&mut decoder, head);
        if got.last() != Some(&Err(refused)) {
            got.extend(items(&mut decoder, tail));
        }
        assert_eq!(got, [Ok(b"a".to_vec()), Err(refused)], "split at {at}");
        for _ in 0..2 {
            assert_eq!(items(&mut decoder, b"\0\0\0\x01d"), [Err(refused)], "poisoned");
            assert_eq!(items(&mut decoder, b""), [Err(refused)], "poisoned");
        }
        assert_eq!((decoder.finish(), decoder.buffered()), (Err(refused), 0));
    }
}

#[test]
fn ended_iterator_stays_ended() {
    let mut decoder = Decoder::new(LengthPrefixed::with_max_frame(1));
    let mut frames = decoder.decode(b"\0\0\0\x01a\0\0");
    assert_eq!(frames.next(), Some(Ok(b"a".as_slice())));
    assert_eq!((frames.next(), frames.next()), (None, None));
    drop(frames);
    let mut frames = decoder.decode(b"\x01\0");
    assert!(matches!(frames.next(), Some(Err(FrameError::TooLarge { len: 256, max: 1 }))));
    assert_eq!((frames.next(), frames.next()), (None, None));
}

#[test]
fn dropped_iterator_skips_its_frames_and_keeps_in_step() {
    let sent = payloads(&SIZES);
    let stream = stream_of(&sent);
    let mut end = 0;
    let ends = sent.iter().map(|payload| {
        end += 4 + payload.len();
        end
    });
    let ends: Vec<_> = ends.collect();
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        let in_head = ends.iter().filter(|&&end| end <= at).count();
        for take in 0..=in_head {
            let mut decoder = decoder();
            // The head leaves a partial frame, so the tail begins with a joined one.
            assert_eq!(decoder.decode(head).take(take).filter(Result::is_ok).count(), take);
            let rest: Vec<_> = decoder.decode(tail).map(|item| item.expect("a frame")).collect();
            assert_eq!(rest, sent[in_head..], "split at {at}, {take} taken");
        }
        let mut decoder = decoder();
        drop(decoder.decode(head));
        drop(decoder.decode(tail));
        assert_eq!(decoder.finish(), Ok(()), "split at {at}, none taken");
    }
}

#[test]
fn error_in_skipped_frames_is_the_next_item() {
    let mut decoder = Decoder::new(LengthPrefixed::with_max_frame(1));
    drop(decoder.decode(b"\0\0\0\x01a\0\0\0\x02"));
    let refused = FrameError::TooLarge { len: 2, max: 1 };
    assert_eq!(decoder.finish(), Err(refused));
    assert_eq!(decoder.decode(b"\0\0\0\0").collect::<Vec<_>>(), [Err(refused)]);
}

#[test]
fn leaked_iterator_is_an_error_and_not_a_guess() {
    let mut decoder = decoder();
    std::mem::forget(decoder.decode(b"\0\0\0\x05ab"));
    assert!(matches!(decoder.finish(), Err(FrameError::Invalid(_))));
    let items: Vec<_> = decoder.decode(b"\0\0\0\x01a").collect();
    assert!(matches!(items[..], [Err(FrameError::Invalid(_))]), "{items:?}");
}

#[test]
fn panic_of_the_framing_passes_through_once_and_poisons() {
    let mut decoder = Decoder::new(ByLen(|bytes: &[u8]| {
        assert_ne!(bytes[0], b'!', "planted");
        Ok(Some(1))
    }));
    let caught = catch_unwind(AssertUnwindSafe(|| decoder.decode(b"ab!c").count()));
    assert!(caught.is_err());
    assert!(matches!(decoder.decode(b"d").next(), Some(Err(FrameError::Invalid(_)))));
}

/// Wherever it panics, the decoder has lost its place in the stream, and says so.
#[test]
fn panic_at_any_call_poisons() {
    for at in 1..=3 {
        let calls = Cell::new(0);
        let mut decoder = Decoder::new(ByLen(|bytes: &[u8]| {
            calls.set(calls.get() + 1);
            assert_ne!(calls.get(), at, "planted");
            Ok(Some(usize::from(bytes[0])))
        }));
        let caught = catch_unwind(AssertUnwindSafe(|| decoder.decode(b"\x01\x05ab").count()));
        assert!(caught.is_err(), "there are three calls: for a frame, a window, what is kept");
        let next = decoder.decode(b"cd").next();
        assert!(matches!(next, Some(Err(FrameError::Invalid(_)))), "call {at}: {next:?}");
    }
}

/// A length prefix that breaks its rules.
#[derive(Debug)]
struct Broken<const HEADER: usize>;

impl<const HEADER: usize> Prefix for Broken<HEADER> {
    const MAX: u64 = 8;

    fn size(_: u64) -> usize {
        HEADER
    }
    fn write(_: u64, _: &mut [u8]) {}
    fn read(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
        Ok(Some((0, if HEADER == 0 { bytes } else { b"more than there was" })))
    }
}

#[test]
fn prefix_of_no_bytes_is_invalid() {
    fn check<P: Prefix>() {
        let mut decoder = Decoder::new(Prefixed::<P>::new());
        let items: Vec<_> = decoder.decode(b"ab").take(2).collect();
        assert!(matches!(items[..], [Err(FrameError::Invalid(_))]), "{items:?}");
    }
    check::<Broken<0>>();
    check::<Broken<1>>();
}

#[test]
fn frame_of_no_bytes_is_invalid() {
    for chunks in [vec![b"0".as_slice()], vec![b"1", b"0"]] {
        let mut decoder = Decoder::new(ByLen(|bytes: &[u8]| match bytes {
            [b'1'] => Ok(None),
            _ => Ok(Some(0)),
        }));
        let (frames, end) = decode_all(&mut decoder, chunks);
        assert!(frames.is_empty() && matches!(end, Err(FrameError::Invalid(_))), "{end:?}");
    }
}

#[test]
fn unfinished_frame_never_grows_beyond_the_framings_limit() {
    for answer in [Some(65), Some(usize::MAX), None] {
        let mut decoder = Decoder::new(ByLen(move |_: &[u8]| Ok(answer)));
        let (_, end) = decode_all(&mut decoder, [[7; 10].as_slice(); 7]);
        assert!(matches!(end, Err(FrameError::Invalid(_))), "{answer:?}");
        assert_eq!(decoder.buffered(), 0);
    }
    let mut decoder = Decoder::new(ByLen(line_len));
    assert_eq!(decode_all(&mut decoder, [[7; 63].as_slice(), b"\n"]).0.len(), 1);
}

#[test]
fn framing_that_changes_its_mind_neither_hangs_nor_panics() {
    for seed in 0..500 {
        let random = Cell::new(seed);
        let mut decoder = Decoder::new(ByLen(|bytes: &[u8]| {
            let mut rng = fastrand::Rng::with_seed(random.get());
            random.set(rng.u64(..));
            Ok(match rng.u8(..8) {
                0 => None,
                1 => Some(rng.usize(..)),
                2 => Some(bytes.len() + 1),
                3 => Some(0),
                _ => Some(rng.usize(1..12)),
            })
        }));
        for size in 0..30 {
            assert!(decoder.decode(&[1; 30][..size]).count() <= size + 1);
            assert!(decoder.buffered() <= 64);
        }
    }
}
