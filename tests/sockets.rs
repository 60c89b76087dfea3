//! Real sockets: TCP and unix, on loopback and in temporary directories.
//!
//! No test here starts a process: for a moment a new one holds all files of the one that starts it,
//! and what a test has closed is not closed before that moment is over.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use torq_message_sink::{
    Backoff, Buffered, Connect, ErrorKind, Lazy, LazyPolicy, Link, MessageSink, SinkState,
    StreamLink, TcpSink, UnixSink,
};

/// A place that can be bound, closed and bound again.
enum Place {
    /// The second socket is bound and does not listen yet: a port that was given back could be
    /// anybody's.
    Tcp(SocketAddr, std::cell::Cell<Option<socket2::Socket>>),
    Unix(PathBuf, tempfile::TempDir),
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

trait Duplex: Read + Write + Send {
    fn shut(&self);
}

impl Duplex for std::net::TcpStream {
    fn shut(&self) {
        self.shutdown(Shutdown::Write).expect("shut");
    }
}

impl Duplex for std::os::unix::net::UnixStream {
    fn shut(&self) {
        self.shutdown(Shutdown::Write).expect("shut");
    }
}

impl Place {
    fn tcp() -> (Self, Listener) {
        let first = tcp_socket(SocketAddr::from(([127, 0, 0, 1], 0)));
        let address = first.local_addr().expect("an address").as_socket().expect("IPv4");
        let next = tcp_socket(address);
        first.listen(16).expect("listening");
        (Self::Tcp(address, Some(next).into()), Listener::Tcp(first.into()))
    }

    fn unix() -> (Self, Listener) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("peer.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        (Self::Unix(path, dir), Listener::Unix(listener))
    }

    fn bind(&self) -> Listener {
        match self {
            Self::Tcp(_, next) => {
                let socket = next.take().expect("bound once again, not twice");
                socket.listen(16).expect("listening");
                Listener::Tcp(socket.into())
            }
            Self::Unix(path, _) => {
                let _ = std::fs::remove_file(path);
                Listener::Unix(UnixListener::bind(path).expect("bound"))
            }
        }
    }
}

fn tcp_socket(address: SocketAddr) -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    // Whoever asks for a port shares it with another that does not listen yet. Whoever lets the
    // kernel choose must not (`TcpListener::bind` would, and take the port of another test).
    socket.set_reuse_address(address.port() != 0).expect("set");
    socket.bind(&address.into()).expect("bound");
    socket.set_reuse_address(true).expect("set");
    socket
}

impl Listener {
    fn accept(&self) -> Box<dyn Duplex> {
        match self {
            Self::Tcp(listener) => Box::new(listener.accept().expect("connected").0),
            Self::Unix(listener) => Box::new(listener.accept().expect("connected").0),
        }
    }
}

fn tcp(place: &Place) -> Buffered<TcpSink> {
    let Place::Tcp(address, _) = place else { unreachable!() };
    Buffered::new(TcpSink::new(address.to_string()).expect("an address"))
}

fn unix(place: &Place) -> Buffered<UnixSink> {
    let Place::Unix(path, _) = place else { unreachable!() };
    Buffered::new(UnixSink::new(path).expect("a path"))
}

fn lazy<S: MessageSink>(sink: S) -> Lazy<S> {
    let soon = Duration::from_millis(1);
    let policy = LazyPolicy::new()
        .with_counting(true)
        .with_backoff(Backoff::new().with_initial(soon).with_max(soon));
    Lazy::with_policy(sink, policy)
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Reads whole messages until the end, or until `stop` of them have come.
fn read_messages(stream: &mut dyn Duplex, stop: usize) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut header = [0; 4];
    while messages.len() < stop && stream.read_exact(&mut header).is_ok() {
        let mut message = vec![0; u32::from_be_bytes(header) as usize];
        if stream.read_exact(&mut message).is_err() {
            break;
        }
        messages.push(message);
    }
    messages
}

