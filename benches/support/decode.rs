//! Ways to cut a stream of length-prefixed frames: this library's, by hand, and tokio-util's codec.

use bytes::BytesMut;
use tokio_util::codec::{Decoder as _, LengthDelimitedCodec};
use torq_message_sink::{Decoder, LengthPrefixed};

/// Bytes of a chunk: what one read from a socket brings at most.
pub(crate) const CHUNK: usize = 64 * 1024;

/// Bytes of payload of each frame.
pub(crate) const PAYLOAD: usize = 64;

/// Frames, one behind the other, `len` bytes of them; the last one may be cut off.
pub(crate) fn stream(len: usize) -> Vec<u8> {
    let mut frame = (PAYLOAD as u32).to_be_bytes().to_vec();
    frame.extend((0..PAYLOAD).map(|byte| byte as u8));
    frame.into_iter().cycle().take(len).collect()
}

/// Adds up the payloads of a stream that comes in chunks.
pub(crate) trait Payloads {
    /// Takes a chunk as a read would have brought it. Not counted: whoever reads has this too.
    fn read(&mut self, chunk: &[u8]);

    /// Bytes of payload in the frames that end in what was read last.
    fn payload_bytes(&mut self) -> usize;
}

/// This library's decoder, over a buffer that is read into again and again.
#[derive(Default)]
pub(crate) struct Ours {
    decoder: Decoder<LengthPrefixed>,
    chunk: Vec<u8>,
}

impl Payloads for Ours {
    fn read(&mut self, chunk: &[u8]) {
        self.chunk.clear();
        self.chunk.extend_from_slice(chunk);
    }

    #[inline(never)]
    fn payload_bytes(&mut self) -> usize {
        let mut bytes = 0;
        for payload in self.decoder.decode(&self.chunk) {
            bytes += payload.expect("valid frames").len();
        }
        bytes
    }
}

/// A loop over slices, as one writes it: what is left at the end is moved to the front.
#[derive(Default)]
pub(crate) struct ByLoop {
    bytes: Vec<u8>,
}

impl Payloads for ByLoop {
    fn read(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
    }

    #[inline(never)]
    fn payload_bytes(&mut self) -> usize {
        let (mut bytes, mut at) = (0, 0);
        while let Some(header) = self.bytes[at..].first_chunk() {
            let len = u32::from_be_bytes(*header) as usize;
            assert!(len <= LengthPrefixed::DEFAULT_MAX_FRAME);
            if self.bytes.len() - at < 4 + len {
                break;
            }
            bytes += self.bytes[at + 4..][..len].len();
            at += 4 + len;
        }
        self.bytes.drain(..at);
        bytes
    }
}

/// tokio-util's codec.
#[derive(Default)]
pub(crate) struct ByCodec {
    codec: LengthDelimitedCodec,
    bytes: BytesMut,
}

impl Payloads for ByCodec {
    fn read(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
    }

    #[inline(never)]
    fn payload_bytes(&mut self) -> usize {
        let mut bytes = 0;
        while let Some(frame) = self.codec.decode(&mut self.bytes).expect("valid frames") {
            bytes += frame.len();
        }
        bytes
    }
}
