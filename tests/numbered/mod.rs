//! Messages that carry their number, and the frames that they are read from.

/// The number of the first whole frame, and what comes behind it.
pub(crate) fn frame(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let len = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let payload = bytes.get(4..4 + len)?;
    let number = payload.get(..8)?.try_into().ok().map(u64::from_be_bytes)?;
    assert!(payload[8..].iter().all(|byte| *byte == number as u8), "a frame is whole");
    Some((number as usize, &bytes[4 + len..]))
}

/// Message `number`, with `more` bytes.
pub(crate) fn message(number: usize, more: usize) -> Vec<u8> {
    let mut bytes = (number as u64).to_be_bytes().to_vec();
    bytes.resize(8 + more, number as u8);
    bytes
}
