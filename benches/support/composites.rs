//! Composites other than the fan-out that all wait for, connected, and what is written by hand
//! instead of each.

use tokio::net::{TcpStream, UnixStream};
use torq_message_sink::{
    BestEffort, Buffered, Failover, Fanout, Lazy, LeastLoaded, MessageSink, Quorum, RoundRobin,
    Sharded, SinkState, TcpSink, UnixSink,
};

use super::peers::SEND_BUFFER;
use super::{
    Best, ByKey, CAPACITY, Lesser, Peers, Picks, Sink, Turns, WithKeys, by_tcp, connected,
};

fn tcp(peers: &Peers) -> TcpSink {
    TcpSink::new(peers.tcp.to_string()).expect("an address")
}

fn unix(peers: &Peers) -> UnixSink {
    UnixSink::new(&peers.unix).expect("a short path").with_send_buffer(Some(SEND_BUFFER))
}

/// A stack over links.
type Links<L> = Sink<Lazy<Buffered<L>>>;

/// A fan-out of which one child does not hold up the other.
pub(crate) async fn effort(peers: &Peers) -> Links<Fanout<(TcpSink, BestEffort<UnixSink>)>> {
    let links = Fanout::new((tcp(peers), BestEffort::new(unix(peers))));
    let mut sink = connected(links).await;
    while sink.0.report().leaves.iter().any(|leaf| leaf.state != SinkState::Connected) {
        tokio::task::yield_now().await;
        sink.0.flush().await.expect("the receivers read");
    }
    sink
}

/// A fan-out of which both children are needed, as it says at run time.
pub(crate) async fn quorum(peers: &Peers) -> Links<Quorum<(TcpSink, UnixSink)>> {
    connected(Quorum::new(2, (tcp(peers), unix(peers)))).await
}

/// Everything to the first of two.
pub(crate) async fn failover(peers: &Peers) -> Links<Failover<(TcpSink, UnixSink)>> {
    connected(Failover::new((tcp(peers), unix(peers)))).await
}

/// By hand: one buffer, written to both.
pub(crate) async fn together(peers: &Peers) -> Best<(TcpStream, UnixStream)> {
    Best::new(CAPACITY, peers.connect_both().await)
}

/// By hand: one buffer, written to one.
pub(crate) async fn one(peers: &Peers) -> Best<TcpStream> {
    Best::new(CAPACITY, peers.connect_tcp().await)
}

/// Two whole sinks.
type Sinks = (Lazy<Buffered<TcpSink>>, Lazy<Buffered<UnixSink>>);

async fn two(peers: &Peers) -> Sinks {
    (by_tcp(peers).await.0, connected(unix(peers)).await.0)
}

/// One message after the other.
pub(crate) async fn round_robin(peers: &Peers) -> Sink<RoundRobin<Sinks>> {
    Sink(RoundRobin::new(two(peers).await))
}

/// Each message by its key.
pub(crate) async fn sharded(peers: &Peers) -> Sink<WithKeys<Sharded<Sinks>>> {
    Sink(WithKeys { inner: Sharded::new(two(peers).await), key: 0 })
}

/// Each message to the lesser load.
pub(crate) async fn least_loaded(peers: &Peers) -> Sink<LeastLoaded<Sinks>> {
    Sink(LeastLoaded::with_seed(two(peers).await, 7))
}

/// By hand: two buffers, of which a message goes into one.
type ByHand<C> = Picks<TcpStream, UnixStream, C>;

pub(crate) async fn turns(peers: &Peers) -> ByHand<Turns> {
    Picks::new(CAPACITY, peers.connect_both().await)
}

pub(crate) async fn keys(peers: &Peers) -> ByHand<ByKey> {
    Picks::new(CAPACITY, peers.connect_both().await)
}

pub(crate) async fn lesser(peers: &Peers) -> ByHand<Lesser> {
    Picks::new(CAPACITY, peers.connect_both().await)
}
