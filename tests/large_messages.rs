//! Messages of more than one write go around the buffer: nothing is copied that the connections
//! take at once, and whatever they do not take is kept as any other frame.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use torq_message_sink::testing::{Scripted, Step};
use torq_message_sink::{
    BestEffort, Buffered, Encode, End, Fanout, Lazy, LazyPolicy, Link, MemoryPeer, MemorySink,
    MemoryStream, MessageSink, Quorum, Report, StreamLink,
};

/// Bytes of one write here, by the high water mark; larger frames are large.
const WRITE: usize = 64;

const CAPACITY: usize = 1024;

fn sink<L: Link>(link: L) -> Lazy<Buffered<L>> {
    let buffered = Buffered::with_capacity(link, CAPACITY).with_water_marks(WRITE, 0);
    Lazy::with_policy(buffered, LazyPolicy::new().with_counting(true))
}

/// A message that can be told from others.
fn message(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|index| (index as u8).wrapping_mul(7).wrapping_add(seed)).collect()
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

async fn connected(sink: &mut impl MessageSink, peer: &MemoryPeer) -> MemoryStream {
    sink.connect().await.unwrap();
    peer.accept().expect("connected")
}

async fn try_flush(sink: &mut impl MessageSink) -> bool {
    poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await.is_ready()
}

fn checked(sink: &impl MessageSink) -> Report {
    let report = sink.report();
    report.leaves.iter().for_each(|leaf| assert!(leaf.is_conserved(), "{leaf:?}"));
    report
}

#[tokio::test(start_paused = true)]
async fn large_message_is_written_when_it_is_fed_and_small_ones_are_not() {
    let (link, peer) = MemorySink::pair(4096);
    let mut sink = sink(link);
    let stream = connected(&mut sink, &peer).await;
    let (large, small) = (message(500, 1), message(20, 2));
    sink.feed(&small).await.unwrap();
    assert_eq!(stream.written_bytes(), 0);
    // What came before goes first.
    sink.feed(&large).await.unwrap();
    assert_eq!(stream.read(), [frame(&small), frame(&large)].concat());
    assert_eq!(sink.get_ref().buffered_bytes(), 0);
    sink.try_feed(large.as_slice()).unwrap();
    assert_eq!(stream.read(), frame(&large));
    sink.feed(&small).await.unwrap();
    assert_eq!((stream.written_bytes() as usize, sink.get_ref().buffered_bytes()), (1032, 24));
    sink.flush().await.unwrap();
    assert_eq!(stream.read(), frame(&small));
    let leaf = &checked(&sink).leaves[0];
    assert_eq!((leaf.written.messages, leaf.written.bytes), (Some(4), sink.accepted_bytes()));
}

#[tokio::test(start_paused = true)]
async fn message_that_lends_nothing_goes_through_the_buffer() {
    struct Struct([u8; 200]);

    impl Encode for Struct {
        fn encoded_len(&self) -> usize {
            200
        }
        fn encode(&self, buf: &mut [u8]) {
            buf.copy_from_slice(&self.0);
        }
    }

    let (link, peer) = MemorySink::pair(4096);
    let mut sink = sink(link);
    let stream = connected(&mut sink, &peer).await;
    sink.feed(&Struct([7; 200])).await.unwrap();
    assert_eq!((stream.written_bytes(), sink.get_ref().buffered_bytes()), (0, 204));
    sink.flush().await.unwrap();
    assert_eq!(stream.read(), frame(&[7; 200]));
}

#[tokio::test(start_paused = true)]
async fn message_that_lends_another_length_than_it_says_is_encoded() {
    struct Liar;

    impl Encode for Liar {
        fn encoded_len(&self) -> usize {
            200
        }
        fn encode(&self, buf: &mut [u8]) {
            buf.fill(b'e');
        }
        fn lend(&self) -> Option<&[u8]> {
            Some(b"short")
        }
    }

    let (link, peer) = MemorySink::pair(4096);
    let mut sink = sink(link);
    let stream = connected(&mut sink, &peer).await;
    sink.send(&Liar).await.unwrap();
    assert_eq!(stream.read(), frame(&[b'e'; 200]));
}

