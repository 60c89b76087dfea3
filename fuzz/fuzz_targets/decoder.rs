//! Arbitrary bytes in arbitrary chunks: the decoder against itself in one chunk, and against
//! tokio-util's codec.
//!
//! `cargo +nightly fuzz run decoder fuzz/corpus/decoder fuzz/seeds/decoder`

#![no_main]

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tokio_util::codec::{Decoder as _, LengthDelimitedCodec};
use torq_message_sink::{Decoder, FrameError, LengthPrefixed};

/// What arrives, and how.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Bytes of payload allowed; small, so that lengths around it turn up.
    max_frame: u8,
    /// Bytes of each chunk, used in turn.
    chunks: [u8; 4],
    /// Frames to take from each chunk before the iterator is dropped.
    take: u8,
    stream: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let whole = decoded(&input, [input.stream]);
    let chunked = decoded(&input, chunks(&input));
    assert_eq!(whole, chunked, "where chunks begin and end makes no difference");
    compare_with_codec(&input, &whole);
    drop_early(&input, &whole);
});

/// The payloads, and how the stream ended.
type Decoded = (Vec<Vec<u8>>, Result<(), FrameError>);

fn decoded<'a>(input: &Input<'_>, chunks: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = Decoder::new(LengthPrefixed::with_max_frame(input.max_frame.into()));
    let mut frames = Vec::new();
    let (mut arrived, mut read) = (0, 0);
    for chunk in chunks {
        arrived += chunk.len();
        let mut error = None;
        for frame in decoder.decode(chunk) {
            assert_eq!(error, None, "an error is the last item");
            match frame {
                Ok(payload) => {
                    read += 4 + payload.len();
                    frames.push(payload.to_vec());
                }
                Err(failed) => error = Some(failed),
            }
        }
        if let Some(error) = error {
            assert_eq!(decoder.decode(input.stream).collect::<Vec<_>>(), [Err(error)]);
            assert_eq!((decoder.finish(), decoder.buffered()), (Err(error), 0));
            return (frames, Err(error));
        }
        assert_eq!(decoder.buffered(), arrived - read, "every byte is in a frame or held");
    }
    match decoder.finish() {
        Ok(()) => assert_eq!(decoder.buffered(), 0),
        Err(FrameError::Truncated { have, need }) => {
            assert_eq!(have, decoder.buffered());
            assert!(if have < 4 { need.is_none() } else { need.is_some_and(|need| have < need) });
        }
        Err(error) => panic!("{error} at the end only"),
    }
    (frames, decoder.finish())
}

/// The stream in chunks of the sizes given, over and over; empty ones come in between.
fn chunks<'a>(input: &Input<'a>) -> Vec<&'a [u8]> {
    let mut rest = input.stream;
    let mut chunks = Vec::new();
    for size in input.chunks.iter().cycle() {
        if rest.is_empty() || input.chunks == [0; 4] {
            break;
        }
        let (chunk, left) = rest.split_at(rest.len().min((*size).into()));
        chunks.push(chunk);
        rest = left;
    }
    chunks.push(rest);
    chunks
}

fn compare_with_codec(input: &Input<'_>, (frames, end): &Decoded) {
    let mut codec = LengthDelimitedCodec::new();
    codec.set_max_frame_length(input.max_frame.into());
    let mut stream = BytesMut::from(input.stream);
    for frame in frames {
        let theirs = codec.decode(&mut stream).expect("no error yet").expect("a frame");
        assert_eq!(theirs, frame);
    }
    match (codec.decode(&mut stream), end) {
        (Ok(None), Ok(())) => assert!(stream.is_empty()),
        (Ok(None), Err(FrameError::Truncated { .. })) => {}
        (Err(_), Err(FrameError::TooLarge { .. })) => {}
        (theirs, ours) => panic!("the codec ends with {theirs:?}, the decoder with {ours:?}"),
    }
}

/// Dropped iterators skip frames but end where full ones do, and what they yield is a part of it.
fn drop_early(input: &Input<'_>, (frames, end): &Decoded) {
    let mut decoder = Decoder::new(LengthPrefixed::with_max_frame(input.max_frame.into()));
    let mut all = frames.iter();
    for chunk in chunks(input) {
        for payload in decoder.decode(chunk).take(input.take.into()).flatten() {
            assert!(all.any(|frame| frame == payload), "frames come in order");
        }
    }
    assert_eq!(decoder.finish(), *end);
}
