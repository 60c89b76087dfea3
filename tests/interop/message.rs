//! Messages that tell their number and whether they are whole, in bytes and as a line of text.

use flate2::Crc;

/// Sent in each test, in two halves with a new connection between them.
pub(crate) const MESSAGES: u64 = 2000;

/// A form of messages: how they are made, and read back.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) write: fn(u64) -> Vec<u8>,
    /// Panics when the message is not as it was written.
    pub(crate) number: fn(&[u8]) -> u64,
}

/// Bytes of any value: the number, a body, a checksum.
pub(crate) const BINARY: Form = Form { write: message, number };

/// The same in hex digits, for framings of lines.
pub(crate) const TEXT: Form =
    Form { write: |number| hex(&message(number)), number: |line| number(&unhex(line)) };

fn message(number: u64) -> Vec<u8> {
    let len = if number % 97 == 96 { 9000 } else { number * 37 % 700 };
    let mut message = number.to_be_bytes().to_vec();
    message.extend((0..len).map(|at| (at * 31 + number) as u8));
    let sum = checksum(&message);
    message.extend(sum.to_be_bytes());
    message
}

fn number(message: &[u8]) -> u64 {
    let (content, sum) = message.split_last_chunk().expect("a message has a checksum");
    assert_eq!(checksum(content), u32::from_be_bytes(*sum), "a message arrives as it was sent");
    u64::from_be_bytes(*content.first_chunk().expect("a message has a number"))
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

fn unhex(line: &[u8]) -> Vec<u8> {
    let digits = std::str::from_utf8(line).expect("hex digits");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}
