//! Streams of frames, the same in every run.

use torq_message_sink::{Decoder, FrameError, Framing, LengthPrefixed};

/// Payload sizes that occur, empty ones among them, in an order that mixes them.
pub(crate) const SIZES: [usize; 12] = [0, 1, 64, 3, 0, 0, 17, 200, 4, 5, 0, 31];

/// Payloads of the given sizes; no two bytes in a row are alike, so that a shift shows.
pub(crate) fn payloads(sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut bytes = (0..=u8::MAX).cycle();
    sizes.iter().map(|&size| bytes.by_ref().take(size).collect()).collect()
}

/// The payloads as a sink writes them.
pub(crate) fn stream_of(payloads: &[Vec<u8>]) -> Vec<u8> {
    frames_of(&LengthPrefixed::new(), payloads).concat()
}

/// The payloads as a sink with this framing writes them, one by one.
pub(crate) fn frames_of(framing: &impl Framing, payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let frame_of = |payload: &Vec<u8>| {
        let mut frame = vec![0; framing.frame_size(payload.len()).expect("small")];
        framing.write_frame(payload, payload.len(), &mut frame).expect("a valid payload");
        frame
    };
    payloads.iter().map(frame_of).collect()
}

/// Decodes the chunks one by one; the error, if any, ends it.
pub(crate) fn decode_all<'c, F: Framing>(
    decoder: &mut Decoder<F>,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    let mut frames = Vec::new();
    for chunk in chunks {
        for frame in decoder.decode(chunk) {
            match frame {
                Ok(payload) => frames.push(payload.to_vec()),
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, decoder.finish())
}
