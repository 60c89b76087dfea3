//! The decoder under every framing: arbitrary bytes and what arbitrary messages become, in arbitrary
//! chunks, against a second reading of each framing and against tokio-util's codecs.
//!
//! `cargo +nightly fuzz run decoder fuzz/corpus/decoder fuzz/seeds/decoder`

#![no_main]

mod codec;
mod reading;
mod reference;
mod writing;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use torq_message_sink::prefix::{U16Be, U16Le, U32Be, U32Le, U64Be, U64Le, Varint};
use torq_message_sink::{Framing, NewlineDelimited, Prefixed, SelfDelimiting};

use self::reference::{Order, Wire, message_len};

/// What is sent, and how it arrives.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Which framing; any number is one of them.
    framing: u8,
    /// Bytes of payload allowed: few, so that lengths around it turn up; 255 for no limit.
    max_frame: u8,
    /// Bytes of each chunk, used in turn.
    chunks: [u8; 4],
    /// Bytes of each message, used in turn.
    messages: [u8; 4],
    /// Frames to take from each chunk before the iterator is dropped.
    take: u8,
    /// What arrives; and, in pieces, the messages.
    bytes: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let max = if input.max_frame == u8::MAX { usize::MAX } else { input.max_frame.into() };
    let fixed = |bytes, order| Wire::Length { bytes, order };
    match input.framing % 9 {
        0 => check(&input, max, Prefixed::<U16Be>::with_max_frame, fixed(2, Order::BigEndian)),
        1 => check(&input, max, Prefixed::<U16Le>::with_max_frame, fixed(2, Order::LittleEndian)),
        2 => check(&input, max, Prefixed::<U32Be>::with_max_frame, fixed(4, Order::BigEndian)),
        3 => check(&input, max, Prefixed::<U32Le>::with_max_frame, fixed(4, Order::LittleEndian)),
        4 => check(&input, max, Prefixed::<U64Be>::with_max_frame, fixed(8, Order::BigEndian)),
        5 => check(&input, max, Prefixed::<U64Le>::with_max_frame, fixed(8, Order::LittleEndian)),
        6 => check(&input, max, Prefixed::<Varint>::with_max_frame, Wire::Varint),
        7 => check(&input, max, NewlineDelimited::with_max_frame, Wire::Line),
        _ => check(&input, max, |max| SelfDelimiting::with_max_frame(message_len, max), Wire::Own),
    }
});

fn check<F: Framing + Copy>(input: &Input<'_>, max: usize, make: fn(usize) -> F, wire: Wire) {
    let case = Case { framing: make(max), wire, max: wire.limit(max) };
    // Some checks take as many steps as there are pairs of bytes.
    let bytes = input.bytes.get(..LONGEST).unwrap_or(input.bytes);
    case.read(input, bytes);
    let (stream, sent) = case.write(&pieces(bytes, input.messages));
    assert_eq!(case.read(input, &stream), sent, "what is written is read");
}

/// Bytes after which a stream ends.
const LONGEST: usize = 600;

/// A framing of the library, and what is known of it besides.
struct Case<F> {
    framing: F,
    wire: Wire,
    /// Bytes of payload allowed.
    max: usize,
}

/// The bytes in pieces of the sizes given, over and over; empty ones come in between.
fn pieces(bytes: &[u8], sizes: [u8; 4]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() || sizes == [0; 4] {
            break;
        }
        let (piece, left) = rest.split_at(rest.len().min((*size).into()));
        pieces.push(piece);
        rest = left;
    }
    pieces.push(rest);
    pieces
}
