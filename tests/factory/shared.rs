//! One shared sink per name and process.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::time::timeout;
use torq_message_sink::{ErrorKind, SinkFactory};

async fn factory() -> (SinkFactory, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let services = format!(
        "[services.here]\ntype = \"direct\"\nendpoint = \"tcp://{}\"",
        listener.local_addr().expect("bound")
    );
    (SinkFactory::from_str(&services).expect("valid"), listener)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_tasks_at_once_make_one_connection() {
    let (factory, listener) = factory().await;
    let barrier = Arc::new(Barrier::new(64));
    let tasks: Vec<_> = (0..64_u64)
        .map(|number| {
            let (factory, barrier) = (factory.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let sink = factory.shared_sink("here").expect("known");
                sink.send(&number.to_be_bytes()).await.expect("sent");
                sink
            })
        })
        .collect();
    let mut sinks = Vec::new();
    for task in tasks {
        sinks.push(task.await.expect("no panic"));
    }
    let report = sinks[0].close().await.expect("closed");
    assert_eq!(report.leaves[0].connections, 1);
    let (stream, _) = listener.accept().await.expect("connected");
    let bytes = read_to_end(stream).await;
    let mut numbers: Vec<_> = bytes
        .chunks(12)
        .map(|frame| u64::from_be_bytes(frame[4..].try_into().expect("eight bytes")))
        .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..64));
    let second = timeout(Duration::ZERO, listener.accept()).await;
    assert!(second.is_err(), "nobody else has connected");
}

#[tokio::test]
async fn closed_or_forgotten_sink_is_made_anew() {
    let (factory, listener) = factory().await;
    for _ in 0..2 {
        let sink = factory.shared_sink("here").expect("known");
        assert_eq!(factory.shared_sink("here").expect("known").report().leaves.len(), 1);
        sink.send("tick").await.expect("sent");
        let (stream, _) = listener.accept().await.expect("connected");
        let reading = tokio::spawn(read_to_end(stream));
        sink.close().await.expect("closed");
        assert_eq!(reading.await.expect("no panic").len(), 8);
    }
    let sink = factory.shared_sink("here").expect("known");
    sink.send("tick").await.expect("sent");
    drop(sink);
    let (stream, _) = listener.accept().await.expect("connected");
    assert_eq!(read_to_end(stream).await.len(), 8, "the last handle closes it");
    factory.shared_sink("here").expect("known").send("tick").await.expect("sent");
}

#[tokio::test]
async fn unknown_name_is_an_error_with_the_nearest_one() {
    let (factory, _listener) = factory().await;
    let error = factory.shared_sink("her").expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::UnknownService);
    assert!(error.to_string().contains("`here`"), "{error}");
}

/// The delay is longer than any test, so what arrives has arrived for its size.
#[tokio::test]
async fn fed_messages_gather_as_the_service_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let factory = SinkFactory::from_str(&format!(
        "[services.here]\ntype = \"direct\"\nendpoint = \"tcp://{}\"\n\
         buffer = {{ max_delay = \"1h\", flush_at = 24 }}",
        listener.local_addr().expect("bound")
    ));
    let sink = factory.expect("valid").shared_sink("here").expect("known");
    for fed in 1..3 {
        sink.feed("tick").await.expect("fed");
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        assert_eq!(sink.report().unfed.bytes, fed * 8);
    }
    sink.feed("tick").await.expect("fed");
    let (mut stream, _) = listener.accept().await.expect("connected");
    let mut bytes = [0; 24];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut bytes).await.expect("read");
    assert_eq!(bytes, *b"\0\0\0\x04tick".repeat(3));
}

async fn read_to_end(mut from: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut from, &mut bytes).await.expect("read");
    bytes
}