#[tokio::test(start_paused = true)]
async fn what_a_connection_does_not_take_is_kept_whole() {
    // From nothing of it to all but one byte.
    for taken in [0, 1, 3, 4, 5, 100, 502, 503] {
        let (link, peer) = MemorySink::pair(taken);
        let mut sink = sink(link);
        let stream = connected(&mut sink, &peer).await;
        let large = message(500, taken as u8);
        sink.feed(&large).await.unwrap();
        assert_eq!(sink.get_ref().buffered_bytes(), 504, "{taken} taken");
        checked(&sink);
        let mut got = stream.read();
        assert_eq!(got.len(), taken);
        stream.set_capacity(100);
        while !try_flush(&mut sink).await {
            got.extend(stream.read());
        }
        got.extend(stream.read());
        assert_eq!(got, frame(&large), "{taken} taken");
        assert_eq!(checked(&sink).leaves[0].written.messages, Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn frame_cut_on_its_way_around_comes_whole_on_the_next_connection() {
    let (link, peer) = MemorySink::pair(4096);
    let (connector, script) = Scripted::new(link.connector().clone());
    let mut sink = sink(StreamLink::with_connector(connector));
    let first = connected(&mut sink, &peer).await;
    let (large, next) = (message(500, 1), message(300, 2));
    script.push(Step::ShortWrite(200));
    script.push(Step::FailWrite(io::ErrorKind::ConnectionReset));
    sink.feed(&large).await.unwrap();
    assert_eq!(first.read(), frame(&large)[..200]);
    sink.send(&next).await.unwrap();
    let second = peer.accept().expect("a new connection");
    assert_eq!(second.read(), [frame(&large), frame(&next)].concat());
    let leaf = &checked(&sink).leaves[0];
    assert_eq!((leaf.rewritten_bytes, leaf.written.messages), (200, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn closed_peer_is_noticed_before_a_large_message_is_written() {
    let (link, peer) = MemorySink::pair(4096);
    let mut sink = sink(link);
    let first = connected(&mut sink, &peer).await;
    first.shut();
    let large = message(500, 1);
    sink.send(&large).await.unwrap();
    assert_eq!(first.written_bytes(), 0);
    assert_eq!(peer.accept().expect("a new connection").read(), frame(&large));
}

#[tokio::test(start_paused = true)]
async fn child_that_takes_it_whole_and_child_that_does_not() {
    let ((fast, fast_peer), (slow, slow_peer)) = (MemorySink::pair(4096), MemorySink::pair(100));
    let mut sink = sink(Fanout::new((fast, slow)));
    sink.connect().await.unwrap();
    let (fast, slow) = (fast_peer.accept().unwrap(), slow_peer.accept().unwrap());
    let messages = [message(500, 1), message(300, 2), message(10, 3)];
    let mut late = Vec::new();
    for message in &messages {
        sink.feed(message).await.unwrap();
        checked(&sink);
    }
    while !try_flush(&mut sink).await {
        late.extend(slow.read());
    }
    late.extend(slow.read());
    let all = messages.iter().flat_map(|message| frame(message)).collect::<Vec<_>>();
    assert_eq!(fast.read(), all);
    assert_eq!(late, all);
}

/// As below a fan-out alone: what waits for a child is buffered, for a child that gates or not.
#[tokio::test(start_paused = true)]
async fn children_that_nobody_waits_for_and_quorums_take_them_too() {
    let ((gates, gates_peer), (loose, loose_peer)) =
        (MemorySink::pair(4096), MemorySink::pair(4096));
    let mut sink = sink(Quorum::new(1, (gates, BestEffort::new(loose))));
    let large = message(500, 1);
    // Both have to be there, and to have nothing before it.
    sink.send(b"up".as_slice()).await.unwrap();
    tokio::task::yield_now().await;
    sink.send(b"up".as_slice()).await.unwrap();
    let peers = [gates_peer.accept().unwrap(), loose_peer.accept().unwrap()];
    peers.iter().for_each(|peer| drop(peer.read()));
    sink.feed(&large).await.unwrap();
    assert_eq!(sink.get_ref().buffered_bytes(), 0);
    for peer in peers {
        assert_eq!(peer.read(), frame(&large));
    }
    checked(&sink);
}

#[tokio::test(start_paused = true)]
async fn large_message_to_a_peer_that_is_not_there_waits_in_the_buffer() {
    let (link, peer) = MemorySink::pair(4096);
    peer.stall(true);
    let mut sink = sink(link);
    let large = message(400, 1);
    sink.feed(&large).await.unwrap();
    sink.feed(&large).await.unwrap();
    assert!(sink.try_feed(&large).is_err_and(|refusal| refusal.is_full()));
    assert!(sink.try_feed(&message(CAPACITY, 1)).is_err_and(|refusal| refusal.is_too_large()));
    peer.stall(false);
    sink.flush().await.unwrap();
    assert_eq!(peer.accept().unwrap().read(), [frame(&large), frame(&large)].concat());
    sink.end(End::Close);
    assert!(sink.try_feed(&large).is_err_and(|refusal| refusal.is_closed()));
}

/// Feeding large messages in a loop spends the runtime's budget.
#[test]
fn feeding_large_messages_in_a_loop_lets_others_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (link, peer) = MemorySink::pair(4096);
        let mut sink = sink(link);
        let stream = connected(&mut sink, &peer).await;
        let (other, large) = (tokio::spawn(async {}), message(500, 1));
        let mut fed = 0;
        while !other.is_finished() {
            sink.feed(&large).await.unwrap();
            assert_eq!(stream.read().len(), 504);
            fed += 1;
            assert!(fed < 100_000, "a loop that feeds starves its neighbours");
        }
    });
}
