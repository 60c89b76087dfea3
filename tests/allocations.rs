//! The send path allocates nothing per message: counted by an allocator that takes a test of its
//! own.

#![allow(unsafe_code, reason = "counting what is allocated takes a `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;

use tempfile::TempDir;
use torq_message_sink::{
    Buffered, Encode, Fanout, Lazy, MessageSink, Shared, SinkFactory, SinkStack, TcpSink, UnixSink,
    WhenFull,
};

/// The system's allocator, counting per thread, so that receivers do not disturb.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator. The counter is a constant
// without a destructor, so reaching it neither allocates nor fails.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract of `dealloc`, and `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller keeps to the contract of `realloc`, and `ptr` came from `System`.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Receivers that read and discard.
struct Peers {
    tcp: TcpListener,
    unix: UnixListener,
    directory: TempDir,
}

impl Peers {
    fn listen() -> Self {
        let directory = TempDir::new().unwrap();
        let unix = UnixListener::bind(directory.path().join("peer.sock")).unwrap();
        Self { tcp: TcpListener::bind("127.0.0.1:0").unwrap(), unix, directory }
    }

    fn address(&self) -> String {
        self.tcp.local_addr().unwrap().to_string()
    }

    fn path(&self) -> String {
        self.directory.path().join("peer.sock").display().to_string()
    }

    /// Accepts one connection of each kind.
    fn accept(&self) {
        discard(self.tcp.accept().unwrap().0);
        discard(self.unix.accept().unwrap().0);
    }
}

fn discard(mut peer: impl Read + Send + 'static) {
    thread::spawn(move || {
        let mut scratch = vec![0; 64 * 1024];
        while let Ok(1..) = peer.read(&mut scratch) {}
    });
}

fn typed(peers: &Peers) -> Lazy<Buffered<Fanout<(TcpSink, UnixSink)>>> {
    let tcp = TcpSink::new(peers.address()).unwrap();
    let unix = UnixSink::new(peers.path()).unwrap();
    Lazy::new(Buffered::new(Fanout::new((tcp, unix))))
}

type Sinks = Lazy<Fanout<(Lazy<Buffered<TcpSink>>, Buffered<UnixSink>)>>;

fn over_sinks(peers: &Peers) -> Sinks {
    let tcp = TcpSink::new(peers.address()).unwrap();
    let unix = UnixSink::new(peers.path()).unwrap();
    Lazy::new(Fanout::new((Lazy::new(Buffered::new(tcp)), Buffered::new(unix))))
}

fn by_name(peers: &Peers) -> SinkStack {
    let services = format!(
        r#"
        [services.by_tcp]
        type = "direct"
        endpoint = "tcp://{}"

        [services.by_unix]
        type = "direct"
        endpoint = "unix://{}"

        [services.both]
        type = "composite"
        pattern = "fanout"
        targets = ["by_tcp", "by_unix"]
        "#,
        peers.address(),
        peers.path(),
    );
    SinkFactory::from_str(&services).unwrap().create_sink("both").unwrap()
}

/// A message that encodes itself.
struct Tick([u64; 7]);

impl Encode for Tick {
    fn encoded_len(&self) -> usize {
        56
    }

    fn encode(&self, buf: &mut [u8]) {
        for (bytes, field) in buf.chunks_exact_mut(8).zip(self.0) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
    }
}

/// Messages on each path: several full buffers of the larger ones.
const MESSAGES: usize = 2000;

