//! The fan-out: every child gets everything.

mod links;

use std::task::Poll;

use crate::error::SinkError;

/// Brings every frame to each of its links.
///
/// Below one buffer: a message is encoded once, and the same bytes are written to all links. Each
/// link has its own place in them, its own connection and its own back-off. All of them gate: the
/// buffer keeps a frame until the slowest link has it, and a flush waits for all.
///
/// It is a link itself, so fan-outs nest. One without children takes everything and brings it
/// nowhere.
///
/// # Errors
///
/// Every link takes its step before the first error is reported; the error names its link.
///
/// # Cost
///
/// Nothing per message, one or more writes per link and flush.
///
/// # Examples
///
/// ```
/// use torq_message_sink::{Buffered, Fanout, MessageSink, MemorySink};
///
/// # tokio_test::block_on(async {
/// let ((left, left_peer), (right, right_peer)) = (MemorySink::pair(64), MemorySink::pair(64));
/// let mut sink = Buffered::new(Fanout::new((left, right)));
/// sink.send("tick").await?;
/// for peer in [left_peer, right_peer] {
///     assert_eq!(peer.accept().expect("connected").read(), b"\0\0\0\x04tick");
/// }
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Fanout<T> {
    children: T,
    /// What the slowest child had taken after the last write.
    taken: u64,
}

impl<T> Fanout<T> {
    /// A fan-out to `children`: a tuple, an array or a vector of links.
    pub const fn new(children: T) -> Self {
        Self { children, taken: 0 }
    }

    /// The children.
    pub const fn get_ref(&self) -> &T {
        &self.children
    }
}

/// The first error wins, then whoever is pending.
#[cold]
fn gather(all: &mut Poll<Result<(), SinkError>>, one: Poll<Result<(), SinkError>>) {
    match (&all, &one) {
        (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Ok(()))) | (Poll::Pending, Poll::Pending) => {}
        _ => *all = one,
    }
}
