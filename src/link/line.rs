//! A link in use: writing, noticing the end, connecting anew. Made when the link is first woken.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::buffer::Pending;
use crate::error::{ErrorKind, SinkError};
use crate::framing::Framing;
use crate::link::connect::Attempt;
use crate::link::cursor::Cursor;
use crate::link::description::{Description, Identity};
use crate::link::live::{Linger, Live, Step};
use crate::link::{Connect, Skip};
use crate::policy::Reconnect;
use crate::sink::{EndCause, Event, LeafReport, SinkState};
use crate::timer;

/// What a link holds once it has been woken: its connection or attempt, and its place in the
/// stream. What it is about, its description, each call brings along.
pub(super) struct Line<C: Connect> {
    pub(super) cursor: Cursor,
    state: State<C::Io>,
    /// Attempts that failed in a row; a connection that did not last counts as one.
    failures: u32,
    /// Whether the next attempt is to be made at once.
    hurried: bool,
    /// Why the last attempt failed.
    reason: Option<Arc<io::Error>>,
    /// Whether it was closed, and not woken since.
    closed: bool,
}

enum State<I> {
    Asleep,
    Connecting(Attempt<I>),
    Connected(Live<I>),
    /// Connected, and not yet done with a frame that was left out after it was begun.
    Finishing(Live<I>, Tail),
    /// Shut down for writing, read to its end.
    Draining {
        live: Live<I>,
        linger: Linger,
    },
}

/// The end of a frame whose beginning a connection has taken.
struct Tail {
    bytes: Vec<u8>,
    /// How many of them are written.
    written: u64,
}

impl<C: Connect> Line<C> {
    pub(super) fn new(counting: bool) -> Self {
        let (cursor, state) = (Cursor::new(counting), State::Asleep);
        Self { cursor, state, failures: 0, hurried: false, reason: None, closed: false }
    }

    /// Goes on where one step was not enough.
    #[cold]
    pub(super) fn drive_on<F: Framing>(
        &mut self,
        to: &Description<C>,
        mut cx: Option<&mut Context<'_>>,
        pending: Pending<'_, F>,
        mut step: Step,
    ) -> Poll<Result<(), SinkError>> {
        loop {
            match step {
                Step::Some => {}
                Step::Behind => self.cursor.join(pending.start()),
                Step::Unconnected => {
                    ready!(self.finish_frame(to, cx.as_deref_mut()));
                    ready!(self.wait_for_connection(to, cx.as_deref_mut()))?;
                }
                Step::Lost(cause) => {
                    self.cursor.take_whole(pending);
                    self.lose(to, cause);
                }
                Step::Full => {
                    self.cursor.take_whole(pending);
                    return self.wait_for_room(to, cx);
                }
                Step::Done => {
                    self.cursor.take_whole(pending);
                    // Whatever the walk over the headers came to, all of it is written.
                    self.cursor.take_all();
                    self.catch_up(to);
                    return Poll::Ready(Ok(()));
                }
                Step::Nothing => {
                    ready!(self.finish_frame(to, cx.as_deref_mut()));
                    self.rest(to, cx);
                    self.catch_up(to);
                    return Poll::Ready(Ok(()));
                }
            }
            step = self.step(pending);
        }
    }

    /// Takes one step: one write, if there is a connection and something to write.
    #[inline(always)]
    pub(super) fn step<F: Framing>(&mut self, pending: Pending<'_, F>) -> Step {
        let Some(rest) = pending.rest(self.cursor.written) else {
            return if self.cursor.written == pending.end() { Step::Nothing } else { Step::Behind };
        };
        match &mut self.state {
            State::Connected(live) => live.write(&mut self.cursor.written, rest),
            _ => Step::Unconnected,
        }
    }

