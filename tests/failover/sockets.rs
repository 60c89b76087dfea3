//! Real sockets, whose peers are killed in mid-write.

use std::error::Error;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;
use torq_message_sink::{
    Backoff, Buffered, Event, Failover, FailoverPolicy, Framing, Lazy, LengthPrefixed, MessageSink,
    SwitchCause, TcpSink, UnixSink,
};

/// Bytes of a message: several fit no socket.
const LEN: usize = 100_000;

/// The numbers of the whole messages in `bytes`.
fn numbers(mut bytes: &[u8]) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Some((payload, behind)) = LengthPrefixed::new().split_frame(bytes) {
        assert_eq!(payload.len(), LEN, "a message is whole");
        numbers.push(u32::from_be_bytes(payload[..4].try_into().expect("four bytes")));
        bytes = behind;
    }
    numbers
}

fn message(number: u32) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.resize(LEN, 0);
    message
}

/// Feeds and flushes messages until the target has changed; answers how many.
async fn until_switched(sink: &mut impl MessageSink, from: u32) -> (u32, SwitchCause) {
    for number in from.. {
        sink.send(&message(number)).await.expect("there is another target");
        let mut cause = None;
        sink.take_events(&mut |event| {
            if let Event::Switched { cause: why, .. } = event {
                cause = Some(why);
            }
        });
        if let Some(cause) = cause {
            return (number + 1, cause);
        }
    }
    unreachable!("numbers without end")
}

/// A receiver that reads some messages, then part of another, and dies: its system resets the
/// connection, since it had more to read.
async fn dies_in_mid_message(listener: TcpListener) -> Vec<u32> {
    let mut stream = accept(&listener).await;
    let mut bytes = vec![0; 5 * (4 + LEN) + LEN / 2];
    stream.read_exact(&mut bytes).await.expect("so much at least");
    drop(listener);
    numbers(&bytes)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.expect("a connection").0
}

async fn reads_everything(mut stream: impl tokio::io::AsyncRead + Unpin) -> Vec<u32> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("until the end");
    numbers(&bytes)
}

/// The first target is killed in the middle of a message; the second gets on with it.
async fn survives_a_kill<S: MessageSink>(
    make: impl FnOnce(TcpSink, UnixSink) -> S,
) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("second.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").await?;
    let unix = UnixListener::bind(&path)?;
    let mut sink = make(TcpSink::new(tcp.local_addr()?.to_string())?, UnixSink::new(&path)?);
    let first: JoinHandle<Vec<u32>> = tokio::spawn(dies_in_mid_message(tcp));
    let second = tokio::spawn(async move {
        reads_everything(unix.accept().await.expect("a connection").0).await
    });
    let (sent, cause) = until_switched(&mut sink, 0).await;
    assert_eq!(cause, SwitchCause::Lost);
    sink.send_batch((sent..sent + 5).map(message)).await?;
    let report = sink.close().await?;
    assert!(report.is_complete(), "{report}");
    let (first, second) = (first.await?, second.await?);
    assert_eq!(first, (0..5).collect::<Vec<_>>());
    let begin = second[0];
    // In between lies what the first one's kernels had.
    assert!((5..sent).contains(&begin), "{begin} of {sent}");
    assert_eq!(second, (begin..sent + 5).collect::<Vec<_>>());
    let written: u64 = report.leaves.iter().map(|leaf| leaf.written.bytes).sum();
    assert_eq!(written, u64::from(sent + 5) * (4 + LEN as u64), "each is written once");
    Ok(())
}

#[tokio::test]
async fn links_survive_a_kill_in_mid_write() -> Result<(), Box<dyn Error>> {
    survives_a_kill(|tcp, unix| {
        let failover = Failover::with_policy((tcp, unix), FailoverPolicy::new().with_probes(0));
        Lazy::new(Buffered::with_capacity(failover, 4 * LEN))
    })
    .await
}

#[tokio::test]
async fn sinks_survive_a_kill_in_mid_write() -> Result<(), Box<dyn Error>> {
    survives_a_kill(|tcp, unix| {
        let first = Lazy::new(Buffered::with_capacity(tcp, 4 * LEN)).with_max_attempts(1);
        let second = Lazy::new(Buffered::with_capacity(unix, 4 * LEN)).with_max_attempts(1);
        Failover::with_policy((first, second), FailoverPolicy::new().with_probes(0))
    })
    .await
}

/// The target that was killed comes back at the same place, and is returned to.
#[tokio::test]
async fn restarted_target_is_returned_to() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (path, other) = (dir.path().join("first.sock"), dir.path().join("second.sock"));
    let unix = UnixListener::bind(&other)?;
    let policy = FailoverPolicy::new()
        .with_probes(2)
        .with_probe_interval(Duration::from_millis(5))
        .with_hold(Duration::from_millis(20));
    let links = (UnixSink::new(&path)?, UnixSink::new(&other)?);
    let backoff = Backoff::new().with_max(Duration::from_millis(5));
    let mut sink =
        Lazy::new(Buffered::with_capacity(Failover::with_policy(links, policy), 4 * LEN))
            .with_backoff(backoff);
    let second = tokio::spawn(async move {
        reads_everything(unix.accept().await.expect("a connection").0).await
    });
    assert_eq!(until_switched(&mut sink, 0).await, (1, SwitchCause::Unreachable));
    let first = UnixListener::bind(&path)?;
    let first = tokio::spawn(async move {
        reads_everything(first.accept().await.expect("a connection").0).await
    });
    let (sent, cause) = until_switched(&mut sink, 1).await;
    assert_eq!(cause, SwitchCause::Returned);
    sink.send_batch((sent..sent + 5).map(message)).await?;
    assert!(sink.close().await?.is_complete());
    let all = [second.await?, first.await?].concat();
    assert_eq!(all, (0..sent + 5).collect::<Vec<_>>(), "in order, at one target each");
    Ok(())
}
