//! A sink that follows a script and records what reaches it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use super::lock;
use crate::encode::Encode;
use crate::endpoint::Endpoint;
use crate::error::{ErrorKind, SinkError, TryFeedError};
use crate::policy::LazyPolicy;
use crate::sink::{Count, End, Event, HandBack, HandedBack, MessageSink, Report, SinkState};

/// A sink without a connection, for tests of layers and of composites over sinks: it takes as many
/// messages as it is given room for, fails when told to, and keeps note of every call.
///
/// # Examples
///
/// ```
/// use torq_message_sink::testing::ScriptedSink;
/// use torq_message_sink::{Lazy, MessageSink};
///
/// let (sink, peer) = ScriptedSink::pair(1);
/// let mut sink = Lazy::new(sink);
/// sink.try_feed("a")?;
/// assert!(sink.try_feed("b").is_err_and(|refusal| refusal.is_full()));
/// assert_eq!(peer.messages(), ["a".as_bytes()]);
/// # Ok::<(), torq_message_sink::TryFeedError>(())
/// ```
#[derive(Debug)]
pub struct ScriptedSink(Arc<Mutex<State>>);

/// The other side of a [`ScriptedSink`]: it gives room, and reads what came.
#[derive(Debug)]
pub struct SinkPeer(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Messages that may still be fed.
    room: usize,
    messages: Vec<Vec<u8>>,
    /// How many of `messages` were flushed.
    flushed: usize,
    accepted_bytes: u64,
    holding: bool,
    refusing: bool,
    failure: Option<ErrorKind>,
    closed: bool,
    waker: Option<Waker>,
    calls: BTreeSet<&'static str>,
}

impl ScriptedSink {
    /// A sink with room for `room` messages, and its other side.
    #[must_use]
    pub fn pair(room: usize) -> (Self, SinkPeer) {
        let state = Arc::new(Mutex::new(State { room, ..State::default() }));
        (Self(state.clone()), SinkPeer(state))
    }

    /// A sink with room for `room` messages, for who does not look at its other side.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        Self::pair(room).0
    }

    fn called(&self, method: &'static str) -> std::sync::MutexGuard<'_, State> {
        let mut state = lock(&self.0);
        state.calls.insert(method);
        state
    }
}

impl SinkPeer {
    /// All messages accepted so far, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<Vec<u8>> {
        lock(&self.0).messages.clone()
    }

    /// How many of the messages were flushed.
    #[must_use]
    pub fn flushed(&self) -> usize {
        lock(&self.0).flushed
    }

    /// Gives room for `room` messages from now on, and wakes who waits for it.
    pub fn set_room(&self, room: usize) {
        self.change(|state| state.room = room);
    }

    /// Keeps flushes from completing, or no longer.
    pub fn hold(&self, holding: bool) {
        self.change(|state| state.holding = holding);
    }

    /// Makes readiness, flushes and feeds fail from now on, or no longer.
    pub fn fail(&self, failure: Option<ErrorKind>) {
        self.change(|state| state.failure = failure);
    }

    /// Refuses messages from now on, as a framing does that cannot carry them, or no longer.
    pub fn refuse(&self, refusing: bool) {
        self.change(|state| state.refusing = refusing);
    }

    /// Whether the sink was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }

    /// The names of the methods of [`MessageSink`] that were called since the last look.
    #[must_use]
    pub fn take_calls(&self) -> BTreeSet<&'static str> {
        std::mem::take(&mut lock(&self.0).calls)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.0);
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    /// Why a message would be refused now.
    fn refusal(&self) -> Option<TryFeedError> {
        match self {
            Self { closed: true, .. } => Some(TryFeedError::Closed),
            Self { failure: Some(_), .. } => Some(TryFeedError::NotConnected),
            Self { room: 0, .. } => Some(TryFeedError::Full),
            _ => None,
        }
    }

    fn feed<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> Result<(), TryFeedError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        if self.refusing {
            return Err(TryFeedError::Invalid);
        }
        let mut bytes = vec![0; len];
        msg.encode(&mut bytes);
        self.room -= 1;
        self.accepted_bytes += len as u64;
        self.messages.push(bytes);
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if let Some(kind) = self.failure {
            return Poll::Ready(Err(kind.into()));
        }
        if self.holding {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.flushed = self.messages.len();
        Poll::Ready(Ok(()))
    }
}

