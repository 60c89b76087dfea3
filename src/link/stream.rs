//! The link over one byte stream at a time: writing, noticing the end, connecting anew.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Sleep;

use crate::buffer::Pending;
use crate::error::{ErrorKind, SinkError};
use crate::framing::Framing;
use crate::link::connect::Attempt;
use crate::link::cursor::Cursor;
use crate::link::identity::Identity;
use crate::link::live::{Live, Step};
use crate::link::{Connect, Link};
use crate::policy::{LazyPolicy, Reconnect};
use crate::sink::{End, EndCause, Event, Report, SinkState};
use crate::timer;

/// A link over connections of one kind, made one after the other as they are needed.
///
/// [`TcpSink`](crate::TcpSink) and [`UnixSink`](crate::UnixSink) are such links. It connects when
/// there is data, writes, notices a peer that has closed before it writes on, keeps each frame
/// until it was taken whole, and repeats the one that a connection's end cut off from its first
/// byte.
///
/// # Cost
///
/// Asleep it holds no file descriptor, no task and no buffer. Connecting is one task; connected
/// there is none.
///
/// # Examples
///
/// A link of one's own, to a place that takes everything and says nothing:
///
/// ```
/// use std::{io, task::{Context, Poll}, time::Duration};
/// use torq_message_sink::{Buffered, Connect, Endpoint, Io, MessageSink, StreamLink};
///
/// /// A place that swallows everything.
/// #[derive(Clone)]
/// struct Void;
///
/// impl Connect for Void {
///     type Io = Void;
///     fn connect(&self, _: Duration) -> impl Future<Output = io::Result<Void>> + Send + 'static {
///         std::future::ready(Ok(Void))
///     }
///     fn endpoint(&self) -> Endpoint {
///         Endpoint::Other("void".into())
///     }
/// }
///
/// impl Io for Void {
///     fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
///         Err(io::ErrorKind::WouldBlock.into())
///     }
///     fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         Ok(bytes.len())
///     }
///     fn poll_read_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
///         Poll::Pending
///     }
///     fn poll_write_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
///         Poll::Ready(Ok(()))
///     }
///     fn shutdown(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// # tokio_test::block_on(async {
/// let mut sink = Buffered::new(StreamLink::with_connector(Void));
/// sink.send("into the void").await?;
/// # Ok::<(), torq_message_sink::SinkError>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct StreamLink<C: Connect> {
    connector: C,
    service: Option<Arc<str>>,
    policy: Option<Arc<LazyPolicy>>,
    state: State<C::Io>,
    cursor: Cursor,
    /// Attempts that failed in a row; a connection that did not last counts as one.
    failures: u32,
    /// Why the last of them failed.
    reason: Option<Arc<io::Error>>,
    /// Whether the next attempt is to be made at once.
    hurried: bool,
    /// The policy's, where each write can see it.
    counting: bool,
}

#[derive(Debug)]
enum State<I> {
    Asleep,
    Connecting(Attempt<I>),
    Connected(Live<I>),
    /// Shut down for writing, read to its end.
    Draining {
        live: Live<I>,
        /// Set while waiting for a peer that has never said anything.
        linger: Option<Pin<Box<Sleep>>>,
    },
}

impl<C: Connect> StreamLink<C> {
    /// A link that sleeps until there is data.
    pub fn with_connector(connector: C) -> Self {
        Self {
            connector,
            service: None,
            policy: None,
            state: State::Asleep,
            cursor: Cursor::default(),
            failures: 0,
            hurried: false,
            reason: None,
            counting: false,
        }
    }

