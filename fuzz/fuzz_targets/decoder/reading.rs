//! The decoder on any bytes: it yields what the reference finds, however they arrive.

use std::mem::discriminant;

use torq_message_sink::{Decoder, FrameError, Framing};

use crate::reference::First;
use crate::{Case, Input, codec, pieces};

impl<F: Framing + Copy> Case<F> {
    /// The payloads of a stream, after all ways to read it have come to the same.
    pub(crate) fn read<'a>(&self, input: &Input<'_>, stream: &'a [u8]) -> Vec<&'a [u8]> {
        let chunks = pieces(stream, input.chunks);
        let whole = self.decode(&[stream], usize::MAX);
        for (chunks, take) in [
            (chunks.as_slice(), usize::MAX),
            (&chunks, input.take.into()),
            (&pieces(stream, [1; 4]), usize::MAX),
        ] {
            let end = self.decode(chunks, take);
            assert_eq!(end, whole, "where chunks begin and end makes no difference");
        }
        let mut payloads = Vec::new();
        let mut rest = stream;
        while let First::Frame { payload, len } = self.agreed(rest) {
            // The end of the stream at every byte of the frame.
            for have in 1..len {
                assert!(self.decode(&[&rest[..have]], usize::MAX).is_ok());
            }
            payloads.push(payload);
            rest = &rest[len..];
        }
        for have in 1..rest.len() {
            let _ = self.decode(&[&rest[..have]], usize::MAX);
        }
        codec::reads_the_same(self.wire, self.max, stream, &payloads, whole);
        payloads
    }

    /// Decodes the chunks, of each the first `take` frames, beside the reference. Answers whether
    /// the stream was refused.
    fn decode(&self, chunks: &[&[u8]], take: usize) -> Result<(), FrameError> {
        let stream = chunks.concat();
        let mut decoder = Decoder::new(self.framing);
        // The bytes received, and where among them the first unfinished frame begins.
        let (mut received, mut begin) = (0, 0);
        for chunk in chunks {
            received += chunk.len();
            let mut frames = decoder.decode(chunk);
            let mut taken = 0;
            let first = loop {
                let first = self.wire.first(self.max, &stream[begin..received]);
                let First::Frame { payload, len } = first else { break first };
                if taken < take {
                    assert_eq!(frames.next(), Some(Ok(payload)));
                    taken += 1;
                }
                begin += len;
            };
            if taken < take {
                let refused = matches!(first, First::Refused(_));
                assert_eq!(frames.next().map(|last| last.is_err()), refused.then_some(true));
                assert_eq!(frames.next(), None, "an ended iterator stays ended");
            }
            drop(frames);
            let held = received - begin;
            match first {
                First::Part { need } => {
                    assert_eq!(decoder.buffered(), held, "every byte is in a frame or held");
                    let truncated = Err(FrameError::Truncated { have: held, need });
                    assert_eq!(decoder.finish(), if held == 0 { Ok(()) } else { truncated });
                }
                First::Refused(expected) => {
                    let end = decoder.finish();
                    let error = end.expect_err("a refused stream has no end");
                    assert!(alike(error, expected), "{error:?} instead of {expected:?}");
                    assert_eq!(decoder.buffered(), 0, "nothing is held after an error");
                    assert_eq!(decoder.decode(&stream).collect::<Vec<_>>(), [Err(error)]);
                    assert_eq!(decoder.decode(b"").collect::<Vec<_>>(), [Err(error)]);
                    return end;
                }
                First::Frame { .. } => unreachable!("the loop goes on"),
            }
        }
        Ok(())
    }

    /// What the stream begins with, as all answers of the framing have it.
    pub(crate) fn agreed<'a>(&self, stream: &'a [u8]) -> First<'a> {
        let first = self.wire.first(self.max, stream);
        if stream.is_empty() {
            return first;
        }
        let frame_len = self.framing.frame_len(stream);
        let window = &stream[..stream.len().min(self.framing.max_frame_size())];
        let split = self.framing.split_frame(window);
        match first {
            First::Frame { payload, len } => {
                assert_eq!(frame_len, Ok(Some(len)));
                assert_eq!(split, Some((payload, &window[len..])));
                assert_eq!(self.framing.payload(&stream[..len]), payload);
            }
            First::Part { need } => assert_eq!((frame_len, split), (Ok(need), None)),
            First::Refused(expected) => {
                let error = frame_len.expect_err("refused");
                assert!(alike(error, expected), "{error:?} instead of {expected:?}");
                assert_eq!(split, None);
            }
        }
        for seen in 0..stream.len() {
            if self.wire.first(self.max, &stream[..seen]) != (First::Part { need: None }) {
                break;
            }
            assert_eq!(self.framing.frame_len_after(stream, seen), frame_len, "{seen} seen");
        }
        first
    }
}

/// The same error, but for the words.
fn alike(one: FrameError, other: FrameError) -> bool {
    match one {
        FrameError::Invalid(_) => discriminant(&one) == discriminant(&other),
        _ => one == other,
    }
}
