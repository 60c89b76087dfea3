//! The routes that the factory knows, as links: matched once per flush, not once per message.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::buffer::Pending;
use crate::composite::{BestEffort, Failover, Fanout, Quorum};
use crate::error::SinkError;
use crate::factory::transport::Transport;
use crate::framing::Framing;
use crate::link::{Link, Skip, StreamLink};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, Report, SinkState};

/// One link to one endpoint.
pub(crate) type Leaf = StreamLink<Transport>;

/// Everything that stands below the buffer of a stack built by name.
// With a tag of its own, which is cheaper to tell apart than one that hides in a variant.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Route {
    Leaf(Leaf),
    Many(Many),
}

/// Links to several endpoints. An enum of its own, since a link has room for one bit of another's
/// and no more: as variants of [`Route`] two patterns would make every sink larger by a word.
#[derive(Debug)]
pub(crate) enum Many {
    Fanout(Fanout<Vec<Leaf>>),
    /// A fan-out some of whose links may lag behind.
    // Boxed, as the next: the others need not be as large.
    Isolated(Box<Quorum<Vec<BestEffort<Leaf>>>>),
    Failover(Box<Failover<Vec<Leaf>>>),
}

/// Implements `Link` for an enum of links: each method matches, and calls the link's.
macro_rules! link_of_links {
    ($enum:ident: $($variant:ident)+) => {
        impl Link for $enum {
            fn wake(&mut self) -> Result<(), SinkError> {
                match self { $(Self::$variant(link) => link.wake(),)+ }
            }

            #[inline]
            fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
                match self { $(Self::$variant(link) => link.try_write(pending),)+ }
            }

            fn try_write_around(&mut self, start: u64, frame: [&[u8]; 2]) -> bool {
                match self { $(Self::$variant(link) => link.try_write_around(start, frame),)+ }
            }

            #[inline(always)]
            fn poll_write<F: Framing>(
                &mut self,
                cx: &mut Context<'_>,
                pending: Pending<'_, F>,
            ) -> Poll<Result<(), SinkError>> {
                match self { $(Self::$variant(link) => link.poll_write(cx, pending),)+ }
            }

            #[inline(always)]
            fn taken(&self) -> u64 {
                match self { $(Self::$variant(link) => link.taken(),)+ }
            }

            fn gates(&self) -> bool {
                match self { $(Self::$variant(link) => link.gates(),)+ }
            }

            fn required(&self) -> u64 {
                match self { $(Self::$variant(link) => link.required(),)+ }
            }

            fn give_way<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, needed: bool) {
                match self { $(Self::$variant(link) => link.give_way(pending, to, needed),)+ }
            }

            fn reached(&self) -> u64 {
                match self { $(Self::$variant(link) => link.reached(),)+ }
            }

            fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip) {
                match self { $(Self::$variant(link) => link.skip(pending, to, skip),)+ }
            }

            fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
                match self { $(Self::$variant(link) => link.poll_connect(cx),)+ }
            }

            fn poll_shutdown<F: Framing>(
                &mut self,
                cx: &mut Context<'_>,
                pending: Pending<'_, F>,
            ) -> Poll<Result<(), SinkError>> {
                match self { $(Self::$variant(link) => link.poll_shutdown(cx, pending),)+ }
            }

            fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
                match self { $(Self::$variant(link) => link.end(end, pending),)+ }
            }

            fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
                match self { $(Self::$variant(link) => link.hurry(pending),)+ }
            }

            #[inline]
            fn state(&self) -> SinkState {
                match self { $(Self::$variant(link) => link.state(),)+ }
            }

            #[inline]
            fn write_size(&self) -> usize {
                match self { $(Self::$variant(link) => link.write_size(),)+ }
            }

            fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
                match self { $(Self::$variant(link) => link.set_policy(policy),)+ }
            }

            fn close_deadline(&self) -> Duration {
                match self { $(Self::$variant(link) => link.close_deadline(),)+ }
            }

            fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
                match self { $(Self::$variant(link) => link.report_into(pending, report),)+ }
            }

            fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
                match self { $(Self::$variant(link) => link.take_events(each),)+ }
            }
        }
    };
}

link_of_links!(Route: Leaf Many);
link_of_links!(Many: Fanout Isolated Failover);
