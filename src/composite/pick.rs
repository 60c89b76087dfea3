//! Composites that bring each message to one of their children: an order to ask them in, and the
//! first that takes it.
//!
//! The children asked are those whose peer is there, or if there are none, all others: see
//! [`Class`].

use std::ops::{Range, RangeInclusive};
use std::task::{Context, Poll};

use smallvec::SmallVec;

use crate::composite::each::Step;
use crate::composite::{SinkSet, VisitSink, VisitSinkMut};
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::sink::{MessageSink, SinkState};

/// Within `impl MessageSink` of a composite that brings each message to one of its `children`,
/// defines the named methods: what one child can do, the composite can.
macro_rules! any_child {
    ($($method:ident)+) => { $(any_child!(@$method);)+ };
    (@room) => {
        fn room(&self, len: usize) -> bool {
            $crate::composite::pick::room(&self.children, len)
        }
    };
    (@try_ready) => {
        fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError> {
            let ready = $crate::composite::pick::try_ready(&mut self.children, len);
            self.promised |= ready.is_ok();
            ready
        }
    };
    (@poll_ready) => {
        fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>> {
            let ready = $crate::composite::pick::poll_ready(&mut self.children, cx, len);
            self.promised |= matches!(ready, Poll::Ready(Ok(())));
            ready
        }
    };
    (@poll_connect) => {
        /// Waits for one child.
        fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
            $crate::composite::pick::poll_connect(&mut self.children, cx)
        }
    };
    (@state) => {
        /// The best state of any child.
        fn state(&self) -> SinkState {
            $crate::composite::pick::best_state(&self.children)
        }
    };
    (@is_connected) => {
        /// Whether a child is.
        fn is_connected(&self) -> bool {
            $crate::composite::pick::any_connected(&self.children)
        }
    };
}
pub(super) use any_child;

/// Messages that each child has accepted, of the children that were fed so far.
#[derive(Debug, Default)]
pub(super) struct Distribution(SmallVec<[u64; 8]>);

impl Distribution {
    pub(super) fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// Child `index` has accepted a message.
    #[inline]
    pub(super) fn count(&mut self, index: usize) {
        match self.0.get_mut(index) {
            Some(fed) => *fed += 1,
            None => self.count_first(index),
        }
    }

    #[cold]
    fn count_first(&mut self, index: usize) {
        self.0.resize(index, 0);
        self.0.push(1);
    }
}

/// Feeds child `index` alone, and only if it is connected and takes the message as it is; says how
/// many children there are if it did.
#[inline]
pub(super) fn append<T, M>(children: &mut T, index: usize, msg: &M, len: usize) -> Option<usize>
where
    T: SinkSet,
    M: Encode + ?Sized,
{
    let mut append = Append { msg, len, index, at: 0, appended: false };
    children.visit_mut(&mut append);
    append.appended.then_some(append.at)
}

/// Whether [`append`] would.
#[inline]
pub(super) fn fits<T: SinkSet>(children: &T, index: usize, len: usize) -> bool {
    let mut fits = Fits { len, index, at: 0, fits: false };
    children.visit(&mut fits);
    fits.fits
}

/// Feeds the first child that takes the message, from child `first` to the last and then from the
/// first on; says which one that was, and how many there are. Where room was `promised`, a child
/// whose peer is away keeps the promise if no other does: peers come and go in the meantime.
#[cold]
#[inline(never)]
pub(super) fn feed<T, M>(
    children: &mut T,
    first: usize,
    msg: &M,
    len: usize,
    promised: bool,
) -> Result<(usize, usize), TryFeedError>
where
    T: SinkSet,
    M: Encode + ?Sized,
{
    let rounds: &[Classes] = match Class::best(children) {
        Class::There if !promised => &[THERE],
        Class::Closed => &[CLOSED],
        // Not one class after the other: a child may change its class between two looks.
        _ => &[THERE, Class::Connecting..=Class::Connecting, ABSENT],
    };
    let mut refusal = None;
    for classes in rounds {
        for turn in [first..usize::MAX, 0..first] {
            let mut feed = Feed { msg, len, classes, turn, at: 0, fed: None, refusal };
            children.visit_mut(&mut feed);
            if let Some(index) = feed.fed {
                return Ok((index, feed.at));
            }
            refusal = feed.refusal;
        }
    }
    Err(refusal.unwrap_or(TryFeedError::Full))
}

pub(super) fn room<T: SinkSet>(children: &T, len: usize) -> bool {
    let mut room = Room { len, classes: Class::asked(children), any: false };
    children.visit(&mut room);
    room.any
}

pub(super) fn try_ready<T: SinkSet>(children: &mut T, len: usize) -> Result<(), TryFeedError> {
    let classes = Class::asked(children);
    let mut ready = TryReady { len, classes, ready: false, refusal: None };
    children.visit_mut(&mut ready);
    match ready.refusal {
        _ if ready.ready => Ok(()),
        refusal => Err(refusal.unwrap_or(TryFeedError::Full)),
    }
}

pub(super) fn poll_ready<T: SinkSet>(
    children: &mut T,
    cx: &mut Context<'_>,
    len: usize,
) -> Poll<Result<(), SinkError>> {
    let mut poll = PollAny::new(cx, Step::Ready(len));
    children.visit_mut(&mut poll);
    let none_ready = poll.none_ready();
    // The step may have changed which children count, so it is they who are asked.
    if room(children, len) { Poll::Ready(Ok(())) } else { none_ready }
}

