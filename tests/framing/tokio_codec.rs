//! `LengthPrefixed` against `tokio_util::codec::LengthDelimitedCodec::new()`, both ways.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder as _, Encoder as _, LengthDelimitedCodec};
use torq_message_sink::{Decoder, FrameError, LengthPrefixed};

use crate::support::{SIZES, decode_all, payloads, stream_of};

#[test]
fn the_codec_reads_what_a_sink_writes() {
    let sent = payloads(&SIZES);
    let mut stream = BytesMut::from(stream_of(&sent).as_slice());
    let mut codec = LengthDelimitedCodec::new();
    for payload in &sent {
        let frame = codec.decode(&mut stream).expect("no error").expect("a frame");
        assert_eq!(frame, payload);
    }
    assert!(stream.is_empty());
}

#[test]
fn the_decoder_reads_what_the_codec_writes() {
    let sent = payloads(&SIZES);
    let mut stream = BytesMut::new();
    let mut codec = LengthDelimitedCodec::new();
    for payload in &sent {
        codec.encode(Bytes::from(payload.clone()), &mut stream).expect("below the limit");
    }
    assert_eq!(stream, stream_of(&sent));
    let mut decoder = Decoder::new(LengthPrefixed::new());
    assert_eq!(decode_all(&mut decoder, stream.chunks(7)), (sent, Ok(())));
}

#[test]
fn both_draw_the_limit_at_the_same_byte() {
    let max = LengthPrefixed::DEFAULT_MAX_FRAME;
    assert_eq!(max, LengthDelimitedCodec::new().max_frame_length());
    for (len, refused) in [(max, false), (max + 1, true), (u32::MAX as usize, true)] {
        let header = u32::try_from(len).expect("fits").to_be_bytes();
        let theirs = LengthDelimitedCodec::new().decode(&mut BytesMut::from(&header[..]));
        let ours = decode_all(&mut Decoder::new(LengthPrefixed::new()), [&header[..]]).1;
        assert_eq!(theirs.is_err(), refused);
        assert_eq!(ours == Err(FrameError::TooLarge { len: len as u64, max }), refused);
    }
}

#[test]
fn an_end_after_the_header_is_clean_for_the_codec_only() {
    let header = [0, 0, 0, 5];
    let theirs = LengthDelimitedCodec::new().decode_eof(&mut BytesMut::from(&header[..]));
    assert!(matches!(theirs, Ok(None)));
    let ours = decode_all(&mut Decoder::new(LengthPrefixed::new()), [&header[..]]).1;
    assert_eq!(ours, Err(FrameError::Truncated { have: 4, need: Some(9) }));
}
