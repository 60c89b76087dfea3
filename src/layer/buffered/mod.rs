//! The buffering layer: makes a sink of a link. Messages are encoded once, into memory of its own,
//! and leave in large writes.

mod around;
mod hand_back;
mod overflow;
mod push;
mod room;
mod sink;
mod water;
mod window;

use self::overflow::Overflow;
use self::water::Water;
use crate::buffer::{Pending, Store, WhenFull};
use crate::framing::{Framing, LengthPrefixed};
use crate::link::Link;
use crate::sink::End;

/// A sink over a link: encodes messages into a buffer and writes the buffer to the link.
///
/// Messages are written into the buffer in place, once, whatever number of links there is below.
/// The buffer is written when a write's worth has gathered, and at a flush. A frame stays in it
/// until the link's kernel has taken it whole, across any number of connections.
///
/// A message of more than one write (64 KiB, or what the link says) goes around the buffer if it lends
/// its bytes ([`Encode::lend`](crate::Encode::lend)), nothing is buffered and every link is connected: it
/// is written when it is fed, and only what a connection does not take at once is copied and kept.
///
/// A buffer that is full, because a peer is slow or away, makes callers wait, unless
/// [`with_when_full`](Self::with_when_full) says something else.
///
/// It wakes by itself when it is fed, with the default [`LazyPolicy`](crate::LazyPolicy) unless a
/// [`Lazy`](crate::Lazy) above it holds another.
///
/// # Cost
///
/// Per message the encoding, one comparison and a header of four bytes: no allocation, no system
/// call. Its memory is one allocation of the capacity, taken when it wakes and given back when it
/// sleeps.
///
/// # Examples
///
/// ```
/// use torq_message_sink::{Buffered, MessageSink, TcpSink};
///
/// # async fn run() -> Result<(), torq_message_sink::SinkError> {
/// let mut sink = Buffered::with_capacity(TcpSink::new("127.0.0.1:9001")?, 256 * 1024);
/// sink.feed("one").await?;
/// sink.feed("two").await?;
/// sink.flush().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct Buffered<L: Link, F: Framing = LengthPrefixed> {
    store: Store,
    framing: F,
    link: L,
    /// Bytes that may be pending.
    capacity: usize,
    /// Position of the first pending byte in the stream of everything accepted.
    start: u64,
    /// Bytes of one write, as the link likes them; asked for when waking.
    write_size: u32,
    phase: Phase,
    /// Whether the last write has left something, so that some links were done before others.
    lagging: bool,
    when_full: WhenFull,
    /// What only a few buffers have: none until there is something to keep.
    extra: Option<Box<Extra>>,
}

/// What a buffer keeps in mind when it is told more than to wait.
#[derive(Debug, Default)]
struct Extra {
    /// What was dropped in front of the buffer.
    overflow: Overflow,
    /// None without water marks.
    water: Option<Water>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The window is closed; the memory is there only if something was left.
    Asleep,
    Awake,
    /// The window is closed for good, and what is left goes out.
    Closing,
    Closed,
}

impl<L: Link> Buffered<L> {
    /// Bytes of the buffer unless another capacity is asked for: 64 KiB.
    pub const DEFAULT_CAPACITY: usize = 64 * 1024;

    /// Buffers [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) bytes before `link`.
    pub fn new(link: L) -> Self {
        Self::with_capacity(link, Self::DEFAULT_CAPACITY)
    }

    /// Buffers `capacity_bytes` bytes of frames before `link`: that much memory while it is awake,
    /// and the size of the largest frame it takes. Smaller than a header it takes no message at
    /// all.
    pub fn with_capacity(link: L, capacity_bytes: usize) -> Self {
        Self::with_framing(link, capacity_bytes, LengthPrefixed::new())
    }
}

impl<L: Link, F: Framing> Buffered<L, F> {
    /// As [`with_capacity`](Self::with_capacity), with a framing of one's own choice.
    pub fn with_framing(link: L, capacity_bytes: usize, framing: F) -> Self {
        Self {
            store: Store::new(),
            framing,
            link,
            capacity: capacity_bytes,
            start: 0,
            write_size: 0,
            phase: Phase::Asleep,
            lagging: false,
            when_full: WhenFull::Wait,
            extra: None,
        }
    }

