//! The stacks that the factory builds: one type for all that a configuration can say.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::__sink_by_match;
use crate::encode::Encode;
use crate::error::{SinkError, TryFeedError};
use crate::factory::route::Route;
use crate::layer::{Buffered, Deadline, Lanes, Lazy};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, MessageSink, Report, SinkState};

/// A sink built by name, by [`SinkFactory::create_sink`](crate::SinkFactory::create_sink): one of
/// the stacks that the factory knows, statically dispatched.
///
/// Most stacks differ only below the buffer. Feeding is the same code for all of them, as if the
/// stack was written out in types; which one it is matters when bytes leave. Those of services with
/// a `deadline` or a `priority` have a layer above the buffer, and find that out per message.
#[derive(Debug)]
// The plain one first, at the sink's own address, as in `Lazy`.
#[repr(C)]
#[must_use = "a sink does nothing unless it is fed"]
pub struct SinkStack {
    /// The stack, unless there is a layered one: then it is closed, so that no message ever fits,
    /// and whoever feeds it looks further.
    plain: Lazy<Buffered<Route>>,
    layered: Option<Box<Layered>>,
}

/// Stacks with a layer that asks more of a message than how long it is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "boxed, and there are few of them")]
pub(crate) enum Layered {
    Deadline(Lazy<Deadline<Buffered<Route>>>),
    Lanes(Lazy<Lanes<Buffered<Route>, LANES>>),
}

/// Priority lanes of a stack that is built by name.
pub(crate) const LANES: usize = 4;

__sink_by_match!(Layered: Deadline Lanes);

impl SinkStack {
    pub(crate) fn new(plain: Lazy<Buffered<Route>>) -> Self {
        Self { plain, layered: None }
    }

    /// A layered stack. The plain one leads `nowhere`.
    pub(crate) fn layered(layered: Layered, nowhere: Route) -> Self {
        let mut plain = Lazy::new(Buffered::new(nowhere));
        plain.end(End::Close);
        Self { plain, layered: Some(Box::new(layered)) }
    }

    /// Feeds a message that does not fit the window of the plain stack.
    #[cold]
    #[inline(never)]
    fn feed_refused<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        match &mut self.layered {
            Some(layered) => layered.try_feed(msg),
            None => self.plain.try_feed(msg),
        }
    }

    /// As [`append`](MessageSink::append) of the layered stack, if there is one.
    #[cold]
    #[inline(never)]
    fn append_layered<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.layered.as_mut().is_some_and(|layered| layered.append(msg, len))
    }
}

/// Does the same with the plain or the layered stack, whichever it is.
macro_rules! whichever {
    ($($(#[$attr:meta])* fn $method:ident(&$($this:ident)+ $(, $arg:ident: $type:ty)*) $(-> $answer:ty)?;)+) => {
        $(whichever!(@ $(#[$attr])* $method [&$($this)+] [$($arg: $type),*] [$($answer)?]);)+
    };
    (@ $(#[$attr:meta])* $method:ident [&self] [$($arg:ident: $type:ty),*] [$($answer:ty)?]) => {
        $(#[$attr])*
        fn $method(&self $(, $arg: $type)*) $(-> $answer)? {
            match &self.layered {
                None => self.plain.$method($($arg),*),
                Some(layered) => layered.$method($($arg),*),
            }
        }
    };
    (@ $(#[$attr:meta])* $method:ident [&mut self] [$($arg:ident: $type:ty),*] [$($answer:ty)?]) => {
        $(#[$attr])*
        fn $method(&mut self $(, $arg: $type)*) $(-> $answer)? {
            match &mut self.layered {
                None => self.plain.$method($($arg),*),
                Some(layered) => layered.$method($($arg),*),
            }
        }
    };
}

impl MessageSink for SinkStack {
    #[inline]
    fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
        let len = msg.encoded_len();
        if self.plain.append(msg, len) { Ok(()) } else { self.feed_refused(msg) }
    }

    #[inline]
    fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        self.plain.append(msg, len) || self.append_layered(msg, len)
    }

    #[inline]
    fn fits(&self, len: usize) -> bool {
        self.plain.fits(len) || self.layered.as_ref().is_some_and(|layered| layered.fits(len))
    }

    #[inline]
    fn accepts<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
        match &mut self.layered {
            None => self.plain.accepts(msg, len),
            Some(layered) => layered.accepts(msg, len),
        }
    }

    #[cold]
    fn poll_feed<M: Encode + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        msg: &M,
    ) -> Poll<Result<(), SinkError>> {
        match &mut self.layered {
            None => self.plain.poll_feed(cx, msg),
            Some(layered) => layered.poll_feed(cx, msg),
        }
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        match &mut self.layered {
            None => self.plain.take_events(each),
            Some(layered) => layered.take_events(each),
        }
    }

    whichever! {
        fn room(&self, len: usize) -> bool;
        #[inline]
        fn try_ready(&mut self, len: usize) -> Result<(), TryFeedError>;
        #[inline]
        fn poll_ready(&mut self, cx: &mut Context<'_>, len: usize) -> Poll<Result<(), SinkError>>;
        #[inline]
        fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>>;
        fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>>;
        fn poll_disconnect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>>;
        fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>>;
        fn hurry(&mut self);
        fn end(&mut self, end: End);
        fn state(&self) -> SinkState;
        fn is_connected(&self) -> bool;
        fn accepted_bytes(&self) -> u64;
        fn outstanding_bytes(&self) -> u64;
        fn report_into(&self, report: &mut Report);
        fn set_policy(&mut self, policy: &Arc<LazyPolicy>);
        fn due(&self) -> Option<Instant>;
        fn close_deadline(&self) -> Duration;
    }
}