/// A receiver that takes one message, then goes; and is back with the next.
async fn restart_between_two_sends<S: MessageSink>(
    mut sink: S,
    place: &Place,
    listener: Listener,
    half: bool,
) {
    sink.send("first").await.expect("sent");
    let mut stream = listener.accept();
    assert_eq!(read_messages(&mut *stream, 1), [b"first"]);
    let kept = if half {
        stream.shut();
        Some(stream)
    } else {
        drop(stream);
        None
    };
    drop(listener);
    let listener = place.bind();
    runtime_turns().await;
    sink.send("second").await.expect("sent");
    assert_eq!(read_messages(&mut *listener.accept(), 1), [b"second"]);
    sink.end(torq_message_sink::End::Close);
    if let Some(mut old) = kept {
        assert!(read_messages(&mut *old, 1).is_empty(), "nothing is written to a closed peer");
    }
}

/// Whatever has reached our kernel by now is known to the runtime afterwards: events come in order,
/// and loopback delivers a close within the call.
async fn runtime_turns() {
    let (ours, theirs) = tokio::net::UnixStream::pair().expect("a pair");
    drop(theirs);
    ours.readable().await.expect("readable");
}

macro_rules! restarts_cost_nothing {
    ($($name:ident: $runtime:ident, $sink:ident, $half:literal;)*) => {$(
        #[test]
        fn $name() {
            let runtime = $runtime();
            for _ in 0..20 {
                let (place, listener) = Place::$sink();
                let sink = lazy($sink(&place));
                runtime.block_on(restart_between_two_sends(sink, &place, listener, $half));
            }
        }
    )*};
}

restarts_cost_nothing! {
    restart_between_two_sends_costs_nothing_tcp_current: current_thread, tcp, false;
    restart_between_two_sends_costs_nothing_tcp_multi: multi_thread, tcp, false;
    restart_between_two_sends_costs_nothing_unix_current: current_thread, unix, false;
    restart_between_two_sends_costs_nothing_unix_multi: multi_thread, unix, false;
    half_close_between_two_sends_costs_nothing_tcp: current_thread, tcp, true;
    half_close_between_two_sends_costs_nothing_unix: multi_thread, unix, true;
}

#[test]
fn data_wakes_a_sink_whose_peer_starts_late() {
    for (place, listener) in [Place::tcp(), Place::unix()] {
        drop(listener);
        let sender = match &place {
            Place::Tcp(..) => wake_late(lazy(tcp(&place))),
            Place::Unix(..) => wake_late(lazy(unix(&place))),
        };
        let listener = place.bind();
        assert_eq!(read_messages(&mut *listener.accept(), 2), [&b"one"[..], b"two"]);
        sender.join().expect("sent");
    }
}

fn wake_late<S: MessageSink + Send + 'static>(mut sink: S) -> JoinHandle<()> {
    std::thread::spawn(move || {
        current_thread().block_on(async {
            assert_eq!(sink.state(), SinkState::Asleep);
            sink.try_feed("one").expect("accepted with nobody there");
            sink.send("two").await.expect("sent when somebody was");
        });
    })
}

/// A peer that talks before, while and after we write, and reads slowly, gets every byte.
fn talkative_peer_gets_everything<S: MessageSink>(sink: S, listener: Listener) {
    const MESSAGES: usize = 20_000;
    let receiver = std::thread::spawn(move || {
        let mut stream = listener.accept();
        stream.write_all(&[1; 5000]).expect("said");
        let mut messages = Vec::new();
        loop {
            let some = read_messages(&mut *stream, 500);
            // Said while the sink closes, and after its last byte.
            let _ = stream.write_all(&[2; 100]);
            if some.is_empty() {
                return messages.len();
            }
            messages.extend(some);
        }
    });
    current_thread().block_on(async {
        let mut sink = sink;
        let message = [3; 300];
        for _ in 0..MESSAGES {
            sink.feed(&message).await.expect("fed");
        }
        let report = sink.close_within(Duration::from_secs(60)).await.expect("closed");
        assert!(report.is_complete(), "{report}");
    });
    assert_eq!(receiver.join().expect("read"), MESSAGES);
}

#[test]
fn talkative_tcp_peer_gets_everything() {
    let (place, listener) = Place::tcp();
    talkative_peer_gets_everything(lazy(tcp(&place)), listener);
}

#[test]
fn talkative_unix_peer_gets_everything() {
    let (place, listener) = Place::unix();
    talkative_peer_gets_everything(lazy(unix(&place)), listener);
}