    /// Writes a frame that is not in the buffer, if there is a connection and nothing to write
    /// before it. False if there is not.
    #[cold]
    pub(super) fn write_around(
        &mut self,
        to: &Description<C>,
        start: u64,
        frame: [&[u8]; 2],
    ) -> bool {
        let State::Connected(live) = &mut self.state else { return false };
        if self.cursor.written != start {
            return false;
        }
        match live.write_both(&mut self.cursor.written, frame) {
            Step::Done => self.cursor.take_frame(),
            Step::Lost(cause) => self.lose(to, cause),
            _ => {}
        }
        true
    }

    /// Leaves out the frames up to `to`. A connection in the middle of one gets the rest of it.
    pub(super) fn skip<F: Framing>(
        &mut self,
        who: Identity,
        pending: Pending<'_, F>,
        to: u64,
        skip: Skip,
    ) {
        let Some(rest) = self.cursor.skip(who, pending, to, skip) else { return };
        // Only a connection that is up has begun a frame.
        self.state = match std::mem::replace(&mut self.state, State::Asleep) {
            State::Connected(live) => {
                State::Finishing(live, Tail { bytes: rest.to_vec(), written: 0 })
            }
            state => state,
        };
    }

    /// Nothing is left to write: whoever is connected then has all that it has not missed.
    fn catch_up(&mut self, to: &Description<C>) {
        if self.cursor.is_behind()
            && let State::Connected(_) = self.state
        {
            self.cursor.catch_up(to.identity());
        }
    }

    /// Writes the rest of a frame that was left out after it was begun, if there is one; ready when
    /// there is none any more, the connection's end included.
    #[cold]
    fn finish_frame(&mut self, to: &Description<C>, mut cx: Option<&mut Context<'_>>) -> Poll<()> {
        while let State::Finishing(live, tail) = &mut self.state {
            let rest = tail.bytes.get(tail.written as usize..).unwrap_or_default();
            match live.write(&mut tail.written, rest) {
                Step::Done => {
                    self.cursor.finish_begun();
                    self.state = match std::mem::replace(&mut self.state, State::Asleep) {
                        State::Finishing(live, _) => State::Connected(live),
                        state => state,
                    };
                }
                Step::Some => {}
                Step::Lost(cause) => self.lose(to, cause),
                _ => match cx.as_deref_mut().map_or(Ok(()), |cx| live.wait_for_room(cx)) {
                    Ok(()) => return Poll::Pending,
                    Err(cause) => self.lose(to, cause),
                },
            }
        }
        Poll::Ready(())
    }

    /// Whether a frame that was left out is still to be finished.
    pub(super) fn is_finishing(&self) -> bool {
        matches!(self.state, State::Finishing(..))
    }

    /// Nothing to write: listens, so that a peer that talks is not held up and one that closes is
    /// noticed. An eager link sees to it that it stays connected.
    #[cold]
    fn rest(&mut self, to: &Description<C>, mut cx: Option<&mut Context<'_>>) {
        if let State::Connected(live) = &mut self.state
            && let Some(cause) = live.listen(cx.as_deref_mut())
        {
            self.lose(to, cause);
        }
        let eager = to.policy.reconnect == Reconnect::Eager;
        let lost = matches!(self.state, State::Asleep | State::Connecting(_));
        if eager && lost && self.cursor.has_connected() {
            // What comes of it, the next call with data will say.
            let _ = self.wait_for_connection(to, cx);
        }
    }

    /// The socket is full: asks to be called again when there is room, or when the peer closes.
    #[cold]
    fn wait_for_room(
        &mut self,
        to: &Description<C>,
        cx: Option<&mut Context<'_>>,
    ) -> Poll<Result<(), SinkError>> {
        if let (Some(cx), State::Connected(live)) = (cx, &mut self.state)
            && let Err(cause) = live.wait_for_room(cx)
        {
            self.lose(to, cause);
        }
        Poll::Pending
    }