    /// What becomes of a message for which there is no room. Default: [`WhenFull::Wait`].
    ///
    /// # Cost
    ///
    /// Nothing while there is room. Dropping is a walk over the headers of what is dropped, no
    /// allocation per message, and one more encoding into memory of its own where the framing may
    /// refuse messages. [`WhenFull::DropOldest`] may hold one frame more per link than the capacity:
    /// one that was dropped when the link had begun it, and has to finish it.
    ///
    /// # Examples
    ///
    /// Quotes of which only the newest are worth anything, to a peer that is not there:
    ///
    /// ```
    /// use torq_message_sink::{Buffered, MemorySink, MessageSink, WhenFull};
    ///
    /// # tokio_test::block_on(async {
    /// let (link, peer) = MemorySink::pair(1024);
    /// peer.refuse(true);
    /// let mut sink = Buffered::with_capacity(link, 64).with_when_full(WhenFull::DropOldest);
    /// for quote in 0..100_u64 {
    ///     sink.feed(&quote.to_be_bytes()).await?;
    /// }
    /// let report = sink.report();
    /// assert_eq!(report.leaves[0].accepted.bytes, 100 * 12);
    /// assert_eq!(report.leaves[0].dropped.overflow.bytes, 95 * 12);
    /// # Ok::<(), torq_message_sink::SinkError>(())
    /// # }).unwrap();
    /// ```
    pub fn with_when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Tells when the buffer fills up, and when it has emptied again: by
    /// [`Event::HighWater`](crate::Event::HighWater) when a message takes it above `high_bytes`
    /// although everything that could be written was, and by
    /// [`Event::LowWater`](crate::Event::LowWater) when it is down to `low_bytes` after that. What
    /// lies between the two marks keeps it from telling each time.
    ///
    /// Nothing but telling happens at the marks. A high mark of the capacity or more is never
    /// passed; a low one above it is as high. Default: no marks.
    ///
    /// # Cost
    ///
    /// Nothing where messages are appended: the window ends at the high mark, and whoever comes to
    /// its end writes, as at any end of it. So a mark below 64 KiB makes writes as small.
    ///
    /// # Examples
    ///
    /// ```
    /// use torq_message_sink::{Buffered, Event, MemorySink, MessageSink};
    ///
    /// # tokio_test::block_on(async {
    /// let (link, peer) = MemorySink::pair(1024);
    /// peer.stall(true);
    /// let mut sink = Buffered::with_capacity(link, 4096).with_water_marks(1024, 256);
    /// for _ in 0..30 {
    ///     sink.feed([0; 60].as_slice()).await?;
    /// }
    /// assert!(sink.is_above_high_water());
    /// sink.take_events(&mut |event| {
    ///     if let Event::HighWater { endpoint, buffered_bytes, .. } = event {
    ///         println!("{endpoint} is slow: {buffered_bytes} bytes are waiting");
    ///     }
    /// });
    /// # Ok::<(), torq_message_sink::SinkError>(())
    /// # }).unwrap();
    /// ```
    pub fn with_water_marks(mut self, high_bytes: usize, low_bytes: usize) -> Self {
        self.extra.get_or_insert_default().water = Some(Water::new(high_bytes, low_bytes));
        // Of a sink that is awake: no window is wider than the mark, from the next message on.
        self.write_size = self.write_size.min(u32::try_from(high_bytes).unwrap_or(u32::MAX));
        self.store.close();
        self
    }

    /// Whether the buffer has passed its high water mark and has not been down to the low one
    /// since; false without marks.
    pub fn is_above_high_water(&self) -> bool {
        self.water().is_some_and(|water| water.is_above)
    }

    /// What becomes of a message for which there is no room.
    pub fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// The link below.
    pub fn get_ref(&self) -> &L {
        &self.link
    }

    /// Bytes of frames that it can hold.
    pub fn capacity_bytes(&self) -> usize {
        self.capacity
    }

    /// Bytes of frames that it holds.
    pub fn buffered_bytes(&self) -> usize {
        self.store.len()
    }

    #[inline]
    fn pending(&self) -> Pending<'_, F> {
        Pending::new(self.store.pending(), self.start, &self.framing)
    }
}

/// Makes one attempt to write what is left, without waiting; the rest is dropped.
impl<L: Link, F: Framing> Drop for Buffered<L, F> {
    fn drop(&mut self) {
        if !self.store.is_empty() {
            let pending = Pending::new(self.store.pending(), self.start, &self.framing);
            let _ = self.link.try_write(pending);
            self.link.end(End::Close, pending);
        }
    }
}
