//! What a sink says of its connections, over real sockets.

use std::future::poll_fn;
use std::io::Read;
use std::net::TcpListener;

use torq_message_sink::{
    Buffered, EndCause, Event, LengthPrefixed, Link, MemorySink, MessageSink, Pending, Report,
    SinkError, TcpSink, UnixSink,
};

fn end_cause(sink: &mut impl MessageSink) -> Option<EndCause> {
    let mut cause = None;
    sink.take_events(&mut |event| {
        if let Event::Ended(end) = event {
            cause = Some(end.cause);
        }
    });
    cause
}

fn unconfirmed(report: &Report) -> u64 {
    report.leaves.iter().map(|leaf| leaf.unconfirmed.bytes).sum()
}

/// The close of the peer is in our kernel, but the runtime has not turned: the next message is
/// written to nobody, which is allowed, and must be reported as unconfirmed.
#[tokio::test]
async fn peer_that_closed_before_us_confirms_nothing() -> Result<(), SinkError> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound");
    let mut sink = Buffered::new(TcpSink::new(address.to_string())?);
    sink.send("a").await?;
    let (mut peer, _) = listener.accept().expect("sent");
    peer.read_exact(&mut [0; 5]).expect("a frame of one byte");
    drop(peer);
    sink.send("b").await?;
    let report = sink.close().await?;
    assert_eq!(end_cause(&mut sink), Some(EndCause::PeerClosed));
    assert_eq!(unconfirmed(&report), 10);
    Ok(())
}

#[tokio::test]
async fn peer_that_reads_to_our_end_confirms_everything() -> Result<(), SinkError> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).expect("bound");
    let mut sink = Buffered::new(UnixSink::new(&path)?);
    sink.send("a").await?;
    let (mut peer, _) = listener.accept().await.expect("sent");
    let (report, received) = tokio::join!(sink.close(), async {
        let mut bytes = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut peer, &mut bytes).await.expect("read");
        drop(peer);
        bytes
    });
    assert_eq!(received, b"\0\0\0\x01a");
    assert_eq!(end_cause(&mut sink), Some(EndCause::Drained));
    assert_eq!(unconfirmed(&report?), 0);
    Ok(())
}

/// A composite may take a link in when the stream has long begun.
#[tokio::test]
async fn link_that_joins_late_begins_with_what_there_is() -> Result<(), SinkError> {
    let (mut link, peer) = MemorySink::pair(64);
    let framing = LengthPrefixed::new();
    let frames = Pending::new(b"\0\0\0\x01a\0\0\0\x01b", 1000, &framing);
    poll_fn(|cx| link.poll_write(cx, frames)).await?;
    assert_eq!(link.taken(), 1010);
    assert_eq!(peer.accept().expect("written").read(), b"\0\0\0\x01a\0\0\0\x01b");
    let mut report = Report::default();
    link.report_into(frames, &mut report);
    assert_eq!((report.leaves[0].accepted.bytes, report.leaves[0].written.bytes), (10, 10));
    Ok(())
}
