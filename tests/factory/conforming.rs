//! The conformance suite over stacks by name, with receivers at unix sockets.

use std::io::{ErrorKind, Read};
use std::os::unix::net::{UnixListener, UnixStream};

use tempfile::TempDir;
use torq_message_sink::testing::conformance::{Receive, Subject, check_all};
use torq_message_sink::{Framing, LengthPrefixed, SinkFactory, SinkStack};

/// Small send buffers, since everything that a kernel holds has to fit before a sink is full.
const FILE: &str = r#"
[services.a]
type = "direct"
endpoint = "unix://DIR/a"
buffer.capacity = "256B"
unix.send_buffer = "4KiB"

[services.b]
type = "relay"
endpoint = "unix://DIR/b"
unix.send_buffer = "4KiB"

[services.c]
type = "direct"
endpoint = "unix://DIR/c"
unix.send_buffer = "4KiB"

[services.dated]
type = "direct"
endpoint = "unix://DIR/a"
buffer = { capacity = "256B", deadline = "1h" }
unix.send_buffer = "4KiB"

[services.urgent]
type = "direct"
endpoint = "unix://DIR/a"
buffer = { capacity = "256B", priority = "weighted" }
unix.send_buffer = "4KiB"

[services.a_and_b]
type = "composite"
pattern = "fanout"
targets = ["a", "b"]
buffer.capacity = "256B"

[services.a_or_b]
type = "composite"
pattern = "failover"
targets = ["a", "b"]
buffer.capacity = "256B"

[services.nobody]
type = "direct"
endpoint = "unix://DIR/nobody"

[services.nobody_or_c]
type = "composite"
pattern = "failover"
targets = ["nobody", "c"]
failover.probes = 0
buffer.capacity = "256B"

[services.nobody_or_c_or_a]
type = "composite"
pattern = "failover"
targets = ["nobody_or_c", "a"]
buffer.capacity = "256B"

[services.all]
type = "composite"
pattern = "fanout"
targets = ["a_and_b", "c"]
buffer.capacity = "256B"

[services.nobody_or_a]
type = "composite"
pattern = "failover"
targets = ["nobody", "a"]
failover.probes = 0

[services.nobody_else_or_b]
type = "composite"
pattern = "round_robin"
targets = ["nobody_else", "b"]

[services.nobody_else]
type = "direct"
endpoint = "unix://DIR/nobody_else"

[services.mix]
type = "composite"
pattern = "fanout"
targets = ["nobody_or_a", "nobody_else_or_b"]
buffer.capacity = "256B"
"#;

/// The buffer, and twice what a kernel was asked for.
const BOUND_BYTES: u64 = 256 + 2 * 4096;

#[tokio::test]
async fn stack_over_one_socket_conforms() {
    check_all(|| subject("a", &["a"])).await;
}

#[tokio::test]
async fn fanout_over_sockets_conforms() {
    check_all(|| subject("a_and_b", &["a", "b"])).await;
}

#[tokio::test]
async fn nested_fanout_over_sockets_conforms() {
    check_all(|| subject("all", &["a", "b", "c"])).await;
}

#[tokio::test]
async fn failover_that_stays_conforms() {
    check_all(|| subject("a_or_b", &["a"])).await;
}

#[tokio::test]
async fn failover_to_the_second_conforms() {
    check_all(|| subject("nobody_or_c", &["c"])).await;
}

#[tokio::test]
async fn nested_failover_conforms() {
    check_all(|| subject("nobody_or_c_or_a", &["c"])).await;
}

#[tokio::test]
async fn fanout_of_a_failover_and_a_round_robin_conforms() {
    check_all(|| subject("mix", &["a", "b"])).await;
}

#[tokio::test]
async fn stacks_with_a_layer_conform() {
    for service in ["dated", "urgent"] {
        check_all(|| subject(service, &["a"])).await;
    }
}

fn subject(service: &str, sockets: &[&str]) -> Subject<SinkStack, UnixReceivers> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().to_str().expect("a path in UTF-8");
    let factory = SinkFactory::from_str(&FILE.replace("DIR", path)).expect("a valid file");
    let listen = |socket: &&str| Receiver::listen(&dir, socket);
    let receivers = UnixReceivers(sockets.iter().map(listen).collect(), dir);
    let sink = factory.create_sink(service).expect("it is in the file");
    Subject { sink, receivers, bound_bytes: BOUND_BYTES }
}

/// Receivers that read what is there when they are asked to. The directory goes with them.
struct UnixReceivers(Vec<Receiver>, #[expect(dead_code, reason = "removed when dropped")] TempDir);

struct Receiver {
    listener: UnixListener,
    /// Each connection, until its end was read, and what it has carried.
    connections: Vec<(Option<UnixStream>, Vec<u8>)>,
}

impl Receiver {
    fn listen(dir: &TempDir, socket: &str) -> Self {
        let listener = UnixListener::bind(dir.path().join(socket)).expect("a new path");
        listener.set_nonblocking(true).expect("a socket");
        Self { listener, connections: Vec::new() }
    }

    fn receive(&mut self) -> Vec<Vec<u8>> {
        while let Some((stream, _)) = now(self.listener.accept()) {
            stream.set_nonblocking(true).expect("a socket");
            self.connections.push((Some(stream), Vec::new()));
        }
        self.connections.iter_mut().for_each(read);
        self.connections.iter().flat_map(|(_, bytes)| messages(bytes)).collect()
    }
}

impl Receive for UnixReceivers {
    fn receive(&mut self) -> Vec<Vec<Vec<u8>>> {
        self.0.iter_mut().map(Receiver::receive).collect()
    }
}

/// Reads what is there. At its end the connection is closed.
fn read((stream, bytes): &mut (Option<UnixStream>, Vec<u8>)) {
    let mut chunk = [0; 4096];
    while let Some(len) = stream.as_ref().and_then(|mut stream| now(stream.read(&mut chunk))) {
        bytes.extend_from_slice(&chunk[..len]);
        if len == 0 {
            *stream = None;
        }
    }
}

/// What a call has answered, unless it would have had to wait.
fn now<T>(answer: std::io::Result<T>) -> Option<T> {
    match answer {
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        answer => Some(answer.expect("a socket that works")),
    }
}

/// The messages within `bytes`.
fn messages(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let framing = LengthPrefixed::new();
    let frames = std::iter::from_fn(|| {
        let (payload, behind) = framing.split_frame(bytes)?;
        bytes = behind;
        Some(payload.to_vec())
    });
    frames.collect()
}