pub(super) fn poll_connect<T: SinkSet>(
    children: &mut T,
    cx: &mut Context<'_>,
) -> Poll<Result<(), SinkError>> {
    let mut poll = PollAny::new(cx, Step::Connect);
    children.visit_mut(&mut poll);
    if poll.ready { Poll::Ready(Ok(())) } else { poll.none_ready() }
}

pub(super) fn best_state<T: SinkSet>(children: &T) -> SinkState {
    let mut best = Best(SinkState::Closed);
    children.visit(&mut best);
    best.0
}

pub(super) fn any_connected<T: SinkSet>(children: &T) -> bool {
    let mut connected = AnyConnected(false);
    children.visit(&mut connected);
    connected.0
}

/// How good it is to be given a message. A child changes from connecting to being away and back by
/// itself, at any time; so these two are asked together, the connecting ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// The peer is there, or nobody has looked yet.
    There,
    Connecting,
    Away,
    Closed,
}

impl Class {
    /// Those whose room is the composite's.
    fn asked<T: SinkSet>(children: &T) -> Classes {
        match Self::best(children) {
            Self::There => THERE,
            Self::Closed => CLOSED,
            _ => ABSENT,
        }
    }

    /// The best of any child.
    #[inline]
    fn best<T: SinkSet>(children: &T) -> Self {
        Self::of(best_state(children))
    }

    #[inline]
    fn of(state: SinkState) -> Self {
        match state {
            SinkState::Connected | SinkState::Asleep => Self::There,
            SinkState::Connecting => Self::Connecting,
            SinkState::BackingOff => Self::Away,
            SinkState::Closed => Self::Closed,
        }
    }
}

type Classes = RangeInclusive<Class>;

const THERE: Classes = Class::There..=Class::There;
const ABSENT: Classes = Class::Connecting..=Class::Away;
const CLOSED: Classes = Class::Closed..=Class::Closed;

// One visitor per question: what it carries, and what it does with each sink.

struct Append<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    index: usize,
    at: usize,
    appended: bool,
}

impl<M: Encode + ?Sized> VisitSinkMut for Append<'_, M> {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if self.at == self.index {
            self.appended = sink.state() == SinkState::Connected && sink.append(self.msg, self.len);
        }
        self.at += 1;
    }
}

struct Feed<'a, M: ?Sized> {
    msg: &'a M,
    len: usize,
    /// The children to be asked: of which classes, and where they stand.
    classes: &'a Classes,
    turn: Range<usize>,
    at: usize,
    fed: Option<usize>,
    refusal: Option<TryFeedError>,
}

impl<M: Encode + ?Sized> VisitSinkMut for Feed<'_, M> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        let at = self.at;
        self.at += 1;
        let asked = self.turn.contains(&at) && self.classes.contains(&Class::of(sink.state()));
        if self.fed.is_some() || !asked {
            return;
        }
        if sink.append(self.msg, self.len) {
            self.fed = Some(at);
            return;
        }
        match sink.try_feed(self.msg) {
            Ok(()) => self.fed = Some(at),
            Err(refusal) => gather_refusal(&mut self.refusal, refusal),
        }
    }
}

/// To be full passes; the other refusals may not, and the first of them says why.
fn gather_refusal(all: &mut Option<TryFeedError>, one: TryFeedError) {
    if all.is_none() || one.is_full() {
        *all = Some(one);
    }
}

struct TryReady {
    len: usize,
    classes: Classes,
    ready: bool,
    refusal: Option<TryFeedError>,
}

impl VisitSinkMut for TryReady {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        if self.ready || !self.classes.contains(&Class::of(sink.state())) {
            return;
        }
        match sink.try_ready(self.len) {
            Ok(()) => self.ready = true,
            Err(refusal) => gather_refusal(&mut self.refusal, refusal),
        }
    }
}

/// Lets every child take its step. One that is ready will do.
struct PollAny<'cx, 'w> {
    cx: &'cx mut Context<'w>,
    step: Step,
    ready: bool,
    pending: bool,
    error: Option<SinkError>,
}

impl<'cx, 'w> PollAny<'cx, 'w> {
    fn new(cx: &'cx mut Context<'w>, step: Step) -> Self {
        Self { cx, step, ready: false, pending: false, error: None }
    }

    /// What there is to say when none is ready.
    fn none_ready(self) -> Poll<Result<(), SinkError>> {
        match self.error {
            _ if self.pending => Poll::Pending,
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Ready(Err(TryFeedError::Full.into())),
        }
    }
}

impl VisitSinkMut for PollAny<'_, '_> {
    fn visit<S: MessageSink>(&mut self, sink: &mut S) {
        match self.step.poll(sink, self.cx) {
            Poll::Ready(Ok(())) => self.ready = true,
            Poll::Ready(Err(error)) => {
                self.error.get_or_insert(error);
            }
            Poll::Pending => self.pending = true,
        }
    }
}

struct Fits {
    len: usize,
    index: usize,
    at: usize,
    fits: bool,
}

impl VisitSink for Fits {
    #[inline]
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        if self.at == self.index {
            self.fits = sink.state() == SinkState::Connected && sink.fits(self.len);
        }
        self.at += 1;
    }
}

struct Room {
    len: usize,
    classes: Classes,
    any: bool,
}

impl VisitSink for Room {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.any |= self.classes.contains(&Class::of(sink.state())) && sink.room(self.len);
    }
}

struct Best(SinkState);

impl VisitSink for Best {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 = self.0.min(sink.state());
    }
}

struct AnyConnected(bool);

impl VisitSink for AnyConnected {
    fn visit<S: MessageSink>(&mut self, sink: &S) {
        self.0 |= sink.is_connected();
    }
}