/// Sends on every path; how often each allocates, by its name.
async fn sent(sink: &mut impl MessageSink) -> [(&'static str, usize); 6] {
    let (msg, tick) = ([b'm'; 1400], Tick([7; 7]));
    let mut counts = [("", 0); 6];
    let mut begin = CALLS.get();
    let mut count = |path: usize, name| {
        counts[path] = (name, CALLS.get() - begin);
        begin = CALLS.get();
    };
    for _ in 0..MESSAGES {
        if sink.try_feed(msg.as_slice()).is_err() {
            sink.flush().await.unwrap();
        }
    }
    count(0, "try_feed");
    for _ in 0..MESSAGES {
        sink.feed(msg.as_slice()).await.unwrap();
    }
    count(1, "feed");
    for _ in 0..MESSAGES {
        sink.feed(&tick).await.unwrap();
    }
    count(2, "feed of a struct");
    for _ in 0..MESSAGES {
        sink.send(msg.as_slice()).await.unwrap();
    }
    count(3, "send");
    for _ in 0..MESSAGES / 100 {
        sink.send_batch(std::iter::repeat_n(msg.as_slice(), 100)).await.unwrap();
    }
    count(4, "send_batch");
    for _ in 0..MESSAGES {
        sink.flush().await.unwrap();
    }
    count(5, "flush");
    counts
}

async fn allocates_nothing(mut sink: impl MessageSink, peers: Peers) {
    sink.connect().await.unwrap();
    peers.accept();
    assert_ne!(CALLS.get(), 0, "the counter counts");
    // What is taken once (the first use of a path) is no cost per message.
    sent(&mut sink).await;
    for (path, calls) in sent(&mut sink).await {
        assert_eq!(calls, 0, "{path} allocated, {MESSAGES} messages");
    }
}

#[tokio::test]
async fn typed_stack_allocates_nothing_per_message() {
    let peers = Peers::listen();
    allocates_nothing(typed(&peers), peers).await;
}

#[tokio::test]
async fn fanout_over_sinks_allocates_nothing_per_message() {
    let peers = Peers::listen();
    allocates_nothing(over_sinks(&peers), peers).await;
}

#[tokio::test]
async fn stack_by_name_allocates_nothing_per_message() {
    let peers = Peers::listen();
    allocates_nothing(by_name(&peers), peers).await;
}

/// Nor do messages for which there is no room, where they or others are dropped.
#[tokio::test]
async fn dropping_allocates_nothing_per_message() {
    for when_full in [WhenFull::DropNewest, WhenFull::DropOldest] {
        let peers = Peers::listen();
        let (tcp, unix) = (TcpSink::new(peers.address()), UnixSink::new(peers.path()));
        let links = Fanout::new((tcp.unwrap(), unix.unwrap()));
        let mut sink = Lazy::new(Buffered::new(links).with_when_full(when_full));
        sink.connect().await.unwrap();
        // Accepted and never read.
        let _stuck = (peers.tcp.accept().unwrap(), peers.unix.accept().unwrap());
        let msg = [b'm'; 1400];
        let dropped = |sink: &Lazy<_>| {
            let leaves = MessageSink::report(sink).leaves;
            leaves.iter().map(|leaf| leaf.dropped.overflow.bytes).min().unwrap()
        };
        // Until both are in the middle of a frame, or full at the end of one.
        while dropped(&sink) < 4 * 64 * 1024 {
            for _ in 0..MESSAGES {
                sink.feed(msg.as_slice()).await.unwrap();
            }
        }
        let before = dropped(&sink);
        let begin = CALLS.get();
        assert_ne!(begin, 0, "the counter counts");
        for _ in 0..MESSAGES {
            sink.feed(msg.as_slice()).await.unwrap();
            sink.try_feed(msg.as_slice()).unwrap();
        }
        assert_eq!(CALLS.get() - begin, 0, "{when_full:?} allocated");
        assert!(dropped(&sink) > before);
    }
}

/// The driver runs on the same thread, so what it allocates is counted too.
#[tokio::test]
async fn shared_stack_allocates_nothing_per_message() {
    let peers = Peers::listen();
    let sink = Shared::new(typed(&peers));
    sink.connect().await.unwrap();
    peers.accept();
    // What is taken once (the first use of a path) is no cost per message.
    shared_by_producers(&sink).await;
    let begin = CALLS.get();
    let spawned = shared_by_producers(&sink).await;
    let calls = CALLS.get() - begin;
    // Each task is an allocation or two of the runtime's, whatever it sends.
    assert!(calls <= 4 * spawned, "{calls} allocations for {spawned} tasks");
}

/// Several tasks that feed, send and wait for room; how many there were.
async fn shared_by_producers<S: MessageSink + Send + 'static>(sink: &Shared<S>) -> usize {
    let producers: Vec<_> = (0..8)
        .map(|_| {
            let sink = sink.clone();
            tokio::spawn(async move {
                let (msg, tick) = ([b'm'; 1400], Tick([7; 7]));
                for _ in 0..MESSAGES {
                    sink.feed(msg.as_slice()).await.unwrap();
                    let _ = sink.try_feed(&tick);
                }
                for _ in 0..MESSAGES / 10 {
                    sink.send(&tick).await.unwrap();
                    sink.send_batch(std::iter::repeat_n(msg.as_slice(), 10)).await.unwrap();
                }
                sink.flush().await.unwrap();
            })
        })
        .collect();
    let count = producers.len();
    for producer in producers {
        producer.await.unwrap();
    }
    count
}