    pub(super) fn poll_connect(
        &mut self,
        to: &Description<C>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SinkError>> {
        if let State::Connected(live) = &mut self.state
            && let Some(cause) = live.discard()
        {
            self.lose(to, cause);
        }
        match self.state {
            State::Connected(_) => Poll::Ready(Ok(())),
            _ => self.wait_for_connection(to, Some(cx)),
        }
    }

    /// Takes the steps to a connection; ready when there is one.
    #[cold]
    fn wait_for_connection(
        &mut self,
        to: &Description<C>,
        mut cx: Option<&mut Context<'_>>,
    ) -> Poll<Result<(), SinkError>> {
        self.wake(to)?;
        let State::Connecting(attempt) = &mut self.state else { return Poll::Ready(Ok(())) };
        let mut outcome = ready!(attempt.poll(cx.as_deref_mut()));
        self.failures = attempt.failures();
        if outcome.is_none() {
            // The runtime that the attempt was made on is gone; this one may do.
            self.give_up(to, None);
            self.connect(to, false)?;
            if let State::Connecting(attempt) = &mut self.state {
                outcome = ready!(attempt.poll(cx));
            }
        }
        let Some(outcome) = outcome else {
            self.give_up(to, None);
            return Poll::Ready(Err(to.identity().error(ErrorKind::NoRuntime)));
        };
        match outcome {
            Ok(io) => {
                self.take_steps();
                self.state = State::Connected(Live::new(io));
                self.reason = None;
                self.cursor.begin(to.identity(), self.failures);
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.give_up(to, Some(error.clone()));
                Poll::Ready(Err(to.identity().unreachable(self.failures, error)))
            }
        }
    }

    pub(super) fn wake(&mut self, to: &Description<C>) -> Result<(), SinkError> {
        if matches!(self.state, State::Draining { .. }) {
            // The shutdown is given up in favour of new data.
            self.hang_up(to, EndCause::HungUp);
        }
        match self.state {
            State::Asleep => self.connect(to, false),
            _ => Ok(()),
        }
    }

    /// Starts to connect; `at_once` leaves out the wait that the failures so far ask for.
    fn connect(&mut self, to: &Description<C>, at_once: bool) -> Result<(), SinkError> {
        let runtime = timer::runtime().ok_or_else(|| to.identity().error(ErrorKind::NoRuntime))?;
        let at_once = std::mem::take(&mut self.hurried) || at_once;
        // It may take the place of one that waits.
        self.take_steps();
        self.closed = false;
        self.state = State::Connecting(Attempt::spawn(
            &runtime,
            to,
            self.failures,
            self.reason.clone(),
            at_once,
        ));
        Ok(())
    }

    /// No connection is being made any more, for this error or for the attempt's last one.
    fn give_up(&mut self, to: &Description<C>, error: Option<Arc<io::Error>>) {
        self.take_steps();
        if let State::Connecting(attempt) = std::mem::replace(&mut self.state, State::Asleep) {
            self.failures = attempt.failures();
            self.reason = error.or_else(|| attempt.error());
        }
        let failures = self.failures;
        let error = self.reason.clone().map(|error| to.identity().unreachable(failures, error));
        let Identity { service, endpoint } = to.identity();
        self.cursor.events.push(Event::GaveUp { service, endpoint, failures, error });
    }

    /// Takes over what the attempt that is being made has to tell.
    fn take_steps(&mut self) {
        if let State::Connecting(attempt) = &self.state {
            attempt.tell(&mut self.cursor.events);
        }
    }

    /// Hands over the events so far.
    pub(super) fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        self.take_steps();
        self.cursor.events.take(each);
    }

    /// Ends for good.
    pub(super) fn close(&mut self, to: &Description<C>) {
        if !std::mem::replace(&mut self.closed, true) {
            let Identity { service, endpoint } = to.identity();
            self.cursor.events.push(Event::Closed { service, endpoint });
        }
    }

