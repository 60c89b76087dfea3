//! Every framing a second time, in the most obvious way.

use torq_message_sink::FrameError;

/// How a framing looks on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire {
    Length {
        bytes: usize,
        order: Order,
    },
    Varint,
    Line,
    /// As [`message_len`] says.
    Own,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    BigEndian,
    LittleEndian,
}

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum First<'a> {
    /// A whole frame of `len` bytes.
    Frame {
        payload: &'a [u8],
        len: usize,
    },
    /// Less than a frame, of `need` bytes as far as that is known; or nothing.
    Part {
        need: Option<usize>,
    },
    Refused(FrameError),
}

impl Wire {
    /// Bytes of payload allowed where `max` are asked for.
    pub(crate) fn limit(self, max: usize) -> usize {
        match self {
            Self::Length { bytes: 2, .. } => max.min(u16::MAX.into()),
            Self::Length { bytes: 4, .. } => max.min(u32::MAX as usize),
            _ => max,
        }
    }

    /// Whether a message within the limit can be sent.
    pub(crate) fn carries(self, max: usize, message: &[u8]) -> bool {
        match self {
            Self::Length { .. } | Self::Varint => true,
            Self::Line => !message.contains(&b'\n'),
            Self::Own => {
                self.first(max, message) == First::Frame { payload: message, len: message.len() }
            }
        }
    }

    pub(crate) fn first(self, max: usize, bytes: &[u8]) -> First<'_> {
        match self {
            Self::Length { bytes: width, order } => {
                let Some(header) = bytes.get(..width) else { return PART };
                let add = |len: u64, byte: &u8| len << 8 | u64::from(*byte);
                let len = match order {
                    Order::BigEndian => header.iter().fold(0, add),
                    Order::LittleEndian => header.iter().rev().fold(0, add),
                };
                announced(max, bytes, width, len)
            }
            Self::Varint => varint(max, bytes),
            Self::Line => line(max, bytes),
            Self::Own => own(max, bytes),
        }
    }
}

fn announced(max: usize, bytes: &[u8], header: usize, len: u64) -> First<'_> {
    if len > max as u64 {
        return First::Refused(FrameError::TooLarge { len, max });
    }
    let len = header.saturating_add(len as usize);
    match bytes.get(header..len) {
        Some(payload) => First::Frame { payload, len },
        None => First::Part { need: Some(len) },
    }
}

fn varint(max: usize, bytes: &[u8]) -> First<'_> {
    let mut len = 0_u128;
    for (index, byte) in bytes.iter().enumerate() {
        len |= u128::from(byte & 0x7f) << (7 * index);
        let last = byte & 0x80 == 0;
        if len > u64::MAX.into() || (last && *byte == 0 && index > 0) || (!last && index == 9) {
            return First::Refused(FrameError::Invalid("no varint"));
        }
        if last {
            return announced(max, bytes, index + 1, len as u64);
        }
    }
    PART
}

fn line(max: usize, bytes: &[u8]) -> First<'_> {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) if end <= max => First::Frame { payload: &bytes[..end], len: end + 1 },
        _ if bytes.len() > max => First::Refused(FrameError::TooLarge { len: max as u64 + 1, max }),
        _ => PART,
    }
}

fn own(max: usize, bytes: &[u8]) -> First<'_> {
    if bytes.is_empty() {
        return PART;
    }
    if max == 0 {
        return First::Refused(FrameError::Invalid("no message is that small"));
    }
    match message_len(&bytes[..bytes.len().min(max)]) {
        Err(error) => First::Refused(error),
        Ok(Some(0)) => First::Refused(FrameError::Invalid("a message of no bytes")),
        Ok(Some(len)) => announced(max, bytes, 0, len as u64),
        Ok(None) if bytes.len() >= max => First::Refused(FrameError::Invalid("no length")),
        Ok(None) => PART,
    }
}

/// A user's function: the first byte is the length of all of it; 0 asks for a second one that is.
pub(crate) fn message_len(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    match bytes {
        [] => panic!("asked about no bytes"),
        [0] => Ok(None),
        [0, len, ..] => Ok(Some((*len).into())),
        [b'!', ..] => Err(FrameError::Invalid("a message that cannot be")),
        [len, ..] => Ok(Some((*len).into())),
    }
}

const PART: First<'_> = First::Part { need: None };
