//! Every framing as one type, so that any stack runs with any of them; and what each must look like
//! on the wire, written down a second time.

use torq_message_sink::prefix::{U16Be, U16Le, U32Be, U32Le, U64Be, U64Le, Varint};
use torq_message_sink::{
    Encode, FrameError, Framing, MAX_HEAD, NewlineDelimited, Prefixed, SelfDelimiting,
};

use super::choices::Choices;

/// Defines the type, with a variant for each framing, as a framing that asks the one it is.
macro_rules! any_framing {
    ($($name:ident($framing:ty),)+) => {
        /// A framing of any type.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum AnyFraming {
            $($name($framing),)+
        }

        impl Framing for AnyFraming {
            const REFUSES: bool = true;

            fn frame_size(&self, payload_len: usize) -> Option<usize> {
                match self { $(Self::$name(framing) => framing.frame_size(payload_len),)+ }
            }

            fn max_frame_size(&self) -> usize {
                match self { $(Self::$name(framing) => framing.max_frame_size(),)+ }
            }

            fn write_frame<M: Encode + ?Sized>(
                &self,
                msg: &M,
                payload_len: usize,
                frame: &mut [u8],
            ) -> Result<(), FrameError> {
                match self {
                    $(Self::$name(framing) => framing.write_frame(msg, payload_len, frame),)+
                }
            }

            fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
                match self { $(Self::$name(framing) => framing.frame_len(bytes),)+ }
            }

            fn head<'b>(&self, len: usize, buf: &'b mut [u8; MAX_HEAD]) -> Option<&'b [u8]> {
                match self { $(Self::$name(framing) => framing.head(len, buf),)+ }
            }

            fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
                match self { $(Self::$name(framing) => framing.payload(frame),)+ }
            }
        }
    };
}

any_framing! {
    U16Be(Prefixed<U16Be>),
    U16Le(Prefixed<U16Le>),
    U32Be(Prefixed<U32Be>),
    U32Le(Prefixed<U32Le>),
    U64Be(Prefixed<U64Be>),
    U64Le(Prefixed<U64Le>),
    Varint(Prefixed<Varint>),
    Newline(NewlineDelimited),
    SelfDelimiting(SelfDelimiting<fn(&[u8]) -> Result<Option<usize>, FrameError>>),
}

impl AnyFraming {
    /// One of them, for payloads of at most `max_frame` bytes.
    pub(super) fn choose(choices: &mut dyn Choices, max_frame: usize) -> Self {
        match choices.below(9) {
            0 => Self::U32Be(Prefixed::with_max_frame(max_frame)),
            1 => Self::U32Le(Prefixed::with_max_frame(max_frame)),
            2 => Self::U16Be(Prefixed::with_max_frame(max_frame)),
            3 => Self::U16Le(Prefixed::with_max_frame(max_frame)),
            4 => Self::U64Be(Prefixed::with_max_frame(max_frame)),
            5 => Self::U64Le(Prefixed::with_max_frame(max_frame)),
            6 => Self::Varint(Prefixed::with_max_frame(max_frame)),
            7 => Self::Newline(NewlineDelimited::with_max_frame(max_frame)),
            _ => Self::SelfDelimiting(SelfDelimiting::with_max_frame(message_len, max_frame)),
        }
    }

    /// The default one.
    pub(super) fn default_of(max_frame: usize) -> Self {
        Self::U32Be(Prefixed::with_max_frame(max_frame))
    }

    /// What stands before and behind a payload of `len` bytes.
    fn around(&self, len: usize) -> (Vec<u8>, &'static [u8]) {
        let before = match self {
            Self::U16Be(_) => (len as u16).to_be_bytes().to_vec(),
            Self::U16Le(_) => (len as u16).to_le_bytes().to_vec(),
            Self::U32Be(_) => (len as u32).to_be_bytes().to_vec(),
            Self::U32Le(_) => (len as u32).to_le_bytes().to_vec(),
            Self::U64Be(_) => (len as u64).to_be_bytes().to_vec(),
            Self::U64Le(_) => (len as u64).to_le_bytes().to_vec(),
            Self::Varint(_) if len < 128 => vec![len as u8],
            Self::Varint(_) => vec![len as u8 | 128, (len >> 7) as u8],
            Self::Newline(_) => return (Vec::new(), b"\n"),
            Self::SelfDelimiting(_) => Vec::new(),
        };
        (before, b"")
    }

    /// The frame around `payload`.
    pub(super) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let (before, behind) = self.around(payload.len());
        [&before, payload, behind].concat()
    }

    /// Bytes of the frame around a payload of `len` bytes; at least one.
    pub(super) fn frame_len(&self, len: usize) -> usize {
        let (before, behind) = self.around(len);
        (before.len() + len + behind.len()).max(1)
    }

    /// Whether it can carry `payload`, apart from its size.
    pub(super) fn carries(&self, payload: &[u8]) -> bool {
        match self {
            Self::Newline(_) => !payload.contains(&b'\n'),
            Self::SelfDelimiting(_) => message_len(payload) == Ok(Some(payload.len())),
            _ => true,
        }
    }

    /// Changes `payload` so that it can be carried, if it is long enough.
    pub(super) fn adapt(&self, payload: &mut [u8]) {
        match self {
            Self::Newline(_) => {
                payload.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
            }
            Self::SelfDelimiting(_) => {
                let len = (payload.len() as u16).to_be_bytes();
                payload.iter_mut().zip(len).for_each(|(byte, of_len)| *byte = of_len);
            }
            _ => {}
        }
    }
}

/// A user's own function: the first two bytes of a message are its length, big-endian.
fn message_len(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(len) = bytes.first_chunk() else { return Ok(None) };
    Ok(Some(u16::from_be_bytes(*len).into()))
}
