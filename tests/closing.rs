//! What closing and waiting must not do: to neighbours, to peers that talk, to peers that flap.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use torq_message_sink::{Buffered, Fanout, Lazy, MemorySink, MessageSink, SinkError, TcpSink};

/// Waiting spends nothing of the cooperative budget, or 150 sinks that wait would use up what the
/// one behind them needs, for ever.
#[tokio::test]
async fn many_waiting_sinks_leave_the_budget_to_one_that_can_write() -> Result<(), SinkError> {
    let mut waiting = Vec::new();
    for _ in 0..150 {
        let (link, peer) = MemorySink::pair(64);
        peer.stall(true);
        let mut sink = Buffered::new(link);
        sink.feed("m").await?;
        waiting.push((sink, peer));
    }
    let (link, peer) = MemorySink::pair(64);
    let mut live = Buffered::new(link);
    live.feed("m").await?;
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        assert!(polls < 100, "starved");
        for (sink, _) in &mut waiting {
            assert!(sink.poll_flush(cx).is_pending());
        }
        live.poll_flush(cx)
    })
    .await?;
    assert_eq!(peer.accept().expect("written").read(), b"\0\0\0\x01m");
    Ok(())
}

/// The peer echoes everything eight times, so it needs us to read. One child is dead, and the close
/// goes on to its deadline for it; the other is drained by then.
#[tokio::test]
async fn dead_child_costs_a_talking_sibling_nothing() -> Result<(), SinkError> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("connected");
        let (mut received, mut bytes) = (0, [0; 32 * 1024]);
        while let Ok(len @ 1..) = stream.read(&mut bytes) {
            received += len;
            for _ in 0..8 {
                let _ = stream.write_all(&bytes[..len]);
            }
        }
        received
    });
    let (dead, peer) = MemorySink::pair(64);
    peer.refuse(true);
    let healthy = TcpSink::new(address)?;
    let mut sink = Buffered::with_capacity(Fanout::new((healthy, dead)), 8 << 20);
    for _ in 0..500 {
        sink.feed([7; 8188].as_slice()).await?;
    }
    let report = sink.close_within(Duration::from_secs(2)).await?;
    assert_eq!(report.leaves[0].written.bytes, 4_096_000);
    assert_eq!(report.leaves[1].dropped.total().bytes, 4_096_000);
    assert_eq!(echo.join().expect("read to the end"), 4_096_000);
    Ok(())
}

/// The connection is dead when the close begins, which only the close finds out; the peer is up.
#[tokio::test(start_paused = true)]
async fn close_that_finds_a_dead_connection_tries_again_at_once() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    let mut sink = Lazy::new(Buffered::new(link));
    peer.refuse(true);
    sink.feed("a").await?;
    assert!(timeout(Duration::from_secs(300), sink.flush()).await.is_err(), "nobody is there");
    peer.refuse(false);
    sink.flush().await?;
    drop(peer.accept().expect("connected"));
    sink.feed("b").await?;
    assert!(sink.close().await?.is_complete());
    assert_eq!(peer.accept().expect("connected again").read(), b"\0\0\0\x01b");
    Ok(())
}

/// A peer that accepts and closes at once is backed off from, also by an owner who disconnects in
/// between: some 13 connections in a minute, not one per message.
#[tokio::test(start_paused = true)]
async fn disconnecting_does_not_forget_that_a_peer_flaps() -> Result<(), SinkError> {
    let (link, peer) = MemorySink::pair(64);
    let mut sink = Lazy::new(Buffered::new(link));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(60) {
        sink.send("m").await?;
        tokio::time::advance(Duration::from_millis(1)).await;
        while let Some(stream) = peer.accept() {
            let _ = stream.read();
        }
        sink.disconnect().await?;
    }
    assert!(peer.attempts() < 100, "{} connections", peer.attempts());
    Ok(())
}

/// A TCP peer that is busy when we close, and talks only when it reads: what is in our send queue
/// must outlive its first words.
#[tokio::test]
async fn late_talker_gets_everything() -> Result<(), SinkError> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let mut sink = Buffered::with_capacity(TcpSink::new(address)?, 8 << 20);
    for _ in 0..500 {
        sink.feed([7; 8188].as_slice()).await?;
    }
    sink.connect().await?;
    let (mut stream, _) = listener.accept().expect("connected");
    let (begun, go) = std::sync::mpsc::channel();
    let late = std::thread::spawn(move || {
        let (mut received, mut bytes) = (0, [0; 32 * 1024]);
        go.recv().expect("the close has begun");
        while let Ok(len @ 1..) = stream.read(&mut bytes) {
            received += len;
            let _ = stream.write_all(b"ack");
        }
        received
    });
    let mut close = std::pin::pin!(sink.close());
    // Well beyond what a silent peer is given: the deadline alone ends the wait for this one.
    assert!(timeout(Duration::from_millis(600), close.as_mut()).await.is_err());
    begun.send(()).expect("it waits");
    assert!(close.await?.is_complete());
    assert_eq!(late.join().expect("read to the end"), 4_096_000);
    Ok(())
}
