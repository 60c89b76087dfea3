//! Targets with a queue of their own: what one hands back is as fresh as it was, and the next one
//! knows by which key, and until when.

use std::collections::HashMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, advance, timeout};
use torq_message_sink::{
    Backoff, Buffered, Conflate, Deadline, Failover, FailoverPolicy, HandBack, Keyed, Lazy,
    MemoryPeer, MemorySink, MemoryStream, MessageSink, SinkError, WithDeadline,
};

const MS: Duration = Duration::from_millis(1);

type Target = Lazy<Buffered<MemorySink>>;

fn target() -> (Target, MemoryPeer) {
    let (link, peer) = MemorySink::pair(64);
    let backoff = Backoff::new().with_initial(MS).with_max(MS);
    (Lazy::new(Buffered::with_capacity(link, 256)).with_backoff(backoff), peer)
}

/// Two targets below what `layer` makes of each, and their peers.
fn two<S: HandBack>(layer: impl Fn(Target) -> S) -> (Failover<[S; 2]>, [MemoryPeer; 2]) {
    let ((one, first), (other, second)) = (target(), target());
    let policy = FailoverPolicy::new().with_stall_timeout(Some(100 * MS));
    (Failover::with_policy([layer(one), layer(other)], policy), [first, second])
}

/// Payloads of what a peer has received on its oldest connection.
fn messages(bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut messages = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk::<4>() {
        let (message, behind) = behind.split_at(u32::from_be_bytes(*head) as usize);
        messages.push(String::from_utf8(message.to_vec()).expect("text"));
        rest = behind;
    }
    messages
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_goes_to_no_target() -> Result<(), SinkError> {
    let (mut sink, [first, second]) = two(Deadline::new);
    first.refuse(true);
    second.refuse(true);
    let now = Instant::now().into_std();
    sink.feed(&WithDeadline(now + 50 * MS, "soon")).await?;
    sink.feed(&WithDeadline(now + 5000 * MS, "later")).await?;
    sink.feed(&WithDeadline(now + 60_000 * MS, "much later")).await?;
    sink.feed("whenever").await?;
    // From one target to the other and back, again and again: the deadlines come along.
    let _ = timeout(10_000 * MS, sink.flush()).await;
    second.refuse(false);
    sink.flush().await?;
    let received = second.accept().expect("connected").read();
    assert_eq!(messages(&received), ["much later", "whenever"]);
    let report = sink.report();
    assert_eq!(report.dropped.expired.messages, Some(2), "{report}");
    assert!(report.is_complete(), "{report}");
    assert_eq!(sink.outstanding_bytes(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn next_target_conflates_what_the_last_one_hands_back() -> Result<(), SinkError> {
    let (mut sink, [first, second]) = two(Conflate::new);
    first.refuse(true);
    second.refuse(true);
    for (key, message) in [(1, "1: a"), (2, "2: a"), (1, "1: b")] {
        sink.feed(&Keyed(key, message)).await?;
    }
    let _ = timeout(1000 * MS, sink.flush()).await;
    for (key, message) in [(2, "2: b"), (3, "3: a"), (1, "1: c")] {
        sink.feed(&Keyed(key, message)).await?;
    }
    let _ = timeout(1000 * MS, sink.flush()).await;
    second.refuse(false);
    sink.flush().await?;
    let received = second.accept().expect("connected").read();
    assert_eq!(messages(&received), ["1: c", "2: b", "3: a"], "in the order of their keys");
    let report = sink.report();
    assert_eq!(report.dropped.conflated.messages, Some(3), "{report}");
    assert!(report.is_complete(), "{report}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn handed_back_it_counts_as_never_accepted() -> Result<(), SinkError> {
    let (inner, peer) = target();
    peer.refuse(true);
    let mut sink = Deadline::new(inner);
    let now = Instant::now().into_std();
    sink.try_feed(&WithDeadline(now + 10 * MS, "gone by then"))?;
    sink.try_feed(&Keyed(7, WithDeadline(now + 1000 * MS, "kept")))?;
    sink.try_feed("plain")?;
    advance(20 * MS).await;
    let mut back = Vec::new();
    sink.hand_back(&mut |message| back.push(message.payload().to_vec()));
    assert_eq!(back, [b"kept".as_slice(), b"plain"]);
    let report = sink.report();
    assert_eq!((report.unfed.bytes, report.dropped.expired.messages), (0, Some(1)));
    assert_eq!(sink.accepted_bytes(), report.dropped.expired.bytes);
    // And it goes on as if nothing had been.
    peer.refuse(false);
    sink.send("new").await?;
    assert_eq!(messages(&peer.accept().expect("connected").read()), ["new"]);
    Ok(())
}

/// What peers have received so far, of messages `key: number`.
#[derive(Default)]
struct Received {
    streams: Vec<(usize, MemoryStream, Vec<u8>)>,
    /// By peer, in order, of connections that have ended.
    ended: [Vec<String>; 2],
}

impl Received {
    fn read(&mut self, peers: &[MemoryPeer; 2]) {
        for (index, peer) in peers.iter().enumerate() {
            while let Some(stream) = peer.accept() {
                self.streams.push((index, stream, Vec::new()));
            }
        }
        self.streams.iter_mut().for_each(|(_, stream, bytes)| bytes.extend(stream.read()));
    }

    /// Ends all connections to a peer, which has read everything.
    fn end(&mut self, peer: usize) {
        let ended = self.streams.extract_if(.., |(index, ..)| *index == peer);
        for (index, _, bytes) in ended {
            self.ended[index].extend(whole(&bytes));
        }
    }
}

/// The messages in `bytes`, of which a connection's end may have cut the last one off.
fn whole(bytes: &[u8]) -> Vec<String> {
    let mut len = 0;
    while let Some(head) = bytes[len..].first_chunk::<4>() {
        let behind = len + 4 + u32::from_be_bytes(*head) as usize;
        if behind > bytes.len() {
            break;
        }
        len = behind;
    }
    messages(&bytes[..len])
}

#[tokio::test(start_paused = true)]
async fn newest_of_each_key_arrives_whatever_targets_do() -> Result<(), SinkError> {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut sink, peers) = two(Conflate::new);
        let (mut received, mut newest) = (Received::default(), HashMap::new());
        for number in 0..200 {
            match random.u8(..10) {
                0..6 => {
                    let key = random.u64(..5);
                    let message = format!("{key}: {number}");
                    if sink.try_feed(&Keyed(key, message.as_str())).is_ok() {
                        newest.insert(key.to_string(), number);
                    }
                }
                6 => peers[random.usize(..2)].refuse(random.bool()),
                7 => {
                    // A peer that goes has read what was there, or that would be lost.
                    received.read(&peers);
                    received.end(random.usize(..2));
                }
                8 => tokio::time::sleep(random.u32(..120) * MS).await,
                _ => {
                    let _ = poll_fn(|cx| Poll::Ready(sink.poll_flush(cx))).await;
                }
            }
            if random.bool() {
                received.read(&peers);
            }
        }
        peers.iter().for_each(|peer| peer.refuse(false));
        while timeout(10 * MS, sink.flush()).await.is_err() {
            received.read(&peers);
        }
        received.read(&peers);
        (0..2).for_each(|peer| received.end(peer));
        let mut last = HashMap::new();
        let mut seen = std::collections::HashSet::new();
        for messages in &received.ended {
            let mut of_peer: HashMap<String, u32> = HashMap::new();
            for message in messages {
                assert!(seen.insert(message.clone()), "seed {seed}: {message} twice");
                let (key, number) = message.split_once(": ").expect("as it was fed");
                let number = number.parse::<u32>().expect("a number");
                let before = of_peer.insert(key.to_owned(), number);
                assert!(before < Some(number), "seed {seed}: {message} behind {before:?}");
                let latest = last.entry(key.to_owned()).or_insert(number);
                *latest = number.max(*latest);
            }
        }
        assert_eq!(last, newest, "seed {seed}");
        let report = sink.report();
        assert_eq!((report.unfed.bytes, report.buffered_bytes()), (0, 0), "seed {seed}: {report}");
    }
    Ok(())
}
