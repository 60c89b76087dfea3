//! tokio-util's codecs, where there is one for the framing.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{AnyDelimiterCodec, Decoder, Encoder, LengthDelimitedCodec};
use torq_message_sink::FrameError;

use crate::reference::{Order, Wire};

pub(crate) fn reads_the_same(
    wire: Wire,
    max: usize,
    stream: &[u8],
    payloads: &[&[u8]],
    end: Result<(), FrameError>,
) {
    match wire {
        // It takes the memory that a length asks for, so it must be a small one.
        Wire::Length { bytes, order } if max <= u8::MAX.into() => {
            reads(lengths(bytes, order, max), stream, payloads, end);
        }
        Wire::Line => {
            reads(lines(max), stream, payloads, end);
        }
        _ => {}
    }
}

fn reads<C: Decoder<Item: AsRef<[u8]>>>(
    mut codec: C,
    stream: &[u8],
    payloads: &[&[u8]],
    end: Result<(), FrameError>,
) {
    let mut stream = BytesMut::from(stream);
    for payload in payloads {
        let frame = codec.decode(&mut stream).ok().flatten().expect("a frame");
        assert_eq!(frame.as_ref(), *payload);
    }
    match codec.decode(&mut stream) {
        Ok(frame) => assert!(frame.is_none() && end.is_ok(), "the codec goes on, ours: {end:?}"),
        Err(_) => assert!(matches!(end, Err(FrameError::TooLarge { .. })), "{end:?}"),
    }
}

pub(crate) fn writes_the_same(wire: Wire, message: &[u8], frame: &[u8]) {
    let mut written = BytesMut::new();
    let message = Bytes::copy_from_slice(message);
    match wire {
        Wire::Length { bytes, order } => {
            let mut codec = lengths(bytes, order, message.len());
            codec.encode(message, &mut written).expect("below the limit");
            assert_eq!(written, frame);
        }
        Wire::Line => {
            // It takes text only.
            if let Ok(text) = std::str::from_utf8(&message) {
                lines(text.len()).encode(text, &mut written).expect("it has no line feed");
                assert_eq!(written, frame);
            }
        }
        Wire::Varint | Wire::Own => {}
    }
}

fn lines(max: usize) -> AnyDelimiterCodec {
    AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), b"\n".to_vec(), max)
}

fn lengths(bytes: usize, order: Order, max: usize) -> LengthDelimitedCodec {
    let mut builder = LengthDelimitedCodec::builder();
    builder.length_field_length(bytes).max_frame_length(max);
    match order {
        Order::BigEndian => builder.big_endian(),
        Order::LittleEndian => builder.little_endian(),
    };
    builder.new_codec()
}
