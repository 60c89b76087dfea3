//! The deadline layer: what comes too late is not sent.

use std::time::{Duration, Instant};

use crate::buffer::{Backlog, Marks, Record};
use crate::encode::Encode;
use crate::forward_sink;
use crate::layer::hold::{Below, Hold, Queue, count, held, sooner};
use crate::sink::{Count, DropReason, Dropped, HandBack, HandedBack, MessageSink};

/// Drops messages whose [deadline](Encode::deadline) has passed before they could be written,
/// instead of sending what nobody wants any more: yesterday's quotes after an outage.
///
/// Messages without a deadline pass, unless there is a [maximum age](Self::with_max_age) for them.
/// A message that is too late when it is fed is accepted and dropped. One that becomes too late
/// while it waits is dropped before the next write: as long as no byte of it has gone to a
/// connection that is up, whatever buffer it lies in. Drops are counted as
/// [`expired`](Dropped::expired) in [`Report::dropped`](crate::Report::dropped), and what waits here
/// as [`unfed`](crate::Report::unfed), both as frames of the default framing.
///
/// While the sink below is away messages wait here, those that it had not written yet before the
/// others; connected again, it gets those that are still fresh, in order. With no room left, feeding
/// waits as it does elsewhere, but what has expired makes room.
///
/// # Place
///
/// Over the buffer whose messages may get too old, with a [`Lazy`](crate::Lazy) above or between:
/// `Lazy<Deadline<Buffered<TcpSink>>>`. Over a fan-out of links it holds back what is for all while
/// one that counts is away; a layer for each peer does not:
/// `Fanout<(Deadline<Buffered<TcpSink>>, Deadline<Buffered<UnixSink>>)>`. It knows its messages
/// again by counting those that come back: no layer that drops any stands between it and the
/// buffer, the buffer does not [drop the newest](crate::WhenFull::DropNewest), and it stands neither
/// above nor below a [`Conflate`](crate::Conflate). A [`Failover`](crate::Failover) above it takes the
/// deadlines along to the next target.
///
/// # Cost
///
/// A comparison and a count per message. One with a deadline takes a look at the clock, and 56 bytes
/// remembered until the next flush that writes everything. A flush looks at the clock if there are
/// such messages.
///
/// The memory is taken when messages begin to wait, and given back with a disconnect: at most three
/// times the capacity, and as much for what the buffer below can hold, each of whose messages counts
/// with 80 bytes more than it has.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use torq_message_sink::{Buffered, Deadline, MemorySink, MessageSink, WithDeadline};
///
/// # tokio_test::block_on(async {
/// let (link, peer) = MemorySink::pair(1024);
/// let mut sink = Deadline::new(Buffered::new(link));
/// let now = Instant::now();
/// sink.feed(&WithDeadline(now, "too late")).await?;
/// sink.feed(&WithDeadline(now + Duration::from_secs(60), "tick")).await?;
/// sink.flush().await?;
/// assert_eq!(peer.accept().expect("connected").read(), b"\0\0\0\x04tick");
/// assert_eq!(sink.report().dropped.expired.messages, Some(1));
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct Deadline<S: HandBack> {
    hold: Hold<S, Fresh>,
}

impl<S: HandBack> Deadline<S> {
    /// Bytes of messages that can wait unless another capacity is asked for: 256 KiB.
    pub const DEFAULT_CAPACITY: usize = 256 * 1024;

    /// Lets nothing through to `inner` that is too late.
    pub fn new(inner: S) -> Self {
        Self::with_capacity(inner, Self::DEFAULT_CAPACITY)
    }

    /// As [`new`](Self::new), with room for `capacity_bytes` bytes of messages that wait while
    /// `inner` is away, each counted with 80 bytes more than it has. What `inner` hands back counts
    /// too, so this should be more than what the buffer below can hold.
    pub fn with_capacity(inner: S, capacity_bytes: usize) -> Self {
        const { assert!(!S::MARKED, "a `Deadline` cannot stand above a `Deadline` or `Conflate`") };
        let backlog = Backlog::new(capacity_bytes);
        Self { hold: Hold::new(inner, Fresh { backlog, max_age: None, earliest: None }) }
    }

    /// Gives messages that have no deadline one of this long after they were accepted. Each takes a
    /// look at the clock then.
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.hold.queue_mut().max_age = Some(max_age);
        self
    }

    /// The sink below.
    pub fn get_ref(&self) -> &S {
        self.hold.get_ref()
    }
}

