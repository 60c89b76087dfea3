//! The routes that the factory knows, as links: matched once per flush, not once per message.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::buffer::Pending;
use crate::composite::{BestEffort, Failover, Fanout, Quorum, RoundRobin};
use crate::error::SinkError;
use crate::factory::transport::Transport;
use crate::framing::{Framing, LengthPrefixed};
use crate::link::{Link, Skip, StreamLink};
use crate::policy::LazyPolicy;
use crate::sink::{End, Event, Report, SinkState};

/// One link to one endpoint.
pub(crate) type Leaf = StreamLink<Transport>;

/// Everything that stands below the buffer of a stack built by name: a link, or composites of such
/// routes, as deep as the registry allows. Each composite is compiled once, wherever it stands.
#[derive(Debug)]
pub(crate) enum Route {
    Leaf(Leaf),
    Composite(Composite),
}

/// What is made of several routes, or around one. An enum of its own, since a link has room for one
/// bit of another's and no more: as variants of [`Route`] two of them would make every sink larger
/// by a word.
#[derive(Debug)]
pub(crate) enum Composite {
    Fanout(Fanout<Vec<Route>>),
    // Boxed, as the next: the others need not be as large.
    BestEffort(Box<BestEffort<Route>>),
    Quorum(Box<Quorum<Vec<Route>>>),
    RoundRobin(Box<RoundRobin<Vec<Route>>>),
    Failover(Box<Failover<Vec<Route>>>),
}

impl Link for Route {
    fn wake(&mut self) -> Result<(), SinkError> {
        match self {
            Self::Leaf(link) => link.wake(),
            Self::Composite(links) => links.wake(),
        }
    }

    #[inline]
    fn try_write<F: Framing>(&mut self, pending: Pending<'_, F>) -> Result<(), SinkError> {
        match self {
            Self::Leaf(link) => link.try_write(pending),
            Self::Composite(links) => links.try_write(pending.framed_by(&known(pending))),
        }
    }

    fn try_write_around(&mut self, start: u64, frame: [&[u8]; 2]) -> bool {
        match self {
            Self::Leaf(link) => link.try_write_around(start, frame),
            Self::Composite(links) => links.try_write_around(start, frame),
        }
    }

    #[inline(always)]
    fn poll_write<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        match self {
            Self::Leaf(link) => link.poll_write(cx, pending),
            // The usual composite, and the usual call: in line it is 26 instructions less a flush.
            Self::Composite(Composite::Fanout(links)) => links.poll_write(cx, pending),
            Self::Composite(links) => links.poll_write(cx, pending.framed_by(&known(pending))),
        }
    }

    #[inline(always)]
    fn taken(&self) -> u64 {
        match self {
            Self::Leaf(link) => link.taken(),
            Self::Composite(links) => links.taken(),
        }
    }

    fn gates(&self) -> bool {
        match self {
            Self::Leaf(link) => link.gates(),
            Self::Composite(links) => links.gates(),
        }
    }

    fn required(&self) -> u64 {
        match self {
            Self::Leaf(link) => link.required(),
            Self::Composite(links) => links.required(),
        }
    }

    fn give_way<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, needed: bool) {
        match self {
            Self::Leaf(link) => link.give_way(pending, to, needed),
            Self::Composite(links) => {
                links.give_way(pending.framed_by(&known(pending)), to, needed)
            }
        }
    }

    fn reached(&self) -> u64 {
        match self {
            Self::Leaf(link) => link.reached(),
            Self::Composite(links) => links.reached(),
        }
    }

    fn skip<F: Framing>(&mut self, pending: Pending<'_, F>, to: u64, skip: Skip) {
        match self {
            Self::Leaf(link) => link.skip(pending, to, skip),
            Self::Composite(links) => links.skip(pending.framed_by(&known(pending)), to, skip),
        }
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        match self {
            Self::Leaf(link) => link.poll_connect(cx),
            Self::Composite(links) => links.poll_connect(cx),
        }
    }

    fn poll_shutdown<F: Framing>(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, F>,
    ) -> Poll<Result<(), SinkError>> {
        match self {
            Self::Leaf(link) => link.poll_shutdown(cx, pending),
            Self::Composite(links) => links.poll_shutdown(cx, pending.framed_by(&known(pending))),
        }
    }

    fn end<F: Framing>(&mut self, end: End, pending: Pending<'_, F>) {
        match self {
            Self::Leaf(link) => link.end(end, pending),
            Self::Composite(links) => links.end(end, pending.framed_by(&known(pending))),
        }
    }

    fn hurry<F: Framing>(&mut self, pending: Pending<'_, F>) {
        match self {
            Self::Leaf(link) => link.hurry(pending),
            Self::Composite(links) => links.hurry(pending.framed_by(&known(pending))),
        }
    }

    #[inline]
    fn state(&self) -> SinkState {
        match self {
            Self::Leaf(link) => link.state(),
            Self::Composite(links) => links.state(),
        }
    }

    #[inline]
    fn write_size(&self) -> usize {
        match self {
            Self::Leaf(link) => link.write_size(),
            Self::Composite(links) => links.write_size(),
        }
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        match self {
            Self::Leaf(link) => link.set_policy(policy),
            Self::Composite(links) => links.set_policy(policy),
        }
    }

    fn close_deadline(&self) -> Duration {
        match self {
            Self::Leaf(link) => link.close_deadline(),
            Self::Composite(links) => links.close_deadline(),
        }
    }

    fn report_into<F: Framing>(&self, pending: Pending<'_, F>, report: &mut Report) {
        match self {
            Self::Leaf(link) => link.report_into(pending, report),
            Self::Composite(links) => links.report_into(pending.framed_by(&known(pending)), report),
        }
    }

    fn take_events<E: FnMut(Event)>(&mut self, each: &mut E) {
        match self {
            Self::Leaf(link) => link.take_events(each),
            Self::Composite(links) => links.events().into_iter().for_each(each),
        }
    }
}

