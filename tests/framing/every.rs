//! What holds for every framing: the two ends agree, however the bytes arrive and wherever they
//! end.

use torq_message_sink::prefix::{U16Be, U16Le, U32Be, U32Le, U64Be, U64Le, Varint};
use torq_message_sink::{
    Buffered, Decoder, ErrorKind, FrameError, Framing, MemorySink, MessageSink, NewlineDelimited,
    Prefixed, SelfDelimiting, TryFeedError,
};

use crate::support::{decode_all, frames_of};

/// Bytes of payload allowed in the frames of these tests.
const MAX: usize = 400;

/// Sizes of payloads, among them those around which a varint grows; mixed.
const SIZES: [usize; 12] = [2, 127, 3, 64, 128, 2, 129, 17, 5, 300, MAX, 31];

/// A payload that all framings can carry: its length in the first two bytes, and no line feed.
fn payload(size: usize) -> Vec<u8> {
    let text = (b'a'..=b'z').cycle().take(size - 2);
    [size / 256, size % 256].iter().map(|&byte| byte as u8).chain(text).collect()
}

fn message_len(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    assert!(!bytes.is_empty(), "asked about no bytes");
    let Some(&[high, low]) = bytes.first_chunk() else { return Ok(None) };
    Ok(Some(usize::from(high) * 256 + usize::from(low)))
}

fn own(max_frame: usize) -> impl Framing {
    SelfDelimiting::with_max_frame(message_len, max_frame)
}

/// Payloads, and the frames of each.
fn sent(framing: &impl Framing) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let payloads: Vec<_> = SIZES.into_iter().map(payload).collect();
    let frames = frames_of(framing, &payloads);
    (payloads, frames)
}

/// Instantiates the facts for one framing; it is made by a function of the limit.
macro_rules! holds_for {
    ($($framing:ident: $make:expr;)*) => { $(
        mod $framing {
            use super::*;

            #[test]
            fn every_split_gives_the_same_frames() {
                super::every_split_gives_the_same_frames(|| $make(MAX));
            }

            #[test]
            fn end_inside_a_frame_is_truncated_at_every_offset() {
                super::end_inside_a_frame_is_truncated_at_every_offset(|| $make(MAX));
            }

            #[test]
            fn limit_is_the_same_at_both_ends() {
                super::limit_is_the_same_at_both_ends($make);
            }

            #[test]
            fn answers_agree_with_each_other() {
                super::answers_agree_with_each_other($make(MAX));
            }
        }
    )* };
}

holds_for! {
    u16_be: Prefixed::<U16Be>::with_max_frame;
    u16_le: Prefixed::<U16Le>::with_max_frame;
    u32_be: Prefixed::<U32Be>::with_max_frame;
    u32_le: Prefixed::<U32Le>::with_max_frame;
    u64_be: Prefixed::<U64Be>::with_max_frame;
    u64_le: Prefixed::<U64Le>::with_max_frame;
    varint: Prefixed::<Varint>::with_max_frame;
    newline: NewlineDelimited::with_max_frame;
    self_delimiting: own;
}

fn every_split_gives_the_same_frames<F: Framing>(make: impl Fn() -> F) {
    let (payloads, frames) = sent(&make());
    let stream = frames.concat();
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        let got = decode_all(&mut Decoder::new(make()), [head, tail]);
        assert_eq!(got, (payloads.clone(), Ok(())), "split at {at}");
        let got = decode_all(&mut Decoder::new(make()), stream.chunks(at + 1));
        assert_eq!(got, (payloads.clone(), Ok(())), "chunks of {}", at + 1);
    }
}

fn end_inside_a_frame_is_truncated_at_every_offset<F: Framing>(make: impl Fn() -> F) {
    let (payloads, frames) = sent(&make());
    let stream = frames.concat();
    let mut begin = 0;
    for (index, frame) in frames.iter().enumerate() {
        for have in 0..frame.len() {
            for chunk in [stream.len(), 1] {
                let mut decoder = Decoder::new(make());
                let arrived = stream[..begin + have].chunks(chunk);
                let (got, end) = decode_all(&mut decoder, arrived);
                assert_eq!(got, payloads[..index], "frames before the end");
                match end {
                    Ok(()) => assert_eq!(have, 0, "truncated in frame {index}"),
                    Err(FrameError::Truncated { have: held, need }) => {
                        assert_eq!(held, have);
                        assert!(need.is_none_or(|need| need == frame.len()), "{need:?}");
                    }
                    Err(error) => panic!("{error}"),
                }
                assert_eq!(decoder.buffered(), have);
            }
        }
        begin += frame.len();
    }
}

fn limit_is_the_same_at_both_ends<F: Framing>(make: impl Fn(usize) -> F) {
    for max in [2, 127, 128, 200] {
        let (largest, too_large) = (payload(max), payload(max + 1));
        let frames = frames_of(&make(MAX), &[largest.clone(), too_large.clone()]);
        for chunk in [1000, 1] {
            let mut decoder = Decoder::new(make(max));
            let (got, end) = decode_all(&mut decoder, frames.concat().chunks(chunk));
            assert_eq!(got, [largest.as_slice()]);
            let len = max as u64 + 1;
            assert_eq!(end, Err(FrameError::TooLarge { len, max }), "limit of {max}");
            assert_eq!(decoder.buffered(), 0);
        }
        let (link, _peer) = MemorySink::pair(1000);
        let mut sink = Buffered::with_framing(link, 1000, make(max));
        assert!(sink.room(max) && !sink.room(max + 1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            assert_eq!(sink.try_feed(&too_large), Err(TryFeedError::TooLarge));
            assert_eq!(sink.try_feed(&largest), Ok(()));
            let error = sink.feed(&too_large).await.expect_err("above the limit");
            assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error}");
            sink.flush().await.expect("room for all of it");
        });
        assert_eq!(sink.accepted_bytes(), frames[0].len() as u64);
    }
}

fn answers_agree_with_each_other<F: Framing>(framing: F) {
    let (payloads, frames) = sent(&framing);
    for (payload, frame) in payloads.iter().zip(&frames) {
        assert_eq!(framing.frame_size(payload.len()), Some(frame.len()));
        assert!(frame.len() <= framing.max_frame_size());
        assert_eq!(framing.payload(frame), payload);
        let more = [frame.as_slice(), b"more"].concat();
        assert_eq!(framing.frame_len(&more), Ok(Some(frame.len())));
        assert_eq!(framing.split_frame(&more), Some((payload.as_slice(), b"more".as_slice())));
        for have in 1..=frame.len() {
            let begun = &frame[..have];
            let len = framing.frame_len(begun).expect("a frame begins like this");
            assert!(len.is_none_or(|len| len == frame.len()), "{len:?} of {have} bytes");
            assert_eq!(framing.split_frame(begun).is_some(), have == frame.len());
            for seen in 0..have {
                if seen == 0 || framing.frame_len(&frame[..seen]) == Ok(None) {
                    assert_eq!(framing.frame_len_after(begun, seen), Ok(len), "{seen} seen");
                }
            }
        }
    }
}
