//! Asleep is free: no file descriptor, no task, no buffer.
//!
//! In a process of its own, since file descriptors are counted; for the same reason its tests are
//! one.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use tokio::runtime::Handle;
use torq_message_sink::{
    Backoff, Buffered, Fanout, Lazy, MessageSink, SinkFactory, SinkState, TcpSink, UnixSink,
};

#[tokio::test]
async fn asleep_is_free() {
    configured_sinks_hold_nothing();
    reconnects_leak_nothing().await;
}

/// A thousand of them, by name, of every kind; what they weigh is in tests/sleeping_bytes.rs.
fn configured_sinks_hold_nothing() {
    let before = (open_files(), tasks());
    let mut file = String::new();
    for number in 0..500 {
        file += &format!(
            "[services.t{number}]\ntype = \"direct\"\nendpoint = \"tcp://127.0.0.1:{}\"\n\
             [services.u{number}]\ntype = \"relay\"\nendpoint = \"unix:///run/u{number}.sock\"\n\
             [services.f{number}]\ntype = \"composite\"\npattern = \"fanout\"\n\
             targets = [\"t{number}\", \"u{number}\"]\n",
            9001 + number
        );
    }
    let factory = SinkFactory::from_str(&file).expect("a valid file");
    let names = (0..500).flat_map(|number| ["t", "u", "f"].map(|kind| format!("{kind}{number}")));
    let sinks: Vec<_> = names.map(|name| factory.create_sink(&name).expect("configured")).collect();
    assert_eq!((open_files(), tasks()), before, "{} sinks hold a file or a task", sinks.len());
    assert!(sinks.iter().all(|sink| sink.state() == SinkState::Asleep));
}

async fn reconnects_leak_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("peer.sock");
    let tcp_listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = tcp_listener.local_addr().expect("bound").to_string();
    let unix_listener = UnixListener::bind(&path).expect("bound");

    let before = (open_files(), tasks());
    let links = Fanout::new((
        TcpSink::new(address).expect("an address"),
        UnixSink::new(&path).expect("a path"),
    ));
    // These connections are short, so the back-off never starts over.
    let soon = Duration::from_millis(1);
    let mut sink = Lazy::new(Buffered::new(links))
        .with_backoff(Backoff::new().with_initial(soon).with_max(soon))
        .with_idle_timeout(Some(Duration::ZERO));
    assert_eq!((open_files(), tasks()), before, "a sink that was never used holds nothing");
    for round in 0..200_u32 {
        sink.feed(&round.to_be_bytes()).await.expect("fed");
        sink.flush().await.expect("flushed");
        for stream in [accept_tcp(&tcp_listener), accept_unix(&unix_listener)] {
            assert_eq!(read_message(stream), round.to_be_bytes());
        }
        sink.flush().await.expect("flushed");
        if round % 2 == 0 {
            // Idle for no time at all, which is long enough.
            sink.flush().await.expect("flushed");
        } else {
            sink.disconnect().await.expect("asleep");
        }
        assert_eq!(sink.state(), SinkState::Asleep);
        tokio::task::yield_now().await;
        assert_eq!((open_files(), tasks()), before, "asleep holds no task and no file");
    }
    let report = sink.report();
    assert!(report.leaves.iter().all(|leaf| leaf.connections == 200), "{report}");
    assert!(report.is_complete());
}

fn accept_tcp(listener: &TcpListener) -> Box<dyn Read> {
    let (stream, _): (TcpStream, _) = listener.accept().expect("connected");
    Box::new(stream)
}

fn accept_unix(listener: &UnixListener) -> Box<dyn Read> {
    Box::new(listener.accept().expect("connected").0)
}

/// The next message, of four bytes. The stream is closed then.
fn read_message(mut stream: Box<dyn Read>) -> [u8; 4] {
    let (mut header, mut message) = ([0; 4], [0; 4]);
    stream.read_exact(&mut header).expect("a header");
    assert_eq!(header, [0, 0, 0, 4]);
    stream.read_exact(&mut message).expect("a message");
    message
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}
