//! Real sockets and threads: nothing is lost, doubled or torn, and each producer keeps its order.

use std::collections::HashMap;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use torq_message_sink::{
    Backoff, Buffered, Encode, Fanout, Lazy, MessageSink, Shared, SinkState, TcpSink, UnixSink,
};

/// Who sent it, its number among the messages of that producer, and a filling that belongs to both.
struct Numbered {
    producer: u64,
    number: u64,
}

impl Numbered {
    fn filling(&self) -> (usize, u8) {
        let hash = (self.producer << 32 ^ self.number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((hash >> 40) as usize % 200, (hash >> 32) as u8)
    }
}

impl Encode for Numbered {
    fn encoded_len(&self) -> usize {
        16 + self.filling().0
    }

    fn encode(&self, buf: &mut [u8]) {
        buf[..8].copy_from_slice(&self.producer.to_le_bytes());
        buf[8..16].copy_from_slice(&self.number.to_le_bytes());
        buf[16..].fill(self.filling().1);
    }
}

/// What a receiver has got: the numbers of each producer, in order of arrival.
type Got = HashMap<u64, Vec<u64>>;

/// Reads a connection to its end. A frame that its end cuts off is left out.
fn receive(mut from: impl Read, got: &mut Got) {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).expect("read");
    let mut rest = bytes.as_slice();
    while let Some((header, behind)) = rest.split_first_chunk::<4>() {
        let Some((frame, behind)) = behind.split_at_checked(u32::from_be_bytes(*header) as usize)
        else {
            break;
        };
        let word = |at: usize| u64::from_le_bytes(frame[at..at + 8].try_into().expect("eight"));
        let message = Numbered { producer: word(0), number: word(8) };
        let mut whole = vec![0; message.encoded_len()];
        message.encode(&mut whole);
        assert_eq!(frame, whole, "no frame is torn");
        got.entry(message.producer).or_default().push(message.number);
        rest = behind;
    }
}

fn threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime")
}

/// Feeds by all the ways there are.
async fn produce<S: MessageSink + Send + 'static>(sink: Shared<S>, producer: u64, count: u64) {
    let mut number = 0;
    while number < count {
        let message = Numbered { producer, number };
        match number % 50 {
            0 => sink.send(&message).await.expect("sent"),
            1 => {
                let batch = (0..20).map(|more| Numbered { producer, number: number + more });
                sink.send_batch(batch).await.expect("sent");
                number += 19;
            }
            _ if number % 3 == 0 && sink.try_feed(&message).is_ok() => {}
            _ => sink.feed(&message).await.expect("fed"),
        }
        number += 1;
    }
}

fn assert_all_in_order(got: &Got, producers: u64, count: impl Fn(u64) -> u64) {
    for producer in 0..producers {
        let numbers = got.get(&producer).map_or(&[][..], Vec::as_slice);
        assert!(numbers.iter().copied().eq(0..count(producer)), "producer {producer}");
    }
}

#[test]
fn eight_producers_reach_both_children_whole_and_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("peer.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let unix = UnixListener::bind(&path).expect("bound");
    let links = Fanout::new((
        TcpSink::new(tcp.local_addr().expect("bound").to_string()).expect("an address"),
        UnixSink::new(&path).expect("a path"),
    ));
    let by_tcp = std::thread::spawn(move || {
        let mut got = Got::new();
        receive(tcp.accept().expect("connected").0, &mut got);
        got
    });
    let by_unix = std::thread::spawn(move || {
        let mut got = Got::new();
        receive(unix.accept().expect("connected").0, &mut got);
        got
    });
    threads().block_on(async {
        let sink = Shared::with_capacity(Lazy::new(Buffered::new(links)), 16 * 1024);
        let producers: Vec<_> =
            (0..8).map(|producer| tokio::spawn(produce(sink.clone(), producer, 5000))).collect();
        for producer in producers {
            producer.await.expect("no panic");
        }
        assert!(sink.close().await.expect("closed").is_complete());
    });
    for receiver in [by_tcp, by_unix] {
        assert_all_in_order(&receiver.join().expect("read"), 8, |_| 5000);
    }
}

/// The receiver reads a while, closes in good order, and is back at once; so nothing that it had
/// not read is lost but what was under way, which is a suffix of that connection.
#[test]
fn receiver_that_dies_and_returns_sees_no_double_and_no_change_of_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("peer.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let receiver = std::thread::spawn(move || {
        let mut got = Got::new();
        for connection in 0.. {
            let (stream, _) = listener.accept().expect("connected");
            if connection == 20 {
                receive(stream, &mut got);
                break;
            }
            receive(stream.take(20_000), &mut got);
        }
        got
    });
    threads().block_on(async {
        let link = UnixSink::new(&path).expect("a path");
        let soon = Duration::from_millis(1);
        let stack = Lazy::new(Buffered::new(link))
            .with_backoff(Backoff::new().with_initial(soon).with_max(soon));
        let sink = Shared::with_capacity(stack, 8 * 1024);
        let producers: Vec<_> =
            (0..4).map(|producer| tokio::spawn(produce(sink.clone(), producer, 20_000))).collect();
        for producer in producers {
            producer.await.expect("no panic");
        }
        assert_eq!(sink.refused(), 0);
        sink.close().await.expect("closed");
    });
    let got = receiver.join().expect("read");
    for (producer, numbers) in got {
        let ascending = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(ascending, "producer {producer}: nothing twice, nothing out of order");
        assert_eq!(numbers.last(), Some(&19_999), "the last connection was read to its end");
    }
}

