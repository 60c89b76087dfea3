//! Taking back what was accepted and what nobody has seen.

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
/// sink.hand_back(&mut |message| refused += usize::from(other.try_feed(message).is_err()));
/// assert_eq!((refused, sink.accepted_bytes()), (0, 0));
/// other.flush().await?;
/// assert_eq!(there.accept().expect("connected").read(), b"\0\0\0\x03one\0\0\0\x03two");
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
pub trait HandBack: MessageSink {
    /// Calls `each` with the payload of every message of which no byte has gone to a connection
    /// that is up, in the order in which they were accepted. They count as never accepted
    /// afterwards: [`accepted_bytes`](MessageSink::accepted_bytes) goes back.
    ///
    /// They are the last that the sink has accepted, without a gap: layers know them again by
    /// counting. A sink that drops messages, or changes their order, hands none back.
    ///
    /// A frame that a connection has begun stays, and so does what stands before it. To have that
    /// frame back as well, end the connection first: [`end`](MessageSink::end) with
    /// [`End::Sleep`](crate::End::Sleep).
    fn hand_back<E: FnMut(&[u8])>(&mut self, each: &mut E);
}

impl<S: HandBack + ?Sized> HandBack for &mut S {
    fn hand_back<E: FnMut(&[u8])>(&mut self, each: &mut E) {
        (**self).hand_back(each);
    }
}

impl<S: HandBack + ?Sized> HandBack for Box<S> {
    fn hand_back<E: FnMut(&[u8])>(&mut self, each: &mut E) {
        (**self).hand_back(each);
    }
}
