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
    let framing = LengthPrefixed::new();
    let mut stream = Vec::new();
    for payload in payloads {
        let begin = stream.len();
        stream.resize(begin + framing.frame_size(payload.len()).expect("small"), 0);
        framing.write_frame(payload, payload.len(), &mut stream[begin..]).expect("any payload");
    }
    stream
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
