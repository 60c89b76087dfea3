//! A message of the demo: what lets a receiver see that it is whole, and which one it is.

use torq_message_sink::Encode;

/// The original payload behind its sequence number (u64) and a checksum of both (u32), both
/// little-endian. Written in place, straight into the sink's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub sequence: u64,
    pub payload: &'a [u8],
}

impl Encode for Message<'_> {
    fn encoded_len(&self) -> usize {
        HEADER + self.payload.len()
    }

    fn encode(&self, buf: &mut [u8]) {
        let (header, payload) = buf.split_at_mut(HEADER);
        header[..8].copy_from_slice(&self.sequence.to_le_bytes());
        header[8..].copy_from_slice(&checksum(self.sequence, self.payload).to_le_bytes());
        payload.copy_from_slice(self.payload);
    }
}

/// Reads what `encode` wrote; `None` when it is not that any more.
pub fn decode(frame_payload: &[u8]) -> Option<Message<'_>> {
    let (sequence, rest) = frame_payload.split_first_chunk()?;
    let (sum, payload) = rest.split_first_chunk()?;
    let sequence = u64::from_le_bytes(*sequence);
    (u32::from_le_bytes(*sum) == checksum(sequence, payload))
        .then_some(Message { sequence, payload })
}

/// FNV-1a, but over eight bytes at a time, so that checking does not cost more than sending. A
/// step is a bijection of the state, so a change within one step's bytes always shows in the 64
/// bits, and in the 32 that are kept but for one time in four billion.
fn checksum(sequence: u64, payload: &[u8]) -> u32 {
    let step = |state: u64, word: u64| ((state ^ word).wrapping_mul(FNV_PRIME)).rotate_left(29);
    let (words, tail) = payload.as_chunks::<8>();
    let mut state = step(FNV_OFFSET, sequence);
    for word in words {
        state = step(state, u64::from_le_bytes(*word));
    }
    for byte in tail {
        state = step(state, u64::from(*byte));
    }
    state = step(state, payload.len() as u64);
    (state ^ (state >> 32)) as u32
}

/// Bytes before the payload.
const HEADER: usize = 12;

/// Source: draft-eastlake-fnv, 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_and_every_cut_shows() {
        let payload: Vec<u8> = (0..61).collect();
        let message = Message { sequence: 7, payload: &payload };
        let mut bytes = vec![0; message.encoded_len()];
        message.encode(&mut bytes);
        let back = decode(&bytes).expect("as written");
        assert_eq!((back.sequence, back.payload), (7, payload.as_slice()));
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_none(), "cut to {len} bytes");
        }
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            assert!(decode(&bytes).is_none(), "byte {at} changed");
            bytes[at] ^= 0x10;
        }
    }
}
