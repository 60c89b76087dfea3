//! The buffering layer: makes a sink of a link. Messages are encoded once, into memory of its own,
//! and leave in large writes.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop;

use crate::buffer::{Pending, Refused, Store};
use crate::encode::Encode;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::framing::{FrameError, Framing, LengthPrefixed};
use crate::link::Link;
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, HandBack, MessageSink, Report, SinkState};

/// A sink over a link: encodes messages into a buffer and writes the buffer to the link.
///
/// Messages are written into the buffer in place, once, whatever number of links there is below.
/// The buffer is written when a write's worth has gathered, and at a flush. A frame stays in it
/// until the link's kernel has taken it whole, across any number of connections.
///
/// It wakes by itself when it is fed, with the default [`LazyPolicy`] unless a
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
    policy: Arc<LazyPolicy>,
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
            policy: LazyPolicy::shared_default(),
        }
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

    /// Feeds a message that does not fit the window, if room can be made for it.
    #[cold]
    #[inline(never)]
    fn feed_refused<M: Encode + ?Sized>(
        &mut self,
        msg: &M,
        len: usize,
    ) -> Result<(), TryFeedError> {
        let frame = self.framing.frame_size(len);
        loop {
            match self.store.append(frame, |bytes| self.framing.write_frame(msg, len, bytes)) {
                Ok(()) => return Ok(()),
                Err(Refused::NoRoom) => self.make_room(len)?,
                Err(Refused::Invalid) => return Err(TryFeedError::Invalid),
            }
        }
    }

    /// Makes room for a message of `len` bytes, or says why not. Everything that is not a plain
    /// append comes through here.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self, len: usize) -> Result<(), TryFeedError> {
        let refused = |error: SinkError| refusal(error.kind());
        let frame = self.frame_size(len).map_err(refused)?;
        if self.reopen(frame).map_err(refused)? {
            return Ok(());
        }
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let written = self.link.try_write(pending);
        self.release(frame);
        if written.is_err() || self.link.state() == SinkState::Asleep {
            self.fall_asleep();
        }
        // With room for the message an error is no reason to refuse it: it is new data, and sets
        // the link going again, as it does where a peer has gone in the meantime.
        if frame <= self.capacity - self.store.len() {
            let fits = self.open(frame) || self.reopen(frame).map_err(refused)?;
            return if fits { Ok(()) } else { Err(TryFeedError::Full) };
        }
        self.open(1);
        Err(if written.is_err() { TryFeedError::NotConnected } else { TryFeedError::Full })
    }

    /// `poll_ready` when the window is too small.
    #[cold]
    fn poll_room(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        let frame = self.frame_size(len)?;
        if self.reopen(frame)? {
            return Poll::Ready(Ok(()));
        }
        let pushed = self.poll_push(cx)?;
        self.release(frame);
        match pushed {
            _ if self.open(frame) => Poll::Ready(Ok(())),
            _ if self.phase == Phase::Asleep && self.reopen(frame)? => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
            // A link that has written everything and keeps some of it contradicts itself.
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::Other.into())),
        }
    }

    /// Writes as much as can be written; ready when that was all.
    #[inline]
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        // Writes that succeed at once never yield by themselves; whoever sends in a loop would
        // starve its neighbours.
        let budget = ready!(coop::poll_proceed(cx));
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let (end, pushed) = (pending.end(), self.link.poll_write(cx, pending));
        // Whoever waits has spent nothing: many that wait must not use up what one needs.
        if pushed.is_ready() {
            budget.made_progress();
        }
        match pushed {
            // The usual case: everything is gone, and the window opens from the start again.
            Poll::Ready(Ok(()))
                if self.link.taken() == end
                    && end != self.start
                    && self.phase == Phase::Awake
                    && !self.lagging =>
            {
                self.start = end;
                self.store.restart(self.write_size as usize, self.framing.max_frame_size());
                Poll::Ready(Ok(()))
            }
            pushed => self.after_push(pushed),
        }
    }

    /// Writes what is left and ends the connections in good order.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let budget = ready!(coop::poll_proceed(cx));
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let ended = self.link.poll_shutdown(cx, pending);
        if ended.is_ready() {
            budget.made_progress();
        }
        self.release(if ended.is_ready() { usize::MAX } else { 0 });
        if let Poll::Ready(Err(_)) = ended {
            self.fall_asleep();
        }
        ended
    }

    /// The link lags behind, or has failed.
    #[cold]
    fn after_push(&mut self, pushed: Poll<Result<(), SinkError>>) -> Poll<Result<(), SinkError>> {
        self.release(0);
        match pushed {
            Poll::Ready(Err(_)) => self.fall_asleep(),
            // A peer has gone when there was nothing more for it: the next message wakes its link.
            _ if self.link.state() == SinkState::Asleep => self.fall_asleep(),
            _ if self.phase == Phase::Awake => {
                self.open(1);
            }
            _ => {}
        }
        pushed
    }

    /// Forgets what the link has taken. What it keeps for children alone that do not gate may stay
    /// as long as the rest is room for a frame of `frame` bytes, and for half the capacity or one
    /// write.
    fn release(&mut self, frame: usize) {
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        let required = self.link.required().min(pending.end());
        if required > self.link.taken() {
            let kept = pending.end().saturating_sub(self.link.taken());
            let spare = (self.write_size as usize).min(self.capacity / 2).max(frame) as u64;
            let needed = kept.saturating_add(spare) > self.capacity as u64;
            self.link.give_way(pending, required, needed);
        }
        let taken = self.link.taken();
        // A link that claims more than it was shown is given what it was shown.
        let len = taken.saturating_sub(self.start).min(self.store.len() as u64);
        self.store.release(len as usize);
        self.start += len;
        self.lagging = !self.store.is_empty();
    }

    /// Bytes that are kept for those that gate.
    #[inline]
    fn required_len(&self) -> usize {
        let end = self.start + self.store.len() as u64;
        // At most all of the buffer, so it is a `usize`.
        (end - self.link.required().clamp(self.start, end)) as usize
    }

    /// Opens the window for a frame of `frame` bytes at least, if there is room for it. It opens to
    /// one write's worth when those that gate have everything, and to the capacity when they lag
    /// behind.
    #[inline]
    fn open(&mut self, frame: usize) -> bool {
        if self.phase != Phase::Awake {
            return false;
        }
        let write_size = self.write_size as usize;
        let room = match self.required_len() {
            0 => self.store.len().saturating_add(write_size.max(frame)),
            _ => self.capacity,
        };
        self.store.open(frame, room.min(self.capacity), self.framing.max_frame_size());
        self.store.has(frame)
    }

    /// Makes what room can be made without writing: wakes a sleeping sink, and extends a window
    /// that the largest frame had limited. True if the frame fits now.
    fn reopen(&mut self, frame: usize) -> Result<bool, SinkError> {
        if self.phase == Phase::Asleep {
            self.wake()?;
            self.open(frame);
        } else {
            self.store.refill(self.framing.max_frame_size());
        }
        Ok(self.store.has(frame))
    }

    /// Takes the memory and starts to connect.
    #[cold]
    fn wake(&mut self) -> Result<(), SinkError> {
        if !self.store.allocate(self.capacity) {
            return Err(ErrorKind::OutOfMemory.into());
        }
        if let Err(error) = self.link.wake() {
            // Still asleep, and asleep is free.
            self.fall_asleep();
            return Err(error);
        }
        self.phase = Phase::Awake;
        self.write_size = u32::try_from(self.link.write_size()).unwrap_or(u32::MAX);
        self.store.open(1, self.capacity, self.framing.max_frame_size());
        Ok(())
    }

    /// Closes the window, so that the next message finds out and wakes the sink.
    #[cold]
    fn fall_asleep(&mut self) {
        self.store.close();
        if self.phase == Phase::Awake {
            self.phase = Phase::Asleep;
        }
        if self.store.is_empty() {
            self.store.free();
        }
    }

    /// Tries a message for which the window has no room in memory of its own, if it could ever have.
    #[cold]
    fn would_carry<M: Encode + ?Sized>(&self, msg: &M, len: usize) -> bool {
        self.frame_size(len)
            .map_or(true, |frame| self.framing.write_frame(msg, len, &mut vec![0; frame]).is_ok())
    }

    /// Bytes of the frame around a payload of `len` bytes, if such a one can ever be fed.
    fn frame_size(&self, len: usize) -> Result<usize, SinkError> {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return Err(ErrorKind::Closed.into());
        }
        let available = self.capacity.min(self.framing.max_frame_size());
        let requested = self.framing.frame_size(len).unwrap_or(usize::MAX);
        if requested > available {
            return Err(ErrorKind::TooLarge { requested, available }.into());
        }
        Ok(requested)
    }

    #[inline]
    fn pending(&self) -> Pending<'_, F> {
        Pending::new(self.store.pending(), self.start, &self.framing)
    }
}