#[test]
fn close_under_load_delivers_exactly_what_was_accepted() {
    let (sink, receiver, runtime, _dir) = to_one_receiver();
    runtime.block_on(async {
        let accepted: Arc<[AtomicU64; 4]> = Arc::default();
        let producers: Vec<_> = (0..4)
            .map(|producer| {
                let (sink, accepted) = (sink.clone(), accepted.clone());
                tokio::spawn(async move {
                    for number in 0.. {
                        let message = Numbered { producer, number };
                        if let Err(error) = sink.feed(&message).await {
                            assert!(error.is_closed());
                            accepted[producer as usize].store(number, Ordering::SeqCst);
                            return;
                        }
                    }
                })
            })
            .collect();
        while sink.report().leaves[0].written.bytes < 1_000_000 {
            tokio::task::yield_now().await;
        }
        assert!(sink.close().await.expect("closed").is_complete());
        for producer in producers {
            producer.await.expect("no panic");
        }
        let got = receiver.join().expect("read");
        assert_all_in_order(&got, 4, |producer| accepted[producer as usize].load(Ordering::SeqCst));
    });
}

#[test]
fn last_handle_dropped_with_data_in_the_buffer_delivers_it() {
    let (sink, receiver, runtime, _dir) = to_one_receiver();
    runtime.block_on(async {
        let producers: Vec<_> = (0..4)
            .map(|producer| {
                let sink = sink.clone();
                tokio::spawn(async move {
                    for number in 0..1000 {
                        sink.feed(&Numbered { producer, number }).await.expect("fed");
                    }
                })
            })
            .collect();
        drop(sink);
        for producer in producers {
            producer.await.expect("no panic");
        }
        let got = tokio::task::spawn_blocking(|| receiver.join().expect("read")).await;
        assert_all_in_order(&got.expect("read"), 4, |_| 1000);
    });
}

/// Each producer gives up every other `send` after a poll or two, flushes if it was accepted, and
/// repeats it if not.
#[test]
fn cancelled_sends_are_delivered_once_if_they_say_that_they_were_accepted() {
    let (sink, receiver, runtime, _dir) = to_one_receiver();
    runtime.block_on(async {
        let producers: Vec<_> = (0..4)
            .map(|producer| {
                let sink = sink.clone();
                tokio::spawn(async move {
                    let mut number = 0;
                    while number < 2000 {
                        let message = Numbered { producer, number };
                        let mut send = sink.send(&message);
                        for _ in 0..=number % 2 {
                            if crate::support::poll_once(&mut send).await.is_ready() {
                                break;
                            }
                            tokio::task::yield_now().await;
                        }
                        number += u64::from(send.accepted());
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.await.expect("no panic");
        }
        assert!(sink.close().await.expect("closed").is_complete());
        assert_all_in_order(&receiver.join().expect("read"), 4, |_| 2000);
    });
}

/// Handles on several runtimes that come and go, and a stack that is put to sleep all the time:
/// never two drivers, and no wake-up is lost.
#[test]
fn sleeping_and_waking_under_load_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("peer.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let done = Arc::new(AtomicBool::new(false));
    let over = done.clone();
    let receiver = std::thread::spawn(move || {
        let mut got = Got::new();
        loop {
            let (stream, _) = listener.accept().expect("connected");
            receive(stream, &mut got);
            if over.load(Ordering::SeqCst) {
                return got;
            }
        }
    });
    // A connection whose runtime has ended counts as one that failed.
    let soon = Duration::from_millis(1);
    let stack = Lazy::new(Buffered::new(UnixSink::new(&path).expect("a path")))
        .with_backoff(Backoff::new().with_initial(soon).with_max(soon));
    let sink = Shared::with_capacity(stack, 4096);
    std::thread::scope(|scope| {
        for producer in 0..3 {
            let sink = sink.clone();
            scope.spawn(move || {
                let mut number = 0;
                // The driver dies with each runtime that it was started on.
                while number < 3000 {
                    Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .expect("a runtime")
                        .block_on(async {
                            for _ in 0..100 {
                                let message = Numbered { producer, number };
                                if number % 10 == 0 {
                                    sink.send(&message).await.expect("sent");
                                } else {
                                    sink.feed(&message).await.expect("fed");
                                }
                                number += 1;
                            }
                            if number % 300 == 0 {
                                sink.disconnect().await.expect("asleep");
                            }
                        });
                }
            });
        }
    });
    threads().block_on(async {
        sink.flush().await.expect("flushed");
        done.store(true, Ordering::SeqCst);
        sink.close().await.expect("closed");
    });
    assert_eq!(sink.state(), SinkState::Closed);
    // In case that the last connection had ended before.
    drop(UnixStream::connect(&path));
    assert_all_in_order(&receiver.join().expect("read"), 3, |_| 3000);
}

type Stack = Lazy<Buffered<UnixSink>>;

fn to_one_receiver() -> (Shared<Stack>, std::thread::JoinHandle<Got>, Runtime, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("peer.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let receiver = std::thread::spawn(move || {
        let mut got = Got::new();
        receive(listener.accept().expect("connected").0, &mut got);
        got
    });
    let link = UnixSink::new(&path).expect("a path");
    (Shared::new(Lazy::new(Buffered::new(link))), receiver, threads(), dir)
}