impl<S: HandBack> MessageSink for Deadline<S> {
    forward_sink! { hold:
        try_feed append fits accepts room try_ready poll_ready poll_feed poll_flush poll_close
        poll_disconnect poll_connect hurry end state is_connected accepted_bytes outstanding_bytes
        report_into take_events set_policy due close_deadline
    }
}

impl<S: HandBack> HandBack for Deadline<S> {
    const MARKED: bool = true;

    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        self.hold.hand_back(each);
    }
}

/// Messages in the order of arrival, as long as they are fresh.
#[derive(Debug)]
struct Fresh {
    backlog: Backlog,
    max_age: Option<Duration>,
    /// No deadline of a message that waits is earlier.
    earliest: Option<Instant>,
}

impl Fresh {
    /// Drops what has expired at the front, which is everything where all live equally long.
    fn drop_late(&mut self, dropped: &mut Dropped) {
        if !is_over(self.earliest) {
            return;
        }
        let now = now();
        while let Some(first) = self.backlog.front()
            && first.marks.deadline.is_some_and(|deadline| deadline <= now)
        {
            dropped.add(DropReason::Expired, count(first.payload.len()));
            self.backlog.pop();
        }
        if self.backlog.is_empty() {
            self.earliest = None;
        }
    }

    /// Drops what has expired anywhere.
    #[cold]
    fn drop_all_late(&mut self, dropped: &mut Dropped) {
        let (now, mut earliest) = (now(), None);
        self.backlog.retain(|message| {
            let deadline = message.marks.deadline;
            let fresh = deadline.is_none_or(|deadline| deadline > now);
            if fresh {
                earliest = sooner(earliest, deadline);
            } else {
                dropped.add(DropReason::Expired, count(message.payload.len()));
            }
            fresh
        });
        self.earliest = earliest;
    }
}

impl<S: HandBack> Queue<S> for Fresh {
    #[inline(always)]
    fn admit<M: Encode + ?Sized>(&self, msg: &M) -> Option<Marks> {
        let mut marks = Marks::of(msg);
        if let Some(deadline) = marks.deadline {
            if is_past(deadline) {
                return None;
            }
        } else if let Some(age) = self.max_age {
            marks.deadline = after(age);
        }
        Some(marks)
    }

    #[inline(always)]
    fn remembers(&self, marks: &Marks) -> bool {
        marks.deadline.is_some()
    }

    #[inline]
    fn is_stale(&self, below: &Below) -> bool {
        is_over(below.earliest())
    }

    fn outdates(&self) -> bool {
        false
    }

    fn take_back(&mut self, inner: &mut S, below: &mut Below, _: &mut Dropped) -> usize {
        let back = below.take_back(inner, &mut self.backlog);
        self.earliest = sooner(self.earliest, back.earliest);
        back.count
    }

    fn allocate(&mut self) -> Option<()> {
        self.backlog.allocate()
    }

    fn fits(&self, len: usize) -> bool {
        self.backlog.fits(len)
    }

    fn makes_room(&mut self, len: usize, _: Option<&Marks>, dropped: &mut Dropped) -> bool {
        if !self.backlog.fits(len) {
            self.drop_late(dropped);
        }
        if !self.backlog.fits(len) && is_over(self.earliest) {
            self.drop_all_late(dropped);
        }
        self.backlog.fits(len)
    }

    fn push<M: Encode + ?Sized>(&mut self, msg: &M, len: usize, marks: Marks, _: &mut Dropped) {
        self.earliest = sooner(self.earliest, marks.deadline);
        self.backlog.push(msg, len, marks);
    }

    fn front(&mut self, dropped: &mut Dropped) -> Option<Record<'_>> {
        self.drop_late(dropped);
        self.backlog.front()
    }

    fn pop(&mut self) {
        self.backlog.pop();
    }

    fn held(&self) -> Count {
        held(&self.backlog)
    }

    fn due(&self) -> Option<Instant> {
        self.earliest.filter(|earliest| *earliest > now())
    }

    fn len(&self) -> usize {
        self.backlog.len()
    }

    fn clear(&mut self) {
        self.backlog.clear();
        self.earliest = None;
    }
}

/// The clock of the runtime, which tests can stop.
#[inline]
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Whether that instant has come. Out of line, so that messages without a deadline pay nothing.
#[inline(never)]
fn is_past(instant: Instant) -> bool {
    instant <= now()
}

/// The instant so long after this one, if the clock gets there. Out of line, as above.
#[inline(never)]
fn after(age: Duration) -> Option<Instant> {
    now().checked_add(age)
}

/// Whether that instant has come. Looks at the clock only if there is one.
#[inline]
fn is_over(instant: Option<Instant>) -> bool {
    instant.is_some_and(is_past)
}