#[tokio::test]
async fn full_backlog_of_a_unix_socket_is_retried() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("peer.sock");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    socket.bind(&socket2::SockAddr::unix(&path).expect("a path")).expect("bound");
    socket.listen(1).expect("listening");
    let mut others = Vec::new();
    while others.len() < 64 {
        let other = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let other = other.expect("a socket");
        other.set_nonblocking(true).expect("set");
        if other.connect(&socket2::SockAddr::unix(&path).expect("a path")).is_err() {
            break;
        }
        others.push(other);
    }
    assert!(others.len() < 64, "the backlog is full");

    let link = UnixSink::new(&path).expect("a path");
    let mut sink = lazy(Buffered::new(link)).with_max_attempts(3);
    let error = sink.send("a").await.expect_err("no room in the backlog");
    assert_eq!((error.kind(), error.attempt()), (ErrorKind::Unreachable, 3));
    let listener: UnixListener = socket.into();
    let accepted: Vec<_> = others.iter().map(|_| listener.accept().expect("accepted")).collect();
    sink.flush().await.expect("retried, and kept");
    drop(accepted);
    let mut stream: Box<dyn Duplex> = Box::new(listener.accept().expect("accepted").0);
    assert_eq!(read_messages(&mut *stream, 1), [b"a"]);
}

#[tokio::test]
async fn names_are_resolved_and_all_their_addresses_tried() {
    // "localhost" may have an IPv6 address, on which nobody listens.
    let (Place::Tcp(address, _), listener) = Place::tcp() else { unreachable!() };
    let link = TcpSink::new(format!("localhost:{}", address.port())).expect("a name");
    lazy(Buffered::new(link)).send("a").await.expect("sent");
    assert_eq!(read_messages(&mut *listener.accept(), 1), [b"a"]);

    let link = TcpSink::new("no-such-host.invalid:1").expect("a name");
    let mut sink = lazy(Buffered::new(link)).with_max_attempts(1);
    assert_eq!(sink.send("a").await.expect_err("no host").kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn ipv6_works_where_there_is_any() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let address = listener.local_addr().expect("an address").to_string();
    assert!(address.starts_with("[::1]:"));
    let mut sink = lazy(Buffered::new(TcpSink::new(&address).expect("an address")));
    sink.send("a").await.expect("sent");
    let mut stream: Box<dyn Duplex> = Box::new(listener.accept().expect("connected").0);
    assert_eq!(read_messages(&mut *stream, 1), [b"a"]);
}

#[tokio::test]
async fn socket_options_are_accepted_by_the_kernel() {
    let (Place::Tcp(address, _), listener) = Place::tcp() else { unreachable!() };
    let link = TcpSink::new(address.to_string())
        .expect("an address")
        .with_nodelay(false)
        .with_keepalive(Some(Duration::from_millis(1)))
        .with_user_timeout(Some(Duration::from_secs(3)))
        .with_send_buffer(Some(16 * 1024));
    lazy(Buffered::new(link)).send("a").await.expect("sent");
    assert_eq!(read_messages(&mut *listener.accept(), 1), [b"a"]);

    let (Place::Unix(path, _dir), listener) = Place::unix() else { unreachable!() };
    let link = UnixSink::new(path).expect("a path").with_send_buffer(Some(16 * 1024));
    lazy(Buffered::new(link)).send("a").await.expect("sent");
    assert_eq!(read_messages(&mut *listener.accept(), 1), [b"a"]);
}

#[tokio::test(start_paused = true)]
async fn unanswered_attempt_ends_at_the_connect_timeout() {
    let (link, peer) = torq_message_sink::MemorySink::pair(64);
    peer.stall(true);
    let mut sink =
        lazy(Buffered::new(link)).with_connect_timeout(Duration::from_secs(7)).with_max_attempts(2);
    let begin = tokio::time::Instant::now();
    let error = sink.send("a").await.expect_err("no answer");
    assert_eq!((error.kind(), error.attempt()), (ErrorKind::Unreachable, 2));
    let seconds = begin.elapsed().as_secs();
    assert!((14..16).contains(&seconds), "two timeouts of virtual time, but {seconds} s");
}

#[test]
fn links_with_connectors_of_their_own_name_their_place() {
    fn place<C: Connect>(link: &StreamLink<C>) -> String {
        link.connector().endpoint().to_string()
    }
    let tcp = TcpSink::new("localhost:9001").expect("a name");
    assert_eq!(place(&tcp), "tcp://localhost:9001");
    assert_eq!(tcp.state(), SinkState::Asleep);
}
