//! The conformance suite over every sink and layer; nestings are in nestings.rs. Who adds one adds
//! a line here.

use std::time::Duration;

use torq_message_sink::testing::conformance::{
    MemoryReceivers, Subject, check_all, forwards_every_method,
};
use torq_message_sink::testing::{Scripted, ScriptedSink};
use torq_message_sink::{
    BestEffort, Buffered, CircuitBreaker, Failover, Fanout, Lazy, LeastLoaded, Link, MemoryPeer,
    MemorySink, MessageSink, Quorum, Rate, RateLimit, RoundRobin, Sharded, StreamLink,
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

#[tokio::test(start_paused = true)]
async fn round_robin_over_one_conforms() {
    check_all(|| {
        let (link, peer) = MemorySink::pair(PIPE);
        subject(RoundRobin::new([buffered(link)]), [peer])
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
