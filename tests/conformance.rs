//! The conformance suite over every sink and layer; nestings are in nestings.rs. Who adds one adds
//! a line here.

use std::time::Duration;

use torq_message_sink::testing::conformance::{
    MemoryReceivers, Subject, check_all, forwards_every_method,
};
use torq_message_sink::testing::{Scripted, ScriptedSink};
use torq_message_sink::{
    BestEffort, Buffered, CircuitBreaker, Conflate, Deadline, Failover, Fanout, HandBack, Lanes,
    Lazy, LeastLoaded, Link, MemoryPeer, MemorySink, MessageSink, Quorum, Rate, RateLimit,
    RoundRobin, Sharded, StreamLink, WhenFull,
};

const CAPACITY: usize = 256;
const PIPE: usize = 64;

fn subject<S: MessageSink>(
    sink: S,
    peers: impl IntoIterator<Item = MemoryPeer>,
) -> Subject<S, MemoryReceivers> {
    let bound_bytes = (CAPACITY + PIPE) as u64;
    Subject { sink, receivers: MemoryReceivers::new(peers), bound_bytes }
}

fn buffered<L: Link>(link: L) -> Buffered<L> {
    Buffered::with_capacity(link, CAPACITY)
}

#[tokio::test(start_paused = true)]
async fn scripted_sink_conforms() {
    check_all(|| {
        let (sink, peer) = ScriptedSink::pair(8);
        Subject { sink, receivers: peer, bound_bytes: 8 * 16 }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn buffered_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        subject(buffered(link), [peer])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn buffered_over_a_scripted_connector_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        let (connector, _) = Scripted::new(link.connector().clone());
        subject(buffered(StreamLink::with_connector(connector)), [peer])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lazy_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        subject(Lazy::new(buffered(link)), [peer])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lazy_over_a_scripted_sink_conforms() {
    check_all(|| {
        let (sink, peer) = ScriptedSink::pair(8);
        Subject { sink: Lazy::new(sink), receivers: peer, bound_bytes: 8 * 16 }
    })
    .await;
}

#[test]
fn lazy_forwards_every_method() {
    // It has a policy of its own, which wins, and whose deadline it answers.
    forwards_every_method(Lazy::new, &["set_policy", "close_deadline"]);
}

/// A limit that is met all the time, of messages and of bytes.
fn limited<S>(sink: S) -> RateLimit<S> {
    let millisecond = Duration::from_millis(1);
    RateLimit::new(sink)
        .with_messages(Rate::new(3, millisecond).with_burst(7))
        .with_bytes(Rate::new(20, millisecond).with_burst(50))
}

#[tokio::test(start_paused = true)]
async fn rate_limit_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        subject(RateLimit::new(buffered(link)), [peer])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn rate_limit_that_is_met_conforms() {
    // The suite is never idle, so the clock does not go on by itself.
    tokio::spawn(async {
        loop {
            tokio::time::advance(Duration::from_micros(100)).await;
        }
    });
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        subject(limited(buffered(link)), [peer])
    })
    .await;
}

#[test]
fn rate_limit_forwards_every_method() {
    // It feeds by `append`.
    forwards_every_method(RateLimit::new, &["try_feed"]);
}

#[tokio::test(start_paused = true)]
async fn circuit_breaker_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        let sink = CircuitBreaker::new(buffered(link)).with_stall_timeout(Some(Duration::MAX));
        subject(sink, [peer])
    })
    .await;
}

#[test]
fn circuit_breaker_forwards_every_method() {
    forwards_every_method(CircuitBreaker::new, &[]);
}

#[test]
fn box_forwards_every_method() {
    forwards_every_method(Box::new, &[]);
}

#[test]
fn fanout_over_sinks_forwards_every_method() {
    // It feeds by `append`, once there is room in all children.
    forwards_every_method(|sink| Fanout::new([sink]), &["try_feed", "poll_feed"]);
}