    /// Gives the link the name of the service it leads to, for errors, reports and events.
    #[must_use]
    pub fn with_service(mut self, service: impl Into<Arc<str>>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// What makes the connections.
    pub fn connector(&self) -> &C {
        &self.connector
    }

    pub(crate) fn connector_mut(&mut self) -> &mut C {
        &mut self.connector
    }

    /// Takes steps until everything is written, or nothing moves without waiting. Without a `cx`
    /// it registers no waker.
    #[inline(always)]
    fn drive<F: Framing>(
        &mut self,
        cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        // The usual case, in line: connected, the peer is there, and the kernel takes all at once.
        let first = self.step(pending);
        match first {
            Step::Done if !self.counting => {
                self.cursor.take_all();
                Poll::Ready(Ok(()))
            }
            _ => self.drive_on(cx, pending, first),
        }
    }

    /// Goes on where one step was not enough.
    #[cold]
    fn drive_on<F: Framing>(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
        mut step: Step,
    ) -> Poll<Result<(), SinkError>> {
        loop {
            match step {
                Step::Some => {}
                Step::Behind => self.cursor.join(pending.start()),
                Step::Unconnected => ready!(self.wait_for_connection(cx.as_deref_mut()))?,
                Step::Lost(cause) => {
                    self.take_whole(pending);
                    self.lose(cause);
                }
                Step::Full => {
                    self.take_whole(pending);
                    return self.wait_for_room(cx);
                }
                Step::Done => {
                    self.take_whole(pending);
                    // Whatever the walk over the headers came to, all of it is written.
                    self.cursor.take_all();
                    return Poll::Ready(Ok(()));
                }
                Step::Nothing => {
                    self.rest(cx);
                    return Poll::Ready(Ok(()));
                }
            }
            step = self.step(pending);
        }
    }

    /// Takes one step: one write, if there is a connection and something to write.
    #[inline(always)]
    fn step<F: Framing>(&mut self, pending: Pending<'_, F>) -> Step {
        let rest = pending.from(self.cursor.written);
        if rest.is_empty() {
            return if self.cursor.written == pending.end() { Step::Nothing } else { Step::Behind };
        }
        match &mut self.state {
            State::Connected(live) => live.write(&mut self.cursor.written, rest),
            _ => Step::Unconnected,
        }
    }

    /// Finds the boundary of what was written whole.
    fn take_whole<F: Framing>(&mut self, pending: Pending<'_, F>) {
        self.cursor.take_whole(pending, self.counting);
    }

    /// Nothing to write: listens, so that a peer that talks is not held up and one that closes is
    /// noticed. An eager link sees to it that it stays connected.
    #[cold]
    fn rest(&mut self, mut cx: Option<&mut Context<'_>>) {
        if let State::Connected(live) = &mut self.state
            && let Some(cause) = live.listen(cx.as_deref_mut())
        {
            self.lose(cause);
        }
        let eager = self.policy.as_ref().is_some_and(|p| p.reconnect == Reconnect::Eager);
        let lost = matches!(self.state, State::Asleep | State::Connecting(_));
        if eager && lost && self.cursor.has_connected() {
            // What comes of it, the next call with data will say.
            let _ = self.wait_for_connection(cx);
        }
    }

    /// The socket is full: asks to be called again when there is room, or when the peer closes.
    #[cold]
    fn wait_for_room(&mut self, cx: Option<&mut Context<'_>>) -> Poll<Result<(), SinkError>> {
        if let (Some(cx), State::Connected(live)) = (cx, &mut self.state)
            && let Err(cause) = live.wait_for_room(cx)
        {
            self.lose(cause);
        }
        Poll::Pending
    }

    /// Takes the steps to a connection; ready when there is one.
    #[cold]
    fn wait_for_connection(
        &mut self,
        mut cx: Option<&mut Context<'_>>,
    ) -> Poll<Result<(), SinkError>> {
        self.wake()?;
        let State::Connecting(attempt) = &mut self.state else { return Poll::Ready(Ok(())) };
        let mut outcome = ready!(attempt.poll(cx.as_deref_mut()));
        self.failures = attempt.failures();
        if outcome.is_none() {
            // The runtime that the attempt was made on is gone; this one may do.
            self.state = State::Asleep;
            self.connect(false)?;
            if let State::Connecting(attempt) = &mut self.state {
                outcome = ready!(attempt.poll(cx));
            }
        }
        let Some(outcome) = outcome else {
            self.state = State::Asleep;
            return Poll::Ready(Err(self.error(ErrorKind::NoRuntime)));
        };
        match outcome {
            Ok(io) => {
                self.state = State::Connected(Live::new(io));
                self.reason = None;
                let who = identity(&self.connector, &self.service, self.counting);
                self.cursor.begin(who, self.failures);
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.state = State::Asleep;
                self.reason = Some(error.clone());
                Poll::Ready(Err(self.unreachable(self.failures, error)))
            }
        }
    }

    /// The connection is lost.
    #[cold]
    fn lose(&mut self, cause: EndCause) {
        if let State::Connected(live) = &self.state {
            self.settle(live.uptime(), cause);
        }
        self.state = State::Asleep;
        self.finish(cause);
    }

    /// What a connection's end means for the back-off: it starts over if the connection has lasted.
    /// One that did not last counts as a failed attempt if the peer ended it, or a peer that
    /// accepts and closes at once would be stormed.
    fn settle(&mut self, uptime: Duration, cause: EndCause) {
        let min_uptime = self.policy.as_ref().map_or(Duration::ZERO, |p| p.min_uptime);
        if uptime >= min_uptime {
            self.failures = 0;
        } else if matches!(cause, EndCause::PeerClosed | EndCause::Failed(_)) {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Starts to connect; `at_once` leaves out the wait that the failures so far ask for.
    fn connect(&mut self, at_once: bool) -> Result<(), SinkError> {
        let runtime = timer::runtime().ok_or_else(|| self.error(ErrorKind::NoRuntime))?;
        let at_once = std::mem::take(&mut self.hurried) || at_once;
        let policy = self.policy.get_or_insert_default();
        let failures = self.failures;
        let attempt = Attempt::spawn(&runtime, &self.connector, policy, failures, at_once);
        self.state = State::Connecting(attempt);
        Ok(())
    }

    /// Ends the connection or attempt without waiting.
    fn hang_up(&mut self, cause: EndCause) {
        match std::mem::replace(&mut self.state, State::Asleep) {
            State::Asleep => {}
            State::Connecting(attempt) => {
                self.failures = attempt.failures();
                self.reason = attempt.error().or_else(|| self.reason.take());
            }
            State::Connected(mut live) | State::Draining { mut live, .. } => {
                let _ = live.shut_down();
                self.settle(live.uptime(), cause);
                drop(live);
                self.finish(cause);
            }
        }
    }

    fn finish(&mut self, cause: EndCause) {
        self.cursor.finish(identity(&self.connector, &self.service, self.counting), cause);
    }

    fn unreachable(&self, failures: u32, error: Arc<io::Error>) -> SinkError {
        self.error(ErrorKind::Unreachable).with_attempt(failures).with_source(error)
    }

    fn error(&self, kind: ErrorKind) -> SinkError {
        let error = SinkError::new(kind).with_endpoint(self.connector.endpoint());
        match &self.service {
            Some(service) => error.with_service(service.clone()),
            None => error,
        }
    }
}

/// Takes the fields it needs one by one, so that the cursor can be borrowed beside them.
fn identity<'a, C: Connect>(
    connector: &C,
    service: &'a Option<Arc<str>>,
    counting: bool,
) -> Identity<'a> {
    Identity { service: service.as_ref(), endpoint: connector.endpoint(), counting }
}

impl<C: Connect> Link for StreamLink<C> {
    fn wake(&mut self) -> Result<(), SinkError> {
        if matches!(self.state, State::Draining { .. }) {
            // The shutdown is given up in favour of new data.
            self.hang_up(EndCause::HungUp);
        }
        match self.state {
            State::Asleep => self.connect(false),
            _ => Ok(()),
        }
    }

