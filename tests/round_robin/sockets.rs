//! Real sockets, with peers that are killed in mid-write or read nothing.

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, UnixListener};
use torq_message_sink::{
    Buffered, Framing, Lazy, LengthPrefixed, MessageSink, RoundRobin, TcpSink, UnixSink,
};

/// Bytes of a message: few fit a socket.
const LEN: usize = 100_000;

/// The numbers of the whole messages in `bytes`.
fn numbers(mut bytes: &[u8]) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Some((payload, behind)) = LengthPrefixed::new().split_frame(bytes) {
        assert_eq!(payload.len(), LEN, "a message is whole");
        numbers.push(u32::from_be_bytes(payload[..4].try_into().expect("four bytes")));
        bytes = behind;
    }
    assert!(numbers.is_sorted_by(|one, next| one < next), "in order: {numbers:?}");
    numbers
}

fn message(number: u32) -> Vec<u8> {
    let mut message = number.to_be_bytes().to_vec();
    message.resize(LEN, 0);
    message
}

async fn reads_everything(mut stream: impl AsyncRead + Unpin) -> Vec<u32> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("until the end");
    numbers(&bytes)
}

#[tokio::test]
async fn links_survive_a_kill_in_mid_write() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("third.sock");
    let (dies, tcp) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let unix = UnixListener::bind(&path)?;
    let links = (
        TcpSink::new(dies.local_addr()?.to_string())?,
        TcpSink::new(tcp.local_addr()?.to_string())?,
        UnixSink::new(&path)?,
    );
    let mut sink =
        Lazy::new(Buffered::with_capacity(RoundRobin::new(links), 4 * LEN)).with_counting(true);
    let first = tokio::spawn(async move {
        let mut stream = dies.accept().await.expect("a connection").0;
        let mut bytes = vec![0; 5 * (4 + LEN) + LEN / 2];
        stream.read_exact(&mut bytes).await.expect("so much at least");
        drop(dies);
        numbers(&bytes)
    });
    let second =
        tokio::spawn(async move { reads_everything(tcp.accept().await.expect("one").0).await });
    let third =
        tokio::spawn(async move { reads_everything(unix.accept().await.expect("one").0).await });
    let mut sent = 0;
    while !first.is_finished() {
        sink.send(&message(sent)).await?;
        sent += 1;
    }
    sink.send_batch((sent..sent + 30).map(message)).await?;
    sent += 30;
    let report = sink.close().await?;
    assert!(report.is_complete(), "{report}");
    let (first, second, third) = (first.await?, second.await?, third.await?);
    let written: Vec<_> = report.leaves.iter().filter_map(|leaf| leaf.written.messages).collect();
    assert_eq!(written.iter().sum::<u64>(), u64::from(sent), "each is written once");
    assert_eq!(written[1..], [second.len() as u64, third.len() as u64]);
    assert!(first.len() as u64 <= written[0], "the rest was in the first one's kernels");
    let mut all = [first, second, third].concat();
    all.sort_unstable();
    assert!(all.is_sorted_by(|one, next| one < next), "no message at two targets");
    Ok(())
}

/// One of three reads nothing, and has its socket full in the middle of a message.
#[tokio::test]
async fn peer_that_reads_nothing_does_not_stop_the_others() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let paths = ["first.sock", "second.sock", "third.sock"].map(|name| dir.path().join(name));
    let links = paths.iter().map(UnixSink::new).collect::<Result<Vec<_>, _>>()?;
    let [stuck, second, third] = paths.map(|path| UnixListener::bind(path).expect("a socket"));
    let robin = RoundRobin::new(links).with_stall_timeout(Some(Duration::from_millis(20)));
    let mut sink = Lazy::new(Buffered::with_capacity(robin, 4 * LEN)).with_counting(true);
    let readers = [second, third].map(|listener| {
        tokio::spawn(async move { reads_everything(listener.accept().await.expect("one").0).await })
    });
    for number in 0..60 {
        sink.send(&message(number)).await?;
    }
    // Its goodbye would be waited for.
    let report = sink.close_within(Duration::from_millis(50)).await?;
    assert!(report.is_complete(), "{report}");
    let mut all = Vec::new();
    // What the kernel keeps for it can be read now, to where its connections were ended.
    for _ in 0..report.leaves[0].connections {
        all.extend(reads_everything(stuck.accept().await?.0).await);
    }
    for reader in readers {
        all.extend(reader.await?);
    }
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<_>>(), "each message at one peer");
    Ok(())
}