#[test]
fn best_effort_that_gates_forwards_every_method() {
    // It tries to append first, as a feed does.
    forwards_every_method(|sink| BestEffort::new(sink).with_gating(true), &["try_feed"]);
}

#[test]
fn quorum_over_sinks_forwards_every_method() {
    // It feeds by `append`, once there is room in enough children, and counts their states.
    forwards_every_method(
        |sink| Quorum::new(1, [sink]),
        &["try_feed", "poll_feed", "is_connected"],
    );
}

/// `Buffered` under every framing.
mod framings {
    use torq_message_sink::prefix::{U16Be, U16Le, U32Be, U32Le, U64Be, U64Le, Varint};
    use torq_message_sink::testing::conformance::check_all_but_empty;
    use torq_message_sink::{FrameError, Framing, NewlineDelimited, Prefixed, SelfDelimiting};

    use super::*;

    macro_rules! conform {
        ($($fact:ident: $framing:expr, $checks:ident;)*) => { $(
            #[tokio::test(start_paused = true)]
            async fn $fact() {
                $checks(|| framed($framing)).await;
            }
        )* };
    }

    conform! {
        u16_be_conforms: Prefixed::<U16Be>::new(), check_all;
        u16_le_conforms: Prefixed::<U16Le>::new(), check_all;
        u32_be_conforms: Prefixed::<U32Be>::new(), check_all;
        u32_le_conforms: Prefixed::<U32Le>::new(), check_all;
        u64_be_conforms: Prefixed::<U64Be>::new(), check_all;
        u64_le_conforms: Prefixed::<U64Le>::new(), check_all;
        varint_conforms: Prefixed::<Varint>::new(), check_all;
        newline_conforms: NewlineDelimited::new(), check_all;
        self_delimiting_conforms: SelfDelimiting::new(message_len), check_all_but_empty;
    }

    fn framed<F: Framing + Copy>(
        framing: F,
    ) -> Subject<Buffered<MemorySink, F>, MemoryReceivers<F>> {
        let (link, peer) = MemorySink::pair(PIPE);
        Subject {
            sink: Buffered::with_framing(link, CAPACITY, framing),
            receivers: MemoryReceivers::with_framing([peer], framing),
            bound_bytes: (CAPACITY + PIPE) as u64,
        }
    }

    /// The suite's messages end with a full stop.
    fn message_len(bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        Ok(bytes.iter().position(|&byte| byte == b'.').map(|at| at + 1))
    }
}

/// What holds of a sink that drops when it is full, as of any other; that it drops whole messages
/// and counts them is in when_full.rs.
async fn check_dropping<S: MessageSink>(mut make: impl FnMut() -> Subject<S, MemoryReceivers>) {
    use torq_message_sink::testing::conformance as check;

    check::order_is_kept(make()).await;
    check::flushed_means_delivered(make()).await;
    check::room_is_a_promise(make()).await;
    check::fitting_is_a_promise(make()).await;
    check::disconnected_sink_wakes_when_fed(make()).await;
    check::close_is_final(make()).await;
    check::ended_sink_is_closed(make());
}

