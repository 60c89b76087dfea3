//! The conformance suite over nestings: fan-outs over links and over whole sinks, in each other, at
//! mixed levels, of every kind of set, with `Lazy` and pointers in between.

use smallvec::{SmallVec, smallvec};
use torq_message_sink::testing::conformance::{MemoryReceivers, Receive, Subject, check_all};
use torq_message_sink::{
    BestEffort, Buffered, CircuitBreaker, Conflate, Deadline, Failover, Fanout, Lanes, Lazy,
    LeastLoaded, Link, MemoryPeer, MemorySink, MessageSink, NewlineDelimited, Quorum, Rate,
    RateLimit, RoundRobin, forward_sink,
};

/// Bytes of each buffer.
const CAPACITY: usize = 256;

/// Bytes that a connection holds unread.
const PIPE: usize = 64;

/// Makes the parts of one nesting, and keeps the other ends.
#[derive(Default)]
struct Parts {
    peers: Vec<MemoryPeer>,
    /// Peers that refuse.
    away: Vec<MemoryPeer>,
    buffers: usize,
}

impl Parts {
    fn link(&mut self) -> MemorySink {
        let (link, peer) = MemorySink::pair(PIPE);
        self.peers.push(peer);
        link
    }

    /// A link to a peer that refuses.
    fn dead(&mut self) -> MemorySink {
        let (link, peer) = MemorySink::pair(PIPE);
        peer.refuse(true);
        self.away.push(peer);
        link
    }

    /// A failover of which the last link leads somewhere.
    fn failover(&mut self) -> Failover<Vec<MemorySink>> {
        Failover::new(vec![self.dead(), self.dead(), self.link()])
    }

    /// A round-robin of which one link leads somewhere.
    fn robin(&mut self) -> RoundRobin<Vec<MemorySink>> {
        RoundRobin::new(vec![self.dead(), self.link(), self.dead()])
    }

    fn over<L: Link>(&mut self, link: L) -> Buffered<L> {
        self.buffers += 1;
        Buffered::with_capacity(link, CAPACITY)
    }

    fn sink(&mut self) -> Buffered<MemorySink> {
        let link = self.link();
        self.over(link)
    }

    fn lazy(&mut self) -> Lazy<Buffered<MemorySink>> {
        Lazy::new(self.sink())
    }
}

/// The nesting that `make` makes, with a receiver for each link.
fn subject<S: MessageSink>(make: impl Fn(&mut Parts) -> S) -> Subject<S, MemoryReceivers> {
    let mut parts = Parts::default();
    let sink = make(&mut parts);
    let bound_bytes = (parts.buffers * (CAPACITY + PIPE)) as u64;
    Subject { sink, receivers: MemoryReceivers::new(parts.peers), bound_bytes }
}

/// One test per nesting: it conforms.
macro_rules! nestings {
    ($($nesting:ident: |$parts:ident| $make:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $nesting() {
            check_all(|| subject(|$parts| $make)).await;
        }
    )*};
}

/// `Buffered` above, links below.
mod links_conform {
    use super::*;

    nestings! {
        pair_under_lazy: |p| {
            let links = Fanout::new((p.link(), p.link()));
            Lazy::new(p.over(links))
        };
        twelve: |p| {
            let links = Fanout::new((
                p.link(), p.link(), p.link(), p.link(), p.link(), p.link(),
                p.link(), p.link(), p.link(), p.link(), p.link(), p.link(),
            ));
            p.over(links)
        };
        array: |p| {
            let links = Fanout::new([p.link(), p.link(), p.link()]);
            p.over(links)
        };
        vector: |p| {
            let links = Fanout::new(vec![p.link(), p.link(), p.link()]);
            Lazy::new(p.over(links))
        };
        small_vector_in_line_and_spilled: |p| {
            let inner: SmallVec<[MemorySink; 2]> = smallvec![p.link(), p.link()];
            let outer: SmallVec<[Fanout<SmallVec<[MemorySink; 2]>>; 1]> =
                smallvec![Fanout::new(inner), Fanout::new(smallvec![p.link(), p.link(), p.link()])];
            p.over(Fanout::new(outer))
        };
        three_levels: |p| {
            let inner = Fanout::new((p.link(), Fanout::new(vec![p.link(), p.link()])));
            let links = Fanout::new((inner, Fanout::new([p.link()])));
            p.over(links)
        };
        best_effort_that_gates_after_all: |p| {
            let gates = |link| BestEffort::new(link).with_gating(true);
            let links = Fanout::new(vec![gates(p.link()), gates(p.link())]);
            p.over(links)
        };
        quorum_of_all: |p| {
            let links = Quorum::new(2, (p.link(), p.link()));
            Lazy::new(p.over(links))
        };
        lazy_twice: |p| {
            let links = Fanout::new((p.link(), p.link()));
            Lazy::new(Lazy::new(p.over(links)))
        };
        failovers_below_a_fanout: |p| {
            let links = Fanout::new((p.failover(), p.link(), p.failover()));
            p.over(links)
        };
        failover_to_a_fanout: |p| {
            let links = Failover::new((p.dead(), Fanout::new([p.link(), p.link()])));
            Lazy::new(p.over(links))
        };
        round_robins_below_a_fanout: |p| {
            let links = Fanout::new((p.robin(), p.link(), p.robin()));
            p.over(links)
        };
        round_robin_of_fanouts: |p| {
            let links = RoundRobin::new((Fanout::new([p.dead()]), Fanout::new([p.link(), p.link()])));
            Lazy::new(p.over(links))
        };
        failover_to_a_round_robin: |p| {
            let links = Failover::new((p.dead(), p.robin()));
            p.over(links)
        };
        round_robin_of_failovers: |p| {
            let links = RoundRobin::new((Failover::new([p.dead(), p.dead()]), p.failover()));
            p.over(links)
        };
        round_robin_of_round_robins: |p| {
            let links = RoundRobin::new((p.robin(), p.dead()));
            Lazy::new(p.over(links))
        };
        round_robin_in_a_quorum: |p| {
            let links = Quorum::new(2, vec![p.robin(), p.robin()]);
            p.over(links)
        };
        failover_in_failover: |p| {
            let links = Failover::new((Failover::new([p.dead(), p.dead()]), p.failover()));
            p.over(links)
        };
    }
}

