//! Services whose messages grow old, or are not all as urgent.

use std::error::Error;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use torq_message_sink::{
    Buffered, Deadline, ErrorKind, InLane, Lanes, Lazy, MessageSink, SinkFactory, TcpSink,
};

use crate::frame;

/// A service at `endpoint` with these lines about its buffer.
fn factory(endpoint: &str, buffer: &str) -> Result<SinkFactory, Box<dyn Error>> {
    Ok(SinkFactory::from_str(&format!(
        "[services.quotes]\ntype = \"direct\"\nendpoint = \"{endpoint}\"\n\
         [services.quotes.buffer]\n{buffer}\n"
    ))?)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_that_grew_old_while_the_peer_was_away() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("quotes.sock");
    let factory = factory(&format!("unix://{}", path.display()), "deadline = \"1h\"")?;
    let mut sink = factory.create_sink("quotes")?;
    for message in ["old", "older"] {
        sink.feed(message).await?;
    }
    tokio::time::advance(Duration::from_secs(7200)).await;
    let listener = UnixListener::bind(&path)?;
    sink.send("fresh").await?;
    assert_eq!(frame(&mut listener.accept().await?.0).await?, b"fresh");
    let report = sink.close().await?;
    assert_eq!(report.dropped.expired.messages, Some(2), "{report}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn shared_sink_counts_ages_from_when_it_accepts() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("quotes.sock");
    let buffer = "capacity = \"256B\"\ndeadline = \"1h\"";
    let sink = factory(&format!("unix://{}", path.display()), buffer)?.shared_sink("quotes")?;
    // Until the layer is full, and both buffers before it.
    let mut accepted = 0_u64;
    let mut refused = 0;
    while refused < 10 {
        match sink.try_feed(format!("old {accepted}").as_str()) {
            Ok(()) => (accepted, refused) = (accepted + 1, 0),
            Err(_) => refused += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(accepted > 2 * 256 / 30, "more than stands in the layer: {accepted}");
    // Nobody calls: the driver makes room by itself when they are too late. What it feeds then would
    // be good for another hour, if its age counted from there.
    tokio::time::sleep(Duration::from_secs(5400)).await;
    sink.try_feed("fresh")?;
    let listener = UnixListener::bind(&path)?;
    sink.flush().await?;
    assert_eq!(frame(&mut listener.accept().await?.0).await?, b"fresh");
    let report = sink.close().await?;
    assert_eq!(report.dropped.expired.messages, Some(accepted), "{report}");
    Ok(())
}

#[tokio::test]
async fn what_is_urgent_overtakes_what_waits() -> Result<(), Box<dyn Error>> {
    const LARGE: usize = 1000;
    for priority in ["strict", "weighted"] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let buffer = format!("capacity = \"4KiB\"\npriority = \"{priority}\"");
        let factory = factory(&format!("tcp://{}", listener.local_addr()?), &buffer)?;
        let mut sink = factory.create_sink("quotes")?;
        sink.connect().await?;
        let mut stream = listener.accept().await?.0;
        // Until the kernels are full, and the buffer, and the lane behind it.
        let mut fed = 0;
        while sink.try_feed(&[0; LARGE]).is_ok() {
            fed += 1;
        }
        // The other lanes have room of their own.
        sink.try_feed(&InLane(3, "urgent"))?;
        let reads = async {
            let mut place = None;
            for at in 0..=fed {
                if frame(&mut stream).await? == b"urgent" {
                    place = Some(at);
                }
            }
            Ok::<_, Box<dyn Error>>(place)
        };
        let (flushed, place) = tokio::join!(sink.flush(), reads);
        flushed?;
        assert!(place?.expect("it arrived") < fed, "{priority}: before the last of {fed}");
    }
    Ok(())
}

#[tokio::test]
async fn layers_belong_to_the_shape_of_a_service() -> Result<(), Box<dyn Error>> {
    let plain = factory("tcp://127.0.0.1:9001", "")?;
    let dated = factory("tcp://127.0.0.1:9001", "deadline = \"250ms\"")?;
    let lanes = factory("tcp://127.0.0.1:9001", "priority = \"strict\"")?;
    type Dated = Lazy<Deadline<Buffered<TcpSink>>>;
    type Urgent = Lazy<Lanes<Buffered<TcpSink>, 2>>;
    let _ = dated.create_typed::<Dated>("quotes")?;
    let _ = lanes.create_typed::<Urgent>("quotes")?;
    for (error, shapes) in [
        (
            dated.create_typed::<Lazy<Buffered<TcpSink>>>("quotes").unwrap_err(),
            "the type is for `tcp`, the configuration says `deadline(tcp)`",
        ),
        (
            plain.create_typed::<Dated>("quotes").unwrap_err(),
            "the type is for `deadline(tcp)`, the configuration says `tcp`",
        ),
        (
            dated.create_typed::<Urgent>("quotes").unwrap_err(),
            "the type is for `priority(tcp)`, the configuration says `deadline(tcp)`",
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(error.to_string().ends_with(shapes), "{error}");
    }
    Ok(())
}
