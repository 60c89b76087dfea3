//! The lengths that stand before payloads: fixed widths in either byte order, and varints.

use crate::framing::FrameError;

/// How the length of a payload is written before it: the header of a
/// [`Prefixed`](crate::Prefixed) frame.
///
/// # Implementer notes
///
/// `size`, `write` and `read` must agree: what `write` puts into `size(len)` bytes, `read` reads
/// back whatever comes behind it, and of fewer of those bytes it says `Ok(None)`. A larger length
/// never has a smaller header.
///
/// # Examples
///
/// Three bytes, big-endian, as some binary protocols have it:
///
/// ```
/// use torq_message_sink::prefix::Prefix;
/// use torq_message_sink::{Decoder, FrameError, Prefixed};
///
/// #[derive(Clone, Copy, Debug)]
/// struct U24Be;
///
/// impl Prefix for U24Be {
///     const MAX: u64 = 0xff_ffff;
///
///     fn size(_: u64) -> usize {
///         3
///     }
///     fn write(len: u64, header: &mut [u8]) {
///         header.copy_from_slice(&(len as u32).to_be_bytes()[1..]);
///     }
///     fn read(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
///         let Some((&[a, b, c], behind)) = bytes.split_first_chunk() else { return Ok(None) };
///         Ok(Some((u32::from_be_bytes([0, a, b, c]).into(), behind)))
///     }
/// }
///
/// let mut decoder = Decoder::new(Prefixed::<U24Be>::new());
/// assert_eq!(decoder.decode(b"\0\0\x02hi").collect::<Vec<_>>(), [Ok(b"hi".as_slice())]);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a length prefix",
    note = "the prefixes are in `torq_message_sink::prefix`: `U16Be`, `U16Le`, `U32Be`, `U32Le`, \
            `U64Be`, `U64Le`, `Varint`"
)]
pub trait Prefix {
    /// The largest length that can be written, in bytes.
    const MAX: u64;

    /// Bytes that the header of a payload of `len` bytes has.
    fn size(len: u64) -> usize;

    /// Writes `len`, which is at most [`MAX`](Self::MAX), into `header`, which has `size(len)`
    /// bytes.
    fn write(len: u64, header: &mut [u8]);

    /// Reads the length with which `bytes` begin: the length, and what comes behind the header.
    /// `Ok(None)` when the header is not there whole.
    ///
    /// # Errors
    ///
    /// [`FrameError::Invalid`] when no header begins like this.
    fn read(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError>;
}

macro_rules! fixed_width {
    ($($name:ident $int:ident $width:literal $to:ident $from:ident $doc:literal)+) => { $(
        #[doc = $doc]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name;

        impl Prefix for $name {
            const MAX: u64 = $int::MAX as u64;

            #[inline]
            fn size(_: u64) -> usize {
                $width
            }

            #[inline]
            fn write(len: u64, header: &mut [u8]) {
                // It is at most `MAX`, so the cast keeps the value.
                header.copy_from_slice(&(len as $int).$to());
            }

            #[inline]
            fn read(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
                let Some((header, behind)) = bytes.split_first_chunk::<$width>() else {
                    return Ok(None);
                };
                Ok(Some(($int::$from(*header) as u64, behind)))
            }
        }
    )+ };
}

fixed_width! {
    U16Be u16 2 to_be_bytes from_be_bytes "Two bytes, big-endian: payloads of up to 65,535 bytes."
    U16Le u16 2 to_le_bytes from_le_bytes "Two bytes, little-endian: payloads of up to 65,535 bytes."
    U32Be u32 4 to_be_bytes from_be_bytes
        "Four bytes, big-endian: what [`LengthPrefixed`](crate::LengthPrefixed) writes."
    U32Le u32 4 to_le_bytes from_le_bytes "Four bytes, little-endian."
    U64Be u64 8 to_be_bytes from_be_bytes "Eight bytes, big-endian."
    U64Le u64 8 to_le_bytes from_le_bytes "Eight bytes, little-endian."
}

/// One to ten bytes of seven bits each, the lowest first, all but the last with the top bit set:
/// what protobuf writes before [delimited messages], and LEB128.
///
/// Read only as it is written, in the fewest bytes: a longer spelling of the same length is
/// [`FrameError::Invalid`], so that a frame has one length.
///
/// [delimited messages]: https://protobuf.dev/programming-guides/encoding/#varints
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Varint;

impl Prefix for Varint {
    const MAX: u64 = u64::MAX;

    #[inline]
    fn size(len: u64) -> usize {
        let bits = u64::BITS - (len | 1).leading_zeros();
        bits.div_ceil(7) as usize
    }

    #[inline]
    fn write(mut len: u64, header: &mut [u8]) {
        let Some((last, others)) = header.split_last_mut() else { return };
        for byte in others {
            *byte = len as u8 | MORE;
            len >>= 7;
        }
        *last = len as u8;
    }

    #[inline]
    fn read(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
        match bytes.split_first() {
            None => Ok(None),
            Some((&byte, behind)) if byte < MORE => Ok(Some((byte.into(), behind))),
            Some(_) => read_long(bytes),
        }
    }
}

/// Reads a varint of several bytes.
fn read_long(bytes: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
    let mut len = 0_u64;
    for (index, &byte) in bytes.iter().take(LONGEST).enumerate() {
        let bits = u64::from(byte & !MORE);
        len |= bits << (7 * index);
        if byte < MORE {
            // The bits beyond 64 were lost, and a last byte without bits need not be there.
            let fits = index + 1 < LONGEST || bits <= 1;
            let shortest = byte > 0;
            let behind = bytes.get(index + 1..).unwrap_or_default();
            return if fits && shortest { Ok(Some((len, behind))) } else { Err(NOT_A_VARINT) };
        }
    }
    if bytes.len() < LONGEST { Ok(None) } else { Err(NOT_A_VARINT) }
}

/// The bit that says that more bytes follow.
const MORE: u8 = 0x80;

/// Bytes of the longest varint: 64 bits, seven at a time.
const LONGEST: usize = 10;

const NOT_A_VARINT: FrameError =
    FrameError::Invalid("a length that is no varint of 64 bits in the fewest bytes");