/// A buffer for each child.
mod sinks_conform {
    use super::*;

    nestings! {
        pair: |p| Fanout::new((p.sink(), p.sink()));
        pair_of_lazy: |p| Fanout::new((p.lazy(), p.lazy()));
        pair_under_lazy: |p| Lazy::new(Fanout::new((p.sink(), p.sink())));
        lazy_at_both_levels: |p| Lazy::new(Fanout::new((p.lazy(), p.sink())));
        twelve: |p| Fanout::new((
            p.sink(), p.lazy(), p.sink(), p.lazy(), p.sink(), p.lazy(),
            p.sink(), p.lazy(), p.sink(), p.lazy(), p.sink(), p.lazy(),
        ));
        array: |p| Fanout::new([p.lazy(), p.lazy(), p.lazy()]);
        vector: |p| Lazy::new(Fanout::new(vec![p.sink(), p.sink(), p.sink()]));
        small_vector_in_line_and_spilled: |p| {
            let in_line: SmallVec<[Lazy<Buffered<MemorySink>>; 2]> = smallvec![p.lazy(), p.lazy()];
            let spilled: SmallVec<[Buffered<MemorySink>; 1]> = smallvec![p.sink(), p.sink()];
            Fanout::new((Fanout::new(in_line), Fanout::new(spilled)))
        };
        best_effort_that_gates_after_all: |p| {
            let gates = |sink| BestEffort::new(sink).with_gating(true);
            Fanout::new([gates(p.lazy()), gates(p.lazy())])
        };
        quorum_of_all: |p| Lazy::new(Quorum::new(9, (p.sink(), p.lazy())));
        quorum_in_fanout: |p| Fanout::new((Quorum::new(2, vec![p.lazy(), p.lazy()]), p.sink()));
        fanout_in_fanout: |p| Fanout::new((Fanout::new((p.sink(), p.lazy())), p.sink()));
        three_levels: |p| {
            let branch = Fanout::new(vec![Fanout::new([p.sink(), p.sink()])]);
            Fanout::new((branch, Lazy::new(Fanout::new((p.lazy(), p.sink())))))
        };
        children_without_append: |p| Fanout::new((p.sink(), Plain { inner: p.sink() }, p.lazy()));
        failovers_below_a_fanout: |p| {
            let dead = [p.dead(), p.dead()];
            let below = Lazy::new(p.over(Failover::new(dead))).with_max_attempts(1);
            let dead = p.dead();
            let away = Lazy::new(p.over(dead)).with_max_attempts(1);
            Fanout::new((Failover::new((below, p.lazy())), Failover::new((away, p.lazy()))))
        };
        boxed: |p| {
            let children = (Box::new(p.sink()), Box::new(Fanout::new([p.lazy(), p.lazy()])));
            Box::new(Lazy::new(Fanout::new(children)))
        };
        rate_limit_around_and_below: |p| {
            let rate = Rate::per_second(1_000_000_000);
            let limited = RateLimit::new(p.sink()).with_bytes(rate);
            RateLimit::new(Fanout::new((limited, p.lazy()))).with_messages(rate)
        };
        circuit_breakers: |p| {
            let limited = RateLimit::new(CircuitBreaker::new(p.sink()));
            CircuitBreaker::new(Fanout::new((CircuitBreaker::new(p.lazy()), limited)))
        };
        least_loaded_of_one: |p| Fanout::new((LeastLoaded::new([p.lazy()]), p.sink()));
        borrowed: |p| {
            // For as long as the test runs.
            let borrowed: &'static mut _ = Box::leak(Box::new(p.sink()));
            Fanout::new((borrowed, p.lazy()))
        };
    }

