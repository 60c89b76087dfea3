//! What a message is: something that knows its size and writes itself in place, once.

use std::time::Instant;

/// A message: it says how many bytes it takes and writes them straight into the sink's buffer.
///
/// Nothing stands between a message and the bytes that leave: no intermediate `Vec`, no copy. The
/// provided methods carry what some layers want to know; a stack without such a layer never calls
/// them, and they cost nothing there. For types of other crates there are the wrappers [`Keyed`],
/// [`WithDeadline`] and [`InLane`].
///
/// # Implementer notes
///
/// - `encode` gets exactly `encoded_len()` bytes and must fill all of them. What it leaves
///   unwritten is *not* zeroed: it may repeat earlier bytes of that sink's buffer.
/// - The two must agree. A wrong `encoded_len`, or a panic in `encode`, damages at most the frame
///   being written (a panic: the message is not accepted) and never memory or other frames.
///
/// # Examples
///
/// ```
/// use torq_message_sink::Encode;
///
/// struct Tick {
///     price: u64,
///     size: u64,
/// }
///
/// impl Encode for Tick {
///     fn encoded_len(&self) -> usize {
///         16
///     }
///     fn encode(&self, buf: &mut [u8]) {
///         buf[..8].copy_from_slice(&self.price.to_le_bytes());
///         buf[8..].copy_from_slice(&self.size.to_le_bytes());
///     }
/// }
///
/// let mut buf = [0; 16];
/// Tick { price: 1, size: 2 }.encode(&mut buf);
/// assert_eq!(buf[8], 2);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message: it does not implement `Encode`",
    label = "this cannot be fed to a sink",
    note = "implement `Encode` (`encoded_len` and `encode`) for it, or feed its bytes: `[u8]`, \
            `str`, `[u8; N]`, `String` and `Vec<u8>` are messages, and `&number.to_be_bytes()`"
)]
pub trait Encode {
    /// Size of the payload in bytes, without any framing.
    fn encoded_len(&self) -> usize;

    /// Writes the payload into `buf`, which is exactly [`encoded_len`](Self::encoded_len) long.
    fn encode(&self, buf: &mut [u8]);

    /// The payload, where it lies in memory as it is to be sent, so that a large one need not be
    /// copied ([`Buffered`](crate::Buffered) writes it to the connection from where it lies). It
    /// says what [`encode`](Self::encode) would write. Default: none.
    #[inline]
    fn lend(&self) -> Option<&[u8]> {
        None
    }

    /// What this message is about: messages of one key belong together (sharding keeps them in
    /// order on one child, conflation keeps the latest). Equal keys mean the same thing, so a hash
    /// will only do where a collision may. Default: none.
    #[inline]
    fn key(&self) -> Option<u64> {
        None
    }

    /// When this message is worth nothing any more. Default: never.
    #[inline]
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Which priority lane it takes where there are lanes; the higher, the more urgent. 0, the
    /// default, is the least urgent, so that what is marked goes before what is not.
    #[inline]
    fn lane(&self) -> u8 {
        0
    }
}

impl Encode for [u8] {
    #[inline]
    fn encoded_len(&self) -> usize {
        self.len()
    }

    #[inline]
    fn encode(&self, buf: &mut [u8]) {
        buf.copy_from_slice(self);
    }

    #[inline]
    fn lend(&self) -> Option<&[u8]> {
        Some(self)
    }
}

