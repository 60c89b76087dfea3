//! What a slow or dead child does to the others, and what it misses itself.

mod links;
mod schedules;
mod sinks;

use std::time::Duration;

use torq_message_sink::{Buffered, Lazy, LeafReport, Link, MemoryPeer, MessageSink};

/// Bytes of a frame around a message of one byte.
const FRAME: usize = 5;

fn counting<L: Link>(link: L, capacity: usize) -> Lazy<Buffered<L>> {
    Lazy::new(Buffered::with_capacity(link, capacity)).with_counting(true)
}

fn leaf<S: MessageSink>(sink: &S, index: usize) -> LeafReport {
    let leaf = sink.report().leaves.swap_remove(index);
    assert!(leaf.is_conserved(), "{leaf:?}");
    leaf
}

fn skipped<S: MessageSink>(sink: &S, index: usize) -> u64 {
    leaf(sink, index).dropped.skipped.messages.unwrap_or(0)
}

/// The one byte of each message that the peer's next connection carries.
fn letters(peer: &MemoryPeer) -> String {
    let bytes = peer.accept().expect("connected").read();
    bytes.chunks(FRAME).map(|frame| char::from(*frame.last().expect("not empty"))).collect()
}

/// Lets connect tasks and back-offs do what they do.
async fn pass() {
    tokio::time::sleep(Duration::from_secs(60)).await;
}