    /// A layer that knows nothing of `append` and what comes with it.
    struct Plain<S> {
        inner: S,
    }

    impl<S: MessageSink> MessageSink for Plain<S> {
        forward_sink! { inner:
            try_feed room try_ready poll_ready poll_flush poll_close poll_disconnect poll_connect
            hurry end state is_connected accepted_bytes report_into take_events set_policy
            close_deadline
        }
    }
}

/// Layers with a queue of their own, above and below what else there is.
mod held_conform {
    use std::time::Duration;

    use torq_message_sink::HandBack;

    use super::*;

    /// Bytes of messages that wait. They count as buffers of that size.
    const QUEUE: usize = 3 * CAPACITY;

    impl Parts {
        fn deadline<S: HandBack>(&mut self, inner: S) -> Deadline<S> {
            self.buffers += 3;
            Deadline::with_capacity(inner, QUEUE).with_max_age(Duration::from_secs(3600))
        }

        fn conflate<S: HandBack>(&mut self, inner: S) -> Conflate<S> {
            self.buffers += 3;
            Conflate::with_capacity(inner, QUEUE)
        }

        fn lanes<S: MessageSink>(&mut self, inner: S) -> Lanes<S, 2> {
            self.buffers += 6;
            Lanes::with_capacity(inner, QUEUE)
        }
    }

    nestings! {
        deadline_between_lazy: |p| {
            let inner = p.lazy();
            Lazy::new(p.deadline(inner))
        };
        deadline_over_links: |p| {
            let links = Fanout::new((p.link(), p.link()));
            let inner = p.over(links);
            p.deadline(inner)
        };
        conflate_between_lazy: |p| {
            let inner = p.lazy();
            Lazy::new(p.conflate(inner))
        };
        lanes_over_deadline: |p| {
            let inner = p.lazy();
            let inner = p.deadline(inner);
            p.lanes(inner)
        };
        lanes_over_conflate: |p| {
            let inner = p.sink();
            let inner = p.conflate(inner);
            Lazy::new(p.lanes(inner))
        };
        one_of_each_below_a_fanout: |p| {
            let (one, other, third) = (p.lazy(), p.sink(), p.lazy());
            Lazy::new(Fanout::new((p.deadline(one), p.conflate(other), p.lanes(third))))
        };
        lanes_over_a_fanout: |p| {
            let (one, other) = (p.lazy(), p.sink());
            let children = Fanout::new((p.deadline(one), other));
            p.lanes(children)
        };
        deadline_over_a_box: |p| {
            let inner = Box::new(p.sink());
            p.deadline(inner)
        };
    }
}

/// Whole sinks above, links below some of them.
mod both_conform {
    use super::*;

    nestings! {
        links_below_one_child: |p| {
            let links = Fanout::new((p.link(), p.link()));
            Fanout::new((Lazy::new(p.over(links)), p.lazy()))
        };
        lazy_above_and_below: |p| {
            let (two, three) = (Fanout::new([p.link(), p.link()]), Fanout::new(vec![p.link()]));
            let inner = Fanout::new((p.lazy(), p.over(three)));
            Lazy::new(Fanout::new((p.over(two), inner)))
        };
        vectors_of_vectors: |p| {
            let child = |p: &mut Parts| {
                let links = Fanout::new(vec![p.link(), p.link()]);
                Lazy::new(p.over(links))
            };
            Fanout::new(vec![child(p), child(p)])
        };
    }

    /// Receivers of two framings.
    struct Both<A, B>(A, B);

    impl<A: Receive, B: Receive> Receive for Both<A, B> {
        fn receive(&mut self) -> Vec<Vec<Vec<u8>>> {
            [self.0.receive(), self.1.receive()].concat()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn children_of_other_sizes_and_framings() {
        check_all(|| {
            let ((one, left), (other, right)) = (MemorySink::pair(PIPE), MemorySink::pair(7));
            let lines = NewlineDelimited::new();
            Subject {
                sink: Fanout::new((
                    Buffered::with_capacity(one, CAPACITY),
                    Buffered::with_framing(other, 40, lines),
                )),
                receivers: Both(
                    MemoryReceivers::new([left]),
                    MemoryReceivers::with_framing([right], lines),
                ),
                bound_bytes: (CAPACITY + PIPE + 40 + 7) as u64,
            }
        })
        .await;
    }
}
