//! Taking back what was accepted and what nobody has seen.

use std::time::Instant;

use crate::buffer::Marks;
use crate::encode::Encode;
use crate::sink::MessageSink;

/// A sink that hands back messages that it has accepted and that nobody has seen: for composites and
/// layers above buffers, which bring them elsewhere or find that they are not wanted any more.
///
/// # Examples
///
/// What a peer that cannot be reached has not got goes to another one:
///
/// ```
/// use torq_message_sink::{Buffered, End, HandBack, MemorySink, MessageSink};
///
/// # tokio_test::block_on(async {
/// let ((link, away), (other, there)) = (MemorySink::pair(64), MemorySink::pair(64));
/// away.refuse(true);
/// let (mut sink, mut other) = (Buffered::new(link), Buffered::new(other));
/// sink.feed("one").await?;
/// sink.feed("two").await?;
/// sink.end(End::Sleep);
/// let mut refused = 0;
/// sink.hand_back(&mut |message| refused += usize::from(other.try_feed(&message).is_err()));
/// assert_eq!((refused, sink.accepted_bytes()), (0, 0));
/// other.flush().await?;
/// assert_eq!(there.accept().expect("connected").read(), b"\0\0\0\x03one\0\0\0\x03two");
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
pub trait HandBack: MessageSink {
    /// Whether it may drop messages or change their order, and therefore says of those that it hands
    /// back what they have said themselves: their keys, deadlines and lanes. So do
    /// [`Deadline`](crate::Deadline) and [`Conflate`](crate::Conflate); a buffer, which knows payloads
    /// only, does not. A layer says what the sink below says. Default: no.
    const MARKED: bool = false;

    /// Calls `each` with every message of which no byte has gone to a connection
    /// that is up, in the order in which they were accepted. They count as never accepted
    /// afterwards: [`accepted_bytes`](MessageSink::accepted_bytes) goes back.
    ///
    /// Unless it is [`MARKED`](Self::MARKED) they are the last that the sink has accepted, without a
    /// gap: layers know them again by counting. Any other sink that drops messages, or changes their
    /// order, hands none back.
    ///
    /// A frame that a connection has begun stays, and so does what stands before it. To have that
    /// frame back as well, end the connection first: [`end`](MessageSink::end) with
    /// [`End::Sleep`](crate::End::Sleep).
    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E);
}

/// A message that a sink hands back: looks and encodes like the one that was accepted, as far as
/// that is known.
#[derive(Clone, Copy, Debug)]
pub struct HandedBack<'a> {
    payload: &'a [u8],
    /// None where only the payload is known.
    marks: Option<Marks>,
}

impl<'a> HandedBack<'a> {
    /// A message of which only the payload is known.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { payload, marks: None }
    }

    pub(crate) const fn with_marks(payload: &'a [u8], marks: Option<Marks>) -> Self {
        Self { payload, marks }
    }

    /// Its encoded bytes.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    pub(crate) const fn marks(&self) -> Option<Marks> {
        self.marks
    }
}

// Nobody who looks for what a message can be looks for this.
#[diagnostic::do_not_recommend]
impl Encode for HandedBack<'_> {
    fn encoded_len(&self) -> usize {
        self.payload.len()
    }

    fn encode(&self, buf: &mut [u8]) {
        self.payload.encode(buf);
    }

    fn key(&self) -> Option<u64> {
        self.marks?.key
    }

    fn deadline(&self) -> Option<Instant> {
        self.marks?.deadline
    }

    fn lane(&self) -> u8 {
        self.marks.unwrap_or_default().lane
    }
}

impl<S: HandBack + ?Sized> HandBack for &mut S {
    const MARKED: bool = S::MARKED;

    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        (**self).hand_back(each);
    }
}

impl<S: HandBack + ?Sized> HandBack for Box<S> {
    const MARKED: bool = S::MARKED;

    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        (**self).hand_back(each);
    }
}