    /// One attempt at once, also if it turns out only later that there is no connection.
    pub(super) fn hurry(&mut self, to: &Description<C>) {
        self.hurried = true;
        match &self.state {
            State::Connecting(attempt) if attempt.is_waiting() => {
                self.failures = attempt.failures();
                self.reason = attempt.error();
            }
            State::Asleep => {}
            _ => return,
        }
        // Outside a runtime nothing can be hurried; whoever polls next is told so.
        let _ = self.connect(to, true);
    }

    /// Everything is written: ends the connection in good order.
    pub(super) fn poll_drain(&mut self, to: &Description<C>, cx: &mut Context<'_>) -> Poll<()> {
        self.hurried = false;
        if let State::Connected(_) = self.state
            && let State::Connected(mut live) = std::mem::replace(&mut self.state, State::Asleep)
        {
            if let Some(cause) = live.shut_down() {
                self.settle(to, live.uptime(), cause);
                drop(live);
                self.cursor.finish(to.identity(), cause);
                return Poll::Ready(());
            }
            self.state = State::Draining { live, linger: Linger::default() };
        }
        let cause = match &mut self.state {
            State::Draining { live, linger } => {
                ready!(live.poll_drain(linger, self.cursor.written_on_connection(), cx))
            }
            _ => EndCause::HungUp,
        };
        self.hang_up(to, cause);
        Poll::Ready(())
    }

    /// The connection is lost.
    #[cold]
    fn lose(&mut self, to: &Description<C>, cause: EndCause) {
        if let State::Connected(live) | State::Finishing(live, _) = &self.state {
            self.settle(to, live.uptime(), cause);
        }
        self.state = State::Asleep;
        self.cursor.finish(to.identity(), cause);
    }

    /// Ends the connection or attempt without waiting, and gives up what was hurried.
    pub(super) fn end(&mut self, to: &Description<C>) {
        self.hang_up(to, EndCause::HungUp);
        self.hurried = false;
    }

    fn hang_up(&mut self, to: &Description<C>, cause: EndCause) {
        if let State::Connecting(_) = self.state {
            return self.give_up(to, None);
        }
        match std::mem::replace(&mut self.state, State::Asleep) {
            State::Asleep | State::Connecting(_) => {}
            State::Connected(mut live)
            | State::Finishing(mut live, _)
            | State::Draining { mut live, .. } => {
                let _ = live.shut_down();
                self.settle(to, live.uptime(), cause);
                drop(live);
                self.cursor.finish(to.identity(), cause);
            }
        }
    }

    /// What a connection's end means for the back-off: it starts over if the connection has lasted.
    /// One that did not last counts as a failed attempt if the peer ended it, or a peer that
    /// accepts and closes at once would be stormed.
    fn settle(&mut self, to: &Description<C>, uptime: Duration, cause: EndCause) {
        if uptime >= to.policy.min_uptime {
            self.failures = 0;
        } else if matches!(cause, EndCause::PeerClosed | EndCause::Failed(_)) {
            self.failures = self.failures.saturating_add(1);
        }
    }

    #[inline]
    pub(super) fn state(&self) -> SinkState {
        match &self.state {
            State::Asleep => SinkState::Asleep,
            State::Connecting(attempt) if attempt.is_waiting() => SinkState::BackingOff,
            State::Connecting(_) => SinkState::Connecting,
            // A connection that says goodbye is one still.
            State::Connected(_) | State::Finishing(..) | State::Draining { .. } => {
                SinkState::Connected
            }
        }
    }

    pub(super) fn report<F: Framing>(
        &self,
        to: &Description<C>,
        pending: Pending<'_, F>,
    ) -> LeafReport {
        let mut leaf = self.cursor.report(to.identity(), self.state(), pending);
        let (failures, reason) = match &self.state {
            State::Connecting(attempt) => (attempt.failures(), attempt.error()),
            _ => (self.failures, self.reason.clone()),
        };
        leaf.error = reason.map(|error| to.identity().unreachable(failures, error));
        leaf
    }
}