/// The refusal for an error that is met while feeding.
fn refusal(kind: ErrorKind) -> TryFeedError {
    match kind {
        ErrorKind::Closed => TryFeedError::Closed,
        ErrorKind::NoRuntime => TryFeedError::NoRuntime,
        ErrorKind::TooLarge { .. } => TryFeedError::TooLarge,
        ErrorKind::OutOfMemory => TryFeedError::Full,
        _ => TryFeedError::NotConnected,
    }
}

impl<L: Link, F: Framing> MessageSink for Buffered<L, F> {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.append(msg, len) { Ok(()) } else { self.feed_refused(msg, len) }
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        let frame = self.framing.frame_size(len);
        self.store.append(frame, |bytes| self.framing.write_frame(msg, len, bytes)).is_ok()
    }

    /// Tries the message in the free part of the window, where the framing may refuse any.
    #[inline]
    fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        if !F::REFUSES {
            return true;
        }
        let mut accepts = None;
        // An error keeps the store from appending, whatever the framing said.
        let _ = self.store.append(self.framing.frame_size(len), |bytes| {
            accepts = Some(self.framing.write_frame(msg, len, bytes).is_ok());
            Err(FrameError::Invalid("only tried"))
        });
        accepts.unwrap_or_else(|| self.would_carry(msg, len))
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        self.store.fits(self.framing.frame_size(len))
    }

    fn room(&self, len: usize) -> bool {
        self.frame_size(len).is_ok_and(|frame| frame <= self.capacity - self.required_len())
    }

    fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
        match self.framing.frame_size(len) {
            Some(frame) if self.store.has(frame) => Ok(()),
            _ => self.make_room(len),
        }
    }

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
        match self.framing.frame_size(len) {
            Some(frame) if self.store.has(frame) => Poll::Ready(Ok(())),
            _ => self.poll_room(cx, len),
        }
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if self.phase != Phase::Awake {
            if self.store.is_empty() {
                // Nothing to do, in particular nothing that would set an eager link going again.
                ready!(coop::poll_proceed(cx)).made_progress();
                return Poll::Ready(Ok(()));
            }
            if self.phase == Phase::Asleep {
                self.wake()?;
            }
        }
        self.poll_push(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closing;
            self.store.close();
            ready!(self.poll_shutdown(cx))?;
            self.store.free();
            self.phase = Phase::Closed;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        ready!(self.poll_shutdown(cx))?;
        self.fall_asleep();
        Poll::Ready(Ok(()))
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        match self.phase {
            Phase::Closing | Phase::Closed => return Poll::Ready(Err(ErrorKind::Closed.into())),
            Phase::Asleep => self.wake()?,
            Phase::Awake => {}
        }
        let budget = ready!(coop::poll_proceed(cx));
        let connected = self.link.poll_connect(cx);
        if connected.is_ready() {
            budget.made_progress();
        }
        if let Poll::Ready(Err(_)) = connected {
            self.fall_asleep();
        }
        connected
    }

    fn hurry(&mut self) {
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        self.link.hurry(pending);
    }

    fn end(&mut self, end: End) {
        let pending = Pending::new(self.store.pending(), self.start, &self.framing);
        self.link.end(end, pending);
        match end {
            End::Sleep => {
                self.release(usize::MAX);
                self.fall_asleep();
            }
            End::Close => {
                self.start += self.store.len() as u64;
                self.store.free();
                self.phase = Phase::Closed;
            }
        }
    }

    fn state(&self) -> SinkState {
        match self.phase {
            Phase::Closed => SinkState::Closed,
            _ => self.link.state(),
        }
    }

    fn accepted_bytes(&self) -> u64 {
        self.start + self.store.len() as u64
    }

    #[inline]
    fn outstanding_bytes(&self) -> u64 {
        self.store.len() as u64
    }

    fn report_into(&self, report: &mut Report) {
        let first = report.leaves.len();
        self.link.report_into(self.pending(), report);
        if self.phase == Phase::Closed {
            report.leaves.iter_mut().skip(first).for_each(|leaf| leaf.state = SinkState::Closed);
        }
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.link.take_events(each);
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.policy = policy.clone();
        self.link.set_policy(policy);
    }

    fn close_deadline(&self) -> Duration {
        self.policy.close_deadline
    }
}

impl<L: Link, F: Framing> HandBack for Buffered<L, F> {
    fn hand_back<E: FnMut(&[u8])>(&mut self, each: &mut E) {
        self.release(0);
        let pending = self.pending();
        let mut kept = pending.boundary(self.start, self.link.reached()).0;
        if kept < self.link.reached() {
            // It lies within a frame, which was begun.
            let begun = self.framing.frame_len(pending.from(kept)).ok().flatten().unwrap_or(0);
            kept = (kept + begun as u64).min(pending.end());
        }
        let mut rest = pending.from(kept);
        while let Some((payload, behind)) = self.framing.split_frame(rest) {
            each(payload);
            rest = behind;
        }
        self.store.truncate((kept - self.start) as usize);
        self.lagging = !self.store.is_empty();
        match self.phase {
            Phase::Awake => {
                self.open(1);
            }
            Phase::Asleep => self.fall_asleep(),
            Phase::Closing | Phase::Closed => {}
        }
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