/// Implements `Encode` for a type that already is its bytes.
macro_rules! encode_as_bytes {
    ($(#[$attr:meta])* [$($generics:tt)*] $type:ty, $bytes:ident) => {
        $(#[$attr])*
        impl<$($generics)*> Encode for $type {
            #[inline]
            fn encoded_len(&self) -> usize {
                self.$bytes().encoded_len()
            }

            #[inline]
            fn encode(&self, buf: &mut [u8]) {
                self.$bytes().encode(buf);
            }

            #[inline]
            fn lend(&self) -> Option<&[u8]> {
                self.$bytes().lend()
            }
        }
    };
}

encode_as_bytes!([] str, as_bytes);
encode_as_bytes!([] String, as_bytes);
encode_as_bytes!([] Vec<u8>, as_slice);
encode_as_bytes!([const N: usize] [u8; N], as_slice);
encode_as_bytes!(#[cfg(feature = "bytes")] [] bytes::Bytes, as_ref);
encode_as_bytes!(#[cfg(feature = "bytes")] [] bytes::BytesMut, as_ref);

/// Implements `Encode` by passing every method on; `$change` overrides the ones it names.
macro_rules! encode_by_inner {
    ([$($generics:tt)*] $type:ty, $self:ident => $inner:expr, { $($change:item)* } $($rest:ident)*) => {
        impl<$($generics)*> Encode for $type {
            #[inline]
            fn encoded_len(&$self) -> usize {
                $inner.encoded_len()
            }

            #[inline]
            fn encode(&$self, buf: &mut [u8]) {
                $inner.encode(buf);
            }

            #[inline]
            fn lend(&$self) -> Option<&[u8]> {
                $inner.lend()
            }

            $(#[inline] $change)*
            $(encode_by_inner!(@ $rest $self $inner);)*
        }
    };
    (@ key $self:ident $inner:expr) => {
        #[inline]
        fn key(&$self) -> Option<u64> {
            $inner.key()
        }
    };
    (@ deadline $self:ident $inner:expr) => {
        #[inline]
        fn deadline(&$self) -> Option<Instant> {
            $inner.deadline()
        }
    };
    (@ lane $self:ident $inner:expr) => {
        #[inline]
        fn lane(&$self) -> u8 {
            $inner.lane()
        }
    };
}

encode_by_inner!([M: Encode + ?Sized] &M, self => (**self), {} key deadline lane);
encode_by_inner!([M: Encode + ?Sized] Box<M>, self => (**self), {} key deadline lane);
encode_by_inner!([M: Encode + ?Sized] std::sync::Arc<M>, self => (**self), {} key deadline lane);

/// Gives a message of any type a [key](Encode::key): `Keyed(instrument_id, &msg)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed<M>(
    /// The key.
    pub u64,
    /// The message.
    pub M,
);

encode_by_inner!([M: Encode] Keyed<M>, self => self.1, {
    fn key(&self) -> Option<u64> {
        Some(self.0)
    }
} deadline lane);

/// Gives a message of any type a [deadline](Encode::deadline): `WithDeadline(instant, &msg)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithDeadline<M>(
    /// When the message is worth nothing any more.
    pub Instant,
    /// The message.
    pub M,
);

encode_by_inner!([M: Encode] WithDeadline<M>, self => self.1, {
    fn deadline(&self) -> Option<Instant> {
        Some(self.0)
    }
} key lane);

/// Gives a message of any type a [priority lane](Encode::lane): `InLane(0, &msg)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InLane<M>(
    /// The lane; the higher, the more urgent.
    pub u8,
    /// The message.
    pub M,
);

encode_by_inner!([M: Encode] InLane<M>, self => self.1, {
    fn lane(&self) -> u8 {
        self.0
    }
} key deadline);

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<M: Encode + ?Sized>(msg: &M) -> Vec<u8> {
        let mut buf = vec![0xAA; msg.encoded_len()];
        msg.encode(&mut buf);
        buf
    }

    #[test]
    fn byte_like_types_are_their_bytes() {
        assert_eq!(bytes_of("abc"), b"abc");
        assert_eq!(bytes_of(b"abc"), b"abc");
        assert_eq!(bytes_of(b"abc".as_slice()), b"abc");
        assert_eq!(bytes_of(&vec![1, 2]), [1, 2]);
        assert_eq!(bytes_of(&&&String::from("x")), b"x");
    }

    #[test]
    fn wrappers_add_their_attribute_and_keep_the_others() {
        let at = Instant::now();
        let msg = Keyed(7, WithDeadline(at, InLane(2, "m")));
        assert_eq!((msg.key(), msg.deadline(), msg.lane()), (Some(7), Some(at), 2));
        assert_eq!(bytes_of(&msg), b"m");
        assert_eq!((&&msg).key(), Some(7));
        assert_eq!(msg.lend(), Some(b"m".as_slice()));
        assert_eq!("m".key(), None);
    }
}