impl MessageSink for ScriptedSink {
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        self.called("try_feed").feed(msg, msg.encoded_len())
    }

    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.called("append").feed(msg, len).is_ok()
    }

    fn fits(&self, _: usize) -> bool {
        self.called("fits").refusal().is_none()
    }

    fn accepts<M: Encode + ?Sized>(&mut self, _: &M, _: usize) -> bool {
        !self.called("accepts").refusing
    }

    fn room(&self, _: usize) -> bool {
        self.called("room").refusal().is_none()
    }

    fn try_ready(&mut self, _: usize) -> Result<(), TryFeedError> {
        self.called("try_ready").refusal().map_or(Ok(()), Err)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, _: usize) -> Poll<Result<(), SinkError>> {
        let mut state = self.called("poll_ready");
        if state.closed {
            return Poll::Ready(Err(ErrorKind::Closed.into()));
        }
        if let Some(kind) = state.failure {
            return Poll::Ready(Err(kind.into()));
        }
        if state.room == 0 {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        drop(self.called("poll_feed"));
        ready!(self.poll_ready(cx, msg.encoded_len()))?;
        Poll::Ready(self.try_feed(msg).map_err(SinkError::from))
    }

    fn is_connected(&self) -> bool {
        drop(self.called("is_connected"));
        self.state() == SinkState::Connected
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.called("poll_flush").poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let mut state = self.called("poll_close");
        state.closed = true;
        state.poll_flush(cx)
    }

    fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        self.called("poll_disconnect").poll_flush(cx)
    }

    fn poll_connect(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let state = self.called("poll_connect");
        Poll::Ready(if state.closed { Err(ErrorKind::Closed.into()) } else { Ok(()) })
    }

    fn hurry(&mut self) {
        drop(self.called("hurry"));
    }

    fn end(&mut self, end: End) {
        let mut state = self.called("end");
        state.closed |= end == End::Close;
    }

    fn state(&self) -> SinkState {
        let closed = self.called("state").closed;
        if closed { SinkState::Closed } else { SinkState::Connected }
    }

    fn accepted_bytes(&self) -> u64 {
        self.called("accepted_bytes").accepted_bytes
    }

    /// The bytes of the messages that are not yet flushed.
    fn outstanding_bytes(&self) -> u64 {
        let state = self.called("outstanding_bytes");
        state.messages[state.flushed..].iter().map(|message| message.len() as u64).sum()
    }

    /// Adds no leaf.
    fn report_into(&self, _: &mut Report) {
        drop(self.called("report_into"));
    }

    /// Hands over one event each time, so that it can be seen to arrive.
    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        drop(self.called("take_events"));
        each(Event::Connected {
            service: None,
            endpoint: Endpoint::Other("scripted".into()),
            connection: 1,
            first: Count::default(),
            failures: 0,
        });
    }

    fn set_policy(&mut self, _: &Arc<LazyPolicy>) {
        drop(self.called("set_policy"));
    }

    fn due(&self) -> Option<Instant> {
        drop(self.called("due"));
        None
    }

    fn close_deadline(&self) -> Duration {
        drop(self.called("close_deadline"));
        Duration::from_secs(1)
    }
}

/// Hands back what was not flushed, and the room that it took.
impl HandBack for ScriptedSink {
    fn hand_back<E: FnMut(HandedBack<'_>)>(&mut self, each: &mut E) {
        let mut state = self.called("hand_back");
        let flushed = state.flushed;
        let handed_back = state.messages.split_off(flushed);
        state.room += handed_back.len();
        state.accepted_bytes -= handed_back.iter().map(|message| message.len() as u64).sum::<u64>();
        drop(state);
        handed_back.iter().for_each(|message| each(HandedBack::new(message)));
    }
}