#[tokio::test(start_paused = true)]
async fn buffered_that_drops_conforms() {
    for when_full in [WhenFull::DropNewest, WhenFull::DropOldest] {
        check_dropping(|| {
            let (link, peer) = MemorySink::pair(PIPE);
            subject(buffered(link).with_when_full(when_full).with_water_marks(100, 50), [peer])
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn fanout_to_a_child_that_drops_and_one_that_waits_conforms() {
    for when_full in [WhenFull::DropNewest, WhenFull::DropOldest] {
        check_dropping(|| {
            let ((drops, one), (waits, other)) = (MemorySink::pair(PIPE), MemorySink::pair(PIPE));
            let drops = Lazy::new(buffered(drops).with_when_full(when_full));
            subject(Fanout::new((drops, buffered(waits))), [one, other])
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn buffered_with_water_marks_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        subject(buffered(link).with_water_marks(100, 50), [peer])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn round_robin_over_one_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        subject(RoundRobin::new([buffered(link)]), [peer])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn round_robin_over_one_link_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        subject(Lazy::new(buffered(RoundRobin::new([link]))), [peer])
    })
    .await;
}

/// One of three is there, so everything is its.
#[tokio::test(start_paused = true)]
async fn round_robin_over_links_of_which_two_are_away_conforms() {
    check_all(|| {
        let ((first, away), (second, peer)) = (MemorySink::pair(PIPE), MemorySink::pair(PIPE));
        let (third, stalls) = MemorySink::pair(PIPE);
        away.refuse(true);
        stalls.stall(true);
        subject(buffered(RoundRobin::new((first, second, third))), [peer])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn least_loaded_over_one_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        subject(LeastLoaded::new([buffered(link)]), [peer])
    })
    .await;
}

#[test]
fn composites_of_one_child_forward_every_method() {
    // They feed by `append`, and wait by `poll_ready`.
    let except = ["try_feed", "poll_feed"];
    forwards_every_method(|sink| RoundRobin::new([sink]), &except);
    forwards_every_method(|sink| LeastLoaded::new([sink]), &except);
    forwards_every_method(|sink| Sharded::new([sink]), &[]);
    // It hands a policy of its own down.
    forwards_every_method(|sink| Failover::new([sink]), &except);
}

/// The suite's messages have no key, so all are the first child's.
#[tokio::test(start_paused = true)]
async fn sharded_conforms() {
    check_all(|| {
        let ((first, peer), (second, _)) = (MemorySink::pair(PIPE), MemorySink::pair(PIPE));
        subject(Sharded::new((buffered(first), buffered(second))), [peer])
    })
    .await;
}

/// Layers with a queue of their own, which needs memory of its own.
mod held {
    use std::time::Duration;

    use torq_message_sink::testing::conformance::Receive;
    use torq_message_sink::{Encode, Keyed, NewlineDelimited, TryFeedError, forward_sink};

    use super::*;

    const QUEUE: usize = 2048;

    fn holding<S: MessageSink>(
        make: impl Fn(Buffered<MemorySink>) -> S,
    ) -> Subject<S, MemoryReceivers> {
        let (link, peer) = MemorySink::pair(PIPE);
        let subject = subject(make(buffered(link)), [peer]);
        Subject { bound_bytes: subject.bound_bytes + QUEUE as u64, ..subject }
    }

    fn scripted<S: MessageSink>(make: impl Fn(ScriptedSink) -> S) -> Subject<S, impl Receive> {
        let (sink, peer) = ScriptedSink::pair(8);
        Subject { sink: make(sink), receivers: peer, bound_bytes: 8 * 16 + QUEUE as u64 }
    }

    fn deadline<S: HandBack>(inner: S) -> Deadline<S> {
        Deadline::with_capacity(inner, QUEUE).with_max_age(Duration::from_secs(3600))
    }

    fn conflate<S: HandBack>(inner: S) -> Conflate<S> {
        Conflate::with_capacity(inner, QUEUE)
    }

    fn lanes<S: MessageSink>(inner: S) -> Lanes<S, 3> {
        Lanes::with_capacity(inner, QUEUE)
    }

    macro_rules! conform {
        ($($fact:ident: $subject:expr;)*) => { $(
            #[tokio::test(start_paused = true)]
            async fn $fact() {
                check_all(|| $subject).await;
            }
        )* };
    }

    conform! {
        deadline_conforms: holding(deadline);
        deadline_without_max_age_conforms: holding(|sink| Deadline::with_capacity(sink, QUEUE));
        deadline_without_room_of_its_own_conforms: holding(|sink| Deadline::with_capacity(sink, 0));
        deadline_over_a_scripted_sink_conforms: scripted(deadline);
        conflate_conforms: holding(conflate);
        conflate_without_room_of_its_own_conforms: holding(|sink| Conflate::with_capacity(sink, 0));
        conflate_over_a_scripted_sink_conforms: scripted(conflate);
        lanes_conform: holding(lanes);
        strict_lanes_conform: holding(|sink| lanes(sink).strict());
        lanes_without_room_of_their_own_conform: holding(|sink| Lanes::<_, 2>::with_capacity(sink, 0));
        lanes_over_a_scripted_sink_conform: scripted(lanes);
        distinct_keys_conform: holding(|sink| Numbered { inner: conflate(sink), number: 0 });
    }

    /// Gives each message a key of its own.
    struct Numbered<S> {
        inner: S,
        number: u64,
    }

    impl<S> Numbered<S> {
        fn number<M: Encode>(&mut self, msg: M) -> Keyed<M> {
            self.number += 1;
            Keyed(self.number, msg)
        }
    }

    impl<S: MessageSink> MessageSink for Numbered<S> {
        fn try_feed<M: Encode + ?Sized>(&mut self, msg: &M) -> Result<(), TryFeedError> {
            let msg = self.number(msg);
            self.inner.try_feed(&msg)
        }

        fn append<M: Encode + ?Sized>(&mut self, msg: &M, len: usize) -> bool {
            let msg = self.number(msg);
            self.inner.append(&msg, len)
        }

        forward_sink! { inner:
            fits accepts room try_ready poll_ready poll_flush poll_close poll_disconnect
            poll_connect hurry end state is_connected accepted_bytes report_into take_events
            set_policy close_deadline
        }
    }

    /// They feed by `append` where they can, and look themselves at what a message waits for.
    const NOT_FORWARDED: [&str; 2] = ["try_feed", "poll_feed"];

    #[test]
    fn deadline_forwards_every_method() {
        forwards_every_method(deadline, &NOT_FORWARDED);
    }

    #[test]
    fn conflate_forwards_every_method() {
        forwards_every_method(conflate, &NOT_FORWARDED);
    }

    #[test]
    fn lanes_forward_every_method() {
        forwards_every_method(lanes, &NOT_FORWARDED);
    }

    /// A framing that refuses is asked before a message waits, also when the buffer is full.
    #[tokio::test(start_paused = true)]
    async fn refusing_framing_conforms() {
        let framing = NewlineDelimited::new();
        check_all(|| {
            let (link, peer) = MemorySink::pair(PIPE);
            let inner = Buffered::with_framing(link, CAPACITY, framing);
            Subject {
                sink: lanes(inner),
                receivers: MemoryReceivers::with_framing([peer], framing),
                bound_bytes: (CAPACITY + PIPE + QUEUE) as u64,
            }
        })
        .await;
    }
}

/// All is well, so everything is the first child's.
#[tokio::test(start_paused = true)]
async fn failover_over_links_conforms() {
    check_all(|| {
        let ((first, peer), (second, _)) = (MemorySink::pair(PIPE), MemorySink::pair(PIPE));
        subject(Lazy::new(buffered(Failover::new((first, second)))), [peer])
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn failover_over_sinks_conforms() {
    check_all(|| {
        let ((first, peer), (second, _)) = (MemorySink::pair(PIPE), MemorySink::pair(PIPE));
        subject(Failover::new((Lazy::new(buffered(first)), buffered(second))), [peer])
    })
    .await;
}

/// The first is away, so everything is the second's.
#[tokio::test(start_paused = true)]
async fn failover_over_links_of_which_one_is_away_conforms() {
    check_all(|| {
        let ((first, away), (second, peer)) = (MemorySink::pair(PIPE), MemorySink::pair(PIPE));
        away.refuse(true);
        subject(Lazy::new(buffered(Failover::new([first, second]))), [peer])
    })
    .await;
}

/// Both buffers are there, one of them empty at any time.
#[tokio::test(start_paused = true)]
async fn failover_over_sinks_of_which_one_is_away_conforms() {
    check_all(|| {
        let ((first, away), (second, peer)) = (MemorySink::pair(PIPE), MemorySink::pair(PIPE));
        away.refuse(true);
        let first = Lazy::new(buffered(first)).with_max_attempts(1);
        subject(Lazy::new(Failover::new((first, buffered(second)))), [peer])
    })
    .await;
}