    #[inline]
    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
        match self.drive(None, pending) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    // Out of line, as it would be where several stacks have such a link, it costs 20 instructions a
    // flush and child.
    #[inline(always)]
    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        self.drive(Some(cx), pending)
    }

    #[inline]
    fn taken(&self) -> u64 {
        self.cursor.taken
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        if let State::Connected(live) = &mut self.state
            && let Some(cause) = live.discard()
        {
            self.lose(cause);
        }
        match self.state {
            State::Connected(_) => Poll::Ready(Ok(())),
            _ => self.wait_for_connection(Some(cx)),
        }
    }

    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        if self.cursor.written != pending.end() {
            ready!(self.drive(Some(cx), pending))?;
        }
        self.hurried = false;
        if let State::Connected(_) = self.state
            && let State::Connected(mut live) = std::mem::replace(&mut self.state, State::Asleep)
        {
            if let Some(cause) = live.shut_down() {
                self.settle(live.uptime(), cause);
                drop(live);
                self.finish(cause);
                return Poll::Ready(Ok(()));
            }
            self.state = State::Draining { live, linger: None };
        }
        let cause = match &mut self.state {
            State::Draining { live, linger } => {
                ready!(live.poll_drain(linger, self.cursor.written_on_connection(), cx))
            }
            _ => EndCause::HungUp,
        };
        self.hang_up(cause);
        Poll::Ready(Ok(()))
    }

    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
        self.hang_up(EndCause::HungUp);
        self.hurried = false;
        if end == End::Close {
            let who = identity(&self.connector, &self.service, self.counting);
            self.cursor.drop_rest(who, pending);
        }
    }

    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
        if self.cursor.written == pending.end() {
            return;
        }
        // Also if it turns out only later that there is no connection.
        self.hurried = true;
        match &self.state {
            State::Connecting(attempt) if attempt.is_waiting() => {
                self.failures = attempt.failures();
                self.reason = attempt.error().or_else(|| self.reason.take());
            }
            State::Asleep => {}
            _ => return,
        }
        // Outside a runtime nothing can be hurried; whoever polls next is told so.
        let _ = self.connect(true);
    }

    #[inline]
    fn state(&self) -> SinkState {
        match &self.state {
            State::Asleep => SinkState::Asleep,
            State::Connecting(attempt) if attempt.is_waiting() => SinkState::BackingOff,
            State::Connecting(_) => SinkState::Connecting,
            // A connection that says goodbye is one still.
            State::Connected(_) | State::Draining { .. } => SinkState::Connected,
        }
    }

    #[inline]
    fn write_size(&self) -> usize {
        self.connector.write_size()
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        self.policy = Some(policy.clone());
        self.counting = policy.counting;
    }

    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
        let who = identity(&self.connector, &self.service, self.counting);
        let mut leaf = self.cursor.report(who, self.state(), pending);
        let (failures, reason) = match &self.state {
            State::Connecting(attempt) => (attempt.failures(), attempt.error()),
            _ => (self.failures, None),
        };
        leaf.error =
            reason.or_else(|| self.reason.clone()).map(|error| self.unreachable(failures, error));
        report.leaves.push(leaf);
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.cursor.take_events(each);
    }
}

/// A dropped link says goodbye as well as it can without waiting.
impl<C: Connect> Drop for StreamLink<C> {
    fn drop(&mut self) {
        self.hang_up(EndCause::HungUp);
    }
}
