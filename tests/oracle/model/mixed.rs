//! The stacks that do not bring everything to everybody, and all in one order.

use torq_message_sink::{
    BestEffort, Fanout, LeastLoaded, MessageSink, Quorum, RoundRobin, Sharded, WhenFull,
};

use super::any_sink::AnySink;
use super::framings::AnyFraming;
use super::ledger::Promise;
use super::log::CAPACITIES;
use super::parts::Parts;
use super::way::Way::{self, All, Loose, Shard, To};
use super::way::{all, one};

/// How many there are.
pub(super) const NESTINGS: usize = 48;

/// From this one on they have layers with a queue of their own. Those count with the default framing,
/// and what could wait above one buffer must fit all.
const WAITING: usize = 28;

/// One of them, and what it promises.
pub(super) fn nesting(number: usize, parts: &mut Parts<'_>) -> (AnySink, Promise) {
    if number >= WAITING {
        parts.framing = Some(AnyFraming::default_of(1000));
        parts.capacity = Some(parts.choices.get_mut().of(&CAPACITIES));
    }
    let (way, sink) = stack(number, parts);
    let promise = parts.promise.take();
    (sink, Promise { way, ..promise })
}

#[rustfmt::skip]
fn stack(number: usize, parts: &Parts<'_>) -> (Way, AnySink) {
    let link = || parts.link();
    let pair = || Fanout::new((parts.link(), parts.link()));
    let sink = || parts.one();
    let lazy = || parts.lazy_one();
    let spare = || parts.failover((parts.link(), parts.link()));
    let keys = || parts.promise.borrow_mut().keys = 7;
    let first = || one([To(0), To(1)]);
    let both = || all([To(0), To(1)]);
    match number {
        // Failovers over links.
        0 => (first(), any(parts.buffered(spare()))),
        1 => (first(), any(parts.lazy(parts.buffered(spare())))),
        2 => (one([To(0), To(1), To(2)]), any(parts.lazy(parts.buffered(parts.failover([link(), link(), link()]))))),
        3 => (one([first(), To(2)]), any(parts.lazy(parts.buffered(parts.failover((spare(), link())))))),
        4 => (all([first(), To(2)]), any(parts.lazy(parts.buffered(Fanout::new((spare(), link())))))),
        5 => (first(), any(parts.lazy(parts.full_with(spare(), &[WhenFull::DropOldest, WhenFull::Error])))),
        // Failovers over sinks.
        6 => (first(), any(parts.failover((lazy(), lazy())))),
        7 => (one([To(0), To(1), To(2)]), any(parts.lazy(parts.failover(vec![lazy(), lazy(), lazy()])))),
        8 => (one([first(), To(2)]), any(parts.failover((parts.lazy(parts.buffered(spare())), lazy())))),
        9 => (all([first(), To(2)]), any(Fanout::new((parts.failover((lazy(), lazy())), lazy())))),
        10 => (first(), any(parts.lazy(parts.failover([parts.breaker(lazy()), parts.breaker(lazy())])))),
        11 => (one([first(), one([To(2), To(3)])]), any(parts.lazy(parts.failover((parts.failover((lazy(), lazy())), parts.failover((sink(), lazy()))))))),
        // One of many.
        12 => (first(), any(RoundRobin::new([lazy(), lazy()]))),
        13 => (one([To(0), all([To(1), To(2)])]), any(parts.lazy(RoundRobin::new((sink(), parts.buffered(pair())))))),
        14 => (one([To(0), To(1), To(2)]), any(LeastLoaded::with_seed(vec![lazy(), lazy(), lazy()], 7))),
        15 => { keys(); (Shard(vec![To(0), To(1), To(2)]), any(Sharded::new([lazy(), lazy(), lazy()]))) }
        16 => {
            keys();
            let ways = all([first(), Shard(vec![To(2), To(3)])]);
            (ways, any(Fanout::new((RoundRobin::new((lazy(), lazy())), Sharded::new((lazy(), sink()))))))
        }
        17 => (one([both(), one([To(2), To(3)])]), any(parts.lazy(RoundRobin::new((Fanout::new((sink(), sink())), parts.failover((lazy(), lazy()))))))),
        18 => (first(), any(RoundRobin::new([parts.breaker(lazy()), parts.breaker(lazy())]))),
        19 => (first(), any(LeastLoaded::with_seed((parts.breaker(lazy()), parts.limited(lazy())), 7))),
        20 => { keys(); (Shard(vec![To(0), first_of(1)]), any(Sharded::new((parts.full(link()), RoundRobin::new((lazy(), parts.full(link()))))))) }
        // Limits.
        21 => (both(), any(parts.limited(parts.lazy(parts.buffered(pair()))))),
        22 => (To(0), any(parts.lazy(parts.limited(parts.breaker(sink()))))),
        23 => (both(), any(parts.breaker(parts.lazy(Fanout::new((sink(), parts.limited(sink()))))))),
        // Children that may lag behind.
        24 => (all([To(0), Loose(To(1).into())]), any(Fanout::new((lazy(), BestEffort::new(lazy()))))),
        25 => (All(1, vec![To(0), To(1), To(2)]), any(parts.lazy(parts.buffered(Quorum::new(1, (link(), link(), link())))))),
        26 => (All(2, vec![To(0), To(1), To(2)]), any(Quorum::new(2, [lazy(), lazy(), lazy()]))),
        27 => (all([first(), Loose(all([To(2), To(3)]).into())]), any(Fanout::new((parts.failover((lazy(), lazy())), BestEffort::new(Fanout::new((lazy(), lazy()))))))),
        // Deadlines.
        28 => (To(0), any(parts.lazy(parts.deadline(sink())))),
        29 => (first(), any(parts.deadline(parts.lazy(parts.buffered(spare()))))),
        30 => (first(), any(parts.lazy(parts.deadline(parts.failover((lazy(), lazy())))))),
        31 => (both(), in_branches(parts, Fanout::new((parts.deadline(sink()), parts.deadline(lazy()))))),
        32 => (first(), any(RoundRobin::new((parts.deadline(lazy()), parts.deadline(lazy()))))),
        33 => (To(0), any(parts.lazy(parts.deadline(parts.breaker(sink()))))),
        34 => (To(0), any(parts.limited(parts.deadline(lazy())))),
        // Conflation.
        35 => (To(0), any(parts.conflate(sink()))),
        36 => (To(0), any(parts.lazy(parts.conflate(lazy())))),
        37 => (first(), any(parts.lazy(parts.conflate(parts.buffered(spare()))))),
        38 => (first(), any(parts.lazy(parts.conflate(parts.failover((lazy(), lazy())))))),
        39 => (both(), in_branches(parts, Fanout::new((parts.conflate(sink()), parts.conflate(parts.breaker(lazy())))))),
        40 => (both(), any(parts.conflate(parts.lazy(parts.buffered(pair()))))),
        // Lanes.
        41 => (To(0), any(parts.lanes(sink()))),
        42 => (first(), any(parts.lazy(parts.lanes(RoundRobin::new((sink(), sink())))))),
        43 => (To(0), any(parts.lazy(parts.lanes(parts.deadline(sink()))))),
        44 => (To(0), any(parts.lazy(parts.lanes(parts.conflate(sink()))))),
        45 => (first(), any(parts.lanes(parts.failover((lazy(), parts.breaker(lazy())))))),
        46 => (both(), any(parts.lazy(parts.lanes(Fanout::new((sink(), sink())))))),
        _ => (first(), any(parts.lanes(parts.limited(parts.lazy(parts.buffered(spare())))))),
    }
}

fn any(sink: impl MessageSink + 'static) -> AnySink {
    AnySink::new(sink)
}

/// Each branch has a queue of its own.
fn in_branches(parts: &Parts<'_>, sink: impl MessageSink + 'static) -> AnySink {
    parts.promise.borrow_mut().waits_in_branches = true;
    any(sink)
}

/// To one of two, the first of which is `index`.
fn first_of(index: usize) -> Way {
    one([To(index), To(index + 1)])
}