/// The framing of every stack that is built by name, with the limit of the one given. Composites
/// know no other, so their methods are compiled here, once, and not again in every program.
#[inline]
fn known<F: Framing>(pending: Pending<'_, F>) -> LengthPrefixed {
    let header = LengthPrefixed::with_max_frame(0).max_frame_size();
    LengthPrefixed::with_max_frame(pending.framing().max_frame_size().saturating_sub(header))
}

/// Does the same with whichever link it is.
macro_rules! with_link {
    ($self:ident, $link:ident => $call:expr) => {
        match $self {
            Self::Fanout($link) => $call,
            Self::BestEffort($link) => $call,
            Self::Quorum($link) => $call,
            Self::RoundRobin($link) => $call,
            Self::Failover($link) => $call,
        }
    };
}

/// As of [`Link`], for the one framing.
impl Composite {
    fn wake(&mut self) -> Result<(), SinkError> {
        with_link!(self, link => link.wake())
    }

    fn try_write(&mut self, pending: Pending<'_, LengthPrefixed>) -> Result<(), SinkError> {
        with_link!(self, link => link.try_write(pending))
    }

    fn try_write_around(&mut self, start: u64, frame: [&[u8]; 2]) -> bool {
        with_link!(self, link => link.try_write_around(start, frame))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, LengthPrefixed>,
    ) -> Poll<Result<(), SinkError>> {
        with_link!(self, link => link.poll_write(cx, pending))
    }

    #[inline]
    fn taken(&self) -> u64 {
        with_link!(self, link => link.taken())
    }

    fn gates(&self) -> bool {
        with_link!(self, link => link.gates())
    }

    fn required(&self) -> u64 {
        with_link!(self, link => link.required())
    }

    fn give_way(&mut self, pending: Pending<'_, LengthPrefixed>, to: u64, needed: bool) {
        with_link!(self, link => link.give_way(pending, to, needed))
    }

    fn reached(&self) -> u64 {
        with_link!(self, link => link.reached())
    }

    fn skip(&mut self, pending: Pending<'_, LengthPrefixed>, to: u64, skip: Skip) {
        with_link!(self, link => link.skip(pending, to, skip))
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        with_link!(self, link => link.poll_connect(cx))
    }

    fn poll_shutdown(
        &mut self,
        cx: &mut Context<'_>,
        pending: Pending<'_, LengthPrefixed>,
    ) -> Poll<Result<(), SinkError>> {
        with_link!(self, link => link.poll_shutdown(cx, pending))
    }

    fn end(&mut self, end: End, pending: Pending<'_, LengthPrefixed>) {
        with_link!(self, link => link.end(end, pending))
    }

    fn hurry(&mut self, pending: Pending<'_, LengthPrefixed>) {
        with_link!(self, link => link.hurry(pending))
    }

    fn state(&self) -> SinkState {
        with_link!(self, link => link.state())
    }

    fn write_size(&self) -> usize {
        with_link!(self, link => link.write_size())
    }

    fn set_policy(&mut self, policy: &Arc<LazyPolicy>) {
        with_link!(self, link => link.set_policy(policy))
    }

    fn close_deadline(&self) -> Duration {
        with_link!(self, link => link.close_deadline())
    }

    fn report_into(&self, pending: Pending<'_, LengthPrefixed>, report: &mut Report) {
        with_link!(self, link => link.report_into(pending, report))
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        with_link!(self, link => link.take_events(&mut |event| events.push(event)));
        events
    }
}
